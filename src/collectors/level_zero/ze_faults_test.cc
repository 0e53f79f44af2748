// What real drivers do wrong, and what must come of it.
#include <gmock/gmock.h>

#include <cmath>

#include "base/valgrind_for_test.h"
#include "collectors/level_zero/ze_simulated.h"

namespace accelmon {
namespace {

using testing::HasSubstr;

std::string fault(const std::string& rest) {
  return "[[fault]]\nvendor = \"intel\"\n" + rest;
}

const std::string kEngines = "engines.compute = 4\nengines.copy = 1\n";
const std::string kPower = "power.card_w = 150\nenergy.base_j = 90000\npower.rated_w = 200\npower.sustained_w = 200\n";
constexpr double kMiB = 1048576;

TEST_F(SimulatedLevelZero, OneBusyEngineOfFourIsBusy) {
  write_text(kIntelHead + intel_board(kEngines + "[[intel.engine]]\nclass = \"compute\"\ninstance = 2\nbusy = 100\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll_twice();
    EXPECT_NEAR(value(MetricId::gpu_utilization, 0, {general()}), 1, 1e-3);
    EXPECT_NEAR(value(MetricId::gpu_engine_utilization, 0, engine("compute", "2")), 1, 1e-3);
    EXPECT_NEAR(value(MetricId::gpu_engine_utilization, 0, engine("compute", "0")), 0, 1e-3);
    // The driver's group is their mean: it stands beside them, without a number.
    bool group = false;
    for (size_t i = 0; i < catalog.series.size(); ++i) {
      const Series& series = catalog.series[i];
      if (series.metric != MetricId::gpu_engine_utilization || series.attributes.size() != 1) continue;
      if (series.attributes[0].value != "compute") continue;
      group = true;
      EXPECT_NEAR(frame.values[i], 0.25, 1e-3);
    }
    EXPECT_TRUE(group);
  });
}

// What the kernel says of the device's sleep; Sysman is asked nothing while it sleeps.
TEST_F(SimulatedLevelZero, ASleepingDeviceIsNotTouched) {
  sysfs = procfs_ + "/sys";
  const std::string power = sysfs + "/bus/pci/devices/0000:4d:00.0/power";
  std::filesystem::create_directories(power);
  const auto kernel_says = [&](const char* status) { std::ofstream(power + "/runtime_status") << status << "\n"; };
  const auto sysman_calls = [&] {
    uint64_t sum = 0;
    for (const CallStats& call : calls->calls())
      if (call.name.starts_with("zes")) sum += call.calls;
    return sum;
  };
  kernel_says("active");
  write_text(kIntelHead + intel_board("energy.base_j = 5\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll_twice();
    EXPECT_EQ(value(MetricId::gpu_asleep, 0), 0);
    EXPECT_EQ(state(MetricId::gpu_memory_limit, 0), State::ok);
    kernel_says("suspended");
    const uint64_t before = sysman_calls();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(poll(), PollResult::ok);
    EXPECT_EQ(sysman_calls(), before);
    EXPECT_EQ(value(MetricId::gpu_asleep, 0), 1);
    EXPECT_EQ(state(MetricId::gpu_memory_limit, 0), State::not_ready);
    EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "ok"}}), 1);
    kernel_says("active");
    // All tiers are due at once, also those that were not asked for.
    EXPECT_EQ(poll(1), PollResult::ok);
    EXPECT_EQ(value(MetricId::gpu_asleep, 0), 0);
    EXPECT_EQ(state(MetricId::gpu_memory_limit, 0), State::ok);
  });
}

TEST_F(SimulatedLevelZero, ADeviceThatSleepsFromTheStartIsAskedWhenItWakes) {
  sysfs = procfs_ + "/sys";
  const std::string power = sysfs + "/bus/pci/devices/0000:4d:00.0/power";
  std::filesystem::create_directories(power);
  std::ofstream(power + "/runtime_status") << "suspended\n";
  write_text(kIntelHead + intel_board());
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    EXPECT_EQ(poll(), PollResult::ok);
    EXPECT_EQ(value(MetricId::gpu_asleep, 0), 1);
    EXPECT_EQ(count(MetricId::gpu_memory_limit, 0), 0);
    EXPECT_NE(why_absent(MetricId::gpu_utilization, 0).find("is not woken"), std::string::npos);
    std::ofstream(power + "/runtime_status") << "active\n";
    EXPECT_EQ(poll(), PollResult::rediscover);
    ASSERT_TRUE(discover()) << error.message();
    poll();
    EXPECT_EQ(value(MetricId::gpu_asleep, 0), 0);
    EXPECT_EQ(state(MetricId::gpu_memory_limit, 0), State::ok);
  });
}

