// The collector against the simulated library, in this process: what it discovers and reads of healthy machines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/instrumented.h"
#include "collectors/nvml/nvml_simulated.h"

namespace accelmon {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr double kMiB = 1048576;

TEST_F(Simulated, EightH100AreReadWhole) {
  ASSERT_TRUE(start("h100x8"));
  ASSERT_EQ(catalog.devices.size(), 8u);
  for (size_t i = 0; i < 8; ++i) {
    const Device& device = catalog.devices[i];
    EXPECT_EQ(device.type, DeviceType::gpu);
    EXPECT_EQ(device.index, std::to_string(i));
    EXPECT_THAT(device.id, testing::StartsWith("GPU-"));
    EXPECT_EQ(device.vendor, "nvidia");
    EXPECT_EQ(device.model, "NVIDIA H100 80GB HBM3");
    EXPECT_EQ(device.parent, -1);
  }
  EXPECT_EQ(info_of(0, AttributeId::pci_address), "0000:1b:00.0");
  EXPECT_EQ(info_of(0, AttributeId::hw_driver_version), "590.48.01");
  EXPECT_EQ(info_of(0, AttributeId::library_version), "13.590.48.01");
  EXPECT_EQ(info_of(0, AttributeId::cuda_version), "13.1");
  EXPECT_EQ(info_of(0, AttributeId::architecture), "Hopper");
  EXPECT_EQ(info_of(0, AttributeId::hw_serial_number), "1654323000101");
  EXPECT_EQ(info_of(7, AttributeId::hw_serial_number), "1654323000108");

  poll_twice();
  // Nothing of a healthy machine is left without a value.
  for (size_t i = 0; i < catalog.series.size(); ++i)
    EXPECT_EQ(frame.states[i], State::ok) << series_key(catalog, catalog.series[i]);

  EXPECT_EQ(value(MetricId::gpu_memory_limit, 0), 81559 * kMiB);
  EXPECT_EQ(value(MetricId::gpu_memory_reserved, 0), 479 * kMiB);
  EXPECT_EQ(value(MetricId::gpu_memory_usage, 0), (20 + 71240) * kMiB);
  EXPECT_EQ(value(MetricId::gpu_memory_free, 0), (81559 - 479 - 20 - 71240) * kMiB);
  EXPECT_DOUBLE_EQ(value(MetricId::gpu_memory_utilization, 0), (479 + 20 + 71240) / 81559.0);
  EXPECT_EQ(value(MetricId::gpu_utilization, 6, {{AttributeId::gpu_task, "general"}}), 0);
  EXPECT_EQ(value(MetricId::power_limit, 0, {{AttributeId::limit, "enforced"}}), 700);
  EXPECT_EQ(value(MetricId::power_limit, 0, {{AttributeId::limit, "minimum"}}), 200);
  EXPECT_EQ(value(MetricId::clock_limit, 0, {{AttributeId::clock_domain, "graphics"}}), 1980e6);
  EXPECT_EQ(value(MetricId::clock_limit, 0, {{AttributeId::clock_domain, "memory"}}), 2619e6);
  EXPECT_EQ(value(MetricId::pcie_generation, 0, {{AttributeId::which, "maximum"}}), 5);
  EXPECT_EQ(value(MetricId::pcie_width, 0, {{AttributeId::which, "current"}}), 16);
  EXPECT_EQ(value(MetricId::pcie_replays, 0), 9);
  EXPECT_EQ(value(MetricId::pcie_errors, 0, {{AttributeId::error_type, "replay_rollover"}}), 0);
  EXPECT_GE(value(MetricId::energy, 0), 41250000);
  EXPECT_LT(value(MetricId::energy, 0), 41350000);
  EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "ok"}}), 1);
  EXPECT_EQ(value(MetricId::device_info, 3), 1);
  EXPECT_EQ(count(MetricId::link_io, 0), 36);
  EXPECT_EQ(count(MetricId::link_io, 0, {{AttributeId::link, "all"}}), 0) << "a sum beside its parts counts twice";
  EXPECT_EQ(count(MetricId::link_errors, 0), 54);
  EXPECT_EQ(count(MetricId::throttle_active, 0), 9);
  const double tensor = value(MetricId::gpu_pipe_activity, 2, {{AttributeId::pipe, "tensor"}});
  EXPECT_GT(tensor, 0.05);  // 7 % of a utilization between 84 and 100 %
  EXPECT_LT(tensor, 0.071);

  EXPECT_EQ(value(MetricId::process_count, 0, {{AttributeId::process_kind, "compute"}}), 1);
  EXPECT_EQ(value(MetricId::process_memory, 0,
                  {{AttributeId::process_pid, "41201"},
                   {AttributeId::process_name, "python3"},
                   {AttributeId::process_kind, "compute"}}),
            71240 * kMiB);

  EXPECT_THAT(why_absent(MetricId::fan_speed_ratio, 0), HasSubstr("no fan"));
  EXPECT_THAT(why_absent(MetricId::temperature_limit, 0), HasSubstr("margin"));
  EXPECT_EQ(count(MetricId::temperature_limit, 0), 0) << "margins are no temperatures";
  EXPECT_EQ(fact("driver version"), "590.48.01");
  EXPECT_EQ(fact("library"), library_path());
  EXPECT_EQ(fact("performance monitoring (GPM)"), "8 of 8 devices and partitions");
  EXPECT_TRUE(calls->errors().empty()) << "what a healthy board cannot do is no error";
}

