// What a scenario says: the machine that the simulated library shows, as pure functions of scenario time.
//
// Built by parse_scenario() from a TOML file and never changed afterwards, so any number of threads may read it.
// Units inside are base units (bytes, bytes/s, watts, degrees Celsius, percent for shares); the library converts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "amd_device.h"
#include "calls.h"
#include "intel_device.h"
#include "wave.h"
#include "ze_calls.h"

namespace accelmon::simulator {

inline constexpr size_t kDevicesMost = 64;
inline constexpr size_t kMigMost = 14;
inline constexpr size_t kNvlinksMost = 36;
inline constexpr double kForever = 1e18;

// Shares (percent) of what the GPU performance monitors see.
struct Activity {
  Wave graphics, sm, occupancy, tensor, dram, integer, fp64, fp32, fp16;
};

struct MigInstance {
  std::string uuid;
  std::string profile;  // "3g.40gb"
  unsigned gpu_instance = 0;
  unsigned compute_instance = 0;
  unsigned gpu_slices = 0;
  unsigned compute_slices = 0;
  unsigned multiprocessors = 0;
  unsigned copy_engines = 0;
  unsigned decoders = 0;
  unsigned encoders = 0;
  unsigned jpeg_engines = 0;
  unsigned ofa_engines = 0;
  uint64_t memory_total = 0;
  uint64_t bar1_total = 0;
  Wave memory_base;  // used by nobody's process
  std::optional<Activity> activity;
};

struct Throttle {
  uint64_t reason = 0;     // the bit of the clocks-event reasons
  Wave active;             // 0 or 1
  double clock_share = 1;  // of the maximum, while it is active
};

struct Device {
  std::string name, uuid, vbios;
  std::optional<std::string> serial, board_part;
  unsigned architecture = 0;
  int brand = 0;
  int compute_major = 0, compute_minor = 0;
  unsigned cores = 0;
  unsigned pci_domain = 0, pci_bus = 0, pci_slot = 0;
  unsigned pci_device_id = 0, pci_subsystem_id = 0;
  bool persistence = true;
  bool display = false;

  uint64_t memory_total = 0, memory_reserved = 0;
  Wave memory_base;                          // used by nobody's process: contexts, the driver
  std::optional<Wave> memory_used;           // in place of memory_base and the processes
  bool memory_v2_includes_reserved = false;  // whether `used` of nvmlMemory_v2_t counts what is reserved
  uint64_t bar1_total = 0;
  Wave bar1_used;

  Wave gpu, memory, encoder, decoder;  // utilization, percent
  std::optional<Wave> jpeg, ofa;
  unsigned sample_period_us = 166666;

  std::optional<Activity> activity;  // GPM, on boards that have it

  Wave power;
  bool power_average_only = false;   // field 186 (instant) unknown
  bool power_usage_instant = false;  // nvmlDeviceGetPowerUsage has no average (GA100)
  std::optional<Wave> memory_power;  // scope memory of field 185
  double power_limit = 0, power_default = 0, power_min = 0, power_max = 0, power_requested = 0;
  std::optional<double> energy_base;  // joules at time 0; none: the board has no energy meter

  double ambient = 0, kelvin_per_watt = 0, lag = 1;
  std::optional<Wave> temperature;  // in place of the lagged power
  std::optional<double> memory_temperature_offset, memory_kelvin_per_watt;
  std::optional<int> shutdown, slowdown, gpu_max, memory_max;  // absolute thresholds
  std::optional<int> tlimit_shutdown, tlimit_slowdown, tlimit_memory_max, tlimit_gpu_max;
  std::optional<double> margin_zero;  // temperature at which the T.Limit margin is 0

  double clock_max[4] = {};  // MHz: graphics, sm, memory, video
  double clock_idle[4] = {};
  double clock_busy[4] = {};
  int pstate_idle = 0, pstate_busy = 0;
  uint64_t reasons_supported = 0x1ff;
  std::vector<Throttle> throttles;

  unsigned fans = 0;
  Wave fan_percent;
  double fan_max_rpm = 0;  // 0: no speed in rpm

  unsigned pcie_gen_max = 0, pcie_gen_idle = 0, pcie_gen_busy = 0, pcie_width_max = 0, pcie_width = 0;
  Wave pcie_tx, pcie_rx;
  Wave pcie_replays;
  bool pcie_counters = false;  // fields 197 and 198
  unsigned pcie_counter_bits = 64;
  double pcie_throughput_ms = 20;  // how long nvmlDeviceGetPcieThroughput measures

  unsigned nvlinks = 0;
  uint64_t nvlinks_down = 0;  // bit per link
  unsigned nvlink_version = 0, nvlink_mbps = 0;
  Wave nvlink_tx, nvlink_rx;  // of all links together
  Wave nvlink_replays, nvlink_recoveries, nvlink_crc;

  std::optional<bool> ecc;  // none: the board has no ECC
  Wave ecc_sram_corrected, ecc_sram_uncorrected, ecc_dram_corrected, ecc_dram_uncorrected;
  double ecc_aggregate_corrected = 0, ecc_aggregate_uncorrected = 0;  // from before time 0

  bool remapped_rows = false;
  Wave rows_corrected, rows_uncorrected, rows_pending, rows_failure;
  unsigned row_histogram[5] = {};
  bool retired_pages = false;
  Wave pages_single, pages_double, pages_pending;
  std::optional<Wave> recovery_action;  // field 230

  struct Fabric {
    unsigned char state = 0;
    int status = 0;
    unsigned clique = 0;
    unsigned char cluster[16] = {};
    unsigned health = 0;
  };
  std::optional<Fabric> fabric;

