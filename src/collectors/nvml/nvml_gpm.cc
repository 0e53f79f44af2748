#include "collectors/nvml/nvml_gpm.h"

#include <cmath>
#include <utility>

namespace accelmon::nvml {
namespace {

constexpr size_t kQueryWords = (sizeof(GpmMetricsGet) + kGpmMetricsMost * sizeof(GpmMetric)) / 8;

// Two counters that are not latched at the same instant overshoot a little; what is further off is not true and is left
// for the gate to see.
constexpr double kOvershoot = 0.01;

constexpr double kMebibyte = 1048576;
// Twice what PCIe 7 x16 can do. A rate is not seen by the gate once it has been summed up.
constexpr double kMostLinkBytes = 500e9;

}  // namespace

GpmQuery::GpmQuery() : memory_(kQueryWords, 0) {}

int GpmQuery::run(Library& nvml, GpmSampleHandle older, GpmSampleHandle newer, size_t first, size_t count) {
  GpmMetricsGet* get = header();
  first_ = first;
  get->version = 1;
  get->count = static_cast<U32>(count);
  get->sample1 = older;
  get->sample2 = newer;
  for (size_t i = 0; i < count; ++i) {
    metrics()[i] = GpmMetric{};
    metrics()[i].id = kGpmSeries[first + i].id;
    metrics()[i].result = kNoData;
  }
  return nvml.call<Symbol::nvmlGpmMetricsGet>(static_cast<void*>(get));
}

Reading GpmQuery::reading(size_t i) const {
  const GpmMetric& metric = metrics()[i - first_];
  if (metric.result != kSuccess) return Reading{metric.result, 0};
  if (!std::isfinite(metric.value)) return Reading{kNoData, 0};
  if (kGpmSeries[i].bytes) {
    const double rate = metric.value * kMebibyte;
    return rate >= 0 && rate < kMostLinkBytes ? Reading{kSuccess, rate} : Reading{kNoData, 0};
  }
  double share = metric.value * 0.01;
  if (share > 1 && share <= 1 + kOvershoot) share = 1;
  return Reading{kSuccess, share};
}

GpmReader::GpmReader(Library& nvml, DeviceHandle device, int instance)
    : nvml_(nvml), device_(device), instance_(instance) {}

GpmReader::~GpmReader() {
  for (GpmSampleHandle sample : samples_)
    if (sample != nullptr) nvml_.call<Symbol::nvmlGpmSampleFree>(sample);
}

int GpmReader::start(Nanos monotonic) {
  for (GpmSampleHandle& sample : samples_) {
    code_ = nvml_.call<Symbol::nvmlGpmSampleAlloc>(&sample);
    if (code_ != kSuccess) {
      sample = nullptr;
      return code_;
    }
  }
  code_ = sample(samples_[0]);
  newest_ = base_ = 0;
  has_newest_ = code_ == kSuccess;
  newest_at_ = monotonic;
  return code_;
}

int GpmReader::sample(GpmSampleHandle into) {
  return instance_ < 0 ? nvml_.call<Symbol::nvmlGpmSampleGet>(device_, into)
                       : nvml_.call<Symbol::nvmlGpmMigSampleGet>(device_, static_cast<U32>(instance_), into);
}

GpmReader::Outcome GpmReader::poll(GpmQuery& query, Nanos monotonic) {
  if (samples_.back() == nullptr) return Outcome::failed;
  if (has_newest_ && monotonic - newest_at_ < kLeastInterval) return Outcome::too_early;
  // One of three is neither the newest nor the slow series' base. A sample that failed may hold anything, but the
  // newest is still there.
  size_t free = 0;
  while (has_newest_ && (free == newest_ || free == base_)) ++free;
  code_ = sample(samples_[free]);
  if (code_ != kSuccess) return Outcome::missed;
  const bool first = !has_newest_;
  const size_t older = std::exchange(newest_, free);
  window_ = monotonic - std::exchange(newest_at_, monotonic);
  if (first) {
    has_newest_ = true;
    base_ = free;
    code_ = kNotReady;
    return Outcome::failed;
  }
  code_ = query.run(nvml_, samples_[older], samples_[newest_], 0, kGpmFast);
  return code_ == kSuccess ? Outcome::fresh : Outcome::failed;
}

GpmReader::Outcome GpmReader::poll_slow(GpmQuery& query) {
  if (!has_newest_ || base_ == newest_) return Outcome::too_early;
  code_ = query.run(nvml_, samples_[base_], samples_[newest_], kGpmFast, kGpmCount - kGpmFast);
  base_ = newest_;
  return code_ == kSuccess ? Outcome::fresh : Outcome::failed;
}

}  // namespace accelmon::nvml
