// Min, mean, max and p95 over the trailing window, recomputed from the samples in it: nothing drifts.
//
// A window is the half-open time (now - span, now]. What it holds of one series:
//   min, max  of the samples in it
//   mean      time-weighted: a sample stands for the time since the series' one before it, cut at the window's start;
//             after a gap, and at first, for one interval
//   p95       the smallest sample that at least 95 % of the samples do not exceed (nearest rank)
// Absent samples do not count; a window without a sample is `not_ready`.
//
// Samples lie in slots, at most 77. Where the tier is read at most 60 times in a window every sample has a slot of its
// own and all four are exact. Where it is read faster a slot gathers the samples of span / 60: min and max stay exact,
// the window's far end is exact to one slot, and p95 is over the slots' means, so that it does not depend on how often
// one polls (p95 over the slots' maxima would rise with the polling rate).
// The slots' times are common to all series of a tier; a series has only the columns that its statistics need.
// Threads: one. Cost: about 60 ns a series for each evaluation, at most one a second; no allocation after configure().
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "model/catalog.h"
#include "pipeline/samples.h"

namespace accelmon::pipeline {

inline constexpr size_t kStatistics = 4;  // in the order of the bits of Statistic
inline constexpr uint32_t kNoTarget = UINT32_MAX;

struct WindowStep {
  uint32_t source;
  std::array<uint32_t, kStatistics> targets{kNoTarget, kNoTarget, kNoTarget, kNoTarget};
  // Where the columns begin in the tier's memory; kNoTarget: not kept.
  uint32_t weights = 0;
  uint32_t means = 0;
  uint32_t minima = kNoTarget;
  uint32_t maxima = kNoTarget;
  double lowest = 0;  // bounds of the metric: rounding must not carry a mean past them
  double highest = 0;
  // State.
  Nanos last_at = 0;

  uint32_t first_target() const {
    for (const uint32_t target : targets)
      if (target != kNoTarget) return target;
    return kNoTarget;
  }
};

// All windows of one tier.
class Windows {
 public:
  // Once, before anything else. Both positive.
  void set_times(Nanos span, Nanos interval);

  void configure(std::vector<WindowStep> steps, const std::vector<int32_t>& old_series, size_t series);
  void run(const Reading& reading, Samples& samples);

  size_t bytes() const { return data_.capacity() * sizeof(double); }

 private:
  // The slot that takes a sample read at `at`: the newest one, or the one after it.
  uint32_t slot_for(Nanos at);
  void empty(uint32_t slot);
  void add(WindowStep& step, uint32_t slot, double value, const Reading& reading);
  void evaluate(Nanos at, Samples& samples);
  void evaluate(const WindowStep& step, Nanos at, Samples& samples);

  Nanos span_ = 0;
  Nanos slot_ = 0;         // a sample later than this after a slot's first one begins the next
  Nanos every_ = 0;        // least time between evaluations
  uint32_t capacity_ = 0;  // slots
  uint32_t columns_ = 0;   // slots of a column in memory: rounded up, the rest stays empty

  // Slots are a ring: `count_` of them, the oldest at `oldest_`.
  uint32_t oldest_ = 0;
  uint32_t count_ = 0;
  std::vector<Nanos> first_at_;
  std::vector<Nanos> last_at_;
  std::vector<double> clip_;  // seconds of the slot that lie in the window, at most

  std::vector<WindowStep> steps_;
  std::vector<double> data_;  // columns; those of maxima hold the values' opposites, so that both look for the least
  Nanos evaluated_at_ = 0;    // 0: due
};

}  // namespace accelmon::pipeline
