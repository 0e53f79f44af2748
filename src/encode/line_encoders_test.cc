// StatsD, Graphite, InfluxDB lines and JSON lines: exact texts, and what each receiver cannot bear.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "encode/graphite.h"
#include "encode/influx.h"
#include "encode/json_lines.h"
#include "encode/metric_path.h"
#include "encode/runs_for_test.h"
#include "encode/statsd.h"

namespace accelmon {
namespace {

using for_test::Runs;
using for_test::SnapshotMaker;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr Nanos kWall = 1772366400 * kSecond + 250 * kMillisecond;

std::vector<std::string> lines_of(const std::string& text) {
  EXPECT_TRUE(text.empty() || text.back() == '\n');
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// A board with a negative temperature, a counter, two readings of power, and what must not be shown.
Snapshot board() {
  SnapshotMaker make;
  make.source("nvml");
  const int gpu = make.device({.id = "GPU-1f,3a b", .index = "0", .vendor = "nvidia", .model = "M=1"});
  make.add(MetricId::gpu_utilization, gpu, {{AttributeId::gpu_task, "general"}}, 0.5)
      .add(MetricId::energy, gpu, {}, 1000.5)
      .add(MetricId::temperature, gpu, {{AttributeId::sensor_location, "gpu"}}, -2.5)
      .add(MetricId::gpu_memory_usage, gpu, {}, 17179869184.0)
      .add(MetricId::gpu_memory_limit, gpu, {}, 1, State::unsupported)
      .add(MetricId::gpu_io_rate, gpu, {{AttributeId::io_direction, "receive"}}, 7)  // local
      .add(MetricId::device_info, gpu, {}, 1);
  make.source("host");
  make.add(MetricId::uptime, -1, {}, 12.25);
  return make.take();
}

TEST(Graphite, PlainPaths) {
  const Snapshot snapshot = board();
  GraphiteEncoder encoder({.prefix = "dc1.h1"});
  std::string out;
  EXPECT_EQ(encoder.encode(Runs(snapshot, kWall), out), 5u);
  EXPECT_THAT(lines_of(out), ElementsAre("dc1.h1.gpu.GPU-1f_3a_b.hw_gpu_utilization_ratio.general 0.5 1772366400",
                                         "dc1.h1.gpu.GPU-1f_3a_b.hw_energy_joules_total 1000.5 1772366400",
                                         "dc1.h1.gpu.GPU-1f_3a_b.hw_temperature_celsius.gpu -2.5 1772366400",
                                         "dc1.h1.gpu.GPU-1f_3a_b.hw_gpu_memory_usage_bytes 17179869184 1772366400",
                                         "dc1.h1.host.system_uptime_seconds 12.25 1772366400"));
  GraphiteEncoder indexed({.prefix = "", .by_index = true});
  out.clear();
  indexed.encode(Runs(snapshot, kWall), out);
  EXPECT_THAT(out, HasSubstr("gpu.nvidia-0.hw_energy_joules_total 1000.5 "));
}

TEST(Graphite, Tags) {
  const Snapshot snapshot = board();
  GraphiteEncoder encoder({.tags = true, .labels = {{"cluster", "a;b ~"}, {"host", "~h1"}}});
  std::string out;
  encoder.encode(Runs(snapshot, kWall), out);
  EXPECT_THAT(lines_of(out)[0],
              "hw_gpu_utilization_ratio;cluster=a_b_~;gpu=0;host=_h1;hw_gpu_task=general;"
              "hw_id=GPU-1f,3a_b;hw_type=gpu;hw_vendor=nvidia 0.5 1772366400");
  for (const std::string& line : lines_of(out)) EXPECT_EQ(std::count(line.begin(), line.end(), ' '), 2) << line;
}

TEST(Graphite, OfSeveralPollsInASecondTheLast) {
  Catalog catalog;
  catalog.generation = 3;
  CatalogBuilder(catalog).add(MetricId::uptime, -1);
  std::vector<Frame> frames(5);
  std::vector<const Frame*> pointers;
  for (size_t i = 0; i < frames.size(); ++i) {
    frames[i].generation = 3;
    frames[i].resize(1);
    frames[i].set(0, static_cast<double>(i));
    frames[i].wall = 100 * kSecond + static_cast<Nanos>(i) * 400 * kMillisecond;
    pointers.push_back(&frames[i]);
  }
  const FrameRun run{"host", std::make_shared<const Catalog>(catalog), pointers};
  GraphiteEncoder encoder({});
  std::string out;
  encoder.encode({&run, 1}, out);
  EXPECT_EQ(out, "accelmon.host.system_uptime_seconds 2 100\naccelmon.host.system_uptime_seconds 4 101\n");
}

TEST(MetricPath, WordsAndClashes) {
  EXPECT_EQ(path_word(""), "_");
  EXPECT_EQ(path_word("a.b/c\xc3\xa9\xff"), "a_b_c__");
  EXPECT_LE(path_word(std::string(1000, 'x')).size(), 200u);
  Catalog catalog;
  CatalogBuilder make(catalog);
  make.add(MetricId::gpu_engine_utilization, -1, Tier::fast, {{AttributeId::engine, "0"}});
  make.add(MetricId::gpu_engine_utilization, -1, Tier::fast, {{AttributeId::engine_index, "0"}});
  make.add(MetricId::temperature, -1, Tier::fast, {{AttributeId::sensor_location, "a b"}});
  make.add(MetricId::temperature, -1, Tier::fast, {{AttributeId::sensor_location, "a.b"}});
  make.add(MetricId::temperature, -1, Tier::fast, {{AttributeId::sensor_location, "a/b"}});
  EXPECT_THAT(
      metric_paths(catalog, "x", false),
      ElementsAre("x.host.accelmon_gpu_engine_utilization_ratio.0",
                  "x.host.accelmon_gpu_engine_utilization_ratio.engine_index-0", "x.host.hw_temperature_celsius.a_b",
                  "x.host.hw_temperature_celsius.hw_sensor_location-a_b", ""));
}

TEST(Influx, OneLineForEachSetOfLabels) {
  const Snapshot snapshot = board();
  InfluxEncoder encoder({.labels = {{"host", "h 1"}}});
  std::string out;
  EXPECT_EQ(encoder.encode(Runs(snapshot, kWall), out), 5u);
  const std::string device = ",hw_id=GPU-1f\\,3a\\ b,hw_type=gpu,hw_vendor=nvidia";
  EXPECT_THAT(
      lines_of(out),
      ElementsAre("accelmon,gpu=0,host=h\\ 1,hw_gpu_task=general" + device +
                      " hw_gpu_utilization_ratio=0.5 1772366400250000000",
                  "accelmon,gpu=0,host=h\\ 1" + device +
                      " hw_energy_joules_total=1000.5,hw_gpu_memory_usage_bytes=17179869184i 1772366400250000000",
                  "accelmon,gpu=0,host=h\\ 1,hw_id=GPU-1f\\,3a\\ b,hw_sensor_location=gpu,hw_type=gpu,hw_vendor=nvidia "
                  "hw_temperature_celsius=-2.5 1772366400250000000",
                  "accelmon,gpu=0,host=h\\ 1,hw_id=GPU-1f\\,3a\\ b,hw_model=M\\=1,hw_type=gpu,hw_vendor=nvidia "
                  "accelmon_device_info=1i 1772366400250000000",
                  "accelmon,host=h\\ 1 system_uptime_seconds=12.25 1772366400250000000"));
}

TEST(Influx, ATypeIsAMatterOfTheMetric) {
  EXPECT_TRUE(influx_integer(info(MetricId::gpu_memory_usage)));
  EXPECT_TRUE(influx_integer(info(MetricId::throttle_active)));
  EXPECT_TRUE(influx_integer(info(MetricId::pcie_replays)));
  EXPECT_FALSE(influx_integer(info(MetricId::energy)));
  EXPECT_FALSE(influx_integer(info(MetricId::load_average)));
  EXPECT_FALSE(influx_integer(info(MetricId::gpu_utilization)));
  SnapshotMaker make;
  make.source("x");
  make.add(MetricId::gpu_memory_usage, -1, {}, 1e19).add(MetricId::temperature, -1, {}, 1e21);
  const Snapshot snapshot = make.take();
  InfluxEncoder encoder({});
  std::string out;
  encoder.encode(Runs(snapshot, kWall), out);
  EXPECT_EQ(out, "accelmon hw_temperature_celsius=1e+21 1772366400250000000\n") << "no integer of 64 bits is as large";
}

TEST(Influx, HostileTextsStayInTheirTag) {
  SnapshotMaker make;
  make.source("x");
  make.add(MetricId::temperature, -1, {{AttributeId::sensor_location, "a\\"}}, 1)
      .add(MetricId::temperature, -1, {{AttributeId::sensor_location, "b\nc=d,e f"}}, 2);
  const Snapshot snapshot = make.take();
  InfluxEncoder encoder({.measurement = "my data,x"});
  std::string out;
  encoder.encode(Runs(snapshot, 7), out);
  EXPECT_EQ(out,
            "my\\ data\\,x,hw_sensor_location=a/ hw_temperature_celsius=1 7\n"
            "my\\ data\\,x,hw_sensor_location=b\\ c\\=d\\,e\\ f hw_temperature_celsius=2 7\n");
}

std::vector<std::string> all(const Datagrams& datagrams) {
  std::vector<std::string> out;
  for (size_t i = 0; i < datagrams.size(); ++i) out.emplace_back(datagrams[i]);
  return out;
}

TEST(Statsd, GaugesAndGrowth) {
  const Snapshot snapshot = board();
  StatsdEncoder encoder({.prefix = "h1"});
  Datagrams out;
  encoder.encode(Runs(snapshot, kWall), out);
  const std::string gpu = "h1.gpu.GPU-1f_3a_b.";
  EXPECT_THAT(all(out),
              ElementsAre(gpu + "hw_gpu_utilization_ratio.general:0.5|g\n" + gpu + "hw_temperature_celsius.gpu:0|g\n" +
                          gpu + "hw_temperature_celsius.gpu:-2.5|g\n" + gpu +
                          "hw_gpu_memory_usage_bytes:17179869184|g\nh1.host.system_uptime_seconds:12.25|g"));
  const auto energy = [&](double value) {
    snapshot.sources[0].frame->values[1] = value;
    encoder.encode(Runs(snapshot, kWall), out);
    const std::string text = all(out).front();
    const size_t at = text.find("hw_energy");
    return at == std::string::npos ? std::string() : text.substr(at, text.find('\n', at) - at);
  };
  EXPECT_EQ(energy(1004), "hw_energy_joules_total:3.5|c");
  EXPECT_EQ(energy(1004), "") << "no growth";
  EXPECT_EQ(energy(10), "") << "begins anew";
  EXPECT_EQ(energy(11), "hw_energy_joules_total:1|c");
}

TEST(Statsd, GrowthOutlivesACatalog) {
  StatsdEncoder encoder({});
  Datagrams out;
  for (int i = 0; i < 3; ++i) {
    SnapshotMaker make;
    make.source("nvml");
    const int gpu = make.device({.id = "G", .index = "0"});
    // A different place in each.
    for (int k = 0; k < i; ++k)
      make.add(MetricId::temperature, gpu, {{AttributeId::sensor_location, std::to_string(k)}}, 1);
    make.add(MetricId::energy, gpu, {}, 100 + i);
    const Snapshot snapshot = make.take();
    encoder.encode(Runs(snapshot, kWall), out);
    const std::string last = out.size() == 0 ? "nothing" : all(out).back();
    EXPECT_THAT(last, HasSubstr(i == 0 ? "nothing" : "hw_energy_joules_total:1|c"));
  }
}

TEST(Statsd, Tags) {
  const Snapshot snapshot = board();
  StatsdEncoder encoder({.tags = true, .labels = {{"host", "a,b|c#d"}}});
  Datagrams out;
  encoder.encode(Runs(snapshot, kWall), out);
  const std::string text = all(out).front();
  EXPECT_THAT(text, HasSubstr("hw.gpu.utilization:0.5|g|#hw.id:GPU-1f_3a b,hw.type:gpu,gpu:0,hw.vendor:nvidia,"
                              "hw.gpu.task:general,host:a_b_c_d\n"));
  EXPECT_THAT(text, HasSubstr("hw.temperature:-2.5|g|#"));
  EXPECT_THAT(text, Not(HasSubstr("hw.temperature:0|g"))) << "DogStatsD takes a sign for what it is";
  EXPECT_THAT(text, HasSubstr("accelmon.device.info:1|g|#"));
}

TEST(Statsd, DatagramsAreBoundedAndLinesWhole) {
  const Snapshot snapshot = for_test::whole_table();
  for (const bool tags : {false, true}) {
    for (const size_t most : {size_t{300}, size_t{1432}, size_t{8192}}) {
      StatsdEncoder encoder({.tags = tags, .max_bytes = most});
      Datagrams out;
      encoder.encode(Runs(snapshot, kWall), out);
      ASSERT_GT(out.size(), 1u);
      size_t lines = 0;
      for (const std::string& datagram : all(out)) {
        EXPECT_LE(datagram.size(), most);
        EXPECT_FALSE(datagram.empty() || datagram.back() == '\n');
        for (const std::string& line : lines_of(datagram + "\n")) {
          ++lines;
          EXPECT_NE(line.find("|g"), std::string::npos) << line;
          EXPECT_NE(line.find(':'), std::string::npos) << line;
        }
      }
      EXPECT_TRUE(most == 300 || encoder.too_long() == 0);
      EXPECT_GT(lines, 100u);
    }
  }
  StatsdEncoder tiny({.max_bytes = 10});
  Datagrams out;
  tiny.encode(Runs(snapshot, kWall), out);
  EXPECT_EQ(out.size(), 0u);
  EXPECT_GT(tiny.too_long(), 100u);
}

TEST(JsonLines, ARowForEachDevice) {
  const Snapshot snapshot = board();
  JsonLinesEncoder encoder({.labels = {{"host", "h1"}}});
  std::string out;
  EXPECT_EQ(encoder.encode(Runs(snapshot, kWall), out), 2u);
  EXPECT_THAT(
      lines_of(out),
      ElementsAre(
          R"({"time":"2026-03-01T12:00:00.250Z","timestamp":1772366400.25,"source":"nvml","labels":{"host":"h1"},)"
          R"("device":{"hw.id":"GPU-1f,3a b","hw.type":"gpu","gpu":"0","hw.vendor":"nvidia"},"metrics":[)"
          R"({"name":"hw.gpu.utilization","unit":"1","attributes":{"hw.gpu.task":"general"},"value":0.5},)"
          R"({"name":"hw.energy","unit":"J","value":1000.5},)"
          R"({"name":"hw.temperature","unit":"Cel","attributes":{"hw.sensor_location":"gpu"},"value":-2.5},)"
          R"({"name":"hw.gpu.memory.usage","unit":"By","value":17179869184},)"
          R"({"name":"accelmon.device.info","unit":"1","attributes":{"hw.model":"M=1"},"value":1}]})",
          R"({"time":"2026-03-01T12:00:00.250Z","timestamp":1772366400.25,"source":"host","labels":{"host":"h1"},)"
          R"("metrics":[{"name":"system.uptime","unit":"s","value":12.25}]})"));
}

TEST(JsonLines, Times) {
  const auto text = [](Nanos wall) {
    std::string out;
    append_rfc3339(out, wall);
    return out;
  };
  EXPECT_EQ(text(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(text(-5), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(text(951782400 * kSecond), "2000-02-29T00:00:00.000Z");
  EXPECT_EQ(text(4107542399 * kSecond + 999 * kMillisecond), "2100-02-28T23:59:59.999Z");
  EXPECT_EQ(text(INT64_MAX), "2262-04-11T23:47:16.854Z");
}

TEST(LineEncoders, FramesThatDoNotFitAreLeftOut) {
  Snapshot snapshot = board();
  snapshot.sources[0].frame->generation += 1;
  snapshot.sources[1].frame->values.pop_back();
  std::string out;
  EXPECT_EQ(GraphiteEncoder({}).encode(Runs(snapshot, kWall), out), 0u);
  EXPECT_EQ(InfluxEncoder({}).encode(Runs(snapshot, kWall), out), 0u);
  EXPECT_EQ(JsonLinesEncoder({}).encode(Runs(snapshot, kWall), out), 0u);
  Datagrams datagrams;
  StatsdEncoder({}).encode(Runs(snapshot, kWall), datagrams);
  EXPECT_EQ(datagrams.size(), 0u);
  const FrameRun nothing;
  EXPECT_EQ(InfluxEncoder({}).encode({&nothing, 1}, out), 0u);
  EXPECT_EQ(out, "");
}

TEST(CatalogBook, ForgetsWhatNobodyUses) {
  CatalogBook<int> book;
  for (int i = 0; i < 100; ++i) {
    const FrameRun run{"x", std::make_shared<const Catalog>(Catalog{.generation = static_cast<uint64_t>(i)}), {}};
    EXPECT_EQ(book.of(run, [&](const FrameRun&) { return i; }), i);
    EXPECT_EQ(book.of(run, [](const FrameRun&) { return -1; }), i) << "made once";
    book.tidy();
  }
  EXPECT_LE(book.size(), 10u);
}

}  // namespace
}  // namespace accelmon
