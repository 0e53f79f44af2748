// The collector against the simulated library when things go wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/valgrind_for_test.h"
#include "collectors/nvml/nvml_library.h"
#include "collectors/nvml/nvml_simulated.h"

namespace accelmon {
namespace {

using testing::HasSubstr;
using testing::Not;

const Attribute kOk{AttributeId::hw_state, "ok"};
const Attribute kFailed{AttributeId::hw_state, "failed"};
const Attribute kDegraded{AttributeId::hw_state, "degraded"};
const Attribute kGeneral{AttributeId::gpu_task, "general"};

std::string fault(const std::string& kind, const std::string& more) {
  return "\n[[fault]]\nkind = \"" + kind + "\"\n" + more + "\n";
}
std::string error_of(const std::string& call, const std::string& code, const std::string& more = "") {
  return fault("error", "call = \"" + call + "\"\ncode = \"" + code + "\"\n" + more);
}

TEST_F(Simulated, OneLostDeviceLeavesTheOthersAlone) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  const std::vector<Device> devices = catalog.devices;
  write_scenario("h100x8", fault("lost", "device = 3"));
  ASSERT_TRUE(poll_until_rediscovered()) << "why it is lost belongs into the catalog";
  EXPECT_EQ(catalog.devices, devices) << "a lost device keeps its row";
  poll();
  EXPECT_EQ(value(MetricId::hw_status, 3, {kFailed}), 1);
  EXPECT_EQ(value(MetricId::hw_status, 3, {kOk}), 0);
  EXPECT_EQ(value(MetricId::device_info, 3), 1);
  EXPECT_EQ(state(MetricId::gpu_utilization, 3, {kGeneral}), State::error);
  EXPECT_EQ(state(MetricId::power_limit, 3), State::error) << "of every tier";
  EXPECT_THAT(why_absent(MetricId::hw_status, 3), HasSubstr("NVML_ERROR_GPU_IS_LOST"));
  for (const int other : {0, 2, 4, 7}) {
    EXPECT_EQ(value(MetricId::hw_status, other, {kOk}), 1);
    EXPECT_EQ(state(MetricId::gpu_utilization, other, {kGeneral}), State::ok);
  }
  for (int i = 0; i < 3; ++i) poll();
  EXPECT_EQ(events_with("device_lost"), 1) << "told once";

  write_scenario("h100x8");
  ASSERT_TRUE(poll_until_rediscovered());
  poll_twice();
  EXPECT_EQ(events_with("device_back"), 1);
  EXPECT_EQ(value(MetricId::hw_status, 3, {kOk}), 1);
  EXPECT_EQ(state(MetricId::gpu_utilization, 3, {kGeneral}), State::ok);
  EXPECT_EQ(state(MetricId::power_limit, 3), State::ok);
  EXPECT_EQ(why_absent(MetricId::hw_status, 3), "");
}

TEST_F(Simulated, ALostDeviceIsAskedOnlyNowAndThen) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  write_scenario("h100x8", fault("lost", ""));
  ASSERT_TRUE(poll_until_rediscovered());
  poll();
  const uint64_t before = vendor_calls();
  poll(1u << static_cast<unsigned>(Tier::fast));
  EXPECT_EQ(vendor_calls(), before);
}

TEST_F(Simulated, ADeviceThatIsNotHandedOutKeepsItsRow) {
  const std::string broken = error_of("nvmlDeviceGetHandleByIndex_v2", "GPU_IS_LOST", "device = 1");
  ASSERT_TRUE(start("h100x8", broken));
  ASSERT_EQ(catalog.devices.size(), 8u);
  EXPECT_EQ(catalog.devices[1].index, "1");
  EXPECT_EQ(catalog.devices[1].id, "nvidia-index-1") << "nothing else is known of it";
  EXPECT_EQ(catalog.devices[1].vendor, "nvidia");
  poll_twice();
  EXPECT_EQ(value(MetricId::hw_status, 1, {kFailed}), 1);
  EXPECT_EQ(value(MetricId::device_info, 1), 1);
  EXPECT_THAT(why_absent(MetricId::hw_status, 1), HasSubstr("does not hand it out: "));
  EXPECT_THAT(why_absent(MetricId::hw_status, 1), HasSubstr("NVML_ERROR_GPU_IS_LOST"));
  EXPECT_EQ(value(MetricId::hw_status, 2, {kOk}), 1);

  write_scenario("h100x8");
  ASSERT_TRUE(poll_until_rediscovered());
  poll_twice();
  EXPECT_THAT(catalog.devices[1].id, testing::StartsWith("GPU-"));
  EXPECT_EQ(value(MetricId::hw_status, 1, {kOk}), 1);
}