TEST_F(Simulated, FirstPollHasNoPerformanceCountersYet) {
  ManualClock clock;
  make_collector(nullptr, clock);
  ASSERT_TRUE(start("h100x8"));
  clock.advance(100 * kMillisecond);  // too early for another sample
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(state(MetricId::gpu_sm_activity, 0), State::not_ready);
  EXPECT_EQ(state(MetricId::gpu_utilization, 0), State::ok);
  pause();
  clock.advance(100 * kMillisecond);
  poll();
  EXPECT_EQ(state(MetricId::gpu_sm_activity, 0), State::ok);
  // A poll that follows at once repeats what there is.
  const double before = value(MetricId::gpu_sm_activity, 0);
  poll();
  EXPECT_EQ(value(MetricId::gpu_sm_activity, 0), before);
  collector.reset();  // before its clock
}

TEST_F(Simulated, TiersLeaveOthersAlone) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  const int fast = find(MetricId::gpu_memory_limit, 0);
  const int slow = find(MetricId::pcie_replays, 0);
  const int rare = find(MetricId::power_limit, 0);
  for (const int i : {fast, slow, rare}) frame.values[static_cast<size_t>(i)] = -1;
  poll(1u << static_cast<unsigned>(Tier::fast));
  EXPECT_NE(frame.values[static_cast<size_t>(fast)], -1);
  EXPECT_EQ(frame.values[static_cast<size_t>(slow)], -1);
  EXPECT_EQ(frame.values[static_cast<size_t>(rare)], -1);
  poll(1u << static_cast<unsigned>(Tier::fast) | 1u << static_cast<unsigned>(Tier::slow));
  EXPECT_NE(frame.values[static_cast<size_t>(slow)], -1);
  EXPECT_EQ(frame.values[static_cast<size_t>(rare)], -1);
}

TEST_F(Simulated, SeriesCarryTheirTier) {
  ASSERT_TRUE(start("h100x8"));
  for (const Series& series : catalog.series) {
    if (series.metric == MetricId::gpu_utilization || series.metric == MetricId::energy) {
      EXPECT_EQ(series.tier, Tier::fast);
    }
    if (series.metric == MetricId::process_memory || series.metric == MetricId::errors ||
        series.metric == MetricId::gpu_graphics_activity) {
      EXPECT_EQ(series.tier, Tier::slow);
    }
    if (series.metric == MetricId::power_limit || series.metric == MetricId::pcie_width) {
      EXPECT_EQ(series.tier, Tier::rare);
    }
  }
}

TEST_F(Simulated, CountersNeverFall) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  const std::vector<double> before = frame.values;
  pause();
  poll();
  for (size_t i = 0; i < catalog.series.size(); ++i) {
    if (info(catalog.series[i].metric).kind != Kind::counter) continue;
    EXPECT_GE(frame.values[i], before[i]) << series_key(catalog, catalog.series[i]);
  }
}

