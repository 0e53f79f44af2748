// Time. Durations and deadlines are measured on the monotonic clock; wall time only stamps samples.
//
// Code that waits or measures takes a Clock, so that tests move time by hand. Nanoseconds in int64: 292 years.
// Threads: RealClock has no state; ManualClock may be advanced by one thread while others read.
#pragma once

#include <atomic>
#include <cstdint>

namespace accelmon {

using Nanos = int64_t;

inline constexpr Nanos kMicrosecond = 1'000;
inline constexpr Nanos kMillisecond = 1'000'000;
inline constexpr Nanos kSecond = 1'000'000'000;

inline constexpr double to_seconds(Nanos ns) {
  return static_cast<double>(ns) * 1e-9;
}

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Nanos monotonic() const = 0;  // since an arbitrary start; never goes back
  virtual Nanos wall() const = 0;       // since the Unix epoch; may jump
};

// The system's clocks (vDSO: about 50 ns a call).
const Clock& real_clock();

class ManualClock : public Clock {
 public:
  explicit ManualClock(Nanos monotonic = kSecond, Nanos wall = 1'700'000'000 * kSecond)
      : monotonic_(monotonic), wall_(wall) {}
  Nanos monotonic() const override { return monotonic_.load(std::memory_order_relaxed); }
  Nanos wall() const override { return wall_.load(std::memory_order_relaxed); }
  void advance(Nanos by) {
    monotonic_.fetch_add(by, std::memory_order_relaxed);
    wall_.fetch_add(by, std::memory_order_relaxed);
  }
  void jump_wall(Nanos by) { wall_.fetch_add(by, std::memory_order_relaxed); }

 private:
  std::atomic<Nanos> monotonic_;
  std::atomic<Nanos> wall_;
};

// Absolute deadlines on a fixed grid. A tick that was slept through is counted and not made up for.
//
// The grid is aligned to wall time once, at the start (several agents' and collectors' polls then fall together, and a
// host wakes once for all), and afterwards follows the monotonic clock alone.
class Ticker {
 public:
  Ticker(Nanos interval, Nanos monotonic_now, Nanos wall_now);

  Nanos deadline() const { return deadline_; }
  Nanos interval() const { return interval_; }
  // Call when the deadline has passed: moves to the next deadline after `monotonic_now`; returns how many were missed.
  uint64_t advance(Nanos monotonic_now);

 private:
  Nanos interval_;
  Nanos deadline_;
};

}  // namespace accelmon
