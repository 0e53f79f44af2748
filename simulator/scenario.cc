#include "scenario.h"

#include <algorithm>
#include <cmath>

namespace accelmon::simulator {

namespace {

constexpr uint64_t kIdle = 0x1;

uint64_t to_count(double value) {
  return value > 0 ? static_cast<uint64_t>(std::min(value, 1.8e19)) : 0;
}

}  // namespace

double Device::temperature_at(double t) const {
  if (temperature) return temperature->value(t);
  return ambient + kelvin_per_watt * power.lagged(t, lag);
}

std::optional<double> Device::memory_temperature_at(double t) const {
  if (!memory_temperature_offset) return std::nullopt;
  if (temperature) return temperature->value(t) + *memory_temperature_offset;
  return *memory_temperature_offset + memory_kelvin_per_watt.value_or(kelvin_per_watt) * power.lagged(t, lag);
}

uint64_t Device::reasons_at(double t) const {
  uint64_t reasons = 0;
  for (const Throttle& throttle : throttles) {
    if (throttle.active.value(t) >= 0.5) reasons |= throttle.reason;
  }
  if (reasons == 0 && !busy(t)) reasons = kIdle & reasons_supported;
  return reasons;
}

double Device::clock_at(int domain, double t) const {
  constexpr int kMemory = 2;
  if (!busy(t)) return clock_idle[domain];
  double clock = clock_busy[domain];
  if (domain == kMemory) return clock;
  for (const Throttle& throttle : throttles) {
    if (throttle.active.value(t) >= 0.5) clock = std::min(clock, clock_max[domain] * throttle.clock_share);
  }
  return clock;
}

uint64_t Device::throttled_ns(uint64_t mask, double since, double t) const {
  double seconds = 0;
  for (const Throttle& throttle : throttles) {
    if (throttle.reason & mask) seconds += throttle.active.integral(t) - throttle.active.integral(since);
  }
  return to_count(std::min(seconds, t - since) * 1e9);
}

std::optional<double> Fault::occurrence(double t) const {
  if (t < from || t >= until) return std::nullopt;
  if (every <= 0) return from;
  const double began = from + std::floor((t - from) / every) * every;
  if (t - began >= duration) return std::nullopt;
  return began;
}

std::optional<double> Fault::next_occurrence(double t) const {
  double at = from;
  if (t > from) {
    if (every <= 0) return std::nullopt;
    at = from + std::ceil((t - from) / every) * every;
  }
  if (at >= until) return std::nullopt;
  return at;
}

std::optional<double> Fault::last_end(double t) const {
  if (t < from) return std::nullopt;
  if (every <= 0) return t >= until ? std::optional<double>(until) : std::nullopt;
  double began = from + std::floor((std::min(t, until) - from) / every) * every;
  double ended = std::min(began + std::min(duration, every), until);
  if (ended > t) ended -= every;
  return ended >= from ? std::optional<double>(ended) : std::nullopt;
}

bool Fault::matches(Call call, std::optional<unsigned> on_device, std::optional<unsigned> on_field) const {
  if (!of_nvml()) return false;
  if (field && field != on_field) return false;
  if (device && device != on_device) return false;
  return any_call || calls[static_cast<size_t>(call)];
}

bool Scenario::unloaded(double t, Vendor vendor) const {
  return std::any_of(faults.begin(), faults.end(), [&](const Fault& fault) {
    return fault.kind == Fault::Kind::driver_unloaded && fault.vendor == vendor && fault.occurrence(t);
  });
}

double Scenario::loaded_at(double t, Vendor vendor) const {
  double at = 0;
  for (const Fault& fault : faults) {
    if (fault.kind == Fault::Kind::driver_unloaded && fault.vendor == vendor)
      at = std::max(at, fault.last_end(t).value_or(0));
  }
  return at;
}

size_t Scenario::devices_of(Vendor vendor) const {
  switch (vendor) {
    case Vendor::nvidia:
      return devices.size();
    case Vendor::intel:
      return intel.size();
    case Vendor::amd:
      return amd.size();
  }
  return 0;
}

bool Scenario::gone(unsigned device, double t) const {
  return std::any_of(faults.begin(), faults.end(), [&](const Fault& fault) {
    return fault.kind == Fault::Kind::gone && fault.of_nvml() && fault.device.value_or(device) == device &&
           fault.occurrence(t);
  });
}

uint64_t Scenario::memory_used(unsigned device, double t) const {
  const Device& d = devices[device];
  double used = 0;
  if (d.memory_used) {
    used = d.memory_used->value(t);
  } else {
    used = d.memory_base.value(t);
    for (const MigInstance& instance : d.instances) used += instance.memory_base.value(t);
    for (const Process& process : processes) {
      if (process.device == device && process.alive(t)) used += process.memory.value(t);
    }
  }
  return std::min(to_count(used), d.memory_total - d.memory_reserved);
}

uint64_t Scenario::memory_used(unsigned device, unsigned instance, double t) const {
  const MigInstance& i = devices[device].instances[instance];
  double used = i.memory_base.value(t);
  for (const Process& process : processes) {
    const bool inside = process.device == device && process.instance == static_cast<int>(instance);
    if (inside && process.alive(t)) used += process.memory.value(t);
  }
  return std::min(to_count(used), i.memory_total);
}

}  // namespace accelmon::simulator
