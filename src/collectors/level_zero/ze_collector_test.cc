// The collector on whole boards, through the real loader.
#include <gmock/gmock.h>

#include "collectors/level_zero/ze_simulated.h"

namespace accelmon {
namespace {

using testing::HasSubstr;

TEST_F(SimulatedLevelZero, ReadsBoardsOfTwoTiles) {
  write_scenario("pvc");
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    ASSERT_EQ(catalog.devices.size(), 12u);  // four boards, each with two tiles
    const int gpu = device("0000:29:00.0");
    const int tile = device("0000:29:00.0/tile1");
    EXPECT_EQ(catalog.devices[0].type, DeviceType::gpu);
    EXPECT_EQ(catalog.devices[0].vendor, "intel");
    EXPECT_EQ(catalog.devices[0].model, "Intel(R) Data Center GPU Max 1550");
    EXPECT_EQ(catalog.devices[static_cast<size_t>(tile)].type, DeviceType::gpu_partition);
    EXPECT_EQ(catalog.devices[static_cast<size_t>(tile)].parent, gpu);
    EXPECT_EQ(catalog.devices[static_cast<size_t>(tile)].index, "0:1");
    EXPECT_EQ(info_of(gpu, AttributeId::pci_address), "0000:29:00.0");
    EXPECT_EQ(info_of(gpu, AttributeId::hw_driver_version), "25.18.33578");
    EXPECT_EQ(fact("started by"), "zeInit with ZES_ENABLE_SYSMAN (the older way)");

    poll_twice();
    constexpr double kMiB = 1048576;
    EXPECT_EQ(value(MetricId::gpu_memory_limit, tile), 65536 * kMiB);
    EXPECT_EQ(value(MetricId::gpu_memory_limit, gpu), 2 * 65536 * kMiB);
    EXPECT_EQ(value(MetricId::gpu_memory_usage, tile), (54000 + 190) * kMiB);
    EXPECT_EQ(value(MetricId::gpu_memory_usage, gpu), 2 * (54000 + 190) * kMiB);
    EXPECT_NEAR(value(MetricId::gpu_memory_utilization, gpu), 54190.0 / 65536, 1e-9);
    EXPECT_EQ(value(MetricId::gpu_memory_bandwidth_limit, gpu), 3.2e12);
    EXPECT_EQ(count(MetricId::gpu_engine_utilization, tile), 4 + 8 + 2 + 2 + 3);
    const double busy = value(MetricId::gpu_utilization, gpu, {general()});
    EXPECT_GE(busy, 0.1);
    EXPECT_LE(busy, 1);
    EXPECT_EQ(busy, std::max(value(MetricId::gpu_utilization, tile, {general()}),
                             value(MetricId::gpu_utilization, tile - 1, {general()})));
    const double watts = value(MetricId::power, gpu, {{AttributeId::power_scope, "gpu"}});
    EXPECT_GE(watts, 110);
    EXPECT_LE(watts, 620);
    EXPECT_GE(value(MetricId::energy, gpu), 1250000);
    EXPECT_EQ(value(MetricId::power_limit, gpu, {{AttributeId::limit, "enforced"}}), 600);
    EXPECT_EQ(value(MetricId::power_limit, gpu, {{AttributeId::limit, "default"}}), 600);
    EXPECT_EQ(value(MetricId::clock_limit, tile, {{AttributeId::clock_domain, "graphics"}}), 1.6e9);
    EXPECT_EQ(value(MetricId::clock_frequency, tile, {{AttributeId::clock_domain, "memory"}}), 3.2e9);
    EXPECT_EQ(value(MetricId::throttle_active, gpu, {{AttributeId::reason, "power_cap"}}), 0);
    EXPECT_EQ(value(MetricId::temperature, gpu, {location("memory")}),
              std::max(value(MetricId::temperature, tile, {location("memory")}),
                       value(MetricId::temperature, tile - 1, {location("memory")})));
    EXPECT_EQ(
        value(MetricId::errors, gpu, {{AttributeId::error_type, "corrected"}, {AttributeId::error_block, "cache"}}), 3);
    EXPECT_EQ(value(MetricId::ecc_enabled, gpu, {{AttributeId::which, "current"}}), 1);
    EXPECT_EQ(value(MetricId::pcie_generation, gpu, {{AttributeId::which, "current"}}), 5);
    EXPECT_EQ(value(MetricId::pcie_width, gpu, {{AttributeId::which, "maximum"}}), 16);
    EXPECT_EQ(value(MetricId::link_up, tile, {{AttributeId::link, "2"}, {AttributeId::link_kind, "xe_link"}}), 1);
    const double all = value(MetricId::link_io, gpu, {{AttributeId::link, "all"}, {AttributeId::direction, "receive"}});
    double sum = 0;
    for (const int part : {tile - 1, tile})
      for (const char* link : {"1", "2"})
        sum += value(MetricId::link_io, part, {{AttributeId::link, link}, {AttributeId::direction, "receive"}});
    EXPECT_NEAR(all, sum, 1);
    EXPECT_GT(all, 0);
    EXPECT_EQ(value(MetricId::hw_status, gpu, {{AttributeId::hw_state, "ok"}}), 1);
    EXPECT_EQ(value(MetricId::device_info, tile), 1);
    EXPECT_THAT(why_absent(MetricId::fan_speed, gpu), HasSubstr("no fan"));
    EXPECT_TRUE(calls->errors().empty());
  });
}

