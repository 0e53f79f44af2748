#include "library.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace accelmon::simulator {

namespace {

// A handle is a number that only looks like a pointer: which initialization it is of, which device, and for a MIG
// instance which slot, and 16 bits of its UUID so that one of an earlier partitioning is refused.
constexpr uint64_t kTag = 0x6e76;

uint64_t uuid_bits(const MigInstance& instance) {
  uint64_t hash = 0;
  for (const char c : instance.uuid) hash = mix(hash ^ static_cast<unsigned char>(c));
  return hash & 0xffff;
}

}  // namespace

nvml::U32 Entry::u32(double value) {
  if (sentinel) return 4294967295u;
  if (garbage) {
    // Those that have been seen: all ones, a value of another unit, any bits.
    const uint64_t key = mix(garbage_key++);
    return key % 3 == 0 ? 4294967295u : key % 3 == 1 ? 4000000000u : static_cast<nvml::U32>(key >> 20);
  }
  return value > 0 ? static_cast<nvml::U32>(std::min(value, 4294967295.0)) : 0;
}

nvml::U64 Entry::u64(uint64_t value) {
  if (sentinel) return ~0ull;
  if (!garbage) return value;
  const uint64_t key = mix(garbage_key++);
  return key % 3 == 0 ? ~0ull : mix(key);
}

Library& Library::get() {
  // Never destroyed: a thread may still be inside when the process exits. Not on the heap: see nvmlShutdown.
  alignas(Library) static unsigned char storage[sizeof(Library)];
  static Library* const library = new (storage) Library();
  return *library;
}

Library::Library() : live_("nvidia_ml_simulator") {
  wall_offset_ns_ = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
}

int64_t Library::wall_us(double t) const {
  return (wall_offset_ns_ + live_.epoch_ns()) / 1000 + static_cast<int64_t>(t * 1e6);
}

bool Library::initialized() const {
  const std::lock_guard lock(mutex_);
  return references_ > 0;
}

bool Library::ready(double t, const Scenario& scenario) const {
  const std::lock_guard lock(mutex_);
  if (references_ == 0) return false;
  for (const Fault& fault : scenario.faults) {
    if (fault.kind != Fault::Kind::driver_unloaded || fault.vendor != Vendor::nvidia) continue;
    const std::optional<double> next = fault.next_occurrence(initialized_at_);
    if (fault.occurrence(t) || (next && *next <= t)) poisoned_ = true;
  }
  return !poisoned_;
}

int Library::initialize(Call call) {
  Entry entry;
  entry.call = call;
  entry.scenario = scenario();
  if (!entry.scenario) return nvml::kUnknownError;
  entry.now = entry.t = now();
  if (entry.scenario->missing[static_cast<size_t>(call)]) return nvml::kFunctionNotFound;
  if (const int code = apply_faults(entry, std::nullopt); code != nvml::kSuccess) return code;
  if (entry.scenario->unloaded(entry.t)) return nvml::kDriverNotLoaded;
  const std::lock_guard lock(mutex_);
  if (references_++ == 0) {
    initialized_at_ = entry.now;
    poisoned_ = false;
    ++generation_;
  }
  return nvml::kSuccess;
}

int Library::shut_down() {
  const std::lock_guard lock(mutex_);
  if (references_ == 0) return nvml::kUninitialized;
  if (--references_ == 0) live_.release();
  return nvml::kSuccess;
}

int Library::check(Call call, Entry& entry) {
  if (!initialized()) return nvml::kUninitialized;
  entry.call = call;
  entry.scenario = scenario();
  entry.now = entry.t = now();
  if (!entry.scenario || !ready(entry.now, *entry.scenario)) return nvml::kUninitialized;
  if (entry.scenario->missing[static_cast<size_t>(call)]) return nvml::kFunctionNotFound;
  entry.since = entry.scenario->loaded_at(entry.now);
  return nvml::kSuccess;
}

int Library::enter(Call call, Entry& entry) {
  const int code = check(call, entry);
  return code == nvml::kSuccess ? apply_faults(entry, std::nullopt) : code;
}

int Library::enter_index(Call call, unsigned index, Entry& entry) {
  if (const int code = check(call, entry); code != nvml::kSuccess) return code;
  if (index >= entry.scenario->devices.size()) return nvml::kInvalidArgument;
  entry.index = index;
  return apply_faults(entry, std::nullopt);
}

