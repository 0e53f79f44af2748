// What a frame costs in the pipeline: 8 GPUs with 80 raw series each, polled once a second.
//
// Time is reported for each frame; "us_per_100" is microseconds for 100 series of the catalog that leaves, the figure
// that pipeline.h promises.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "model/catalog.h"
#include "pipeline/pipeline.h"

namespace accelmon {
namespace {

// Roughly what a data-centre GPU gives.
Catalog catalog_of(int gpus) {
  Catalog catalog;
  catalog.generation = 1;
  CatalogBuilder build(catalog);
  for (int i = 0; i < gpus; ++i) {
    const int gpu =
        build.add_device({.id = "GPU-" + std::to_string(i), .index = std::to_string(i), .vendor = "nvidia"});
    const auto each = [&](MetricId metric, AttributeId key, const std::vector<const char*>& values,
                          Tier tier = Tier::fast) {
      for (const char* value : values) build.add(metric, gpu, tier, {{key, value}});
    };
    each(MetricId::gpu_utilization, AttributeId::gpu_task, {"general", "encoder", "decoder"});
    for (const MetricId metric :
         {MetricId::gpu_sm_activity, MetricId::gpu_sm_occupancy, MetricId::gpu_memory_bandwidth_utilization,
          MetricId::gpu_memory_controller_utilization, MetricId::gpu_memory_usage, MetricId::gpu_memory_utilization,
          MetricId::gpu_memory_free, MetricId::gpu_memory_reserved, MetricId::gpu_memory_limit, MetricId::gpu_bar_usage,
          MetricId::energy, MetricId::pcie_replays, MetricId::performance_state})
      build.add(metric, gpu);
    each(MetricId::gpu_pipe_activity, AttributeId::pipe, {"tensor", "fp64", "fp32", "fp16", "int"});
    each(MetricId::temperature, AttributeId::sensor_location, {"gpu", "memory"});
    each(MetricId::clock_frequency, AttributeId::clock_domain, {"graphics", "sm", "memory", "video"});
    each(MetricId::clock_limit, AttributeId::clock_domain, {"graphics", "sm", "memory", "video"}, Tier::rare);
    each(MetricId::throttle_active, AttributeId::reason,
         {"idle", "application_clocks", "power_cap", "power_brake", "thermal_software", "thermal_hardware",
          "hardware_slowdown", "sync_boost", "display", "other"});
    each(MetricId::throttle_time, AttributeId::reason, {"power_cap", "thermal_software", "reliability"});
    each(MetricId::gpu_io, AttributeId::io_direction, {"receive", "transmit"});
    each(MetricId::link_io, AttributeId::direction, {"receive", "transmit"});
    for (const char* reading : {"instant", "average"})
      build.add(MetricId::power, gpu, Tier::fast,
                {{AttributeId::power_scope, "gpu"}, {AttributeId::power_reading, reading}});
    each(MetricId::power_limit, AttributeId::limit, {"enforced", "default", "requested", "minimum", "maximum"},
         Tier::rare);
    each(MetricId::memory_rows, AttributeId::row_state,
         {"remapped_corrected", "remapped_uncorrected", "pending", "failed"}, Tier::slow);
    each(MetricId::errors, AttributeId::error_type, {"corrected", "uncorrected"}, Tier::slow);
    each(MetricId::errors_lifetime, AttributeId::error_type, {"corrected", "uncorrected"}, Tier::slow);
    each(MetricId::fan_speed_ratio, AttributeId::fan, {"0", "1"}, Tier::slow);
    each(MetricId::pcie_generation, AttributeId::which, {"current", "maximum"}, Tier::slow);
    each(MetricId::pcie_width, AttributeId::which, {"current", "maximum"}, Tier::slow);
    each(MetricId::process_memory, AttributeId::process_pid,
         {"101", "102", "103", "104", "105", "106", "107", "108", "109", "110", "111"}, Tier::slow);
  }
  return catalog;
}

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
