#include "collectors/nvml/nvml_gpm.h"

#include <cmath>

namespace accelmon::nvml {
namespace {

constexpr size_t kQueryWords = (sizeof(GpmMetricsGet) + kGpmMetricsMost * sizeof(GpmMetric)) / 8;

// Two counters that are not latched at the same instant overshoot a little; what is further off is not true and is left
// for the gate to see.
constexpr double kOvershoot = 0.01;

}  // namespace

GpmQuery::GpmQuery() : memory_(kQueryWords, 0) {}

int GpmQuery::run(Library& nvml, GpmSampleHandle older, GpmSampleHandle newer) {
  GpmMetricsGet* get = header();
  get->version = 1;
  get->count = kGpmCount;
  get->sample1 = older;
  get->sample2 = newer;
  for (size_t i = 0; i < kGpmCount; ++i) {
    metrics()[i] = GpmMetric{};
    metrics()[i].id = kGpmSeries[i].id;
    metrics()[i].result = kNoData;
  }
  return nvml.call<Symbol::nvmlGpmMetricsGet>(static_cast<void*>(get));
}

Reading GpmQuery::reading(size_t i) const {
  const GpmMetric& metric = metrics()[i];
  if (metric.result != kSuccess) return Reading{metric.result, 0};
  if (!std::isfinite(metric.value)) return Reading{kNoData, 0};
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
  newest_ = 0;
  has_newest_ = code_ == kSuccess;
  newest_at_ = monotonic;
  return code_;
}

int GpmReader::sample(GpmSampleHandle into) {
  return instance_ < 0 ? nvml_.call<Symbol::nvmlGpmSampleGet>(device_, into)
                       : nvml_.call<Symbol::nvmlGpmMigSampleGet>(device_, static_cast<U32>(instance_), into);
}

GpmReader::Outcome GpmReader::poll(GpmQuery& query, Nanos monotonic) {
  if (samples_[0] == nullptr || samples_[1] == nullptr) return Outcome::failed;
  if (has_newest_ && monotonic - newest_at_ < kLeastInterval) return Outcome::too_early;
  const size_t older = newest_;
  const size_t newer = has_newest_ ? 1 - newest_ : newest_;
  code_ = sample(samples_[newer]);
  if (code_ != kSuccess) {
    // The sample that failed may hold anything: begin anew with the next one.
    has_newest_ = false;
    return Outcome::failed;
  }
  const bool have_both = has_newest_;
  newest_ = newer;
  newest_at_ = monotonic;
  has_newest_ = true;
  if (!have_both) {
    code_ = kNotReady;
    return Outcome::failed;
  }
  code_ = query.run(nvml_, samples_[older], samples_[newer]);
  return code_ == kSuccess ? Outcome::fresh : Outcome::failed;
}

}  // namespace accelmon::nvml
