// The collector under the simulated kernel: counters, ioctls, faults, and what it makes of them.
//
// The kernel's library has to be there when a process starts, so each test of IntelKernelSimulated runs in a process of
// its own that UnderTheSimulatedKernel starts; run directly they are skipped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "collectors/intel_kernel/intel_kernel_collector.h"
#include "collectors/simulated_kernel_for_test.h"
#include "model/catalog.h"

namespace accelmon {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr double kMiB = 1048576;

class IntelKernelSimulated : public for_test::SimulatedKernel {
 protected:
  IntelKernelSimulated() : SimulatedKernel(&make_intel_kernel_collector) {}

  void settle() {
    ASSERT_TRUE(discover()) << error.message();
    poll();
    pause(300);
    EXPECT_EQ(poll(), PollResult::ok);
  }

  int find(MetricId metric, int on, std::vector<Attribute> attributes = {}) const {
    return find_series(catalog, metric, on, std::move(attributes));
  }
  State state(MetricId metric, int on, std::vector<Attribute> attributes = {}) const {
    const int i = find(metric, on, std::move(attributes));
    return i < 0 ? State::unsupported : frame.states[static_cast<size_t>(i)];
  }
  double value(MetricId metric, int on, std::vector<Attribute> attributes = {}) const {
    const int i = find(metric, on, std::move(attributes));
    EXPECT_GE(i, 0) << info(metric).name << " has no series";
    if (i < 0) return std::nan("");
    EXPECT_EQ(frame.states[static_cast<size_t>(i)], State::ok)
        << info(metric).name << ": " << to_string(frame.states[static_cast<size_t>(i)]);
    return frame.values[static_cast<size_t>(i)];
  }
  int count(MetricId metric, int on) const {
    int n = 0;
    for (const Series& series : catalog.series) n += series.metric == metric && series.device == on ? 1 : 0;
    return n;
  }
  std::string why(MetricId metric, int on) const {
    std::string reasons;
    for (const Absence& absence : catalog.absences)
      if (absence.metric == metric && absence.device == on)
        reasons += std::string(to_string(absence.state)) + ": " + absence.reason + "\n";
    return reasons;
  }
};

std::vector<Attribute> engine(const char* kind, const char* number) {
  return {{AttributeId::engine, kind}, {AttributeId::engine_index, number}};
}
const Attribute kGeneral{AttributeId::gpu_task, "general"};
const Attribute kGraphics{AttributeId::clock_domain, "graphics"};
const Attribute kOnGpu{AttributeId::sensor_location, "gpu"};
const Attribute kOnMemory{AttributeId::sensor_location, "memory"};
Attribute reason(const char* name) {
  return {AttributeId::reason, name};
}

// Everything constant, so that what is read is known.
std::string board(const std::string& driver, const std::string& more = "") {
  return "[[intel]]\nname = \"Board\"\npci.addresses = [\"0000:4d:00.0\"]\npci.device_id = 0xe211\ndriver = \"" +
         driver + R"("
numa_node = 1
media_gt = true
engines = { render = 1, compute = 2, copy = 1, video_decode = 2, video_enhance = 1 }
memory = { total_mib = 16384, base_mib = 384 }
utilization = { gpu = 50, compute = 30, render = 10, copy = 5, video_decode = 20 }
power = { card_w = 100, package_w = 80, sustained_w = 200, rated_w = 190, voltage_v = 0.9 }
energy.base_j = 5000
temperature = { gpu_c = 55, memory_c = 65 }
frequency.gpu = { rp0_mhz = 2400, busy_mhz = 2000, idle_mhz = 400 }
frequency.media = { rp0_mhz = 1500, busy_mhz = 1200, idle_mhz = 400 }
fan = { count = 2, rpm = 1500, max_rpm = 3000 }
throttle = [{ reason = "power_average", active = 1, clock_share = 0.5 }, { reason = "thermal", active = 0 }]
)" + more +
         R"(
[[intel.engine]]
class = "compute"
instance = 1
busy = 80
[[intel.process]]
pid = 7001
name = "server"
memory_mib = 2000
compute = 40
[[intel.process]]
pid = 7002
name = "other"
memory_mib = 600
render = 10
)";
}

