// One Intel GPU of a scenario: from the file to the structure, and what follows from it at a time.

#include "intel_device.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "reading.h"

namespace accelmon::simulator {

namespace {

constexpr double kWattsMost = 1e5;
constexpr double kMegahertzMost = 1e5;

constexpr Named kDrivers[] = {{"xe", static_cast<int>(IntelDriver::xe)}, {"i915", static_cast<int>(IntelDriver::i915)}};
constexpr Named kMemoryKinds[] = {{"hbm", static_cast<int>(IntelDevice::MemoryKind::hbm)},
                                  {"gddr6", static_cast<int>(IntelDevice::MemoryKind::gddr6)},
                                  {"ddr", static_cast<int>(IntelDevice::MemoryKind::ddr)}};
constexpr Named kClasses[] = {{"render", 0}, {"copy", 1}, {"video_decode", 2}, {"video_enhance", 3}, {"compute", 4}};
static_assert(std::size(kClasses) == kIntelClasses);
constexpr Named kDomains[] = {{"gpu", static_cast<int>(IntelFrequency::Domain::gpu)},
                              {"memory", static_cast<int>(IntelFrequency::Domain::memory)},
                              {"media", static_cast<int>(IntelFrequency::Domain::media)}};
constexpr Named kErrorTypes[] = {{"corrected", 1}, {"uncorrected", 0}};
constexpr Named kErrorBlocks[] = {{"reset", 0},       {"programming", 1}, {"driver", 2}, {"compute", 3},
                                  {"non_compute", 4}, {"cache", 5},       {"display", 6}};

struct ThrottleKind {
  std::string_view name, file;
  uint32_t bit;
};
constexpr ThrottleKind kThrottles[] = {{"power_average", "reason_pl1", 1u << 0},
                                       {"power_burst", "reason_pl2", 1u << 1},
                                       {"current", "reason_pl4", 1u << 2},
                                       {"thermal", "reason_thermal", 1u << 3},
                                       {"psu_alert", "", 1u << 4},
                                       {"software_range", "", 1u << 5},
                                       {"hardware_range", "", 1u << 6}};

uint64_t mebibytes(double value) {
  return static_cast<uint64_t>(value * kMiB);
}

class IntelParser {
 public:
  IntelParser(unsigned index, unsigned copy, double phase, FirstError& error)
      : index_(index), copy_(copy), phase_(phase), error_(error) {}

  IntelDevice read(Reader& reader) {
    IntelDevice d;
    read_identity(reader, d);
    read_load(reader, d);
    read_tiles(reader, d);
    read_power(reader, d);
    read_fans(reader, d);
    read_links(reader, d);
    read_health(reader, d);
    for (const Node* table : reader.tables("process", 256)) read_process(*table, d);
    read_driver(reader, d);
    shift(d);
    return d;
  }

 private:
  void read_identity(Reader& reader, IntelDevice& d) {
    d.name = need_text(reader, "name", 63);
    d.serial = reader.text("serial", 63).value_or("");
    d.driver = static_cast<IntelDriver>(read_named(reader, "driver", kDrivers).value_or(0));
    d.driver_version = reader.text("driver_version", 63).value_or("");
    d.integrated = reader.flag("integrated").value_or(false);
    d.pci_bus = 0x40 + 2 * index_;
    read_pci_address(reader, copy_, "0000:4d:00.0", d.pci_domain, d.pci_bus, d.pci_slot);
    d.pci_device_id = read_whole(reader, "pci.device_id", 0xffff);
    d.pci_subsystem_id = read_whole(reader, "pci.subsystem_id", 0xffffffff);
    d.numa_node = static_cast<int>(reader.integer("numa_node", -1, 1023).value_or(-1));
  }

  void read_load(Reader& reader, IntelDevice& d) {
    reader.set_gpu(nullptr);
    d.gpu = read_wave(reader, "utilization.gpu", 0, 100);
    gpu_ = d.gpu;
    reader.set_gpu(&gpu_);
    for (const Node* table : reader.tables("throttle", 16)) read_throttle(*table, d);
  }