TEST_F(SimulatedLevelZero, FrozenTimestampsAreNoNumber) {
  write_text(kIntelHead + intel_board(kEngines + "utilization.compute = 40\nlevel_zero.frozen_engines = true\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll_twice();
    EXPECT_EQ(state(MetricId::gpu_utilization, 0, {general()}), State::not_ready);
    EXPECT_EQ(state(MetricId::gpu_engine_utilization, 0, engine("compute", "0")), State::not_ready);
    for (const double one : frame.values) EXPECT_TRUE(std::isfinite(one));
  });
}

TEST_F(SimulatedLevelZero, NothingInUseIsARefusal) {
  set_rights(0, 0);
  write_text(kIntelHead + intel_board("memory.base_mib = 100\nmay.perfmon = false\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll();
    EXPECT_EQ(value(MetricId::gpu_memory_limit, 0), 16384 * kMiB);
    EXPECT_EQ(count(MetricId::gpu_memory_usage, 0), 0);
    EXPECT_EQ(count(MetricId::gpu_memory_utilization, 0), 0);
    EXPECT_THAT(why_absent(MetricId::gpu_memory_usage, 0), HasSubstr("no_permission: "));
    EXPECT_THAT(why_absent(MetricId::gpu_memory_usage, 0), HasSubstr("CAP_PERFMON"));
  });
}

TEST_F(SimulatedLevelZero, MemoryOfSomebodyWhoMaySeeIt) {
  set_rights(uint64_t{1} << 38, 990);
  write_text(kIntelHead + intel_board("memory.used_mib = 0\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll();
    EXPECT_EQ(value(MetricId::gpu_memory_usage, 0), 0);
    EXPECT_EQ(count(MetricId::process_count, 0), 0);
    EXPECT_THAT(why_absent(MetricId::process_count, 0), HasSubstr("CAP_SYS_PTRACE"));
  });
}

TEST_F(SimulatedLevelZero, TheHostsMemoryIsNoGpuMemory) {
  write_text(kIntelHead + intel_board("integrated = true\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    EXPECT_EQ(count(MetricId::gpu_memory_limit, 0), 0);
    EXPECT_THAT(why_absent(MetricId::gpu_memory_usage, 0), HasSubstr("integrated"));
  });
}

TEST_F(SimulatedLevelZero, WithoutRootThereIsLittle) {
  set_rights(0, 1000);
  write_text(kIntelHead +
             intel_board(kEngines + kPower +
                         "temperature.gpu_c = 50\nmay.root = false\n"
                         "memory.base_mib = 10\nmemory.bandwidth = 1e11\nfrequency.gpu = { rp0_mhz = 2000 }\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll_twice();
    EXPECT_EQ(count(MetricId::gpu_utilization, 0), 0);
    EXPECT_THAT(why_absent(MetricId::gpu_utilization, 0), HasSubstr("no_permission: the driver shows engines to root"));
    EXPECT_EQ(count(MetricId::temperature, 0), 0);
    EXPECT_THAT(why_absent(MetricId::temperature, 0), HasSubstr("no_permission: "));
    EXPECT_THAT(why_absent(MetricId::gpu_memory_io, 0), HasSubstr("no_permission: "));
    EXPECT_NEAR(value(MetricId::power, 0, {{AttributeId::power_scope, "gpu"}}), 150, 2);
    EXPECT_EQ(value(MetricId::clock_frequency, 0, {{AttributeId::clock_domain, "graphics"}}), 2e9);
  });
}