TEST_F(IntelKernelSimulated, ReadsWhatXeTells) {
  machine(board("xe"));
  settle();
  ASSERT_EQ(catalog.devices.size(), 1u);
  const Device& gpu = catalog.devices[0];
  EXPECT_EQ(gpu.id, "0000:4d:00.0");
  EXPECT_EQ(gpu.index, "0");
  EXPECT_EQ(gpu.vendor, "intel");
  EXPECT_EQ(gpu.model, "Intel Arc Pro B60");
  EXPECT_THAT(gpu.info, testing::Contains(Attribute{AttributeId::pci_address, "0000:4d:00.0"}));
  EXPECT_THAT(gpu.info, testing::Contains(Attribute{AttributeId::numa_node, "1"}));

  EXPECT_NEAR(value(MetricId::gpu_engine_utilization, 0, engine("compute", "0")), 0.3, 1e-3);
  EXPECT_NEAR(value(MetricId::gpu_engine_utilization, 0, engine("compute", "1")), 0.8, 1e-3);
  EXPECT_NEAR(value(MetricId::gpu_engine_utilization, 0, engine("render", "0")), 0.1, 1e-3);
  EXPECT_NEAR(value(MetricId::gpu_engine_utilization, 0, engine("copy", "0")), 0.05, 1e-3);
  EXPECT_NEAR(value(MetricId::gpu_engine_utilization, 0, engine("media", "1")), 0.2, 1e-3);
  EXPECT_NEAR(value(MetricId::gpu_engine_utilization, 0, engine("media", "2")), 0, 1e-3);
  EXPECT_EQ(count(MetricId::gpu_engine_utilization, 0), 7);
  EXPECT_NEAR(value(MetricId::gpu_utilization, 0, {kGeneral}), 0.8, 1e-3);

  EXPECT_EQ(value(MetricId::gpu_memory_limit, 0), 16384 * kMiB);
  EXPECT_EQ(value(MetricId::gpu_memory_usage, 0), 2984 * kMiB);
  EXPECT_EQ(value(MetricId::gpu_memory_free, 0), 13400 * kMiB);
  EXPECT_DOUBLE_EQ(value(MetricId::gpu_memory_utilization, 0), 2984.0 / 16384);

  const Attribute average{AttributeId::power_reading, "average"};
  EXPECT_NEAR(value(MetricId::power, 0, {{AttributeId::power_scope, "gpu"}, average}), 100, 1);
  EXPECT_NEAR(value(MetricId::power, 0, {{AttributeId::power_scope, "package"}, average}), 80, 1);
  EXPECT_GE(value(MetricId::energy, 0), 5000);
  EXPECT_EQ(count(MetricId::energy, 0), 1);
  EXPECT_EQ(value(MetricId::power_limit, 0, {{AttributeId::limit, "enforced"}}), 200);
  EXPECT_EQ(value(MetricId::power_limit, 0, {{AttributeId::limit, "default"}}), 190);
  EXPECT_NEAR(value(MetricId::voltage, 0, {kOnGpu}), 0.9, 1e-9);
  EXPECT_EQ(value(MetricId::temperature, 0, {kOnGpu}), 55);
  EXPECT_EQ(value(MetricId::temperature, 0, {kOnMemory}), 65);
  EXPECT_EQ(value(MetricId::fan_speed, 0, {{AttributeId::fan, "0"}}), 1500);
  EXPECT_EQ(value(MetricId::fan_speed, 0, {{AttributeId::fan, "1"}}), 1500);

  EXPECT_EQ(value(MetricId::clock_frequency, 0, {kGraphics}), 1.2e9);
  EXPECT_EQ(value(MetricId::clock_limit, 0, {kGraphics}), 2.4e9);
  EXPECT_EQ(value(MetricId::clock_frequency, 0, {{AttributeId::clock_domain, "video"}}), 1.2e9);
  EXPECT_EQ(value(MetricId::throttle_active, 0, {reason("power_cap")}), 1);
  EXPECT_EQ(value(MetricId::throttle_active, 0, {reason("thermal_hardware")}), 0);
  EXPECT_EQ(value(MetricId::throttle_active, 0, {reason("other")}), 0);

  EXPECT_EQ(value(MetricId::process_count, 0), 2);
  EXPECT_EQ(
      value(MetricId::process_memory, 0, {{AttributeId::process_pid, "7001"}, {AttributeId::process_name, "server"}}),
      2000 * kMiB);
  EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "ok"}}), 1);
  EXPECT_EQ(value(MetricId::gpu_asleep, 0), 0);
  EXPECT_EQ(value(MetricId::device_info, 0), 1);
  EXPECT_TRUE(calls.errors().empty());
}