  void read_throttle(const Node& table, IntelDevice& d) {
    Reader reader("throttle", {&table}, error_);
    const std::string name = reader.text("reason").value_or("");
    const auto* kind = std::find_if(std::begin(kThrottles), std::end(kThrottles),
                                    [&](const ThrottleKind& one) { return one.name == name; });
    if (kind == std::end(kThrottles)) {
      return reader.fail(&table,
                         "needs \"reason\": power_average, power_burst, current, thermal, psu_alert, software_range or "
                         "hardware_range");
    }
    IntelThrottle throttle{kind->name, kind->file, kind->bit, read_wave(reader, "active", 0, 1), 1};
    if (!throttle.active.is_switch())
      reader.fail(&table, "\"active\" must be one square, steps or constant of 0 and 1");
    throttle.clock_share = reader.number("clock_share", 0, 1).value_or(1);
    reader.refuse_unknown();
    d.throttles.push_back(std::move(throttle));
  }

  void read_tiles(Reader& reader, IntelDevice& d) {
    const auto tiles =
        static_cast<unsigned>(reader.integer("tiles", 1, static_cast<int64_t>(kIntelTilesMost)).value_or(1));
    // The media engines may sit on a GT of their own, the second of their tile.
    const bool media_gt = reader.flag("media_gt").value_or(false);
    d.memory_kind = static_cast<IntelDevice::MemoryKind>(
        read_named(reader, "memory.kind", kMemoryKinds).value_or(static_cast<int>(IntelDevice::MemoryKind::gddr6)));
    d.memory_bus_width = read_whole(reader, "memory.bus_width", 1 << 16);
    d.memory_channels = read_whole(reader, "memory.channels", 1 << 10);
    d.memory_bandwidth = reader.number("memory.bandwidth", 0, kRateMost).value_or(0);
    for (unsigned tile = 0; tile < tiles; ++tile) {
      IntelTile t;
      const unsigned main_gt = media_gt ? 2 * tile : tile;
      read_engines(reader, main_gt, media_gt ? main_gt + 1 : main_gt, t);
      read_frequencies(reader, main_gt, media_gt ? main_gt + 1 : main_gt, t);
      read_memory(reader, d, t);
      t.gpu_temperature = reader.wave("temperature.gpu_c", -40, 150);
      t.memory_temperature = reader.wave("temperature.memory_c", -40, 150);
      t.gpu_temperature_most = reader.number("temperature.gpu_max_c", 1, 150);
      t.memory_temperature_most = reader.number("temperature.memory_max_c", 1, 150);
      t.power = reader.wave("power.tile_w", 0, kWattsMost);
      d.tiles.push_back(std::move(t));
    }
    for (const Node* table : reader.tables("engine", 256)) read_engine(*table, d);
    for (const Node* table : reader.tables("ras", 64)) read_ras(*table, d);
    for (const Node* table : reader.tables("port", 64)) read_port(*table, d);
  }

  void read_engines(Reader& reader, unsigned main_gt, unsigned media_gt, IntelTile& t) {
    for (const Named& kind : kClasses) {
      const unsigned count = read_whole(reader, "engines." + std::string(kind.name), kIntelEnginesMost);
      const Wave busy = read_wave(reader, "utilization." + std::string(kind.name), 0, 100);
      const auto engine_class = static_cast<IntelClass>(kind.value);
      const bool media = engine_class == IntelClass::video_decode || engine_class == IntelClass::video_enhance;
      for (unsigned i = 0; i < count; ++i)
        t.engines.push_back(IntelEngine{engine_class, i, media ? media_gt : main_gt, busy});
    }
  }

  // What one engine does that the others of its class do not.
  void read_engine(const Node& table, IntelDevice& d) {
    Reader reader("engine", {&table}, error_);
    reader.set_gpu(&gpu_);
    const std::optional<int> kind = read_named(reader, "class", kClasses);
    const unsigned tile = read_tile(reader, d);
    const unsigned instance = read_whole(reader, "instance", kIntelEnginesMost);
    const Wave busy = read_wave(reader, "busy", 0, 100);
    reader.refuse_unknown();
    if (error_.failed()) return;
    bool found = false;
    for (IntelEngine& engine : d.tiles[tile].engines) {
      if (!kind || static_cast<int>(engine.kind) != *kind || engine.instance != instance) continue;
      engine.busy = busy;
      found = true;
    }
    if (!found) reader.fail(&table, "there is no engine of this class and instance on the tile");
  }

