// AWS Signature Version 4 in the Authorization header: pure, without sockets and without a clock.
//
// A request is signed as it will be sent: method, path, query, the headers that are to be protected, and the body. What
// a proxy or client library changes on the way (User-Agent, Connection, Expect, Transfer-Encoding) is never signed.
// Threads: pure. Cost: about 10 us and the hash of the body. The one third-party part is OpenSSL's SHA-256 and HMAC.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "net/secret.h"

namespace accelmon {

struct AwsCredentials {
  std::string access_key_id;  // no secret: it stands in every request in the clear
  Secret secret_access_key;
  Secret session_token;  // empty: long-lived keys
  Nanos expires = 0;     // wall time; 0: never
};

using Headers = std::vector<std::pair<std::string, std::string>>;

struct SigV4Request {
  std::string method = "POST";
  std::string path = "/";  // as it is sent, without the query
  std::string query;       // as it is sent, without the question mark
  Headers headers;         // Host must be among them
  std::string_view body;
};

struct SigV4Scope {
  std::string region;          // "eu-central-1"
  std::string service;         // "monitoring"
  Nanos wall = 0;              // of the signature: AWS refuses one that is more than 5 minutes off
  bool normalize_path = true;  // "/a/../b" and "//b" are "/b"; every service but S3
  bool body_header = false;    // adds X-Amz-Content-Sha256
  bool sign_token = true;      // false: the token is added behind the signature, as a few services want
};

// Whether the library is there that signatures are made with. absent: with what to install; signatures are then wrong.
Status sigv4_available();

// The headers to add to the request: X-Amz-Date, X-Amz-Security-Token where there is one, Authorization. They hold
// secrets of a few minutes or hours: never log them.
Headers sigv4_sign(const SigV4Request& request, const AwsCredentials& credentials, const SigV4Scope& scope);

// Its steps. `request` has all headers that are to be signed.
std::string sigv4_canonical_request(const SigV4Request& request, const SigV4Scope& scope);
std::string sigv4_string_to_sign(std::string_view canonical_request, const SigV4Scope& scope);
std::string sigv4_signature(std::string_view string_to_sign, const AwsCredentials& credentials,
                            const SigV4Scope& scope);

// "20150830T123600Z".
std::string sigv4_time(Nanos wall);

}  // namespace accelmon
