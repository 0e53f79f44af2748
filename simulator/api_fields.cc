// nvmlDeviceGetFieldValues: many readings in one call, each with its own result, time and cost.

#include <algorithm>
#include <cmath>
#include <ctime>

#include "links.h"

namespace accelmon::nvml {

namespace {

// Answers of one field. Exactly one of the setters is called, or none: the board does not know the field.
class Answer {
 public:
  Answer(Entry& entry, FieldValue& value) : entry_(entry), value_(value) {}

  void unsigned_int(double number) { set(kUnsignedInt).u32 = entry_.u32(number); }
  void unsigned_long_long(double number) {
    set(kUnsignedLongLong).u64 = entry_.u64(number > 0 ? static_cast<U64>(number) : 0);
  }
  void counter(double number, unsigned bits) {
    const U64 whole = number > 0 ? static_cast<U64>(number) : 0;
    // What has 32 bits or less comes in a word of as many, as an H100 with driver 580 does it.
    if (bits <= 32) {
      set(kUnsignedInt).u32 = entry_.u32(static_cast<double>(whole & ((U64{1} << bits) - 1)));
      return;
    }
    set(kUnsignedLongLong).u64 = entry_.u64(bits < 64 ? whole & ((U64{1} << bits) - 1) : whole);
  }
  void signed_int(int number) { set(kSignedInt).i32 = entry_.garbage ? static_cast<int>(entry_.u32(0)) : number; }
  void result(int code) { value_.result = code; }

