// Any bytes as AMD's gpu_metrics, and as the texts beside it: a refusal or numbers, never a read beyond the end.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "collectors/amdgpu/amdgpu_files.h"
#include "collectors/amdgpu/gpu_metrics.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace accelmon::amdgpu;
  static GpuMetrics metrics;
  const std::span<const uint8_t> bytes(data, size);
  const accelmon::Code code = decode(std::as_bytes(bytes), metrics);
  size_t known = 0;
  for (size_t gauge = 0; gauge < kGauges; ++gauge) {
    for (size_t i = 0; i < instances(static_cast<Gauge>(gauge)); ++i) {
      const auto value = metrics.get(static_cast<Gauge>(gauge), i);
      if (value && !std::isfinite(*value)) std::abort();
      known += value ? 1 : 0;
    }
  }
  if (code != accelmon::Code::ok && known != 0) std::abort();

  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)parse_number(text);
  (void)find_property(text, "location_id");
  if (const auto level = parse_highest_level(text); level && !(*level >= 0)) std::abort();
  if (const auto speed = parse_link_speed(text); speed && (*speed < 1 || *speed > 7)) std::abort();
  const RasCounts ras = parse_ras(text);
  if (ras.corrected && *ras.corrected < 0) std::abort();
  if (const auto pages = parse_bad_pages(text);
      pages && pages->retired + pages->pending + pages->failed > static_cast<double>(size))
    std::abort();
  return 0;
}
