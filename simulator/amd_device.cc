// One AMD GPU of a scenario: from the file to the structure, and what follows from it at a time.

#include "amd_device.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "reading.h"

namespace accelmon::simulator {

namespace {

constexpr double kWattsMost = 6e4;  // the SMU's tables have 16 bits
constexpr double kMegahertzMost = 6e4;

constexpr Named kReasons[] = {
    {"power_cap", static_cast<int>(AmdReason::power)}, {"current", static_cast<int>(AmdReason::current)},
    {"thermal", static_cast<int>(AmdReason::thermal)}, {"voltage", static_cast<int>(AmdReason::voltage)},
    {"prochot", static_cast<int>(AmdReason::prochot)}, {"other", static_cast<int>(AmdReason::other)}};
constexpr Named kModes[] = {{"SPX", 1}, {"DPX", 2}, {"TPX", 3}, {"QPX", 4}, {"CPX", 0}};

class AmdParser {
 public:
  AmdParser(unsigned index, unsigned copy, double phase, FirstError& error)
      : index_(index), copy_(copy), phase_(phase), error_(error) {}

  AmdDevice read(Reader& reader) {
    AmdDevice d;
    read_identity(reader, d);
    read_load(reader, d);
    read_pcie(reader, d);
    read_memory(reader, d);
    read_power(reader, d);
    read_sensors(reader, d);
    read_clocks(reader, d);
    read_health(reader, d);
    read_partitions(reader, d);
    for (const Node* table : reader.tables("process", 256)) read_process(*table, d);
    shift(d);
    return d;
  }

 private:
  void read_identity(Reader& reader, AmdDevice& d) {
    d.name = need_text(reader, "name", 63);
    d.serial = reader.text("serial", 63).value_or("");
    d.product_number = reader.text("product_number", 63).value_or("");
    d.vbios = reader.text("vbios", 63).value_or("");
    d.driver_version = reader.text("driver_version", 63).value_or("");
    const auto id = static_cast<uint64_t>(reader.integer("unique_id", 0, INT64_MAX).value_or(0));
    d.unique_id = id == 0 ? 0 : id + copy_;
    d.metrics = reader.text("metrics", 7).value_or("");
    constexpr std::string_view kRevisions[] = {"1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7",
                                               "1.8", "1.9", "2.1", "2.2", "2.3", "2.4", "3.0"};
    if (!d.metrics.empty() &&
        std::find(std::begin(kRevisions), std::end(kRevisions), d.metrics) == std::end(kRevisions))
      reader.fail(reader.find("metrics"),
                  "\"metrics\" must be a revision of gpu_metrics: 1.0 to 1.9, 2.1 to 2.4 or 3.0");
    d.display = reader.flag("display").value_or(false);
    d.integrated = reader.flag("integrated").value_or(false);
    d.gfx_version = read_whole(reader, "gfx_version", 999999);
    d.compute_dies = std::max(1u, read_whole(reader, "compute_dies", 64, 1));
    d.compute_units = read_whole(reader, "compute_units", 4096);
    d.numa_node = static_cast<int>(reader.integer("numa_node", -1, 1023).value_or(-1));
    d.unsupported = reader.texts("unsupported");
    d.asleep = read_wave(reader, "asleep", 0, 1);
  }

