// The collector under the simulated kernel: faults and devices that change while it reads.
//
// The kernel's library has to be there when a process starts, so each test of Amdgpu* runs in a process of its own,
// that UnderTheSimulatedKernel starts; run directly they are skipped.
#include <gtest/gtest.h>

#include "collectors/amdgpu/amdgpu_simulated.h"

namespace accelmon::amdgpu {
namespace {

namespace fs = std::filesystem;

// Everything constant, so that what is read is known.
const std::string kRadeon = R"([[amd]]
name = "Radeon"
vbios = "113-X"
unique_id = 0x2af17d39c0185500
metrics = "1.3"
gfx_version = 110000
compute_units = 96
display = true
pci = { addresses = ["0000:03:00.0"], device_id = 0x744c, generation = 4, width = 16 }
pcie.replays = 3
memory = { total_mib = 24000, visible_mib = 256, gtt_mib = 32000, base_mib = 1000, gtt_used_mib = 110 }
utilization = { gpu = 40, memory = 20, vcn = 10 }
power = { draw_w = 200, cap_w = 339, default_w = 330, min_w = 300, max_w = 390 }
clock.graphics = { max_mhz = 3200, busy_mhz = 2400 }
clock.memory = { max_mhz = 1249 }
fan = { count = 1, max_rpm = 3000, percent = 50 }
voltage = { gfx = 0.9, soc = 0.8 }
temperature = { edge_c = 50, edge_critical_c = 100, edge_emergency_c = 105, junction_c = 60, junction_critical_c = 110, memory_c = 70 }
bad_pages = 2
ras = [{ block = "umc", corrected = 4, uncorrected = 1, deferred = 2 }]
throttle = [{ reason = "power_cap", active = 1 }, { reason = "prochot", active = 0 }]
[[amd.process]]
pid = 3310
name = "ollama"
memory_mib = 9000
occupancy = 50
[[amd.process]]
pid = 2201
name = "shell"
rocm = false
memory_mib = 400
)";

const Attribute kEdge{AttributeId::sensor_location, "gpu"};

TEST_F(AmdgpuSimulated, ReadsWhatABoardTells) {
  machine(kRadeon);
  settle();
  ASSERT_EQ(catalog.devices.size(), 1u);
  EXPECT_EQ(catalog.devices[0].id, "amd-2af17d39c0185500");
  EXPECT_EQ(catalog.devices[0].index, "0");
  EXPECT_EQ(catalog.devices[0].model, "Radeon");
  const auto& info = catalog.devices[0].info;
  EXPECT_NE(std::find(info.begin(), info.end(), Attribute{AttributeId::pci_address, "0000:03:00.0"}), info.end());
  EXPECT_NE(std::find(info.begin(), info.end(), Attribute{AttributeId::architecture, "gfx1100"}), info.end());

  constexpr double kMiB = 1048576;
  EXPECT_DOUBLE_EQ(value(MetricId::gpu_utilization, 0, {{AttributeId::gpu_task, "general"}}), 0.4);
  EXPECT_DOUBLE_EQ(value(MetricId::gpu_memory_controller_utilization, 0), 0.2);
  EXPECT_DOUBLE_EQ(value(MetricId::gpu_engine_utilization, 0, {{AttributeId::engine, "media"}}), 0.1);
  EXPECT_EQ(value(MetricId::gpu_memory_limit, 0), 24000 * kMiB);
  EXPECT_EQ(value(MetricId::gpu_memory_usage, 0), 10400 * kMiB);
  EXPECT_EQ(value(MetricId::gpu_memory_free, 0), 13600 * kMiB);
  EXPECT_DOUBLE_EQ(value(MetricId::gpu_memory_utilization, 0), 10400.0 / 24000);
  EXPECT_EQ(value(MetricId::gpu_bar_limit, 0), 256 * kMiB);
  EXPECT_EQ(value(MetricId::gpu_gtt_usage, 0), 110 * kMiB);
  EXPECT_EQ(value(MetricId::temperature, 0, {kEdge}), 50);
  EXPECT_EQ(value(MetricId::temperature_margin, 0, {kEdge}), 50);
  EXPECT_EQ(value(MetricId::temperature_limit, 0, {kEdge, {AttributeId::limit_type, "high.critical"}}), 105);
  EXPECT_EQ(value(MetricId::temperature, 0, {{AttributeId::sensor_location, "hotspot"}}), 60);
  EXPECT_EQ(value(MetricId::power, 0, {{AttributeId::power_reading, "average"}}), 200);
  EXPECT_EQ(value(MetricId::power_limit, 0, {{AttributeId::limit, "enforced"}}), 339);
  EXPECT_EQ(value(MetricId::power_limit, 0, {{AttributeId::limit, "maximum"}}), 390);
  EXPECT_TRUE(is_absent(MetricId::energy, 0));
  // Held down by its power cap to its whole maximum: clock_share is 1.
  EXPECT_EQ(value(MetricId::clock_frequency, 0, {{AttributeId::clock_domain, "graphics"}}), 2.4e9);
  EXPECT_EQ(value(MetricId::clock_limit, 0, {{AttributeId::clock_domain, "graphics"}}), 3.2e9);
  EXPECT_EQ(value(MetricId::fan_speed, 0), 1500);
  EXPECT_NEAR(value(MetricId::fan_speed_ratio, 0), 0.5, 0.003);
  EXPECT_DOUBLE_EQ(value(MetricId::voltage, 0, {{AttributeId::sensor_location, "graphics"}}), 0.9);
  EXPECT_EQ(value(MetricId::pcie_generation, 0, {{AttributeId::which, "current"}}), 4);
  EXPECT_EQ(value(MetricId::pcie_width, 0, {{AttributeId::which, "maximum"}}), 16);
  EXPECT_EQ(value(MetricId::pcie_replays, 0), 3);
  EXPECT_EQ(value(MetricId::errors, 0, {{AttributeId::error_type, "corrected"}}), 4);
  EXPECT_EQ(value(MetricId::errors, 0, {{AttributeId::error_type, "uncorrected"}}), 1);
  EXPECT_EQ(value(MetricId::errors, 0, {{AttributeId::error_type, "deferred"}}), 2);
  EXPECT_EQ(value(MetricId::memory_pages, 0, {{AttributeId::row_state, "retired"}}), 2);
  EXPECT_EQ(value(MetricId::throttle_active, 0, {{AttributeId::reason, "power_cap"}}), 1);
  EXPECT_EQ(value(MetricId::throttle_active, 0, {{AttributeId::reason, "thermal_hardware"}}), 0);
  EXPECT_EQ(value(MetricId::gpu_asleep, 0), 0);
  EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "ok"}}), 1);

  const std::vector<Attribute> ollama{{AttributeId::process_pid, "3310"}, {AttributeId::process_name, "ollama"}};
  EXPECT_EQ(value(MetricId::process_memory, 0, ollama), 9000 * kMiB);
  EXPECT_DOUBLE_EQ(value(MetricId::process_occupancy, 0, ollama), 0.5);
  EXPECT_EQ(value(MetricId::process_memory, 0,
                  {{AttributeId::process_pid, "2201"},
                   {AttributeId::process_name, "shell"},
                   {AttributeId::process_kind, "graphics"}}),
            400 * kMiB);
  EXPECT_EQ(value(MetricId::process_count, 0, {{AttributeId::process_kind, "compute"}}), 1);
  EXPECT_EQ(value(MetricId::process_count, 0, {{AttributeId::process_kind, "graphics"}}), 1);
  EXPECT_EQ(calls_of("pcie_bw"), 0u);
}