TEST_F(Simulated, ADeviceThatWasKnownKeepsItsName) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  const Device known = catalog.devices[5];
  collector->release();
  write_scenario("h100x8", error_of("nvmlDeviceGetHandleByIndex_v2", "UNKNOWN", "device = 5"));
  ASSERT_TRUE(discover());
  EXPECT_EQ(catalog.devices[5], known);
  poll();
  EXPECT_EQ(value(MetricId::hw_status, 5, {kFailed}), 1);
}

TEST_F(Simulated, ADeviceThatIsDeniedIsNotCalledBroken) {
  ASSERT_TRUE(start("h100x8", error_of("nvmlDeviceGetHandleByIndex_v2", "NO_PERMISSION", "device = 0")));
  poll();
  EXPECT_EQ(state(MetricId::hw_status, 0, {kFailed}), State::no_permission);
  EXPECT_THAT(why_absent(MetricId::hw_status, 0), HasSubstr("NVML_ERROR_NO_PERMISSION"));
}

TEST_F(Simulated, LostDuringDiscovery) {
  ASSERT_TRUE(start("h100x8", error_of("nvmlDeviceGetClockInfo", "GPU_IS_LOST", "device = 2")));
  ASSERT_EQ(catalog.devices.size(), 8u);
  poll();
  EXPECT_EQ(value(MetricId::hw_status, 2, {kFailed}), 1);
  EXPECT_EQ(state(MetricId::gpu_memory_usage, 2), State::error);
  EXPECT_EQ(count(MetricId::energy, 2), 0) << "what was not asked yet is not known";

  write_scenario("h100x8");
  ASSERT_TRUE(poll_until_rediscovered());
  EXPECT_EQ(count(MetricId::energy, 2), 1) << "it was asked again for everything";
  poll_twice();
  EXPECT_EQ(value(MetricId::hw_status, 2, {kOk}), 1);
}

// Every single call may fail in any way: the rest goes on, and the catalog stays sound.
class EachCall : public Simulated, public testing::WithParamInterface<const char*> {};

