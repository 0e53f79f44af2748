// An Intel GPU of a scenario, as both its faces show it: Level Zero Sysman and the kernel's files.
//
// Built from [[intel]] by parse_scenario() and never changed afterwards; everything is a function of scenario time.
// Units are base units (bytes, bytes/s, watts, joules, degrees Celsius, percent for shares), frequencies MHz as both
// faces have them; the faces convert.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reader.h"
#include "wave.h"

namespace accelmon::simulator {

inline constexpr size_t kIntelTilesMost = 8;
inline constexpr unsigned kIntelEveryDriver = 2;
inline constexpr unsigned kIntelEnginesMost = 16;  // of one class on one tile

enum class IntelDriver : uint8_t { xe, i915 };

// The values are the kernel's engine classes.
enum class IntelClass : uint8_t { render = 0, copy = 1, video_decode = 2, video_enhance = 3, compute = 4 };
inline constexpr size_t kIntelClasses = 5;

struct IntelEngine {
  IntelClass kind = IntelClass::compute;
  unsigned instance = 0;  // among those of its class on its GT
  unsigned gt = 0;        // number of the GT in the whole device, as in the xe PMU's gt field and gtN folders
  Wave busy;              // percent

  double active_seconds(double since, double t) const { return (busy.integral(t) - busy.integral(since)) / 100; }
};

// One clock domain of one GT.
struct IntelFrequency {
  enum class Domain : uint8_t { gpu, memory, media };
  Domain domain = Domain::gpu;
  unsigned gt = 0;
  double rp0 = 0, rpe = 0, rpn = 0;  // what the hardware can: highest, efficient, lowest
  double minimum = 0, maximum = 0;   // what software allows
  double idle = 0, busy = 0;         // what it runs at
  std::optional<double> voltage;     // volts, while busy
  bool follows_throttling = true;    // lowered by what throttles the device
};

// A reason for which clocks are held down: a bit of zes_freq_throttle_reason_flags_t; its file in throttle/ beside it.
struct IntelThrottle {
  std::string_view name;  // "power_average", ...: as the scenario has it
  std::string_view file;  // "reason_pl1", ...; empty: the kernel has none
  uint32_t bit = 0;
  Wave active;             // 0 or 1
  double clock_share = 1;  // of rp0, while it is active
};

struct IntelRas {
  bool corrected = true;
  unsigned category = 0;  // ZES_RAS_ERROR_CAT_*
  Wave count;
};

struct IntelFabricPort {
  unsigned fabric_id = 0, attach_id = 0, port = 0;  // zes_fabric_port_id_t
  unsigned remote_fabric_id = 0, remote_attach_id = 0, remote_port = 0;
  double bits_per_second = 0;  // of one lane
  unsigned lanes = 0;
  Wave status;             // zes_fabric_port_status_t: 0 unknown, 1 healthy, 2 degraded, 3 failed, 4 disabled
  Wave receive, transmit;  // bytes/s
};

struct IntelTile {
  std::vector<IntelEngine> engines;
  std::vector<IntelFrequency> frequencies;
  uint64_t memory_total = 0;
  Wave memory_base;                 // used by nobody's process: firmware, page tables
  std::optional<Wave> memory_used;  // in place of memory_base and the processes
  Wave memory_health;               // zes_mem_health_t: 0 unknown, 1 ok, 2 degraded, 3 critical, 4 replace
  Wave memory_read, memory_write;   // bytes/s
  std::optional<Wave> gpu_temperature, memory_temperature;
  std::optional<double> gpu_temperature_most, memory_temperature_most;  // what the driver tells as the limit
  std::optional<Wave> power;                                            // of the tile alone
  std::vector<IntelRas> ras;
  std::vector<IntelFabricPort> ports;
};

struct IntelProcess {
  unsigned pid = 0;
  std::string name;
  unsigned tile = 0;
  double from = 0, until = 1e18;
  Wave memory, shared;       // bytes of device memory, and those of them that others share
  Wave busy[kIntelClasses];  // percent of one engine of each class
  bool alive(double t) const { return t >= from && t < until; }
};

struct IntelDevice {
  std::string name, serial;
  unsigned pci_domain = 0, pci_bus = 0, pci_slot = 0;
  unsigned pci_device_id = 0, pci_subsystem_id = 0;
  int numa_node = -1;
  IntelDriver driver = IntelDriver::xe;
  std::string driver_version;  // of the Level Zero driver
  bool integrated = false;     // shares the host's memory: has none of its own

