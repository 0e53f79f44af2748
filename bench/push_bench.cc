// What a push costs: OTLP and remote write of 8 GPUs with 80 series each, against Google's protobuf library building
// and serializing the same message in the same run, and against protozero writing it.
//
//   push_bench                               everything
//   push_bench --benchmark_filter=against    the comparison alone
#include <benchmark/benchmark.h>
#include <judge/otlp.pb.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <protozero/pbf_writer.hpp>
#include <string>
#include <vector>

#include "encode/exposition.h"
#include "encode/labels.h"
#include "encode/otlp.h"
#include "encode/remote_write.h"
#include "gpu_catalog.h"
#include "timing.h"

namespace {

using namespace accelmon;

constexpr int kGpus = 8;

// `count` polls, a second apart, with values as collectors give them.
struct Polls {
  CatalogPtr catalog = std::make_shared<Catalog>(catalog_of(kGpus));
  std::vector<Frame> frames;
  std::vector<const Frame*> pointers;
  explicit Polls(size_t count) : frames(count) {
    for (size_t f = 0; f < count; ++f) {
      Frame& frame = frames[f];
      frame.generation = catalog->generation;
      frame.wall = (1'700'000'000 + static_cast<Nanos>(f)) * kSecond;
      frame.resize(catalog->series.size());
      for (size_t i = 0; i < catalog->series.size(); ++i) {
        const MetricInfo& metric = info(catalog->series[i].metric);
        const double wave = std::fabs(std::sin(static_cast<double>(i * 37 + f * 11)));
        const double top = std::min(metric.maximum, 1e9);
        frame.set(i, metric.kind == Kind::counter ? static_cast<double>(i * 1000 + f * 350)
                                                  : std::round(wave * top / metric.step) * metric.step);
      }
      pointers.push_back(&frame);
    }
  }
  FrameRun run(size_t first, size_t count) const {
    return {"nvml", catalog, std::span<const Frame* const>(pointers).subspan(first, count)};
  }
};

void report(benchmark::State& state, size_t samples, size_t bytes) {
  state.counters["samples"] = static_cast<double>(samples);
  state.counters["bytes"] = static_cast<double>(bytes);
  state.counters["per_sample"] = benchmark::Counter(
      static_cast<double>(samples), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void otlp(benchmark::State& state, OtlpForm form) {
  const Polls polls(8);
  OtlpEncoder encoder({.form = form, .resource = {{"service.name", "accelmon"}, {"host.name", "node-1"}}});
  size_t round = 0, bytes = 0;
  for (auto _ : state) {
    const FrameRun run = polls.run(round++ % 8, 1);
    const std::string_view request = encoder.encode({&run, 1});  // not committed: each is the first one
    bytes = request.size();
    benchmark::DoNotOptimize(request.data());
  }
  report(state, encoder.points(), bytes);
}
BENCHMARK_CAPTURE(otlp, protobuf_640, OtlpForm::protobuf)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(otlp, json_640, OtlpForm::json)->Unit(benchmark::kMicrosecond);

void remote_write(benchmark::State& state, RemoteWriteVersion version, size_t frames) {
  const Polls polls(frames);
  RemoteWriteEncoder encoder({.version = version,
                              .labels = constant_labels({{"job", "accelmon"}, {"instance", "node-1:19400"}}).value(),
                              .metadata_every = 0});
  const FrameRun run = polls.run(0, frames);
  std::string body;
  size_t bytes = 0;
  for (auto _ : state) {
    encoder.begin({&run, 1});
    for (bytes = 0; encoder.next(body); bytes += body.size()) benchmark::DoNotOptimize(body.data());
  }
  report(state, encoder.all_samples(), bytes);
}
BENCHMARK_CAPTURE(remote_write, v1_640, RemoteWriteVersion::v1, 1)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(remote_write, v2_640, RemoteWriteVersion::v2, 1)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(remote_write, v1_backfill_300x640, RemoteWriteVersion::v1, 300)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(remote_write, v2_backfill_300x640, RemoteWriteVersion::v2, 300)->Unit(benchmark::kMicrosecond);

// ---- the same message by others: labels are made beforehand for all three ----

struct Prepared {
  MetricId metric;
  std::vector<uint32_t> series;
  std::vector<LabelSet> labels;
};
std::vector<Prepared> prepared(const Catalog& catalog) {
  std::vector<Prepared> out;
  for (const MetricInfo& metric : all_metrics()) {
    Prepared one{metric.id, {}, {}};
    for (size_t i = 0; i < catalog.series.size(); ++i)
      if (catalog.series[i].metric == metric.id && is_exported(catalog, catalog.series[i])) {
        one.series.push_back(static_cast<uint32_t>(i));
        one.labels.push_back(labels_of(catalog, catalog.series[i]));
      }
    if (!one.series.empty()) out.push_back(std::move(one));
  }
  return out;
}

bool is_pid(const Label& label) {
  return label.id == AttributeId::process_pid;
}

void build(const std::vector<Prepared>& metrics, const Frame& frame,
           judge::otlp::ExportMetricsServiceRequest& request) {
  request.Clear();  // keeps what it has allocated, which is how the library wants to be used
  auto* resource = request.add_resource_metrics();
  for (const auto& [key, value] : {std::pair("service.name", "accelmon"), std::pair("host.name", "node-1")}) {
    auto* attribute = resource->mutable_resource()->add_attributes();
    attribute->set_key(key);
    attribute->mutable_value()->set_string_value(value);
  }
  auto* scope = resource->add_scope_metrics();
  scope->mutable_scope()->set_name("accelmon");
  scope->mutable_scope()->set_version(ACCELMON_VERSION);
  for (const Prepared& one : metrics) {
    const MetricInfo& about = info(one.metric);
    auto* metric = scope->add_metrics();
    metric->set_name(std::string(about.name));
    metric->set_description(std::string(about.brief));
    metric->set_unit(std::string(unit_text(about.unit)));
    const bool sum = about.kind != Kind::gauge;
    if (sum) {
      metric->mutable_sum()->set_aggregation_temporality(judge::otlp::AGGREGATION_TEMPORALITY_CUMULATIVE);
      metric->mutable_sum()->set_is_monotonic(about.kind == Kind::counter);
    }
    for (size_t i = 0; i < one.series.size(); ++i) {
      auto* point = sum ? metric->mutable_sum()->add_data_points() : metric->mutable_gauge()->add_data_points();
      if (sum) point->set_start_time_unix_nano(static_cast<uint64_t>(frame.wall));
      point->set_time_unix_nano(static_cast<uint64_t>(frame.wall));
      point->set_as_double(frame.values[one.series[i]]);
      for (const Label& label : one.labels[i].labels()) {
        auto* attribute = point->add_attributes();
        attribute->set_key(std::string(info(label.id).key));
        if (is_pid(label))
          attribute->mutable_value()->set_int_value(std::stoll(label.value));
        else
          attribute->mutable_value()->set_string_value(label.value);
      }
    }
  }
}

void write(const std::vector<Prepared>& metrics, const Frame& frame, std::string& out) {
  using protozero::pbf_writer;
  out.clear();
  pbf_writer request(out);
  pbf_writer resource_metrics(request, 1);
  {
    pbf_writer resource(resource_metrics, 1);
    for (const auto& [key, value] : {std::pair("service.name", "accelmon"), std::pair("host.name", "node-1")}) {
      pbf_writer attribute(resource, 1);
      attribute.add_string(1, key);
      pbf_writer any(attribute, 2);
      any.add_string(1, value);
    }
  }
  pbf_writer scope_metrics(resource_metrics, 2);
  {
    pbf_writer scope(scope_metrics, 1);
    scope.add_string(1, "accelmon");
    scope.add_string(2, ACCELMON_VERSION);
  }
  for (const Prepared& one : metrics) {
    const MetricInfo& about = info(one.metric);
    const bool sum = about.kind != Kind::gauge;
    pbf_writer metric(scope_metrics, 2);
    metric.add_string(1, about.name.data(), about.name.size());
    metric.add_string(2, about.brief.data(), about.brief.size());
    metric.add_string(3, unit_text(about.unit).data(), unit_text(about.unit).size());
    pbf_writer data(metric, sum ? 7 : 5);
    for (size_t i = 0; i < one.series.size(); ++i) {
      pbf_writer point(data, 1);
      if (sum) point.add_fixed64(2, static_cast<uint64_t>(frame.wall));
      point.add_fixed64(3, static_cast<uint64_t>(frame.wall));
      point.add_double(4, frame.values[one.series[i]]);
      for (const Label& label : one.labels[i].labels()) {
        pbf_writer attribute(point, 7);
        attribute.add_string(1, info(label.id).key.data(), info(label.id).key.size());
        pbf_writer any(attribute, 2);
        if (is_pid(label))
          any.add_int64(3, std::stoll(label.value));
        else
          any.add_string(1, label.value);
      }
    }
    if (sum) {
      data.add_enum(2, 2);
      if (about.kind == Kind::counter) data.add_bool(3, true);
    }
  }
}

// All three give the same bytes, one round of each in turn.
void against_libprotobuf(benchmark::State& state) {
  const Polls polls(8);
  const std::vector<Prepared> metrics = prepared(*polls.catalog);
  OtlpEncoder encoder({.resource = {{"service.name", "accelmon"}, {"host.name", "node-1"}}});
  judge::otlp::ExportMetricsServiceRequest message;
  std::string theirs_bytes, protozero_bytes, ours_bytes;
  Timing ours, theirs, protozero;
  for (auto _ : state) {
    for (size_t round = 0; round < 200; ++round) {
      const FrameRun run = polls.run(round % 8, 1);
      double start = cpu_microseconds();
      const std::string_view request = encoder.encode({&run, 1});  // not committed: each is the first
      ours.rounds.push_back(cpu_microseconds() - start);
      start = cpu_microseconds();
      build(metrics, polls.frames[round % 8], message);
      message.SerializeToString(&theirs_bytes);
      theirs.rounds.push_back(cpu_microseconds() - start);
      start = cpu_microseconds();
      write(metrics, polls.frames[round % 8], protozero_bytes);
      protozero.rounds.push_back(cpu_microseconds() - start);
      ours_bytes.assign(request);
      if (ours_bytes != theirs_bytes || ours_bytes != protozero_bytes) state.SkipWithError("the bytes differ");
    }
  }
  state.counters["ours_min_us"] = ours.minimum();
  state.counters["ours_median_us"] = ours.median();
  state.counters["theirs_min_us"] = theirs.minimum();
  state.counters["theirs_median_us"] = theirs.median();
  state.counters["protozero_median_us"] = protozero.median();
  state.counters["times_faster"] = theirs.median() / ours.median();
  state.counters["times_faster_min"] = theirs.minimum() / ours.minimum();
  state.counters["bytes"] = static_cast<double>(ours_bytes.size());
}
BENCHMARK(against_libprotobuf)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