TEST_P(EachCall, MayFailAtDiscoveryAndLater) {
  // Without its thread the collector goes at once.
  const std::string quiet = error_of("nvmlDeviceGetSupportedEventTypes", "NOT_SUPPORTED");
  for (size_t i = 0; i < nvml::kSymbols; ++i) {
    const std::string call(nvml::symbol_name(static_cast<nvml::Symbol>(i)));
    if (call == "nvmlInit_v2" || call == "nvmlShutdown" || call == "nvmlDeviceGetCount_v2" ||
        call == "nvmlDeviceGetHandleByIndex_v2" || call == "nvmlEventSetWait_v2")
      continue;
    SCOPED_TRACE(call);
    // At discovery.
    make_collector();
    if (is_mapped()) GTEST_FAIL() << "the library is still loaded";
    ASSERT_TRUE(start("rtx4090", error_of(call, GetParam()) + quiet)) << error.message();
    ASSERT_EQ(catalog.devices.size(), 1u);
    EXPECT_NE(poll(), PollResult::lost);
    EXPECT_EQ(value(MetricId::hw_status, 0, {kOk}), 1);
    // One call's failure must not take what is unlike it.
    if (call != "nvmlDeviceGetUtilizationRates") {
      EXPECT_EQ(state(MetricId::gpu_utilization, 0, {kGeneral}), State::ok);
    }
    if (call != "nvmlDeviceGetMemoryInfo_v2") {
      EXPECT_EQ(state(MetricId::gpu_memory_free, 0), State::ok);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Codes, EachCall, testing::Values("UNKNOWN", "NOT_SUPPORTED", "NO_PERMISSION", "NO_DATA"),
                         [](const auto& one) { return std::string(one.param); });

TEST_F(Simulated, WhatFailsForAWhileRecovers) {
  ASSERT_TRUE(start("rtx4090", error_of("nvmlDeviceGetMemoryInfo*", "UNKNOWN")));
  poll();
  EXPECT_EQ(state(MetricId::gpu_memory_usage, 0), State::error);
  EXPECT_THAT(why_absent(MetricId::gpu_memory_usage, 0), HasSubstr("NVML_ERROR_UNKNOWN"));
  EXPECT_GE(calls->errors().at("NVML_ERROR_UNKNOWN"), 2u);
  write_scenario("rtx4090");
  poll();
  EXPECT_EQ(state(MetricId::gpu_memory_usage, 0), State::ok);
}

TEST_F(Simulated, WhatIsDeniedHasASeriesAndAReason) {
  ASSERT_TRUE(start("rtx4090", error_of("nvmlDeviceGetUtilizationRates", "NO_PERMISSION")));
  poll();
  EXPECT_EQ(state(MetricId::gpu_utilization, 0, {kGeneral}), State::no_permission);
  EXPECT_THAT(why_absent(MetricId::gpu_utilization, 0), HasSubstr("refuses it"));
}

TEST_F(Simulated, AFieldFailsAlone) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  write_scenario("h100x8", fault("error", "field = 83\ncode = \"UNKNOWN\"\ndevice = 0"));
  poll();
  EXPECT_EQ(state(MetricId::energy, 0), State::error);
  EXPECT_EQ(state(MetricId::energy, 1), State::ok);
  EXPECT_EQ(state(MetricId::gpu_io, 0), State::ok);
}

TEST_F(Simulated, DriverIsUnloadedAndLoadedAgain) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  write_scenario("h100x8", fault("driver_unloaded", ""));
  EXPECT_EQ(poll(), PollResult::lost);
  collector->release();
  EXPECT_FALSE(is_mapped());
  EXPECT_FALSE(discover());
  EXPECT_EQ(error.code(), Code::absent);
  EXPECT_THAT(error.message(), HasSubstr("driver is not loaded"));
  EXPECT_FALSE(is_mapped()) << "a failed attempt holds nothing";
  write_scenario("h100x8");
  ASSERT_TRUE(discover()) << error.message();
  EXPECT_EQ(catalog.devices.size(), 8u);
  poll();
  EXPECT_EQ(value(MetricId::hw_status, 0, {kOk}), 1);
}

TEST_F(Simulated, RefusalsAtTheDoorHaveTheirOwnAdvice) {
  ASSERT_FALSE(start("h100x8", error_of("nvmlInit_v2", "NO_PERMISSION")));
  EXPECT_EQ(error.code(), Code::no_permission);
  EXPECT_THAT(error.message(), HasSubstr("/dev/nvidiactl"));
  ASSERT_FALSE(start("h100x8", error_of("nvmlInit_v2", "LIB_RM_VERSION_MISMATCH")));
  EXPECT_EQ(error.code(), Code::unsupported);
  EXPECT_THAT(error.message(), HasSubstr("different versions"));
  EXPECT_THAT(error.message(), HasSubstr("restart the host"));
  ASSERT_FALSE(start("h100x8", error_of("nvmlInit_v2", "UNKNOWN")));
  EXPECT_THAT(error.message(), HasSubstr("NVML_ERROR_UNKNOWN"));
  ASSERT_FALSE(start("h100x8", error_of("nvmlDeviceGetCount_v2", "UNINITIALIZED")));
  EXPECT_EQ(error.code(), Code::absent);
}

TEST_F(Simulated, AMachineWithoutGpusIsAbsent) {
  write_text("[scenario]\nname = \"none\"\ndriver_version = \"590.48.01\"\ncuda_version = \"13.1\"\n");
  ASSERT_FALSE(discover());
  EXPECT_EQ(error.code(), Code::absent);
  EXPECT_THAT(error.message(), HasSubstr("shows no device"));
}

TEST_F(Simulated, NonsenseIsPassedOnForTheGateToSee) {
  ASSERT_TRUE(start("rtx4090"));
  poll();
  write_scenario("rtx4090", fault("garbage", "call = \"nvmlDeviceGetUtilizationRates\""));
  poll();
  const double nonsense = value(MetricId::gpu_utilization, 0, {kGeneral});
  EXPECT_GT(nonsense, 1) << "not cut to what would look well";
}