TEST_F(AmdgpuSimulated, TellsErrnosApart) {
  machine(kRadeon);
  write("[[fault]]\nvendor = \"amd\"\nkind = \"error\"\ncode = \"EOPNOTSUPP\"\nfile = \"mem_busy_percent\"\n");
  settle();
  // gpu_metrics has it too.
  EXPECT_DOUBLE_EQ(value(MetricId::gpu_memory_controller_utilization, 0), 0.2);
  write(
      "[[fault]]\nvendor = \"amd\"\nkind = \"error\"\ncode = \"EBUSY\"\nfile = \"temp1_input\"\n"
      "[[fault]]\nvendor = \"amd\"\nkind = \"error\"\ncode = \"EIO\"\nfile = \"gpu_busy_percent\"\n"
      "[[fault]]\nvendor = \"amd\"\nkind = \"error\"\ncode = \"EPERM\"\nfile = \"mem_info_vram_used\"\n");
  ASSERT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(state(MetricId::temperature, 0, {kEdge}), State::not_ready);
  EXPECT_EQ(state(MetricId::temperature_margin, 0, {kEdge}), State::not_ready);
  EXPECT_EQ(state(MetricId::gpu_utilization, 0), State::error);
  EXPECT_EQ(calls.errors().at("EIO"), 1u);
  // In reset: it is not asleep, as its runtime status says.
  EXPECT_EQ(state(MetricId::gpu_memory_usage, 0), State::not_ready);
  EXPECT_EQ(state(MetricId::gpu_memory_free, 0), State::not_ready);
  EXPECT_EQ(value(MetricId::gpu_asleep, 0), 0);
  EXPECT_EQ(value(MetricId::power, 0), 200);
  write("");
  ASSERT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(value(MetricId::temperature, 0, {kEdge}), 50);
  EXPECT_EQ(state(MetricId::gpu_memory_free, 0), State::ok);
}

