// The scenario file that a simulated process shows, read again when it changes.
//
// Environment: ACCELMON_SCENARIO is its path, ACCELMON_SIM_EPOCH_NS the monotonic time of scenario time 0 (by default
// when this object is made). Threads: any number; the lock is held only while the file is looked at, ten times a second
// at most. Cost of get(): a lock.
#pragma once

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
  double now() const;  // scenario time

 private:
  void reload();
  void complain(const std::string& what);

  const char* speaker_;
  std::string path_;
  int64_t epoch_ns_ = 0;
  std::mutex mutex_;
  std::shared_ptr<const Scenario> scenario_;
  timespec changed_{};
  int64_t size_ = -1;
  int64_t checked_ns_ = 0;
  std::string complaint_;
};

void sleep_seconds(double seconds);
// What a leak of a fault of kind `memory` takes; it is never given back. Ends the process where there is no more.
void leak_memory();

}  // namespace accelmon::simulator
