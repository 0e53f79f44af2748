#include "pipeline/gate.h"

#include <algorithm>
#include <cmath>

namespace accelmon::pipeline {
namespace {

constexpr double kRefresh = 1.0;  // seconds that a driver may be late with what it counts or measures

// NaN fails both comparisons. Infinity must be refused by itself: some metrics have no bound.
bool within(double value, double minimum, double maximum) {
  return value >= minimum && value <= maximum && std::isfinite(value);
}

// Whether a series that stood at `from` can stand at `to` after `elapsed`. A clock that stood still or went back proves
// nothing about speed: no time is taken to have passed.
bool reachable(double from, double to, Nanos elapsed, bool counter, double rate, double step) {
  const double seconds = elapsed > 0 ? to_seconds(elapsed) : 0.0;
  if (counter) return to >= from && to - from <= rate * (seconds + kRefresh) + step;
  return std::abs(to - from) <= rate * (elapsed > 0 ? std::max(seconds, kRefresh) : 0.0) + step;
}

}  // namespace

Gate::Gate() : entry_of_metric_(all_metrics().size(), -1) {
  implausible_.reserve(all_metrics().size());
}

void Gate::configure(const Catalog& catalog, size_t raw_series, const std::vector<int32_t>& old_series) {
  std::vector<Tracked> old;
  size_t highest = 0;
  for (std::vector<Tracked>& tier : tracked_) {
    for (const Tracked& tracked : tier) {
      old.push_back(tracked);
      highest = std::max<size_t>(highest, tracked.series + 1);
    }
    tier.clear();
  }
  StepOf of(highest, -1);
  for (size_t k = 0; k < old.size(); ++k) of[old[k].series] = static_cast<int32_t>(k);
  for (std::vector<Plain>& tier : plain_) tier.clear();

  for (uint32_t i = 0; i < raw_series; ++i) {
    const Series& series = catalog.series[i];
    const MetricInfo& metric = info(series.metric);
    const auto tier = static_cast<size_t>(series.tier);
    const bool counter = metric.kind == Kind::counter;
    if (!counter && metric.rate == kAny) {
      plain_[tier].push_back({i, metric.id, metric.kind == Kind::state, metric.minimum, metric.maximum});
      continue;
    }
    Tracked tracked{.series = i,
                    .metric = metric.id,
                    .counter = counter,
                    .minimum = metric.minimum,
                    .maximum = metric.maximum,
                    .rate = metric.rate,
                    .step = metric.step};
    if (const int32_t k = old_step(of, old_series, i); k >= 0) {
      const Tracked& before = old[static_cast<size_t>(k)];
      tracked.has_last = before.has_last;
      tracked.has_candidate = before.has_candidate;
      tracked.last = before.last;
      tracked.candidate = before.candidate;
      tracked.last_at = before.last_at;
      tracked.candidate_at = before.candidate_at;
    }
    tracked_[tier].push_back(tracked);
  }
}

void Gate::refuse(uint32_t series, MetricId metric, Samples& samples) {
  samples.absent(series, State::implausible);
  int32_t& entry = entry_of_metric_[index(metric)];
  if (entry < 0) {
    entry = static_cast<int32_t>(implausible_.size());
    implausible_.emplace_back(metric, 0);
  }
  ++implausible_[static_cast<size_t>(entry)].second;
}

void Gate::take(const Plain& plain, const Frame& raw, Nanos at, Samples& samples) {
  const State state = raw.states[plain.series];
  if (state != State::ok) return samples.absent(plain.series, state);
  const double value = raw.values[plain.series];
  if (!within(value, plain.minimum, plain.maximum) || (plain.binary && value != 0.0 && value != 1.0))
    return refuse(plain.series, plain.metric, samples);
  samples.set(plain.series, value, at);
}

void Gate::take(Tracked& tracked, const Frame& raw, Nanos at, Samples& samples) {
  const State state = raw.states[tracked.series];
  if (state != State::ok) return samples.absent(tracked.series, state);
  const double value = raw.values[tracked.series];
  if (!within(value, tracked.minimum, tracked.maximum)) {
    // Garbage bears nothing out, and what stood before it is as doubtful as it was.
    tracked.has_candidate = false;
    return refuse(tracked.series, tracked.metric, samples);
  }
  const bool moved = !tracked.has_last ||
                     reachable(tracked.last, value, at - tracked.last_at, tracked.counter, tracked.rate, tracked.step);
  if (!moved) {
    if (!tracked.has_candidate ||
        !reachable(tracked.candidate, value, at - tracked.candidate_at, tracked.counter, tracked.rate, tracked.step)) {
      tracked.has_candidate = true;
      tracked.candidate = value;
      tracked.candidate_at = at;
      return refuse(tracked.series, tracked.metric, samples);
    }
    ++samples.epoch[tracked.series];  // a reset, or a jump that the second sample bore out
  }
  tracked.has_last = true;
  tracked.has_candidate = false;
  tracked.last = value;
  tracked.last_at = at;
  samples.set(tracked.series, value, at);
}

void Gate::take(Tier tier, const Frame& raw, const Reading& reading, Samples& samples) {
  for (const Plain& plain : plain_[static_cast<size_t>(tier)]) take(plain, raw, reading.at, samples);
  for (Tracked& tracked : tracked_[static_cast<size_t>(tier)]) take(tracked, raw, reading.at, samples);
}

void Gate::take_absences(Tier tier, const Frame& raw, Samples& samples) const {
  const auto take = [&](uint32_t series) {
    if (raw.states[series] != State::ok && samples.states[series] == State::ok)
      samples.absent(series, raw.states[series]);
  };
  for (const Plain& plain : plain_[static_cast<size_t>(tier)]) take(plain.series);
  for (const Tracked& tracked : tracked_[static_cast<size_t>(tier)]) take(tracked.series);
}

void Gate::take_unknown(Tier tier, const Frame& raw, const Reading& reading, Samples& samples) {
  for (const Plain& plain : plain_[static_cast<size_t>(tier)])
    if (samples.at[plain.series] == 0) take(plain, raw, reading.at, samples);
  for (Tracked& tracked : tracked_[static_cast<size_t>(tier)])
    if (samples.at[tracked.series] == 0) take(tracked, raw, reading.at, samples);
}

}  // namespace accelmon::pipeline