  enum class MemoryKind : uint8_t { hbm, gddr6, ddr };
  MemoryKind memory_kind = MemoryKind::gddr6;
  unsigned memory_bus_width = 0, memory_channels = 0;
  double memory_bandwidth = 0;  // bytes/s of one tile; 0: unknown

  Wave gpu;  // what { of = "gpu" } means
  std::vector<IntelTile> tiles;

  Wave power;  // of the card
  std::optional<Wave> package_power;
  std::optional<double> energy_base;  // joules at time 0; none: no energy counter
  double energy_modulus = 0;          // joules after which Sysman's counter begins again at 0; 0: never
  double energy_resolution = 0;       // joules that it counts in; 0: microjoules
  std::optional<Wave> energy_glitch;  // 1 while Sysman's counter reads near 0 without having wrapped
  std::optional<double> limit_sustained, limit_burst, limit_peak, limit_rated;  // watts: PL1, PL2, critical, TDP
  std::optional<Wave> voltage;                                                  // volts, of the package

  std::vector<IntelThrottle> throttles;
  bool throttle_time = false;  // zesFrequencyGetThrottleTime works

  unsigned fans = 0;
  Wave fan_rpm;
  double fan_max_rpm = 0;

  unsigned pcie_gen_max = 0, pcie_gen = 0, pcie_width_max = 0, pcie_width = 0;
  bool pcie_counters = false;  // bytes
  bool pcie_replay_counter = false;
  Wave pcie_rx, pcie_tx, pcie_replays;

  std::optional<bool> ecc;  // none: it has no such switch
  Wave wedged;              // 1: zesDeviceGetState says that it must be reset

  std::vector<IntelProcess> processes;

  // What this process may. Sysman: engines need root; telemetry (temperature, bandwidth, PCIe bytes) needs root;
  // memory in use reads 0 without perfmon; processes of others need ptrace. Kernel: the PMU and the memory query need
  // perfmon, fdinfo of others ptrace.
  struct Permissions {
    bool root = true, perfmon = true, ptrace = true;
  };
  Permissions may;

  bool frozen_engines = false;           // Sysman's engine timestamps do not move
  bool group_engines = false;            // Sysman shows COMPUTE_ALL and so on beside the single engines
  bool legacy_only = false;              // the Level Zero driver has no zesInit
  unsigned level_zero_driver = 0;        // by which of two Level Zero drivers it is shown, or kIntelEveryDriver
  std::vector<std::string> unsupported;  // Level Zero calls that answer UNSUPPORTED_FEATURE; a prefix ends in '*'

  // "0000:4d:00.0"
  std::string pci_address() const;
  bool busy(double t) const { return gpu.value(t) >= 0.5; }
  uint64_t memory_used(unsigned tile, double t) const;
  uint32_t throttle_reasons(double t) const;
  double frequency(const IntelFrequency& domain, double t) const;
  // Joules that the card used since `since`; at time 0 it had counted to energy_base.
  double energy(double since, double t) const;
  double package_energy(double since, double t) const;
  double tile_energy(unsigned tile, double since, double t) const;
  // Seconds of [since, t] for which something held the clocks down.
  double throttled_seconds(double since, double t) const;
};

// One device from its own table and the templates in the reader's chain: the `index`th of the scenario's Intel devices,
// the `copy`th of those that share the table.
IntelDevice read_intel_device(Reader& reader, unsigned index, unsigned copy, double phase, FirstError& error);

}  // namespace accelmon::simulator
