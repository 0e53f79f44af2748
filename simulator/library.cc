#include "library.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "live_scenario.h"

namespace accelmon::simulator {

namespace {

constexpr int64_t kSecond = 1000000000;
constexpr int64_t kCheckEvery = kSecond / 10;

int64_t clock_ns(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return int64_t{now.tv_sec} * kSecond + now.tv_nsec;
}

void sleep_ns(int64_t duration) {
  timespec left{static_cast<time_t>(duration / kSecond), static_cast<long>(duration % kSecond)};
  while (nanosleep(&left, &left) != 0) {
  }
}

std::string environment(const char* name) {
  const char* value = getenv(name);
  return value ? value : "";
}

std::optional<std::string> read_file(const char* path) {
  constexpr size_t kLongest = 2 << 20;  // the parser refuses what is half as long
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  while (text.size() < kLongest && (got = read(file, buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<size_t>(got));
  }
  close(file);
  return got < 0 ? std::nullopt : std::optional<std::string>(std::move(text));
}

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
  if (garbage) {
    // Those that have been seen: all ones, a value of another unit, any bits.
    const uint64_t key = mix(garbage_key++);
    return key % 3 == 0 ? 4294967295u : key % 3 == 1 ? 4000000000u : static_cast<nvml::U32>(key >> 20);
  }
  return value > 0 ? static_cast<nvml::U32>(std::min(value, 4294967295.0)) : 0;
}

nvml::U64 Entry::u64(uint64_t value) {
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

Library::Library() {
  snprintf(path_, sizeof(path_), "%s", environment("ACCELMON_SCENARIO").c_str());
  const int64_t monotonic = clock_ns(CLOCK_MONOTONIC);
  wall_offset_ns_ = clock_ns(CLOCK_REALTIME) - monotonic;
  const std::string epoch = environment("ACCELMON_SIM_EPOCH_NS");
  char* end = nullptr;
  epoch_ns_ = strtoll(epoch.c_str(), &end, 10);
  if (epoch.empty() || *end != '\0') epoch_ns_ = monotonic;
}

double Library::now() const {
  return static_cast<double>(std::max<int64_t>(clock_ns(CLOCK_MONOTONIC) - epoch_ns_, 0)) * 1e-9;
}

int64_t Library::wall_us(double t) const {
  return (wall_offset_ns_ + epoch_ns_) / 1000 + static_cast<int64_t>(t * 1e6);
}

void Library::complain(const std::string& what) {
  uint64_t hash = 1;
  for (const char c : what) hash = mix(hash ^ static_cast<unsigned char>(c));
  if (hash == complaint_) return;
  complaint_ = hash;
  fprintf(stderr, "nvidia_ml_simulator: %s\n", what.c_str());
}

void Library::reload() {
  const int64_t now_ns = clock_ns(CLOCK_MONOTONIC);
  if (checked_ns_ != 0 && now_ns - checked_ns_ < kCheckEvery) return;
  checked_ns_ = now_ns;
  if (path_[0] == '\0') return complain("set ACCELMON_SCENARIO to the path of a scenario");
  struct stat status {};
  if (stat(path_, &status) != 0) {
    return complain("cannot read the scenario " + std::string(path_) + ": " + strerror(errno));
  }
  const bool same =
      status.st_mtim.tv_sec == changed_.tv_sec && status.st_mtim.tv_nsec == changed_.tv_nsec && status.st_size == size_;
  if (same) return;
  ParseOutcome outcome;
  if (const std::optional<std::string> text = read_file(path_)) {
    outcome = parse_scenario(*text, now());
  } else {
    return complain("cannot read the scenario " + std::string(path_) + ": " + strerror(errno));
  }
  changed_ = status.st_mtim;
  size_ = status.st_size;
  if (outcome.scenario) {
    scenario_ = std::make_shared<const Scenario>(std::move(*outcome.scenario));
    complaint_ = 0;
  } else {
    // What was good stays in force: a person may be in the middle of an edit.
    complain("the scenario " + std::string(path_) + " is broken: " + outcome.error);
  }
  // The memory of the parser goes back, so that a process that is measured shows its own.
  malloc_trim(0);
}

std::shared_ptr<const Scenario> Library::scenario() {
  const std::lock_guard lock(mutex_);
  reload();
  return scenario_;
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
  if (--references_ == 0) {
    scenario_.reset();
    size_ = -1;
    checked_ns_ = 0;
  }
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

bool Library::drawn(const Fault& fault, const Entry& entry) {
  if (fault.probability >= 1) return true;
  const uint64_t draw = draws_[static_cast<size_t>(entry.call)]++;
  const uint64_t place = fault.ordinal << 16 | static_cast<uint64_t>(entry.call) << 8 | entry.index.value_or(0xff);
  return mix_unit(mix(fault.seed ^ mix(place)) + draw) < fault.probability;
}

void Library::hang(const Fault& fault, const Entry& entry) {
  // Until it is over by the clock, or somebody has mended the file.
  for (;;) {
    const std::shared_ptr<const Scenario> current = scenario();
    const double t = now();
    const bool still = current && std::any_of(current->faults.begin(), current->faults.end(), [&](const Fault& other) {
                         return other.kind == Fault::Kind::hang && other.ordinal == fault.ordinal &&
                                other.occurrence(t) && other.matches(entry.call, entry.index, std::nullopt);
                       });
    if (!still) return;
    sleep_ns(kSecond / 50);
  }
}

int Library::apply_faults(Entry& entry, std::optional<unsigned> field) {
  const Scenario& scenario = *entry.scenario;
  for (const Fault& fault : scenario.faults) {
    // What was about the whole call was done when it was entered.
    if (field.has_value() != fault.field.has_value()) continue;
    const std::optional<double> began = fault.occurrence(entry.now);
    if (!began || !fault.matches(entry.call, entry.index, field) || !drawn(fault, entry)) continue;
    switch (fault.kind) {
      case Fault::Kind::error:
        return fault.code;
      case Fault::Kind::hang:
        hang(fault, entry);
        break;
      case Fault::Kind::slow:
        sleep_ns(static_cast<int64_t>(fault.milliseconds * 1e6));
        break;
      case Fault::Kind::crash:
        abort();
      case Fault::Kind::memory:
        leak_memory();
        break;
      case Fault::Kind::garbage:
        entry.garbage = true;
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
