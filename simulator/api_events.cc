// Event sets: Xids happen at times that the scenario fixes; a set hands each out once to whoever waits.

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <mutex>
#include <new>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "api.h"

namespace accelmon::nvml {

namespace {

constexpr U64 kSupported = kEventXid | kEventSingleBitEcc | kEventDoubleBitEcc | kEventClock;

struct EventSet {
  struct Registration {
    DeviceHandle handle;
    unsigned device;
    U64 types;
    double from;
  };
  std::vector<Registration> registrations;
  // The last event that was handed out: its time, and of those of one time its fault and its device.
  double time = -1;
  size_t ordinal = 0;
  unsigned device = 0;
};

class EventSets {
 public:
  static EventSets& get() {
    alignas(EventSets) static unsigned char storage[sizeof(EventSets)];
    static EventSets* const sets = new (storage) EventSets();
    return *sets;
  }
  std::mutex mutex;

  EventSet* find(EventSetHandle handle) {
    const auto found = std::find(all_.begin(), all_.end(), handle);
    return found == all_.end() ? nullptr : *found;
  }
  EventSetHandle add() {
    all_.push_back(new EventSet());
    return all_.back();
  }
  void remove(EventSet* set) {
    all_.erase(std::find(all_.begin(), all_.end(), set));
    delete set;
    if (all_.empty()) all_.shrink_to_fit();
  }

 private:
  std::vector<EventSet*> all_;
};

void sleep_for(double seconds) {
  const timespec left{static_cast<time_t>(seconds),
                      static_cast<long>((seconds - static_cast<double>(static_cast<long>(seconds))) * 1e9)};
  nanosleep(&left, nullptr);
}

// Sleeps while nobody touches the scenario's folder: a waiting reader costs nothing, as with the real driver.
class FolderWatch {
 public:
  FolderWatch() : fd_(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    const std::string path = Library::get().scenario_path();
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    if (fd_ >= 0 && inotify_add_watch(fd_, folder.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO | IN_MODIFY | IN_CREATE) < 0) {
      close(fd_);
      fd_ = -1;
    }
  }
  ~FolderWatch() {
    if (fd_ >= 0) close(fd_);
  }
  FolderWatch(const FolderWatch&) = delete;
  FolderWatch& operator=(const FolderWatch&) = delete;

  // At most `seconds`. After a change: as long as the library may go on with what it has read.
  void wait(double seconds) {
    constexpr double kLookedAt = 0.1;
    if (fd_ < 0) return sleep_for(std::min(seconds, kLookedAt));
    pollfd watched{fd_, POLLIN, 0};
    const auto whole = static_cast<time_t>(seconds);
    const timespec most{whole, static_cast<long>((seconds - static_cast<double>(whole)) * 1e9)};
    if (ppoll(&watched, 1, &most, nullptr) <= 0) return;
    char events[4096];
    while (read(fd_, events, sizeof events) > 0) {
    }
    sleep_for(std::min(seconds, kLookedAt));
  }

