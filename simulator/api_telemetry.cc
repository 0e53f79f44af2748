// Readings that move: utilization, temperature, power, energy, clocks, fans.

#include <algorithm>
#include <cmath>

#include "api.h"

namespace accelmon::nvml {

namespace {

// Utilization of a partitioned GPU is known of no part and not of the whole.
int no_utilization(const Entry& entry) {
  return entry.device().mig_enabled() ? kNotSupported : kSuccess;
}

int engine(Call call, DeviceHandle device, U32* out, U32* period, const std::optional<Wave>& (*of)(const Device&)) {
  return device_call(call, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!out || !period) return kInvalidArgument;
    if (const int code = no_utilization(entry); code != kSuccess) return code;
    const std::optional<Wave>& wave = of(entry.device());
    if (!wave) return kNotSupported;
    *out = entry.u32(std::floor(wave->value(entry.t)));
    *period = entry.device().sample_period_us;
    return kSuccess;
  });
}

int coder(Call call, DeviceHandle device, U32* out, U32* period, const Wave Device::*member) {
  return device_call(call, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!out || !period) return kInvalidArgument;
    if (const int code = no_utilization(entry); code != kSuccess) return code;
    *out = entry.u32(std::floor((entry.device().*member).value(entry.t)));
    *period = entry.device().sample_period_us;
    return kSuccess;
  });
}

bool good_domain(int domain) {
  return domain >= kClockGraphics && domain <= kClockVideo;
}

int clock_of(Call call, DeviceHandle device, int domain, U32* out, double (*get)(const Device&, int, double)) {
  return read_number(call, device, Takes::gpu, out, [&](Entry& entry, int& code) {
    if (!good_domain(domain)) {
      code = kInvalidArgument;
      return 0.0;
    }
    return std::floor(get(entry.device(), domain, entry.t));
  });
}

int milliwatts(Call call, DeviceHandle device, U32* out, double Device::*member) {
  return read_number(call, device, Takes::gpu, out,
                     [&](Entry& entry, int&) { return std::round(entry.device().*member * 1000); });
}

int reasons(Call call, DeviceHandle device, U64* out, bool supported) {
  return device_call(call, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    const Device& d = entry.device();
    *out = supported ? d.reasons_supported : entry.u64(d.reasons_at(entry.t));
    return kSuccess;
  });
}

int performance_state(Call call, DeviceHandle device, int* out) {
  return read_number(call, device, Takes::gpu, out, [](Entry& entry, int&) {
    const Device& d = entry.device();
    return static_cast<double>(d.busy(entry.t) ? d.pstate_busy : d.pstate_idle);
  });
}

int fan_percent(Call call, DeviceHandle device, U32 fan, U32* out) {
  return read_number(call, device, Takes::gpu, out, [&](Entry& entry, int& code) {
    const Device& d = entry.device();
    if (d.fans == 0) code = kNotSupported;
    if (d.fans != 0 && fan >= d.fans) code = kInvalidArgument;
    return std::floor(d.fan_percent.value(entry.t));
  });
}

}  // namespace

int nvmlDeviceGetUtilizationRates(DeviceHandle device, Utilization* out) {
  return device_call(Call::nvmlDeviceGetUtilizationRates, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    if (const int code = no_utilization(entry); code != kSuccess) return code;
    out->gpu = entry.u32(std::floor(entry.device().gpu.value(entry.t)));
    out->memory = entry.u32(std::floor(entry.device().memory.value(entry.t)));
    return kSuccess;
  });
}

int nvmlDeviceGetEncoderUtilization(DeviceHandle device, U32* out, U32* period_us) {
  return coder(Call::nvmlDeviceGetEncoderUtilization, device, out, period_us, &Device::encoder);
}
int nvmlDeviceGetDecoderUtilization(DeviceHandle device, U32* out, U32* period_us) {
  return coder(Call::nvmlDeviceGetDecoderUtilization, device, out, period_us, &Device::decoder);
}
int nvmlDeviceGetJpgUtilization(DeviceHandle device, U32* out, U32* period_us) {
  return engine(Call::nvmlDeviceGetJpgUtilization, device, out, period_us,
                [](const Device& d) -> const std::optional<Wave>& { return d.jpeg; });
}
int nvmlDeviceGetOfaUtilization(DeviceHandle device, U32* out, U32* period_us) {
  return engine(Call::nvmlDeviceGetOfaUtilization, device, out, period_us,
                [](const Device& d) -> const std::optional<Wave>& { return d.ofa; });
}

