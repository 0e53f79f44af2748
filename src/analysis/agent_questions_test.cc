// Each question about the agent's own parts, and the order of what is found.
#include <gtest/gtest.h>

#include "analysis/host_for_test.h"

namespace accelmon::analysis {
namespace {

using for_test::Host;

TEST(Questions, Collectors) {
  Host host;
  host.collectors = {{"nvml", "running", "", "", 0, 3},
                     {"level_zero", "absent", "no loader", "", 0, 0},
                     {"amdgpu", "disabled", "", "", 0, 0},
                     {"host", "released", "", "", 0, 0}};
  EXPECT_EQ(host.codes(), "");
  host.collectors[0].state = "silent";
  host.collectors[0].call = "nvmlDeviceGetPowerUsage";
  host.collectors[0].in_call = 5 * kSecond;
  Findings found = host.ask();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].code, "collector_silent");
  EXPECT_NE(found[0].title.find("nvmlDeviceGetPowerUsage"), std::string::npos);
  host.collectors[0].state = "stuck";
  EXPECT_EQ(host.ask()[0].severity, Severity::critical);
  host.collectors[0] = {"nvml", "starting", "", "", 0, 0};
  EXPECT_EQ(host.codes(), "") << "the first start";
  // One that hung is begun anew and hangs again.
  host.collectors[0] = {"nvml", "starting", "", "nvmlInit_v2", 20 * kSecond, 0};
  EXPECT_EQ(host.codes(), "") << "a first start may take long";
  host.collectors[0].in_call = 30 * kSecond;
  EXPECT_EQ(host.codes(), "collector_silent");
  host.collectors[0] = {"nvml", "starting", "", "nvmlInit_v2", 5 * kSecond, 1};
  EXPECT_EQ(host.codes(), "collector_silent");
  host.collectors[0] = {"nvml", "backing_off", "ended with signal 11", "", 0, 1};
  EXPECT_EQ(host.codes(), "collector_failing");
  host.collectors[0].state = "starting";
  EXPECT_EQ(host.codes(), "collector_failing") << "it has not shown that it stays";
  host.collectors[0].state = "running";
  EXPECT_EQ(host.codes(), "");
}

TEST(Questions, Exporters) {
  Host host;
  host.exporters.push_back({"otlp", "http://x", "waiting", "refused", 12, 0, host.wall - 60 * kSecond});
  EXPECT_EQ(host.codes(), "") << "a far end that is started again";
  host.exporters[0].last_success = host.wall - 300 * kSecond;
  EXPECT_EQ(host.codes(), "exporter_behind");
  host.exporters[0].last_success = 0;
  EXPECT_EQ(host.codes(), "exporter_behind");
  host.watched = 60 * kSecond;
  EXPECT_EQ(host.codes(), "") << "it has not tried for long";
  for (const char* state : {"ok", "starting"}) {
    host.exporters[0].state = state;
    EXPECT_EQ(host.codes(), "");
  }
  host.exporters[0].state = "refused";
  EXPECT_EQ(host.codes(), "exporter_refused");
  host.exporters[0].state = "failed";
  EXPECT_EQ(host.codes(), "exporter_failed");
  EXPECT_EQ(host.ask()[0].severity, Severity::warning);
}

TEST(Questions, History) {
  Host host;
  host.history = HistoryFact{"ok", "", 0, 0};
  EXPECT_EQ(host.codes(), "");
  for (const char* state : {"disk_full", "error", "behind"}) {
    host.history->state = state;
    EXPECT_EQ(host.codes(), std::string("history_") + state);
  }
  host.history = HistoryFact{"ok", "", 0, 2};
  EXPECT_EQ(host.codes(), "history_damaged");
}

TEST(Questions, Certificates) {
  Host host;
  const auto left = [&](Nanos hours) {
    host.certificate_expires = host.wall + hours * 3600 * kSecond;
    const Findings found = host.ask();
    return found.empty() ? std::string() : std::string(to_string(found[0].severity)) + " " + found[0].title;
  };
  EXPECT_EQ(left(20 * 24), "");
  EXPECT_EQ(left(13 * 24), "info the listener's certificate expires in 13 days");
  EXPECT_EQ(left(30), "warning the listener's certificate expires in 30 h");
  EXPECT_EQ(left(-1), "critical the listener's certificate has expired");
}

TEST(Questions, ImplausibleReadings) {
  Host host;
  host.growth.push_back({"implausible", "", "nvml", 7, 7, host.wall, host.wall});
  const Findings found = host.ask();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].code, "implausible_readings");
  EXPECT_EQ(found[0].severity, Severity::info) << "nobody is misled";
  host.wall += 3600 * kSecond;
  EXPECT_EQ(host.codes(), "");
}

TEST(Questions, TheMostSevereFirstThenByDevice) {
  Host host;
  for (const char* index : {"10", "2"}) host.status(host.gpu(index), "failed");
  host.certificate_expires = host.wall + 10 * 86400 * kSecond;
  host.exporters.push_back({"otlp", "", "failed", "", 0, 0, 0});
  std::string subjects;
  for (const Finding& one : host.ask()) subjects += one.subject + ",";
  EXPECT_EQ(subjects, "nvidia 2,nvidia 10,otlp,http,");
}

TEST(Questions, EachSaysWhatItAsks) {
  for (const Question& one : questions()) {
    EXPECT_TRUE(one.asks.ends_with("?")) << one.asks;
    EXPECT_NE(one.ask, nullptr);
  }
}

}  // namespace
}  // namespace accelmon::analysis
