// What the history costs: 8 GPUs with 80 raw series each, as the pipeline hands them on, once a second.
//
// "span_s" and "history_s" are how far full rate and the coarsest tier reach back when the store is full; "bytes" is
// what it holds then.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "gpu_catalog.h"
#include "pipeline/pipeline.h"
#include "store/store.h"

namespace accelmon {
namespace {

// Raw frames in which, as on a host at work, about a third of the series move from poll to poll and the slow ones every
// tenth; through the pipeline.
class Feed {
 public:
  Feed() : raw_(std::make_shared<const Catalog>(catalog_of(8))), pipeline_(PipelineOptions{}) {
    catalog = pipeline_.set_catalog(raw_);
    in_.resize(raw_->series.size());
    in_.wall = 1'700'000'000 * kSecond;
    in_.monotonic = 1000 * kSecond;
  }

  const Frame& next() {
    in_.monotonic += kSecond;
    in_.wall += kSecond;
    in_.fresh = polls_ == 0 ? 7 : static_cast<uint8_t>(1 | (polls_ % 10 == 0 ? 2 : 0) | (polls_ % 60 == 0 ? 4 : 0));
    ++polls_;
    for (size_t t = 0; t < kTiers; ++t)
      if ((in_.fresh >> t) & 1u) in_.read_at[t] = in_.monotonic;
    for (size_t i = 0; i < raw_->series.size(); ++i) {
      const Series& series = raw_->series[i];
      const MetricInfo& metric = info(series.metric);
      const auto noise = static_cast<double>((polls_ * 7919 + i * 104729) % 1000);
      const bool moves = series.tier == Tier::fast && metric.kind != Kind::state && i % 2 == 0;
      in_.set(i, metric.kind == Kind::counter   ? (moves ? static_cast<double>(polls_) * 0.75 : 1.0)
                 : metric.kind == Kind::state   ? static_cast<double>(polls_ / 300 % 2)
                 : !moves                       ? 0.5
                 : metric.unit == Unit::one     ? noise * 0.001
                 : metric.unit == Unit::celsius ? 50 + noise * 0.005
                                                : noise * 0.005);
    }
    pipeline_.process(in_, out_);
    return out_;
  }

  CatalogPtr catalog;

 private:
  CatalogPtr raw_;
  Pipeline pipeline_;
  Frame in_;
  Frame out_;
  uint64_t polls_ = 0;
};

void BM_StoreAppend(benchmark::State& state) {
  Store store(static_cast<size_t>(state.range(0)) << 20);
  Feed feed;
  std::vector<Frame> frames;
  for (int i = 0; i < 120; ++i) frames.push_back(feed.next());
  Nanos wall = frames.back().wall;
  size_t k = 0;
  for (auto _ : state) {
    Frame& frame = frames[k++ % frames.size()];
    frame.wall = wall += kSecond;
    frame.monotonic += 120 * kSecond;
    store.append("nvml", feed.catalog, frame);
  }
  state.counters["bytes"] = static_cast<double>(store.bytes());
  state.counters["span_s"] = to_seconds(store.full_rate_span());
  const size_t power = static_cast<size_t>(find_series(*feed.catalog, MetricId::power, 0));
  const StoreRange all = store.query("nvml", series_key(*feed.catalog, feed.catalog->series[power]), 0, wall, 1);
  if (!all.points.empty()) state.counters["history_s"] = to_seconds(all.points.back().wall - all.points.front().wall);
}
BENCHMARK(BM_StoreAppend)->Arg(1)->Arg(2)->Arg(8)->Iterations(20000);

void BM_StoreQuery(benchmark::State& state) {
  Store store(static_cast<size_t>(state.range(0)) << 20);
  Feed feed;
  Nanos wall = 0;
  for (int i = 0; i < 4000; ++i) {
    const Frame& frame = feed.next();
    wall = frame.wall;
    store.append("nvml", feed.catalog, frame);
  }
  const size_t power = static_cast<size_t>(find_series(*feed.catalog, MetricId::power, 7));
  const std::string key = series_key(*feed.catalog, feed.catalog->series[power]);
  size_t points = 0;
  for (auto _ : state) {
    const StoreRange range = store.query("nvml", key, wall - store.full_rate_span(), wall, 100'000);
    points = range.points.size();
    benchmark::DoNotOptimize(points);
  }
  state.counters["points"] = static_cast<double>(points);
}
BENCHMARK(BM_StoreQuery)->Arg(2)->Arg(8);

}  // namespace
}  // namespace accelmon