std::string process(int pid, const std::string& more) {
  return "\n[[process]]\npid = " + std::to_string(pid) + "\nname = \"/usr/bin/job\"\ndevice = 0\n" + more + "\n";
}

TEST_F(Simulated, ProcessesComeAndGo) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  EXPECT_EQ(poll(), PollResult::ok);
  write_scenario("h100x8", process(777, "memory_mib = 100"));
  ASSERT_TRUE(poll_until_rediscovered());
  poll();
  EXPECT_EQ(count(MetricId::process_memory, 0), 2);
  EXPECT_EQ(value(MetricId::process_memory, 0, {{AttributeId::process_pid, "777"}}), 100 * 1048576.0);
  EXPECT_EQ(value(MetricId::process_count, 0, {{AttributeId::process_kind, "compute"}}), 2);
  write_scenario("h100x8");
  ASSERT_TRUE(poll_until_rediscovered());
  poll();
  EXPECT_EQ(count(MetricId::process_memory, 0), 1);
}

TEST_F(Simulated, ManyProcessesShowTheLargestAndTheTrueCount) {
  std::string many;
  for (int i = 0; i < 150; ++i) many += process(5000 + i, "memory_mib = " + std::to_string(10 + i));
  ASSERT_TRUE(start("h100x8", many));
  poll_twice();
  EXPECT_EQ(value(MetricId::process_count, 0, {{AttributeId::process_kind, "compute"}}), 151);
  EXPECT_EQ(count(MetricId::process_memory, 0), 64);
  EXPECT_EQ(count(MetricId::process_memory, 0, {{AttributeId::process_pid, "5149"}}), 1);
  EXPECT_EQ(count(MetricId::process_memory, 0, {{AttributeId::process_pid, "5000"}}), 0);
  EXPECT_EQ(poll(), PollResult::ok) << "those that are not shown are no reason for another catalog";
}

TEST_F(Simulated, AProcessThatComputesAndDrawsIsOne) {
  ASSERT_TRUE(start("rtx4090", process(900, "memory_mib = 64\nkind = \"compute\"") +
                                   process(900, "memory_mib = 64\nkind = \"graphics\"")));
  poll();
  EXPECT_EQ(count(MetricId::process_memory, 0, {{AttributeId::process_pid, "900"}}), 1);
  EXPECT_EQ(value(MetricId::process_memory, 0, {{AttributeId::process_pid, "900"}}), 64 * 1048576.0);
}

TEST_F(Simulated, XidsAreCountedAndTold) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  const Attribute xid79{AttributeId::event_code, "xid:79"};
  EXPECT_EQ(value(MetricId::events, 4, {xid79, {AttributeId::severity, "critical"}}), 0)
      << "a count that starts at 0 shows the first one as growth";
  write_scenario("h100x8", fault("xid", "xid = 79\ndevice = 4"));
  for (int i = 0; i < 100 && events_with("xid:79") == 0; ++i) {
    poll();
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
  ASSERT_EQ(events_with("xid:79"), 1);
  EXPECT_EQ(value(MetricId::events, 4, {xid79}), 1);
  EXPECT_EQ(value(MetricId::events, 3, {xid79}), 0);
  for (const Event& event : events) {
    if (event.code != "xid:79") continue;
    EXPECT_EQ(event.device_id, catalog.devices[4].id);
    EXPECT_EQ(event.severity, Severity::critical);
    EXPECT_THAT(event.message, HasSubstr("GPU 4: Xid 79: the GPU has fallen off the bus"));
    EXPECT_GT(event.wall, 0);
  }
}

TEST_F(Simulated, AnUnexpectedXidGetsASeries) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  write_scenario("h100x8", fault("xid", "xid = 31\ndevice = 0"));
  ASSERT_TRUE(poll_until_rediscovered());
  poll();
  EXPECT_EQ(value(MetricId::events, 0, {{AttributeId::event_code, "xid:31"}, {AttributeId::severity, "info"}}), 1);
  EXPECT_EQ(count(MetricId::events, 1, {{AttributeId::event_code, "xid:31"}}), 0);
  // The count outlives a reload of the driver.
  collector->release();
  write_scenario("h100x8");
  ASSERT_TRUE(discover());
  poll();
  EXPECT_EQ(value(MetricId::events, 0, {{AttributeId::event_code, "xid:31"}}), 1);
}

