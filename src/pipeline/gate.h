// The plausibility gate: what cannot be true does not pass.
//
// A value passes when it is a finite number within its metric's bounds (a state: 0 or 1) and no further from the last
// one that passed than the metric can have moved in the time between. A value that is too far is held back as
// `implausible` and remembered: if the next sample lies within reach of IT, the jump was real and both are believed
// from then on; if not, it never was. A counter that goes back is such a jump, so a reset passes one poll later and a
// glitch never does. Only the very first sample of a series has nothing to be compared with and passes on its bounds
// alone.
//
// How far a metric can move: rate x time + one step of its resolution. A driver refreshes its counters up to a second
// late, so for counters that second is added to the time; otherwise a counter refreshed once a second and polled ten
// times a second would jump each time. Sensors that are polled faster than once a second may move as far as in one: a
// chip's hottest spot rises by tens of degrees within a tenth when work comes.
// Threads: one. Cost: a few nanoseconds a series, no allocation after configure().
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "model/catalog.h"
#include "pipeline/samples.h"

namespace accelmon::pipeline {

class Gate {
 public:
  Gate();

  // For the raw series, the first `raw_series` of the catalog. State of series that were known before is kept.
  void configure(const Catalog& catalog, size_t raw_series, const std::vector<int32_t>& old_series);

  // Takes the series of one tier that was just read from `raw` into `samples`.
  void take(Tier tier, const Frame& raw, const Reading& reading, Samples& samples);

  // Takes only those series of the tier that have never passed. For the first frame of a catalog, where a tier may have
  // been read before the pipeline saw it.
  void take_unknown(Tier tier, const Frame& raw, const Reading& reading, Samples& samples);

  // A tier that was not read in this poll: what the collector knows to be gone all the same (the device is lost) is
  // gone now, and not when the tier's turn comes.
  void take_absences(Tier tier, const Frame& raw, Samples& samples) const;

  const std::vector<std::pair<MetricId, uint64_t>>& implausible() const { return implausible_; }

 private:
  struct Plain {  // bounds alone
    uint32_t series;
    MetricId metric;
    bool binary;
    double minimum;
    double maximum;
  };
  struct Tracked {  // bounds, and how far it may move
    uint32_t series;
    MetricId metric;
    bool counter;
    bool has_last = false;
    bool has_candidate = false;
    double minimum;
    double maximum;
    double rate;
    double step;
    double last = 0;
    double candidate = 0;
    Nanos last_at = 0;
    Nanos candidate_at = 0;
  };

  void take(const Plain& plain, const Frame& raw, Nanos at, Samples& samples);
  void take(Tracked& tracked, const Frame& raw, Nanos at, Samples& samples);
  void refuse(uint32_t series, MetricId metric, Samples& samples);

  PerTier<Plain> plain_;
  PerTier<Tracked> tracked_;
  std::vector<std::pair<MetricId, uint64_t>> implausible_;  // has room for every metric
  std::vector<int32_t> entry_of_metric_;
};

}  // namespace accelmon::pipeline