TEST_F(IntelKernelSimulated, ReadsWhatI915Tells) {
  machine(board("i915"));
  settle();
  EXPECT_NEAR(value(MetricId::gpu_engine_utilization, 0, engine("compute", "1")), 0.8, 0.02);
  EXPECT_NEAR(value(MetricId::gpu_engine_utilization, 0, engine("media", "0")), 0.2, 0.02);
  EXPECT_EQ(count(MetricId::gpu_engine_utilization, 0), 7);
  EXPECT_NEAR(value(MetricId::gpu_utilization, 0, {kGeneral}), 0.8, 0.02);
  EXPECT_EQ(value(MetricId::gpu_memory_limit, 0), 16384 * kMiB);
  EXPECT_EQ(value(MetricId::gpu_memory_usage, 0), 2984 * kMiB);
  EXPECT_NEAR(value(MetricId::power, 0, {{AttributeId::power_scope, "gpu"}}), 100, 1);
  EXPECT_EQ(value(MetricId::temperature, 0, {kOnGpu}), 55);
  EXPECT_EQ(count(MetricId::fan_speed, 0), 1);
  EXPECT_EQ(value(MetricId::clock_frequency, 0, {kGraphics}), 1.2e9);
  EXPECT_EQ(value(MetricId::throttle_active, 0, {reason("power_cap")}), 1);
  EXPECT_EQ(value(MetricId::process_memory, 0, {{AttributeId::process_pid, "7002"}}), 600 * kMiB);
  EXPECT_TRUE(calls.errors().empty());
}

// All processes can be seen, and nothing of the rest: the clients stand in for what the driver keeps back.
TEST_F(IntelKernelSimulated, WithoutPerfmonTheClientsStandIn) {
  for (const char* driver : {"xe", "i915"}) {
    SCOPED_TRACE(driver);
    fs::remove_all(root_ + "/sys");
    fs::remove_all(root_ + "/proc");
    machine(board(driver, "may = { perfmon = false }\n"));
    settle();
    EXPECT_EQ(value(MetricId::gpu_memory_limit, 0), 16384 * kMiB);
    EXPECT_EQ(value(MetricId::gpu_memory_usage, 0), 2600 * kMiB);
    EXPECT_EQ(find(MetricId::gpu_memory_free, 0), -1);
    EXPECT_THAT(why(MetricId::gpu_memory_free, 0),
                HasSubstr("no_permission: the driver answers that nothing is in use"));
    EXPECT_EQ(find(MetricId::gpu_engine_utilization, 0, engine("compute", "0")), -1);
    // Two engines, of which one process keeps two fifths of one busy.
    EXPECT_NEAR(value(MetricId::gpu_engine_utilization, 0, {{AttributeId::engine, "compute"}}), 0.2, 0.02);
    EXPECT_NEAR(value(MetricId::gpu_engine_utilization, 0, {{AttributeId::engine, "render"}}), 0.1, 0.02);
    EXPECT_NEAR(value(MetricId::gpu_utilization, 0, {kGeneral}), 0.2, 0.02);
  }
}

TEST_F(IntelKernelSimulated, WithoutRightsNothingIsMadeUp) {
  machine(board("xe", "may = { perfmon = false, ptrace = false }\n"));
  settle();
  EXPECT_EQ(value(MetricId::gpu_memory_limit, 0), 16384 * kMiB);
  EXPECT_EQ(find(MetricId::gpu_memory_usage, 0), -1);
  EXPECT_THAT(why(MetricId::gpu_memory_usage, 0), HasSubstr("CAP_PERFMON; and 2 processes of other users"));
  EXPECT_EQ(find(MetricId::gpu_utilization, 0), -1);
  EXPECT_THAT(why(MetricId::gpu_utilization, 0), HasSubstr("no_permission: the kernel's counters need CAP_PERFMON"));
  EXPECT_EQ(state(MetricId::process_count, 0), State::no_permission);
  EXPECT_THAT(why(MetricId::process_count, 0), HasSubstr("CAP_SYS_PTRACE"));
  // What needs no rights is there.
  EXPECT_NEAR(value(MetricId::power, 0, {{AttributeId::power_scope, "gpu"}}), 100, 1);
  EXPECT_EQ(value(MetricId::clock_frequency, 0, {kGraphics}), 1.2e9);
}

