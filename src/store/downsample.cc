#include "store/downsample.h"

#include <algorithm>
#include <cmath>

#include "store/file_reader.h"

namespace accelmon::store {
namespace {

bool is_total(const MetricInfo* metric) {
  return metric != nullptr && form_of(metric->id) == Form::total;
}

}  // namespace

std::vector<Segment> segments(std::span<const Nanos> walls, Nanos step) {
  std::vector<Segment> found;
  for (size_t i = 0; i < walls.size(); ++i) {
    if (i > 0 && span_start(walls[i], step) == span_start(walls[i - 1], step))
      found.back().end = i + 1;
    else
      found.push_back({i, i + 1});
  }
  return found;
}

double rounded_mean(double mean, double minimum, double maximum, const MetricInfo* metric) {
  int digits = 6;
  if (metric != nullptr) {
    if (metric->unit == Unit::bytes || metric->unit == Unit::bytes_per_second || metric->step > 1)
      digits = 0;
    else
      digits = static_cast<int>(std::lround(-std::log10(metric->step))) + 1;
  }
  digits = std::clamp(digits, 0, metric != nullptr && metric->unit != Unit::one ? 9 : 6);
  static constexpr double kPower[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
  const double scaled = std::nearbyint(mean * kPower[digits]);
  if (!(std::fabs(scaled) < 9007199254740992.0)) return mean;
  return std::clamp(scaled / kPower[digits], minimum, maximum);
}

void downsample(std::span<const double> values, std::span<const State> states, std::span<const Segment> segments,
                const MetricInfo* metric, CoarseColumn& out) {
  const bool total = is_total(metric);
  out.minimum.assign(segments.size(), 0.0);
  out.mean.assign(segments.size(), 0.0);
  out.maximum.assign(segments.size(), 0.0);
  out.states.resize(segments.size());
  for (size_t s = 0; s < segments.size(); ++s) {
    size_t count = 0;
    double sum = 0, minimum = 0, maximum = 0, last = 0;
    for (size_t i = segments[s].begin; i < segments[s].end; ++i) {
      if (states[i] != State::ok) continue;
      const double value = last = values[i];
      minimum = count == 0 ? value : std::min(minimum, value);
      maximum = count == 0 ? value : std::max(maximum, value);
      sum += value;
      ++count;
    }
    out.states[s] = count > 0 ? State::ok : states[segments[s].end - 1];
    if (count == 0) continue;
    if (total) {
      out.minimum[s] = out.mean[s] = out.maximum[s] = last;
      continue;
    }
    out.minimum[s] = minimum;
    out.maximum[s] = maximum;
    out.mean[s] =
        minimum == maximum ? minimum : rounded_mean(sum / static_cast<double>(count), minimum, maximum, metric);
  }
}

void downsample(const std::vector<SamplePoint>& fine, Nanos step, const MetricInfo* metric, Nanos from, Nanos to,
                std::vector<SamplePoint>& out) {
  const bool total = is_total(metric);
  for (size_t i = 0; i < fine.size();) {
    SamplePoint point = fine[i];
    double sum = 0;
    size_t end = i;
    for (; end < fine.size() && span_start(fine[end].wall, step) == span_start(fine[i].wall, step); ++end) {
      point.minimum = std::min(point.minimum, fine[end].minimum);
      point.maximum = std::max(point.maximum, fine[end].maximum);
      sum += fine[end].mean;
    }
    const SamplePoint& last = fine[end - 1];
    point.mean = point.minimum == point.maximum
                     ? point.minimum
                     : rounded_mean(sum / static_cast<double>(end - i), point.minimum, point.maximum, metric);
    if (total) point.minimum = point.mean = point.maximum = last.mean;
    point.wall = last.wall;
    point.seq = last.seq;
    if (point.wall >= from && point.wall <= to) out.push_back(point);
    i = end;
  }
}

}  // namespace accelmon::store
