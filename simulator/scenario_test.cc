#include "scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace accelmon::simulator {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const std::string kHead = R"([scenario]
name = "test"
driver_version = "1.2"
cuda_version = "12.4"
)";

const std::string kDevice = R"([[device]]
name = "Board"
memory.total_mib = 1000
power.limit_w = 300
)";

std::string error_of(const std::string& text) {
  const ParseOutcome outcome = parse_scenario(text);
  EXPECT_FALSE(outcome.scenario);
  return outcome.error;
}

Scenario good(const std::string& text, double now = 0) {
  ParseOutcome outcome = parse_scenario(text, now);
  EXPECT_EQ(outcome.error, "");
  return outcome.scenario.value_or(Scenario());
}

TEST(ScenarioParse, ReadsTheHead) {
  const Scenario scenario =
      good(kHead + "missing_symbols = [\"nvmlGpm*\", \"nvmlDeviceGetName\"]\nprocess_v3_stride = 32\n" + kDevice);
  EXPECT_EQ(scenario.name, "test");
  EXPECT_EQ(scenario.cuda_version, 12040);
  EXPECT_EQ(scenario.process_v3_stride, 32u);
  EXPECT_EQ(scenario.nvml_version, "1.2");
  EXPECT_TRUE(scenario.missing[static_cast<size_t>(Call::nvmlGpmSampleAlloc)]);
  EXPECT_TRUE(scenario.missing[static_cast<size_t>(Call::nvmlDeviceGetName)]);
  EXPECT_FALSE(scenario.missing[static_cast<size_t>(Call::nvmlDeviceGetUUID)]);
  ASSERT_EQ(scenario.devices.size(), 1u);
}

TEST(ScenarioParse, DevicesInheritTemplatesKeyByKey) {
  const Scenario scenario = good(kHead + R"(
[template.base]
name = "Base"
memory = { total_mib = 500, reserved_mib = 20 }
power = { limit_w = 300, idle_w = 30, busy_w = 230 }
[template.hot]
use = ["base"]
power.busy_w = 300
[[device]]
use = ["hot"]
count = 3
phase_step = 5
serial = 1000000000007
memory.total_mib = 700
utilization.gpu = { kind = "sine", low = 0, high = 100, period = 60 }
)");
  ASSERT_EQ(scenario.devices.size(), 3u);
  const Device& device = scenario.devices[0];
  EXPECT_EQ(device.name, "Base");
  EXPECT_EQ(device.memory_total, 700u << 20);
  EXPECT_EQ(device.memory_reserved, 20u << 20);
  EXPECT_NEAR(device.power.value(15), 300, 1e-9);
  std::set<std::string> uuids, serials;
  std::set<unsigned> buses;
  for (const Device& d : scenario.devices) {
    uuids.insert(d.uuid);
    serials.insert(*d.serial);
    buses.insert(d.pci_bus);
  }
  EXPECT_EQ(uuids.size(), 3u);
  EXPECT_EQ(buses.size(), 3u);
  EXPECT_EQ(serials.count("1000000000009"), 1u);
  EXPECT_NEAR(scenario.devices[1].gpu.value(10), device.gpu.value(15), 1e-9);
}

