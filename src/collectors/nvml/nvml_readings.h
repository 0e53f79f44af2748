// Single calls of NVML as rows of numbers in the metric table's units.
//
// A Read makes one vendor call (or, where one number needs two, both) on one device and fills a fixed row of readings.
// The same functions serve discovery, which asks once what a device can tell, and polling.
// Threads: the collector's. Cost: the call's.
#pragma once

#include <cstddef>

#include "collectors/nvml/nvml_abi.h"
#include "collectors/nvml/nvml_library.h"

namespace accelmon::nvml {

struct Reading {
  int code = kUnknownError;  // nvmlReturn_t: the value counts only where it is kSuccess
  double value = 0;
};

struct Target {
  Library& nvml;
  DeviceHandle device;
  int argument = 0;  // the clock domain, the fan, ...
};

inline constexpr size_t kMostReadings = 9;
using Read = void (*)(const Target& target, Reading* row);

// Row: gpu, memory controller.
void read_utilization(const Target& target, Reading* row);
void read_encoder(const Target& target, Reading* row);
void read_decoder(const Target& target, Reading* row);
void read_jpeg(const Target& target, Reading* row);
void read_ofa(const Target& target, Reading* row);

// Row: total, used, free, share that is not free, reserved (which the older call lacks).
void read_memory(const Target& target, Reading* row);
void read_memory_old(const Target& target, Reading* row);
// Row: used, total.
void read_bar1(const Target& target, Reading* row);

// Row: temperature, margin. The argument is the temperature at which the device slows down; 0: there is no margin.
void read_temperature(const Target& target, Reading* row);
void read_temperature_old(const Target& target, Reading* row);
void read_margin(const Target& target, Reading* row);
// The argument is the TemperatureThreshold.
void read_threshold(const Target& target, Reading* row);

void read_power(const Target& target, Reading* row);
void read_power_limit_enforced(const Target& target, Reading* row);
void read_power_limit_requested(const Target& target, Reading* row);
void read_power_limit_default(const Target& target, Reading* row);
// Row: minimum, maximum.
void read_power_limit_bounds(const Target& target, Reading* row);
void read_energy(const Target& target, Reading* row);

// The argument is the ClockDomain.
void read_clock(const Target& target, Reading* row);
void read_clock_limit(const Target& target, Reading* row);
void read_performance_state(const Target& target, Reading* row);

// Row: 0 or 1 for each of kReasons.
void read_reasons(const Target& target, Reading* row);
void read_reasons_old(const Target& target, Reading* row);
struct Reason {
  U64 bit;
  const char* name;  // as the attribute `reason` has it
};
inline constexpr Reason kReasons[] = {
    {kReasonIdle, "idle"},
    {kReasonApplicationClocks, "application_clocks"},
    {kReasonPowerCap, "power_cap"},
    {kReasonHardwareSlowdown, "hardware_slowdown"},
    {kReasonSyncBoost, "sync_boost"},
    {kReasonThermalSoftware, "thermal_software"},
    {kReasonThermalHardware, "thermal_hardware"},
    {kReasonPowerBrake, "power_brake"},
    {kReasonDisplay, "display"},
};
inline constexpr size_t kReasonCount = sizeof(kReasons) / sizeof(kReasons[0]);
static_assert(kReasonCount <= kMostReadings);
void decode_reasons(int code, U64 mask, Reading* row);

// The argument is the fan's number.
void read_fan_ratio(const Target& target, Reading* row);
void read_fan_ratio_old(const Target& target, Reading* row);  // of the first fan
void read_fan_rpm(const Target& target, Reading* row);

// Row: enabled now, enabled after the next reset.
void read_ecc_mode(const Target& target, Reading* row);
void read_mig_mode(const Target& target, Reading* row);
// The argument is ecc_argument().
constexpr int ecc_argument(int error, int counter, int location = 0) {
  return error | counter << 4 | location << 8;
}
void read_ecc_errors(const Target& target, Reading* row);        // at one location
void read_ecc_errors_total(const Target& target, Reading* row);  // everywhere
// Row: remapped after corrected errors, after uncorrected ones, pending (0 or 1), failed (0 or 1).
void read_remapped_rows(const Target& target, Reading* row);

void read_pcie_generation(const Target& target, Reading* row);
void read_pcie_generation_limit(const Target& target, Reading* row);
void read_pcie_width(const Target& target, Reading* row);
void read_pcie_width_limit(const Target& target, Reading* row);
void read_pcie_replays(const Target& target, Reading* row);
// The argument is the link's number.
void read_nvlink_state(const Target& target, Reading* row);
void read_nvlink_states(const Target& target, Reading* row);

}  // namespace accelmon::nvml
