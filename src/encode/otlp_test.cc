// OTLP requests as Google's protobuf library reads them, from protobuf and from JSON.
#include "encode/otlp.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <judge/otlp.pb.h>

#include <cmath>
#include <map>

#include "encode/exposition.h"
#include "encode/runs_for_test.h"

namespace accelmon {
namespace {

using for_test::batch_of;
using for_test::BatchMaker;
using for_test::five_kinds;
using for_test::kBegin;
using for_test::kGone;
using judge::otlp::ExportMetricsServiceRequest;
using judge::otlp::NumberDataPoint;

OtlpOptions options_of(OtlpForm form, OtlpTemporality temporality = OtlpTemporality::cumulative) {
  OtlpOptions options;
  options.form = form;
  options.temporality = temporality;
  options.resource = {{"service.name", "accelmon"}, {"host.name", "node\xff-1"}, {"host.id", ""}};
  options.version = "1.2.3";
  return options;
}

ExportMetricsServiceRequest parsed(std::string_view request) {
  ExportMetricsServiceRequest out;
  EXPECT_TRUE(out.ParseFromArray(request.data(), static_cast<int>(request.size())));
  // Canonical: what the library writes are the same bytes.
  EXPECT_EQ(out.SerializeAsString(), request);
  EXPECT_EQ(out.GetReflection()->GetUnknownFields(out).field_count(), 0);
  return out;
}

ExportMetricsServiceRequest parsed_json(std::string_view request) {
  ExportMetricsServiceRequest out;
  const auto status = google::protobuf::util::JsonStringToMessage(std::string(request), &out);
  EXPECT_TRUE(status.ok()) << status.ToString() << "\n" << request;
  return out;
}

const judge::otlp::Metric* find(const ExportMetricsServiceRequest& request, std::string_view name) {
  if (request.resource_metrics_size() != 1) return nullptr;
  for (const auto& metric : request.resource_metrics(0).scope_metrics(0).metrics())
    if (metric.name() == name) return &metric;
  return nullptr;
}

std::vector<NumberDataPoint> points_of(const ExportMetricsServiceRequest& request, std::string_view name) {
  const auto* metric = find(request, name);
  if (metric == nullptr) return {};
  const auto& points = metric->has_sum() ? metric->sum().data_points() : metric->gauge().data_points();
  return {points.begin(), points.end()};
}

std::string attribute(const NumberDataPoint& point, std::string_view key) {
  for (const auto& one : point.attributes())
    if (one.key() == key) return one.value().string_value();
  return "(none)";
}

uint64_t at(double seconds) {
  return static_cast<uint64_t>(kBegin + static_cast<Nanos>(seconds * 1e9));
}

TEST(Otlp, KindsAsTheConventionsHaveThem) {
  BatchMaker make;
  make.run("nvml", five_kinds()).frame(kBegin, {41.5, 1000, 64e9, 1, 1});
  OtlpEncoder encoder(options_of(OtlpForm::protobuf));
  const ExportMetricsServiceRequest request = parsed(encoder.encode(make.batch()));
  EXPECT_EQ(encoder.points(), 5u);
  ASSERT_EQ(request.resource_metrics_size(), 1);
  const auto& resource = request.resource_metrics(0).resource();
  ASSERT_EQ(resource.attributes_size(), 2) << "an empty one is left out";
  EXPECT_EQ(resource.attributes(0).key(), "service.name");
  EXPECT_EQ(resource.attributes(1).value().string_value(), "node\xef\xbf\xbd-1");
  const auto& scope = request.resource_metrics(0).scope_metrics(0).scope();
  EXPECT_EQ(scope.name(), "accelmon");
  EXPECT_EQ(scope.version(), "1.2.3");

  const auto* temperature = find(request, "hw.temperature");
  ASSERT_NE(temperature, nullptr);
  EXPECT_TRUE(temperature->has_gauge());
  EXPECT_EQ(temperature->unit(), "Cel");
  EXPECT_EQ(temperature->description(), info(MetricId::temperature).brief);
  const NumberDataPoint& point = temperature->gauge().data_points(0);
  EXPECT_EQ(point.as_double(), 41.5);
  EXPECT_EQ(point.time_unix_nano(), at(0));
  EXPECT_EQ(point.start_time_unix_nano(), 0u) << "of a gauge it means nothing";
  EXPECT_EQ(attribute(point, "hw.id"), "GPU-1");
  EXPECT_EQ(attribute(point, "hw.type"), "gpu");
  EXPECT_EQ(attribute(point, "hw.sensor_location"), "gpu");
  EXPECT_EQ(point.attributes_size(), 5);

  const auto* energy = find(request, "hw.energy");
  ASSERT_NE(energy, nullptr);
  ASSERT_TRUE(energy->has_sum());
  EXPECT_EQ(energy->unit(), "J");
  EXPECT_TRUE(energy->sum().is_monotonic());
  EXPECT_EQ(energy->sum().aggregation_temporality(), judge::otlp::AGGREGATION_TEMPORALITY_CUMULATIVE);
  for (const char* name : {"hw.gpu.memory.usage", "hw.status", "accelmon.device.info"}) {
    const auto* metric = find(request, name);
    ASSERT_NE(metric, nullptr) << name;
    ASSERT_TRUE(metric->has_sum()) << name;
    EXPECT_FALSE(metric->sum().is_monotonic()) << name;
    EXPECT_EQ(metric->sum().aggregation_temporality(), judge::otlp::AGGREGATION_TEMPORALITY_CUMULATIVE) << name;
  }
  EXPECT_EQ(attribute(points_of(request, "accelmon.device.info")[0], "hw.model"), "H100");
}

// Every series of a page is a point, with the same value and the same labels under their OpenTelemetry keys.
TEST(Otlp, SaysWhatThePageSays) {
  for (const Snapshot& snapshot : {for_test::small_snapshot(), for_test::whole_table()}) {
    std::string text;
    Exposition().render(snapshot, ExpositionFormat::text_0_0_4, text);
    std::map<std::string, double> expected;  // name{labels}
    for (const for_test::Sample& sample : for_test::read_page(text).samples) {
      std::map<std::string, std::string> labels(sample.labels.begin(), sample.labels.end());
      std::string key = sample.name;
      for (const auto& [name, value] : labels) key += "|" + name + "=" + value;
      expected[key] = sample.value;
    }
    for (const OtlpForm form : {OtlpForm::protobuf, OtlpForm::json}) {
      OtlpEncoder encoder(options_of(form));
      const std::string_view bytes = encoder.encode(batch_of(snapshot, kBegin).batch());
      const ExportMetricsServiceRequest request = form == OtlpForm::json ? parsed_json(bytes) : parsed(bytes);
      std::map<std::string, double> seen;
      for (const auto& metric : request.resource_metrics(0).scope_metrics(0).metrics()) {
        const auto id = find_metric(metric.name());
        ASSERT_TRUE(id) << metric.name();
        EXPECT_EQ(metric.unit(), unit_text(info(*id).unit));
        for (const NumberDataPoint& point : points_of(request, metric.name())) {
          std::map<std::string, std::string> labels;
          for (const auto& one : point.attributes()) {
            const auto attribute_id = find_attribute(one.key());
            ASSERT_TRUE(attribute_id) << one.key();
            labels[std::string(prometheus_label(*attribute_id))] = one.value().string_value();
          }
          std::string key(prometheus_name(*id));
          for (const auto& [name, value] : labels) key += "|" + name + "=" + value;
          EXPECT_TRUE(seen.emplace(key, point.as_double()).second) << key;
        }
      }
      EXPECT_EQ(seen, expected);
      EXPECT_EQ(encoder.points(), expected.size());
    }
  }
}

// The two forms are the same message.
TEST(Otlp, JsonIsTheSameMessage) {
  BatchMaker make;
  auto catalog = std::make_shared<Catalog>(*five_kinds());
  CatalogBuilder build(*catalog);
  build.add(MetricId::process_memory, 0, Tier::slow, {{AttributeId::process_pid, "4711"}});
  build.add(MetricId::process_memory, 0, Tier::slow, {{AttributeId::process_pid, "007"}});
  build.add(MetricId::temperature, 0, Tier::fast, {{AttributeId::sensor_location, "\"\\\n\x01\xff\xe2\x82\xac"}});
  constexpr double kInf = std::numeric_limits<double>::infinity();
  make.run("nvml", catalog)
      .frame(kBegin, {-0.0, 1e300, 0, 1, 1, 5e-324, 3, kInf})
      .frame(kBegin + kSecond, {0, 1.7976931348623157e308, kGone, 0, kGone, 0.1, 3, -kInf})
      .frame(kBegin + 2 * kSecond, {kGone, 1, 3, 0, 1, 0.1, kGone, 7});
  for (const OtlpTemporality temporality : {OtlpTemporality::cumulative, OtlpTemporality::delta}) {
    OtlpOptions options = options_of(OtlpForm::protobuf, temporality);
    options.schema_url = "https://example.org/schema/1";
    OtlpEncoder protobuf(options);
    options.form = OtlpForm::json;
    OtlpEncoder json(options);
    const ExportMetricsServiceRequest a = parsed(protobuf.encode(make.batch()));
    const std::string text(json.encode(make.batch()));
    const ExportMetricsServiceRequest b = parsed_json(text);
    std::string difference;
    google::protobuf::util::MessageDifferencer differencer;
    differencer.ReportDifferencesToString(&difference);
    EXPECT_TRUE(differencer.Compare(a, b)) << difference;
    EXPECT_EQ(a.resource_metrics(0).scope_metrics(0).schema_url(), "https://example.org/schema/1");
    EXPECT_EQ(protobuf.points(), json.points());
    // What the mapping asks for and a lenient reader does not check.
    EXPECT_NE(text.find("\"timeUnixNano\":\"1700000000000000000\""), std::string::npos) << text;
    EXPECT_NE(text.find(temporality == OtlpTemporality::delta ? "\"aggregationTemporality\":1"
                                                              : "\"aggregationTemporality\":2,\"isMonotonic\":true"),
              std::string::npos);
    EXPECT_NE(text.find("\"asDouble\":\"Infinity\""), std::string::npos);
    EXPECT_NE(text.find("{\"key\":\"process.pid\",\"value\":{\"intValue\":\"4711\"}}"), std::string::npos);
    EXPECT_NE(text.find("{\"key\":\"process.pid\",\"value\":{\"stringValue\":\"007\"}}"), std::string::npos);
    EXPECT_NE(text.find("\"flags\":1"), std::string::npos);
  }
}

TEST(Otlp, PointsStandTogetherPerMetric) {
  BatchMaker make;
  for (const char* id : {"GPU-1", "GPU-2"}) {
    make.run(id, five_kinds(1, id));
    for (int i = 0; i < 3; ++i) make.frame(kBegin + i * kSecond, {40.0 + i, 100.0 + i, 5, 1, 1});
  }
  OtlpEncoder encoder(options_of(OtlpForm::protobuf));
  const ExportMetricsServiceRequest request = parsed(encoder.encode(make.batch()));
  EXPECT_EQ(request.resource_metrics(0).scope_metrics(0).metrics_size(), 5);
  const auto points = points_of(request, "hw.temperature");
  ASSERT_EQ(points.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(attribute(points[i], "hw.id"), i < 3 ? "GPU-1" : "GPU-2");
    EXPECT_EQ(points[i].time_unix_nano(), at(static_cast<double>(i % 3)));
    EXPECT_EQ(points[i].as_double(), 40.0 + static_cast<double>(i % 3));
  }
}

TEST(Otlp, StartOfACounter) {
  OtlpEncoder encoder(options_of(OtlpForm::protobuf));
  const auto encoded = [&](double second, double energy) {
    BatchMaker make;
    make.run("nvml", five_kinds()).frame(kBegin + static_cast<Nanos>(second * 1e9), {1, energy, 1, 1, 1});
    const auto points = points_of(parsed(encoder.encode(make.batch())), "hw.energy");
    encoder.commit();
    EXPECT_EQ(points.size(), 1u);
    return points.at(0);
  };
  EXPECT_EQ(encoded(0, 1000).start_time_unix_nano(), at(0)) << "nobody knows since when: an interval of no length";
  EXPECT_EQ(encoded(1, 1100).start_time_unix_nano(), at(0));
  EXPECT_EQ(encoded(2, kGone).flags(), 1u);
  EXPECT_EQ(encoded(3, 1200).start_time_unix_nano(), at(0)) << "a gap is no reset";
  const NumberDataPoint reset = encoded(4, 7);
  EXPECT_EQ(reset.start_time_unix_nano(), at(3)) << "it fell since then";
  EXPECT_EQ(reset.as_double(), 7);
  EXPECT_EQ(encoded(5, 9).start_time_unix_nano(), at(3));
}

TEST(Otlp, DeltasAreNotInvented) {
  OtlpEncoder encoder(options_of(OtlpForm::protobuf, OtlpTemporality::delta));
  BatchMaker make;
  make.run("nvml", five_kinds());
  const double readings[] = {1000, 1100, kGone, 1250, 7, 9.5};
  for (size_t i = 0; i < std::size(readings); ++i)
    make.frame(kBegin + static_cast<Nanos>(i) * kSecond, {1, readings[i], 5, 1, 1});
  const ExportMetricsServiceRequest request = parsed(encoder.encode(make.batch()));
  const auto* energy = find(request, "hw.energy");
  ASSERT_NE(energy, nullptr);
  EXPECT_EQ(energy->sum().aggregation_temporality(), judge::otlp::AGGREGATION_TEMPORALITY_DELTA);
  EXPECT_TRUE(energy->sum().is_monotonic());
  const auto points = points_of(request, "hw.energy");
  ASSERT_EQ(points.size(), 3u) << "none for the first, the absent one, and the first after the fall";
  const double expected[3][3] = {{0, 1, 100}, {1, 3, 150}, {4, 5, 2.5}};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(points[i].start_time_unix_nano(), at(expected[i][0]));
    EXPECT_EQ(points[i].time_unix_nano(), at(expected[i][1]));
    EXPECT_EQ(points[i].as_double(), expected[i][2]);
    EXPECT_EQ(points[i].flags(), 0u);
  }
  // What goes up and down is not a matter of deltas.
  const auto* usage = find(request, "hw.gpu.memory.usage");
  EXPECT_EQ(usage->sum().aggregation_temporality(), judge::otlp::AGGREGATION_TEMPORALITY_CUMULATIVE);
  EXPECT_EQ(points_of(request, "hw.gpu.memory.usage").size(), std::size(readings));
}

TEST(Otlp, WhatWasNotCommittedIsEncodedAgain) {
  for (const OtlpTemporality temporality : {OtlpTemporality::cumulative, OtlpTemporality::delta}) {
    OtlpEncoder encoder(options_of(OtlpForm::protobuf, temporality));
    BatchMaker first;
    first.run("nvml", five_kinds()).frame(kBegin, {1, 100, 1, 1, 1});
    encoder.encode(first.batch());
    encoder.commit();
    BatchMaker second;
    second.run("nvml", five_kinds()).frame(kBegin + kSecond, {1, 150, 1, 1, kGone});
    second.run("nvml", five_kinds(2, "GPU-2")).frame(kBegin + 2 * kSecond, {1, 3, 1, 1, 1});
    const std::string lost(encoder.encode(second.batch()));
    EXPECT_EQ(encoder.encode(second.batch()), lost);
    // A longer batch after the failure: the growth since the last commit, once.
    second.frame(kBegin + 3 * kSecond, {1, 5, 1, 1, 1});
    const ExportMetricsServiceRequest request = parsed(encoder.encode(second.batch()));
    double sum = 0;
    for (const NumberDataPoint& point : points_of(request, "hw.energy")) sum += point.as_double();
    EXPECT_EQ(sum, temporality == OtlpTemporality::delta ? 50 + 2 : 150 + 3 + 5);
    encoder.commit();
    EXPECT_EQ(encoder.series(), 5u) << "those of the first device are forgotten";
  }
}

TEST(Otlp, SeriesThatEndSaySo) {
  OtlpEncoder encoder(options_of(OtlpForm::protobuf));
  BatchMaker first;
  first.run("nvml", five_kinds()).frame(kBegin, {1, 100, 1, 1, kGone});
  encoder.encode(first.batch());
  encoder.commit();
  BatchMaker second;
  second.run("nvml", five_kinds()).frame(kBegin + kSecond, {kGone, 100, 1, 1, kGone});
  ExportMetricsServiceRequest request = parsed(encoder.encode(second.batch()));
  encoder.commit();
  auto points = points_of(request, "hw.temperature");
  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(points[0].flags(), 1u);
  EXPECT_EQ(points[0].value_case(), NumberDataPoint::VALUE_NOT_SET);
  EXPECT_EQ(points_of(request, "accelmon.device.info").size(), 0u) << "it was never there";
  // Once: a series that stays away is not mentioned again. The others end with the catalog.
  BatchMaker third;
  third.run("nvml", five_kinds(2, "GPU-2")).frame(kBegin + 2 * kSecond, {5, 6, 7, 0, 1});
  request = parsed(encoder.encode(third.batch()));
  encoder.commit();
  points = points_of(request, "hw.temperature");
  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(attribute(points[0], "hw.id"), "GPU-2");
  points = points_of(request, "hw.energy");
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[1].flags(), 1u);
  EXPECT_EQ(attribute(points[1], "hw.id"), "GPU-1");
  EXPECT_EQ(points[1].time_unix_nano(), at(2));
  // A source that is gone: an empty catalog.
  auto empty = std::make_shared<Catalog>();
  empty->generation = 3;
  BatchMaker fourth;
  fourth.run("nvml", empty).frame(kBegin + 3 * kSecond, {});
  request = parsed(encoder.encode(fourth.batch()));
  encoder.commit();
  EXPECT_EQ(encoder.points(), 5u);
  EXPECT_EQ(points_of(request, "hw.energy").at(0).flags(), 1u);
  EXPECT_EQ(encoder.series(), 0u);
  EXPECT_TRUE(encoder.encode(fourth.batch()).empty());
}