TEST_F(Simulated, NeverAsksForPcieThroughput) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  for (const CallStats& call : calls->calls()) EXPECT_THAT(call.name, Not(HasSubstr("PcieThroughput")));
}

// A board of no maker's catalogue, its link busy with 9e9 bytes a second to it and 1e9 from it.
std::string busy_link(const std::string& architecture, int generation, const std::string& more) {
  return "[scenario]\nname = \"link\"\ndriver_version = \"590.48.01\"\ncuda_version = \"13.1\"\n"
         "[[device]]\nname = \"NVIDIA Test\"\narchitecture = \"" +
         architecture +
         "\"\nmemory.total_mib = 1000\npower.limit_w = 100\npci.generation = " + std::to_string(generation) +
         "\npci.width = 16\npcie.rx = 9e9\npcie.tx = 1e9\npcie.counters = true\n" + more;
}

TEST_F(Simulated, BytesOfTheLinkAreSummedFromPerformanceCounters) {
  ManualClock clock;
  make_collector(nullptr, clock);
  write_text(busy_link("hopper", 5, "gpm.sm = 50\ngpm.graphics = 60\n"));
  ASSERT_TRUE(discover());
  const std::vector<Attribute> receive{{AttributeId::io_direction, "receive"}};
  EXPECT_EQ(count(MetricId::gpu_io, 0), 2);
  const auto second_later = [&] {
    pause();
    clock.advance(kSecond);
    poll();
  };
  second_later();
  // The mean rate between two samples, times what our clock says lay between them.
  EXPECT_NEAR(value(MetricId::gpu_io, 0, receive), 9e9, 1);
  EXPECT_NEAR(value(MetricId::gpu_io, 0, {{AttributeId::io_direction, "transmit"}}), 1e9, 1);
  EXPECT_NEAR(value(MetricId::gpu_graphics_activity, 0), 0.6, 1e-9);
  second_later();
  EXPECT_NEAR(value(MetricId::gpu_io, 0, receive), 18e9, 1);
  collector.reset();  // before its clock
}

TEST_F(Simulated, BytesOfTheLinkOutliveLostSamplesAndOtherProcesses) {
  ManualClock clock;
  make_collector(nullptr, clock);
  const std::string board = busy_link("hopper", 5, "gpm.sm = 50\n");
  write_text(board);
  ASSERT_TRUE(discover());
  const std::vector<Attribute> receive{{AttributeId::io_direction, "receive"}};
  const auto second_later = [&] {
    pause();
    clock.advance(kSecond);
    return poll();
  };
  second_later();
  ASSERT_NEAR(value(MetricId::gpu_io, 0, receive), 9e9, 1);
  write_text(board + "[[fault]]\nkind = \"error\"\ncall = \"nvmlGpmSampleGet\"\ncode = \"UNKNOWN\"\n");
  second_later();
  EXPECT_EQ(state(MetricId::gpu_io, 0, receive), State::error);
  // A process comes, and with it another catalog.
  write_text(board + "[[process]]\ndevice = 0\npid = 77\nmemory_mib = 10\n");
  ASSERT_EQ(second_later(), PollResult::rediscover);
  ASSERT_TRUE(discover());
  EXPECT_EQ(count(MetricId::process_memory, 0), 1);
  second_later();
  EXPECT_NEAR(value(MetricId::gpu_io, 0, receive), 4 * 9e9, 4) << "the second that was missed is in the next one";
  collector.reset();
}