TEST_F(AmdgpuSimulated, ASleepingDeviceIsNotTouched) {
  machine(kRadeon +
          "[[amd]]\nname = \"Sleeper\"\nmemory.total_mib = 100\nmetrics = \"1.3\"\n"
          "pci.addresses = [\"0000:2d:00.0\"]\nasleep = { kind = \"steps\", points = [[0, 1], [1e6, 0]] }\n");
  settle();
  ASSERT_EQ(catalog.devices.size(), 2u);
  EXPECT_EQ(catalog.devices[1].id, "0000:2d:00.0");
  EXPECT_EQ(value(MetricId::gpu_asleep, 1), 1);
  EXPECT_EQ(find(MetricId::gpu_utilization, 1), -1);
  EXPECT_TRUE(is_absent(MetricId::gpu_utilization, 1));
  // The other one's calls only.
  const uint64_t before = calls_of("gpu_metrics");
  ASSERT_EQ(poll(1), PollResult::ok);
  EXPECT_EQ(calls_of("gpu_metrics"), before + 1);
  EXPECT_TRUE(calls.errors().empty());

  // It wakes: then it is asked what it can tell.
  const size_t at = devices_.find("points = [[0, 1]");
  devices_.replace(at, 16, "points = [[0, 0]");
  write("");
  EXPECT_EQ(poll(), PollResult::rediscover);
  settle();
  EXPECT_EQ(value(MetricId::gpu_asleep, 1), 0);
  EXPECT_EQ(value(MetricId::gpu_memory_limit, 1), 100 * 1048576.0);

  // And sleeps again: its series say that they have nothing, and no file is read.
  devices_.replace(at, 16, "points = [[0, 1]");
  write("");
  ASSERT_EQ(poll(1), PollResult::ok);
  EXPECT_EQ(value(MetricId::gpu_asleep, 1), 1);
  EXPECT_EQ(state(MetricId::gpu_memory_limit, 1), State::not_ready);
  EXPECT_EQ(state(MetricId::gpu_utilization, 1), State::not_ready);
  EXPECT_TRUE(calls.errors().empty());
}

// To read what the clients of an Intel device use may wake it: they are left alone.
TEST_F(AmdgpuSimulated, ClientsOfOtherMakersAreNotRead) {
  const std::string alone = kRadeon;
  machine(alone);
  settle();
  const auto reads_of_a_poll = [&] {
    const uint64_t before = calls_of("/proc/PID/fdinfo");
    EXPECT_EQ(poll(), PollResult::ok);
    return calls_of("/proc/PID/fdinfo") - before;
  };
  const uint64_t reads = reads_of_a_poll();
  EXPECT_GT(reads, 0u);
  fs::remove_all(root_ + "/sys");
  machine(alone +
          "[[intel]]\nname = \"Arc\"\npci.addresses = [\"0000:4d:00.0\"]\ndriver = \"xe\"\n"
          "memory.total_mib = 16384\n[[intel.process]]\npid = 7001\nname = \"other\"\nmemory_mib = 100\n");
  settle();
  ASSERT_TRUE(fs::exists(root_ + "/proc/7001/fdinfo"));
  EXPECT_EQ(reads_of_a_poll(), reads);
  EXPECT_EQ(value(MetricId::process_count, 0, {{AttributeId::process_kind, "graphics"}}), 1);
}