  unsigned read_tile(Reader& reader, const IntelDevice& d) {
    return static_cast<unsigned>(reader.integer("tile", 0, static_cast<int64_t>(d.tiles.size()) - 1).value_or(0));
  }

  void read_frequencies(Reader& reader, unsigned main_gt, unsigned media_gt, IntelTile& t) {
    for (const Named& domain : kDomains) {
      const std::string path = "frequency." + std::string(domain.name);
      if (!reader.has(path)) continue;
      IntelFrequency f;
      f.domain = static_cast<IntelFrequency::Domain>(domain.value);
      f.gt = f.domain == IntelFrequency::Domain::media ? media_gt : main_gt;
      f.rp0 = need_number(reader, path + ".rp0_mhz", 1, kMegahertzMost);
      f.rpn = reader.number(path + ".rpn_mhz", 0, kMegahertzMost).value_or(f.rp0);
      f.rpe = reader.number(path + ".rpe_mhz", 0, kMegahertzMost).value_or(f.rpn);
      f.minimum = reader.number(path + ".min_mhz", 0, kMegahertzMost).value_or(f.rpn);
      f.maximum = reader.number(path + ".max_mhz", 0, kMegahertzMost).value_or(f.rp0);
      f.idle = reader.number(path + ".idle_mhz", 0, kMegahertzMost).value_or(f.rpn);
      f.busy = reader.number(path + ".busy_mhz", 0, kMegahertzMost).value_or(f.maximum);
      f.voltage = reader.number(path + ".voltage_v", 0, 100);
      f.follows_throttling = f.domain == IntelFrequency::Domain::gpu;
      t.frequencies.push_back(f);
    }
  }

  void read_memory(Reader& reader, IntelDevice& d, IntelTile& t) {
    t.memory_total = d.integrated ? mebibytes(reader.number("memory.total_mib", 0, kMemoryMost).value_or(0))
                                  : mebibytes(need_number(reader, "memory.total_mib", 1, kMemoryMost));
    const double most = static_cast<double>(t.memory_total) / kMiB;
    t.memory_base = read_wave(reader, "memory.base_mib", 0, most, kMiB);
    t.memory_used = reader.wave("memory.used_mib", 0, most, kMiB);
    t.memory_health = reader.wave("memory.health", 0, 4).value_or(Wave(1.0));
    t.memory_read = read_wave(reader, "memory.read", 0, kRateMost);
    t.memory_write = read_wave(reader, "memory.write", 0, kRateMost);
  }

  void read_ras(const Node& table, IntelDevice& d) {
    Reader reader("ras", {&table}, error_);
    IntelRas ras;
    ras.corrected = read_named(reader, "type", kErrorTypes).value_or(1) == 1;
    ras.category = static_cast<unsigned>(read_named(reader, "block", kErrorBlocks).value_or(0));
    ras.count = read_wave(reader, "count", 0, kCountMost);
    const unsigned tile = read_tile(reader, d);
    reader.refuse_unknown();
    if (tile < d.tiles.size()) d.tiles[tile].ras.push_back(std::move(ras));
  }

  void read_port(const Node& table, IntelDevice& d) {
    Reader reader("port", {&table}, error_);
    reader.set_gpu(&gpu_);
    IntelFabricPort port;
    port.fabric_id = 0x1000 + index_;
    const unsigned tile = read_tile(reader, d);
    port.attach_id = tile;
    port.port = read_whole(reader, "number", 255);
    port.remote_fabric_id = read_whole(reader, "remote_fabric", INT32_MAX);
    port.remote_attach_id = read_whole(reader, "remote_attach", 255);
    port.remote_port = read_whole(reader, "remote_number", 255);
    port.bits_per_second = reader.number("lane_bits_per_second", 0, 1e12).value_or(53.125e9);
    port.lanes = read_whole(reader, "lanes", 64, 4);
    port.status = reader.wave("status", 0, 4).value_or(Wave(1.0));
    port.receive = read_wave(reader, "receive", 0, kRateMost);
    port.transmit = read_wave(reader, "transmit", 0, kRateMost);
    reader.refuse_unknown();
    if (tile < d.tiles.size()) d.tiles[tile].ports.push_back(std::move(port));
  }