TEST_F(Simulated, NarrowCountersOfTheLinkNeedAnIntervalInWhichTheyCannotFill) {
  const std::string board = busy_link("ampere", 4, "pcie.counter_bits = 32\n");
  write_text(board);
  ASSERT_TRUE(discover());
  EXPECT_EQ(count(MetricId::gpu_io, 0), 0);
  EXPECT_THAT(why_absent(MetricId::gpu_io, 0), HasSubstr("32 bits, which this link can fill in 0.14 s"));

  make_collector(nullptr, real_clock(), "true", 50 * kMillisecond);
  ASSERT_TRUE(discover());
  const std::vector<Attribute> receive{{AttributeId::io_direction, "receive"}};
  const auto began = std::chrono::steady_clock::now();
  poll();
  const double first = value(MetricId::gpu_io, 0, receive);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    poll(1);
    if (frame.states[static_cast<size_t>(find(MetricId::gpu_io, 0, receive))] != State::ok)
      GTEST_SKIP() << "a busy machine";
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  const double bytes = value(MetricId::gpu_io, 0, receive) - first;
  EXPECT_GT(bytes, 2 * 4294967296.0) << "it has wrapped twice";
  EXPECT_LT(bytes, 9e9 * took.count() * 1.01);
}

TEST_F(Simulated, WhatTheDriverTakesLongForWaitsForTheSlowTier) {
  ASSERT_TRUE(
      start("h100x8", "[[fault]]\nkind = \"slow\"\nmilliseconds = 1\ncall = \"nvmlDeviceGetMarginTemperature\"\n"));
  const int margin = find(MetricId::temperature_margin, 0, {{AttributeId::sensor_location, "gpu"}});
  ASSERT_GE(margin, 0);
  EXPECT_EQ(catalog.series[static_cast<size_t>(margin)].tier, Tier::slow);
  EXPECT_THAT(fact("slow: accelmon.temperature.margin"), HasSubstr("ms a reading: read with the slow tier"));
}

TEST_F(Simulated, RediscoveryAsksNothingTwice) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  const uint64_t before = vendor_calls();
  const auto again = collector->discover();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->series, catalog.series);
  EXPECT_EQ(vendor_calls(), before) << "everything is known";
}

TEST_F(Simulated, OldT4) {
  ASSERT_TRUE(start("t4"));
  poll_twice();
  EXPECT_EQ(info_of(0, AttributeId::architecture), "Turing");
  EXPECT_THAT(why_absent(MetricId::gpu_sm_activity, 0), HasSubstr("Hopper"));
  EXPECT_THAT(why_absent(MetricId::memory_rows, 0), HasSubstr("Ampere"));
  EXPECT_THAT(why_absent(MetricId::gpu_engine_utilization, 0), HasSubstr("too old"));
  EXPECT_EQ(count(MetricId::memory_pages, 0), 3);
  EXPECT_EQ(count(MetricId::gpu_io, 0), 0);
  EXPECT_EQ(count(MetricId::mig_enabled, 0), 0);
  // Its only reading of power, which is no average before Ampere.
  EXPECT_EQ(count(MetricId::power, 0), 1);
  EXPECT_EQ(state(MetricId::power, 0, {{AttributeId::power_scope, "gpu"}, {AttributeId::power_reading, "instant"}}),
            State::ok);
  const double slowdown = value(MetricId::temperature_limit, 0, {{AttributeId::limit_type, "high.degraded"}});
  EXPECT_EQ(slowdown, 93);
  EXPECT_EQ(value(MetricId::temperature_limit, 0, {{AttributeId::limit_type, "high.critical"}}), 96);
  EXPECT_EQ(value(MetricId::temperature_margin, 0), slowdown - value(MetricId::temperature, 0));
}

TEST_F(Simulated, Rtx4090) {
  ASSERT_TRUE(start("rtx4090"));
  poll_twice();
  EXPECT_EQ(count(MetricId::fan_speed_ratio, 0), 2);
  EXPECT_EQ(count(MetricId::fan_speed, 0), 2);
  EXPECT_EQ(count(MetricId::errors, 0), 0);
  EXPECT_THAT(why_absent(MetricId::errors, 0), HasSubstr("no error correction"));
  EXPECT_THAT(why_absent(MetricId::link_io, 0), HasSubstr("no NVLink"));
  EXPECT_GE(value(MetricId::process_count, 0, {{AttributeId::process_kind, "graphics"}}), 1);
  EXPECT_GE(count(MetricId::process_memory, 0, {{AttributeId::process_kind, "graphics"}}), 1);
  EXPECT_EQ(info_of(0, AttributeId::hw_serial_number), "") << "a board without one does not get an empty label";
}