TEST_F(AmdgpuSimulated, GarbageIsNoReading) {
  machine(kRadeon);
  settle();
  write("[[fault]]\nvendor = \"amd\"\nkind = \"garbage\"\nfile = \"gpu_metrics\"\n");
  for (int i = 0; i < 20; ++i) {
    (void)poll();
    const double speed = value(MetricId::pcie_generation, 0, {{AttributeId::which, "current"}});
    EXPECT_TRUE(std::isnan(speed) || (speed >= 1 && speed <= 7)) << speed;
  }
  EXPECT_GT(calls.errors().at("malformed"), 0u);
  write("[[fault]]\nvendor = \"amd\"\nkind = \"garbage\"\nfile = \"temp1_input\"\n");
  for (int i = 0; i < 20; ++i) {
    (void)poll();
    const State state_now = state(MetricId::temperature, 0, {kEdge});
    const double celsius = value(MetricId::temperature, 0, {kEdge});
    EXPECT_TRUE(state_now == State::error || std::abs(celsius) > 1e5) << celsius;
  }
}

// The firmware's own time is part of the table: a wild one must not become time for which clocks were held down.
TEST_F(AmdgpuSimulated, GarbageAddsNoTimeOfThrottling) {
  std::string text = kRadeon;
  text.replace(text.find("\"1.3\""), 5, "\"1.7\"");
  machine(text);
  settle();
  write("[[fault]]\nvendor = \"amd\"\nkind = \"garbage\"\nfile = \"gpu_metrics\"\n");
  for (int i = 0; i < 20; ++i) (void)poll();
  write("");
  for (int i = 0; i < 4; ++i) (void)poll();
  int told = 0;
  for (size_t i = 0; i < catalog.series.size(); ++i) {
    if (catalog.series[i].metric != MetricId::throttle_time || frame.states[i] != State::ok) continue;
    ++told;
    EXPECT_LT(frame.values[i], 300) << "seconds in some seconds";
  }
  EXPECT_GT(told, 0);
}

TEST_F(AmdgpuSimulated, ADeviceThatFallsOffTheBusHasFailed) {
  machine(kRadeon);
  settle();
  write("[[fault]]\nvendor = \"amd\"\nkind = \"lost\"\ndevice = 0\n");
  (void)poll(1);
  EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "failed"}}), 1);
  EXPECT_EQ(state(MetricId::gpu_utilization, 0), State::error);
  EXPECT_EQ(value(MetricId::device_info, 0), 1) << "who it is stays known";
  (void)poll(1);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].code, "device_lost");
  EXPECT_EQ(events[0].device_id, "amd-2af17d39c0185500");
  // It is looked for with the slow tier, and is back as soon as it answers.
  const uint8_t fast_and_slow = (1u << static_cast<unsigned>(Tier::fast)) | (1u << static_cast<unsigned>(Tier::slow));
  EXPECT_EQ(poll(fast_and_slow), PollResult::ok);
  write("");
  EXPECT_EQ(poll(fast_and_slow), PollResult::rediscover);
  settle();
  EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "failed"}}), 0);
  EXPECT_EQ(state(MetricId::gpu_utilization, 0), State::ok);
}

