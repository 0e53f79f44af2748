// The scenario file that a simulated process shows, read again when it changes.
//
// Environment: ACCELMON_SCENARIO is its path, ACCELMON_SIM_EPOCH_NS the monotonic time of scenario time 0 (by default
// when this object is made). Threads: any number; the lock is held only while the file is looked at, ten times a second
// at most. Cost of get(): a lock. It keeps nothing on the heap after release(): a library that holds it may be
// unloaded.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <memory>
#include <mutex>
#include <string>

#include "scenario.h"

namespace accelmon::simulator {

class LiveScenario {
 public:
  // `speaker` begins each complaint on standard error.
  explicit LiveScenario(const char* speaker);

  // Null: there is no good one. One that breaks leaves the last good one in force.
  std::shared_ptr<const Scenario> get();
  // Lets go of what was read; the next get() reads it again.
  void release();
  double now() const;  // scenario time
  int64_t epoch_ns() const { return epoch_ns_; }
  const char* path() const { return path_; }

  // Does not return while a hang of this fault lasts: until it is over by the clock, or somebody has mended the file.
  // bool concerns(const Fault&): whether a fault of the file as it is then is about the same call.
  template <class Concerns>
  void hang(const Fault& fault, Concerns&& concerns);

  void complain(const std::string& what);  // once, until something else is wrong

 private:
  void reload();

  const char* speaker_;
  char path_[4096] = {};
  int64_t epoch_ns_ = 0;
  std::mutex mutex_;
  std::shared_ptr<const Scenario> scenario_;
  timespec changed_{};
  int64_t size_ = -1;
  int64_t checked_ns_ = 0;
  uint64_t complaint_ = 0;  // hash of the last one
};

void sleep_seconds(double seconds);
int64_t clock_ns(clockid_t id);
// What a leak of a fault of kind `memory` takes; it is never given back. Ends the process where there is no more.
void leak_memory();

template <class Concerns>
void LiveScenario::hang(const Fault& fault, Concerns&& concerns) {
  for (;;) {
    const std::shared_ptr<const Scenario> current = get();
    const double t = now();
    const bool still = current && std::any_of(current->faults.begin(), current->faults.end(), [&](const Fault& other) {
                         return other.kind == Fault::Kind::hang && other.ordinal == fault.ordinal &&
                                other.occurrence(t) && concerns(other);
                       });
    if (!still) return;
    sleep_seconds(0.02);
  }
}

}  // namespace accelmon::simulator
