// An AMD GPU of a scenario, as the amdgpu and KFD drivers show it in the kernel's files.
//
// Built from [[amd]] by parse_scenario() and never changed afterwards; everything is a function of scenario time.
// Units are base units (bytes, bytes/s, watts, joules, degrees Celsius, percent for shares), frequencies MHz.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reader.h"
#include "wave.h"

namespace accelmon::simulator {

inline constexpr unsigned kAmdPartitionsMost = 8;
inline constexpr unsigned kAmdXgmiMost = 8;

enum class AmdReason : uint8_t { power, current, thermal, voltage, prochot, other };
inline constexpr size_t kAmdReasons = 6;

struct AmdThrottle {
  AmdReason reason = AmdReason::power;
  Wave active;             // 0 or 1
  double clock_share = 1;  // of the maximum, while it is active
};

struct AmdRas {
  std::string block;  // as the driver names it: umc, gfx, sdma, ...
  Wave corrected, uncorrected;
  std::optional<Wave> deferred;
};

// One clock domain: what it runs at, and the levels of its pp_dpm file.
struct AmdClock {
  double idle = 0, busy = 0, maximum = 0;
};

struct AmdSensor {
  Wave value;
  std::optional<double> critical, emergency;
};

struct AmdProcess {
  unsigned pid = 0;
  std::string name;
  unsigned partition = 0;
  bool rocm = true;  // through KFD; else through DRM (Vulkan, VA-API), with engines and memory in fdinfo
  double from = 0, until = 1e18;
  Wave memory;               // bytes of device memory
  Wave gtt;                  // bytes of host memory, DRM only
  Wave occupancy;            // ROCm: percent of the partition's compute units
  Wave gfx, compute, media;  // DRM: percent of one engine
  bool alive(double t) const { return t >= from && t < until; }
};

struct AmdDevice {
  std::string name;  // product_name
  std::string serial, product_number, vbios, driver_version;
  uint64_t unique_id = 0;  // 0: the driver shows none
  unsigned pci_domain = 0, pci_bus = 0, pci_slot = 0;
  unsigned pci_device_id = 0, pci_subsystem_id = 0, pci_revision = 0;
  int numa_node = -1;
  unsigned pcie_gen_max = 0, pcie_gen = 0, pcie_width_max = 0, pcie_width = 0;
  std::optional<Wave> pcie_replays, pcie_naks_sent, pcie_naks_received;
  bool display = false;
  bool integrated = false;    // an APU
  unsigned gfx_version = 0;   // KFD's gfx_target_version: 90402, 110000
  unsigned compute_dies = 1;  // XCCs
  unsigned compute_units = 0;

  std::string metrics;  // revision of gpu_metrics, "1.3"; empty: the file answers EOPNOTSUPP

  double memory_bandwidth = 0;  // bytes/s; 0: not told
  uint64_t memory_total = 0, memory_visible = 0, gtt_total = 0;
  std::string memory_vendor;
  Wave memory_base;                 // used by nobody's process
  std::optional<Wave> memory_used;  // in place of memory_base and the processes
  Wave gtt_used;

  Wave gpu, memory;  // utilization, percent: graphics and compute engine, memory controller
  std::optional<Wave> vcn, jpeg;

  Wave power;
  bool power_average = true;  // hwmon has power1_average; else power1_input
  std::optional<double> power_cap, power_default, power_min, power_max;
  std::optional<double> energy_base;  // joules at time 0; none: no energy meter

  std::optional<AmdSensor> edge, junction, memory_sensor;
  std::optional<Wave> vr_soc, vr_gfx, vr_memory;
  AmdClock graphics, memory_clock, soc, video;
  std::optional<double> voltage_gfx, voltage_soc, voltage_memory;  // volts

  unsigned fans = 0;
  Wave fan_percent;
  double fan_max_rpm = 0;

  std::vector<AmdThrottle> throttles;
  std::vector<AmdRas> ras;
  std::optional<Wave> bad_pages;

  unsigned xgmi_links = 0;
  unsigned xgmi_down = 0;  // bit per link
  double xgmi_width = 0, xgmi_speed = 0;
  Wave xgmi_read, xgmi_write;                  // bytes/s of one link
  Wave pcie_bandwidth;                         // what the SMU says of it
  std::string compute_partition, memory_mode;  // "SPX", "NPS1"; empty: it cannot be partitioned
  unsigned partitions = 1;

  Wave asleep;                           // 1: suspended, and what is read of the device answers EPERM
  std::vector<std::string> unsupported;  // globs on the end of a file's path: EOPNOTSUPP

  std::vector<AmdProcess> processes;

  std::string pci_address() const;  // "0000:c1:00.0"
  bool busy(double t) const { return gpu.value(t) >= 0.5; }
  uint64_t memory_used_at(double t) const;
  double clock_at(const AmdClock& clock, double t) const;  // MHz; throttling holds the graphics clock down
  bool active(AmdReason reason, double t) const;
  // Seconds of [since, t] for which `reason` held the clocks down.
  double throttled_seconds(AmdReason reason, double since, double t) const;
  double energy(double since, double t) const;
  // Share of the device's graphics activity that partition `index` has, percent of that partition.
  double partition_activity(unsigned index, double t) const;
};

// One device from its own table and the templates in the reader's chain: the `index`th of the scenario's AMD devices,
// the `copy`th of those that share the table.
AmdDevice read_amd_device(Reader& reader, unsigned index, unsigned copy, double phase, FirstError& error);

}  // namespace accelmon::simulator