// A board that does not answer cannot say who it is. When the bus is looked at meanwhile, it stays who it was.
TEST_F(AmdgpuSimulated, ALostDeviceKeepsItsNameWhenTheBusIsLookedAt) {
  machine(kRadeon + "[[amd]]\nname = \"Other\"\nmemory.total_mib = 100\npci.addresses = [\"0000:2d:00.0\"]\n");
  settle();
  ASSERT_EQ(catalog.devices.size(), 2u);
  const std::string name = catalog.devices[0].id;
  EXPECT_EQ(name, "amd-2af17d39c0185500");
  write("[[fault]]\nvendor = \"amd\"\nkind = \"lost\"\ndevice = 0\n");
  (void)poll(1);
  EXPECT_EQ(poll(), PollResult::rediscover) << "the rare tier looks at the bus";
  settle();
  ASSERT_EQ(catalog.devices.size(), 2u);
  EXPECT_EQ(catalog.devices[0].id, name);
  EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "failed"}}), 1);
  write("");
  (void)poll();
  settle();
  ASSERT_EQ(catalog.devices.size(), 2u);
  EXPECT_EQ(catalog.devices[0].id, name);
  EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "failed"}}), 0);
  EXPECT_EQ(state(MetricId::gpu_utilization, 0), State::ok);
}

TEST_F(AmdgpuSimulated, ADeviceThatGoesIsGone) {
  machine(kRadeon + "[[amd]]\nname = \"Other\"\nmemory.total_mib = 100\npci.addresses = [\"0000:2d:00.0\"]\n");
  settle();
  ASSERT_EQ(catalog.devices.size(), 2u);
  write("[[fault]]\nvendor = \"amd\"\nkind = \"gone\"\ndevice = 1\n");
  EXPECT_EQ(poll(), PollResult::rediscover);
  settle();
  EXPECT_EQ(catalog.devices.size(), 1u);
  write("");
  EXPECT_EQ(poll(), PollResult::rediscover);
  settle();
  EXPECT_EQ(catalog.devices.size(), 2u);
  write("[[fault]]\nvendor = \"amd\"\nkind = \"gone\"\n");
  (void)poll(1);
  EXPECT_EQ(poll(), PollResult::lost);
  collector->release();
  EXPECT_EQ(discover(), Code::absent);
  EXPECT_EQ(error.message(), "no AMD GPU on the PCI bus");
}

TEST_F(AmdgpuSimulated, ADriverThatIsUnloadedIsAbsent) {
  machine(kRadeon);
  settle();
  write("[[fault]]\nvendor = \"amd\"\nkind = \"driver_unloaded\"\n");
  (void)poll(1);
  EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "failed"}}), 1);
  (void)poll();
  collector->release();
  EXPECT_EQ(discover(), Code::absent);
  EXPECT_NE(error.message().find("answers for none of them"), std::string::npos) << error.message();
  write("");
  settle();
  EXPECT_EQ(value(MetricId::power, 0), 200);
}

// A table whose clocks stood still says nothing of now.
TEST_F(AmdgpuSimulated, AFrozenTableIsNoReading) {
  for (const char* revision : {"1.3", "1.8", "1.9", "3.0"}) {
    SCOPED_TRACE(revision);
    std::string text = kInstinct.substr(0, kInstinct.find("partition = {"));
    text.replace(text.find("\"1.8\""), 5, "\"" + std::string(revision) + "\"");
    fs::remove_all(root_ + "/sys");
    machine(text);
    settle();
    const auto of_clock = [&] {
      return state(MetricId::clock_frequency, 0, {{AttributeId::clock_domain, "graphics"}});
    };
    const auto explained = [&] {
      return std::any_of(catalog.absences.begin(), catalog.absences.end(), [](const Absence& absence) {
        return absence.metric == MetricId::clock_frequency && absence.reason.find("stands still") != std::string::npos;
      });
    };
    ASSERT_EQ(poll(1), PollResult::ok);
    write("[[fault]]\nvendor = \"amd\"\nkind = \"frozen\"\nfile = \"gpu_metrics\"\n");
    // The fault begins with an instant of the past, and so with a move; three more readings may be chance.
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(poll(1), PollResult::ok);
      EXPECT_EQ(of_clock(), State::ok);
    }
    EXPECT_EQ(poll(1), PollResult::rediscover);
    EXPECT_EQ(of_clock(), State::not_ready);
    settle();
    EXPECT_EQ(of_clock(), State::not_ready);
    EXPECT_EQ(state(MetricId::power, 0, {}), State::not_ready);
    EXPECT_TRUE(explained());
    // The driver's other files are not made of it.
    EXPECT_EQ(state(MetricId::gpu_memory_usage, 0), State::ok);
    EXPECT_EQ(value(MetricId::hw_status, 0, {{AttributeId::hw_state, "ok"}}), 1);

    write("");
    EXPECT_EQ(poll(1), PollResult::rediscover);
    EXPECT_EQ(of_clock(), State::ok);
    settle();
    EXPECT_EQ(of_clock(), State::ok);
    EXPECT_FALSE(explained());
  }
}