 private:
  Value& set(ValueType type) {
    value_.value_type = type;
    value_.result = kSuccess;
    value_.value = Value{};
    return value_.value;
  }
  Entry& entry_;
  FieldValue& value_;
};

U64 policy_reasons(unsigned field) {
  switch (field) {
    case kFieldPolicyPower:
      return kReasonPowerCap;
    case kFieldPolicyThermal:
      return kReasonThermalSoftware | kReasonThermalHardware;
    case kFieldPolicySyncBoost:
      return kReasonSyncBoost;
    case kFieldThermalSoftwareTime129:
    case kFieldThermalSoftwareTime131:
      return kReasonThermalSoftware;
    case kFieldThermalHardwareTime129:
    case kFieldThermalHardwareTime131:
      return kReasonThermalHardware;
    case kFieldPowerBrakeTime129:
    case kFieldPowerBrakeTime131:
      return kReasonPowerBrake;
    default:
      return 0;
  }
}

void power_fields(Entry& entry, unsigned field, unsigned scope, Answer answer) {
  const Device& d = entry.device();
  const auto milliwatts = [&](double watts) { answer.unsigned_int(std::round(watts * 1000)); };
  switch (field) {
    case kFieldPowerAverage:
      if (scope == kPowerScopeMemory && d.memory_power) {
        milliwatts(d.memory_power->mean(entry.t - 1, entry.t));
      } else if (scope == kPowerScopeGpu && !d.power_usage_instant) {
        milliwatts(d.average_power(entry.t));
      }
      break;
    case kFieldPowerInstant:
      if (scope == kPowerScopeGpu && !d.power_average_only) milliwatts(d.power.value(entry.t));
      break;
    case kFieldPowerMinimumLimit:
      if (scope == kPowerScopeGpu) milliwatts(d.power_min);
      break;
    case kFieldPowerMaximumLimit:
      if (scope == kPowerScopeGpu) milliwatts(d.power_max);
      break;
    case kFieldPowerDefaultLimit:
      if (scope == kPowerScopeGpu) milliwatts(d.power_default);
      break;
    case kFieldPowerCurrentLimit:
      if (scope == kPowerScopeGpu) milliwatts(d.power_limit);
      break;
    case kFieldPowerRequestedLimit:
      if (scope == kPowerScopeGpu) milliwatts(d.power_requested);
      break;
    case kFieldTotalEnergy:
    case kFieldEnergy:
      if (d.energy_base) answer.unsigned_long_long(std::floor(d.energy(entry.since, entry.t) * 1000));
      break;
    default:
      break;
  }
}

void error_fields(Entry& entry, unsigned field, Answer answer) {
  const Device& d = entry.device();
  const double t = entry.t;
  const auto ecc = [&](const Wave& sram, const Wave& dram, double earlier) {
    if (!d.ecc.value_or(false)) return;
    // The volatile counts begin anew with the driver.
    const double before = earlier < 0 && entry.since > 0 ? sram.value(entry.since) + dram.value(entry.since) : 0;
    answer.unsigned_long_long(sram.value(t) + dram.value(t) - before + std::max(earlier, 0.0));
  };
  const auto page = [&](const Wave& wave) {
    if (d.retired_pages) answer.unsigned_int(std::floor(wave.value(t)));
  };
  const auto row = [&](const Wave& wave) {
    if (d.remapped_rows && !d.mig_enabled()) answer.unsigned_int(std::floor(wave.value(t)));
  };
  switch (field) {
    case kFieldEccCorrectedVolatile:
      return ecc(d.ecc_sram_corrected, d.ecc_dram_corrected, -1);
    case kFieldEccUncorrectedVolatile:
      return ecc(d.ecc_sram_uncorrected, d.ecc_dram_uncorrected, -1);
    case kFieldEccCorrectedAggregate:
      return ecc(d.ecc_sram_corrected, d.ecc_dram_corrected, d.ecc_aggregate_corrected);
    case kFieldEccUncorrectedAggregate:
      return ecc(d.ecc_sram_uncorrected, d.ecc_dram_uncorrected, d.ecc_aggregate_uncorrected);
    case kFieldRetiredSingleBit:
      return page(d.pages_single);
    case kFieldRetiredDoubleBit:
      return page(d.pages_double);
    case kFieldRetiredPending:
      return page(d.pages_pending);
    case kFieldRemappedCorrected:
      return row(d.rows_corrected);
    case kFieldRemappedUncorrected:
      return row(d.rows_uncorrected);
    case kFieldRemappedPending:
      return row(d.rows_pending);
    case kFieldRemappedFailure:
      return row(d.rows_failure);
    case kFieldRecoveryAction:
      if (d.recovery_action) answer.unsigned_int(std::floor(d.recovery_action->value(t)));
      return;
    default:
      return;
  }
}

void link_fields(Entry& entry, unsigned field, unsigned scope, Answer answer) {
  const Device& d = entry.device();
  constexpr double kRawPerData = 1.0625;  // a header flit for every sixteen of data
  const auto kibibytes = [&](bool transmit, double factor) {
    if (d.nvlinks == 0) return;
    if (scope != kAllNvlinks && scope >= d.nvlinks) return answer.result(kInvalidArgument);
    answer.unsigned_long_long(std::floor(link_bytes(entry, scope, transmit) * factor / 1024));
  };
  const auto of_link = [&](double number) {
    if (d.nvlinks == 0) return;
    if (scope >= d.nvlinks) return answer.result(kInvalidArgument);
    answer.unsigned_int(number);
  };
  const auto errors = [&](const Wave& wave) {
    if (d.nvlinks == 0) return;
    if (scope != kAllNvlinks && scope >= d.nvlinks) return answer.result(kInvalidArgument);
    answer.unsigned_int(scope == 0 || scope == kAllNvlinks ? std::floor(wave.value(entry.t)) : 0);
  };
  switch (field) {
    case kFieldNvlinkCommonSpeed:
      if (d.nvlinks > 0) answer.unsigned_int(d.nvlink_mbps);
      return;
    case kFieldNvlinkCount:
      if (d.nvlinks > 0) answer.unsigned_int(d.nvlinks);
      return;
    case kFieldNvlinkDataTransmit:
      return kibibytes(true, 1);
    case kFieldNvlinkDataReceive:
      return kibibytes(false, 1);
    case kFieldNvlinkRawTransmit:
      return kibibytes(true, kRawPerData);
    case kFieldNvlinkRawReceive:
      return kibibytes(false, kRawPerData);
    case kFieldNvlinkErrorReplay:
      return errors(d.nvlink_replays);
    case kFieldNvlinkErrorRecovery:
      return errors(d.nvlink_recoveries);
    case kFieldNvlinkErrorCrc:
      return errors(d.nvlink_crc);
    case kFieldNvlinkSpeed:
      return of_link(link_up(d, scope) ? d.nvlink_mbps : 0);
    case kFieldNvlinkState:
      return of_link(link_up(d, scope) ? 1 : 0);
    case kFieldNvlinkVersion:
      return of_link(d.nvlink_version);
    case kFieldPcieReplay:
      if (d.pcie_gen_max > 0) answer.unsigned_int(std::floor(d.pcie_replays.value(entry.t)));
      return;
    case kFieldPcieReplayRollover:
      if (d.pcie_gen_max > 0) answer.unsigned_int(0);
      return;
    case kFieldPcieTransmitBytes:
      if (d.pcie_counters) answer.counter(pcie_bytes(entry, true), d.pcie_counter_bits);
      return;
    case kFieldPcieReceiveBytes:
      if (d.pcie_counters) answer.counter(pcie_bytes(entry, false), d.pcie_counter_bits);
      return;
    default:
      return;
  }
}

void thermal_fields(Entry& entry, unsigned field, Answer answer) {
  const Device& d = entry.device();
  const auto margin = [&](const std::optional<int>& value) {
    if (value) answer.signed_int(*value);
  };
  switch (field) {
    case kFieldMemoryTemperature:
      if (const auto degrees = d.memory_temperature_at(entry.t)) answer.unsigned_int(std::round(*degrees));
      return;
    case kFieldTLimitShutdown:
      return margin(d.tlimit_shutdown);
    case kFieldTLimitSlowdown:
      return margin(d.tlimit_slowdown);
    case kFieldTLimitMemoryMax:
      return margin(d.tlimit_memory_max);
    case kFieldTLimitGpuMax:
      return margin(d.tlimit_gpu_max);
    case kFieldPolicyPower:
    case kFieldPolicyThermal:
    case kFieldPolicySyncBoost:
    case kFieldPolicyBoardLimit:
    case kFieldPolicyLowUtilization:
    case kFieldPolicyReliability:
    case kFieldPolicyApplicationClocks:
    case kFieldPolicyBaseClocks:
    case kFieldThermalSoftwareTime129:
    case kFieldThermalHardwareTime129:
    case kFieldPowerBrakeTime129:
    case kFieldThermalSoftwareTime131:
    case kFieldThermalHardwareTime131:
    case kFieldPowerBrakeTime131:
      return answer.unsigned_long_long(
          static_cast<double>(d.throttled_ns(policy_reasons(field), entry.since, entry.t)));
    default:
      return;
  }
}

int64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

}  // namespace

int nvmlDeviceGetFieldValues(DeviceHandle device, int count, FieldValue* values) {
  return device_call(Call::nvmlDeviceGetFieldValues, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!values || count < 1) return kInvalidArgument;
    const std::vector<unsigned>& unsupported = entry.device().unsupported_fields;
    for (int i = 0; i < count; ++i) {
      FieldValue& value = values[i];
      const int64_t began = monotonic_ns();
      value.result = kNotSupported;
      value.value_type = kUnsignedInt;
      value.value = Value{};
      Entry own;
      const int code = Library::get().enter_field(entry, value.field_id, own);
      value.timestamp = Library::get().wall_us(own.now);
      if (code != kSuccess) {
        value.result = code;
      } else if (std::find(unsupported.begin(), unsupported.end(), value.field_id) == unsupported.end()) {
        const Answer answer(own, value);
        power_fields(own, value.field_id, value.scope_id, answer);
        error_fields(own, value.field_id, answer);
        link_fields(own, value.field_id, value.scope_id, answer);
        thermal_fields(own, value.field_id, answer);
      }
      value.latency = (monotonic_ns() - began + 999) / 1000;
    }
    return kSuccess;
  });
}

}  // namespace accelmon::nvml
