// CloudWatch: what is chosen, how it is gathered, the limits of both ways there, what it costs, and answers.
#include "encode/cloudwatch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "encode/cloudwatch_answer.h"
#include "encode/emf.h"
#include "encode/runs_for_test.h"

namespace accelmon {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

constexpr Nanos kStart = 1772366400 * kSecond;  // a whole minute

// One source with boards, polled again and again.
class Polls {
 public:
  explicit Polls(size_t boards, std::string name = "nvml") : name_(std::move(name)) {
    catalog_ = std::make_shared<Catalog>();
    catalog_->generation = 5;
    CatalogBuilder make(*catalog_);
    for (size_t i = 0; i < boards; ++i) {
      const int gpu =
          make.add_device({.id = "GPU-" + std::to_string(i), .index = std::to_string(i), .vendor = "nvidia"});
      make.add(MetricId::gpu_utilization, gpu, Tier::fast, {{AttributeId::gpu_task, "general"}});
      make.add(MetricId::gpu_utilization, gpu, Tier::fast, {{AttributeId::gpu_task, "encoder"}});
      make.add(MetricId::gpu_memory_usage, gpu);
      make.add(MetricId::errors, gpu, Tier::slow,
               {{AttributeId::error_type, "uncorrected"}, {AttributeId::error_block, "dram"}});
      make.add(MetricId::energy, gpu);
    }
    values.assign(catalog_->series.size(), 0);
    states.assign(catalog_->series.size(), State::ok);
  }
  void poll(Nanos wall) {
    Frame& frame = frames_.emplace_back();
    frame.generation = 5;
    frame.wall = wall;
    frame.values = values;
    frame.states = states;
    pointers_.push_back(&frame);
  }
  void forget() {
    frames_.clear();
    pointers_.clear();
  }
  FrameRun run() const { return {name_, catalog_, pointers_}; }

  std::vector<double> values;
  std::vector<State> states;