TEST(Otlp, ASeriesThatMovesToAnotherSourceGoesOn) {
  OtlpEncoder encoder(options_of(OtlpForm::protobuf));
  BatchMaker first;
  first.run("a", five_kinds()).frame(kBegin, {1, 100, 1, 1, 1});
  first.run("b", five_kinds(1, "GPU-2")).frame(kBegin, {1, 100, 1, 1, 1});
  encoder.encode(first.batch());
  encoder.commit();
  auto both = std::make_shared<Catalog>(*five_kinds(2, "GPU-2"));
  CatalogBuilder build(*both);
  const int gpu = build.add_device({.id = "GPU-1", .index = "0", .vendor = "nvidia", .model = "H100"});
  build.add(MetricId::energy, gpu);
  auto empty = std::make_shared<Catalog>();
  empty->generation = 2;
  BatchMaker second;
  second.run("a", empty).frame(kBegin + kSecond, {});
  second.run("b", both).frame(kBegin + kSecond, {1, 101, 1, 1, 1, 120});
  const auto points = points_of(parsed(encoder.encode(second.batch())), "hw.energy");
  ASSERT_EQ(points.size(), 2u) << "no end";
  EXPECT_EQ(attribute(points[1], "hw.id"), "GPU-1");
  EXPECT_EQ(points[1].start_time_unix_nano(), at(0)) << "it has counted since then";
}

