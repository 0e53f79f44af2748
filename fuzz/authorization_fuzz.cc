// Any bytes as the value of an Authorization header or of a Host header. What is read as credentials is written again
// and must be read the same; nobody gets in who does not have the token.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/authenticator.h"
#include "net/web_security.h"

namespace {

using namespace accelmon;

void require(bool good) {
  if (!good) std::abort();
}

std::string base64(std::string_view text) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < text.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += i + k > text.size() ? '=' : kDigits[bits >> (18 - 6 * k) & 63];
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Authorization who = parse_authorization(bytes);
  if (who.scheme == Authorization::Scheme::basic) {
    require(who.user.reveal().find(':') == std::string::npos);
    require(who.password.reveal().find('\0') == std::string::npos);
    const Authorization again = parse_authorization("Basic " + base64(who.user.reveal() + ":" + who.password.reveal()));
    if (who.user.reveal().size() + who.password.reveal().size() < 6000)
      require(again.scheme == who.scheme && again.user.reveal() == who.user.reveal() &&
              again.password.reveal() == who.password.reveal());
  } else if (who.scheme == Authorization::Scheme::bearer) {
    require(!who.password.empty() && who.password.reveal().find(' ') == std::string::npos);
  }
  static const std::unique_ptr<Authenticator> door = [] {
    std::vector<Secret> tokens;
    tokens.emplace_back("the-only-token");
    auto made = Authenticator::make({}, tokens);
    require(made.has_value());
    return std::move(*made);
  }();
  static RateLimiter attempts(0, 1), all(0, 1);
  const bool granted = door->check(bytes, {}, kSecond, attempts, all) == Authenticator::Verdict::granted;
  require(granted == (who.scheme == Authorization::Scheme::bearer && who.password.reveal() == "the-only-token"));
  (void)is_loopback_host(bytes);
  return 0;
}
