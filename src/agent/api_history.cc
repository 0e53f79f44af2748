#include "agent/api_history.h"

#include <algorithm>

namespace accelmon {

std::vector<HistorySeries> HistoryView::list(Nanos from, Nanos to) {
  if (places_.disk != nullptr) {
    if (Result<std::vector<HistorySeries>> all = places_.disk->list(from, to)) return std::move(*all);
    places_.disk = nullptr;
  }
  std::vector<HistorySeries> all;
  if (!now_) return all;
  for (const SourceView& source : now_->sources) {
    if (source.catalog == nullptr) continue;
    for (uint32_t i = 0; i < source.catalog->series.size(); ++i)
      all.push_back({source.name, series_key(*source.catalog, source.catalog->series[i]), source.catalog, i});
  }
  return all;
}

Result<StoreRange> HistoryView::query(const HistorySeries& series, Nanos from, Nanos to, size_t max_points) const {
  StoreRange range;
  if (places_.disk != nullptr) {
    Result<StoreRange> answer = places_.disk->query(series.source, series.key, from, to, max_points);
    if (!answer) return answer;
    range = std::move(*answer);
  } else if (places_.memory != nullptr) {
    range = places_.memory->query(series.source, series.key, from, to, max_points);
  }
  thin(range, series.catalog->series[series.series].metric, max_points);
  return range;
}

bool told_by_last(MetricId metric) {
  const MetricInfo& one = info(metric);
  return one.kind == Kind::counter || one.maximum == kAny;
}

void thin(StoreRange& range, MetricId metric, size_t max_points) {
  if (max_points == 0 || range.points.size() <= max_points) return;
  const size_t many = (range.points.size() + max_points - 1) / max_points;
  const bool last = told_by_last(metric);
  size_t out = 0;
  for (size_t begin = 0; begin < range.points.size(); begin += many) {
    const size_t end = std::min(begin + many, range.points.size());
    StorePoint merged = range.points[begin];
    double sum = 0;
    for (size_t i = begin; i < end; ++i) {
      const StorePoint& one = range.points[i];
      merged.minimum = std::min(merged.minimum, one.minimum);
      merged.maximum = std::max(merged.maximum, one.maximum);
      sum += one.mean;
    }
    merged.wall = range.points[end - 1].wall;
    merged.mean = sum / static_cast<double>(end - begin);
    if (last) merged.minimum = merged.mean = merged.maximum = range.points[end - 1].mean;
    range.points[out++] = merged;
  }
  // What every poll gave has no step; merged, it has that of its points.
  if (range.step == 0 && out > 1)
    range.step = (range.points[out - 1].wall - range.points[0].wall) / static_cast<Nanos>(out - 1);
  else
    range.step *= static_cast<Nanos>(many);
  range.points.resize(out);
}

}  // namespace accelmon