  // Power follows utilization between idle_w and busy_w, or is a function of its own.
  void read_power(Reader& reader, IntelDevice& d) {
    d.power = read_draw(reader, "power.card_w", d.gpu, kWattsMost);
    d.package_power = reader.wave("power.package_w", 0, kWattsMost);
    d.limit_sustained = reader.number("power.sustained_w", 0, kWattsMost);
    d.limit_burst = reader.number("power.burst_w", 0, kWattsMost);
    d.limit_peak = reader.number("power.peak_w", 0, kWattsMost);
    d.limit_rated = reader.number("power.rated_w", 0, kWattsMost);
    d.voltage = reader.wave("power.voltage_v", 0, 100);
    d.energy_base = reader.number("energy.base_j", 0, 1e15);
    d.energy_modulus = reader.number("energy.modulus_j", 0, 1e15).value_or(0);
    d.energy_resolution = reader.number("energy.resolution_j", 0, 1e3).value_or(0);
    d.energy_glitch = reader.wave("energy.glitch", 0, 1);
  }

  void read_fans(Reader& reader, IntelDevice& d) {
    d.fans = read_whole(reader, "fan.count", 16);
    d.fan_rpm = read_wave(reader, "fan.rpm", 0, 50000);
    d.fan_max_rpm = reader.number("fan.max_rpm", 0, 50000).value_or(0);
  }

  void read_links(Reader& reader, IntelDevice& d) {
    d.pcie_gen_max = read_whole(reader, "pci.generation", 10);
    d.pcie_gen = read_whole(reader, "pci.generation_current", 10, d.pcie_gen_max);
    d.pcie_width_max = read_whole(reader, "pci.width", 32);
    d.pcie_width = read_whole(reader, "pci.width_current", 32, d.pcie_width_max);
    d.pcie_counters = reader.flag("pcie.counters").value_or(false);
    d.pcie_replay_counter = reader.has("pcie.replays");
    d.pcie_rx = read_wave(reader, "pcie.rx", 0, kRateMost);
    d.pcie_tx = read_wave(reader, "pcie.tx", 0, kRateMost);
    d.pcie_replays = read_wave(reader, "pcie.replays", 0, kCountMost);
  }

  void read_health(Reader& reader, IntelDevice& d) {
    d.ecc = reader.flag("ecc");
    d.wedged = read_wave(reader, "wedged", 0, 1);
  }

  void read_process(const Node& table, IntelDevice& d) {
    Reader reader("process", {&table}, error_);
    reader.set_gpu(&gpu_);
    IntelProcess p;
    const auto pid = reader.integer("pid", 1, INT32_MAX);
    if (!pid) return reader.fail(&table, "needs \"pid\", a number");
    p.pid = static_cast<unsigned>(*pid);
    p.name = reader.text("name", 200).value_or("");
    p.tile = read_tile(reader, d);
    p.from = reader.number("from", 0, kTimeMost).value_or(0);
    p.until = reader.number("until", 0, kTimeMost).value_or(1e18);
    p.memory = read_wave(reader, "memory_mib", 0, kMemoryMost, kMiB);
    p.shared = read_wave(reader, "shared_mib", 0, kMemoryMost, kMiB);
    for (const Named& kind : kClasses) p.busy[kind.value] = read_wave(reader, std::string(kind.name), 0, 100);
    reader.refuse_unknown();
    d.processes.push_back(std::move(p));
  }

  void read_driver(Reader& reader, IntelDevice& d) {
    d.may.root = reader.flag("may.root").value_or(true);
    d.may.perfmon = reader.flag("may.perfmon").value_or(true);
    d.may.ptrace = reader.flag("may.ptrace").value_or(true);
    d.frozen_engines = reader.flag("level_zero.frozen_engines").value_or(false);
    d.group_engines = reader.flag("level_zero.group_engines").value_or(d.driver == IntelDriver::xe);
    d.legacy_only = reader.flag("level_zero.legacy_only").value_or(false);
    d.throttle_time = reader.flag("level_zero.throttle_time").value_or(false);
    d.level_zero_driver = read_whole(reader, "level_zero.driver", kIntelEveryDriver);
    d.unsupported = reader.texts("level_zero.unsupported");
  }

