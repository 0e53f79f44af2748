// Each question about a device: when it finds, when it does not, and that what is absent is no finding.
#include <gtest/gtest.h>

#include "analysis/host_for_test.h"

namespace accelmon::analysis {
namespace {

using for_test::Host;
using enum AttributeId;

constexpr Nanos kMinute = 60 * kSecond;

TEST(Questions, NothingIsKnownAndNothingIsFound) {
  Host host;
  EXPECT_EQ(host.codes(), "");
  host.gpu("0");
  EXPECT_EQ(host.codes(), "");
}

TEST(Questions, AHealthyDeviceThatWorks) {
  Host host;
  const int gpu = host.gpu("0");
  host.status(gpu, "ok")
      .set(MetricId::gpu_utilization_window, gpu, {{gpu_task, "general"}, {window, "1m"}, {stat, "max"}}, 1)
      .set(MetricId::gpu_utilization_window, gpu, {{gpu_task, "general"}, {window, "1m"}, {stat, "min"}}, 0.9)
      .set(MetricId::process_memory, gpu, {{process_pid, "1"}}, 70e9)
      .set(MetricId::throttle_share_window, gpu, {{reason, "idle"}, {stat, "mean"}}, 1)
      .set(MetricId::throttle_share_window, gpu, {{reason, "application_clocks"}, {stat, "mean"}}, 1)
      .set(MetricId::pcie_width, gpu, {{which, "current"}}, 16)
      .set(MetricId::pcie_width, gpu, {{which, "maximum"}}, 16);
  EXPECT_EQ(host.codes(), "");
}

TEST(Questions, AFailedDeviceTellsItsEvent) {
  Host host;
  const int gpu = host.gpu("3");
  host.status(gpu, "failed").set(MetricId::power, gpu, {}, 0, State::error);
  host.events.push_back({host.wall - 240 * kSecond, Severity::critical, "GPU-nvidia3", "xid:79",
                         "GPU 3: Xid 79: the GPU has fallen off the bus; restart the node"});
  Findings found = host.ask();
  ASSERT_EQ(found.size(), 1u) << "the event is the failure's and no second finding";
  EXPECT_EQ(found[0].code, "device_failed");
  EXPECT_EQ(found[0].severity, Severity::critical);
  EXPECT_EQ(found[0].device_id, "GPU-nvidia3");
  EXPECT_EQ(found[0].subject, "nvidia 3");
  EXPECT_EQ(found[0].title, "lost: Xid 79: the GPU has fallen off the bus");
  EXPECT_EQ(found[0].advice, "restart the node");
  EXPECT_EQ(found[0].since, host.wall - 240 * kSecond);

  // Something is still read of it, and there is no event: the driver's wish is the advice.
  host.events.clear();
  host.set(MetricId::power, gpu, {}, 70).set(MetricId::recovery_action, gpu, {{row_state, "gpu_reset"}}, 1);
  found = host.ask();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].code, "device_failed") << "the same finding";
  EXPECT_EQ(found[0].title, "failed");
  EXPECT_EQ(found[0].advice, "reset the GPU");
  // The status is not known any more.
  host.set(MetricId::hw_status, gpu, {{hw_state, "failed"}}, 1, State::stale);
  EXPECT_EQ(host.codes(), "");
}

TEST(Questions, APartFailsWithTheWhole) {
  Host host;
  const int gpu = host.gpu("0");
  const int part = host.gpu("0:1", "nvidia", gpu);
  host.status(gpu, "failed").status(part, "failed");
  EXPECT_EQ(host.codes(), "device_failed");
}

TEST(Questions, UnreadDevices) {
  Host host;
  const int gpu = host.gpu("0", "amd");
  host.status(gpu, "failed").set(MetricId::device_unread, gpu, {{reason, "no_driver"}}, 1);
  Findings found = host.ask();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].code, "device_unread");
  EXPECT_EQ(found[0].severity, Severity::warning);
  host.set(MetricId::device_unread, gpu, {{reason, "no_driver"}}, 0)
      .set(MetricId::device_unread, gpu, {{reason, "passed_through"}}, 1);
  found = host.ask();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].severity, Severity::info) << "a virtual machine has it";
  host.set(MetricId::device_unread, gpu, {{reason, "passed_through"}}, 1, State::stale);
  EXPECT_EQ(host.codes(), "");
}

