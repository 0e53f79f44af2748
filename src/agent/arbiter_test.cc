#include "agent/arbiter.h"

#include <gtest/gtest.h>

namespace accelmon {
namespace {

constexpr Nanos kInterval = kSecond;

Device gpu(std::string id, std::string address, std::string vendor = "intel") {
  Device device;
  device.id = std::move(id);
  device.vendor = std::move(vendor);
  device.index = "0";
  device.info = {{AttributeId::pci_address, std::move(address)}};
  return device;
}

// A source with its catalog and a frame in which everything is ok.
class World {
 public:
  size_t add(std::string name, Shows shows = Shows::devices) {
    ArbiterSource source;
    source.shows = shows;
    source.live = source.reported = true;
    source.view.name = std::move(name);
    raw_.emplace_back();
    raw_.back().source = std::move(source);
    return raw_.size() - 1;
  }
  struct Raw {
    ArbiterSource source;
    Catalog building;
    CatalogPtr catalog;
    std::vector<State> states;
    std::vector<double> values;
  };
  Raw& operator[](size_t i) { return raw_[i]; }

  int device(size_t source, Device device) {
    return CatalogBuilder(raw_[source].building).add_device(std::move(device));
  }
  int series(size_t source, MetricId metric, int device, double value, std::vector<Attribute> attributes = {}) {
    raw_[source].values.push_back(value);
    raw_[source].states.push_back(State::ok);
    raw_[source].catalog = nullptr;
    return CatalogBuilder(raw_[source].building).add(metric, device, Tier::fast, std::move(attributes));
  }
  // One publication, `seconds` after the last.
  void publish(double seconds = 1, bool settled = true) {
    now_ += static_cast<Nanos>(seconds * 1e9);
    shown_.resize(raw_.size());
    for (size_t i = 0; i < raw_.size(); ++i) {
      Raw& raw = raw_[i];
      if (raw.catalog == nullptr) {
        raw.building.generation = ++generation_;
        raw.catalog = std::make_shared<const Catalog>(raw.building);
      }
      raw.source.view.catalog = raw.catalog;
      raw.source.view.frame = frames_.take();
      raw.source.view.frame->generation = raw.catalog->generation;
      raw.source.view.frame->values = raw.values;
      raw.source.view.frame->states = raw.states;
      shown_[i] = raw.source;
    }
    arbiter_.arbitrate(shown_, now_, kInterval, settled);
  }
  // Every value of the metric that is shown, as "source:hw.id=value".
  std::vector<std::string> shown(MetricId metric) const {
    std::vector<std::string> all;
    for (const ArbiterSource& source : shown_) {
      const Catalog& catalog = *source.view.catalog;
      EXPECT_EQ(catalog.generation, source.view.frame->generation);
      EXPECT_EQ(catalog.series.size(), source.view.frame->values.size());
      EXPECT_TRUE(validate(catalog).ok());
      for (size_t i = 0; i < catalog.series.size(); ++i) {
        if (catalog.series[i].metric != metric || source.view.frame->states[i] != State::ok) continue;
        const int32_t device = catalog.series[i].device;
        all.push_back(source.view.name + ":" + (device < 0 ? "" : catalog.devices[static_cast<size_t>(device)].id) +
                      "=" + std::to_string(static_cast<int>(source.view.frame->values[i])));
      }
    }
    return all;
  }
  size_t devices(size_t source) const { return shown_[source].view.catalog->devices.size(); }
  const Catalog& catalog(size_t source) const { return *shown_[source].view.catalog; }
  const Frame& frame(size_t source) const { return *shown_[source].view.frame; }

