// What a collector is: it discovers devices and series once, and then fills frames.
//
// A collector reads one source (one vendor's library, the host's /proc). It normally runs alone in its own process,
// where it may hang, crash or leak without harm to the agent; in tests and embedded use it runs in the caller's. It
// does not know which.
//
//   Collector c(context);
//   Result<Catalog> catalog = c.discover();           // absent: nothing of this vendor here; try again later
//   Frame frame; frame.resize(catalog->series.size());
//   loop: PollResult r = c.poll({due tiers, now}, frame, events);
//
// Rules: values in the table's units; what cannot be read is a State with the reason among the catalog's absences;
// every call into a library or file goes through the CallMeter, which times it and lets a watcher name the call in
// which the process hangs; poll() allocates nothing once it has run; nothing is retried within a poll.
// Threads: a collector is used by one thread. Its events may be gathered by a thread of its own.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "base/text.h"
#include "collectors/call_meter.h"
#include "model/catalog.h"
#include "model/event.h"
#include "model/frame.h"

namespace accelmon {

// For how many intervals a driver's counter that does not move repeats its last answer: as many as make any reading
// stale.
inline constexpr int kPatientIntervals = 3;

struct CollectorContext {
  CallMeter& calls;
  const Clock& clock;
  // Settings of this collector, from the configuration and the command line: "library", "procfs", "sysfs", ...
  std::map<std::string, std::string, std::less<>> options;

  std::string option(std::string_view name, std::string_view fallback) const {
    const auto found = options.find(name);
    return found == options.end() ? std::string(fallback) : found->second;
  }
  // Of the fast tier, as far as it is known.
  Nanos interval() const {
    const auto told = parse_u64(option("interval_ns", ""));
    return told ? static_cast<Nanos>(*told) : kSecond;
  }
};

struct PollRequest {
  uint8_t due = 0;  // bit t: read the series of Tier t
  bool is_due(Tier tier) const { return (due >> static_cast<unsigned>(tier)) & 1u; }
};

enum class PollResult : uint8_t {
  ok,          // the frame holds what could be read
  rediscover,  // devices or processes changed: discover() again (the library is kept), then go on
  lost,        // the driver is gone or was reloaded: release(), then discover() from the start, with back-off
};

class Collector {
 public:
  virtual ~Collector() = default;

  // Opens what must be opened and lists devices and series. Called again after `rediscover` and `lost`. The generation
  // is set by the caller. Errors: absent (no library, driver or device: the message is shown to the user as it is),
  // no_permission, and others with the reason.
  virtual Result<Catalog> discover() = 0;

  // Reads the series of the due tiers into `frame` (laid out by the last discovered catalog); leaves the others as they
  // are, but for those that it knows to be gone: a device that is lost has no readings of any tier. Appends what
  // happened since the last poll to `events`. Sets values and states only: times are the caller's, but for a collector
  // that leaves out a turn of a tier that is due: it takes the tier's bit out of `fresh` and puts its `read_at` back.
  virtual PollResult poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) = 0;

  // A descriptor that can be read when there is something to poll for before the next turn; -1: none. Valid from a
  // discovery until the next call of poll(), discover() or release().
  virtual int wake_descriptor() const { return -1; }

  // Closes every library, file and descriptor of the vendor, so that its driver can be unloaded.
  virtual void release() = 0;
};

}  // namespace accelmon