TEST_F(Simulated, MigIsReconfigured) {
  ASSERT_TRUE(start("h100-mig"));
  poll_twice();
  ASSERT_EQ(catalog.devices.size(), 5u);
  write_scenario("h100x8");  // another machine altogether: eight GPUs without partitions
  ASSERT_TRUE(poll_until_rediscovered());
  EXPECT_EQ(catalog.devices.size(), 8u);
  poll_twice();
  EXPECT_EQ(value(MetricId::hw_status, 7, {kOk}), 1);
  write_scenario("h100-mig");
  ASSERT_TRUE(poll_until_rediscovered());
  EXPECT_EQ(catalog.devices.size(), 5u);
}

TEST_F(Simulated, NarrowCountersGrowOn) {
  const std::string busy =
      "[scenario]\nname = \"wrap\"\ndriver_version = \"590.48.01\"\ncuda_version = \"13.1\"\n"
      "[[device]]\nname = \"NVIDIA Test\"\narchitecture = \"hopper\"\nmemory.total_mib = 1000\npower.limit_w = 100\n"
      "pci.generation = 5\npci.width = 16\n"
      "pcie.counters = true\npcie.counter_bits = 42\npcie.rx = 9e12\npcie.tx = 1e12\n";
  write_text(busy);
  ASSERT_TRUE(discover());
  // 2^42 at 9e12 a second: a wrap each half second.
  double before = 0;
  for (int i = 0; i < 15; ++i) {
    poll(1);
    const double now = value(MetricId::gpu_io, 0, {{AttributeId::io_direction, "receive"}});
    EXPECT_GE(now, before);
    before = now;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_GT(before, 2 * 4.4e12);
}

// Parts of /sys for one device.
class WithBus : public Simulated {
 protected:
  WithBus() {
    std::string pattern = testing::TempDir() + "accelmon_bus_XXXXXX";
    sysfs = ::mkdtemp(pattern.data());
    make_collector();
  }
  ~WithBus() override {
    collector.reset();
    std::filesystem::remove_all(sysfs);
  }
  void write(const std::string& address, const std::string& file, const std::string& text) {
    const std::string path = sysfs + "/bus/pci/devices/" + address + "/" + file;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text << "\n";
  }
  void bind(const std::string& address, const std::string& driver) {
    write(address, "vendor", "0x10de");
    write(address, "class", "0x030200");
    std::filesystem::create_directories(sysfs + "/bus/pci/drivers/" + driver);
    std::filesystem::create_directory_symlink("../../drivers/" + driver,
                                              sysfs + "/bus/pci/devices/" + address + "/driver");
  }
};

TEST_F(WithBus, ASleepingGpuIsNotWoken) {
  write("0000:01:00.0", "power/control", "auto");
  write("0000:01:00.0", "power/runtime_status", "active");
  write("0000:01:00.0", "numa_node", "1");
  ASSERT_TRUE(start("rtx4090"));
  EXPECT_EQ(info_of(0, AttributeId::numa_node), "1");
  poll();
  EXPECT_EQ(state(MetricId::gpu_utilization, 0, {kGeneral}), State::ok);
  write("0000:01:00.0", "power/runtime_status", "suspended");
  const uint64_t before = vendor_calls();
  poll(1);
  EXPECT_EQ(vendor_calls(), before + 1) << "only the kernel was asked";
  EXPECT_EQ(state(MetricId::gpu_utilization, 0, {kGeneral}), State::not_ready);
  EXPECT_EQ(state(MetricId::power_limit, 0), State::not_ready);
  EXPECT_EQ(value(MetricId::hw_status, 0, {kOk}), 1);
  write("0000:01:00.0", "power/runtime_status", "active");
  poll(1);
  EXPECT_EQ(state(MetricId::gpu_utilization, 0, {kGeneral}), State::ok);
  EXPECT_EQ(state(MetricId::power_limit, 0), State::ok) << "all tiers were empty";
}

TEST_F(WithBus, AGpuThatTheDriverCeasesToListKeepsItsRow) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  const Device known = catalog.devices[0];
  bind("0000:1b:00.0", "nvidia");
  bind("0000:43:00.0", "vfio-pci");  // given to a virtual machine on purpose
  write_scenario("h100-mig");        // a machine with one GPU, at the address of the first
  ASSERT_TRUE(poll_until_rediscovered());
  for (const Device& device : catalog.devices) EXPECT_NE(device.id, known.id) << "another GPU sits there now";

  collector->release();
  make_collector();
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  bind("0000:9d:00.0", "nvidia");
  write_scenario("h100-mig");
  const std::string gone = catalog.devices[4].id;
  ASSERT_TRUE(poll_until_rediscovered());
  ASSERT_EQ(catalog.devices.size(), 6u);
  EXPECT_EQ(catalog.devices[5].id, gone);
  EXPECT_EQ(catalog.devices[5].index, "");
  poll();
  EXPECT_EQ(value(MetricId::hw_status, 5, {kFailed}), 1);
  EXPECT_THAT(why_absent(MetricId::hw_status, 5), HasSubstr("no longer lists"));
  // It stays, until it comes back.
  write_scenario("h100x8");
  ASSERT_TRUE(poll_until_rediscovered());
  EXPECT_EQ(catalog.devices.size(), 8u);
  EXPECT_EQ(catalog.devices[4].id, gone);
}

