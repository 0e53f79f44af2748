// Our pages before judges that others wrote: the parsers of the Prometheus Python client, and promtool.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "encode/exposition.h"
#include "encode/snapshot_for_test.h"

namespace accelmon {
namespace {

class ExpositionJudge : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "accelmon-judge-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  std::string page(const std::string& name, const Snapshot& snapshot, ExpositionFormat format,
                   const PageOptions& options = {}) {
    std::string text;
    Exposition(options).render(snapshot, format, text);
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  // Exit status of a shell command; its output (both streams) in `output`.
  int shell(const std::string& command, std::string& output) {
    const std::string out = folder_ + "/output";
    const int status = std::system((command + " >" + out + " 2>&1").c_str());
    std::stringstream text;
    text << std::ifstream(out).rdbuf();
    output = text.str();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string folder_;
};

Snapshot hostile() {
  for_test::SnapshotMaker make;
  make.source("x");
  const int device = make.device({.id = "q\"\\\n\\n{},= #", .index = "\xff\x01", .vendor = " ", .model = "\\"});
  make.add(MetricId::device_info, device, {}, 1)
      .add(MetricId::gpu_memory_usage, device, {}, 1.7976931348623157e308)
      .add(MetricId::energy, device, {}, 5e-324)
      .add(MetricId::temperature, device, {{AttributeId::sensor_location, std::string(300, '\\')}}, -0.0);
  return make.take();
}

TEST_F(ExpositionJudge, PythonClient) {
  const std::pair<std::string, Snapshot> cases[] = {
      {"small", for_test::small_snapshot()}, {"table", for_test::whole_table()}, {"hostile", hostile()}};
  std::string command = "/usr/bin/python3 " ACCELMON_SOURCE_DIR "/tests/exposition_judge_test.py";
  size_t samples = 0;
  for (const auto& [name, snapshot] : cases) {
    command += " --text " + page(name + ".txt", snapshot, ExpositionFormat::text_0_0_4);
    command += " --openmetrics " + page(name + ".om", snapshot, ExpositionFormat::openmetrics_1_0);
    std::string text;
    Exposition().render(snapshot, ExpositionFormat::text_0_0_4, text);
    samples += 2 * for_test::read_page(text).samples.size();
  }
  std::string output;
  const int status = shell(command, output);
  if (status == 77 || status == 127) GTEST_SKIP() << "no judge: " << output;
  ASSERT_EQ(status, 0) << output;
  const auto lines = static_cast<size_t>(std::count(output.begin(), output.end(), '\n'));
  EXPECT_EQ(lines, samples + 2 * std::size(cases)) << "the judge saw every sample";
  EXPECT_NE(output.find(R"(["hw_energy_joules_total", {"hw_id": "GPU-1f3a", "hw_type": "gpu", "gpu": "0", )"
                        R"("hw_vendor": "nvidia"}, "123456789.125"])"),
            std::string::npos)
      << output;
  EXPECT_NE(output.find(R"("hw_id": "q\"\\\n\\n{},= #")"), std::string::npos) << output;
}

const PageOptions kBoth{.dcgm = true, .hostname = "node \"1\""};

TEST_F(ExpositionJudge, PythonClientOnDcgmsNames) {
  const std::pair<std::string, Snapshot> cases[] = {
      {"small", for_test::small_snapshot()}, {"table", for_test::whole_table()}, {"hostile", hostile()}};
  std::string command =
      "/usr/bin/python3 " ACCELMON_SOURCE_DIR "/tests/exposition_judge_test.py --untyped-counters DCGM_FI_";
  size_t samples = 0;
  for (const auto& [name, snapshot] : cases) {
    command += " --text " + page(name + ".txt", snapshot, ExpositionFormat::text_0_0_4, kBoth);
    command += " --openmetrics " + page(name + ".om", snapshot, ExpositionFormat::openmetrics_1_0, kBoth);
    std::string text;
    Exposition(kBoth).render(snapshot, ExpositionFormat::text_0_0_4, text);
    samples += 2 * for_test::read_page(text).samples.size();
  }
  std::string output;
  const int status = shell(command, output);
  if (status == 77 || status == 127) GTEST_SKIP() << "no judge: " << output;
  ASSERT_EQ(status, 0) << output;
  EXPECT_EQ(static_cast<size_t>(std::count(output.begin(), output.end(), '\n')), samples + 2 * std::size(cases));
  EXPECT_NE(output.find(R"(["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", {"gpu": "0", "UUID": "GPU-1f3a", "pci_bus_id": )"
                        R"("00000000:1B:00.0", "device": "nvidia0", )"),
            std::string::npos)
      << output;
}

// promtool is right about DCGM's names, and may find nothing else: no line twice, nothing malformed, no help missing.
TEST_F(ExpositionJudge, PromtoolOnDcgmsNames) {
  std::string output;
  if (shell("promtool --version", output) != 0) GTEST_SKIP() << "promtool is not installed";
  for (const auto& [name, snapshot] :
       {std::pair("small", for_test::small_snapshot()), std::pair("table", for_test::whole_table())}) {
    const std::string path = page(name, snapshot, ExpositionFormat::text_0_0_4, kBoth);
    shell("promtool check metrics <" + path, output);
    std::stringstream lines(output);
    size_t complaints = 0;
    for (std::string line; std::getline(lines, line); ++complaints) {
      const bool of_dcgm = line.starts_with("DCGM_FI_");
      const bool known = line.ends_with("counter metrics should have \"_total\" suffix") ||
                         line.ends_with("metric name should not include type 'counter'") ||
                         line.ends_with("label names should be written in 'snake_case' not 'camelCase'");
      EXPECT_TRUE(of_dcgm && known) << name << ": " << line;
    }
    EXPECT_GT(complaints, 0u) << "promtool looked";
  }
}

TEST_F(ExpositionJudge, Promtool) {
  std::string output;
  if (shell("promtool --version", output) != 0) GTEST_SKIP() << "promtool is not installed";
  for (const auto& [name, snapshot] : {std::pair("small", for_test::small_snapshot()), std::pair("hostile", hostile()),
                                       std::pair("table", for_test::whole_table())}) {
    const std::string path = page(name, snapshot, ExpositionFormat::text_0_0_4);
    EXPECT_EQ(shell("promtool check metrics <" + path, output), 0) << name << ": " << output;
    EXPECT_EQ(output, "") << name;
  }
}

}  // namespace
}  // namespace accelmon