  void read_pcie(Reader& reader, AmdDevice& d) {
    d.pci_bus = 0x80 + 2 * index_ % 0x80;
    read_pci_address(reader, copy_, "0000:c1:00.0", d.pci_domain, d.pci_bus, d.pci_slot);
    d.pci_device_id = read_whole(reader, "pci.device_id", 0xffff);
    d.pci_subsystem_id = read_whole(reader, "pci.subsystem_id", 0xffffffff);
    d.pci_revision = read_whole(reader, "pci.revision", 0xff);
    d.pcie_gen_max = read_whole(reader, "pci.generation", 6);
    d.pcie_gen = read_whole(reader, "pci.generation_current", 6, d.pcie_gen_max);
    d.pcie_width_max = read_whole(reader, "pci.width", 32);
    d.pcie_width = read_whole(reader, "pci.width_current", 32, d.pcie_width_max);
    d.pcie_replays = reader.wave("pcie.replays", 0, kCountMost);
    d.pcie_naks_sent = reader.wave("pcie.naks_sent", 0, kCountMost);
    d.pcie_naks_received = reader.wave("pcie.naks_received", 0, kCountMost);
    d.pcie_bandwidth = read_wave(reader, "pcie.bandwidth", 0, kRateMost);
    d.xgmi_links = read_whole(reader, "xgmi.links", kAmdXgmiMost);
    for (const unsigned link : reader.numbers("xgmi.down", kAmdXgmiMost)) d.xgmi_down |= 1u << (link & 31);
    d.xgmi_width = reader.number("xgmi.width", 0, 256).value_or(16);
    d.xgmi_speed = reader.number("xgmi.speed", 0, 1000).value_or(32);
    d.xgmi_read = read_wave(reader, "xgmi.read", 0, kRateMost);
    d.xgmi_write = read_wave(reader, "xgmi.write", 0, kRateMost);
  }

  void read_load(Reader& reader, AmdDevice& d) {
    reader.set_gpu(nullptr);
    d.gpu = read_wave(reader, "utilization.gpu", 0, 100);
    gpu_ = d.gpu;
    reader.set_gpu(&gpu_);
    d.memory = read_wave(reader, "utilization.memory", 0, 100);
    d.vcn = reader.wave("utilization.vcn", 0, 100);
    d.jpeg = reader.wave("utilization.jpeg", 0, 100);
    for (const Node* table : reader.tables("throttle", 16)) {
      Reader inner("throttle", {table}, error_);
      AmdThrottle throttle;
      const std::optional<int> reason = read_named(inner, "reason", kReasons);
      if (!reason) inner.fail(table, "needs \"reason\"");
      throttle.reason = static_cast<AmdReason>(reason.value_or(0));
      throttle.active = read_wave(inner, "active", 0, 1);
      if (!throttle.active.is_switch())
        inner.fail(table, "\"active\" must be one square, steps or constant of 0 and 1");
      throttle.clock_share = inner.number("clock_share", 0, 1).value_or(1);
      inner.refuse_unknown();
      d.throttles.push_back(std::move(throttle));
    }
  }

  void read_memory(Reader& reader, AmdDevice& d) {
    const double total = need_number(reader, "memory.total_mib", 1, kMemoryMost);
    d.memory_total = static_cast<uint64_t>(total * kMiB);
    d.memory_visible =
        static_cast<uint64_t>(reader.number("memory.visible_mib", 0, kMemoryMost).value_or(total) * kMiB);
    d.gtt_total = static_cast<uint64_t>(reader.number("memory.gtt_mib", 0, kMemoryMost).value_or(total) * kMiB);
    d.memory_vendor = reader.text("memory.vendor", 31).value_or("");
    d.memory_bandwidth = reader.number("memory.bandwidth", 0, kRateMost).value_or(0);
    d.memory_base = read_wave(reader, "memory.base_mib", 0, total, kMiB);
    d.memory_used = reader.wave("memory.used_mib", 0, total, kMiB);
    d.gtt_used = read_wave(reader, "memory.gtt_used_mib", 0, kMemoryMost, kMiB);
  }

  // Power follows utilization between idle_w and busy_w, or is a function of its own.
  void read_power(Reader& reader, AmdDevice& d) {
    d.power = read_draw(reader, "power.draw_w", d.gpu, kWattsMost);
    d.power_average = !reader.flag("power.input").value_or(false);
    d.power_cap = reader.number("power.cap_w", 0, kWattsMost);
    d.power_default = reader.number("power.default_w", 0, kWattsMost);
    d.power_min = reader.number("power.min_w", 0, kWattsMost);
    d.power_max = reader.number("power.max_w", 0, kWattsMost);
    d.energy_base = reader.number("power.energy_base_j", 0, 1e12);
  }