std::string partitioned(const std::string& instances) {
  return "[scenario]\nname = \"mig\"\ndriver_version = \"590.48.01\"\ncuda_version = \"13.1\"\n"
         "[[device]]\nname = \"NVIDIA Test\"\narchitecture = \"hopper\"\nmemory.total_mib = 80000\n"
         "power.limit_w = 100\ngpm.sm = 5\nmig.enabled = true\nmig.most = 7\n" +
         instances;
}
std::string instance(int gpu, int compute, const std::string& profile) {
  return "[[device.mig.instance]]\nprofile = \"" + profile + "\"\ngpu_instance = " + std::to_string(gpu) +
         "\ncompute_instance = " + std::to_string(compute) + "\ngpu_slices = 2\nmemory_mib = 10000\ngpm.sm = 50\n";
}

TEST_F(Simulated, PartitionsThatShareAnInstanceAreNotMeasuredAsOne) {
  write_text(partitioned(instance(1, 0, "1c.2g.20gb") + instance(1, 1, "1c.2g.20gb") + instance(2, 0, "2g.20gb")));
  ASSERT_TRUE(discover()) << error.message();
  ASSERT_EQ(catalog.devices.size(), 4u);
  poll_twice();
  EXPECT_EQ(count(MetricId::gpu_sm_activity, 1), 0);
  EXPECT_THAT(why_absent(MetricId::gpu_sm_activity, 1), HasSubstr("share this GPU instance"));
  EXPECT_EQ(count(MetricId::gpu_sm_activity, 2), 0);
  EXPECT_DOUBLE_EQ(value(MetricId::gpu_sm_activity, 3), 0.5);
}

TEST_F(Simulated, APartitionIsTakenApartAndAnotherMade) {
  write_text(partitioned(instance(1, 0, "2g.20gb") + instance(2, 0, "2g.20gb")));
  ASSERT_TRUE(discover()) << error.message();
  poll_twice();
  const std::string kept = catalog.devices[1].id;
  write_text(partitioned(instance(1, 0, "2g.20gb") + instance(5, 0, "1g.10gb")));
  // Its handle is refused, which is found out in the fast tier.
  ASSERT_TRUE(poll_until_rediscovered(1));
  ASSERT_EQ(catalog.devices.size(), 3u);
  EXPECT_EQ(catalog.devices[1].id, kept);
  EXPECT_EQ(info_of(2, AttributeId::partition_profile), "1g.10gb");
  poll_twice();
  EXPECT_EQ(state(MetricId::gpu_memory_usage, 2), State::ok);
  EXPECT_EQ(poll(), PollResult::ok);
}

TEST_F(Simulated, StatusOfTheSick) {
  ASSERT_TRUE(start("sick"));
  poll_twice();
  EXPECT_EQ(value(MetricId::hw_status, 0, {kOk}), 1);
  EXPECT_EQ(state(MetricId::memory_rows, 3), State::error) << "one call of this device always fails";
  EXPECT_EQ(value(MetricId::hw_status, 3, {kOk}), 1);
  EXPECT_EQ(value(MetricId::link_up, 5, {{AttributeId::link, "3"}}), 0);
  EXPECT_EQ(value(MetricId::link_up, 5, {{AttributeId::link, "4"}}), 1);
}