TEST_F(SimulatedLevelZero, ADeniedCallHarmsNoOther) {
  write_text(kIntelHead + intel_board(kEngines + kPower + "temperature.gpu_c = 50\nutilization.compute = 40\n") +
             fault("kind = \"error\"\ncall = \"zesEngineGetActivity\"\ncode = \"INSUFFICIENT_PERMISSIONS\"\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll_twice();
    EXPECT_EQ(count(MetricId::gpu_engine_utilization, 0), 0);
    EXPECT_THAT(why_absent(MetricId::gpu_engine_utilization, 0), HasSubstr("ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS"));
    EXPECT_EQ(value(MetricId::temperature, 0, {location("gpu")}), 50);
    EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "ok"}}), 1);
    EXPECT_GT(calls->errors().at("ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS"), 0u);
  });
}

TEST_F(SimulatedLevelZero, AnErrorPassesWithItsCause) {
  const std::string board = kIntelHead + intel_board("temperature.gpu_c = 50\nfan.count = 1\nfan.rpm = 900\n");
  write_text(board);
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll();
    EXPECT_EQ(value(MetricId::temperature, 0, {location("gpu")}), 50);
    write_text(board + fault("kind = \"error\"\ncall = \"zesTemperature*\"\ncode = \"UNKNOWN\"\n"));
    EXPECT_EQ(poll(), PollResult::ok);
    EXPECT_EQ(state(MetricId::temperature, 0, {location("gpu")}), State::error);
    EXPECT_EQ(value(MetricId::fan_speed, 0, {{AttributeId::fan, "0"}}), 900);
    write_text(board);
    poll();
    EXPECT_EQ(value(MetricId::temperature, 0, {location("gpu")}), 50);
  });
}

TEST_F(SimulatedLevelZero, EnergyGoesOnOverTheEndOfItsCounter) {
  if (under_valgrind()) GTEST_SKIP() << "the counter has begun again before it is read";
  // 190 W from 300 J before the end: the counter begins again within two seconds.
  write_text(kIntelHead + intel_board("power.card_w = 190\nenergy.base_j = 261844\nenergy.modulus_j = 262144\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll();
    double last = value(MetricId::energy, 0);
    const double first = last;
    int samples = 0;
    for (int i = 0; i < 100 && last < first + 400; ++i) {
      pause();
      poll();
      const double joules = value(MetricId::energy, 0);
      EXPECT_GE(joules, last);
      last = joules;
      if (state(MetricId::power, 0) != State::ok) continue;
      ++samples;
      EXPECT_NEAR(value(MetricId::power, 0), 190, 20);
    }
    EXPECT_GT(samples, 5);
    EXPECT_GT(last, 262144);
    EXPECT_GT(last - first, 150);
  });
}

TEST_F(SimulatedLevelZero, AGlitchOfTheCounterIsNeverAMegawatt) {
  write_text(
      kIntelHead +
      intel_board(kPower + "energy.glitch = { kind = \"square\", low = 0, high = 1, period = 0.5, duty = 0.4 }\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    double last = 0;
    int samples = 0, refused = 0;
    for (int i = 0; i < 24; ++i) {
      poll();
      const double joules = value(MetricId::energy, 0);
      EXPECT_GE(joules, last);
      last = joules;
      if (state(MetricId::power, 0) == State::ok) {
        ++samples;
        EXPECT_LT(value(MetricId::power, 0), 600);
      } else {
        ++refused;
      }
      pause(100);
    }
    EXPECT_GT(samples, 0);
    EXPECT_GT(refused, 0);
  });
}

TEST_F(SimulatedLevelZero, ALostDeviceIsFailedAndComesBack) {
  const std::string boards = kIntelHead + intel_board(kEngines + kPower + "temperature.gpu_c = 50\n") +
                             "[[intel]]\nname = \"Other\"\npci.addresses = [\"0000:51:00.0\"]\nmemory.total_mib = 100\n"
                             "temperature.gpu_c = 40\n";
  write_text(boards);
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll_twice();
    write_text(boards + fault("kind = \"lost\"\ndevice = 0\n"));
    EXPECT_EQ(poll(), PollResult::rediscover);
    EXPECT_EQ(state(MetricId::temperature, 0, {location("gpu")}), State::error);
    EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "failed"}}), 1);
    EXPECT_EQ(value(MetricId::temperature, 1, {location("gpu")}), 40);
    EXPECT_EQ(value(MetricId::hw_status, 1, {{AttributeId::hw_state, "ok"}}), 1);
    EXPECT_EQ(events_with("device_lost"), 1);
    ASSERT_TRUE(discover());
    EXPECT_THAT(why_absent(MetricId::hw_status, 0), HasSubstr("DEVICE_LOST"));
    poll();
    poll(1);
    EXPECT_EQ(events_with("device_lost"), 1);
    EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "failed"}}), 1);
    write_text(boards);
    EXPECT_EQ(poll(), PollResult::rediscover);
    EXPECT_EQ(events_with("device_back"), 1);
    EXPECT_EQ(value(MetricId::temperature, 0, {location("gpu")}), 50);
    EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "ok"}}), 1);
  });
}

