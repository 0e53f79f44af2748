// Decoder of amdgpu's binary file gpu_metrics, exact by revision and size.
//
// The driver describes a device in one structure; which one, its header says. Later revisions of the family 1.4 to 1.8
// do not append, they move fields, so a blob whose size is not that of its revision is refused whole: a number read at
// a wrong place looks like a number. Fields that the firmware does not fill are all ones of their width.
// Threads: pure functions and values. Cost: 0.2 to 2 us; no allocation.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/status.h"

namespace accelmon::amdgpu {

inline constexpr size_t kPartitionsMost = 8;
inline constexpr size_t kDiesMost = 8;
inline constexpr size_t kJpegMost = 40;
// Large enough for every fixed revision; 1.9 says its own size in 16 bits.
inline constexpr size_t kGpuMetricsMost = 65536;

// Quantities, in base units (degrees Celsius, watts, joules, hertz, volts, ratios), and how many of each there may be.
enum class Gauge : uint8_t {
  temperature_edge,
  temperature_hotspot,
  temperature_memory,
  temperature_vr_graphics,
  temperature_vr_soc,
  temperature_vr_memory,
  temperature_hbm,   // 4
  temperature_soc,   // of an APU
  temperature_skin,  // of an APU
  activity_graphics,
  activity_memory,
  activity_media,
  activity_vcn,     // 4
  activity_jpeg,    // 40
  activity_die,     // 8, of each compute die (1.9)
  bandwidth_limit,  // bytes/s, of device memory
  power_average,
  power_instant,
  energy,           // 1.0: wraps at 32 bits, see energy_modulus()
  time,             // seconds, the host's clock when the driver read the firmware
  firmware_time,    // seconds, the firmware's own clock when it made the table
  throttle_status,  // bits whose meaning depends on the chip
  throttlers,       // bits that mean the same on every chip: kThrottler*
  cycles,           // what the residencies below are counted in
  residency_prochot,
  residency_power,
  residency_socket_thermal,
  residency_vr_thermal,
  residency_hbm_thermal,
  clock_graphics,  // 8
  clock_soc,       // 4
  clock_memory,
  clock_video,   // 4
  clock_decode,  // 4
  fan_rpm,
  pcie_width,
  pcie_speed,  // transfers per second of a lane
  pcie_recoveries,
  pcie_replays,
  pcie_rollovers,
  pcie_naks_sent,
  pcie_naks_received,
  xgmi_width,
  xgmi_speed,  // bits per second of a lane
  xgmi_read,   // 8, bytes
  xgmi_write,  // 8, bytes
  xgmi_up,     // 8, 1 or 0
  voltage_soc,
  voltage_graphics,
  voltage_memory,
  partitions,
  partition_activity,  // 8 partitions of 8 dies each: index partition * 8 + die
  partition_vcn,       // 8 of 4
  partition_jpeg,      // 8 of 40
  // Counted in cycles, as the residencies: how long the clock of a die was below what the host allows.
  partition_held_power,    // 8 of 8, by the power cap (1.8)
  partition_held_thermal,  // 8 of 8, by heat (1.8)
  die_held_power,          // 8, of each compute die (1.9)
  die_held_thermal,        // 8
  last_ = die_held_thermal,
};
inline constexpr size_t kGauges = static_cast<size_t>(Gauge::last_) + 1;

constexpr size_t instances(Gauge gauge) {
  switch (gauge) {
    case Gauge::temperature_hbm:
    case Gauge::activity_vcn:
    case Gauge::clock_soc:
    case Gauge::clock_video:
    case Gauge::clock_decode:
      return 4;
    case Gauge::activity_die:
    case Gauge::die_held_power:
    case Gauge::die_held_thermal:
    case Gauge::clock_graphics:
    case Gauge::xgmi_read:
    case Gauge::xgmi_write:
    case Gauge::xgmi_up:
      return 8;
    case Gauge::activity_jpeg:
      return kJpegMost;
    case Gauge::partition_activity:
    case Gauge::partition_held_power:
    case Gauge::partition_held_thermal:
      return kPartitionsMost * kDiesMost;
    case Gauge::partition_vcn:
      return kPartitionsMost * 4;
    case Gauge::partition_jpeg:
      return kPartitionsMost * kJpegMost;
    default:
      return 1;
  }
}

namespace detail {
constexpr std::array<uint16_t, kGauges + 1> first_instances() {
  std::array<uint16_t, kGauges + 1> first{};
  for (size_t i = 0; i < kGauges; ++i)
    first[i + 1] = static_cast<uint16_t>(first[i] + instances(static_cast<Gauge>(i)));
  return first;
}
inline constexpr std::array<uint16_t, kGauges + 1> kFirst = first_instances();
}  // namespace detail

// Bits of Gauge::throttlers.
inline constexpr uint64_t kThrottlePower = 0xff;              // package power trackers
inline constexpr uint64_t kThrottleCurrent = 0xffull << 16;   // thermal and electrical design current
inline constexpr uint64_t kThrottleThermal = 0xfffull << 32;  // sensors on the chip, its memory, its regulators
inline constexpr uint64_t kThrottleHardware = 0xfull << 44;   // a regulator's or the board's signal (VRHOT, PROCHOT)
inline constexpr uint64_t kThrottleReliability = 1ull << 57;  // failures in time
inline constexpr uint64_t kThrottleKnown =
    kThrottlePower | kThrottleCurrent | kThrottleThermal | kThrottleHardware | kThrottleReliability;

class GpuMetrics {
 public:
  unsigned format = 0, content = 0;  // the revision

  std::optional<double> get(Gauge gauge, size_t instance = 0) const {
    const size_t at = place(gauge, instance);
    return known_[at] ? std::optional<double>(values_[at]) : std::nullopt;
  }
  std::optional<uint64_t> bits(Gauge gauge) const;  // throttle_status, throttlers: exact
  // Joules after which Gauge::energy begins again at 0.
  double energy_modulus() const;

  void clear();
  void set(Gauge gauge, size_t instance, double value) {
    const size_t at = place(gauge, instance);
    values_[at] = value;
    known_[at] = true;
  }
  void set_bits(Gauge gauge, uint64_t value);

 private:
  static constexpr size_t kPlaces = detail::kFirst[kGauges];
  static size_t place(Gauge gauge, size_t instance) {
    return detail::kFirst[static_cast<size_t>(gauge)] + (instance < instances(gauge) ? instance : 0);
  }
  std::array<double, kPlaces> values_{};
  std::bitset<kPlaces> known_;
  uint64_t throttle_status_ = 0, throttlers_ = 0;
};

// The revision of a blob, and the size that its header claims; nothing when it is too short to say.
struct GpuMetricsHeader {
  uint16_t size = 0;
  uint8_t format = 0, content = 0;
};
std::optional<GpuMetricsHeader> read_header(std::span<const std::byte> blob);

// Fills `out`. unsupported: a revision that we do not know; invalid: a size that does not belong to its revision, or
// attributes that reach beyond the end. `out` is then empty.
Code decode(std::span<const std::byte> blob, GpuMetrics& out);

// The size of a fixed revision; 0 for an unknown one and for 1.9.
size_t size_of_revision(unsigned format, unsigned content);

}  // namespace accelmon::amdgpu