TEST_F(SimulatedLevelZero, ReadsAGamersBoard) {
  write_scenario("battlemage");
  set_name(5120, "llama-server");
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    ASSERT_EQ(catalog.devices.size(), 2u);
    poll_twice();
    const int gpu = device("0000:03:00.0");
    EXPECT_EQ(value(MetricId::fan_speed, gpu, {{AttributeId::fan, "1"}}) > 900, true);
    EXPECT_GT(value(MetricId::fan_speed_ratio, gpu, {{AttributeId::fan, "0"}}), 0.2);
    EXPECT_EQ(value(MetricId::clock_limit, gpu, {{AttributeId::clock_domain, "video"}}), 1.5e9);
    EXPECT_EQ(value(MetricId::process_count, gpu), 1);
    EXPECT_EQ(value(MetricId::process_memory, gpu,
                    {{AttributeId::process_pid, "5120"}, {AttributeId::process_name, "llama-server"}}),
              17600 * 1048576.0);
    EXPECT_EQ(value(MetricId::process_count, device("0000:07:00.0")), 0);
    EXPECT_GT(value(MetricId::gpu_io, gpu, {{AttributeId::io_direction, "receive"}}), 0);
    EXPECT_GT(value(MetricId::gpu_memory_bandwidth_utilization, gpu), 0.05);
    EXPECT_EQ(count(MetricId::pcie_replays, gpu), 0);
    EXPECT_THAT(why_absent(MetricId::pcie_replays, gpu), HasSubstr("replays"));
    EXPECT_THAT(why_absent(MetricId::link_io, gpu), HasSubstr("no links"));
    EXPECT_EQ(value(MetricId::power, gpu, {{AttributeId::power_scope, "package"}}) > 9, true);
    // A decoder and an encoder are the same engines here; they are counted once.
    EXPECT_GE(find(MetricId::gpu_utilization, gpu, {{AttributeId::gpu_task, "decoder"}}), 0);
    EXPECT_GE(find(MetricId::gpu_utilization, gpu, {{AttributeId::gpu_task, "encoder"}}), 0);
    EXPECT_GE(find(MetricId::gpu_engine_utilization, gpu, engine("media", "3")), 0);
    EXPECT_LT(find(MetricId::gpu_engine_utilization, gpu, engine("media", "4")), 0);
  });
}

TEST_F(SimulatedLevelZero, StartsByZesInitWhereTheLoaderHasIt) {
  loader = standin_loader();
  write_scenario("battlemage");
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    EXPECT_EQ(fact("started by"), "zesInit");
    EXPECT_EQ(::getenv("ZES_ENABLE_SYSMAN"), nullptr);
    poll_twice();
    EXPECT_GT(value(MetricId::power, 0, {{AttributeId::power_scope, "gpu"}}), 14);
    for (const CallStats& call : calls->calls()) EXPECT_TRUE(call.name != "zeInit" || call.calls == 0);
  });
}