 private:
  Arbiter arbiter_;
  std::vector<Raw> raw_;
  std::vector<ArbiterSource> shown_;
  Recycler<Frame> frames_;
  uint64_t generation_ = 0;
  Nanos now_ = 1000 * kSecond;
};

using Strings = std::vector<std::string>;

TEST(Arbiter, WhatNobodyContestsIsShownAsItCame) {
  World world;
  const size_t nvml = world.add("nvml");
  world.series(nvml, MetricId::power, world.device(nvml, gpu("GPU-1", "0000:18:00.0")), 300);
  world.publish();
  EXPECT_EQ(&world.catalog(nvml), world[nvml].catalog.get()) << "no copy where there is nothing to decide";
}

TEST(Arbiter, OneValueAMetricFromTheEarlierSource) {
  World world;
  const size_t sysman = world.add("level_zero");
  const size_t kernel = world.add("intel_kernel");
  const int a = world.device(sysman, gpu("0000:4d:00.0", "0000:4d:00.0"));
  const int b = world.device(kernel, gpu("0000:4d:00.0", "0000:4d:00.0"));
  const int power = world.series(sysman, MetricId::power, a, 100);
  world.series(kernel, MetricId::power, b, 101);
  world.series(kernel, MetricId::fan_speed, b, 1200);
  world.publish();
  EXPECT_EQ(world.shown(MetricId::power), Strings{"level_zero:0000:4d:00.0=100"});
  EXPECT_EQ(world.shown(MetricId::fan_speed), Strings{"intel_kernel:0000:4d:00.0=1200"}) << "only it has the fan";

  // Refused for longer than three intervals: the kernel's files step in, and only for this metric.
  world[sysman].states[static_cast<size_t>(power)] = State::no_permission;
  world.publish();
  EXPECT_EQ(world.shown(MetricId::power), Strings{}) << "one refusal is no reason yet";
  for (int i = 0; i < 4; ++i) world.publish();
  EXPECT_EQ(world.shown(MetricId::power), Strings{"intel_kernel:0000:4d:00.0=101"});

  // Back again: believed after ten intervals of answers, so that a source that flickers does not make the value
  // flicker.
  world[sysman].states[static_cast<size_t>(power)] = State::ok;
  for (int i = 0; i < 9; ++i) world.publish();
  EXPECT_EQ(world.shown(MetricId::power), Strings{"intel_kernel:0000:4d:00.0=101"});
  for (int i = 0; i < 3; ++i) world.publish();
  EXPECT_EQ(world.shown(MetricId::power), Strings{"level_zero:0000:4d:00.0=100"});
}

// A rate over a change of sources must be true: what both count goes on from where it was.
TEST(Arbiter, ACounterGoesOnWhereTheOtherSourceLeftOff) {
  World world;
  const size_t sysman = world.add("level_zero");
  const size_t kernel = world.add("intel_kernel");
  const int a = world.device(sysman, gpu("0000:4d:00.0", "0000:4d:00.0"));
  const int b = world.device(kernel, gpu("0000:4d:00.0", "0000:4d:00.0"));
  const auto ours = static_cast<size_t>(world.series(sysman, MetricId::energy, a, 1000));
  world.series(kernel, MetricId::fan_speed, b, 1200);
  const auto theirs = static_cast<size_t>(world.series(kernel, MetricId::energy, b, 40));
  const auto count = [&](double seconds) {
    world[sysman].values[ours] += 10 * seconds;
    world[kernel].values[theirs] += 10 * seconds;
    world.publish(seconds);
  };
  const auto energy = [&] {
    const Strings shown = world.shown(MetricId::energy);
    return shown.size() == 1 ? shown[0] : std::to_string(shown.size()) + " are shown";
  };
  world.publish();
  EXPECT_EQ(energy(), "level_zero:0000:4d:00.0=1000");
  count(1);
  EXPECT_EQ(energy(), "level_zero:0000:4d:00.0=1010");

  world[sysman].source.live = false;
  std::fill(world[sysman].states.begin(), world[sysman].states.end(), State::stale);
  count(5);
  EXPECT_EQ(energy(), "intel_kernel:0000:4d:00.0=1060") << "with what was used while nobody was believed";
  EXPECT_EQ(world.shown(MetricId::fan_speed), Strings{"intel_kernel:0000:4d:00.0=1200"}) << "nothing else is shifted";
  count(1);
  EXPECT_EQ(energy(), "intel_kernel:0000:4d:00.0=1070");

  // It counts anew when it is back, and is believed after ten intervals.
  world[sysman].source.live = true;
  world[sysman].values[ours] = 0;
  std::fill(world[sysman].states.begin(), world[sysman].states.end(), State::ok);
  for (int i = 0; i < 13; ++i) count(1);
  EXPECT_EQ(energy(), "level_zero:0000:4d:00.0=1200");

  // A change of catalogs forgets none of it.
  world.series(sysman, MetricId::voltage, a, 1);
  count(1);
  EXPECT_EQ(energy(), "level_zero:0000:4d:00.0=1210");
  world.series(kernel, MetricId::voltage, b, 1);
  count(1);
  EXPECT_EQ(energy(), "level_zero:0000:4d:00.0=1220");

  // The device's own reset stays one.
  world[sysman].values[ours] = 0;
  count(1);
  EXPECT_EQ(energy(), "level_zero:0000:4d:00.0=" + std::to_string(1220 + 10 - 140 - 10));
}

// The other had counted more: what is shown would jump, and a rate with it.
TEST(Arbiter, ACounterDoesNotJumpToWhatTheOtherHadCounted) {
  World world;
  const size_t sysman = world.add("level_zero");
  const size_t kernel = world.add("intel_kernel");
  const auto theirs = static_cast<size_t>(
      world.series(kernel, MetricId::energy, world.device(kernel, gpu("0000:4d:00.0", "0000:4d:00.0")), 500));
  world.publish();
  // It comes and is believed at once, being the earlier source; and it refuses the first reading.
  const auto ours = static_cast<size_t>(
      world.series(sysman, MetricId::energy, world.device(sysman, gpu("0000:4d:00.0", "0000:4d:00.0")), 90000));
  world[sysman].states[ours] = State::not_ready;
  world.publish();
  EXPECT_EQ(world.shown(MetricId::energy), Strings{"intel_kernel:0000:4d:00.0=500"});
  world[sysman].states[ours] = State::ok;
  world[kernel].values[theirs] += 10;
  world[sysman].values[ours] += 10;
  world.publish();
  world.publish();
  EXPECT_EQ(world.shown(MetricId::energy), Strings{"level_zero:0000:4d:00.0=510"});
}

TEST(Arbiter, WhoIsBelievedStaysSoWhenACatalogChanges) {
  World world;
  const size_t sysman = world.add("level_zero");
  const size_t kernel = world.add("intel_kernel");
  const int a = world.device(sysman, gpu("0000:4d:00.0", "0000:4d:00.0"));
  const int b = world.device(kernel, gpu("0000:4d:00.0", "0000:4d:00.0"));
  const int power = world.series(sysman, MetricId::power, a, 100);
  world.series(kernel, MetricId::power, b, 101);
  world[sysman].states[static_cast<size_t>(power)] = State::error;
  for (int i = 0; i < 6; ++i) world.publish();
  ASSERT_EQ(world.shown(MetricId::power), Strings{"intel_kernel:0000:4d:00.0=101"});
  // A process starts: the value must not go dark for the grace that a new source has.
  world.series(kernel, MetricId::process_memory, b, 5, {{AttributeId::process_pid, "7"}});
  world.publish();
  EXPECT_EQ(world.shown(MetricId::power), Strings{"intel_kernel:0000:4d:00.0=101"});
  // Nor does the probation begin anew.
  world[sysman].states[static_cast<size_t>(power)] = State::ok;
  for (int i = 0; i < 6; ++i) world.publish();
  world.series(kernel, MetricId::process_memory, b, 5, {{AttributeId::process_pid, "8"}});
  for (int i = 0; i < 6; ++i) world.publish();
  EXPECT_EQ(world.shown(MetricId::power), Strings{"level_zero:0000:4d:00.0=100"});
}

TEST(Arbiter, ASilentSourceGivesWayAtOnce) {
  World world;
  const size_t nvml = world.add("nvml");
  const size_t smi = world.add("nvidia_smi");
  world.series(nvml, MetricId::temperature, world.device(nvml, gpu("GPU-1", "0000:18:00.0")), 40);
  world.series(smi, MetricId::temperature, world.device(smi, gpu("GPU-1", "0000:18:00.0")), 41);
  world.publish();
  EXPECT_EQ(world.shown(MetricId::temperature), Strings{"nvml:GPU-1=40"});
  world[nvml].source.live = false;
  world[nvml].states[0] = State::stale;
  world.publish();
  EXPECT_EQ(world.shown(MetricId::temperature), Strings{"nvidia_smi:GPU-1=41"});
}

TEST(Arbiter, ADeviceOfTheBusIsShownWhileNobodyReadsItUnderTheNameThatItHad) {
  World world;
  const size_t nvml = world.add("nvml");
  const size_t presence = world.add("presence", Shows::presence);
  const int gpu_device = world.device(nvml, gpu("GPU-1", "0000:18:00.0", "nvidia"));
  world.series(nvml, MetricId::power, gpu_device, 300);
  const std::vector<Attribute> failed{{AttributeId::hw_state, "failed"}};
  world.series(presence, MetricId::hw_status, world.device(presence, gpu("0000:18:00.0", "0000:18:00.0", "nvidia")), 1,
               failed);
  world.series(presence, MetricId::hw_status, world.device(presence, gpu("0000:3b:00.0", "0000:3b:00.0", "nvidia")), 1,
               failed);
  world[nvml].source.reported = false;
  world.publish(1, false);
  EXPECT_EQ(world.devices(presence), 0u) << "nothing is missing while not everybody has spoken";
  world[nvml].source.reported = true;
  world.publish();
  EXPECT_EQ(world.shown(MetricId::hw_status), Strings{"presence:0000:3b:00.0=1"}) << "the one that NVML does not show";
  world[nvml].source.live = false;
  world[nvml].states[0] = State::stale;
  world.publish();
  EXPECT_EQ(world.shown(MetricId::hw_status), (Strings{"presence:GPU-1=1", "presence:0000:3b:00.0=1"}));
  world[nvml].source.let_go = true;
  world.publish();
  EXPECT_EQ(world.shown(MetricId::hw_status), Strings{"presence:0000:3b:00.0=1"}) << "let go on request is no failure";
  world[nvml].source.let_go = false;
  world[nvml].source.live = true;
  world[nvml].states[0] = State::ok;
  world.publish();
  EXPECT_EQ(world.shown(MetricId::hw_status), Strings{"presence:0000:3b:00.0=1"});
}

// nvml reads a board, and says that it is well; the bus shows it too, and would call it failed.
class Silence : public testing::Test {
 protected:
  Silence() {
    nvml = world.add("nvml");
    presence = world.add("presence", Shows::presence);
    const int board = world.device(nvml, gpu("GPU-1", "0000:18:00.0", "nvidia"));
    world.series(nvml, MetricId::power, board, 300);
    for (const auto& [state, value] : {std::pair("ok", 5), std::pair("degraded", 0), std::pair("failed", 0)})
      world.series(nvml, MetricId::hw_status, board, value, {{AttributeId::hw_state, state}});
    const int on_bus = world.device(presence, gpu("0000:18:00.0", "0000:18:00.0", "nvidia"));
    for (const auto& [state, value] : {std::pair("ok", 0), std::pair("degraded", 0), std::pair("failed", 1)})
      world.series(presence, MetricId::hw_status, on_bus, value, {{AttributeId::hw_state, state}});
    world.series(presence, MetricId::device_unread, on_bus, 1, {{AttributeId::reason, "driver_silent"}});
  }
  void fall_silent() {
    world[nvml].source.live = false;
    for (State& state : world[nvml].states) state = State::stale;
  }
  // Which hw.status is 1, over all sources.
  Strings status() {
    Strings all;
    for (const size_t source : {nvml, presence})
      for (const Series& series : world.catalog(source).series)
        if (series.metric == MetricId::hw_status) {
          const auto i = static_cast<size_t>(&series - world.catalog(source).series.data());
          if (world.frame(source).states[i] == State::ok && world.frame(source).values[i] == 1)
            all.push_back(series.attributes[0].value);
        }
    return all;
  }