  // Devices and tiles of one kind do not move as one.
  void shift(IntelDevice& d) {
    uint64_t seed = mix(0x1e7e1u + index_);
    d.gpu.shift(phase_, seed);
    const auto move = [&](Wave& wave) { wave.shift(phase_, seed); };
    const auto maybe = [&](std::optional<Wave>& wave) {
      if (wave) move(*wave);
    };
    for (Wave* wave : {&d.power, &d.fan_rpm, &d.pcie_rx, &d.pcie_tx, &d.pcie_replays, &d.wedged}) move(*wave);
    maybe(d.package_power);
    maybe(d.voltage);
    for (IntelThrottle& throttle : d.throttles) move(throttle.active);
    for (IntelTile& tile : d.tiles) {
      for (IntelEngine& engine : tile.engines) move(engine.busy);
      for (Wave* wave : {&tile.memory_base, &tile.memory_read, &tile.memory_write}) move(*wave);
      maybe(tile.memory_used);
      maybe(tile.gpu_temperature);
      maybe(tile.memory_temperature);
      maybe(tile.power);
      for (IntelFabricPort& port : tile.ports) {
        move(port.receive);
        move(port.transmit);
      }
      seed = mix(seed);
    }
  }

  const unsigned index_, copy_;
  const double phase_;
  FirstError& error_;
  Wave gpu_;
};

}  // namespace

IntelDevice read_intel_device(Reader& reader, unsigned index, unsigned copy, double phase, FirstError& error) {
  return IntelParser(index, copy, phase, error).read(reader);
}

std::string IntelDevice::pci_address() const {
  char text[32];
  snprintf(text, sizeof(text), "%04x:%02x:%02x.0", pci_domain, pci_bus, pci_slot);
  return text;
}

uint64_t IntelDevice::memory_used(unsigned tile, double t) const {
  const IntelTile& on = tiles[tile];
  double used = 0;
  if (on.memory_used) {
    used = on.memory_used->value(t);
  } else {
    used = on.memory_base.value(t);
    for (const IntelProcess& process : processes)
      if (process.tile == tile && process.alive(t)) used += process.memory.value(t);
  }
  return used <= 0 ? 0 : static_cast<uint64_t>(std::min(used, static_cast<double>(on.memory_total)));
}

uint32_t IntelDevice::throttle_reasons(double t) const {
  uint32_t reasons = 0;
  for (const IntelThrottle& throttle : throttles)
    if (throttle.active.value(t) >= 0.5) reasons |= throttle.bit;
  return reasons;
}

double IntelDevice::frequency(const IntelFrequency& domain, double t) const {
  if (!busy(t)) return domain.idle;
  double mhz = domain.busy;
  if (!domain.follows_throttling) return mhz;
  for (const IntelThrottle& throttle : throttles)
    if (throttle.active.value(t) >= 0.5) mhz = std::min(mhz, domain.rp0 * throttle.clock_share);
  return mhz;
}

double IntelDevice::energy(double since, double t) const {
  return power.integral(t) - power.integral(since) + (since > 0 ? 0 : energy_base.value_or(0));
}

double IntelDevice::package_energy(double since, double t) const {
  const Wave& of = package_power ? *package_power : power;
  return of.integral(t) - of.integral(since);
}

double IntelDevice::tile_energy(unsigned tile, double since, double t) const {
  const std::optional<Wave>& of = tiles[tile].power;
  return of ? of->integral(t) - of->integral(since) : 0;
}

double IntelDevice::throttled_seconds(double since, double t) const {
  double seconds = 0;
  for (const IntelThrottle& throttle : throttles)
    seconds += throttle.active.integral(t) - throttle.active.integral(since);
  return std::min(seconds, t - since);
}

}  // namespace accelmon::simulator
