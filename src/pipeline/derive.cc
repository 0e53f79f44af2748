#include "pipeline/derive.h"

#include <algorithm>

namespace accelmon::pipeline {
namespace {

// More than any host has devices and reasons; a bound against catalogs that invent new devices for ever.
constexpr size_t kGone = 4096;

template <class Step>
std::vector<Step> flatten(PerTier<Step>& tiers) {
  std::vector<Step> all;
  for (std::vector<Step>& tier : tiers) {
    all.insert(all.end(), tier.begin(), tier.end());
    tier.clear();
  }
  return all;
}

template <class Step>
size_t highest_target(const std::vector<Step>& steps) {
  size_t highest = 0;
  for (const Step& step : steps) highest = std::max<size_t>(highest, step.target + 1);
  return highest;
}

}  // namespace

void Rates::configure(PerTier<RateStep> steps, const std::vector<int32_t>& old_series) {
  const std::vector<RateStep> old = flatten(steps_);
  const StepOf of = steps_by_target(old, highest_target(old));
  for (size_t tier = 0; tier < kTiers; ++tier) {
    steps_[tier] = std::move(steps[tier]);
    for (RateStep& step : steps_[tier]) {
      const int32_t k = old_step(of, old_series, step.target);
      if (k < 0) continue;
      const RateStep& before = old[static_cast<size_t>(k)];
      if (before.derived_source != step.derived_source) continue;  // another counter under the same name
      step.has_base = before.has_base;
      step.epoch = before.epoch;
      step.base = before.base;
      step.base_at = before.base_at;
    }
  }
}

void Rates::run(Tier tier, const Reading& reading, Samples& samples) {
  for (RateStep& step : steps_[static_cast<size_t>(tier)]) {
    const State state = samples.states[step.source];
    if (state != State::ok) {
      samples.absent(step.target, state);
      continue;
    }
    const Nanos at = samples.at[step.source];
    const Nanos elapsed = at - step.base_at;
    const double value = samples.values[step.source];
    if (step.has_base && elapsed == 0 && step.epoch == samples.epoch[step.source]) {
      // An integral without a new sample: its growth is not known yet, and the last rate stands. A counter read twice
      // at the same instant: no time to divide by.
      if (!step.derived_source) samples.absent(step.target, State::not_ready);
      continue;
    }
    const bool continues = step.has_base && elapsed > 0 && elapsed <= reading.gap &&
                           step.epoch == samples.epoch[step.source] && value >= step.base;
    if (continues) {
      const double rate = (value - step.base) / to_seconds(elapsed);
      samples.set(step.target, std::clamp(rate, step.minimum, step.maximum), at);
    } else {
      samples.absent(step.target, State::not_ready);
    }
    step.has_base = true;
    step.epoch = samples.epoch[step.source];
    step.base = value;
    step.base_at = at;
  }
}

void Integrals::configure(PerTier<IntegralStep> steps, const std::vector<int32_t>& old_series,
                          const std::vector<Fingerprint>& keys, const std::vector<Fingerprint>& old_keys) {
  const std::vector<IntegralStep> old = flatten(steps_);
  const StepOf of = steps_by_target(old, highest_target(old));
  std::vector<bool> carried(old.size(), false);
  for (size_t tier = 0; tier < kTiers; ++tier) {
    steps_[tier] = std::move(steps[tier]);
    for (IntegralStep& step : steps_[tier]) {
      if (const int32_t k = old_step(of, old_series, step.target); k >= 0) {
        const IntegralStep& before = old[static_cast<size_t>(k)];
        carried[static_cast<size_t>(k)] = true;
        step.total = before.total;
        // The same counter fed by another series: the total goes on, but no line joins the two sources.
        if (old_series[step.source] == static_cast<int32_t>(before.source)) {
          step.has_previous = before.has_previous;
          step.previous = before.previous;
          step.previous_at = before.previous_at;
        }
        continue;
      }
      const Fingerprint& key = keys[step.target];
      const auto found =
          std::find_if(gone_.begin(), gone_.end(), [&](const auto& entry) { return entry.first == key; });
      if (found == gone_.end()) continue;
      step.total = found->second;
      gone_.erase(found);
    }
  }
  for (size_t k = 0; k < old.size(); ++k)
    if (!carried[k] && old[k].total > 0) gone_.emplace_back(old_keys[old[k].target], old[k].total);
  while (gone_.size() > kGone) gone_.pop_front();
}

void Integrals::run(Tier tier, const Reading& reading, Samples& samples) {
  for (IntegralStep& step : steps_[static_cast<size_t>(tier)]) {
    if (!samples.sampled(step.source, reading.at)) {
      if (!reading.repeats(step.previous_at)) samples.absent(step.target, samples.states[step.source]);
      continue;
    }
    const double value = samples.values[step.source];
    const Nanos elapsed = reading.at - step.previous_at;
    if (step.has_previous && elapsed > 0 && elapsed <= reading.gap) {
      const double height = step.hold == Hold::of_period ? value
                            : step.hold == Hold::state   ? step.previous
                                                         : 0.5 * (step.previous + value);
      step.total += std::max(0.0, height * to_seconds(elapsed));
    }
    step.has_previous = true;
    step.previous = value;
    step.previous_at = reading.at;
    samples.set(step.target, step.total, reading.at);
  }
}

}  // namespace accelmon::pipeline