TEST(ScenarioParse, ErrorsNameTheLine) {
  EXPECT_THAT(error_of(""), HasSubstr("[scenario]"));
  EXPECT_THAT(error_of("a = [1,\nb"), StartsWith("line 2"));
  EXPECT_THAT(error_of(kHead + "[[[scenario]\n"), HasSubstr("malformed"));  // toml++ 3.3 would abort
  EXPECT_THAT(error_of(kHead + kDevice + "utilisation.gpu = 3\n"),
              AllOf(StartsWith("line 9:"), HasSubstr("unknown key")));
  EXPECT_THAT(error_of(kHead + kDevice + "power.draw = 3\n"), AllOf(StartsWith("line 9:"), HasSubstr("power.draw")));
  EXPECT_THAT(error_of(kHead + "[[device]]\nname = \"x\"\npower.limit_w = 3\n"), HasSubstr("memory.total_mib"));
  EXPECT_THAT(error_of(kHead + kDevice + "utilization.gpu = { kind = \"sine\", low = 50, high = 120, period = 5 }\n"),
              AllOf(StartsWith("line 9:"), HasSubstr("may run from 50 to 120"), HasSubstr("between 0 and 100")));
  EXPECT_THAT(error_of(kHead + kDevice + "utilization.gpu = { kind = \"wiggle\" }\n"),
              HasSubstr("must be constant, sine"));
  EXPECT_THAT(error_of(kHead + kDevice + "utilization.gpu = { kind = \"sine\", low = 1, high = 2 }\n"),
              HasSubstr("needs \"period\""));
  EXPECT_THAT(error_of(kHead + kDevice + "utilization.gpu = { kind = \"steps\", points = [[5, 1], [4, 2]] }\n"),
              HasSubstr("must rise"));
  EXPECT_THAT(error_of(kHead + kDevice + "utilization.gpu = { of = \"gpu\" }\n"), HasSubstr("\"of\""));
  EXPECT_THAT(error_of(kHead + kDevice + "architecture = \"zen\"\n"), HasSubstr("hopper"));
  EXPECT_THAT(error_of(kHead + kDevice + "pci.addresses = [\"1:2\"]\n"), HasSubstr("00000000:1B:00.0"));
  EXPECT_THAT(error_of(kHead + kDevice + "unsupported = [\"nvmlFly\"]\n"), HasSubstr("no call \"nvmlFly\""));
  EXPECT_THAT(error_of(kHead + kDevice + "use = [\"ghost\"]\n"), HasSubstr("template.ghost"));
  EXPECT_THAT(error_of(kHead + "[template.a]\nuse = [\"a\"]\n" + kDevice + "use = [\"a\"]\n"), HasSubstr("too deeply"));
  EXPECT_THAT(error_of(kHead + kDevice + "[[device.throttle]]\nreason = \"power_cap\"\nactive = 0.5\n"),
              HasSubstr("square, steps or constant of 0 and 1"));
  EXPECT_THAT(error_of(kHead + kDevice + "[[device.throttle]]\nreason = \"power_cap\"\nactive = 1\npower_drop_w = 9\n"),
              HasSubstr("more power away"));
  EXPECT_THAT(error_of(kHead + kDevice + "[[process]]\npid = 4\ndevice = 1\n"), HasSubstr("index of a device"));
  EXPECT_THAT(error_of(kHead + kDevice + "[[fault]]\nkind = \"odd\"\n"), HasSubstr("driver_unloaded"));
  EXPECT_THAT(error_of(kHead + kDevice + "[[fault]]\nkind = \"error\"\ncode = \"NOPE\"\n"),
              HasSubstr("no error \"NOPE\""));
  EXPECT_THAT(error_of(kHead + kDevice + "[[fault]]\nkind = \"error\"\ndevice = 1\n"), HasSubstr("between 0 and 0"));
  EXPECT_THAT(error_of(kHead + kDevice + "uuid = \"GPU-1\"\n" + kDevice + "uuid = \"GPU-1\"\n"),
              HasSubstr("share their uuid"));
  EXPECT_THAT(
      error_of(kHead + kDevice + "mig.enabled = false\n[[device.mig.instance]]\nprofile = \"1g\"\nmemory_mib = 1\n"),
      HasSubstr("mig.enabled"));
}

