#include "collectors/nvml/nvml_readings.h"

namespace accelmon::nvml {
namespace {

constexpr double kPercent = 0.01;
constexpr double kMilli = 0.001;
constexpr double kMega = 1e6;

Reading scaled(int code, double value, double scale = 1) {
  return Reading{code, value * scale};
}

// "Not available" is all ones where NVML hands out 64-bit sizes and counts.
Reading counted(int code, U64 value, double scale = 1) {
  if (code == kSuccess && value == kNoValue64) return Reading{kNotSupported, 0};
  return Reading{code, static_cast<double>(value) * scale};
}

template <Symbol S>
void read_engine(const Target& target, Reading* row) {
  U32 percent = 0;
  U32 period = 0;
  const int code = target.nvml.call<S>(target.device, &percent, &period);
  row[0] = scaled(code, percent, kPercent);
}

template <Symbol S>
void read_u32(const Target& target, Reading* row, double scale = 1) {
  U32 value = 0;
  const int code = target.nvml.call<S>(target.device, &value);
  row[0] = scaled(code, value, scale);
}

void memory_row(int code, U64 total, U64 used, U64 free, Reading* row) {
  row[0] = counted(code, total);
  row[1] = counted(code, used);
  row[2] = counted(code, free);
  // What is used in the raw struct may or may not include what is reserved; that which is not free is certain.
  const bool sound = row[0].code == kSuccess && row[2].code == kSuccess && total > 0 && free <= total;
  row[3] = sound ? Reading{kSuccess, static_cast<double>(total - free) / static_cast<double>(total)}
                 : Reading{code == kSuccess ? kNoData : code, 0};
}

void temperature_row(int code, int celsius, int slowdown, Reading* row) {
  row[0] = scaled(code, celsius);
  row[1] = slowdown > 0 ? scaled(code, slowdown - celsius) : Reading{code == kSuccess ? kNotSupported : code, 0};
}

}  // namespace

void read_utilization(const Target& target, Reading* row) {
  Utilization rates{};
  const int code = target.nvml.call<Symbol::nvmlDeviceGetUtilizationRates>(target.device, &rates);
  row[0] = scaled(code, rates.gpu, kPercent);
  row[1] = scaled(code, rates.memory, kPercent);
}

void read_encoder(const Target& target, Reading* row) {
  read_engine<Symbol::nvmlDeviceGetEncoderUtilization>(target, row);
}
void read_decoder(const Target& target, Reading* row) {
  read_engine<Symbol::nvmlDeviceGetDecoderUtilization>(target, row);
}
void read_jpeg(const Target& target, Reading* row) {
  read_engine<Symbol::nvmlDeviceGetJpgUtilization>(target, row);
}
void read_ofa(const Target& target, Reading* row) {
  read_engine<Symbol::nvmlDeviceGetOfaUtilization>(target, row);
}

void read_memory(const Target& target, Reading* row) {
  MemoryV2 memory;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetMemoryInfo_v2>(target.device, &memory);
  memory_row(code, memory.total, memory.used, memory.free, row);
  row[4] = counted(code, memory.reserved);
}

void read_memory_old(const Target& target, Reading* row) {
  Memory memory{};
  const int code = target.nvml.call<Symbol::nvmlDeviceGetMemoryInfo>(target.device, &memory);
  memory_row(code, memory.total, memory.used, memory.free, row);
  row[4] = Reading{code == kSuccess ? kFunctionNotFound : code, 0};
}

void read_bar1(const Target& target, Reading* row) {
  Bar1Memory memory{};
  const int code = target.nvml.call<Symbol::nvmlDeviceGetBAR1MemoryInfo>(target.device, &memory);
  row[0] = counted(code, memory.used);
  row[1] = counted(code, memory.total);
}

void read_temperature(const Target& target, Reading* row) {
  Temperature temperature;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetTemperatureV>(target.device, &temperature);
  temperature_row(code, temperature.temperature, target.argument, row);
}

void read_temperature_old(const Target& target, Reading* row) {
  U32 celsius = 0;
  const int code =
      target.nvml.call<Symbol::nvmlDeviceGetTemperature>(target.device, static_cast<int>(kSensorGpu), &celsius);
  temperature_row(code, static_cast<int>(celsius), target.argument, row);
}

void read_margin(const Target& target, Reading* row) {
  MarginTemperature margin;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetMarginTemperature>(target.device, &margin);
  row[0] = scaled(code, margin.margin);
}

void read_threshold(const Target& target, Reading* row) {
  U32 celsius = 0;
  const int code =
      target.nvml.call<Symbol::nvmlDeviceGetTemperatureThreshold>(target.device, target.argument, &celsius);
  row[0] = scaled(code, static_cast<int>(celsius));
}

void read_power(const Target& target, Reading* row) {
  read_u32<Symbol::nvmlDeviceGetPowerUsage>(target, row, kMilli);
}
void read_power_limit_enforced(const Target& target, Reading* row) {
  read_u32<Symbol::nvmlDeviceGetEnforcedPowerLimit>(target, row, kMilli);
}
void read_power_limit_requested(const Target& target, Reading* row) {
  read_u32<Symbol::nvmlDeviceGetPowerManagementLimit>(target, row, kMilli);
}
void read_power_limit_default(const Target& target, Reading* row) {
  read_u32<Symbol::nvmlDeviceGetPowerManagementDefaultLimit>(target, row, kMilli);
}

void read_power_limit_bounds(const Target& target, Reading* row) {
  U32 least = 0;
  U32 most = 0;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetPowerManagementLimitConstraints>(target.device, &least, &most);
  row[0] = scaled(code, least, kMilli);
  row[1] = scaled(code, most, kMilli);
}

void read_energy(const Target& target, Reading* row) {
  U64 millijoules = 0;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetTotalEnergyConsumption>(target.device, &millijoules);
  row[0] = counted(code, millijoules, kMilli);
}

void read_clock(const Target& target, Reading* row) {
  U32 mhz = 0;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetClockInfo>(target.device, target.argument, &mhz);
  row[0] = scaled(code, mhz, kMega);
}

void read_clock_limit(const Target& target, Reading* row) {
  U32 mhz = 0;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetMaxClockInfo>(target.device, target.argument, &mhz);
  row[0] = scaled(code, mhz, kMega);
}

void read_performance_state(const Target& target, Reading* row) {
  int state = 0;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetPerformanceState>(target.device, &state);
  row[0] = code == kSuccess && state == kPerformanceStateUnknown ? Reading{kNoData, 0} : scaled(code, state);
}

void decode_reasons(int code, U64 mask, Reading* row) {
  for (size_t i = 0; i < kReasonCount; ++i) row[i] = scaled(code, (mask & kReasons[i].bit) != 0 ? 1 : 0);
}

void read_reasons(const Target& target, Reading* row) {
  U64 mask = 0;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetCurrentClocksEventReasons>(target.device, &mask);
  decode_reasons(code, mask, row);
}

void read_reasons_old(const Target& target, Reading* row) {
  U64 mask = 0;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetCurrentClocksThrottleReasons>(target.device, &mask);
  decode_reasons(code, mask, row);
}

void read_fan_ratio(const Target& target, Reading* row) {
  U32 percent = 0;
  const int code =
      target.nvml.call<Symbol::nvmlDeviceGetFanSpeed_v2>(target.device, static_cast<U32>(target.argument), &percent);
  row[0] = scaled(code, percent, kPercent);
}

void read_fan_ratio_old(const Target& target, Reading* row) {
  read_u32<Symbol::nvmlDeviceGetFanSpeed>(target, row, kPercent);
}

void read_fan_rpm(const Target& target, Reading* row) {
  FanSpeed fan;
  fan.fan = static_cast<U32>(target.argument);
  const int code = target.nvml.call<Symbol::nvmlDeviceGetFanSpeedRPM>(target.device, &fan);
  row[0] = scaled(code, fan.speed);
}

void read_ecc_mode(const Target& target, Reading* row) {
  int current = 0;
  int pending = 0;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetEccMode>(target.device, &current, &pending);
  row[0] = scaled(code, current != 0);
  row[1] = scaled(code, pending != 0);
}

void read_mig_mode(const Target& target, Reading* row) {
  U32 current = 0;
  U32 pending = 0;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetMigMode>(target.device, &current, &pending);
  row[0] = scaled(code, current != 0);
  row[1] = scaled(code, pending != 0);
}

void read_ecc_errors(const Target& target, Reading* row) {
  U64 count = 0;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetMemoryErrorCounter>(
      target.device, target.argument & 0xf, target.argument >> 4 & 0xf, target.argument >> 8, &count);
  row[0] = counted(code, count);
}

void read_ecc_errors_total(const Target& target, Reading* row) {
  U64 count = 0;
  const int code = target.nvml.call<Symbol::nvmlDeviceGetTotalEccErrors>(target.device, target.argument & 0xf,
                                                                         target.argument >> 4 & 0xf, &count);
  row[0] = counted(code, count);
}

void read_remapped_rows(const Target& target, Reading* row) {
  U32 corrected = 0;
  U32 uncorrected = 0;
  U32 pending = 0;
  U32 failed = 0;
  const int code =
      target.nvml.call<Symbol::nvmlDeviceGetRemappedRows>(target.device, &corrected, &uncorrected, &pending, &failed);
  row[0] = scaled(code, corrected);
  row[1] = scaled(code, uncorrected);
  row[2] = scaled(code, pending != 0);
  row[3] = scaled(code, failed != 0);
}

void read_pcie_generation(const Target& target, Reading* row) {
  read_u32<Symbol::nvmlDeviceGetCurrPcieLinkGeneration>(target, row);
}
void read_pcie_generation_limit(const Target& target, Reading* row) {
  read_u32<Symbol::nvmlDeviceGetMaxPcieLinkGeneration>(target, row);
}
void read_pcie_width(const Target& target, Reading* row) {
  read_u32<Symbol::nvmlDeviceGetCurrPcieLinkWidth>(target, row);
}
void read_pcie_width_limit(const Target& target, Reading* row) {
  read_u32<Symbol::nvmlDeviceGetMaxPcieLinkWidth>(target, row);
}
void read_pcie_replays(const Target& target, Reading* row) {
  read_u32<Symbol::nvmlDeviceGetPcieReplayCounter>(target, row);
}

void read_nvlink_state(const Target& target, Reading* row) {
  int active = 0;
  const int code =
      target.nvml.call<Symbol::nvmlDeviceGetNvLinkState>(target.device, static_cast<U32>(target.argument), &active);
  row[0] = scaled(code, active != 0);
}

// Whether all links are up; the argument is how many there are.
void read_nvlink_states(const Target& target, Reading* row) {
  bool all = true;
  for (int link = 0; link < target.argument; ++link) {
    read_nvlink_state(Target{target.nvml, target.device, link}, row);
    if (row[0].code != kSuccess) return;
    all = all && row[0].value != 0;
  }
  row[0] = scaled(kSuccess, all);
}

}  // namespace accelmon::nvml
