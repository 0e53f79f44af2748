// The web-config file of Prometheus' exporters: TLS, users, rate limit and headers of an HTTP server.
//
// Operators have one of these for their other exporters; ours takes the same file. Where it cannot do what the file
// says it refuses the file with the line, instead of serving with less protection. What the format has and we do not:
// HTTP/2 (the key is taken; clients get HTTP/1.1), TLS before 1.2 and ciphers without forward secrecy (refused).
// Threads: values and pure functions. No text of a key or a hash appears in an error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "net/secret.h"

namespace accelmon {

enum class ClientAuth : uint8_t {
  none,                // a certificate is not asked for
  request,             // asked for; whatever comes, or nothing, will do
  require_any,         // some certificate, of anybody
  verify_if_given,     // one of our authorities, or none
  require_and_verify,  // one of our authorities
};

enum class TlsVersion : uint8_t { tls12, tls13 };

struct TlsConfig {
  std::string cert_file, key_file, client_ca_file;  // empty: inline, or (the last) none
  std::string cert, client_ca;                      // PEM
  Secret key;                                       // PEM
  ClientAuth client_auth = ClientAuth::none;
  std::vector<std::string> client_allowed_sans;
  TlsVersion min_version = TlsVersion::tls12;
  TlsVersion max_version = TlsVersion::tls13;
  std::vector<std::string> cipher_suites;  // of TLS 1.2, by OpenSSL's names; empty: the usual ones
  std::vector<std::string> curves;         // by OpenSSL's names; empty: the usual ones
  bool prefer_server_cipher_suites = true;
  std::string where;  // "FILE:LINE:COLUMN" of the section, for errors that come to light later
};

struct WebConfig {
  std::optional<TlsConfig> tls;
  std::vector<std::pair<std::string_view, std::string>> headers;  // for every response; names are constants
  std::vector<std::pair<std::string, Secret>> users;              // name and bcrypt hash
  Nanos rate_interval = 0;                                        // 0: no limit
  uint32_t rate_burst = 1;
};

// Paths in the file that are not absolute are relative to the folder of `file`. Errors: invalid,
// "FILE:LINE:COLUMN: what is wrong and what to write".
Result<WebConfig> parse_web_config(std::string_view bytes, const std::string& file);

// Whether a text is a bcrypt hash, and its cost.
std::optional<unsigned> bcrypt_cost(std::string_view hash);

}  // namespace accelmon
