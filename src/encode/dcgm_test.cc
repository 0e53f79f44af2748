#include "encode/dcgm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/text.h"
#include "encode/exposition.h"
#include "encode/labels.h"
#include "encode/snapshot_for_test.h"

namespace accelmon {
namespace {

using for_test::Page;
using for_test::read_page;
using for_test::Sample;
using for_test::SnapshotMaker;
using for_test::whole_table;

using enum MetricId;
using enum AttributeId;

const PageOptions kDcgm{.otel = false, .dcgm = true, .hostname = "node-1"};

std::string text_of(const Snapshot& snapshot, const PageOptions& options = kDcgm,
                    ExpositionFormat format = ExpositionFormat::text_0_0_4) {
  std::string page;
  Exposition(options).render(snapshot, format, page);
  return page;
}

std::vector<Sample> samples_of(const Snapshot& snapshot, std::string_view name, const PageOptions& options = kDcgm) {
  std::vector<Sample> out;
  for (Sample& sample : read_page(text_of(snapshot, options)).samples)
    if (sample.name == name) out.push_back(std::move(sample));
  return out;
}

// The only sample of that name; not a number where there is none, or more than one.
double value_of(const Snapshot& snapshot, std::string_view name) {
  const std::vector<Sample> samples = samples_of(snapshot, name);
  return samples.size() == 1 ? samples[0].value : std::nan("");
}

Device h100(int index) {
  return {.id = "GPU-" + std::to_string(index),
          .index = std::to_string(index),
          .vendor = "nvidia",
          .model = "NVIDIA H100 80GB HBM3",
          .info = {{pci_address, "0000:1b:00.0"}, {hw_driver_version, "570.86.15"}}};
}

TEST(Dcgm, TheTableFitsTheMetrics) {
  std::set<std::string_view> names;
  std::string_view last;
  for (const DcgmField& field : dcgm_fields()) {
    EXPECT_TRUE(field.name.starts_with("DCGM_FI_")) << field.name;
    if (field.name != last) {
      EXPECT_TRUE(names.insert(field.name).second) << field.name << " stands in two places";
    }
    last = field.name;
    EXPECT_TRUE(field.kind == Kind::gauge || field.kind == Kind::counter);
    const MetricInfo& metric = info(field.metric);
    if (field.take != DcgmField::Take::xid) {
      const bool grows = field.metric == memory_rows || field.metric == memory_pages;
      EXPECT_TRUE(field.kind == metric.kind || field.kind == Kind::gauge || grows) << field.name << " of a gauge";
      EXPECT_TRUE(field.kind == Kind::counter || metric.kind != Kind::counter) << field.name << " of a counter";
    }
    std::string_view where = field.where;
    while (!where.empty()) {
      const std::string_view one = where.substr(0, where.find(','));
      where.remove_prefix(std::min(where.size(), one.size() + 1));
      const std::string_view key = one.substr(0, one.find('='));
      EXPECT_TRUE(find_attribute(key)) << key;
      EXPECT_NE(("," + std::string(metric.attributes) + ",").find("," + std::string(key) + ","), std::string::npos)
          << field.name << ": " << key << " is no attribute of " << metric.name;
    }
  }
  for (const MetricInfo& metric : all_metrics()) {
    if (metric.dcgm.empty()) continue;
    EXPECT_TRUE(std::any_of(dcgm_fields().begin(), dcgm_fields().end(),
                            [&](const DcgmField& field) {
                              return field.metric == metric.id &&
                                     matches("DCGM_FI_" + std::string(metric.dcgm), field.name);
                            }))
        << metric.name << " says that it is " << metric.dcgm;
  }
}

TEST(Dcgm, LabelsAndUnitsOfOneBoard) {
  SnapshotMaker make;
  make.source("nvml");
  const int gpu = make.device(h100(3));
  make.add(gpu_utilization, gpu, {{gpu_task, "general"}}, 0.29)
      .add(gpu_utilization, gpu, {{gpu_task, "encoder"}}, 0)
      .add(gpu_memory_usage, gpu, {}, 64.0 * 1024 * 1024 * 1024)
      .add(energy, gpu, {}, 123456789.125)
      .add(clock_frequency, gpu, {{clock_domain, "memory"}}, 2619e6)
      .add(temperature, gpu, {{sensor_location, "memory"}}, 44, State::stale);
  make.source("host").add(uptime, -1, {}, 5);
  const std::string labels =
      "{gpu=\"3\",UUID=\"GPU-3\",pci_bus_id=\"00000000:1B:00.0\",device=\"nvidia3\",modelName=\"NVIDIA H100 80GB "
      "HBM3\",Hostname=\"node-1\",DCGM_FI_DRIVER_VERSION=\"570.86.15\"";
  const Snapshot snapshot = make.take();
  const auto page = [&](bool text) {
    const auto family = [&](const char* name, const char* type, const char* help, const char* more, const char* value) {
      const std::string first = "# HELP " + std::string(name) + " " + help + "\n";
      const std::string second = "# TYPE " + std::string(name) + " " + type + "\n";
      return (text ? first + second : second + first) + name + labels + more + "} " + value + "\n";
    };
    return family("DCGM_FI_DEV_MEM_CLOCK", "gauge", "Clock of the memory, in MHz", "", "2619") +
           family("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", text ? "counter" : "unknown",
                  "Energy consumed since the driver was loaded, in mJ", "", "123456789125") +
           family("DCGM_FI_DEV_GPU_UTIL", "gauge", "Share of time in which at least one kernel ran, in percent", "",
                  "29") +
           family("DCGM_FI_DEV_ENC_UTIL", "gauge", "Share of time in which the video encoder was busy, in percent", "",
                  "0") +
           family("DCGM_FI_DEV_XID_ERRORS", "gauge",
                  "Number of each Xid that the driver reported since the agent started; 0: none",
                  ",err_code=\"0\",err_msg=\"no error\"", "0") +
           family("DCGM_FI_DEV_FB_USED", "gauge", "Memory in use, in MiB", "", "65536") +
           family("DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gauge",
                  "Share of time in which the graphics and compute engine was active", "", "0.29");
  };
  EXPECT_EQ(text_of(snapshot), page(true));
  EXPECT_EQ(text_of(snapshot, kDcgm, ExpositionFormat::openmetrics_1_0), page(false) + "# EOF\n");
}

TEST(Dcgm, WholeNumbersStayWhole) {
  for (int percent = 0; percent <= 100; ++percent) {
    SnapshotMaker make;
    make.source("nvml");
    const int gpu = make.device(h100(0));
    make.add(gpu_utilization, gpu, {{gpu_task, "general"}}, percent / 100.0)
        .add(clock_frequency, gpu, {{clock_domain, "sm"}}, (1980 + percent) * 1e6)
        .add(energy, gpu, {}, 1e9 + percent / 1000.0)
        .add(gpu_memory_free, gpu, {}, percent * 1048576.0 + 524288);
    const Snapshot snapshot = make.take();
    EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_GPU_UTIL"), percent);
    EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_SM_CLOCK"), 1980 + percent);
    EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"), 1e12 + percent);
    EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_FB_FREE"), percent + 0.5) << "what is no whole number is left as it is";
  }
}

TEST(Dcgm, OneOfSeveralIsTheOneThatDcgmMeans) {
  SnapshotMaker make;
  make.source("nvml");
  const int gpu = make.device(h100(0));
  const auto power_of = [&](const char* scope, const char* reading, double watts) {
    make.add(power, gpu, {{power_scope, scope}, {power_reading, reading}}, watts);
  };
  power_of("module", "average", 900);
  power_of("gpu", "instant", 650);
  power_of("gpu", "average", 600);
  make.add(clock_frequency, gpu, {{clock_domain, "graphics"}}, 1e9)
      .add(clock_frequency, gpu, {{clock_domain, "sm"}}, 2e9)
      .add(temperature, gpu, {{sensor_location, "hotspot"}}, 90)
      .add(temperature, gpu, {{sensor_location, "gpu"}}, 60)
      .add(power_limit, gpu, {{limit, "enforced"}}, 500)
      .add(power_limit, gpu, {{limit, "requested"}}, 700)
      .add(fan_speed_ratio, gpu, {{fan, "0"}}, 0.3)
      .add(fan_speed_ratio, gpu, {{fan, "1"}}, 0.4)
      .add(gpu_graphics_activity, gpu, {}, 0.5)
      .add(gpu_utilization, gpu, {{gpu_task, "general"}}, 0.9);
  const Snapshot snapshot = make.take();
  EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_POWER_USAGE"), 600);
  EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_POWER_USAGE_INSTANT"), 650);
  EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_SM_CLOCK"), 2000);
  EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_GPU_TEMP"), 60);
  EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_POWER_MGMT_LIMIT"), 700);
  EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_ENFORCED_POWER_LIMIT"), 500);
  EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_FAN_SPEED"), 30);
  EXPECT_EQ(value_of(snapshot, "DCGM_FI_PROF_GR_ENGINE_ACTIVE"), 0.5);

  // What other makers have instead.
  SnapshotMaker other;
  other.source("amdgpu");
  const int card = other.device({.id = "amd-1", .index = "0", .vendor = "amd", .model = "MI300X"});
  other.add(power, card, {{power_scope, "gpu"}, {power_reading, "instant"}}, 650)
      .add(clock_frequency, card, {{clock_domain, "graphics"}}, 1e9)
      .add(temperature, card, {{sensor_location, "hotspot"}}, 90)
      .add(power_limit, card, {{limit, "enforced"}}, 750)
      .add(gpu_utilization, card, {{gpu_task, "general"}}, 0.9)
      .add(memory_pages, card, {{row_state, "retired"}}, 2);
  const Snapshot amd = other.take();
  EXPECT_EQ(value_of(amd, "DCGM_FI_DEV_POWER_USAGE"), 650);
  EXPECT_EQ(value_of(amd, "DCGM_FI_DEV_SM_CLOCK"), 1000);
  EXPECT_EQ(value_of(amd, "DCGM_FI_DEV_GPU_TEMP"), 90);
  EXPECT_EQ(value_of(amd, "DCGM_FI_DEV_POWER_MGMT_LIMIT"), 750);
  EXPECT_EQ(value_of(amd, "DCGM_FI_PROF_GR_ENGINE_ACTIVE"), 0.9);
  EXPECT_EQ(value_of(amd, "DCGM_FI_DEV_RETIRED_DBE"), 2);
  EXPECT_EQ(samples_of(amd, "DCGM_FI_DEV_GPU_TEMP").at(0).label("device"), "amd0");
  EXPECT_TRUE(samples_of(amd, "DCGM_FI_DEV_XID_ERRORS").empty()) << "an Xid is NVIDIA's";
}

TEST(Dcgm, SumsAreAbsentWhereAPartIs) {
  for (const State state : {State::ok, State::error}) {
    SnapshotMaker make;
    make.source("nvml");
    const int gpu = make.device(h100(0));
    make.add(errors, gpu, {{error_type, "corrected"}, {error_block, "sram"}}, 2)
        .add(errors, gpu, {{error_type, "corrected"}, {error_block, "dram"}}, 3, state)
        .add(errors, gpu, {{error_type, "uncorrected"}, {error_block, "total"}}, 1)
        .add(link_io_rate, gpu, {{link, "0"}, {link_kind, "nvlink"}, {direction, "receive"}}, 2.5e9)
        .add(link_io_rate, gpu, {{link, "0"}, {link_kind, "nvlink"}, {direction, "transmit"}}, 1e9)
        .add(link_io_rate, gpu, {{link, "1"}, {link_kind, "nvlink"}, {direction, "receive"}}, 5e8)
        .add(throttle_time, gpu, {{reason, "thermal_software"}}, 1.5)
        .add(throttle_time, gpu, {{reason, "thermal_hardware"}}, 0.25)
        .add(throttle_time, gpu, {{reason, "power_cap"}}, 4);
    const Snapshot snapshot = make.take();
    if (state == State::ok) {
      EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL"), 5);
    } else {
      EXPECT_TRUE(samples_of(snapshot, "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL").empty());
    }
    EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"), 1);
    EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL"), 4000);
    EXPECT_EQ(value_of(snapshot, "DCGM_FI_PROF_NVLINK_RX_BYTES"), 3e9);
    EXPECT_EQ(value_of(snapshot, "DCGM_FI_PROF_NVLINK_TX_BYTES"), 1e9);
    EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_THERMAL_VIOLATION"), 1.75e9);
    EXPECT_EQ(value_of(snapshot, "DCGM_FI_DEV_POWER_VIOLATION"), 4e9);
  }
}

TEST(Dcgm, ThrottleReasonsAreNvidiasMask) {
  SnapshotMaker make;
  make.source("nvml");
  const int gpu = make.device(h100(0));
  for (const auto& [name, active] :
       {std::pair("idle", 0), {"power_cap", 1}, {"thermal_hardware", 1}, {"power_brake", 0}, {"voltage", 1}})
    make.add(throttle_active, gpu, {{reason, name}}, active);
  EXPECT_EQ(value_of(make.take(), "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"), 0x44) << "voltage has no bit";
}

TEST(Dcgm, EachXidIsASampleOfItsOwn) {
  SnapshotMaker make;
  make.source("nvml");
  const int sick = make.device(h100(0));
  const int well = make.device(h100(1));
  const int deaf = make.device(h100(2));
  const int silent = make.device(h100(3));
  for (const int gpu : {sick, well, deaf}) make.add(gpu_asleep, gpu, {}, 0).add(temperature, gpu, {}, 40);
  make.add(events, sick, {{event_code, "xid:79"}, {severity, "critical"}}, 1)
      .add(events, sick, {{event_code, "xid:31"}, {severity, "info"}}, 7)
      .add(events, sick, {{event_code, "xid:9999"}, {severity, "info"}}, 7)
      .add(events, sick, {{event_code, "throttled"}, {severity, "info"}}, 3)
      .add(hw_status, silent, {{hw_state, "failed"}}, 1)
      .add(device_unread, silent, {{reason, "no_driver"}}, 1);
  Snapshot snapshot = make.take();
  Catalog catalog = *snapshot.sources[0].catalog;
  catalog.absences.push_back({events, deaf, State::unsupported, "no events here"});
  snapshot.sources[0].catalog = std::make_shared<const Catalog>(catalog);
  const std::vector<Sample> xids = samples_of(snapshot, "DCGM_FI_DEV_XID_ERRORS");
  ASSERT_EQ(xids.size(), 4u);
  const std::tuple<double, const char*, const char*, const char*> wanted[] = {
      {79, "0", "79", "the GPU has fallen off the bus"},
      {31, "0", "31", "memory page fault"},
      {9999, "0", "9999", "not in the catalogue"},
      {0, "1", "0", "no error"}};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(xids[i].value, std::get<0>(wanted[i]));
    EXPECT_EQ(xids[i].label("gpu"), std::get<1>(wanted[i]));
    EXPECT_EQ(xids[i].label("err_code"), std::get<2>(wanted[i]));
    EXPECT_EQ(xids[i].label("err_msg"), std::get<3>(wanted[i]));
  }
}

// Collectors may show counters of codes that have not come yet.
TEST(Dcgm, AnXidIsShownOnceItCame) {
  for (const double count : {0.0, 2.0}) {
    SnapshotMaker make;
    make.source("nvml");
    const int gpu = make.device(h100(0));
    make.add(temperature, gpu, {}, 40)
        .add(events, gpu, {{event_code, "xid:79"}, {severity, "critical"}}, count)
        .add(events, gpu, {{event_code, "xid:31"}, {severity, "info"}}, 0);
    const std::vector<Sample> xids = samples_of(make.take(), "DCGM_FI_DEV_XID_ERRORS");
    ASSERT_EQ(xids.size(), 1u);
    EXPECT_EQ(xids[0].value, count == 0 ? 0 : 79);
    EXPECT_EQ(xids[0].label("err_code"), count == 0 ? "0" : "79");
  }
}

TEST(Dcgm, InstancesStandForTheirBoard) {
  SnapshotMaker make;
  make.source("nvml");
  const int board = make.device(h100(0));
  const int whole = make.device(h100(1));
  const auto instance = [&](int slot, const char* id) {
    return make.device({.type = DeviceType::gpu_partition,
                        .id = "MIG-" + std::to_string(slot),
                        .index = "0:" + std::to_string(slot),
                        .vendor = "nvidia",
                        .model = "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
                        .parent = board,
                        .info = {{partition_profile, "1g.10gb"}, {partition_id, id}}});
  };
  const int first = instance(0, "7");
  const int second = instance(1, "");
  const int shared = instance(2, "7");
  for (const int device : {board, whole, first, second, shared})
    make.add(gpu_memory_usage, device, {}, 1048576.0 * (1 + device));
  make.add(temperature, board, {{sensor_location, "gpu"}}, 50)
      .add(gpu_graphics_activity, first, {}, 0.5)
      .add(gpu_utilization, board, {{gpu_task, "general"}}, 0.7);
  const Snapshot snapshot = make.take();
  const std::vector<Sample> used = samples_of(snapshot, "DCGM_FI_DEV_FB_USED");
  ASSERT_EQ(used.size(), 3u) << "the board's own would count twice, and so would a second one of an instance";
  EXPECT_EQ(used[0].label("UUID"), "GPU-1");
  EXPECT_EQ(used[1].label("GPU_I_ID"), "7");
  EXPECT_EQ(used[1].label("GPU_I_PROFILE"), "1g.10gb");
  EXPECT_EQ(used[1].label("gpu"), "0");
  EXPECT_EQ(used[1].label("UUID"), "GPU-0");
  EXPECT_EQ(used[1].label("device"), "nvidia0");
  EXPECT_EQ(used[1].label("modelName"), "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(used[1].value, 3);
  EXPECT_EQ(used[2].label("GPU_I_ID"), "1") << "the slot, where the instance has no number";
  EXPECT_EQ(samples_of(snapshot, "DCGM_FI_DEV_GPU_TEMP").at(0).label("GPU_I_ID"), "");
  const std::vector<Sample> active = samples_of(snapshot, "DCGM_FI_PROF_GR_ENGINE_ACTIVE");
  ASSERT_EQ(active.size(), 1u) << "nor by another row of the same name";
  EXPECT_EQ(active[0].label("GPU_I_ID"), "7");
}

// An AMD partition knows the size of its memory and not its use: both stay the board's, or their quotient had no sense.
TEST(Dcgm, ABoardSpeaksWhereItsPartitionsTellLess) {
  SnapshotMaker make;
  make.source("amdgpu");
  const int board = make.device({.id = "amd-1", .index = "0", .vendor = "amd", .model = "Instinct MI300X"});
  const int part = make.device({.type = DeviceType::gpu_partition,
                                .id = "amd-1/partition0",
                                .index = "0:0",
                                .vendor = "amd",
                                .parent = board,
                                .info = {{partition_profile, "CPX/NPS4"}}});
  make.add(gpu_memory_usage, board, {}, 1048576.0).add(gpu_memory_limit, board, {}, 8 * 1048576.0);
  make.add(gpu_memory_limit, part, {}, 1048576.0).add(gpu_utilization, part, {{gpu_task, "general"}}, 0.5);
  make.add(gpu_utilization, board, {{gpu_task, "general"}}, 0.1);
  const Snapshot snapshot = make.take();
  const std::vector<Sample> total = samples_of(snapshot, "DCGM_FI_DEV_FB_TOTAL");
  ASSERT_EQ(total.size(), 1u);
  EXPECT_EQ(total[0].value, 8);
  EXPECT_EQ(total[0].label("GPU_I_ID"), "");
  const std::vector<Sample> busy = samples_of(snapshot, "DCGM_FI_DEV_GPU_UTIL");
  ASSERT_EQ(busy.size(), 1u);
  EXPECT_EQ(busy[0].label("GPU_I_ID"), "0");
}

TEST(Dcgm, ABoardStandsForItsTiles) {
  SnapshotMaker make;
  make.source("level_zero");
  const int board = make.device({.id = "card", .index = "0", .vendor = "intel", .model = "Max 1550"});
  int tiles[2];
  for (int i = 0; i < 2; ++i)
    tiles[i] = make.device({.type = DeviceType::gpu_partition,
                            .id = "card/tile" + std::to_string(i),
                            .index = "0:" + std::to_string(i),
                            .vendor = "intel",
                            .parent = board});
  for (const int device : {tiles[0], tiles[1], board}) make.add(gpu_memory_usage, device, {}, 1048576.0);
  for (const int tile : tiles) make.add(clock_frequency, tile, {{clock_domain, "graphics"}}, 1e9);
  const Snapshot snapshot = make.take();
  const std::vector<Sample> used = samples_of(snapshot, "DCGM_FI_DEV_FB_USED");
  ASSERT_EQ(used.size(), 1u);
  EXPECT_EQ(used[0].label("GPU_I_ID"), "");
  const std::vector<Sample> clocks = samples_of(snapshot, "DCGM_FI_DEV_SM_CLOCK");
  ASSERT_EQ(clocks.size(), 2u) << "what the board does not say, its tiles do";
  EXPECT_EQ(clocks[1].label("GPU_I_ID"), "1");
}

TEST(Dcgm, OneDeviceOfSeveralSources) {
  SnapshotMaker make;
  make.source("kernel_log");
  const int heard = make.device({.id = "GPU-0", .vendor = "nvidia", .info = {{pci_address, "0000:1b:00.0"}}});
  make.add(events, heard, {{event_code, "xid:48"}, {severity, "critical"}}, 1);
  make.source("nvml");
  const int gpu = make.device(h100(0));
  make.add(temperature, gpu, {{sensor_location, "gpu"}}, 50);
  const std::vector<Sample> xids = samples_of(make.take(), "DCGM_FI_DEV_XID_ERRORS");
  ASSERT_EQ(xids.size(), 1u);
  EXPECT_EQ(xids[0].value, 48);
  EXPECT_EQ(xids[0].label("gpu"), "0");
  EXPECT_EQ(xids[0].label("modelName"), "NVIDIA H100 80GB HBM3");
}

TEST(Dcgm, BothVocabulariesAreBothPages) {
  PageOptions both = kDcgm;
  both.otel = true;
  const std::string otel = text_of(whole_table(), PageOptions());
  const std::string dcgm = text_of(whole_table());
  EXPECT_EQ(dcgm.find("hw_"), std::string::npos);
  EXPECT_GT(otel.size(), 10000u);
  EXPECT_GT(read_page(dcgm).samples.size(), 20u);
  EXPECT_EQ(text_of(whole_table(), both), otel + dcgm);
}

TEST(Dcgm, NoSeriesTwiceAndFamiliesTogether) {
  const Page page = read_page(text_of(whole_table()));
  std::set<std::string> series, families;
  std::string last;
  for (const Sample& sample : page.samples) {
    std::string key = sample.name;
    std::set<std::string> labels;
    for (const auto& [name, value] : sample.labels) {
      EXPECT_TRUE(labels.insert(name).second) << name;
      EXPECT_TRUE(std::count(dcgm_label_names().begin(), dcgm_label_names().end(), name) == 1) << name;
    }
    for (const auto& [name, value] : sample.labels) key += name + "=" + value + ",";
    EXPECT_TRUE(series.insert(key).second) << key;
    if (sample.name != last) {
      EXPECT_TRUE(families.insert(sample.name).second) << sample.name;
    }
    last = sample.name;
  }
}

TEST(PageOptions, OnlyExceptAndDroppedLabels) {
  const auto names = [](const PageOptions& options) {
    std::set<std::string> out;
    for (const Sample& sample : read_page(text_of(whole_table(), options)).samples) out.insert(sample.name);
    return out;
  };
  PageOptions options{
      .dcgm = true, .only = {"hw.*", "accelmon.gpu.clock.frequency"}, .except = {"hw.gpu.io", "*.limit"}};
  std::set<std::string> shown = names(options);
  EXPECT_TRUE(shown.count("hw_temperature_celsius"));
  EXPECT_TRUE(shown.count("accelmon_gpu_clock_frequency_hertz"));
  EXPECT_FALSE(shown.count("hw_gpu_io_bytes_total"));
  EXPECT_FALSE(shown.count("hw_gpu_memory_limit_bytes"));
  EXPECT_FALSE(shown.count("accelmon_agent_scrapes_total"));
  for (const std::string& name : shown)
    EXPECT_TRUE(name.starts_with("hw_") || name.starts_with("DCGM_") || name.find("clock") != std::string::npos)
        << name;
  EXPECT_FALSE(shown.count("DCGM_FI_PROF_PCIE_TX_BYTES")) << "the rate of what was left out";
  EXPECT_TRUE(PageOptions{.only = {"hw.gpu.io"}}.takes(gpu_io_rate));
  EXPECT_FALSE(PageOptions{.only = {"accelmon.*"}}.takes(gpu_io_rate));

  options = {.dcgm = true, .drop_labels = {"hw.vendor", "hw_type", "modelName", "Hostname"}, .hostname = "node-1"};
  size_t dropped = 0;
  for (const Sample& sample : read_page(text_of(whole_table(), options)).samples) {
    for (const char* name : {"hw_vendor", "hw_type", "modelName", "Hostname"}) EXPECT_EQ(sample.label(name), "");
    dropped += sample.label("hw_id").empty() ? 0 : 1;
  }
  EXPECT_GT(dropped, 50u);

  options = {.dcgm = true, .keep_labels = {"hw.id", "UUID", "gpu"}, .drop_labels = {"gpu"}, .hostname = "node-1"};
  size_t kept = 0, named = 0;
  for (const Sample& sample : read_page(text_of(whole_table(), options)).samples) {
    for (const auto& [name, value] : sample.labels) EXPECT_TRUE(name == "hw_id" || name == "UUID") << name;
    kept += sample.label("hw_id").empty() ? 0 : 1;
    named += sample.label("UUID").empty() ? 0 : 1;
  }
  EXPECT_GT(kept, 20u);
  EXPECT_GT(named, 20u);

  SnapshotMaker make;
  make.source("x").add(load_average, -1, {{load_window, "1m"}}, 1).add(load_average, -1, {{load_window, "5m"}}, 2);
  const Snapshot snapshot = make.take();
  EXPECT_EQ(text_of(snapshot, {.drop_labels = {"load.window"}}).find("accelmon_host_load_average 2"), std::string::npos)
      << "series that are left alike are one";
  const std::string page = text_of(snapshot, {.keep_labels = {"hw.id"}});
  EXPECT_NE(page.find("accelmon_host_load_average 1\n"), std::string::npos);
  EXPECT_EQ(page.find("accelmon_host_load_average 2"), std::string::npos);
}

// docs/dcgm.md holds the table: a row for each name, as the table has it.
TEST(Dcgm, TheDocumentSaysWhatIsServed) {
  std::ifstream file(ACCELMON_SOURCE_DIR "/docs/dcgm.md");
  std::stringstream text;
  text << file.rdbuf();
  std::string_view last;
  std::string missing;
  for (const DcgmField& field : dcgm_fields()) {
    if (field.name == last) continue;
    last = field.name;
    const std::string row = "| `" + std::string(field.name) + "` | " + std::string(to_string(field.kind)) + " | " +
                            std::string(field.help) + " | `" + std::string(info(field.metric).name) + "` |";
    if (text.str().find("\n" + row) == std::string::npos) missing += row + "\n";
  }
  EXPECT_EQ(missing, "") << "rows that docs/dcgm.md lacks";
}

}  // namespace
}  // namespace accelmon