TEST(Questions, DegradedForAReason) {
  Host host;
  const int gpu = host.gpu("2");
  host.status(gpu, "degraded").set(MetricId::memory_rows, gpu, {{row_state, "pending"}}, 1);
  Findings found = host.ask();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].code, "device_degraded");
  EXPECT_EQ(found[0].title, "degraded: bad memory waits for a reset of the GPU to be replaced");
  host.set(MetricId::recovery_action, gpu, {{row_state, "node_reboot"}}, 1);
  EXPECT_EQ(host.ask()[0].advice, "reboot the host") << "the driver knows better";
  host.status(gpu, "predicted_failure");
  EXPECT_EQ(host.codes(), "device_predicted_failure");
  EXPECT_EQ(host.ask()[0].advice, "reboot the host; replace the GPU");
  host.status(gpu, "ok");
  EXPECT_EQ(host.codes(), "");
}

TEST(Questions, ClocksThatAreHeldDownAreNotToldTwice) {
  Host host;
  const int gpu = host.gpu("4");
  host.status(gpu, "degraded").set(MetricId::throttle_active, gpu, {{reason, "power_brake"}}, 1);
  EXPECT_EQ(host.codes(), "");
  host.set(MetricId::throttle_share_window, gpu, {{reason, "power_brake"}, {stat, "mean"}}, 0.25);
  EXPECT_EQ(host.codes(), "throttle_power_brake");
}

TEST(Questions, CriticalEventsOfTheLastHour) {
  Host host;
  host.gpu("5");
  const auto add = [&](Nanos ago, Severity severity, const char* code) {
    host.events.push_back({host.wall - ago, severity, "GPU-nvidia5", code, "Xid 74: NVLink error; check the link"});
  };
  add(7200 * kSecond, Severity::critical, "xid:74");
  add(60 * kSecond, Severity::warning, "xid:63");
  EXPECT_EQ(host.codes(), "") << "one is history, one no alarm";
  add(50 * kSecond, Severity::critical, "xid:74");
  add(20 * kSecond, Severity::critical, "xid:74");
  const Findings found = host.ask();
  ASSERT_EQ(found.size(), 1u) << "the same again is one finding";
  EXPECT_EQ(found[0].title, "Xid 74: NVLink error");
  EXPECT_EQ(found[0].advice, "check the link");
  EXPECT_EQ(found[0].since, host.wall - 50 * kSecond);
  ASSERT_EQ(found[0].evidence.size(), 2u);
  EXPECT_EQ(found[0].evidence[1].number, 2);
  host.wall += 2 * 3600 * kSecond;
  EXPECT_EQ(host.codes(), "");
}

TEST(Questions, ThrottlingComesAndGoesAtDifferentShares) {
  Host host;
  const int gpu = host.gpu("1");
  const auto share = [&](const char* why, double value) {
    host.set(MetricId::throttle_share_window, gpu, {{reason, why}, {stat, "mean"}}, value);
    return host.codes();
  };
  EXPECT_EQ(share("thermal_software", 0.04), "");
  EXPECT_EQ(share("thermal_software", 0.051), "throttle_thermal");
  EXPECT_EQ(share("thermal_software", 0.03), "throttle_thermal") << "it leaves at half of that";
  EXPECT_EQ(share("thermal_software", 0.02), "");
  EXPECT_EQ(share("thermal_software", 0.03), "") << "and comes back at all of it";
  EXPECT_EQ(share("power_cap", 0.9), "throttle_power_cap");
  EXPECT_EQ(host.ask()[0].severity, Severity::info) << "a cap is somebody's decision";
  EXPECT_EQ(host.ask()[0].title, "power cap, 90 % of the last minute");
  EXPECT_EQ(share("hardware_slowdown", 0.5), "throttle_hardware_slowdown throttle_power_cap");
  EXPECT_EQ(share("power_brake", 0.5), "throttle_power_brake throttle_power_cap") << "the brake is the cause";
  host.watched = kMinute - kSecond;
  EXPECT_EQ(host.codes(), "") << "some polls are no minute";
}

