#include "pipeline/ema.h"

#include <algorithm>
#include <cmath>

namespace accelmon::pipeline {

void Emas::configure(PerTier<EmaStep> steps, const std::vector<int32_t>& old_series) {
  std::vector<EmaStep> old;
  size_t highest = 0;
  for (const std::vector<EmaStep>& tier : steps_)
    for (const EmaStep& step : tier) {
      old.push_back(step);
      highest = std::max<size_t>(highest, step.target + 1);
    }
  const StepOf of = steps_by_target(old, highest);
  for (size_t tier = 0; tier < kTiers; ++tier) {
    steps_[tier] = std::move(steps[tier]);
    for (EmaStep& step : steps_[tier]) {
      const int32_t k = old_step(of, old_series, step.target);
      if (k < 0) continue;
      step.average = old[static_cast<size_t>(k)].average;
      step.last_at = old[static_cast<size_t>(k)].last_at;
    }
  }
}

void Emas::run(Tier tier, const Reading& reading, Samples& samples) {
  double tau = 0;
  Nanos elapsed = 0;
  double alpha = 0;
  for (EmaStep& step : steps_[static_cast<size_t>(tier)]) {
    if (!samples.sampled(step.source, reading.at)) {
      if (!reading.repeats(step.last_at)) samples.absent(step.target, samples.states[step.source]);
      continue;
    }
    const double value = samples.values[step.source];
    if (step.last_at == 0) {
      step.average = value;
    } else {
      const Nanos since = std::max<Nanos>(0, reading.at - step.last_at);
      if (since != elapsed || step.tau != tau) {
        elapsed = since;
        tau = step.tau;
        alpha = -std::expm1(-to_seconds(elapsed) / tau);
      }
      // Rounding must not carry the average past the sample.
      const double moved = step.average + alpha * (value - step.average);
      step.average = std::clamp(moved, std::min(step.average, value), std::max(step.average, value));
    }
    step.last_at = reading.at;
    samples.set(step.target, step.average, reading.at);
  }
}

}  // namespace accelmon::pipeline