 private:
  std::string name_;
  std::shared_ptr<Catalog> catalog_;
  std::deque<Frame> frames_;
  std::vector<const Frame*> pointers_;
};

std::vector<std::string> bodies_of(CloudWatchEncoder& encoder, const Polls& polls, Nanos now = kStart + 60 * kSecond) {
  const FrameRun run = polls.run();
  std::vector<std::string> bodies;
  encoder.encode({&run, 1}, now, bodies);
  return bodies;
}

CloudWatchRule rule(std::string_view text) {
  Result<CloudWatchRule> parsed = parse_cloudwatch_rule(text);
  EXPECT_TRUE(parsed) << parsed.error().message();
  return parsed ? *parsed : CloudWatchRule{};
}

TEST(CloudWatch, AMinuteAsValuesAndCounts) {
  Polls polls(1);
  for (int i = 0; i < 60; ++i) {
    polls.values = {i < 45 ? 0.25 : 1.0, 0.5, 1024, 0, 100.0 + i};
    polls.poll(kStart + i * kSecond);
  }
  CloudWatchEncoder encoder({.dimensions = {{"Host", "h1"}}});
  const auto bodies = bodies_of(encoder, polls);
  ASSERT_EQ(bodies.size(), 1u);
  EXPECT_EQ(
      bodies[0],
      R"({"Namespace":"accelmon","MetricData":[)"
      R"({"MetricName":"hw.gpu.utilization","Dimensions":[{"Name":"Host","Value":"h1"},{"Name":"Device","Value":"GPU-0"}],)"
      R"("Timestamp":1772366400,"Unit":"Percent","StorageResolution":60,"Values":[25,100],"Counts":[45,15]},)"
      R"({"MetricName":"hw.gpu.memory.usage","Dimensions":[{"Name":"Host","Value":"h1"},{"Name":"Device","Value":"GPU-0"}],)"
      R"("Timestamp":1772366400,"Unit":"Bytes","StorageResolution":60,"Values":[1024],"Counts":[60]},)"
      R"({"MetricName":"hw.errors","Dimensions":[{"Name":"Host","Value":"h1"},{"Name":"Device","Value":"GPU-0"}],)"
      R"("Timestamp":1772366400,"Unit":"Count","StorageResolution":60,"Values":[0],"Counts":[1]}]})");
}

TEST(CloudWatch, CountersAreTheirGrowth) {
  Polls polls(1);
  CloudWatchEncoder encoder({.rules = {rule("hw.energy")}});
  const auto minute = [&](int number, std::vector<double> readings) {
    polls.forget();
    for (size_t i = 0; i < readings.size(); ++i) {
      polls.values[4] = readings[i];
      polls.poll(kStart + number * 60 * kSecond + static_cast<Nanos>(i) * kSecond);
    }
    const auto bodies = bodies_of(encoder, polls, kStart + number * 60 * kSecond);
    return bodies.empty() ? json() : json::parse(bodies[0])["MetricData"][0]["Values"];
  };
  EXPECT_EQ(minute(0, {1000}), json()) << "first sight";
  EXPECT_EQ(minute(1, {1010, 1025}), json({25.0}));
  EXPECT_EQ(minute(2, {5, 9}), json({4.0})) << "the driver was loaded again between";
  polls.states[4] = State::stale;
  EXPECT_EQ(minute(3, {9}), json());
}

TEST(CloudWatch, AllDevicesTogether) {
  Polls polls(4);
  for (size_t i = 0; i < 4; ++i) polls.values[i * 5] = 0.1 * static_cast<double>(i);
  polls.poll(kStart);
  CloudWatchEncoder encoder({.rules = {rule("hw.gpu.utilization{hw.gpu.task=general} by host")}});
  const json data = json::parse(bodies_of(encoder, polls).at(0))["MetricData"];
  ASSERT_EQ(data.size(), 1u);
  EXPECT_EQ(data[0]["Values"].size(), 4u);
  EXPECT_FALSE(data[0].contains("Dimensions"));
}

TEST(CloudWatch, LimitsOfARequest) {
  Polls polls(340);
  for (int i = 0; i < 160; ++i) {
    for (double& value : polls.values) value = (i + 0.123456789) / 1000;
    polls.poll(kStart + i * 300 * kMillisecond);
  }
  CloudWatchEncoder encoder({.rules = {rule("hw.gpu.utilization"), rule("hw.gpu.memory.usage")}});
  const auto bodies = bodies_of(encoder, polls);
  EXPECT_GT(bodies.size(), 2u);
  size_t values = 0;
  std::set<std::string> keys;
  for (const std::string& body : bodies) {
    EXPECT_LE(body.size(), kCloudWatchMaxBytes);
    const json parsed = json::parse(body);
    EXPECT_LE(parsed["MetricData"].size(), kCloudWatchMaxData);
    for (const json& datum : parsed["MetricData"]) {
      EXPECT_LE(datum["Values"].size(), kCloudWatchMaxValues);
      EXPECT_EQ(datum["Values"].size(), datum["Counts"].size());
      values += datum["Values"].size();
      keys.insert(datum["MetricName"].dump() + datum["Dimensions"].dump());
    }
  }
  EXPECT_EQ(values, 340u * 3 * 160) << "nothing is lost";
  EXPECT_EQ(keys.size(), 1020u);
  EXPECT_THAT(bodies[0], HasSubstr("hw.gpu.task"));
}

TEST(CloudWatch, HighResolutionAndOldFrames) {
  Polls polls(1);
  polls.poll(kStart - 15 * 24 * 3600 * kSecond);
  polls.poll(kStart + 100 * kMillisecond);
  polls.poll(kStart + 1200 * kMillisecond);
  polls.poll(kStart + 3 * 3600 * kSecond);
  CloudWatchEncoder encoder({.rules = {rule("hw.gpu.memory.usage")}, .period = kSecond});
  const json data = json::parse(bodies_of(encoder, polls, kStart).at(0))["MetricData"];
  ASSERT_EQ(data.size(), 2u);
  EXPECT_EQ(data[0]["StorageResolution"], 1);
  EXPECT_EQ(data[0]["Timestamp"], 1772366400);
  EXPECT_EQ(data[1]["Timestamp"], 1772366401);
}

TEST(CloudWatch, DimensionsAreBoundedAscii) {
  for_test::SnapshotMaker make;
  make.source("x");
  const int gpu = make.device({.id = "\xc3\xa9\x01 \xff", .index = "0", .vendor = "amd"});
  make.add(MetricId::temperature, gpu, {{AttributeId::sensor_location, "  "}}, 40)
      .add(MetricId::temperature, gpu, {{AttributeId::sensor_location, std::string(256, 'x')}}, 41);
  const Snapshot snapshot = make.take();
  std::vector<std::string> bodies;
  CloudWatchEncoder({.rules = {rule("hw.temperature")}}).encode(for_test::Runs(snapshot, kStart), kStart, bodies);
  EXPECT_THAT(bodies.at(0), HasSubstr(R"({"Name":"Device","Value":"?? ?"},{"Name":"hw.sensor_location","Value":"?"})"));
  CloudWatchEncoder({.rules = {rule("hw.temperature")}, .device_by_index = true})
      .encode(for_test::Runs(snapshot, kStart), kStart, bodies);
  EXPECT_THAT(bodies.at(1), HasSubstr(R"({"Name":"Device","Value":"amd-0"})"));
}

TEST(CloudWatch, RulesAndOptions) {
  const CloudWatchRule power = rule(" hw.power{accelmon.power.scope=gpu, accelmon.power.reading=instant} ");
  EXPECT_EQ(power.metric, MetricId::power);
  EXPECT_EQ(power.attributes.size(), 2u);
  EXPECT_TRUE(power.per_device);
  const auto error = [](std::string_view text) {
    const auto parsed = parse_cloudwatch_rule(text);
    return parsed ? std::string("none") : parsed.error().message();
  };
  EXPECT_EQ(error("hw.pwoer"), "metric 'hw.pwoer' is unknown; did you mean 'hw.power'?");
  EXPECT_EQ(error("hw.power{fna=1}"), "attribute 'fna' is unknown; did you mean 'fan'?");
  EXPECT_THAT(error("hw.power{fan=1"), HasSubstr("no '}'"));
  EXPECT_THAT(error("hw.power{fan}"), HasSubstr("attribute=value"));
  EXPECT_THAT(error("accelmon.device.info"), HasSubstr("not a number"));
  EXPECT_TRUE(validate(CloudWatchOptions{}).ok());
  EXPECT_FALSE(validate(CloudWatchOptions{.space = "AWS/GPU"}).ok());
  EXPECT_FALSE(validate(CloudWatchOptions{.space = "a b"}).ok());
  EXPECT_FALSE(validate(CloudWatchOptions{.rules = {}}).ok());
  EXPECT_FALSE(validate(CloudWatchOptions{.period = 90 * kSecond}).ok());
  EXPECT_FALSE(validate(CloudWatchOptions{.period = kSecond / 2}).ok());
  EXPECT_FALSE(validate(CloudWatchOptions{.dimensions = {{":Host", "h"}}}).ok());
}

TEST(CloudWatch, Estimate) {
  Polls polls(8);
  const FrameRun run = polls.run();
  const CloudWatchOptions options{.dimensions = {{"Host", "h1"}}};
  const CloudWatchEstimate estimate = estimate_cloudwatch({&run, 1}, options, kSecond);
  EXPECT_EQ(estimate.metrics, 24u) << "utilization, memory and errors of eight boards";
  EXPECT_EQ(estimate.requests_a_month, 43'200);
  EXPECT_NEAR(estimate.metrics_cost, 7.2, 1e-9);
  EXPECT_NEAR(estimate.requests_cost, 0.432, 1e-9);
  CloudWatchOptions high = options;
  high.period = kSecond;
  EXPECT_EQ(estimate_cloudwatch({&run, 1}, high, kSecond).requests_a_month, 43'200.0 * 60);
  EXPECT_EQ(estimate_cloudwatch({}, options, kSecond).cost(), 0);
  // What it says of a request is not less than what is sent.
  for (int i = 0; i < 60; ++i) {
    for (double& value : polls.values) value = (i + 0.123456789012345) / 100;
    polls.poll(kStart + i * kSecond);
  }
  CloudWatchEncoder encoder(options);
  const auto bodies = bodies_of(encoder, polls);
  ASSERT_EQ(bodies.size(), 1u);
  EXPECT_GE(estimate.bytes_a_request, static_cast<double>(bodies[0].size()));
  EXPECT_LE(estimate.bytes_a_request, 4.0 * static_cast<double>(bodies[0].size()));
  EXPECT_EQ(json::parse(bodies[0])["MetricData"].size(), estimate.metrics);
}

std::vector<json> events_of(EmfEncoder& encoder, const Polls& polls) {
  const FrameRun run = polls.run();
  std::string out;
  const size_t lines = encoder.encode({&run, 1}, kStart, out);
  std::vector<json> events;
  std::istringstream in(out);
  for (std::string line; std::getline(in, line);) {
    EXPECT_LE(line.size(), kEmfMaxBytes);
    events.push_back(json::parse(line));
  }
  EXPECT_EQ(events.size(), lines);
  return events;
}

TEST(Emf, AnEventForEachSetOfDimensions) {
  Polls polls(2);
  polls.values[0] = 0.5;
  polls.values[2] = 77;
  polls.poll(kStart);
  polls.poll(kStart + kSecond);
  EmfEncoder encoder({.dimensions = {{"Host", "h1"}}}, "/accelmon");
  const auto events = events_of(encoder, polls);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0],
            json::parse(R"({"_aws":{"Timestamp":1772366400000,"LogGroupName":"/accelmon","CloudWatchMetrics":[
              {"Namespace":"accelmon","Dimensions":[["Host","Device"]],"Metrics":[
               {"Name":"hw.gpu.utilization","Unit":"Percent","StorageResolution":60},
               {"Name":"hw.gpu.memory.usage","Unit":"Bytes","StorageResolution":60},
               {"Name":"hw.errors","Unit":"Count","StorageResolution":60}]}]},
              "Host":"h1","Device":"GPU-0","hw.gpu.utilization":[50.0,50.0],"hw.gpu.memory.usage":[77,77],"hw.errors":0})"));
}