TEST(Questions, TemperatureOfAWholeWindow) {
  Host host;
  const int gpu = host.gpu("0");
  const auto set = [&](double margin, double now, double coolest) {
    host.set(MetricId::temperature_margin, gpu, {{sensor_location, "gpu"}}, margin)
        .set(MetricId::temperature, gpu, {{sensor_location, "gpu"}}, now)
        .set(MetricId::temperature_window, gpu, {{sensor_location, "gpu"}, {window, "1m"}, {stat, "min"}}, coolest);
    return host.codes();
  };
  EXPECT_EQ(set(4, 83, 70), "") << "one hot sample";
  EXPECT_EQ(set(3, 84, 83), "temperature_margin_low");
  EXPECT_EQ(set(5, 82, 81), "temperature_margin_low") << "it leaves at 8 degrees";
  EXPECT_EQ(set(8, 79, 78), "");
  EXPECT_EQ(set(0, 60, 60), "") << "boards that tell no margin tell 0";
  EXPECT_EQ(set(-2, 60, 60), "");
  set(3, 84, 83);
  host.set(MetricId::temperature_window, gpu, {{sensor_location, "gpu"}, {window, "1m"}, {stat, "min"}}, 83,
           State::not_ready);
  EXPECT_EQ(host.codes(), "");
}

TEST(Questions, IdleYetMemoryHeld) {
  Host host;
  const int gpu = host.gpu("2");
  const std::vector<Attribute> most{{gpu_task, "general"}, {window, "1m"}, {stat, "max"}};
  host.set(MetricId::gpu_utilization_window, gpu, most, 0)
      .set(MetricId::process_memory, gpu, {{process_pid, "4121"}, {process_name, "python3"}}, 12.0 * (1 << 30));
  const Findings found = host.ask();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].severity, Severity::info) << "a server may wait for requests";
  EXPECT_EQ(found[0].title, "idle, yet 12.0 GiB held by pid 4121 (python3)");
  host.set(MetricId::gpu_utilization_window, gpu, most, 0.01);
  EXPECT_EQ(host.codes(), "");
  host.set(MetricId::gpu_utilization_window, gpu, most, 0, State::unsupported);
  EXPECT_EQ(host.codes(), "");
  host.set(MetricId::gpu_utilization_window, gpu, most, 0)
      .set(MetricId::process_memory, gpu, {{process_pid, "4121"}, {process_name, "python3"}}, 400e6);
  EXPECT_EQ(host.codes(), "") << "a context alone";
}

TEST(Questions, PcieLinksUnderLoadAlone) {
  Host host;
  const int gpu = host.gpu("0");
  const std::vector<Attribute> least{{gpu_task, "general"}, {window, "1m"}, {stat, "min"}};
  host.set(MetricId::pcie_generation, gpu, {{which, "current"}}, 1)
      .set(MetricId::pcie_generation, gpu, {{which, "maximum"}}, 5)
      .set(MetricId::gpu_utilization_window, gpu, least, 0);
  EXPECT_EQ(host.codes(), "") << "an idle link saves power";
  host.set(MetricId::gpu_utilization_window, gpu, least, 0.5);
  Findings found = host.ask();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].title, "PCIe link is generation 1 of 5 though the device is busy");
  EXPECT_EQ(found[0].severity, Severity::warning);
  host.set(MetricId::pcie_generation, gpu, {{which, "maximum"}}, 5, State::unsupported);
  EXPECT_EQ(host.codes(), "") << "the most that it can be is not known";
  host.set(MetricId::pcie_width, gpu, {{which, "current"}}, 8).set(MetricId::pcie_width, gpu, {{which, "maximum"}}, 16);
  EXPECT_EQ(host.ask()[0].title, "PCIe link is x8 of x16 though the device is busy");

  Host other;
  const int amd = other.gpu("0", "amd");
  other.set(MetricId::pcie_width, amd, {{which, "current"}}, 8)
      .set(MetricId::pcie_width, amd, {{which, "maximum"}}, 16)
      .set(MetricId::gpu_utilization_window, amd, least, 0.5);
  EXPECT_EQ(other.ask()[0].severity, Severity::info) << "the slot may have no more";
}

TEST(Questions, MemoryErrorsThatGrow) {
  Host host;
  host.gpu("2");
  host.growth.push_back({"uncorrected_errors", "GPU-nvidia2", "nvidia 2", 5, 0, 0, 0});
  EXPECT_EQ(host.codes(), "") << "old errors";
  host.growth[0] = {"uncorrected_errors", "GPU-nvidia2", "nvidia 2", 6, 1, host.wall, host.wall};
  const Findings found = host.ask();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].title, "1 uncorrected memory error");
  EXPECT_EQ(found[0].severity, Severity::warning);
  host.wall += 2 * 3600 * kSecond;
  EXPECT_EQ(host.codes(), "");
}

}  // namespace
}  // namespace accelmon::analysis