  std::optional<AmdSensor> sensor(Reader& reader, const std::string& name) {
    const std::string path = "temperature." + name;
    const auto value = reader.wave(path + "_c", -40, 250);
    if (!value) return std::nullopt;
    return AmdSensor{*value, reader.number(path + "_critical_c", 0, 250), reader.number(path + "_emergency_c", 0, 250)};
  }

  void read_sensors(Reader& reader, AmdDevice& d) {
    d.edge = sensor(reader, "edge");
    d.junction = sensor(reader, "junction");
    d.memory_sensor = sensor(reader, "memory");
    d.vr_soc = reader.wave("temperature.vr_soc_c", 0, 250);
    d.vr_gfx = reader.wave("temperature.vr_gfx_c", 0, 250);
    d.vr_memory = reader.wave("temperature.vr_memory_c", 0, 250);
    d.voltage_gfx = reader.number("voltage.gfx", 0, 10);
    d.voltage_soc = reader.number("voltage.soc", 0, 10);
    d.voltage_memory = reader.number("voltage.memory", 0, 10);
    d.fans = read_whole(reader, "fan.count", 4);
    d.fan_percent = read_wave(reader, "fan.percent", 0, 100);
    d.fan_max_rpm = reader.number("fan.max_rpm", 0, 60000).value_or(0);
  }

  AmdClock clock(Reader& reader, const std::string& name) {
    const std::string path = "clock." + name;
    AmdClock c;
    c.maximum = reader.number(path + ".max_mhz", 0, kMegahertzMost).value_or(0);
    c.busy = reader.number(path + ".busy_mhz", 0, kMegahertzMost).value_or(c.maximum);
    c.idle = reader.number(path + ".idle_mhz", 0, kMegahertzMost).value_or(c.busy);
    return c;
  }

  void read_clocks(Reader& reader, AmdDevice& d) {
    d.graphics = clock(reader, "graphics");
    d.memory_clock = clock(reader, "memory");
    d.soc = clock(reader, "soc");
    d.video = clock(reader, "video");
  }

  void read_health(Reader& reader, AmdDevice& d) {
    for (const Node* table : reader.tables("ras", 32)) {
      Reader inner("ras", {table}, error_);
      AmdRas ras;
      ras.block = need_text(inner, "block", 31);
      ras.corrected = read_wave(inner, "corrected", 0, kCountMost);
      ras.uncorrected = read_wave(inner, "uncorrected", 0, kCountMost);
      ras.deferred = inner.wave("deferred", 0, kCountMost);
      inner.refuse_unknown();
      d.ras.push_back(std::move(ras));
    }
    d.bad_pages = reader.wave("bad_pages", 0, 1000);
  }

  void read_partitions(Reader& reader, AmdDevice& d) {
    const std::optional<int> mode = read_named(reader, "partition.compute", kModes);
    if (mode) {
      d.compute_partition = reader.text("partition.compute").value_or("");
      d.partitions = *mode == 0 ? d.compute_dies : static_cast<unsigned>(*mode);
      if (d.partitions > kAmdPartitionsMost) reader.fail(reader.find("partition.compute"), "more than 8 partitions");
    }
    d.memory_mode = reader.text("partition.memory", 7).value_or("");
  }

  void read_process(const Node& table, AmdDevice& d) {
    Reader reader("process", {&table}, error_);
    reader.set_gpu(&gpu_);
    AmdProcess p;
    const auto pid = reader.integer("pid", 1, INT32_MAX);
    if (!pid) return reader.fail(&table, "needs \"pid\", a number");
    p.pid = static_cast<unsigned>(*pid);
    p.name = reader.text("name", 200).value_or("");
    p.partition = static_cast<unsigned>(reader.integer("partition", 0, int64_t{d.partitions} - 1).value_or(0));
    p.rocm = reader.flag("rocm").value_or(true);
    p.from = reader.number("from", 0, kTimeMost).value_or(0);
    p.until = reader.number("until", 0, kTimeMost).value_or(1e18);
    p.memory = read_wave(reader, "memory_mib", 0, kMemoryMost, kMiB);
    p.gtt = read_wave(reader, "gtt_mib", 0, kMemoryMost, kMiB);
    p.occupancy = read_wave(reader, "occupancy", 0, 100);
    p.gfx = read_wave(reader, "gfx", 0, 100);
    p.compute = read_wave(reader, "compute", 0, 100);
    p.media = read_wave(reader, "media", 0, 100);
    reader.refuse_unknown();
    d.processes.push_back(std::move(p));
  }