TEST_F(IntelKernelSimulated, TilesAreDevices) {
  shipped("pvc");
  settle();
  ASSERT_EQ(catalog.devices.size(), 12u);
  const int gpu = device("0000:29:00.0"), tile = device("0000:29:00.0/tile1");
  EXPECT_EQ(catalog.devices[static_cast<size_t>(tile)].type, DeviceType::gpu_partition);
  EXPECT_EQ(catalog.devices[static_cast<size_t>(tile)].parent, gpu);
  EXPECT_EQ(catalog.devices[static_cast<size_t>(tile)].index, "0:1");
  EXPECT_EQ(value(MetricId::gpu_memory_limit, tile), 65536 * kMiB);
  EXPECT_EQ(value(MetricId::gpu_memory_limit, gpu), 2 * 65536 * kMiB);
  EXPECT_EQ(value(MetricId::gpu_memory_usage, gpu), 2 * (54000 + 190) * kMiB);
  EXPECT_EQ(count(MetricId::gpu_engine_utilization, tile), 4 + 8 + 2 + 2);
  EXPECT_EQ(value(MetricId::gpu_utilization, gpu, {kGeneral}),
            std::max(value(MetricId::gpu_utilization, tile, {kGeneral}),
                     value(MetricId::gpu_utilization, tile - 1, {kGeneral})));
  EXPECT_GE(value(MetricId::power, gpu, {{AttributeId::power_scope, "gpu"}}), 110);
  EXPECT_EQ(value(MetricId::clock_limit, tile, {kGraphics}), 1.6e9);
  EXPECT_THAT(why(MetricId::clock_frequency, gpu), HasSubstr("each tile"));
  EXPECT_EQ(value(MetricId::throttle_active, gpu, {reason("power_cap")}), 0);
  EXPECT_TRUE(calls.errors().empty());
}

TEST_F(IntelKernelSimulated, TheShippedWorkstation) {
  shipped("battlemage");
  settle();
  ASSERT_EQ(catalog.devices.size(), 2u);
  const int gpu = device("0000:03:00.0");
  for (size_t i = 0; i < frame.states.size(); ++i)
    EXPECT_EQ(frame.states[i], State::ok) << info(catalog.series[i].metric).name;
  EXPECT_EQ(value(MetricId::gpu_memory_usage, gpu), (17600 + 160) * kMiB);
  EXPECT_EQ(value(MetricId::process_memory, gpu, {{AttributeId::process_pid, "5120"}}), 17600 * kMiB);
  const double watts = value(MetricId::power, gpu, {{AttributeId::power_scope, "gpu"}});
  EXPECT_GE(watts, 14);
  EXPECT_LE(watts, 186);
  EXPECT_GE(value(MetricId::energy, gpu), 258000);
  EXPECT_TRUE(calls.errors().empty());
}

TEST_F(IntelKernelSimulated, ADeviceThatIsLostHasFailedAndComesBack) {
  machine(board("xe"));
  settle();
  const double joules = value(MetricId::energy, 0);
  write("[[fault]]\nkind = \"lost\"\nvendor = \"intel\"\n");
  poll();
  EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "failed"}}), 1);
  EXPECT_EQ(state(MetricId::temperature, 0, {kOnGpu}), State::error);
  EXPECT_EQ(state(MetricId::gpu_memory_usage, 0), State::error);
  EXPECT_EQ(state(MetricId::gpu_utilization, 0, {kGeneral}), State::error);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].code, "device_lost");
  EXPECT_EQ(events[0].device_id, "0000:4d:00.0");
  poll();
  EXPECT_EQ(events.size(), 1u);
  write("");
  poll();
  EXPECT_EQ(events.back().code, "device_back");
  EXPECT_EQ(state(MetricId::power, 0, {{AttributeId::power_scope, "gpu"}}), State::not_ready);
  pause(300);
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_NEAR(value(MetricId::power, 0, {{AttributeId::power_scope, "gpu"}}), 100, 1);
  EXPECT_GE(value(MetricId::energy, 0), joules);
  EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "ok"}}), 1);
}

TEST_F(IntelKernelSimulated, OneBadFileHarmsNoOther) {
  machine(board("xe"));
  settle();
  write(
      "[[fault]]\nkind = \"error\"\nvendor = \"intel\"\nfile = \"temp2_input\"\ncode = \"EIO\"\n"
      "[[fault]]\nkind = \"garbage\"\nvendor = \"intel\"\nfile = \"energy1_input\"\n"
      "[[fault]]\nkind = \"error\"\nvendor = \"intel\"\nfile = \"engine-active-ticks\"\ncode = \"EIO\"\n");
  double most = 0;
  for (int i = 0; i < 12; ++i) {
    pause(20);
    poll();
    EXPECT_EQ(state(MetricId::temperature, 0, {kOnGpu}), State::error);
    EXPECT_EQ(value(MetricId::temperature, 0, {kOnMemory}), 65);
    const int watts = find(MetricId::power, 0, {{AttributeId::power_scope, "gpu"}});
    if (frame.states[static_cast<size_t>(watts)] == State::ok)
      most = std::max(most, frame.values[static_cast<size_t>(watts)]);
    EXPECT_NEAR(value(MetricId::power, 0, {{AttributeId::power_scope, "package"}}), 80, 20);
  }
  EXPECT_LE(most, 5000);
  EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "ok"}}), 1);
  EXPECT_GE(calls.errors().at("EIO"), 12u);
  write("");
  poll();
  EXPECT_EQ(value(MetricId::temperature, 0, {kOnGpu}), 55);
}