TEST(Scenario, EnergyIsTheIntegralOfPowerAtAnyRate) {
  const Scenario scenario = good(kHead + kDevice + R"(power.idle_w = 50
power.busy_w = 250
power.energy_base_j = 1000
utilization.gpu = [{ kind = "square", low = 0, high = 80, period = 10, duty = 0.4 }, { kind = "noise", low = 0, high = 20, step = 0.7, seed = 5 }]
[[device.throttle]]
reason = "thermal_software"
active = { kind = "square", low = 0, high = 1, period = 30, duty = 0.2 }
power_drop_w = 20
)");
  const Device& device = scenario.devices[0];
  double sum = 0;
  for (int i = 0; i < 120000; ++i) sum += device.power.value((i + 0.5) * 1e-3) * 1e-3;
  EXPECT_NEAR(device.energy(0, 120) - 1000, sum, 1);
  // 100 ms and 7.3 s see the same counter at the same time.
  double fine = 1000, coarse = 1000;
  for (int i = 0; i < 730; ++i) fine += device.power.integral((i + 1) * 0.1) - device.power.integral(i * 0.1);
  for (int i = 0; i < 10; ++i) coarse += device.power.integral((i + 1) * 7.3) - device.power.integral(i * 7.3);
  EXPECT_NEAR(fine, coarse, 1e-6);
  EXPECT_NEAR(fine, device.energy(0, 73), 1e-6);
  // Never backwards.
  for (int i = 0; i < 1000; ++i) EXPECT_LE(device.energy(0, i * 0.1), device.energy(0, (i + 1) * 0.1));
  // A reloaded driver counts from nothing.
  EXPECT_NEAR(device.energy(40, 40), 0, 1e-9);
  EXPECT_EQ(device.throttled_ns(0x20, 0, 30), 6000000000u);
  EXPECT_EQ(device.throttled_ns(0x20, 3, 30), 3000000000u);
  EXPECT_EQ(device.throttled_ns(0x4, 0, 30), 0u);
}

TEST(Scenario, LinksPhysics) {
  const Scenario scenario = good(kHead + kDevice + R"(power.idle_w = 50
power.busy_w = 250
temperature = { ambient_c = 30, per_watt = 0.1, lag_s = 10 }
clock.graphics = { max_mhz = 2000, idle_mhz = 300 }
clock.memory = { max_mhz = 5000 }
utilization.gpu = { kind = "steps", points = [[0, 0], [100, 100]] }
[[device.throttle]]
reason = "thermal_hardware"
active = { kind = "steps", points = [[0, 0], [200, 1]] }
clock_share = 0.5
power_drop_w = 20
)");
  const Device& device = scenario.devices[0];
  EXPECT_NEAR(device.temperature_at(50), 35, 1e-9);
  EXPECT_EQ(device.clock_at(0, 50), 300);
  EXPECT_EQ(device.clock_at(1, 50), 300);
  EXPECT_EQ(device.reasons_at(50), 1u);
  EXPECT_NEAR(device.temperature_at(110), 30 + 25 - 20 * std::exp(-1), 1e-9);
  EXPECT_NEAR(device.temperature_at(190), 55, 0.01);
  EXPECT_EQ(device.clock_at(0, 150), 2000);
  EXPECT_EQ(device.reasons_at(150), 0u);
  EXPECT_EQ(device.clock_at(0, 250), 1000);
  EXPECT_EQ(device.clock_at(2, 250), 5000);
  EXPECT_EQ(device.reasons_at(250), 0x40u);
  EXPECT_EQ(device.power.value(250), 230);
}

TEST(Scenario, MemoryIsWhatTheProcessesHold) {
  const Scenario scenario = good(kHead + kDevice + R"(memory.reserved_mib = 100
memory.base_mib = 10
[[process]]
pid = 7
device = 0
memory_mib = 300
[[process]]
pid = "self"
device = 0
memory_mib = { kind = "ramp", low = 0, high = 900, start = 10, end = 100 }
from = 10
until = 90
)");
  EXPECT_EQ(scenario.memory_used(0, 5), 310u << 20);
  EXPECT_EQ(scenario.memory_used(0, 20), 410u << 20);
  EXPECT_EQ(scenario.memory_used(0, 89), 900u << 20);  // there is no more
  EXPECT_EQ(scenario.memory_used(0, 95), 310u << 20);
  EXPECT_EQ(scenario.processes[1].pid, 0u);
}