TEST(Otlp, HostileFramesAndCatalogs) {
  auto catalog = std::make_shared<Catalog>(*five_kinds());
  CatalogBuilder build(*catalog);
  build.add(static_cast<MetricId>(60000), 0);
  build.add(MetricId::temperature, 77);
  build.add(MetricId::temperature, 0, Tier::fast, {{AttributeId::sensor_location, "gpu"}});   // the same again
  build.add(MetricId::gpu_io_rate, 0, Tier::fast, {{AttributeId::io_direction, "receive"}});  // LOCAL
  OtlpEncoder encoder(options_of(OtlpForm::protobuf));
  BatchMaker make;
  make.run("x", catalog).frame(kBegin, {1, -5, 3, 1, 1, 1, 2, 99, 3});
  const ExportMetricsServiceRequest request = parsed(encoder.encode(make.batch()));
  EXPECT_EQ(encoder.points(), 4u) << "and no counter below zero";
  EXPECT_EQ(points_of(request, "hw.temperature").at(0).as_double(), 1);

  BatchMaker wrong;
  wrong.run("x", catalog).frame(kBegin + kSecond, {1});
  wrong.last_frame().values.resize(2);
  wrong.frame(kBegin + kSecond, {1});
  wrong.last_frame().generation = 9;
  wrong.run("y", nullptr);
  EXPECT_TRUE(encoder.encode(wrong.batch()).empty());
  EXPECT_EQ(encoder.points(), 0u);
  EXPECT_TRUE(encoder.encode({}).empty());
}