int nvmlDeviceGetSamples(DeviceHandle device, int type, U64 last_seen, int* value_type, U32* count, Sample* out) {
  return device_call(Call::nvmlDeviceGetSamples, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!value_type || !count) return kInvalidArgument;
    if (const int code = no_utilization(entry); code != kSuccess) return code;
    const Device& d = entry.device();
    constexpr double kPeriod = 1.0 / 6;
    constexpr U32 kKept = 120;
    const auto value = [&](double t) -> std::optional<double> {
      switch (type) {
        case 0:
          return std::round(d.power.value(t) * 1000);
        case 1:
          return std::floor(d.gpu.value(t));
        case 2:
          return std::floor(d.memory.value(t));
        case 3:
          return std::floor(d.encoder.value(t));
        case 4:
          return std::floor(d.decoder.value(t));
        case 5:
          return std::floor(d.clock_at(kClockGraphics, t));
        case 6:
          return std::floor(d.clock_at(kClockMemory, t));
        default:
          return std::nullopt;
      }
    };
    if (!value(entry.t)) return kNotSupported;
    *value_type = kUnsignedInt;
    if (!out) {
      *count = kKept;
      return kSuccess;
    }
    // The samples lie on a grid of scenario time, so that one that was seen comes again with the same stamp.
    const double newest = std::floor(entry.t / kPeriod);
    U32 written = 0;
    for (double k = std::max(newest - kKept + 1, 0.0); k <= newest && written < *count; ++k) {
      const double t = k * kPeriod;
      const auto stamp = static_cast<U64>(Library::get().wall_us(t));
      if (stamp <= last_seen) continue;
      out[written].timestamp = stamp;
      out[written].value = Value{};
      out[written].value.u32 = entry.u32(*value(t));
      ++written;
    }
    *count = written;
    return written > 0 ? kSuccess : kNotFound;
  });
}

// ---- temperature ---------------------------------------------------------------------------------------------------

int nvmlDeviceGetTemperature(DeviceHandle device, int sensor, U32* out) {
  return read_number(Call::nvmlDeviceGetTemperature, device, Takes::gpu, out, [&](Entry& entry, int& code) {
    if (sensor != kSensorGpu) code = kInvalidArgument;
    return std::round(entry.device().temperature_at(entry.t));
  });
}

int nvmlDeviceGetTemperatureV(DeviceHandle device, Temperature* out) {
  return device_call(Call::nvmlDeviceGetTemperatureV, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    if (out->version != version_word<Temperature>(1)) return kArgumentVersionMismatch;
    if (out->sensor != kSensorGpu) return kInvalidArgument;
    const double degrees = std::round(entry.device().temperature_at(entry.t));
    out->temperature = entry.garbage ? static_cast<int>(entry.u32(0)) : static_cast<int>(degrees);
    return kSuccess;
  });
}

int nvmlDeviceGetMarginTemperature(DeviceHandle device, MarginTemperature* out) {
  return device_call(Call::nvmlDeviceGetMarginTemperature, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    if (out->version != version_word<MarginTemperature>(1)) return kArgumentVersionMismatch;
    const Device& d = entry.device();
    if (!d.margin_zero) return kNotSupported;
    const double margin = std::round(*d.margin_zero - d.temperature_at(entry.t));
    out->margin = entry.garbage ? static_cast<int>(entry.u32(0)) : static_cast<int>(margin);
    return kSuccess;
  });
}

int nvmlDeviceGetTemperatureThreshold(DeviceHandle device, int threshold, U32* out) {
  return read_number(Call::nvmlDeviceGetTemperatureThreshold, device, Takes::gpu, out, [&](Entry& entry, int& code) {
    const Device& d = entry.device();
    const std::optional<int>* const known[] = {&d.shutdown, &d.slowdown, &d.memory_max, &d.gpu_max};
    if (threshold < 0 || threshold > 7) code = kInvalidArgument;
    const bool answered = threshold >= 0 && threshold < 4 && *known[threshold];
    if (code == kSuccess && !answered) code = kNotSupported;
    return answered ? static_cast<double>(**known[threshold]) : 0;
  });
}

// ---- power ---------------------------------------------------------------------------------------------------------

int nvmlDeviceGetPowerUsage(DeviceHandle device, U32* out_mw) {
  return read_number(Call::nvmlDeviceGetPowerUsage, device, Takes::gpu, out_mw, [](Entry& entry, int&) {
    const Device& d = entry.device();
    return std::round((d.power_usage_instant ? d.power.value(entry.t) : d.average_power(entry.t)) * 1000);
  });
}

int nvmlDeviceGetPowerManagementMode(DeviceHandle device, int* out) {
  return read_number(Call::nvmlDeviceGetPowerManagementMode, device, Takes::gpu, out, [](Entry&, int&) { return 1.0; });
}

int nvmlDeviceGetEnforcedPowerLimit(DeviceHandle device, U32* out_mw) {
  return milliwatts(Call::nvmlDeviceGetEnforcedPowerLimit, device, out_mw, &Device::power_limit);
}
int nvmlDeviceGetPowerManagementLimit(DeviceHandle device, U32* out_mw) {
  return milliwatts(Call::nvmlDeviceGetPowerManagementLimit, device, out_mw, &Device::power_requested);
}
int nvmlDeviceGetPowerManagementDefaultLimit(DeviceHandle device, U32* out_mw) {
  return milliwatts(Call::nvmlDeviceGetPowerManagementDefaultLimit, device, out_mw, &Device::power_default);
}