TEST_F(Simulated, LinksOfADeviceAreSummedUnlessEachIsAskedFor) {
  if (under_valgrind()) GTEST_SKIP() << "the counters go on between the two looks";
  const Attribute all{AttributeId::link, "all"};
  // One time for both loads of the library, so that its counters go on.
  ::setenv("ACCELMON_SIM_EPOCH_NS", std::to_string(real_clock().monotonic() - 100 * kSecond).c_str(), 1);
  ASSERT_TRUE(start("sick"));
  poll_twice();
  double each = 0;
  double errors = 0;
  for (int link = 0; link < 18; ++link) {
    const Attribute one{AttributeId::link, std::to_string(link)};
    each += value(MetricId::link_io, 5, {one, {AttributeId::direction, "receive"}});
    errors += value(MetricId::link_errors, 5, {one, {AttributeId::error_type, "crc"}});
  }
  make_collector(nullptr, real_clock(), "false");
  ASSERT_TRUE(start("sick"));
  poll_twice();
  EXPECT_EQ(count(MetricId::link_io, 5), 2);
  EXPECT_EQ(count(MetricId::link_errors, 5), 3);
  EXPECT_EQ(count(MetricId::link_up, 5), 1);
  EXPECT_GE(value(MetricId::link_io, 5, {all, {AttributeId::direction, "receive"}}), each);
  EXPECT_EQ(value(MetricId::link_errors, 5, {all, {AttributeId::error_type, "crc"}}), errors);
  EXPECT_EQ(value(MetricId::link_up, 5, {all}), 0) << "link 3 is down";
  EXPECT_EQ(value(MetricId::link_up, 0, {all}), 1);
  ::unsetenv("ACCELMON_SIM_EPOCH_NS");
}

TEST_F(Simulated, PendingRemapsDegrade) {
  write_text(
      "[scenario]\nname = \"rows\"\ndriver_version = \"590.48.01\"\ncuda_version = \"13.1\"\n"
      "[template.x]\nname = \"NVIDIA Test\"\narchitecture = \"hopper\"\nmemory.total_mib = 1000\npower.limit_w = 100\n"
      "[[device]]\nuse = [\"x\"]\nrows.corrected = 1\nrows.pending = 1\nrows.histogram = [10, 1, 0, 0, 0]\n"
      "[[device]]\nuse = [\"x\"]\nrows.failure = 1\n"
      "[[device]]\nuse = [\"x\"]\nrows.corrected = 9\nrows.histogram = [10, 0, 0, 0, 1]\n"
      "[[device]]\nuse = [\"x\"]\nrecovery_action = 3\n");
  ASSERT_TRUE(discover()) << error.message();
  poll();
  EXPECT_EQ(value(MetricId::hw_status, 0, {kDegraded}), 1);
  EXPECT_EQ(value(MetricId::memory_rows, 0, {{AttributeId::row_state, "pending"}}), 1);
  EXPECT_EQ(value(MetricId::hw_status, 1, {kFailed}), 1);
  EXPECT_EQ(value(MetricId::hw_status, 2, {{AttributeId::hw_state, "predicted_failure"}}), 1);
  EXPECT_EQ(value(MetricId::hw_status, 3, {kDegraded}), 1);
  EXPECT_EQ(value(MetricId::recovery_action, 3, {{AttributeId::row_state, "drain_p2p"}}), 1);
  EXPECT_EQ(value(MetricId::recovery_action, 3, {{AttributeId::row_state, "none"}}), 0);
}

// In a process of its own: the library stays loaded, with a thread inside.
TEST_F(Simulated, ReleaseDoesNotWaitForAThreadThatHangs) {
  if (under_valgrind()) GTEST_SKIP() << "what is left behind counts as lost";
  ASSERT_TRUE(start("rtx4090", error_of("nvmlDeviceGetSupportedEventTypes", "NOT_SUPPORTED")));
  collector->release();
  const auto hang = [&] {
    if (!start("rtx4090", fault("hang", "call = \"nvmlEventSetWait_v2\""))) return 1;
    poll();
    collector->release();
    // What a thread still runs in must not be unmapped.
    return is_mapped() ? 0 : 2;
  };
  EXPECT_EXIT(std::_Exit(hang()), testing::ExitedWithCode(0), "does not come back");
}

}  // namespace
}  // namespace accelmon