TEST(Otlp, AClockThatWasSetBack) {
  OtlpEncoder encoder(options_of(OtlpForm::protobuf));
  BatchMaker make;
  make.run("nvml", five_kinds())
      .frame(kBegin + kSecond, {1, 1, 1, 1, 1})
      .frame(kBegin + kSecond, {2, 2, 2, 1, 1})
      .frame(kBegin, {3, 3, 3, 1, 1})
      .frame(kBegin + 2 * kSecond, {4, 4, 4, 1, 1});
  const auto points = points_of(parsed(encoder.encode(make.batch())), "hw.temperature");
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[1].as_double(), 4);
  EXPECT_EQ(encoder.late(), 10u);
  encoder.commit();
  // By more than a little: what is read now is sent, and no sum starts behind its end.
  BatchMaker back;
  back.run("nvml", five_kinds()).frame(kBegin - 86400 * kSecond, {5, 5, 5, 1, 1});
  const auto message = parsed(encoder.encode(back.batch()));
  EXPECT_EQ(encoder.points(), 5u);
  EXPECT_EQ(encoder.late(), 0u);
  for (const auto& point : points_of(message, "hw.energy"))
    EXPECT_LE(point.start_time_unix_nano(), point.time_unix_nano());
}

TEST(Otlp, ABatchInParts) {
  OtlpEncoder encoder(options_of(OtlpForm::protobuf));
  BatchMaker make;
  make.run("nvml", five_kinds());
  for (int i = 0; i < 3; ++i) make.frame(kBegin + i * kSecond, {1.0 * i, 1.0 + i, 1, 1, 1});
  for (const size_t most : {1u, 2u, 4u, 7u, 15u, 99u}) {
    std::vector<double> temperatures;
    size_t sum = 0;
    for (size_t done = 0; done < 15; done += most) {
      const auto message = parsed(encoder.encode(make.batch(), done, most));
      EXPECT_EQ(encoder.all_points(), 15u);
      EXPECT_EQ(encoder.points(), std::min<size_t>(most, 15 - done));
      sum += encoder.points();
      for (const auto& point : points_of(message, "hw.temperature")) temperatures.push_back(point.as_double());
    }
    EXPECT_EQ(sum, 15u) << most;
    EXPECT_EQ(temperatures, (std::vector<double>{0, 1, 2})) << most;
  }
  EXPECT_TRUE(encoder.encode(make.batch(), 15).empty());
}

}  // namespace
}  // namespace accelmon