  // Devices of one kind do not move as one.
  void shift(AmdDevice& d) {
    const uint64_t seed = mix(0xa3du + index_);
    const auto move = [&](Wave& wave) { wave.shift(phase_, seed); };
    const auto maybe = [&](std::optional<Wave>& wave) {
      if (wave) move(*wave);
    };
    for (Wave* wave : {&d.gpu, &d.memory, &d.memory_base, &d.gtt_used, &d.power, &d.fan_percent, &d.xgmi_read,
                       &d.xgmi_write, &d.pcie_bandwidth})
      move(*wave);
    for (std::optional<Wave>* wave : {&d.vcn, &d.jpeg, &d.memory_used, &d.vr_soc, &d.vr_gfx, &d.vr_memory})
      maybe(*wave);
    for (std::optional<AmdSensor>* one : {&d.edge, &d.junction, &d.memory_sensor})
      if (*one) move((*one)->value);
    for (AmdThrottle& throttle : d.throttles) move(throttle.active);
  }

  const unsigned index_, copy_;
  const double phase_;
  FirstError& error_;
  Wave gpu_;
};

}  // namespace

AmdDevice read_amd_device(Reader& reader, unsigned index, unsigned copy, double phase, FirstError& error) {
  return AmdParser(index, copy, phase, error).read(reader);
}

std::string AmdDevice::pci_address() const {
  char text[32];
  snprintf(text, sizeof(text), "%04x:%02x:%02x.0", pci_domain, pci_bus, pci_slot);
  return text;
}

uint64_t AmdDevice::memory_used_at(double t) const {
  double used = 0;
  if (memory_used) {
    used = memory_used->value(t);
  } else {
    used = memory_base.value(t);
    for (const AmdProcess& process : processes)
      if (process.alive(t)) used += process.memory.value(t);
  }
  return used <= 0 ? 0 : static_cast<uint64_t>(std::min(used, static_cast<double>(memory_total)));
}

double AmdDevice::clock_at(const AmdClock& clock, double t) const {
  if (!busy(t)) return clock.idle;
  double mhz = clock.busy;
  if (&clock != &graphics) return mhz;
  for (const AmdThrottle& throttle : throttles)
    if (throttle.active.value(t) >= 0.5) mhz = std::min(mhz, clock.maximum * throttle.clock_share);
  return mhz;
}

bool AmdDevice::active(AmdReason reason, double t) const {
  return std::any_of(throttles.begin(), throttles.end(), [&](const AmdThrottle& throttle) {
    return throttle.reason == reason && throttle.active.value(t) >= 0.5;
  });
}

double AmdDevice::throttled_seconds(AmdReason reason, double since, double t) const {
  double seconds = 0;
  for (const AmdThrottle& throttle : throttles)
    if (throttle.reason == reason) seconds += throttle.active.integral(t) - throttle.active.integral(since);
  return std::clamp(seconds, 0.0, std::max(0.0, t - since));
}

double AmdDevice::energy(double since, double t) const {
  return power.integral(t) - power.integral(since) + (since > 0 ? 0 : energy_base.value_or(0));
}

double AmdDevice::partition_activity(unsigned index, double t) const {
  if (partitions <= 1) return gpu.value(t);
  double share = 0;
  for (const AmdProcess& process : processes)
    if (process.partition == index && process.alive(t)) share += process.occupancy.value(t);
  return std::clamp(share, 0.0, 100.0);
}

}  // namespace accelmon::simulator
