// The agent's list of events: bounded, each once, grouped into bursts.
//
// Burst: events of one device that follow each other by less than three minutes. Its root is the first event that does
// not merely follow another error (the catalogue of events says which do); where all of them do, the first.
// Once: the same code of the same device from two sources (NVML and the kernel's log both tell of an Xid) within five
// seconds is one event; from one source it is counted in `times`, unless the source tells its history again, as a
// restarted collector does.
// Devices: a source that knows only the PCI address is understood by what others' catalogs say of it (learn()).
// Threads: used under the agent's lock. Cost: a walk over at most 256 entries for each new event.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "model/catalog.h"
#include "model/event.h"

namespace accelmon {

class EventLog {
 public:
  static constexpr size_t kKept = 256;
  static constexpr Nanos kSame = 5 * kSecond;
  static constexpr Nanos kBurst = 180 * kSecond;
  // An event that is older than this when it is told is history.
  static constexpr Nanos kHistory = 10 * kSecond;

  struct Entry {
    Event event;
    std::string source;  // the collector that told first
    uint64_t burst = 0;  // 0: of no device, thus of no burst
    bool root = false;
    uint32_t times = 1;  // how often within kSame of the one before
    Nanos last = 0;      // wall time of the last of them
  };

  // Takes over which PCI address is which device. Call when a catalog is new.
  void learn(const Catalog& catalog);

  // Returns whether the event is a new entry.
  bool add(std::string_view source, Event event, Nanos wall_now);

  // Oldest first.
  const std::deque<Entry>& entries() const { return entries_; }

 private:
  void place_in_burst(size_t at);
  void find_root(uint64_t burst);

  std::deque<Entry> entries_;
  std::map<std::string, std::string, std::less<>> device_at_;  // PCI address -> hw.id
  uint64_t bursts_ = 0;
};

}  // namespace accelmon
