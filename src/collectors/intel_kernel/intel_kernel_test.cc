// The pieces by themselves, and the collector on trees of files that a test writes: what older kernels show, devices
// that sleep, what is hostile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "base/counted_new_for_test.h"
#include "collectors/collector_rig_for_test.h"
#include "collectors/intel_kernel/intel_kernel_collector.h"
#include "collectors/intel_kernel/intel_pmu.h"
#include "collectors/intel_kernel/intel_sources.h"
#include "collectors/pci_bus.h"
#include "model/catalog.h"

namespace accelmon {
namespace {

namespace fs = std::filesystem;
using namespace intel_kernel;
using testing::HasSubstr;

TEST(IntelPmu, ReadsFormats) {
  EXPECT_EQ(parse_format("config:12-19\n"), (BitRange{12, 19}));
  EXPECT_EQ(parse_format("config:63"), (BitRange{63, 63}));
  EXPECT_FALSE(parse_format("config1:0-7"));
  EXPECT_FALSE(parse_format("config:19-12"));
  EXPECT_FALSE(parse_format("config:0-64"));
  EXPECT_FALSE(parse_format("config:"));
  EXPECT_FALSE(parse_format(""));
}

TEST(IntelPmu, EncodesEvents) {
  const Formats formats{{"event", {0, 11}}, {"gt", {60, 63}}, {"all", {0, 63}}};
  EXPECT_EQ(encode_event("event=0x02,gt=1", formats), uint64_t{1} << 60 | 2);
  EXPECT_EQ(encode_event("config=0x100002", formats), 0x100002u);
  EXPECT_EQ(encode_event("all=18446744073709551615", formats), ~uint64_t{0});
  EXPECT_FALSE(encode_event("event=0x1000", formats));  // does not fit
  EXPECT_FALSE(encode_event("gt=16", formats));
  EXPECT_FALSE(encode_event("unknown=1", formats));
  EXPECT_FALSE(encode_event("event", formats));
  EXPECT_FALSE(encode_event("event=x", formats));
  EXPECT_FALSE(encode_event("", formats));
}

TEST(IntelBusyMeter, ComparesWithTheCountersOwnTime) {
  BusyMeter meter;
  EXPECT_FALSE(meter.read(100, 1000, kSecond));
  EXPECT_DOUBLE_EQ(*meter.read(150, 1200, 2 * kSecond), 0.25);
  // The firmware has not written since: the last answer, for a while.
  EXPECT_DOUBLE_EQ(*meter.read(150, 1200, 3 * kSecond), 0.25);
  EXPECT_FALSE(meter.read(150, 1200, 3 * kSecond, 300 * kMillisecond));
  EXPECT_FALSE(meter.read(150, 1200, 6 * kSecond));
  EXPECT_DOUBLE_EQ(*meter.read(350, 1300, 7 * kSecond), 1);  // booked late
  EXPECT_FALSE(meter.read(10, 20, 8 * kSecond));             // begun anew
  EXPECT_DOUBLE_EQ(*meter.read(20, 40, 9 * kSecond), 0.5);
}

TEST(IntelEnergyMeter, NeverFallsAndNeverDrawsTerawatts) {
  EnergyMeter meter;
  meter.read(200'000'000'000, kSecond);
  EXPECT_DOUBLE_EQ(meter.joules(), 200'000);
  EXPECT_EQ(meter.watts().state, State::not_ready);
  meter.read(200'000'100'000, 2 * kSecond);
  EXPECT_NEAR(meter.watts().value, 0.1, 1e-9);
  // Near zero for one reading, and back.
  meter.read(200'000'000, 3 * kSecond);
  EXPECT_EQ(meter.watts().state, State::not_ready);
  EXPECT_NEAR(meter.joules(), 200'000.1, 1e-6);
  meter.read(200'100'100'000, 4 * kSecond);
  EXPECT_EQ(meter.watts().state, State::not_ready);
  EXPECT_NEAR(meter.joules(), 200'000.1, 1e-6);
  meter.read(200'300'100'000, 5 * kSecond);
  EXPECT_NEAR(meter.watts().value, 200, 1e-9);
  EXPECT_NEAR(meter.joules(), 200'200.1, 1e-6);
  // Beyond 32 bits of microjoules, where others wrap.
  meter.read(18'000'000'000'000'000'000u, 6 * kSecond);
  EXPECT_EQ(meter.watts().state, State::not_ready);
}

TEST(IntelThrottling, NamesReasonsAsTheVocabularyDoes) {
  const auto name = [](std::string_view file) { return std::string(kReasons[reason_of(file)]); };
  for (const char* file : {"pl1", "pl2", "psys_pl1"}) EXPECT_EQ(name(file), "power_cap") << file;
  for (const char* file : {"pl4", "vr_tdc", "iccmax"}) EXPECT_EQ(name(file), "current") << file;
  for (const char* file : {"thermal", "prochot", "ratl", "vr_thermalert", "mem_thermal", "soc_avg_thermal"})
    EXPECT_EQ(name(file), "thermal_hardware") << file;
  EXPECT_EQ(name("fastvmode"), "voltage");
  EXPECT_EQ(name("of_tomorrow"), "other");
}

struct IntelTree : testing::Test, for_test::TemporaryTree, for_test::CollectorRig {
  IntelTree() : TemporaryTree("intel") { fs::create_directories(root / "proc"); }
  ~IntelTree() override { collector.reset(); }
  void write(const std::string& path, const std::string& text) { TemporaryTree::write(path, text + "\n"); }
  std::string plant(const std::string& address, const char* driver, const char* device) {
    std::string folder = "sys/bus/pci/devices/" + address + "/";
    write(folder + "vendor", "0x8086");
    write(folder + "device", device);
    write(folder + "class", "0x030000");
    fs::create_directories(root / "sys/bus/pci/drivers" / driver);
    fs::create_symlink("../../drivers/" + std::string(driver), root / (folder + "driver"));
    fs::create_symlink("../../devices/" + address, root / "sys/bus/pci/drivers" / driver / address);
    return folder;
  }
  Result<Catalog> discover() {
    if (collector == nullptr)
      collector = make_intel_kernel_collector(CollectorContext{calls,
                                                               clock,
                                                               {{"sysfs", (root / "sys").string()},
                                                                {"procfs", (root / "proc").string()},
                                                                {"devfs", (root / "dev").string()}}});
    return CollectorRig::discover();
  }
  State state(MetricId metric, std::vector<Attribute> attributes = {}, int device = 0) const {
    const int i = find_series(catalog, metric, device, std::move(attributes));
    return i < 0 ? State::unsupported : frame.states[static_cast<size_t>(i)];
  }
  double value(MetricId metric, std::vector<Attribute> attributes = {}, int device = 0) const {
    const int i = find_series(catalog, metric, device, std::move(attributes));
    EXPECT_GE(i, 0) << info(metric).name;
    return i < 0 ? -1 : frame.values[static_cast<size_t>(i)];
  }
  std::string why(MetricId metric, int device = 0) const {
    std::string reasons;
    for (const Absence& absence : catalog.absences)
      if (absence.metric == metric && absence.device == device)
        reasons += std::string(to_string(absence.state)) + ": " + absence.reason + "\n";
    return reasons;
  }
};

TEST_F(IntelTree, SaysWhyThereIsNothing) {
  EXPECT_FALSE(discover());
  EXPECT_EQ(error.code(), Code::absent);
  EXPECT_THAT(error.message(), HasSubstr("cannot be seen"));
  plant("0000:00:02.0", "vfio-pci", "0x56c0");
  EXPECT_FALSE(discover());
  EXPECT_EQ(error.code(), Code::absent);
  EXPECT_THAT(error.message(), HasSubstr("1 Intel GPUs are on the PCI bus, and none has the driver xe or i915"));
}

// An integrated GPU under an old i915: no GT folders, no hwmon, no counters, no node.
TEST_F(IntelTree, ReadsTheOldNames) {
  const std::string folder = plant("0000:00:02.0", "i915", "0x4680");
  write(folder + "drm/card0/gt_act_freq_mhz", "350");
  write(folder + "drm/card0/gt_RP0_freq_mhz", "1550");
  write("proc/sys/kernel/osrelease", "6.1.0-test");
  ASSERT_TRUE(discover()) << error.message();
  ASSERT_EQ(catalog.devices.size(), 1u);
  EXPECT_EQ(catalog.devices[0].model, "8086:4680");
  EXPECT_THAT(catalog.devices[0].info,
              testing::Contains(Attribute{AttributeId::hw_driver_version, "i915 of Linux 6.1.0-test"}));
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(value(MetricId::clock_frequency, {{AttributeId::clock_domain, "graphics"}}), 350e6);
  EXPECT_EQ(value(MetricId::clock_limit, {{AttributeId::clock_domain, "graphics"}}), 1550e6);
  EXPECT_THAT(why(MetricId::power), HasSubstr("no energy counter"));
  EXPECT_THAT(why(MetricId::gpu_memory_limit), HasSubstr("no render node"));
  EXPECT_THAT(why(MetricId::throttle_active), HasSubstr("no reasons"));
  // No counters: the clients are asked, of which there are none.
  poll();
  EXPECT_EQ(state(MetricId::gpu_utilization, {{AttributeId::gpu_task, "general"}}), State::ok);
  EXPECT_EQ(value(MetricId::gpu_utilization, {{AttributeId::gpu_task, "general"}}), 0);
  // Files that were there and are not.
  EXPECT_EQ(state(MetricId::gpu_asleep), State::unsupported);
}

TEST_F(IntelTree, AnOldXeSaysWhatItLacks) {
  const std::string folder = plant("0000:03:00.0", "xe", "0xe20b");
  write(folder + "tile0/physical_vram_size_bytes", "12884901888");
  write(folder + "tile0/gt0/freq0/act_freq", "0");
  write(folder + "tile0/gt0/freq0/throttle/status", "1");
  write(folder + "tile0/gt0/freq0/throttle/reason_pl1", "0");
  write(folder + "tile0/gt0/freq0/throttle/reason_of_tomorrow", "1");
  write(folder + "tile0/gt1/freq0/act_freq", "1200");
  write(folder + "hwmon/hwmon3/name", "xe");
  write(folder + "hwmon/hwmon3/energy1_input", "9000000000000");
  write(folder + "hwmon/hwmon3/power1_max", "0");
  write(folder + "hwmon/hwmon3/in1_input", "712");
  write(folder + "hwmon/hwmon3/temp2_input", "garbage");
  write(folder + "hwmon/hwmon3/temp2_crit", "100000");
  const std::string pmu = "sys/bus/event_source/devices/xe_0000_03_00.0/";
  write(pmu + "type", "40");
  write(pmu + "events/gt-c6-residency", "event=0x01");
  write(pmu + "format/event", "config:0-11");
  ASSERT_TRUE(discover()) << error.message();
  ASSERT_EQ(catalog.devices.size(), 1u);
  EXPECT_EQ(catalog.devices[0].model, "Intel Arc B580");
  EXPECT_EQ(poll(), PollResult::ok);
  clock.advance(kSecond);
  write(folder + "hwmon/hwmon3/energy1_input", "9000150000000");
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_NEAR(value(MetricId::power, {{AttributeId::power_scope, "gpu"}}), 150, 1e-6);
  EXPECT_NEAR(value(MetricId::energy), 9'000'150, 1e-6);
  EXPECT_EQ(value(MetricId::voltage, {{AttributeId::sensor_location, "gpu"}}), 0.712);
  EXPECT_EQ(state(MetricId::temperature, {{AttributeId::sensor_location, "gpu"}}), State::implausible);
  EXPECT_EQ(value(MetricId::temperature_limit, {{AttributeId::limit_type, "high.critical"}}), 100);
  EXPECT_EQ(value(MetricId::clock_frequency, {{AttributeId::clock_domain, "graphics"}}), 0);
  EXPECT_EQ(value(MetricId::clock_frequency, {{AttributeId::clock_domain, "video"}}), 1.2e9);
  EXPECT_EQ(value(MetricId::throttle_active, {{AttributeId::reason, "power_cap"}}), 0);
  EXPECT_EQ(value(MetricId::throttle_active, {{AttributeId::reason, "other"}}), 1);
  EXPECT_THAT(why(MetricId::power_limit), HasSubstr("no power limit is set"));
  EXPECT_THAT(why(MetricId::fan_speed), HasSubstr("6.16"));
  // The size is told by a file; what is used by the clients, since there is no node to ask.
  EXPECT_EQ(value(MetricId::gpu_memory_limit), 12884901888.0);
  EXPECT_EQ(value(MetricId::gpu_memory_usage), 0);
  EXPECT_EQ(find_series(catalog, MetricId::gpu_engine_utilization, 0, {{AttributeId::engine_index, "0"}}), -1);
}

TEST_F(IntelTree, ASleepingDeviceIsNotTouched) {
  const std::string folder = plant("0000:03:00.0", "xe", "0xe20b");
  write(folder + "power/runtime_status", "suspended");
  write(folder + "drm/renderD128/dev", "226:128");
  write(folder + "tile0/gt0/freq0/act_freq", "1200");
  write(folder + "hwmon/hwmon3/name", "xe");
  write(folder + "hwmon/hwmon3/temp2_input", "40000");
  // Its clients would have to be asked for their busy time.
  write("proc/4000/comm", "server");
  write("proc/4000/fdinfo/3", "drm-driver: xe\ndrm-client-id: 1\ndrm-pdev: 0000:03:00.0");
  fs::create_directories(root / "proc/4000/fd");
  fs::create_symlink("/dev/dri/renderD128", root / "proc/4000/fd/3");
  ASSERT_TRUE(discover()) << error.message();
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(value(MetricId::gpu_asleep), 1);
  EXPECT_EQ(value(MetricId::hw_status, {{AttributeId::hw_state, "ok"}}), 1);
  EXPECT_THAT(why(MetricId::temperature), HasSubstr("not_ready: the kernel has suspended"));
  EXPECT_EQ(find_series(catalog, MetricId::temperature, 0), -1);
  for (const CallStats& call : calls.calls()) {
    if (call.name == "/proc/PID/fdinfo" || call.name == "sysfs frequency") {
      EXPECT_EQ(call.calls, 0u) << call.name;
    }
  }

  write(folder + "power/runtime_status", "active");
  EXPECT_EQ(poll(1), PollResult::rediscover);
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(value(MetricId::gpu_asleep), 0);
  EXPECT_EQ(value(MetricId::temperature), 40);
  EXPECT_EQ(value(MetricId::process_count), 1);

  // And back: the series stay, and say nothing.
  write(folder + "power/runtime_status", "suspended");
  EXPECT_NE(poll(), PollResult::lost);
  EXPECT_EQ(value(MetricId::gpu_asleep), 1);
  EXPECT_EQ(state(MetricId::temperature), State::not_ready);
  EXPECT_TRUE(events.empty());
}

TEST_F(IntelTree, DevicesComeAndGo) {
  const std::string first = plant("0000:03:00.0", "xe", "0xe20b");
  write(first + "tile0/gt0/freq0/act_freq", "1200");
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
  const std::string second = plant("0000:01:00.0", "i915", "0x56c1");
  EXPECT_EQ(poll(1), PollResult::ok);  // not at every tick
  EXPECT_EQ(poll(3), PollResult::rediscover);
  ASSERT_TRUE(discover());
  ASSERT_EQ(catalog.devices.size(), 2u);
  EXPECT_EQ(catalog.devices[0].id, "0000:01:00.0");
  EXPECT_EQ(catalog.devices[1].index, "1");
  poll();
  EXPECT_EQ(value(MetricId::clock_frequency, {}, 1), 1.2e9);
  fs::remove_all(root / "sys/bus/pci/drivers/i915");
  fs::remove_all(root / second);
  fs::remove(root / "sys/bus/pci/drivers/xe/0000:03:00.0");
  EXPECT_EQ(poll(), PollResult::rediscover);
  fs::remove_all(root / first);
  EXPECT_FALSE(discover());
  EXPECT_EQ(error.code(), Code::absent);
}

TEST_F(IntelTree, PollsAllocateNothing) {
  const std::string folder = plant("0000:03:00.0", "xe", "0xe20b");
  write(folder + "power/runtime_status", "active");
  write(folder + "tile0/physical_vram_size_bytes", "12884901888");
  write(folder + "tile0/gt0/freq0/act_freq", "1200");
  write(folder + "tile0/gt0/freq0/throttle/status", "1");
  write(folder + "tile0/gt0/freq0/throttle/reason_pl1", "1");
  write(folder + "hwmon/hwmon3/name", "xe");
  write(folder + "hwmon/hwmon3/energy1_input", "9000000");
  write(folder + "hwmon/hwmon3/temp2_input", "40000");
  for (const char* pid : {"4000", "4001"}) {
    const std::string process = "proc/" + std::string(pid);
    write(process + "/comm", "server");
    write(process + "/fdinfo/3", "drm-driver: xe\ndrm-client-id: " + std::string(pid) +
                                     "\ndrm-pdev: 0000:03:00.0\ndrm-resident-vram0: 1 MiB\ndrm-cycles-ccs: 1\n"
                                     "drm-total-cycles-ccs: 9");
    fs::create_directories(root / (process + "/fd"));
    fs::create_symlink("/dev/dri/renderD128", root / (process + "/fd/3"));
  }
  ASSERT_TRUE(discover());
  poll();
  clock.advance(kSecond);
  poll();
  clock.advance(kSecond);
  const uint64_t before = counted_new::allocations;
  const PollResult result = poll();
  const uint64_t after = counted_new::allocations;
  EXPECT_EQ(result, PollResult::ok);
  EXPECT_EQ(after - before, 0u);
  EXPECT_EQ(value(MetricId::process_count), 2);
  EXPECT_EQ(value(MetricId::gpu_memory_usage), 2 << 20);
}

TEST(PciBus, KnowsAddresses) {
  EXPECT_TRUE(is_pci_address("0000:4d:00.0"));
  EXPECT_TRUE(is_pci_address("10000:e1:00.0"));
  for (const char* text : {"", "0000:4d:00", "0000:4d:00.00", "0000:4D:00.0", "4d:00.0", "0000-4d:00.0", "module"})
    EXPECT_FALSE(is_pci_address(text)) << text;
}

TEST_F(IntelTree, TheBusListsAcceleratorsAlone) {
  const auto function = [&](const std::string& address, const char* vendor, const char* device, const char* kind) {
    std::string folder = "sys/bus/pci/devices/" + address + "/";
    write(folder + "vendor", vendor);
    write(folder + "device", device);
    write(folder + "class", kind);
    return folder;
  };
  function("0000:01:00.0", "0x10de", "0x2330", "0x030200");
  function("0000:01:00.1", "0x10de", "0x22ba", "0x040300");  // its sound
  function("0000:02:00.0", "0x1002", "0x74a1", "0x120000");
  function("0000:03:00.0", "0x1a03", "0x2000", "0x030000");  // a server's display chip
  function("0000:04:00.0", "0x19e5", "0x1711", "0x030000");  // likewise
  function("0000:05:00.0", "0x19e5", "0xd802", "0x120000");
  function("0000:06:00.0", "0x1d0f", "0x7264", "0x088000");  // by its number
  function("0000:07:00.0", "0x1d0f", "0x1111", "0x030000");
  write(function("0000:08:00.0", "0x8086", "0x56c0", "0x038000") + "physfn", "");  // a virtual function
  write(function("0000:09:00.0", "0x8086", "0xe20b", "0x038000") + "numa_node", "-1");
  function("0000:0a:00.0", "0x10de", "nonsense", "0x030200");
  function("0000:0b:00.0", "", "", "");
  const PciListing listing = list_accelerators((root / "sys").string());
  std::vector<std::string> found;
  for (const PciFunction& f : listing.functions) found.push_back(f.address);
  EXPECT_THAT(found,
              testing::ElementsAre("0000:01:00.0", "0000:02:00.0", "0000:05:00.0", "0000:06:00.0", "0000:09:00.0"));
  EXPECT_THAT(listing.unreadable, testing::ElementsAre("0000:0a:00.0", "0000:0b:00.0"));
  EXPECT_EQ(listing.functions[4].numa_node, -1);
  EXPECT_EQ(pci_model(0x10de, 0x2330), "NVIDIA H100 SXM5 80GB");
  EXPECT_EQ(pci_model(0x10de, 0x1), "10de:0001");
  EXPECT_NE(list_accelerators("/no/such/folder").error, 0);
}

}  // namespace
}  // namespace accelmon
