// From every poll to spans of 10 s and 1 min: minimum, mean, maximum of gauges; the last of counters and of gauges
// without an upper bound. Spans are aligned to wall time; a row is stamped with the last poll in it. A mean is rounded
// to a tenth of the driver's resolution (bytes and rates to whole ones, shares to a millionth), which keeps it a short
// decimal and costs nothing that was ever known.
//
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "model/frame.h"
#include "model/metric.h"
#include "store/history.h"

namespace accelmon::store {

struct SamplePoint;

// The beginning of the span that a time lies in.
inline Nanos span_start(Nanos wall, Nanos length) {
  const Nanos rest = wall % length;
  return wall - (rest < 0 ? rest + length : rest);
}

// Rows [begin, end) that are one span.
struct Segment {
  size_t begin = 0;
  size_t end = 0;
};
std::vector<Segment> segments(std::span<const Nanos> walls, Nanos step);

struct CoarseColumn {
  std::vector<double> minimum;
  std::vector<double> mean;
  std::vector<double> maximum;
  std::vector<State> states;
};
// One column's rows as those of the segments; a span is `ok` when any poll in it is. No metric: one that is unknown
// here.
void downsample(std::span<const double> values, std::span<const State> states, std::span<const Segment> segments,
                const MetricInfo* metric, CoarseColumn& out);

double rounded_mean(double mean, double minimum, double maximum, const MetricInfo* metric);

// Samples of one series, ascending, as points of `step`; only those whose stamp lies in [from, to].
void downsample(const std::vector<SamplePoint>& fine, Nanos step, const MetricInfo* metric, Nanos from, Nanos to,
                std::vector<SamplePoint>& out);

}  // namespace accelmon::store
