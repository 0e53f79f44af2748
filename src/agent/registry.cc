// The table of collectors. A new collector is a folder under src/collectors and one line here. Of two that read the
// same thing the earlier is believed (arbiter.h).
#include "agent/registry.h"

#include "collectors/amdgpu/amdgpu_collector.h"
#include "collectors/host/host_collector.h"
#include "collectors/intel_kernel/intel_kernel_collector.h"
#include "collectors/kernel_log/kernel_log_collector.h"
#include "collectors/level_zero/ze_collector.h"
#include "collectors/nvidia_smi/nvidia_smi_collector.h"
#include "collectors/nvml/nvml_collector.h"
#include "collectors/presence/presence_collector.h"
#include "collectors/sensors/sensors_collector.h"

namespace accelmon {
namespace {

constexpr CollectorEntry kCollectors[] = {
    {"host", "host", "CPU, memory, disks and network of the host, from /proc and /sys", make_host_collector},
    {"sensors", "host", "Temperatures, fans, voltages and power of the host, from hwmon, thermal zones and RAPL",
     make_sensors_collector},
    {"nvml", "nvidia", "NVIDIA GPUs through NVML (libnvidia-ml.so.1)", make_nvml_collector},
    {"nvidia_smi", "nvidia", "NVIDIA GPUs through the program nvidia-smi, where NVML cannot be loaded",
     make_nvidia_smi_collector},
    {"level_zero", "intel", "Intel GPUs through Level Zero Sysman (libze_loader.so.1)", make_level_zero_collector},
    {"intel_kernel", "intel", "Intel GPUs through the kernel's files and counters (drivers xe and i915)",
     make_intel_kernel_collector},
    {"amdgpu", "amd", "AMD GPUs through the kernel's files (drivers amdgpu and KFD)", make_amdgpu_collector},
    {"kernel_log", "host", "Errors of accelerators that the kernel's log tells of (Xids, resets, hardware errors)",
     make_kernel_log_collector, Shows::events, Tier::slow},
    {"presence", "pci", "Accelerators that the PCI bus shows, and why one may not be read", make_presence_collector,
     Shows::presence, Tier::slow},
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