TEST(Fault, HappensWhenItSays) {
  const Scenario scenario = good(kHead + kDevice + R"([[fault]]
kind = "error"
call = "nvmlDeviceGetPower*"
device = 0
code = "NVML_ERROR_GPU_IS_LOST"
from = 10
until = 100
every = 20
for = 5
[[fault]]
kind = "xid"
xid = 79
[[fault]]
kind = "driver_unloaded"
from = 50
until = 60
[[fault]]
kind = "error"
field = 185
)",
                                 33);
  const Fault& fault = scenario.faults[0];
  EXPECT_EQ(fault.code, 15);
  EXPECT_FALSE(fault.occurrence(9.9));
  EXPECT_EQ(fault.occurrence(10), 10);
  EXPECT_FALSE(fault.occurrence(15));
  EXPECT_EQ(fault.occurrence(34.9), 30);
  EXPECT_FALSE(fault.occurrence(110));
  EXPECT_EQ(fault.next_occurrence(0), 10);
  EXPECT_EQ(fault.next_occurrence(30), 30);
  EXPECT_EQ(fault.next_occurrence(31), 50);
  EXPECT_FALSE(fault.next_occurrence(91));
  EXPECT_FALSE(fault.last_end(14));
  EXPECT_EQ(fault.last_end(16), 15);
  EXPECT_EQ(fault.last_end(32), 15);
  EXPECT_EQ(fault.last_end(500), 95);
  EXPECT_TRUE(fault.matches(Call::nvmlDeviceGetPowerUsage, 0, std::nullopt));
  EXPECT_FALSE(fault.matches(Call::nvmlDeviceGetPowerUsage, 1, std::nullopt));
  EXPECT_FALSE(fault.matches(Call::nvmlDeviceGetName, 0, std::nullopt));
  EXPECT_EQ(scenario.faults[1].from, 33);  // no time given: when it was read
  EXPECT_TRUE(scenario.unloaded(55));
  EXPECT_FALSE(scenario.unloaded(60));
  EXPECT_EQ(scenario.loaded_at(40), 0);
  EXPECT_EQ(scenario.loaded_at(70), 60);
  EXPECT_TRUE(scenario.faults[3].matches(Call::nvmlDeviceGetFieldValues, 0, 185));
  EXPECT_FALSE(scenario.faults[3].matches(Call::nvmlDeviceGetFieldValues, 0, 186));
}

TEST(ShippedScenarios, AreGoodAndTheirDevicesDistinct) {
  size_t seen = 0;
  for (const auto& file : std::filesystem::directory_iterator(ACCELMON_SOURCE_DIR "/simulator/scenarios")) {
    if (file.path().extension() != ".toml") continue;
    ++seen;
    std::ifstream in(file.path());
    std::ostringstream text;
    text << in.rdbuf();
    const ParseOutcome outcome = parse_scenario(text.str());
    ASSERT_TRUE(outcome.scenario) << file.path() << ": " << outcome.error;
    EXPECT_EQ(outcome.scenario->name, file.path().stem().string());
    EXPECT_FALSE(outcome.scenario->description.empty());
    std::set<std::string> identities;
    size_t expected = 0;
    for (size_t i = 0; i < outcome.scenario->devices.size(); ++i) {
      const Device& device = outcome.scenario->devices[i];
      identities.insert(device.uuid);
      ++expected;
      if (device.serial) {
        identities.insert(*device.serial);
        ++expected;
      }
      for (const MigInstance& instance : device.instances) {
        identities.insert(instance.uuid);
        ++expected;
      }
      EXPECT_EQ(device.uuid.size(), 40u);
      // What the processes hold fits at all times, so that used memory is the sum that it claims to be.
      const auto index = static_cast<unsigned>(i);
      for (int second = 0; second < 4000; second += 13) {
        const double t = second;
        EXPECT_LT(outcome.scenario->memory_used(index, t) + device.memory_reserved, device.memory_total);
        EXPECT_LT(device.temperature_at(t), 105);
        EXPECT_LE(device.power.value(t), device.power_max * 1.02);
      }
    }
    EXPECT_EQ(identities.size(), expected) << file.path();
  }
  EXPECT_EQ(seen, 13u);
}

}  // namespace
}  // namespace accelmon::simulator