int Library::enter(Call call, nvml::DeviceHandle handle, Takes takes, Entry& entry) {
  if (const int code = check(call, entry); code != nvml::kSuccess) return code;
  const auto bits = reinterpret_cast<uint64_t>(handle);
  if (bits >> 48 != kTag || ((bits >> 32) & 0xffff) != generation_) return nvml::kInvalidArgument;
  const auto device = static_cast<unsigned>(bits & 0xff);
  entry.instance = static_cast<int>((bits >> 8) & 0xff) - 1;
  if (device >= entry.scenario->devices.size()) return nvml::kGpuIsLost;
  entry.index = device;
  if (entry.instance >= 0) {
    const auto& instances = entry.device().instances;
    if (static_cast<size_t>(entry.instance) >= instances.size()) return nvml::kInvalidArgument;
    if (uuid_bits(entry.mig()) != ((bits >> 16) & 0xffff)) return nvml::kInvalidArgument;
    if (takes == Takes::gpu) return nvml::kNotSupported;
  } else if (takes == Takes::mig) {
    return nvml::kInvalidArgument;
  }
  if (const int code = apply_faults(entry, std::nullopt); code != nvml::kSuccess) return code;
  return entry.device().unsupported[static_cast<size_t>(call)] ? nvml::kNotSupported : nvml::kSuccess;
}

int Library::enter_field(const Entry& call, unsigned field, Entry& entry) {
  entry = call;
  return apply_faults(entry, field);
}

nvml::DeviceHandle Library::handle(const Entry& entry, unsigned device, int instance) const {
  uint64_t bits = kTag << 48 | uint64_t{generation_.load()} << 32 | device;
  if (instance >= 0) {
    const MigInstance& mig = entry.scenario->devices[device].instances[static_cast<size_t>(instance)];
    bits |= uuid_bits(mig) << 16 | static_cast<uint64_t>(instance + 1) << 8;
  }
  return reinterpret_cast<nvml::DeviceHandle>(bits);
}

int Library::apply_faults(Entry& entry, std::optional<unsigned> field) {
  const Scenario& scenario = *entry.scenario;
  for (const Fault& fault : scenario.faults) {
    // What was about the whole call was done when it was entered.
    if (field.has_value() != fault.field.has_value()) continue;
    const std::optional<double> began = fault.occurrence(entry.now);
    if (!began || !fault.matches(entry.call, entry.index, field) ||
        !fault.drawn(entry.call, entry.index, draws_[static_cast<size_t>(entry.call)]))
      continue;
    switch (fault.kind) {
      case Fault::Kind::error:
        return fault.code;
      case Fault::Kind::hang:
        live_.hang(fault, [&](const Fault& other) { return other.matches(entry.call, entry.index, std::nullopt); });
        break;
      case Fault::Kind::slow:
        sleep_seconds(fault.milliseconds * 1e-3);
        break;
      case Fault::Kind::crash:
        abort();
      case Fault::Kind::memory:
        leak_memory();
        break;
      case Fault::Kind::garbage:
      case Fault::Kind::sentinel:
        entry.garbage = true;
        entry.sentinel = fault.kind == Fault::Kind::sentinel;
        entry.garbage_key = mix(fault.seed ^ mix(static_cast<uint64_t>(entry.now * 1e6)));
        break;
      case Fault::Kind::lost:
      case Fault::Kind::gone:
        if (entry.index) return nvml::kGpuIsLost;
        break;
      case Fault::Kind::frozen:
        entry.t = *began;
        break;
      case Fault::Kind::backwards:
        entry.t = std::max(2 * *began - entry.now, entry.since);
        break;
      case Fault::Kind::driver_unloaded:
      case Fault::Kind::xid:
        break;
    }
  }
  return nvml::kSuccess;
}

int copy_text(const std::string& text, char* out, nvml::U32 size) {
  if (!out) return nvml::kInvalidArgument;
  if (text.size() + 1 > size) return nvml::kInsufficientSize;
  memcpy(out, text.c_str(), text.size() + 1);
  return nvml::kSuccess;
}

}  // namespace accelmon::simulator