 private:
  int fd_;
};

struct Next {
  double time;
  size_t ordinal;
  unsigned device;
  unsigned xid;
  DeviceHandle handle;
};

// The first event that the set has not handed out yet.
std::optional<Next> next_event(const Scenario& scenario, const EventSet& set) {
  std::optional<Next> first;
  const auto key = [](double time, size_t ordinal, unsigned device) { return std::tuple(time, ordinal, device); };
  for (const simulator::Fault& fault : scenario.faults) {
    if (fault.kind != simulator::Fault::Kind::xid) continue;
    for (const EventSet::Registration& registration : set.registrations) {
      if (!(registration.types & kEventXid) || fault.device.value_or(registration.device) != registration.device) {
        continue;
      }
      double after = std::max(registration.from, set.time);
      std::optional<double> at = fault.next_occurrence(after);
      // At the very time of the last one: was it this one, or one before it?
      const auto last = key(set.time, set.ordinal, set.device);
      if (at && key(*at, fault.ordinal, registration.device) <= last) {
        at = fault.every > 0 ? fault.next_occurrence(*at + fault.every / 2) : std::nullopt;
      }
      if (!at) continue;
      const Next candidate{*at, fault.ordinal, registration.device, fault.xid, registration.handle};
      if (!first ||
          key(candidate.time, candidate.ordinal, candidate.device) < key(first->time, first->ordinal, first->device)) {
        first = candidate;
      }
    }
  }
  return first;
}

int wait_for_event(Call call, EventSetHandle handle, EventData* out, U32 timeout_ms) {
  Entry entry;
  if (const int code = Library::get().enter(call, entry); code != kSuccess) return code;
  if (!out) return kInvalidArgument;
  const double deadline = entry.now + timeout_ms / 1000.0;
  thread_local FolderWatch watch;  // closing one waits for the kernel
  for (;;) {
    if (!Library::get().initialized()) return kUninitialized;
    const auto scenario = Library::get().scenario();
    const double now = Library::get().now();
    if (!scenario || !Library::get().ready(now, *scenario)) return kUninitialized;
    double wake = std::min(deadline, now + 1);
    {
      const std::lock_guard lock(EventSets::get().mutex);
      EventSet* const set = EventSets::get().find(handle);
      if (!set) return kInvalidArgument;
      if (const std::optional<Next> next = next_event(*scenario, *set)) {
        if (next->time <= now) {
          set->time = next->time;
          set->ordinal = next->ordinal;
          set->device = next->device;
          *out = EventData{next->handle, kEventXid, next->xid, kNoValue32, kNoValue32};
          return kSuccess;
        }
        wake = std::min(wake, next->time);
      }
    }
    if (now >= deadline) return kTimeout;
    watch.wait(std::max(wake - now, 0.0005));
  }
}

}  // namespace

int nvmlEventSetCreate(EventSetHandle* out) {
  return system_call(Call::nvmlEventSetCreate, [&](Entry&) -> int {
    if (!out) return kInvalidArgument;
    const std::lock_guard lock(EventSets::get().mutex);
    *out = EventSets::get().add();
    return kSuccess;
  });
}

int nvmlEventSetFree(EventSetHandle handle) {
  return system_call(Call::nvmlEventSetFree, [&](Entry&) -> int {
    const std::lock_guard lock(EventSets::get().mutex);
    EventSet* const set = EventSets::get().find(handle);
    if (!set) return kInvalidArgument;
    EventSets::get().remove(set);
    return kSuccess;
  });
}

int nvmlDeviceGetSupportedEventTypes(DeviceHandle device, U64* out) {
  return device_call(Call::nvmlDeviceGetSupportedEventTypes, device, Takes::gpu, [&](Entry&) -> int {
    if (!out) return kInvalidArgument;
    *out = kSupported;
    return kSuccess;
  });
}

int nvmlDeviceRegisterEvents(DeviceHandle device, U64 types, EventSetHandle handle) {
  return device_call(Call::nvmlDeviceRegisterEvents, device, Takes::gpu, [&](Entry& entry) -> int {
    if (types == 0) return kInvalidArgument;
    if (types & ~kSupported) return kNotSupported;
    const std::lock_guard lock(EventSets::get().mutex);
    EventSet* const set = EventSets::get().find(handle);
    if (!set) return kInvalidArgument;
    for (EventSet::Registration& known : set->registrations) {
      if (known.device != *entry.index) continue;
      known.types |= types;
      return kSuccess;
    }
    set->registrations.push_back({device, *entry.index, types, entry.now});
    return kSuccess;
  });
}

int nvmlEventSetWait(EventSetHandle set, EventData* out, U32 timeout_ms) {
  return wait_for_event(Call::nvmlEventSetWait, set, out, timeout_ms);
}
int nvmlEventSetWait_v2(EventSetHandle set, EventData* out, U32 timeout_ms) {
  return wait_for_event(Call::nvmlEventSetWait_v2, set, out, timeout_ms);
}

}  // namespace accelmon::nvml
