// Any bytes as a web-config file or as a file of tokens: an error of one line, or something within bounds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/authenticator.h"
#include "net/web_config.h"

namespace {

void require(bool good) {
  if (!good) std::abort();
}

void one_line(const std::string& message) {
  require(!message.empty() && message.size() < 2000);
  for (const char c : message) require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace accelmon;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Result<WebConfig> config = parse_web_config(bytes, "fuzz.yml");
  if (!config) {
    one_line(config.error().message());
  } else {
    for (const auto& [name, value] : config->headers)
      for (const char c : value) require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
    for (const auto& [name, hash] : config->users)
      require(bcrypt_cost(hash.reveal()).has_value() && name.find(':') == std::string::npos);
    require(config->rate_interval >= 0 && config->rate_interval <= 3600 * kSecond && config->rate_burst >= 1);
    if (config->tls) {
      require(!config->tls->cert_file.empty() || !config->tls->cert.empty());
      require(!config->tls->key_file.empty() || !config->tls->key.empty());
      require(config->tls->min_version <= config->tls->max_version);
    }
  }
  const auto tokens = parse_bearer_tokens(bytes, "tokens");
  if (!tokens)
    one_line(tokens.error().message());
  else
    require(!tokens->empty() && tokens->size() <= 256);
  return 0;
}
