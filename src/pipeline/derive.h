// Rates of counters and integrals of gauges, over real elapsed time.
//
// Rate      growth since the counter's last reading divided by the time since then, held to the bounds of its metric (a
//           share of 1.003 is the jitter of two clock readings). `not_ready` at first, after a reset, after a gap, and
//           when the clock did not move.
// Integral  what a value is taken to have been between two samples depends on what it is:
//             of_period  an average over the time before it (utilization; power as an average): the NEW value held
//             state      it stood until it was seen to change: the PREVIOUS value held
//             instant    a reading of a moment (instant power): the straight line between both
//           A gap longer than three intervals adds nothing: what happened in it is unknown. The total never goes down.
// While the source gives no sample, a derived value is repeated for as long as a gap may last; then it takes the state
// of its source. Threads: one. Cost: a few nanoseconds a step, no allocation after configure().
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "model/catalog.h"
#include "model/fingerprint.h"
#include "pipeline/samples.h"

namespace accelmon::pipeline {

struct RateStep {
  uint32_t source;
  uint32_t target;
  bool derived_source;  // an integral: it may repeat its total without a new sample
  double minimum;
  double maximum;
  // State.
  bool has_base = false;
  uint32_t epoch = 0;
  double base = 0;
  Nanos base_at = 0;
};

class Rates {
 public:
  void configure(PerTier<RateStep> steps, const std::vector<int32_t>& old_series);
  void run(Tier tier, const Reading& reading, Samples& samples);

 private:
  PerTier<RateStep> steps_;
};

enum class Hold : uint8_t { of_period, state, instant };

struct IntegralStep {
  uint32_t source;
  uint32_t target;
  Hold hold;
  // State.
  bool has_previous = false;
  double previous = 0;
  Nanos previous_at = 0;
  double total = 0;
};

class Integrals {
 public:
  // `keys` and `old_keys`: the fingerprint of every series of the new and the old catalog. Totals of series that are
  // gone are remembered, so that a device that comes back goes on where it was: a counter that starts again would look
  // like nothing had happened in between.
  void configure(PerTier<IntegralStep> steps, const std::vector<int32_t>& old_series,
                 const std::vector<Fingerprint>& keys, const std::vector<Fingerprint>& old_keys);
  void run(Tier tier, const Reading& reading, Samples& samples);

 private:
  PerTier<IntegralStep> steps_;
  std::deque<std::pair<Fingerprint, double>> gone_;  // oldest first, at most kGone
};

}  // namespace accelmon::pipeline
