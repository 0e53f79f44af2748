// The text of any /proc/PID/fdinfo: what a kernel, or whoever stands in for it, may say of a DRM client.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "collectors/drm_clients.h"

using namespace accelmon;

namespace {

template <class T>
void check_names(std::span<const T> list) {
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i].name.empty()) std::abort();
    for (size_t k = 0; k < i; ++k)
      if (list[k].name == list[i].name.view()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static DrmFdinfo first, second;  // kept, as a scan keeps it
  if (parse_drm_fdinfo(text, first) && first.driver.empty()) std::abort();
  if (first.engine_count > kMostDrmEngines || first.region_count > kMostDrmRegions) std::abort();
  check_names(std::as_const(first).all_engines());
  check_names(first.all_regions());
  for (DrmEngine& engine : first.all_engines()) {
    if (engine.capacity == 0) std::abort();
    engine.ns_before = engine.cycles_before = engine.total_cycles_before = 0;
    const auto share = engine.share(kSecond);
    if (share && !(*share >= 0 && *share <= 1)) std::abort();
  }
  // Nothing stays from the text before.
  (void)parse_drm_fdinfo(text, second);
  if (first.client_id != second.client_id || first.engine_count != second.engine_count ||
      first.region_count != second.region_count)
    std::abort();
  return 0;
}
