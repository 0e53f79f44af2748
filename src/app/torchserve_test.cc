// Lines for TorchServe, against the expression that its frontend reads them with.
#include "app/torchserve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>

#include "app/host_glance.h"
#include "base/fd.h"
#include "model/metric.h"

namespace accelmon {
namespace {

using testing::ElementsAre;

struct Line {
  std::string name, unit, dimensions, hostname;
  double value = 0;
};

// The published expression of a line; the whole of it must match.
std::vector<Line> lines_of(const std::string& text) {
  static const std::regex expression(
      R"(\s*([\w\s]+)\.([\w\s]+):([0-9\-,.e]+)\|#([^|]*)(\|#type:([^|,]+))?\|#hostname:([^,]+),([^,]+)(,(.*))?)");
  std::vector<Line> lines;
  std::string_view rest = text;
  while (rest.find('\n') != std::string_view::npos) {
    const std::string line(rest.substr(0, rest.find('\n')));
    rest.remove_prefix(line.size() + 1);
    if (line.empty()) break;
    std::smatch parts;
    if (!std::regex_match(line, parts, expression)) {
      ADD_FAILURE() << "refused: " << line;
      continue;
    }
    EXPECT_EQ(parts.str(3).find(','), std::string::npos);
    lines.push_back({parts.str(1), parts.str(2), parts.str(4), parts.str(7), std::stod(parts.str(3))});
  }
  return lines;
}

std::map<std::string, double> by_name(const std::vector<Line>& lines, const std::string& device = {}) {
  std::map<std::string, double> found;
  for (const Line& line : lines)
    if (line.dimensions == (device.empty() ? "Level:Host" : "Level:Host,DeviceId:" + device)) {
      EXPECT_EQ(found.count(line.name), 0u) << line.name << " twice";
      found[line.name] = line.value;
    }
  return found;
}

ReportValue value(std::string metric, double number, std::vector<std::pair<std::string, std::string>> attributes = {}) {
  return {.metric = std::move(metric), .attributes = std::move(attributes), .value = number, .state = "ok"};
}

ReportDevice gpu(std::string index, std::string id = "GPU-1f3a0000", std::string vendor = "nvidia") {
  ReportDevice device{.id = std::move(id), .type = "gpu", .index = std::move(index), .vendor = std::move(vendor)};
  device.values = {
      value("hw.gpu.utilization", 0.375, {{"hw.gpu.task", "general"}}),
      value("hw.gpu.memory.utilization", 0.8504),
      value("hw.gpu.memory.usage", 5225.0 * (1 << 20)),
      value("hw.power", 300, {{"accelmon.power.scope", "module"}, {"accelmon.power.reading", "instant"}}),
      value("hw.power", 200, {{"accelmon.power.scope", "gpu"}, {"accelmon.power.reading", "average"}}),
      value("hw.power", 210.5, {{"accelmon.power.scope", "gpu"}, {"accelmon.power.reading", "instant"}}),
      value("accelmon.gpu.clock.frequency", 1.98e9, {{"domain", "graphics"}}),
      value("accelmon.gpu.throttle.active", 1, {{"reason", "idle"}}),
      value("accelmon.gpu.throttle.active", 0, {{"reason", "power_cap"}}),
  };
  return device;
}

TorchServeInput whole(const Report& report) {
  return {.report = &report,
          .host = {.cpu = 0.25,
                   .memory_used = 3.0 * (1 << 20),
                   .memory_available = 5.0 * (1 << 20),
                   .memory_total = 10.0 * (1 << 20),
                   .disk_used = 3.0 * (1 << 30),
                   .disk_available = 9.0 * (1 << 30)},
          .hostname = "h1",
          .epoch_seconds = 1'760'000'000,
          .workers = {{71, 4096}, {72, 0}}};
}

TEST(TorchServe, TenDefaultGaugesAndOurs) {
  Report report;
  report.devices = {gpu("0")};
  const std::string text = torchserve_text(whole(report));
  const std::vector<Line> lines = lines_of(text);
  const auto device = by_name(lines, "0");
  EXPECT_THAT(device, testing::UnorderedElementsAre(
                          testing::Pair("GPUUtilization", 37.5), testing::Pair("GPUMemoryUtilization", 85.04),
                          testing::Pair("GPUMemoryUsed", 5225), testing::Pair("GPUPowerUsage", 210.5),
                          testing::Pair("GPUClockSM", 1980), testing::Pair("GPUThrottled", 0)));
  EXPECT_THAT(by_name(lines),
              testing::UnorderedElementsAre(testing::Pair("CPUUtilization", 25), testing::Pair("DiskAvailable", 9),
                                            testing::Pair("DiskUsage", 3), testing::Pair("DiskUtilization", 25),
                                            testing::Pair("MemoryAvailable", 5), testing::Pair("MemoryUsed", 3),
                                            testing::Pair("MemoryUtilization", 50)));
  EXPECT_NE(text.find("GPUUtilization.Percent:37.5|#Level:Host,DeviceId:0|#hostname:h1,1760000000\n"),
            std::string::npos);
  EXPECT_TRUE(text.ends_with("\n\n71:4096\n72:0\n")) << text;
}

TEST(TorchServe, WhatIsNotKnownHasNoLine) {
  Report report;
  report.devices = {{.id = "0000:03:00.0", .type = "gpu", .vendor = "intel"}};
  report.devices[0].values = {
      {.metric = "hw.gpu.utilization", .attributes = {{"hw.gpu.task", "general"}}, .state = "stale"}};
  EXPECT_EQ(torchserve_text({.report = &report}), "\n");
  EXPECT_EQ(torchserve_text({}), "\n");
  report.devices[0].values[0] = value("hw.gpu.memory.usage", 1e300);
  EXPECT_EQ(torchserve_text({.report = &report}), "\n") << "a number that no fixed notation holds";
}

TEST(TorchServe, HostileTextsStayWithinTheExpression) {
  Report report;
  report.devices = {gpu("0,1|#hostname:x\n1:2"), gpu("", "0000:41:00.0", "amd")};
  TorchServeInput input = whole(report);
  input.hostname = "a,b|c\nd:5";
  const std::vector<Line> lines = lines_of(torchserve_text(input));
  EXPECT_EQ(lines.size(), 6u + 6u + 7u);
  for (const Line& line : lines) {
    EXPECT_EQ(line.hostname, "a_b_c_d_5");
    EXPECT_LE(std::count(line.dimensions.begin(), line.dimensions.end(), ':'), 2) << line.dimensions;
  }
  EXPECT_EQ(by_name(lines, "0000_41_00.0").size(), 6u);
}

TEST(TorchServe, DevicesThatTheServerMayUse) {
  Report report;
  report.devices = {gpu("0", "GPU-00001111"), gpu("1", "GPU-22223333"), gpu("2", "GPU-44445555"),
                    gpu("0", "0000:03:00.0", "amd")};
  ReportDevice part = gpu("2:0", "MIG-99998888");
  part.type = "gpu_partition";
  part.parent = "GPU-44445555";
  report.devices.push_back(part);
  const auto shown = [&](VisibleDevices visible, std::optional<size_t> most) {
    std::vector<std::string> names;
    for (const Line& line :
         lines_of(torchserve_text({.report = &report, .visible = std::move(visible), .most_devices = most})))
      if (line.name == "GPUUtilization") names.push_back(line.dimensions.substr(line.dimensions.rfind(':') + 1));
    return names;
  };
  EXPECT_THAT(shown({}, {}), ElementsAre("0", "1", "2", "0000_03_00.0")) << "two vendors' first devices stay apart";
  EXPECT_THAT(shown({}, 2), ElementsAre("0", "1"));
  EXPECT_THAT(shown({}, 0), ElementsAre());
  EXPECT_THAT(shown({.nvidia = "2,1", .amd = ""}, {}), ElementsAre("1", "2"));
  EXPECT_THAT(shown({.nvidia = " GPU-2222 , -1,0", .amd = "7"}, {}), ElementsAre("1"));
  EXPECT_THAT(shown({.nvidia = "MIG-99998888", .amd = ""}, {}), ElementsAre("2"));
}

TEST(TorchServe, APageOfMetricsIsEnough) {
  const std::string page =
      "# HELP x y\n"
      "hw_gpu_utilization_ratio{hw_id=\"GPU-\\\\\\\"1\",hw_type=\"gpu\",gpu=\"3\",hw_vendor=\"nvidia\",hw_gpu_task="
      "\"general\"} "
      "0.5\n"
      "hw_gpu_utilization_ratio{hw_id=\"GPU-\\\\\\\"1\",hw_type=\"gpu\",gpu=\"3\",hw_vendor=\"nvidia\",hw_gpu_task="
      "\"encoder\"} "
      "0.9\n"
      "hw_gpu_memory_usage_bytes{hw_id=\"MIG-1\",hw_type=\"gpu_partition\",gpu=\"3:0\",hw_vendor=\"nvidia\"} 1048576\n"
      "hw_gpu_memory_usage_bytes{hw_id=\"broken\n"
      "hw_gpu_memory_usage_bytes{hw_id=\"G\"} many\n"
      "accelmon_device_info{hw_id=\"MIG-1\",hw_type=\"gpu_partition\",hw_parent=\"GPU-2\"} 1\n"
      "system_cpu_utilization_ratio{cpu_mode=\"idle\"} 0.75\n"
      "accelmon_build_info{version=\"1\"} 1\n";
  const Result<Report> report = report_of_page(page);
  ASSERT_TRUE(report) << report.error().message();
  ASSERT_EQ(report->devices.size(), 2u);
  const ReportDevice& device = report->devices[0];
  EXPECT_EQ(device.id, "GPU-\\\"1");
  EXPECT_EQ(device.index, "3");
  EXPECT_EQ(number(device.values, "hw.gpu.utilization", {{"hw.gpu.task", "general"}}), 0.5);
  EXPECT_EQ(report->devices[1].parent, "GPU-2");
  EXPECT_TRUE(report->devices[1].partition());
  EXPECT_EQ(number(report->host, "system.cpu.utilization", {{"cpu.mode", "idle"}}), 0.75);
  EXPECT_FALSE(report_of_page("{\"collectors\":[]}"));
  EXPECT_FALSE(report_of_page(""));
}

TEST(TorchServe, ProcessIds) {
  EXPECT_THAT(parse_torchserve_pids("12,34\n56"), ElementsAre(12, 34));
  EXPECT_THAT(parse_torchserve_pids(""), ElementsAre());
  EXPECT_THAT(parse_torchserve_pids("\n"), ElementsAre());
  EXPECT_THAT(parse_torchserve_pids("-1,0,x,2147483648,2147483647, 7 ,,8 9"), ElementsAre(2147483647, 7));
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "1,";
  EXPECT_EQ(parse_torchserve_pids(many).size(), kMaxTorchServePids);
}

TEST(TorchServe, NamesStandInTheTable) {
  for (const TorchServeGauge& gauge : torchserve_device_gauges()) {
    const auto id = find_metric(gauge.metric);
    ASSERT_TRUE(id) << gauge.metric;
    std::string_view pattern = info(*id).torchserve;
    const size_t star = pattern.find('*');
    EXPECT_TRUE(star == std::string_view::npos ? pattern == gauge.name
                                               : gauge.name.starts_with(pattern.substr(0, star)))
        << gauge.name << " is " << pattern << " in metrics.def";
  }
  // A metrics.yaml that lacks one would drop it without a word.
  const Result<std::string> yaml = read_file(std::string(ACCELMON_SOURCE_DIR) + "/deploy/torchserve/metrics.yaml");
  ASSERT_TRUE(yaml) << yaml.error().message();
  for (const TorchServeGauge& gauge : torchserve_device_gauges())
    EXPECT_NE(yaml->find("- name: " + std::string(gauge.name) + "\n      unit: " + std::string(gauge.unit) +
                         "\n      dimensions: [Level, DeviceId, Hostname]\n"),
              std::string::npos)
        << gauge.name;
}

TEST(HostGlance, ReadsTheseFiles) {
  HostGlance glance;
  read_memory_and_disk("/proc", glance);
  ASSERT_TRUE(glance.memory_total && glance.memory_used && glance.disk_used);
  EXPECT_GT(*glance.memory_total, *glance.memory_used);
  const auto resident = read_resident("/proc", {::getpid(), INT32_MAX});
  ASSERT_EQ(resident.size(), 2u);
  EXPECT_GT(resident[0].second, 100'000u);
  EXPECT_EQ(resident[1].second, 0u);
  ASSERT_TRUE(read_cpu("/proc"));
  EXPECT_FALSE(read_cpu("/nowhere"));
  HostGlance nothing;
  read_memory_and_disk("/nowhere", nothing);
  EXPECT_FALSE(nothing.memory_total || nothing.memory_used || nothing.memory_available);
}

TEST(HostGlance, SharesOfTime) {
  EXPECT_EQ(cpu_between({10, 100}, {35, 200}), 0.25);
  EXPECT_EQ(cpu_between({10, 100}, {10, 100}), std::nullopt) << "no tick passed";
  EXPECT_EQ(cpu_between({10, 100}, {9, 200}), std::nullopt);
  EXPECT_EQ(cpu_between({10, 100}, {300, 200}), std::nullopt);
}

}  // namespace
}  // namespace accelmon
