// The table of collectors. A new collector is a folder under src/collectors and one line here. Of two that read the
// same thing the earlier is believed (arbiter.h).
#include "agent/registry.h"

#include "collectors/host/host_collector.h"
#include "collectors/nvml/nvml_collector.h"
#include "collectors/sensors/sensors_collector.h"

namespace accelmon {
namespace {

constexpr CollectorEntry kCollectors[] = {
    {"host", "host", "CPU, memory, disks and network of the host, from /proc and /sys", make_host_collector},
    {"sensors", "host", "Temperatures, fans, voltages and power of the host, from hwmon, thermal zones and RAPL",
     make_sensors_collector},
    {"nvml", "nvidia", "NVIDIA GPUs through NVML (libnvidia-ml.so.1)", make_nvml_collector},
};

}  // namespace

std::span<const CollectorEntry> collector_table() {
  return kCollectors;
}

const CollectorEntry* find_collector(std::string_view name) {
  for (const CollectorEntry& entry : kCollectors)
    if (entry.name == name) return &entry;
  return nullptr;
}

std::vector<KnownCollector> known_collectors() {
  std::vector<KnownCollector> known;
  for (const CollectorEntry& entry : kCollectors) known.push_back({entry.name, entry.vendor, entry.brief});
  return known;
}

}  // namespace accelmon