// Whoever wants an idle device to sleep is told what keeps it awake.
TEST_F(IntelKernelSimulated, OpenCountersKeepADeviceAwake) {
  const auto told = [&] {
    return std::any_of(catalog.facts.begin(), catalog.facts.end(),
                       [](const auto& fact) { return fact.first == "kept awake"; });
  };
  machine(board("xe"));
  settle();
  EXPECT_TRUE(told());
  for (const auto& [driver, more] : {std::pair{"i915", ""}, {"xe", "may = { perfmon = false }\n"}}) {
    fs::remove_all(root_ + "/sys");
    fs::remove_all(root_ + "/proc");
    machine(board(driver, more));
    settle();
    EXPECT_FALSE(told()) << driver << more;
  }
}

TEST_F(IntelKernelSimulated, FrozenCountersAreNotBusy) {
  machine(board("xe"));
  settle();
  write("[[fault]]\nkind = \"frozen\"\nvendor = \"intel\"\n");
  poll();
  pause(50);
  poll();
  const int share = find(MetricId::gpu_engine_utilization, 0, engine("compute", "1"));
  // The last answer stands for three seconds, and is none after that.
  EXPECT_TRUE(frame.states[static_cast<size_t>(share)] != State::ok ||
              std::abs(frame.values[static_cast<size_t>(share)] - 0.8) < 0.01);
  pause(3300);
  poll();
  EXPECT_EQ(frame.states[static_cast<size_t>(share)], State::not_ready);
}

TEST_F(IntelKernelSimulated, ProcessesThatEndAreForgotten) {
  machine(board("xe"));
  settle();
  const size_t end = devices_.find("[[intel.process]]\npid = 7002");
  ASSERT_NE(end, std::string::npos);
  devices_ = devices_.substr(0, end);
  write("");
  EXPECT_EQ(poll(), PollResult::rediscover);
  EXPECT_EQ(state(MetricId::process_memory, 0, {{AttributeId::process_pid, "7002"}}), State::not_ready);
  EXPECT_EQ(value(MetricId::process_count, 0), 1);
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(find(MetricId::process_memory, 0, {{AttributeId::process_pid, "7002"}}), -1);
  // The counters were not opened anew for that.
  EXPECT_EQ(state(MetricId::gpu_utilization, 0, {kGeneral}), State::ok);
}

TEST_F(IntelKernelSimulated, NothingIsKeptOpenAfterRelease) {
  machine(board("xe"));
  settle();
  const auto descriptors = [] {
    size_t n = 0;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) n += entry.is_symlink() ? 1 : 0;
    return n;
  };
  const size_t before = descriptors();
  collector->release();
  EXPECT_LE(descriptors() + 30, before);
  ASSERT_TRUE(discover());
  poll();
  pause(200);
  poll();
  EXPECT_NEAR(value(MetricId::gpu_utilization, 0, {kGeneral}), 0.8, 1e-2);
}

// ---- the processes in which the tests above run ----

class UnderTheSimulatedKernel : public testing::TestWithParam<const char*> {};

TEST_P(UnderTheSimulatedKernel, Run) {
  for_test::run_under_simulated_kernel(std::string("IntelKernelSimulated.") + GetParam());
}

INSTANTIATE_TEST_SUITE_P(Intel, UnderTheSimulatedKernel,
                         testing::Values("ReadsWhatXeTells", "ReadsWhatI915Tells", "WithoutPerfmonTheClientsStandIn",
                                         "WithoutRightsNothingIsMadeUp", "TilesAreDevices", "TheShippedWorkstation",
                                         "ADeviceThatIsLostHasFailedAndComesBack", "OneBadFileHarmsNoOther",
                                         "OpenCountersKeepADeviceAwake", "FrozenCountersAreNotBusy",
                                         "ProcessesThatEndAreForgotten", "NothingIsKeptOpenAfterRelease"),
                         [](const testing::TestParamInfo<const char*>& test) { return std::string(test.param); });

}  // namespace
}  // namespace accelmon