TEST_F(SimulatedLevelZero, FallsBackWhereTheDriverHasNoZesInit) {
  loader = standin_loader();
  write_text(kIntelHead + intel_board("level_zero.legacy_only = true\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    EXPECT_THAT(fact("started by"), HasSubstr("older way"));
    EXPECT_STREQ(::getenv("ZES_ENABLE_SYSMAN"), "1");
  });
}

TEST_F(SimulatedLevelZero, DoesNotTryTheOldWayAfterAnotherError) {
  loader = standin_loader();
  write_text(kIntelHead + intel_board("[[fault]]\nvendor = \"intel\"\nkind = \"error\"\ncall = \"zesInit\"\n"
                                      "code = \"INSUFFICIENT_PERMISSIONS\"\n"));
  in_child([&] {
    ASSERT_FALSE(discover());
    EXPECT_EQ(error.code(), Code::no_permission);
    EXPECT_THAT(error.message(), HasSubstr("/dev/dri"));
    EXPECT_EQ(::getenv("ZES_ENABLE_SYSMAN"), nullptr);
  });
}

TEST_F(SimulatedLevelZero, IsAbsentWithoutDevices) {
  write_text(kIntelHead);
  in_child([&] {
    ASSERT_FALSE(discover());
    EXPECT_EQ(error.code(), Code::absent);
    EXPECT_THAT(error.message(), HasSubstr("finds no driver with a device"));
  });
}

TEST_F(SimulatedLevelZero, AdvisesNothingWhereNoIntelGpuIs) {
  sysfs = procfs_ + "/sys";
  std::filesystem::create_directories(sysfs + "/bus/pci/devices");
  write_text(kIntelHead);
  in_child([&] {
    ASSERT_FALSE(discover());
    EXPECT_EQ(error.code(), Code::absent);
    EXPECT_EQ(error.message(), "no Intel GPU is on the PCI bus");
  });
  loader = "libno_such_loader.so.1";
  in_child([&] {
    ASSERT_FALSE(discover());
    EXPECT_EQ(error.message(), "no Intel GPU is on the PCI bus");
  });
}

TEST_F(SimulatedLevelZero, IsAbsentWithoutALoader) {
  loader = "libno_such_loader.so.1";
  write_text(kIntelHead);
  in_child([&] {
    ASSERT_FALSE(discover());
    EXPECT_EQ(error.code(), Code::absent);
    EXPECT_THAT(error.message(), HasSubstr("libze1"));
  });
}

TEST_F(SimulatedLevelZero, RefusesALibraryThatIsNoLoader) {
  loader = "libm.so.6";
  write_text(kIntelHead);
  in_child([&] {
    ASSERT_FALSE(discover());
    EXPECT_EQ(error.code(), Code::invalid);
    EXPECT_THAT(error.message(), HasSubstr("is no Level Zero loader"));
  });
}

TEST_F(SimulatedLevelZero, ReadsDevicesOfTwoDrivers) {
  drivers = driver() + "," + second_driver();
  const std::string other =
      "[[intel]]\nname = \"Other\"\npci.addresses = [\"0000:51:00.0\"]\nmemory.total_mib = 100\n"
      "level_zero.driver = 1\n";
  write_text(kIntelHead + intel_board("engines.compute = 1\nutilization.compute = 40\n") + other);
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    EXPECT_EQ(fact("drivers"), "2");
    ASSERT_EQ(catalog.devices.size(), 2u);
    EXPECT_EQ(catalog.devices[0].id, "0000:4d:00.0");
    EXPECT_EQ(catalog.devices[1].id, "0000:51:00.0");
    EXPECT_EQ(catalog.devices[1].index, "1");
    poll_twice();
    EXPECT_NEAR(value(MetricId::gpu_utilization, 0, {general()}), 0.4, 0.01);
    EXPECT_EQ(value(MetricId::gpu_memory_limit, 1), 100 * 1048576.0);
  });
}

TEST_F(SimulatedLevelZero, ReadsADeviceOfTwoDriversOnce) {
  drivers = driver() + "," + second_driver();
  write_text(kIntelHead + intel_board("level_zero.driver = 2\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    ASSERT_EQ(catalog.devices.size(), 1u);
    EXPECT_EQ(catalog.devices[0].model, "Board");
    EXPECT_THAT(fact("left out"), HasSubstr("shown by two drivers"));
  });
}

}  // namespace
}  // namespace accelmon
