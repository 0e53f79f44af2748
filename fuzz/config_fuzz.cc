// Any bytes as a configuration file: an error or a configuration within its bounds, never a crash.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace accelmon;
  const Result<Config> config = parse_config({reinterpret_cast<const char*>(data), size}, "fuzz.toml");
  if (!config) {
    // One line for a terminal, whatever stood in the file.
    for (const char c : config.error().message())
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) std::abort();
    return 0;
  }
  if (config->poll.interval < 10 * kMillisecond || config->poll.interval > 3600 * kSecond) std::abort();
  if (config->poll.slow < config->poll.interval || config->poll.rare < config->poll.interval) std::abort();
  if (config->smoothing.ema.size() > 8 || config->store.memory < 256 * 1024) std::abort();
  return 0;
}