TEST_F(SimulatedLevelZero, ADeviceThatIsLostWhileItIsAskedIsAskedAgain) {
  const std::string board = kIntelHead + intel_board("temperature.gpu_c = 50\n");
  const std::string lost = fault("kind = \"error\"\ncall = \"zesDeviceEnumTemp*\"\ncode = \"DEVICE_LOST\"\n") +
                           fault("kind = \"error\"\ncall = \"zesDevicePciGetState\"\ncode = \"DEVICE_LOST\"\n");
  write_text(board + lost);
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    EXPECT_EQ(poll(), PollResult::ok);
    EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "failed"}}), 1);
    EXPECT_EQ(count(MetricId::temperature, 0), 0);
    write_text(board);
    EXPECT_EQ(poll(), PollResult::rediscover);
    ASSERT_TRUE(discover());
    poll();
    EXPECT_EQ(value(MetricId::temperature, 0, {location("gpu")}), 50);
  });
}

TEST_F(SimulatedLevelZero, AnUnloadedDriverEndsTheProcess) {
  const std::string board = kIntelHead + intel_board("temperature.gpu_c = 50\n");
  write_text(board);
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll();
    write_text(board + fault("kind = \"driver_unloaded\"\n"));
    EXPECT_EQ(poll(), PollResult::lost);
  });
}

TEST_F(SimulatedLevelZero, GarbageIsNoNumber) {
  write_scenario("battlemage", fault("kind = \"garbage\"\ncall = \"zes*\"\nseed = 3\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    for (int i = 0; i < 20; ++i) {
      poll();
      for (size_t s = 0; s < frame.values.size(); ++s) {
        if (frame.states[s] != State::ok) continue;
        EXPECT_TRUE(std::isfinite(frame.values[s])) << info(catalog.series[s].metric).name;
        EXPECT_TRUE(catalog.series[s].metric != MetricId::power || frame.values[s] <= 600);
      }
      pause(20);
    }
  });
}

TEST_F(SimulatedLevelZero, CountersThatRunBackwardsGiveNoRates) {
  const std::string board = kIntelHead + intel_board(kEngines + kPower + "utilization.compute = 40\n");
  write_text(board);
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll_twice();
    const double joules = value(MetricId::energy, 0);
    write_text(board + fault("kind = \"backwards\"\nfrom = 0.05\n"));
    for (int i = 0; i < 4; ++i) {
      poll();
      EXPECT_GE(value(MetricId::energy, 0), joules);
      EXPECT_TRUE(state(MetricId::power, 0) != State::ok || value(MetricId::power, 0) < 600);
      pause();
    }
  });
}

TEST_F(SimulatedLevelZero, MoreProcessesThanThereWasRoomFor) {
  std::string many;
  for (int i = 0; i < 200; ++i)
    many +=
        "[[intel.process]]\npid = " + std::to_string(100000 + i) + "\nmemory_mib = " + std::to_string(10 + i) + "\n";
  const std::string one = "[[intel.process]]\npid = 99999\nmemory_mib = 5\n";
  write_text(kIntelHead + intel_board(one));
  set_name(99999, "first");
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    EXPECT_EQ(poll(), PollResult::ok);
    EXPECT_EQ(value(MetricId::process_count, 0), 1);
    EXPECT_EQ(value(MetricId::process_memory, 0, {{AttributeId::process_name, "first"}}), 5 * kMiB);
    write_text(kIntelHead + intel_board(many));
    EXPECT_EQ(poll(), PollResult::rediscover);
    ASSERT_TRUE(discover());
    poll();
    EXPECT_EQ(value(MetricId::process_count, 0), 200);
    EXPECT_EQ(count(MetricId::process_memory, 0), 64);
    EXPECT_EQ(value(MetricId::process_memory, 0, {{AttributeId::process_pid, "100199"}}), 209 * kMiB);
  });
}

