// What a page costs: rendering (against prometheus-cpp in the same run), and compressing it.
//
//   exposition_bench                               everything
//   exposition_bench --benchmark_filter=against    the comparison alone
//
// The comparison prints CPU time, minimum and median over its rounds, in microseconds, and how many times the median of
// prometheus-cpp's Collect + Serialize is that of our render.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#ifdef ACCELMON_HAVE_PROMETHEUS_CPP
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#endif

#include "encode/exposition.h"
#include "encode/gzip.h"
#include "timing.h"

namespace {

using namespace accelmon;

std::vector<Attribute> own_attributes(const MetricInfo& metric) {
  std::vector<Attribute> out;
  std::string_view keys = metric.attributes;
  while (!keys.empty()) {
    const std::string_view key = keys.substr(0, keys.find(','));
    keys.remove_prefix(key.size() < keys.size() ? key.size() + 1 : keys.size());
    if (const auto id = find_attribute(key)) out.push_back({*id, "general"});
  }
  return out;
}

// As collectors give them: whole percents, milliwatts, bytes, and smoothed values with all their digits.
double plausible_value(const MetricInfo& metric, size_t i, size_t round) {
  const double wave = std::fabs(std::sin(static_cast<double>(i * 37 + round * 11)));
  const double top = std::min(metric.maximum, 1e11);
  if (metric.step <= 1e-6) return metric.minimum + wave * (top - metric.minimum);
  return std::round((metric.minimum + wave * (top - metric.minimum)) / metric.step) * metric.step;
}

// `families` metrics of the table on each of `gpus` devices. Every snapshot of the result has its own values.
std::vector<Snapshot> snapshots(size_t families, size_t gpus) {
  static Recycler<Frame> frames;
  auto catalog = std::make_shared<Catalog>();
  catalog->generation = 1;
  CatalogBuilder build(*catalog);
  for (size_t g = 0; g < gpus; ++g)
    build.add_device({.id = "GPU-5fd4f087-86f3-7a43-b711-4771313afc" + std::to_string(10 + g),
                      .index = std::to_string(g),
                      .vendor = "nvidia",
                      .model = "NVIDIA H100 80GB HBM3"});
  size_t used = 0;
  for (const MetricInfo& metric : all_metrics()) {
    if (metric.kind == Kind::info || is_local(metric.id)) continue;
    if (used++ == families) break;
    for (size_t g = 0; g < gpus; ++g) build.add(metric.id, static_cast<int>(g), Tier::fast, own_attributes(metric));
  }
  std::vector<Snapshot> out(8);
  for (size_t round = 0; round < out.size(); ++round) {
    Recycled<Frame> frame = frames.take();
    frame->generation = 1;
    frame->resize(catalog->series.size());
    for (size_t i = 0; i < catalog->series.size(); ++i)
      frame->set(i, plausible_value(info(catalog->series[i].metric), i, round));
    out[round].sources.push_back({"nvml", catalog, frame});
  }
  return out;
}

void report(benchmark::State& state, size_t samples, const std::string& page) {
  state.counters["samples"] = static_cast<double>(samples);
  state.counters["bytes"] = static_cast<double>(page.size());
  state.counters["per_sample"] = benchmark::Counter(
      static_cast<double>(samples), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void render(benchmark::State& state, size_t families, size_t gpus, ExpositionFormat format) {
  const std::vector<Snapshot> polls = snapshots(families, gpus);
  Exposition exposition;
  std::string page;
  size_t round = 0;
  for (auto _ : state) {
    exposition.render(polls[round++ % polls.size()], format, page);
    benchmark::DoNotOptimize(page.data());
  }
  report(state, polls[0].sources[0].catalog->series.size(), page);
  state.counters["plan_bytes"] = static_cast<double>(exposition.bytes());
}

void compress(benchmark::State& state, size_t families, size_t gpus) {
  const std::vector<Snapshot> polls = snapshots(families, gpus);
  std::vector<std::string> pages(polls.size());
  Exposition exposition;
  for (size_t i = 0; i < polls.size(); ++i) exposition.render(polls[i], ExpositionFormat::text_0_0_4, pages[i]);
  GzipEncoder gzip;
  std::string packed;
  size_t round = 0;
  for (auto _ : state) {
    gzip.compress(pages[round++ % pages.size()], packed);
    benchmark::DoNotOptimize(packed.data());
  }
  report(state, polls[0].sources[0].catalog->series.size(), pages[0]);
  state.counters["gzip_bytes"] = static_cast<double>(packed.size());
}

void rebuild(benchmark::State& state) {
  const std::vector<Snapshot> polls = snapshots(60, 16);
  std::string page;
  for (auto _ : state) {
    Exposition exposition;
    exposition.render(polls[0], ExpositionFormat::text_0_0_4, page);
    benchmark::DoNotOptimize(page.data());
  }
}

constexpr auto kText = ExpositionFormat::text_0_0_4;
constexpr auto kOpenMetrics = ExpositionFormat::openmetrics_1_0;

BENCHMARK_CAPTURE(render, text_960, 60, 16, kText)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(render, openmetrics_960, 60, 16, kOpenMetrics)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(render, protobuf_960, 60, 16, ExpositionFormat::protobuf)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(render, text_h100x8, 80, 8, kText)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(compress, gzip_960, 60, 16)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(compress, gzip_h100x8, 80, 8)->Unit(benchmark::kMicrosecond);
BENCHMARK(rebuild)->Name("first_render_with_plan_960")->Unit(benchmark::kMicrosecond);

#ifdef ACCELMON_HAVE_PROMETHEUS_CPP

// The same 960 series with the same names, labels and values in both, one round of each in turn.
void against_prometheus_cpp(benchmark::State& state) {
  const std::vector<Snapshot> polls = snapshots(60, 16);
  const Catalog& catalog = *polls[0].sources[0].catalog;
  prometheus::Registry registry;
  std::map<MetricId, prometheus::Family<prometheus::Gauge>*> families;
  std::vector<prometheus::Gauge*> gauges;
  for (const Series& series : catalog.series) {
    const MetricInfo& metric = info(series.metric);
    auto& family = families[metric.id];
    if (family == nullptr)
      family = &prometheus::BuildGauge()
                    .Name(std::string(prometheus_name(metric.id)))
                    .Help(std::string(metric.brief))
                    .Register(registry);
    const Device& device = catalog.devices[static_cast<size_t>(series.device)];
    std::map<std::string, std::string> labels{
        {"hw_id", device.id}, {"hw_type", "gpu"}, {"gpu", device.index}, {"hw_vendor", device.vendor}};
    for (const Attribute& attribute : series.attributes)
      labels.emplace(prometheus_label(attribute.id), attribute.value);
    gauges.push_back(&family->Add(labels));
  }
  const prometheus::TextSerializer serializer;
  Exposition exposition;
  std::string page, theirs_page;
  Timing ours, theirs;
  for (auto _ : state) {
    for (size_t round = 0; round < 200; ++round) {
      const Snapshot& poll = polls[round % polls.size()];
      for (size_t i = 0; i < gauges.size(); ++i) gauges[i]->Set(poll.sources[0].frame->values[i]);
      double start = cpu_microseconds();
      exposition.render(poll, kText, page);
      ours.rounds.push_back(cpu_microseconds() - start);
      start = cpu_microseconds();
      theirs_page = serializer.Serialize(registry.Collect());
      theirs.rounds.push_back(cpu_microseconds() - start);
    }
  }
  state.counters["ours_min_us"] = ours.minimum();
  state.counters["ours_median_us"] = ours.median();
  state.counters["theirs_min_us"] = theirs.minimum();
  state.counters["theirs_median_us"] = theirs.median();
  state.counters["times_faster"] = theirs.median() / ours.median();
  state.counters["times_faster_min"] = theirs.minimum() / ours.minimum();
  state.counters["ours_bytes"] = static_cast<double>(page.size());
  state.counters["theirs_bytes"] = static_cast<double>(theirs_page.size());
}
BENCHMARK(against_prometheus_cpp)->Iterations(1)->Unit(benchmark::kMillisecond);

#endif

}  // namespace