int nvmlDeviceGetPowerManagementLimitConstraints(DeviceHandle device, U32* min, U32* max) {
  return device_call(Call::nvmlDeviceGetPowerManagementLimitConstraints, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!min || !max) return kInvalidArgument;
    *min = entry.u32(std::round(entry.device().power_min * 1000));
    *max = entry.u32(std::round(entry.device().power_max * 1000));
    return kSuccess;
  });
}

int nvmlDeviceGetTotalEnergyConsumption(DeviceHandle device, U64* out_mj) {
  return read_number(Call::nvmlDeviceGetTotalEnergyConsumption, device, Takes::gpu, out_mj,
                     [](Entry& entry, int& code) {
                       if (!entry.device().energy_base) code = kNotSupported;
                       return std::floor(entry.device().energy(entry.since, entry.t) * 1000);
                     });
}

// ---- clocks --------------------------------------------------------------------------------------------------------

int nvmlDeviceGetClockInfo(DeviceHandle device, int domain, U32* out_mhz) {
  return clock_of(Call::nvmlDeviceGetClockInfo, device, domain, out_mhz,
                  [](const Device& d, int which, double t) { return d.clock_at(which, t); });
}

int nvmlDeviceGetMaxClockInfo(DeviceHandle device, int domain, U32* out_mhz) {
  return clock_of(Call::nvmlDeviceGetMaxClockInfo, device, domain, out_mhz,
                  [](const Device& d, int which, double) { return d.clock_max[which]; });
}

int nvmlDeviceGetApplicationsClock(DeviceHandle device, int domain, U32* out_mhz) {
  return clock_of(Call::nvmlDeviceGetApplicationsClock, device, domain, out_mhz,
                  [](const Device& d, int which, double) { return d.clock_busy[which]; });
}

int nvmlDeviceGetPerformanceState(DeviceHandle device, int* out) {
  return performance_state(Call::nvmlDeviceGetPerformanceState, device, out);
}
int nvmlDeviceGetPowerState(DeviceHandle device, int* out) {
  return performance_state(Call::nvmlDeviceGetPowerState, device, out);
}

int nvmlDeviceGetCurrentClocksEventReasons(DeviceHandle device, U64* out) {
  return reasons(Call::nvmlDeviceGetCurrentClocksEventReasons, device, out, false);
}
int nvmlDeviceGetCurrentClocksThrottleReasons(DeviceHandle device, U64* out) {
  return reasons(Call::nvmlDeviceGetCurrentClocksThrottleReasons, device, out, false);
}
int nvmlDeviceGetSupportedClocksEventReasons(DeviceHandle device, U64* out) {
  return reasons(Call::nvmlDeviceGetSupportedClocksEventReasons, device, out, true);
}
int nvmlDeviceGetSupportedClocksThrottleReasons(DeviceHandle device, U64* out) {
  return reasons(Call::nvmlDeviceGetSupportedClocksThrottleReasons, device, out, true);
}

int nvmlDeviceGetViolationStatus(DeviceHandle device, int policy, ViolationTime* out) {
  return device_call(Call::nvmlDeviceGetViolationStatus, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    const U64 masks[] = {kReasonPowerCap, kReasonThermalSoftware | kReasonThermalHardware, kReasonSyncBoost};
    if (policy < 0 || policy > 11 || (policy > 5 && policy < 10)) return kInvalidArgument;
    const U64 mask = policy < 3 ? masks[policy] : 0;
    out->reference = static_cast<U64>(Library::get().wall_us(entry.t));
    out->violation = entry.u64(entry.device().throttled_ns(mask, entry.since, entry.t));
    return kSuccess;
  });
}

// ---- fans ----------------------------------------------------------------------------------------------------------

int nvmlDeviceGetNumFans(DeviceHandle device, U32* out) {
  return read_number(Call::nvmlDeviceGetNumFans, device, Takes::gpu, out,
                     [](Entry& entry, int&) { return static_cast<double>(entry.device().fans); });
}

int nvmlDeviceGetFanSpeed(DeviceHandle device, U32* out) {
  return fan_percent(Call::nvmlDeviceGetFanSpeed, device, 0, out);
}
int nvmlDeviceGetFanSpeed_v2(DeviceHandle device, U32 fan, U32* out_percent) {
  return fan_percent(Call::nvmlDeviceGetFanSpeed_v2, device, fan, out_percent);
}

int nvmlDeviceGetFanSpeedRPM(DeviceHandle device, FanSpeed* out) {
  return device_call(Call::nvmlDeviceGetFanSpeedRPM, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    if (out->version != version_word<FanSpeed>(1)) return kArgumentVersionMismatch;
    const Device& d = entry.device();
    if (d.fans == 0 || d.fan_max_rpm == 0) return kNotSupported;
    if (out->fan >= d.fans) return kInvalidArgument;
    out->speed = entry.u32(std::round(d.fan_max_rpm * d.fan_percent.value(entry.t) / 100));
    return kSuccess;
  });
}

}  // namespace accelmon::nvml