TEST(Emf, LimitsOfAnEvent) {
  Polls polls(3);
  for (int i = 0; i < 250; ++i) {
    for (double& value : polls.values) value = i / 1000.0;
    polls.poll(kStart + i * 200 * kMillisecond);
  }
  EmfEncoder encoder({.rules = {rule("hw.gpu.utilization{hw.gpu.task=general}"), rule("hw.gpu.memory.usage")}}, "");
  size_t values = 0;
  for (const json& event : events_of(encoder, polls)) {
    const json& directive = event["_aws"]["CloudWatchMetrics"][0];
    EXPECT_LE(directive["Metrics"].size(), kEmfMaxMetrics);
    for (const json& metric : directive["Metrics"]) {
      const json& value = event[metric["Name"].get<std::string>()];
      EXPECT_LE(value.size(), kEmfMaxValues);
      values += value.size();
    }
  }
  EXPECT_EQ(values, 3u * 2 * 250);
}

TEST(CloudWatchAnswer, Verdicts) {
  using V = CloudWatchVerdict;
  const auto verdict = [](unsigned status, std::string_view type, std::string_view body = "") {
    return read_cloudwatch_answer(status, type, body).verdict;
  };
  EXPECT_EQ(verdict(200, ""), V::accepted);
  EXPECT_EQ(verdict(400, "ThrottlingException"), V::throttled);
  EXPECT_EQ(verdict(400, "", R"({"__type":"com.amazonaws.cloudwatch.v2010_08_01#ThrottlingException"})"), V::throttled);
  EXPECT_EQ(verdict(400, "Throttling:http://internal/"), V::throttled);
  EXPECT_EQ(verdict(429, ""), V::throttled);
  EXPECT_EQ(verdict(403, "ExpiredTokenException"), V::keys);
  EXPECT_EQ(verdict(403, "", R"({"__type":"UnrecognizedClientException","message":"x"})"), V::keys);
  EXPECT_EQ(verdict(403, "AccessDeniedException"), V::denied);
  EXPECT_EQ(verdict(403, "InvalidSignatureException", R"({"message":"Signature expired: 2015 is now earlier than"})"),
            V::clock);
  EXPECT_EQ(verdict(403, "SignatureDoesNotMatch"), V::denied);
  EXPECT_EQ(verdict(413, ""), V::too_large);
  EXPECT_EQ(verdict(400, "", "<E><Code>InvalidParameterValue</Code><Message>NaN</Message></E>"), V::invalid);
  EXPECT_EQ(verdict(400, "", "nonsense"), V::invalid);
  EXPECT_EQ(verdict(503, "AccessDeniedException"), V::unavailable);
  EXPECT_EQ(verdict(500, ""), V::unavailable);
  EXPECT_TRUE(may_be_sent_again(V::keys));
  EXPECT_FALSE(may_be_sent_again(V::invalid));
}

TEST(CloudWatchAnswer, TextsForTheLog) {
  const auto text = [](unsigned status, std::string_view type, std::string_view body) {
    return read_cloudwatch_answer(status, type, body).text;
  };
  EXPECT_EQ(text(400, "", R"({"__type":"a#InvalidParameterValueException","message":"The value\n\u001b[2J is wrong"})"),
            "status 400 InvalidParameterValueException: The value??[2J is wrong");
  EXPECT_THAT(text(403, "SignatureDoesNotMatch", R"({"message":"canonical ... x-amz-security-token:SECRET"})"),
              Not(HasSubstr("SECRET")));
  EXPECT_EQ(text(502, "", std::string(1 << 20, '{')), "status 502");
}

}  // namespace
}  // namespace accelmon
