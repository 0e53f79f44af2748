// Exponential moving averages over irregular time.
//
// A sample stands for the time since the one before it: average += (1 - exp(-dt / tau)) * (sample - average). With the
// real dt a late or lost poll bends nothing, and polling more often in between changes nothing for a value that stands.
// The first sample is the first average. While the source gives no sample the average is repeated for as long as a gap
// may last, then takes the source's state; it goes on from where it was when samples come again, weighted by the true
// time. Threads: one. Cost: about 2 ns a step (the exponential is computed once for each dt and tau); no allocation
// after configure().
#pragma once

#include <cstdint>
#include <vector>

#include "model/catalog.h"
#include "pipeline/samples.h"

namespace accelmon::pipeline {

struct EmaStep {
  uint32_t source;
  uint32_t target;
  double tau;  // seconds
  // State.
  double average = 0;
  Nanos last_at = 0;  // 0: no sample yet
};

class Emas {
 public:
  // Steps of one tier with the same tau should be neighbours.
  void configure(PerTier<EmaStep> steps, const std::vector<int32_t>& old_series);
  void run(Tier tier, const Reading& reading, Samples& samples);

 private:
  PerTier<EmaStep> steps_;
};

}  // namespace accelmon::pipeline
