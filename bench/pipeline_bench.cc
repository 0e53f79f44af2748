// What a frame costs in the pipeline: 8 GPUs with 80 raw series each, polled once a second.
//
// Time is reported for each frame; "us_per_100" is microseconds for 100 series of the catalog that leaves, the figure
// that pipeline.h promises.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <vector>

#include "gpu_catalog.h"
#include "pipeline/pipeline.h"

namespace accelmon {
namespace {

void frame(benchmark::State& state, Nanos interval) {
  const auto raw = std::make_shared<const Catalog>(catalog_of(8));
  Pipeline pipeline(PipelineOptions{.interval = interval});
  const CatalogPtr catalog = pipeline.set_catalog(raw);
  // Frames are prepared, so that only process() is timed. Counters stand still at the wrap from the last frame to the
  // first, instead of going back.
  constexpr size_t kFrames = 64;
  std::vector<Frame> frames(kFrames);
  for (size_t k = 0; k < kFrames; ++k) {
    frames[k].resize(raw->series.size());
    for (size_t i = 0; i < raw->series.size(); ++i) {
      const MetricInfo& metric = info(raw->series[i].metric);
      const auto noise = static_cast<double>((k * 7919 + i * 104729) % 1000);
      frames[k].set(i, metric.kind == Kind::counter   ? static_cast<double>(i)
                       : metric.kind == Kind::state   ? static_cast<double>(k / 16 % 2)
                       : metric.unit == Unit::one     ? noise * 0.001
                       : metric.unit == Unit::celsius ? 50 + noise * 0.005
                                                      : noise * 0.005);
    }
  }
  Frame out;
  Nanos now = 1000 * kSecond;
  std::array<Nanos, 3> read_at{};
  uint64_t polls = 0;
  for (auto _ : state) {
    Frame& in = frames[polls % kFrames];
    in.monotonic = now += interval;
    in.fresh = polls == 0 ? 7 : static_cast<uint8_t>(1 | (polls % 10 == 0 ? 2 : 0) | (polls % 60 == 0 ? 4 : 0));
    for (size_t t = 0; t < kTiers; ++t)
      if ((in.fresh >> t) & 1u) read_at[t] = now;
    in.read_at = read_at;
    ++polls;
    pipeline.process(in, out);
    benchmark::DoNotOptimize(out.values.data());
  }
  if (!pipeline.implausible().empty()) state.SkipWithError("the frames are meant to be plausible");
  state.counters["raw"] = static_cast<double>(raw->series.size());
  state.counters["series"] = static_cast<double>(catalog->series.size());
  // Microseconds for 100 series.
  state.counters["us_per_100"] =
      benchmark::Counter(static_cast<double>(catalog->series.size()) / 100 * 1e-6,
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void BM_PipelineFrame(benchmark::State& state) {
  frame(state, kSecond);
}
void BM_PipelineFrameTenTimesASecond(benchmark::State& state) {
  frame(state, 100 * kMillisecond);
}
BENCHMARK(BM_PipelineFrame);
BENCHMARK(BM_PipelineFrameTenTimesASecond);

void BM_PipelineCatalogChange(benchmark::State& state) {
  const auto raw = std::make_shared<const Catalog>(catalog_of(8));
  Pipeline pipeline(PipelineOptions{});
  for (auto _ : state) benchmark::DoNotOptimize(pipeline.set_catalog(raw));
}
BENCHMARK(BM_PipelineCatalogChange);

}  // namespace
}  // namespace accelmon
