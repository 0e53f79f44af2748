#include "pipeline/pipeline.h"

#include <algorithm>

#include "pipeline/gate.h"
#include "pipeline/plan.h"

namespace accelmon {
namespace {

using namespace pipeline;

// A reading that is older than this many intervals of its tier is not current any more.
constexpr Nanos kIntervals = 3;
// Times beyond this (146 years) are nonsense from outside; bounded so that differences of two never overflow.
constexpr Nanos kLatest = Nanos{1} << 62;

Nanos bounded(Nanos time) {
  return std::clamp<Nanos>(time, 0, kLatest);
}

PipelineOptions sound(PipelineOptions options) {
  const auto at_least = [](Nanos value) { return std::clamp<Nanos>(value, 1, kLatest / 16); };
  options.interval = at_least(options.interval);
  options.slow = std::max(at_least(options.slow), options.interval);
  options.rare = std::max(at_least(options.rare), options.interval);
  options.window = std::min(options.window, kLatest / 16);
  options.ema.erase(std::remove_if(options.ema.begin(), options.ema.end(), [](Nanos tau) { return tau <= 0; }),
                    options.ema.end());
  return options;
}

}  // namespace

struct Pipeline::Impl {
  explicit Impl(PipelineOptions wanted) : options(sound(std::move(wanted))) {
    const Nanos intervals[kTiers] = {options.interval, options.slow, options.rare};
    for (size_t tier = 0; tier < kTiers; ++tier) {
      readings[tier].interval = intervals[tier];
      readings[tier].gap = kIntervals * intervals[tier];
      if (options.window > 0) windows[tier].set_times(options.window, intervals[tier]);
    }
  }

  CatalogPtr set_catalog(const Catalog& raw);
  void process(const Frame& raw, Frame& out);

  PipelineOptions options;
  CatalogPtr catalog;
  size_t raw_series = 0;
  bool first_frame = false;  // of this catalog
  std::vector<Tier> tiers;   // of each series
  std::array<Reading, kTiers> readings;
  std::array<Nanos, kTiers> read_at{};  // of the last frame: what the values in `samples` rest on

  Samples samples;
  Gate gate;
  Integrals integrals;
  Rates rates;
  Emas emas;
  std::array<Windows, kTiers> windows;
  Healths healths;
};

CatalogPtr Pipeline::Impl::set_catalog(const Catalog& raw) {
  Plan plan = make_plan(raw, options);
  const size_t series = plan.catalog->series.size();

  std::vector<Fingerprint> keys;  // of the catalog so far: made again where they are wanted
  if (catalog != nullptr) {
    keys.reserve(catalog->series.size());
    for (const Series& one : catalog->series) keys.push_back(fingerprint(*catalog, one));
  }
  std::vector<int32_t> old_series(series, -1);
  {
    FingerprintIndex known(keys.size());
    for (uint32_t i = 0; i < keys.size(); ++i) known.add(keys[i], i);
    for (size_t i = 0; i < series; ++i) {
      const uint32_t found = known.find(plan.keys[i]);
      if (found == FingerprintIndex::kNone) continue;
      // A series that is read in another tier now has another clock: it begins anew.
      if (tiers[found] != plan.catalog->series[i].tier) continue;
      old_series[i] = static_cast<int32_t>(found);
    }
  }

  Samples next;
  next.resize(series);
  for (size_t i = 0; i < series; ++i) {
    if (old_series[i] < 0) continue;
    const auto old = static_cast<size_t>(old_series[i]);
    next.values[i] = samples.values[old];
    next.states[i] = samples.states[old];
    next.at[i] = samples.at[old];
    next.epoch[i] = samples.epoch[old];
  }
  samples = std::move(next);

  gate.configure(*plan.catalog, raw.series.size(), old_series);
  integrals.configure(std::move(plan.integrals), old_series, plan.keys, keys);
  rates.configure(std::move(plan.rates), old_series);
  emas.configure(std::move(plan.emas), old_series);
  for (size_t tier = 0; tier < kTiers; ++tier)
    windows[tier].configure(std::move(plan.windows[tier]), old_series, series);
  healths.configure(std::move(plan.healths));

  catalog = plan.catalog;
  raw_series = raw.series.size();
  first_frame = true;
  tiers.clear();
  for (const Series& one : catalog->series) tiers.push_back(one.tier);
  return catalog;
}

void Pipeline::Impl::process(const Frame& raw, Frame& out) {
  const Nanos now = bounded(raw.monotonic);
  uint8_t fresh = raw.fresh;
  // The caller checks; a frame of another layout must not be read all the same.
  if (raw.values.size() != raw_series || raw.states.size() != raw_series) fresh = 0;

  for (size_t t = 0; t < kTiers; ++t) {
    const auto tier = static_cast<Tier>(t);
    Reading& reading = readings[t];
    const bool read = (fresh >> t) & 1u;
    // A reading cannot come from after the frame; one without a time was taken with the frame.
    const Nanos at = raw.read_at[t] > 0 ? std::min(bounded(raw.read_at[t]), now) : read ? now : 0;
    if (!read) {
      if (raw.values.size() == raw_series && raw.states.size() == raw_series) gate.take_absences(tier, raw, samples);
      if (first_frame && at > 0 && raw.values.size() == raw_series && raw.states.size() == raw_series) {
        reading.at = at;
        gate.take_unknown(tier, raw, reading, samples);
        if (read_at[t] == 0) read_at[t] = at;  // what was seen before is no younger than it was
      }
      continue;
    }
    read_at[t] = reading.at = std::max<Nanos>(at, 1);  // 0 would mean: never
    gate.take(tier, raw, reading, samples);
    integrals.run(tier, reading, samples);
    rates.run(tier, reading, samples);
    emas.run(tier, reading, samples);
    windows[t].run(reading, samples);
  }
  healths.run(fresh, std::max<Nanos>(now, 1), samples);
  first_frame = false;

  out.generation = raw.generation;
  out.sequence = raw.sequence;
  out.wall = raw.wall;
  out.monotonic = raw.monotonic;
  out.duration = raw.duration;
  out.fresh = raw.fresh;
  out.read_at = raw.read_at;
  out.values = samples.values;
  out.states = samples.states;
  for (size_t t = 0; t < kTiers; ++t) {
    if (read_at[t] == 0 || now - read_at[t] <= readings[t].gap) continue;
    for (size_t i = 0; i < out.states.size(); ++i)
      if (static_cast<size_t>(tiers[i]) == t && out.states[i] == State::ok) out.absent(i, State::stale);
  }
}

Pipeline::Pipeline(PipelineOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Pipeline::~Pipeline() = default;
Pipeline::Pipeline(Pipeline&&) noexcept = default;
Pipeline& Pipeline::operator=(Pipeline&&) noexcept = default;

CatalogPtr Pipeline::set_catalog(const CatalogPtr& raw) {
  return impl_->set_catalog(*raw);
}
void Pipeline::process(const Frame& raw, Frame& out) {
  impl_->process(raw, out);
}
const std::vector<std::pair<MetricId, uint64_t>>& Pipeline::implausible() const {
  return impl_->gate.implausible();
}

}  // namespace accelmon
