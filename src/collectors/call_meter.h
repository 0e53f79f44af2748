// Times every vendor call, counts its errors, and shows a watcher which call is under way.
//
// The watcher is the agent, which maps the Heartbeat page that the collector process writes: when a collector falls
// silent the agent can name the call in which it sits. In-process use has a Heartbeat of its own.
// Threads: a CallMeter is used by one thread (the poller); Heartbeat is written by it and read by anyone.
// Cost: two clock reads and a dozen relaxed stores a call, about 0.15 us.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/catalog.h"

namespace accelmon {

// Shared memory between a collector process and the agent: trivially laid out, lock-free, never trusted by its reader.
struct Heartbeat {
  std::atomic<int64_t> call_began{0};  // monotonic time; 0: in no call
  std::atomic<uint64_t> name[8]{};     // NUL-padded name of that call
  std::atomic<int64_t> alive{0};       // monotonic time of the last sign of life

  std::string current_call() const;  // printable, empty when in none
};
static_assert(std::atomic<int64_t>::is_always_lock_free);

using CallId = uint32_t;

struct CallStats {
  std::string name;
  uint64_t calls = 0;
  Nanos time = 0;
  Nanos longest = 0;
};

class CallMeter {
 public:
  // `heartbeat` must outlive the meter; nullptr: one of its own.
  explicit CallMeter(const Clock& clock, Heartbeat* heartbeat = nullptr);
  CallMeter(const CallMeter&) = delete;
  CallMeter& operator=(const CallMeter&) = delete;

  // Registers a call by name (cut to 63 bytes), once, at start; the same name gives the same id.
  CallId add(std::string_view name);

  // Runs `call` and accounts for it: auto code = meter.measure(id, [&] { return nvmlInit(); });
  template <class F>
  auto measure(CallId id, F&& call) {
    const Scope scope(*this, id);
    return call();
  }

  // Counts a failed call under the vendor's name of the error ("NVML_ERROR_UNKNOWN", "EIO"). What a device does not
  // support is not an error and is not counted.
  void count_error(std::string_view code);

  // ---- tiers adapt ----
  // The tier in which a collector is to read what this call gives, where it would like `wanted`: a slower one once the
  // call has taken more than a tenth of its tier's interval in three polls one after the other. Asked at discovery.
  Tier place(CallId id, Tier wanted);
  // The call that began last: the one behind a reading that discovery has just tried.
  CallId last() const { return last_; }
  // The poll is over. True when a place has changed, so that the collector must discover again.
  bool close_poll(const std::array<Nanos, kTiers>& intervals);
  // What was called since the last close_poll() was no poll: discovery.
  void skip_poll();
  // Grows with every change of a place.
  uint64_t places() const { return places_; }
  // Calls that are read less often than wanted, for people: {"nvmlX", "takes 120 ms a poll: read every 10 s, not every
  // 1 s"}.
  std::vector<std::pair<std::string, std::string>> moved(const std::array<Nanos, kTiers>& intervals) const;

  const std::vector<CallStats>& calls() const { return stats_; }
  const std::map<std::string, uint64_t, std::less<>>& errors() const { return errors_; }

 private:
  class Scope {
   public:
    Scope(CallMeter& meter, CallId id) : meter_(meter), id_(id) { meter_.begin(id_); }
    ~Scope() { meter_.end(id_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    CallMeter& meter_;
    CallId id_;
  };
  void begin(CallId id);
  void end(CallId id);

  struct Place {
    bool asked = false;
    Tier wanted = Tier::fast;
    Tier given = Tier::fast;
    Nanos seen = 0;       // stats_.time at the last close
    uint64_t calls = 0;   // stats_.calls likewise
    Nanos last_poll = 0;  // time of the last poll that made the call
    unsigned over = 0;    // polls in a row over the budget
    unsigned under = 0;   // polls in a row far under that of a faster tier
    unsigned probation = 60;
  };

  const Clock& clock_;
  Heartbeat own_;
  Heartbeat* heartbeat_;
  Nanos began_ = 0;
  CallId last_ = 0;
  std::vector<Place> place_;
  uint64_t places_ = 0;
  std::vector<CallStats> stats_;
  std::vector<std::array<uint64_t, 8>> names_;
  std::map<std::string, uint64_t, std::less<>> errors_;
};

}  // namespace accelmon