// Boards whose clocks never move, or that have none, are believed.
TEST_F(AmdgpuSimulated, AClockThatNeverMovedProvesNothing) {
  machine(kRadeon);
  write("[[fault]]\nvendor = \"amd\"\nkind = \"frozen\"\nfile = \"gpu_metrics\"\n");
  settle();
  for (int i = 0; i < 8; ++i) ASSERT_EQ(poll(1), PollResult::ok);
  EXPECT_EQ(value(MetricId::clock_frequency, 0, {{AttributeId::clock_domain, "graphics"}}), 2.4e9);
}

TEST_F(AmdgpuSimulated, TroublesOfLinks) {
  const std::string troubles = "pcie = { replays = 1, naks_sent = 5, naks_received = 7 }\n";
  const auto errors = [&](const char* type) {
    return value(MetricId::pcie_errors, 0, {{AttributeId::error_type, type}});
  };
  std::string text = kInstinct;
  text.insert(text.find("memory = {"), troubles);
  for (const char* revision : {"1.8", "1.9", "1.5"}) {
    SCOPED_TRACE(revision);
    std::string one = text;
    one.replace(one.find("\"1.8\""), 5, "\"" + std::string(revision) + "\"");
    fs::remove_all(root_ + "/sys");
    machine(one);
    settle();
    EXPECT_EQ(errors("nak_sent"), 5);
    EXPECT_EQ(errors("nak_received"), 7);
    // A reader of it would take the count away from others.
    EXPECT_TRUE(is_absent(MetricId::link_errors, 0));
    EXPECT_EQ(calls_of("xgmi_error"), 0u);
  }
}

TEST_F(AmdgpuSimulated, CountersGrowWithWhatTheyCount) {
  machine(kInstinct);
  settle();
  const auto energy = [&] { return value(MetricId::energy, 0); };
  const auto link = [&](const char* direction) {
    return value(MetricId::link_io, 0,
                 {{AttributeId::link, "all"}, {AttributeId::link_kind, "xgmi"}, {AttributeId::direction, direction}});
  };
  const auto throttled = [&](const char* reason) {
    return value(MetricId::throttle_time, 0, {{AttributeId::reason, reason}});
  };
  EXPECT_GE(energy(), 1e6);
  const double joules = energy(), received = link("receive"), sent = link("transmit");
  const auto held = [&](const char* reason) {
    return value(MetricId::throttle_time, 8, {{AttributeId::reason, reason}});
  };
  const double part_capped = held("power_cap"), part_hot = held("thermal_software");
  const double capped = throttled("power_cap"), hot = throttled("thermal_software"),
               signal = throttled("thermal_hardware");
  std::this_thread::sleep_for(std::chrono::seconds(1));
  ASSERT_EQ(poll(), PollResult::ok);
  // One counter's growth by another's: both see the same time, however long it was. The link's kilobytes, the energy
  // and the residencies all come out of one blob.
  const double seconds = (energy() - joules) / 500;
  EXPECT_NEAR((link("receive") - received) / seconds, 7e9, 7e9 * 0.01);
  EXPECT_NEAR((link("transmit") - sent) / seconds, 14e9, 14e9 * 0.01);
  EXPECT_NEAR((throttled("power_cap") - capped) / seconds, 1, 0.02);
  EXPECT_NEAR((throttled("thermal_software") - hot) / seconds, 0.25, 0.04);
  EXPECT_EQ(throttled("thermal_hardware"), signal);
  EXPECT_EQ(value(MetricId::throttle_active, 0, {{AttributeId::reason, "power_cap"}}), 1);
  // The last partition's, in the same cycles.
  EXPECT_NEAR((held("power_cap") - part_capped) / seconds, 1, 0.02);
  EXPECT_NEAR((held("thermal_software") - part_hot) / seconds, 0.25, 0.04);
  EXPECT_EQ(value(MetricId::throttle_active, 8, {{AttributeId::reason, "power_cap"}}), 1);
  // What was held stays counted when it is discovered anew.
  const double before = held("power_cap");
  settle();
  EXPECT_GE(held("power_cap"), before);
}

