// Compute partitions under the simulated kernel.
#include <gtest/gtest.h>

#include "collectors/amdgpu/amdgpu_simulated.h"

namespace accelmon::amdgpu {
namespace {

namespace fs = std::filesystem;

class AmdgpuPartitions : public AmdgpuSimulated {};

TEST_F(AmdgpuPartitions, PartitionsAreDevicesOnOneAddress) {
  machine(kInstinct);
  settle();
  ASSERT_EQ(catalog.devices.size(), 9u);
  EXPECT_EQ(catalog.devices[0].type, DeviceType::gpu);
  for (int part = 0; part < 8; ++part) {
    const Device& device = catalog.devices[static_cast<size_t>(part + 1)];
    EXPECT_EQ(device.type, DeviceType::gpu_partition);
    EXPECT_EQ(device.parent, 0);
    EXPECT_EQ(device.id, "amd-5d2c81a0b9e40010/partition" + std::to_string(part));
    EXPECT_EQ(device.index, "0:" + std::to_string(part));
    EXPECT_NE(std::find(device.info.begin(), device.info.end(), Attribute{AttributeId::partition_profile, "CPX/NPS4"}),
              device.info.end());
    // Its size is the partition's, its use the whole board's.
    EXPECT_EQ(value(MetricId::gpu_memory_limit, part + 1), 24574 * 1048576.0);
    EXPECT_EQ(find(MetricId::gpu_memory_usage, part + 1), -1);
    EXPECT_TRUE(is_absent(MetricId::gpu_memory_usage, part + 1));
    EXPECT_EQ(value(MetricId::gpu_engine_utilization, part + 1, {{AttributeId::engine, "media"}}), 0.2);
    EXPECT_EQ(value(MetricId::gpu_engine_utilization, part + 1, {{AttributeId::engine, "jpeg"}}), 0.3);
    EXPECT_EQ(value(MetricId::hw_status, part + 1, {{AttributeId::hw_state, "ok"}}), 1);
    EXPECT_EQ(value(MetricId::clock_frequency, part + 1, {{AttributeId::clock_domain, "graphics"}}), 2.1e9);
  }
  EXPECT_EQ(value(MetricId::gpu_memory_limit, 0), 196592 * 1048576.0);
  EXPECT_EQ(value(MetricId::gpu_memory_bandwidth_limit, 0), 5.3e12);
  EXPECT_EQ(find(MetricId::gpu_memory_bandwidth_limit, 1), -1);
  EXPECT_DOUBLE_EQ(value(MetricId::gpu_utilization, 0, {{AttributeId::gpu_task, "general"}}), 0.5);
  EXPECT_DOUBLE_EQ(value(MetricId::gpu_utilization, 3, {{AttributeId::gpu_task, "general"}}), 0.75);
  EXPECT_DOUBLE_EQ(value(MetricId::gpu_utilization, 8, {{AttributeId::gpu_task, "general"}}), 0.25);
  EXPECT_DOUBLE_EQ(value(MetricId::gpu_utilization, 1, {{AttributeId::gpu_task, "general"}}), 0);
  EXPECT_EQ(value(MetricId::gpu_memory_usage, 0), 3200 * 1048576.0);
  // A process stands on its partition alone.
  EXPECT_EQ(value(MetricId::process_memory, 3, {{AttributeId::process_pid, "100"}}), 1000 * 1048576.0);
  EXPECT_NEAR(value(MetricId::process_occupancy, 3, {{AttributeId::process_pid, "100"}}), 0.75, 0.02);
  EXPECT_EQ(find(MetricId::process_memory, 0, {{AttributeId::process_pid, "100"}}), -1);
  EXPECT_EQ(value(MetricId::process_count, 8, {{AttributeId::process_kind, "compute"}}), 1);
  EXPECT_EQ(value(MetricId::power, 0, {{AttributeId::power_reading, "instant"}}), 500);
  EXPECT_EQ(value(MetricId::temperature, 0, {{AttributeId::sensor_location, "hotspot"}}), 70);
  EXPECT_EQ(value(MetricId::temperature_margin, 0, {{AttributeId::sensor_location, "hotspot"}}), 30);
}

// A part is as ill as its board.
TEST_F(AmdgpuPartitions, PartitionsFailWithTheirBoard) {
  machine(kInstinct);
  settle();
  write("[[fault]]\nvendor = \"amd\"\nkind = \"lost\"\ndevice = 0\n");
  (void)poll(1);
  for (int device = 0; device <= 8; ++device) {
    EXPECT_EQ(value(MetricId::hw_status, device, {{AttributeId::hw_state, "failed"}}), 1) << device;
    EXPECT_EQ(value(MetricId::device_info, device), 1) << device;
    EXPECT_EQ(state(MetricId::gpu_memory_limit, device), State::error) << device;
  }
}

// It keeps its place on the bus; KFD has other nodes.
TEST_F(AmdgpuPartitions, ABoardThatIsPartitionedAnewHasOtherPartitions) {
  machine(kInstinct);
  settle();
  ASSERT_EQ(catalog.devices.size(), 9u);
  ASSERT_EQ(poll(2), PollResult::ok);
  devices_.replace(devices_.find("CPX"), 3, "QPX");
  devices_.replace(devices_.find("partition = 7"), 13, "partition = 3");
  write("");
  EXPECT_EQ(poll(2), PollResult::rediscover);
  settle();
  ASSERT_EQ(catalog.devices.size(), 5u);
  EXPECT_EQ(value(MetricId::gpu_memory_limit, 4), 49148 * 1048576.0);
  EXPECT_EQ(value(MetricId::process_memory, 3, {{AttributeId::process_pid, "100"}}), 1000 * 1048576.0);
  devices_.replace(devices_.find("QPX"), 3, "SPX");
  for (const char* partition : {"partition = 2", "partition = 3"})
    devices_.replace(devices_.find(partition), 13, "partition = 0");
  write("");
  EXPECT_EQ(poll(2), PollResult::rediscover);
  settle();
  EXPECT_EQ(catalog.devices.size(), 1u);
  EXPECT_EQ(value(MetricId::gpu_memory_limit, 0), 196592 * 1048576.0);
}

// 1.9 tells of dies, 1.8 of partitions with their dies.
TEST_F(AmdgpuPartitions, DiesAreSharedOutAmongPartitions) {
  for (const char* revision : {"1.6", "1.8", "1.9"}) {
    SCOPED_TRACE(revision);
    std::string text = kInstinct;
    text.replace(text.find("\"1.8\""), 5, "\"" + std::string(revision) + "\"");
    text.replace(text.find("CPX"), 3, "DPX");
    text.replace(text.find("partition = 2"), 13, "partition = 0");
    text.replace(text.find("partition = 7"), 13, "partition = 1");
    fs::remove_all(root_ + "/sys");
    machine(text);
    settle();
    ASSERT_EQ(catalog.devices.size(), 3u);
    EXPECT_DOUBLE_EQ(value(MetricId::gpu_utilization, 1, {{AttributeId::gpu_task, "general"}}), 0.75);
    EXPECT_DOUBLE_EQ(value(MetricId::gpu_utilization, 2, {{AttributeId::gpu_task, "general"}}), 0.25);
    EXPECT_EQ(value(MetricId::clock_frequency, 2, {{AttributeId::clock_domain, "graphics"}}), 2.1e9);
    const bool told = std::string(revision) != "1.6";
    EXPECT_EQ(find(MetricId::throttle_time, 2, {{AttributeId::reason, "power_cap"}}) >= 0, told);
  }
}

// ---- the processes in which the tests above run ----

class PartitionsUnderTheSimulatedKernel : public testing::TestWithParam<const char*> {};

TEST_P(PartitionsUnderTheSimulatedKernel, Run) {
  for_test::run_under_simulated_kernel(std::string("AmdgpuPartitions.") + GetParam());
}

INSTANTIATE_TEST_SUITE_P(Amdgpu, PartitionsUnderTheSimulatedKernel,
                         testing::Values("PartitionsAreDevicesOnOneAddress", "PartitionsFailWithTheirBoard",
                                         "ABoardThatIsPartitionedAnewHasOtherPartitions",
                                         "DiesAreSharedOutAmongPartitions"),
                         [](const testing::TestParamInfo<const char*>& test) { return std::string(test.param); });

}  // namespace
}  // namespace accelmon::amdgpu