  World world;
  size_t nvml = 0, presence = 0;
};

TEST_F(Silence, WhatASilentSourceSaidOfADeviceDoesNotStandBeforeTheBus) {
  world.publish();
  EXPECT_EQ(world.devices(presence), 0u);
  fall_silent();
  world.publish();
  // A page keeps the first of two series with the same labels, so there must be one.
  for (const Series& series : world.catalog(nvml).series) EXPECT_NE(series.metric, MetricId::hw_status);
  EXPECT_EQ(world.shown(MetricId::device_unread), Strings{"presence:GPU-1=1"});
  EXPECT_EQ(world.shown(MetricId::hw_status).size(), 3u);
}

TEST_F(Silence, ADriverThatWasWellAMomentAgoIsNotKnownToHaveFailed) {
  world.publish();
  fall_silent();
  world.publish();
  EXPECT_EQ(status(), Strings{"degraded"});
  for (int i = 0; i < 28; ++i) world.publish();
  EXPECT_EQ(status(), Strings{"degraded"});
  for (int i = 0; i < 3; ++i) world.publish();
  EXPECT_EQ(status(), Strings{"failed"});
  world[nvml].source.live = true;
  for (State& state : world[nvml].states) state = State::ok;
  world.publish();
  EXPECT_EQ(world.devices(presence), 0u);
  EXPECT_EQ(world.shown(MetricId::hw_status).front(), "nvml:GPU-1=5") << "its own word counts again";
}

TEST_F(Silence, ADriverThatWasNeverWellHasNoSuchCredit) {
  fall_silent();
  world.publish();
  EXPECT_EQ(status(), Strings{"failed"});
}

TEST(Arbiter, AnIndexBelongsToOneDeviceOfAVendor) {
  World world;
  const size_t amd = world.add("amdgpu");
  const size_t presence = world.add("presence", Shows::presence);
  world.series(amd, MetricId::power, world.device(amd, gpu("amd-1", "0000:03:00.0", "amd")), 100);
  Device second = gpu("amd-2", "0000:43:00.0", "amd");
  second.index = "1";
  world.series(amd, MetricId::power, world.device(amd, second), 200);
  for (const char* address : {"0000:03:00.0", "0000:43:00.0"})
    world.series(presence, MetricId::hw_status, world.device(presence, gpu(address, address, "amd")), 1,
                 {{AttributeId::hw_state, "failed"}});
  world.publish();
  ASSERT_EQ(world.catalog(amd).devices[1].index, "1");
  // The first leaves, and the driver counts anew.
  world[amd].building = Catalog();
  world[amd].values.clear();
  world[amd].states.clear();
  second.index = "0";
  world.series(amd, MetricId::power, world.device(amd, second), 200);
  world.publish();
  EXPECT_EQ(world.catalog(amd).devices[0].index, "0");
  ASSERT_EQ(world.devices(presence), 1u);
  EXPECT_EQ(world.catalog(presence).devices[0].id, "amd-1");
  EXPECT_EQ(world.catalog(presence).devices[0].index, "") << "the number is another board's now";
}

TEST(Arbiter, TheLogsWordGoesToTheDeviceAndIsNotCountedTwice) {
  World world;
  const size_t nvml = world.add("nvml");
  const size_t amd = world.add("amdgpu");
  const size_t log = world.add("kernel_log", Shows::events);
  const std::vector<Attribute> xid{{AttributeId::event_code, "xid:79"}, {AttributeId::severity, "critical"}};
  world.series(nvml, MetricId::events, world.device(nvml, gpu("GPU-1", "0000:18:00.0", "nvidia")), 1, xid);
  world.series(amd, MetricId::power, world.device(amd, gpu("amd-1234", "0000:43:00.0", "amd")), 400);
  world.series(log, MetricId::events, world.device(log, gpu("0000:18:00.0", "0000:18:00.0", "nvidia")), 1, xid);
  world.series(log, MetricId::events, world.device(log, gpu("0000:43:00.0", "0000:43:00.0", "amd")), 2,
               {{AttributeId::event_code, "amdgpu:reset"}, {AttributeId::severity, "critical"}});
  world.publish();
  EXPECT_EQ(world.shown(MetricId::events), (Strings{"nvml:GPU-1=1", "kernel_log:amd-1234=2"}));
}

TEST(Arbiter, PartsAreNamedAfterTheirParentAndKeepIt) {
  World world;
  const size_t first = world.add("level_zero");
  const size_t second = world.add("intel_kernel");
  const int a = world.device(first, gpu("uuid-1", "0000:4d:00.0"));
  world.series(first, MetricId::power, a, 100);
  const int b = world.device(second, gpu("0000:4d:00.0", "0000:4d:00.0"));
  Device tile = gpu("0000:4d:00.0/tile0", "0000:4d:00.0");
  tile.type = DeviceType::gpu_partition;
  tile.parent = b;
  world.series(second, MetricId::power, b, 101);
  world.series(second, MetricId::clock_frequency, world.device(second, tile), 7);
  world.publish();
  EXPECT_EQ(world.shown(MetricId::clock_frequency), Strings{"intel_kernel:uuid-1/tile0=7"});
  ASSERT_EQ(world.devices(second), 2u);
  EXPECT_EQ(world.catalog(second).devices[1].parent, 0);
}

TEST(Arbiter, SensorsOfTheHostAreNobodysRivals) {
  World world;
  const size_t a = world.add("sensors");
  const size_t b = world.add("other");
  Device cpu;
  cpu.type = DeviceType::cpu;
  cpu.id = "cpu0";
  world.series(a, MetricId::temperature, world.device(a, cpu), 50);
  world.series(b, MetricId::power, world.device(b, cpu), 60);
  world.publish();
  EXPECT_EQ(world.shown(MetricId::temperature), Strings{"sensors:cpu0=50"});
  EXPECT_EQ(world.shown(MetricId::power), Strings{"other:cpu0=60"});
}

}  // namespace
}  // namespace accelmon