TEST_F(SimulatedLevelZero, AListThatGrewTooLongIsReadTheNextTime) {
  write_text(kIntelHead + intel_board("[[intel.process]]\npid = 99999\nmemory_mib = 5\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll();
    write_text(kIntelHead + intel_board("[[intel.process]]\npid = 99999\nmemory_mib = 5\n") +
               fault("kind = \"error\"\ncall = \"zesDeviceProcessesGetState\"\ncode = \"INVALID_SIZE\"\n"));
    EXPECT_EQ(poll(), PollResult::ok);
    EXPECT_EQ(state(MetricId::process_count, 0), State::not_ready);
  });
}

TEST_F(SimulatedLevelZero, TheOldKernelDriverHasNoListOfProcesses) {
  write_text(
      "[scenario]\nname = \"t\"\n[[intel]]\nname = \"Arc A770\"\ndriver = \"i915\"\nmemory.total_mib = 16000\n"
      "memory.base_mib = 3\nengines.render = 1\nutilization.render = 30\nlevel_zero.unsupported = "
      "[\"zesMemoryGetBandwidth\", \"zesDeviceGetState\"]\n");
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll_twice();
    EXPECT_THAT(why_absent(MetricId::process_count, 0), HasSubstr("i915"));
    EXPECT_NEAR(value(MetricId::gpu_utilization, 0, {general()}), 0.3, 0.01);
    EXPECT_EQ(count(MetricId::gpu_engine_utilization, 0), 1);  // no groups
    EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "ok"}}), 1);
  });
}

TEST_F(SimulatedLevelZero, ThrottlingHasItsReasons) {
  write_text(kIntelHead +
             intel_board("frequency.gpu = { rp0_mhz = 2000, busy_mhz = 2000 }\nwedged = 0\nmemory.health = 2\n"
                         "throttle = [{ reason = \"thermal\", active = 1, clock_share = 0.5 }, "
                         "{ reason = \"power_burst\", active = 1 }, { reason = \"current\", active = 0 }]\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll();
    const auto active = [&](const char* reason) {
      return value(MetricId::throttle_active, 0, {{AttributeId::reason, reason}});
    };
    EXPECT_EQ(active("thermal_hardware"), 1);
    EXPECT_EQ(active("power_cap"), 1);
    EXPECT_EQ(active("current"), 0);
    EXPECT_EQ(active("other"), 0);
    EXPECT_EQ(value(MetricId::clock_frequency, 0, {{AttributeId::clock_domain, "graphics"}}), 1e9);
    EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "degraded"}}), 1);
  });
}

TEST_F(SimulatedLevelZero, AWedgedDeviceHasFailed) {
  write_text(kIntelHead + intel_board("wedged = 1\n"));
  in_child([&] {
    ASSERT_TRUE(discover()) << error.message();
    poll();
    EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "failed"}}), 1);
  });
}

TEST_F(SimulatedLevelZero, TheWatcherSeesWhereItHangs) {
  const std::string board = kIntelHead + intel_board("temperature.gpu_c = 50\n");
  write_text(board);
  in_child([&] {
    Heartbeat heartbeat;
    make_collector(&heartbeat);
    ASSERT_TRUE(discover()) << error.message();
    write_text(board + fault("kind = \"hang\"\ncall = \"zesTemperatureGetState\"\n"));
    std::thread poller([&] { poll(); });
    std::string seen;
    for (int i = 0; i < 500 && seen != "zesTemperatureGetState"; ++i) {
      pause(10);
      seen = heartbeat.current_call();
    }
    EXPECT_EQ(seen, "zesTemperatureGetState");
    write_text(board);
    poller.join();
    EXPECT_EQ(value(MetricId::temperature, 0, {location("gpu")}), 50);
  });
}

}  // namespace
}  // namespace accelmon
