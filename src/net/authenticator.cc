#include "net/authenticator.h"

#include <crypt.h>
#include <sys/random.h>

#include <algorithm>

#include "base/dynamic_library.h"
#include "base/text.h"
#include "net/web_config.h"

namespace accelmon {
namespace {

constexpr size_t kMaxTokens = 256;
constexpr size_t kMaxTokenBytes = 4096;
constexpr size_t kMinTokenBytes = 8;

using CryptR = decltype(::crypt_r);

// libcrypt, opened with the first user: 200 KiB that nobody else carries.
CryptR* crypt_function() {
  static CryptR* const function = []() -> CryptR* {
    for (const char* name : {"libcrypt.so.1", "libcrypt.so.2"}) {
      Result<DynamicLibrary> file = DynamicLibrary::open(name);
      if (!file) continue;
      CryptR* const found = file->symbol<CryptR>("crypt_r");
      if (found == nullptr) continue;
      // Kept for good.
      static const auto* const kept = new DynamicLibrary(std::move(*file));  // NOLINT(cppcoreguidelines-owning-memory)
      static_cast<void>(kept);
      return found;
    }
    return nullptr;
  }();
  return function;
}

// Whether `password` gives `hash`. The time depends on the hash's cost alone.
bool bcrypt_matches(const std::string& password, const std::string& hash) {
  // 32 KiB: not on this thread's small stack.
  const auto data = std::make_unique<crypt_data>();
  const char* const made = crypt_function()(password.c_str(), hash.c_str(), data.get());
  bool same = made != nullptr && std::string_view(made).size() == hash.size();
  if (same) {
    volatile unsigned char different = 0;
    for (size_t i = 0; i < hash.size(); ++i) different = different | static_cast<unsigned char>(made[i] ^ hash[i]);
    same = different == 0;
  }
  ::explicit_bzero(data.get(), sizeof *data);
  return same;
}

bool scheme_is(std::string_view word, std::string_view scheme) {
  return std::equal(word.begin(), word.end(), scheme.begin(), scheme.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
}

}  // namespace

Authorization parse_authorization(std::string_view value) {
  Authorization out;
  value = trim(value);
  const size_t blank = value.find(' ');
  if (blank == std::string_view::npos || value.size() > 8192) return out;
  const std::string_view scheme = value.substr(0, blank);
  const std::string_view rest = trim(value.substr(blank));
  if (scheme_is(scheme, "bearer")) {
    if (rest.empty() || rest.find(' ') != std::string_view::npos) return out;
    out.password = Secret(std::string(rest));
    out.scheme = Authorization::Scheme::bearer;
  } else if (scheme_is(scheme, "basic")) {
    std::string pair;
    pair.reserve(rest.size());
    const bool good = decode_base64(rest, pair);
    const size_t colon = pair.find(':');
    // A null character would end the password early for crypt(): "right\0anything" must not be "right".
    if (good && colon != std::string::npos && pair.find('\0') == std::string::npos) {
      out.user = Secret(pair.substr(0, colon));
      out.password = Secret(pair.substr(colon + 1));
      out.scheme = Authorization::Scheme::basic;
    }
    ::explicit_bzero(pair.data(), pair.size());
  }
  return out;
}

Result<std::vector<Secret>> parse_bearer_tokens(std::string_view bytes, std::string_view file) {
  std::vector<Secret> tokens;
  size_t number = 0;
  const auto wrong = [&](const std::string& what) {
    return fail(Code::invalid, printable(file, 4096) + ":" + std::to_string(number) + ": " + what);
  };
  while (!bytes.empty()) {
    const std::string_view line = trim(next_line(bytes));
    ++number;
    if (line.empty() || line.front() == '#') continue;
    if (line.size() < kMinTokenBytes)
      return wrong("a token has at least 8 characters; make one with: openssl rand -hex 32");
    if (line.size() > kMaxTokenBytes) return wrong("a token has at most 4096 characters");
    if (std::any_of(line.begin(), line.end(), [](char c) { return c <= ' ' || c >= 0x7f; }))
      return wrong("a token has no blanks and no characters beyond ASCII");
    if (tokens.size() == kMaxTokens) return wrong("more than 256 tokens");
    tokens.emplace_back(std::string(line));
  }
  if (tokens.empty()) return fail(Code::invalid, printable(file, 4096) + ": holds no token; write one a line");
  return tokens;
}

bool Authenticator::Memory::has(const Sha256& hash) const {
  bool found = false;
  for (size_t i = 0; i < used; ++i) found = equal_in_constant_time(hashes[i], hash) || found;
  return found;
}

void Authenticator::Memory::add(const Sha256& hash) {
  hashes[next] = hash;
  next = (next + 1) % kRemembered;
  used = std::min(used + 1, kRemembered);
}

Authenticator::Authenticator() = default;

Result<std::unique_ptr<Authenticator>> Authenticator::make(const Users& users, const std::vector<Secret>& tokens) {
  std::unique_ptr<Authenticator> made(new Authenticator);
  if (users.empty() && tokens.empty()) return made;
  if (Status status = sha256_available(); !status.ok())
    return fail(status.code(), "authentication needs libcrypto: " + status.message());
  std::string key(32, '\0');
  if (::getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size()))
    return fail(Status::from_errno(errno, "no random numbers"));
  made->key_ = Secret(std::move(key));
  for (const Secret& token : tokens) made->tokens_.push_back(hmac_sha256(made->key_.reveal(), token.reveal()));
  made->users_ = users;
  if (users.empty()) return made;
  if (crypt_function() == nullptr)
    return fail(Code::absent,
                "passwords are checked with libcrypt, which cannot be loaded: install the package libcrypt1");
  // As dear as the dearest, with a digest that no password gives: bcrypt's last character holds only four bits.
  const auto dearest = std::max_element(users.begin(), users.end(), [](const auto& a, const auto& b) {
    return bcrypt_cost(a.second.reveal()).value_or(0) < bcrypt_cost(b.second.reveal()).value_or(0);
  });
  made->decoy_ = dearest->second.reveal().substr(0, 29) + std::string(31, '.');
  return made;
}

std::vector<std::string> Authenticator::challenges() const {
  std::vector<std::string> out;
  if (!users_.empty()) out.emplace_back(R"(Basic realm="accelmon", charset="UTF-8")");
  if (!tokens_.empty()) out.emplace_back(R"(Bearer realm="accelmon")");
  return out;
}

Authenticator::Verdict Authenticator::check(std::string_view authorization, const ClientKey& client, Nanos now,
                                            RateLimiter& attempts, RateLimiter& all_attempts) {
  if (!required()) return Verdict::granted;
  const Authorization who = parse_authorization(authorization);
  if (who.scheme == Authorization::Scheme::bearer && !tokens_.empty()) {
    const Sha256 its = hmac_sha256(key_.reveal(), who.password.reveal());
    bool granted = false;
    for (const Sha256& token : tokens_) granted = equal_in_constant_time(token, its) || granted;
    if (granted) return Verdict::granted;
    // A check costs nothing; the bound makes guessing hopeless even where tokens are short.
    return attempts.take(client, now) ? Verdict::denied : Verdict::too_many;
  }
  if (who.scheme == Authorization::Scheme::basic && !users_.empty())
    return check_basic(who, client, now, attempts, all_attempts);
  return Verdict::denied;
}

Authenticator::Verdict Authenticator::check_basic(const Authorization& who, const ClientKey& client, Nanos now,
                                                  RateLimiter& attempts, RateLimiter& all_attempts) {
  std::string pair = std::to_string(who.user.reveal().size()) + ":" + who.user.reveal() + who.password.reveal();
  const Sha256 hash = hmac_sha256(key_.reveal(), pair);
  ::explicit_bzero(pair.data(), pair.size());
  if (good_.has(hash)) return Verdict::granted;
  if (bad_.has(hash)) return Verdict::denied;
  // One bucket for all of them: what the thread may spend.
  if (!all_attempts.would_take({}, now) || !attempts.take(client, now)) return Verdict::too_many;
  all_attempts.take({}, now);
  const std::string* its = nullptr;
  for (const auto& [name, stored] : users_)
    if (name == who.user.reveal()) its = &stored.reveal();
  const bool matches = bcrypt_matches(who.password.reveal(), its != nullptr ? *its : decoy_);
  const bool granted = matches && its != nullptr;
  (granted ? good_ : bad_).add(hash);
  return granted ? Verdict::granted : Verdict::denied;
}

}  // namespace accelmon
