#include "collectors/level_zero/ze_sources.h"

#include <cmath>

namespace accelmon::level_zero {
namespace {

constexpr double kMilli = 0.001;
constexpr double kMega = 1e6;

}  // namespace

ZeResult EngineSource::read(Reads& in) {
  EngineStats stats;
  const ZeResult code = in.ze.call<Symbol::zesEngineGetActivity>(handle_, &stats);
  if (code != kSuccess) return failed(in, code);
  at(in, share) = meter_.read(stats.active, stats.timestamp, in.now, in.patience);
  return code;
}

ZeResult MemorySource::read(Reads& in) {
  MemoryState state;
  const ZeResult code = in.ze.call<Symbol::zesMemoryGetState>(handle_, &state);
  if (code != kSuccess) return failed(in, code);
  // `size` is what can be had of the physical size; newer drivers leave it out.
  const uint64_t all = state.size != 0 ? state.size : physical_;
  at(in, health).set(state.health);
  if (all == 0 || state.free > all) {
    for (const int i : {size, used, free, share}) at(in, i).absent(all == 0 ? State::not_ready : State::implausible);
    return code;
  }
  const auto total = static_cast<double>(all);
  const auto unused = static_cast<double>(state.free);
  at(in, size).set(total);
  at(in, used).set(total - unused);
  at(in, free).set(unused);
  at(in, share).set((total - unused) / total);
  return code;
}

ZeResult BandwidthSource::read(Reads& in) {
  MemoryBandwidth bandwidth;
  const ZeResult code = in.ze.call<Symbol::zesMemoryGetBandwidth>(handle_, &bandwidth);
  if (code != kSuccess) return failed(in, code);
  if (bandwidth.read != 0 || bandwidth.written != 0 || bandwidth.most != 0) all_zero_ = false;
  at(in, read_bytes).set(static_cast<double>(bandwidth.read));
  at(in, written).set(static_cast<double>(bandwidth.written));
  const Cell rate = meter_.read(bandwidth.read + bandwidth.written, bandwidth.timestamp, in.now, in.patience);
  if (bandwidth.most == 0) {
    at(in, limit).absent(State::unsupported);
    at(in, share).absent(State::unsupported);
    return code;
  }
  const auto most = static_cast<double>(bandwidth.most);
  at(in, limit).set(most);
  at(in, share) = rate;
  if (rate.state == State::ok) at(in, share).set(rate.value / most);
  return code;
}

ZeResult TemperatureSource::read(Reads& in) {
  double value = 0;
  const ZeResult code = in.ze.call<Symbol::zesTemperatureGetState>(handle_, &value);
  if (code != kSuccess) return failed(in, code);
  if (!std::isfinite(value)) {
    at(in, celsius).absent(State::implausible);
  } else if (value == 0) {
    // What telemetry that cannot be read comes out as.
    at(in, celsius).absent(rights_.root ? State::implausible : State::no_permission);
  } else {
    at(in, celsius).set(value);
  }
  return code;
}

ZeResult EnergySource::read(Reads& in) {
  EnergyCounter counter;
  const ZeResult code = in.ze.call<Symbol::zesPowerGetEnergyCounter>(handle_, &counter);
  if (code != kSuccess) return failed(in, code);
  meter_.read(counter.energy, counter.timestamp, in.now, in.patience);
  at(in, watts) = meter_.power();
  at(in, joules) = meter_.energy();
  return code;
}

ZeResult LimitSource::read(Reads& in) {
  uint32_t count = kMost;
  limits_.fill(PowerLimitExt());
  ZeResult code = in.ze.call<Symbol::zesPowerGetLimitsExt>(handle_, &count, limits_.data());
  if (code == kSuccess) {
    at(in, watts).absent(State::unsupported);
    for (uint32_t i = 0; i < std::min(count, kMost); ++i) {
      const PowerLimitExt& limit = limits_[i];
      if (limit.level != kLevelSustained || limit.unit != kUnitPower || limit.enabled == 0 || limit.limit <= 0)
        continue;
      at(in, watts).set(limit.limit * kMilli);
      break;
    }
    return code;
  }
  if (state_of(code) != State::unsupported) return failed(in, code);
  SustainedLimit limit;
  code =
      in.ze.call<Symbol::zesPowerGetLimits>(handle_, &limit, static_cast<void*>(nullptr), static_cast<void*>(nullptr));
  if (code != kSuccess) return failed(in, code);
  if (limit.enabled != 0 && limit.power > 0) {
    at(in, watts).set(limit.power * kMilli);
  } else {
    at(in, watts).absent(State::unsupported);
  }
  return code;
}

ZeResult FrequencySource::read(Reads& in) {
  FrequencyState state;
  const ZeResult code = in.ze.call<Symbol::zesFrequencyGetState>(handle_, &state);
  if (code != kSuccess) return failed(in, code);
  if (!std::isfinite(state.actual)) {
    at(in, hertz).absent(State::implausible);
  } else if (state.actual < 0) {
    at(in, hertz).absent(State::unsupported);
  } else {
    at(in, hertz).set(state.actual * kMega);
  }
  for (size_t i = 0; i < kReasons; ++i)
    at(in, reasons[i]).set((state.throttle & kThrottleReasons[i].bits) != 0 ? 1 : 0);
  return code;
}

ZeResult FanSource::read(Reads& in) {
  int32_t value = -1;
  const ZeResult code = in.ze.call<Symbol::zesFanGetState>(handle_, kFanRpm, &value);
  if (code == kSuccess && value >= 0) {
    at(in, rpm).set(value);
    if (most_rpm_ > 0) {
      at(in, share).set(static_cast<double>(value) / most_rpm_);
      return code;
    }
  } else {
    at(in, rpm).absent(code == kSuccess ? State::not_ready : state_of(code));
  }
  int32_t percent = -1;
  const ZeResult second = in.ze.call<Symbol::zesFanGetState>(handle_, kFanPercent, &percent);
  if (second == kSuccess && percent >= 0) {
    at(in, share).set(percent * 0.01);
  } else {
    at(in, share).absent(second == kSuccess ? State::not_ready : state_of(second));
  }
  return code == kSuccess || is_device_lost(code) ? code : second;
}

ZeResult RasSource::read(Reads& in) {
  RasState state;
  // Never clear: it would take the counts away from everybody else.
  const ZeResult code = in.ze.call<Symbol::zesRasGetState>(handle_, Bool{0}, &state);
  if (code != kSuccess) return failed(in, code);
  for (uint32_t i = 0; i < kRasCategories; ++i) at(in, counts[i]).set(static_cast<double>(state.category[i]));
  return code;
}

ZeResult PciStateSource::read(Reads& in) {
  PciState state;
  const ZeResult code = in.ze.call<Symbol::zesDevicePciGetState>(handle_, &state);
  if (code != kSuccess) return failed(in, code);
  const auto show = [&](int i, int32_t value) {
    if (value > 0) {
      at(in, i).set(value);
    } else {
      at(in, i).absent(State::unsupported);
    }
  };
  show(generation, state.speed.generation);
  show(width, state.speed.width);
  at(in, trouble).set(state.status == kPciQualityIssues || state.status == kPciStabilityIssues ? 1 : 0);
  return code;
}

ZeResult PciStatsSource::read(Reads& in) {
  PciStats stats;
  const ZeResult code = in.ze.call<Symbol::zesDevicePciGetStats>(handle_, &stats);
  if (code != kSuccess) return failed(in, code);
  at(in, received).set(static_cast<double>(stats.received));
  at(in, transmitted).set(static_cast<double>(stats.transmitted));
  at(in, replays).set(static_cast<double>(stats.replays));
  return code;
}

ZeResult PortStateSource::read(Reads& in) {
  PortState state;
  const ZeResult code = in.ze.call<Symbol::zesFabricPortGetState>(handle_, &state);
  if (code != kSuccess) return failed(in, code);
  at(in, trouble).set(state.status == kPortDegraded || state.status == kPortFailed ? 1 : 0);
  if (state.status >= kPortHealthy && state.status <= kPortDisabled) {
    at(in, up).set(state.status == kPortHealthy || state.status == kPortDegraded ? 1 : 0);
  } else {
    at(in, up).absent(State::not_ready);
  }
  return code;
}

ZeResult PortTrafficSource::read(Reads& in) {
  PortThroughput traffic;
  const ZeResult code = in.ze.call<Symbol::zesFabricPortGetThroughput>(handle_, &traffic);
  if (code != kSuccess) return failed(in, code);
  at(in, received).set(static_cast<double>(traffic.received));
  at(in, transmitted).set(static_cast<double>(traffic.transmitted));
  return code;
}

ZeResult DeviceStateSource::read(Reads& in) {
  DeviceState state;
  const ZeResult code = in.ze.call<Symbol::zesDeviceGetState>(handle_, &state);
  if (code != kSuccess) return failed(in, code);
  at(in, wedged).set((state.reset & kResetWedged) != 0 ? 1 : 0);
  at(in, repair).set((state.reset & kResetRepair) != 0 ? 1 : 0);
  return code;
}

ZeResult EccSource::read(Reads& in) {
  EccProperties ecc;
  const ZeResult code = in.ze.call<Symbol::zesDeviceGetEccState>(handle_, &ecc);
  if (code != kSuccess) return failed(in, code);
  const auto show = [&](int i, uint32_t state) {
    if (state == kEccEnabled || state == kEccDisabled) {
      at(in, i).set(state == kEccEnabled ? 1 : 0);
    } else {
      at(in, i).absent(State::unsupported);
    }
  };
  show(current, ecc.current);
  show(pending, ecc.pending);
  return code;
}

}  // namespace accelmon::level_zero