TEST_F(Simulated, PartitionsOfAnH100) {
  ASSERT_TRUE(start("h100-mig"));
  poll_twice();
  ASSERT_EQ(catalog.devices.size(), 5u);
  EXPECT_EQ(value(MetricId::mig_enabled, 0, {{AttributeId::which, "current"}}), 1);
  EXPECT_EQ(count(MetricId::gpu_utilization, 0), 0);
  EXPECT_THAT(why_absent(MetricId::gpu_utilization, 0), HasSubstr("MIG"));
  EXPECT_EQ(count(MetricId::process_memory, 0), 0) << "processes belong to the partitions";
  for (int part = 1; part <= 4; ++part) {
    const Device& device = catalog.devices[static_cast<size_t>(part)];
    EXPECT_EQ(device.type, DeviceType::gpu_partition);
    EXPECT_EQ(device.parent, 0);
    EXPECT_THAT(device.id, testing::StartsWith("MIG-"));
    EXPECT_EQ(device.index, "0:" + std::to_string(part - 1));
    EXPECT_EQ(state(MetricId::gpu_memory_usage, part), State::ok);
    EXPECT_EQ(state(MetricId::gpu_sm_activity, part), State::ok);
    EXPECT_EQ(state(MetricId::process_count, part), State::ok);
    EXPECT_EQ(value(MetricId::hw_status, part, {{AttributeId::hw_state, "ok"}}), 1);
    EXPECT_THAT(why_absent(MetricId::gpu_utilization, part), HasSubstr("sm.activity"));
    EXPECT_THAT(why_absent(MetricId::power, part), HasSubstr("parent"));
  }
  EXPECT_EQ(info_of(1, AttributeId::partition_profile), "3g.40gb");
  EXPECT_NE(info_of(1, AttributeId::partition_id), "");
  EXPECT_NE(info_of(1, AttributeId::partition_id), info_of(2, AttributeId::partition_id));
  EXPECT_EQ(value(MetricId::process_count, 1, {{AttributeId::process_kind, "compute"}}), 3);
  EXPECT_EQ(count(MetricId::process_memory, 1), 3);
  EXPECT_EQ(fact("performance monitoring (GPM)"), "4 of 5 devices and partitions");
}

// Driver 535.54: the _v3 lists have entries of another size, and there is no better list.
TEST_F(Simulated, ProcessListsWithEntriesOfAnotherSize) {
  ASSERT_TRUE(start("a100x4",
                    "\n[[process]]\npid = 30190\nname = \"/usr/bin/second\"\ndevice = 0\nmemory_mib = 3000\n"
                    "\n[[process]]\npid = 30191\nname = \"/usr/bin/third\"\ndevice = 0\nmemory_mib = 1000\n"));
  poll_twice();
  EXPECT_EQ(value(MetricId::process_count, 0, {{AttributeId::process_kind, "compute"}}), 3);
  EXPECT_EQ(value(MetricId::process_memory, 0, {{AttributeId::process_pid, "30190"}}), 3000 * kMiB);
  EXPECT_EQ(value(MetricId::process_memory, 0, {{AttributeId::process_pid, "30191"}}), 1000 * kMiB);
  EXPECT_EQ(count(MetricId::power, 0, {{AttributeId::power_reading, "average"}}), 0) << "GA100 has no average";
}

TEST_F(Simulated, MissingSymbolsAreNamedInTheFacts) {
  ASSERT_TRUE(start("h100x8"));
  EXPECT_EQ(fact("missing symbols"), "");
}

TEST_F(Simulated, ReleaseUnloadsTheLibrary) {
  ASSERT_TRUE(start("h100x8"));
  poll_twice();
  EXPECT_TRUE(is_mapped());
  collector->release();
  EXPECT_FALSE(is_mapped()) << "a driver cannot be replaced while its library is held";
#ifdef ACCELMON_THREAD_SANITIZER
  constexpr int kLeft = 2;
#else
  constexpr int kLeft = 1;
#endif
  EXPECT_EQ(threads(), kLeft) << "the thread that waits for events has ended";
  EXPECT_EQ(poll(), PollResult::lost);
  const auto again = collector->discover();
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->devices, catalog.devices);
}

}  // namespace
}  // namespace accelmon
