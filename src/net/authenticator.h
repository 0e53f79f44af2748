// Who may read: HTTP basic authentication against bcrypt hashes, and bearer tokens.
//
// bcrypt is slow on purpose (60 ms at cost 10, in the thread that serves everybody). So what was checked once is
// remembered, as a keyed hash of name and password in a table of 64 entries, for good and bad credentials apart; what
// was not is bounded in number for each client and for all together. An unknown name costs the same time as a wrong
// password. Tokens are kept as keyed hashes and compared in constant time. libcrypt and libcrypto are opened when there
// is something to check, and not before.
// Threads: one at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "net/rate_limiter.h"
#include "net/secret.h"
#include "net/sha256.h"

namespace accelmon {

// The value of an Authorization header. Anything that is neither scheme, or malformed, is `none`.
struct Authorization {
  enum class Scheme : uint8_t { none, basic, bearer } scheme = Scheme::none;
  Secret user;      // of basic
  Secret password;  // of basic; the token of bearer
};
Authorization parse_authorization(std::string_view value);

// One token a line; blank lines and those that begin with '#' count for nothing. Errors: "FILE:LINE: ...", never the
// token.
Result<std::vector<Secret>> parse_bearer_tokens(std::string_view bytes, std::string_view file);

class Authenticator {
 public:
  enum class Verdict : uint8_t { granted, denied, too_many };

  using Users = std::vector<std::pair<std::string, Secret>>;
  // Errors: absent (a library that is needed and cannot be loaded).
  static Result<std::unique_ptr<Authenticator>> make(const Users& users, const std::vector<Secret>& tokens);

  bool required() const { return !users_.empty() || !tokens_.empty(); }
  // What WWW-Authenticate says: one header for each way in.
  std::vector<std::string> challenges() const;

  // `attempts` and `all_attempts` bound the checks that cost; they outlive this object, so that a reload gives nobody
  // new tries. `authorization` is the header's value.
  Verdict check(std::string_view authorization, const ClientKey& client, Nanos now, RateLimiter& attempts,
                RateLimiter& all_attempts);

 private:
  static constexpr size_t kRemembered = 64;
  struct Memory {
    std::array<Sha256, kRemembered> hashes{};
    size_t used = 0;
    size_t next = 0;
    bool has(const Sha256& hash) const;
    void add(const Sha256& hash);
  };

  Authenticator();
  Verdict check_basic(const Authorization& who, const ClientKey& client, Nanos now, RateLimiter& attempts,
                      RateLimiter& all_attempts);

  Users users_;
  std::string decoy_;           // the hash that an unknown name is checked against
  Secret key_;                  // of the hashes below; a random one of this object
  std::vector<Sha256> tokens_;  // hashed
  Memory good_, bad_;
};

}  // namespace accelmon