  std::optional<bool> mig;  // none: the board cannot be partitioned
  unsigned mig_most = 0;
  std::vector<MigInstance> instances;

  CallSet unsupported;  // answer NVML_ERROR_NOT_SUPPORTED
  std::vector<unsigned> unsupported_fields;

  bool busy(double t) const { return gpu.value(t) >= 0.5; }
  double temperature_at(double t) const;
  std::optional<double> memory_temperature_at(double t) const;
  uint64_t reasons_at(double t) const;
  double clock_at(int domain, double t) const;  // MHz
  // Joules since the driver was loaded at `since`; at 0 it had counted to energy_base already.
  double energy(double since, double t) const {
    return power.integral(t) - power.integral(since) + (since > 0 ? 0 : energy_base.value_or(0));
  }
  double average_power(double t) const { return power.mean(t - 1, t); }
  // Nanoseconds of [since, t] for which a reason of `mask` was active.
  uint64_t throttled_ns(uint64_t mask, double since, double t) const;
  bool mig_enabled() const { return mig.value_or(false); }
};

struct Process {
  enum class Kind : uint8_t { compute, graphics, mps };
  unsigned pid = 0;  // 0: the process that has loaded the library
  std::string name;
  unsigned device = 0;
  int instance = -1;  // index into Device::instances
  Kind kind = Kind::compute;
  double from = 0, until = kForever;
  Wave memory;
  Wave sm, memory_share, encoder, decoder;
  bool alive(double t) const { return t >= from && t < until; }
};

enum class Vendor : uint8_t { nvidia, intel, amd };

struct Fault {
  enum class Kind : uint8_t {
    error,            // the call answers `code`
    hang,             // the call does not return while the fault lasts
    slow,             // the call takes `milliseconds` longer
    crash,            // the process aborts
    garbage,          // numbers that cannot be
    sentinel,         // what stands for no number: all ones, -1
    lost,             // the device answers GPU_IS_LOST, and is still counted
    gone,             // the same, and it is no longer counted
    driver_unloaded,  // initialization answers DRIVER_NOT_LOADED, everything else UNINITIALIZED
    frozen,           // readings stand still
    backwards,        // time runs backwards: so do counters
    memory,           // the call takes memory, 16 MiB of it, and keeps it
    xid,              // an event, once at the start of each occurrence
  };
  Kind kind = Kind::error;
  Vendor vendor = Vendor::nvidia;  // whose devices `device` counts
  std::string file;                // glob on the end of a path of the kernel's; empty: not about one file
  CallSet calls;
  ZeCallSet ze_calls;  // of the Level Zero driver
  bool any_call = true;
  std::optional<unsigned> device;
  std::optional<unsigned> field;
  int code = 999;
  uint32_t ze_code = 0x7ffffffe;  // ze_result_t that a Level Zero call answers
  int error_number = 5;           // what a file of the kernel answers under `error`: an errno, EIO unless it is named
  double milliseconds = 0;
  unsigned xid = 0;
  double from = 0, until = kForever;
  double every = 0;     // 0: one occurrence, from `from` until `until`
  double duration = 1;  // of each occurrence where there are many
  double probability = 1;
  uint64_t seed = 0;
  size_t ordinal = 0;  // place in the file: tells draws of two faults apart

  // Whether it strikes this time: `probability` of the calls, the same ones each time that a scenario runs. `draws`
  // counts those of this call.
  template <class Call, class Counter>
  bool drawn(Call call, std::optional<unsigned> on_device, Counter& draws) const {
    if (probability >= 1) return true;
    const uint64_t draw = draws++;
    const uint64_t place = uint64_t{ordinal} << 16 | static_cast<uint64_t>(call) << 8 | on_device.value_or(0xff);
    return mix_unit(mix(seed ^ mix(place)) + draw) < probability;
  }

  // When the occurrence that lasts at t began; nothing while none does.
  std::optional<double> occurrence(double t) const;
  // The first beginning of an occurrence after t (or at it).
  std::optional<double> next_occurrence(double t) const;
  // When the last occurrence that is over at t ended; nothing where none is.
  std::optional<double> last_end(double t) const;
  // Whether NVML knows of it at all.
  bool of_nvml() const { return vendor == Vendor::nvidia && file.empty(); }
  // Whether it is about this call on this device (nothing: a call about no device) and this field (same).
  bool matches(Call call, std::optional<unsigned> on_device, std::optional<unsigned> on_field) const;
};

struct Scenario {
  std::string name, description;
  std::string driver_version, nvml_version;
  int cuda_version = 0;  // 1000 * major + 10 * minor
  CallSet missing;       // answer NVML_ERROR_FUNCTION_NOT_FOUND
  unsigned process_v3_stride = 24;
  std::vector<Device> devices;
  std::vector<IntelDevice> intel;
  std::vector<AmdDevice> amd;
  std::vector<Process> processes;
  std::vector<Fault> faults;

  bool unloaded(double t, Vendor vendor = Vendor::nvidia) const;
  // When the driver that runs at t was loaded: 0, or the end of the last driver_unloaded before t.
  double loaded_at(double t, Vendor vendor = Vendor::nvidia) const;
  size_t devices_of(Vendor vendor) const;
  bool gone(unsigned device, double t) const;
  // Memory in use, without what is reserved; never more than there is.
  uint64_t memory_used(unsigned device, double t) const;
  uint64_t memory_used(unsigned device, unsigned instance, double t) const;
};

struct ParseOutcome {
  std::optional<Scenario> scenario;
  std::string error;  // "line 12: ..."; empty where there is a scenario
};

// `now`: scenario time at which the text was read; an Xid without `from` happens then.
ParseOutcome parse_scenario(std::string_view text, double now = 0);

}  // namespace accelmon::simulator