TEST_F(AmdgpuSimulated, EveryRevisionIsReadAsItWasWritten) {
  for (const char* revision :
       {"1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8", "1.9", "2.1", "2.2", "2.3", "2.4", "3.0"}) {
    SCOPED_TRACE(revision);
    std::string text = kInstinct.substr(0, kInstinct.find("partition = {"));
    text.replace(text.find("\"1.8\""), 5, "\"" + std::string(revision) + "\"");
    // Without these what is read must come from gpu_metrics.
    text += "unsupported = [\"gpu_busy_percent\", \"freq1_input\"]\n";
    fs::remove_all(root_ + "/sys");
    machine(text);
    settle();
    EXPECT_EQ(value(MetricId::clock_frequency, 0, {{AttributeId::clock_domain, "graphics"}}), 2.1e9);
    const std::string first(revision, 1);
    if (first != "2" || std::string(revision) == "2.4") {
      EXPECT_NEAR(value(MetricId::gpu_utilization, 0, {{AttributeId::gpu_task, "general"}}), 0.5, 1e-9);
    }
    bool told = false;
    for (const auto& [name, fact] : catalog.facts) told = told || (name == "gpu_metrics" && fact == revision);
    EXPECT_TRUE(told);
    if (first == "3") {
      EXPECT_TRUE(std::any_of(catalog.absences.begin(), catalog.absences.end(), [](const Absence& absence) {
        return absence.metric == MetricId::throttle_active && absence.reason.find("not read") != std::string::npos;
      }));
    }
  }
}

TEST_F(AmdgpuSimulated, TheShippedMachines) {
  const struct {
    const char* name;
    size_t devices;
  } machines[] = {{"mi300x-spx", 8}, {"mi300x-cpx", 9}, {"radeon", 2}};
  for (const auto& one : machines) {
    SCOPED_TRACE(one.name);
    fs::remove_all(root_ + "/sys");
    shipped(one.name);
    settle();
    EXPECT_EQ(catalog.devices.size(), one.devices);
    for (size_t i = 0; i < frame.states.size(); ++i)
      EXPECT_TRUE(frame.states[i] == State::ok || frame.states[i] == State::not_ready)
          << info(catalog.series[i].metric).name << " " << to_string(frame.states[i]);
    EXPECT_TRUE(calls.errors().empty());
  }
}

// ---- the processes in which the tests above run ----

class UnderTheSimulatedKernel : public testing::TestWithParam<const char*> {};

TEST_P(UnderTheSimulatedKernel, Run) {
  for_test::run_under_simulated_kernel(std::string("AmdgpuSimulated.") + GetParam());
}

INSTANTIATE_TEST_SUITE_P(Amdgpu, UnderTheSimulatedKernel,
                         testing::Values("ReadsWhatABoardTells", "TellsErrnosApart", "ASleepingDeviceIsNotTouched",
                                         "ClientsOfOtherMakersAreNotRead", "GarbageIsNoReading",
                                         "GarbageAddsNoTimeOfThrottling", "AFrozenTableIsNoReading",
                                         "AClockThatNeverMovedProvesNothing", "ADeviceThatFallsOffTheBusHasFailed",
                                         "ALostDeviceKeepsItsNameWhenTheBusIsLookedAt", "ADeviceThatGoesIsGone",
                                         "ADriverThatIsUnloadedIsAbsent", "TroublesOfLinks",
                                         "CountersGrowWithWhatTheyCount", "EveryRevisionIsReadAsItWasWritten",
                                         "TheShippedMachines"),
                         [](const testing::TestParamInfo<const char*>& test) { return std::string(test.param); });

}  // namespace
}  // namespace accelmon::amdgpu
