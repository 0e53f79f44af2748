#include "simulator/kernel/amd_metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace accelmon::simulator {

namespace {

constexpr double kJoulesPerCount = 1.0 / 65536;

// Bytes of a structure, all ones where nothing was put: that is how the driver marks what it does not know.
class Blob {
 public:
  Blob(size_t size, unsigned format, unsigned content) : bytes_(size, '\xff') {
    put(0, size, 2);
    put(2, format, 1);
    put(3, content, 1);
  }
  void put(size_t at, double value, size_t width) {
    const double limit = std::ldexp(1.0, static_cast<int>(8 * width)) - 1;
    put_bits(at, static_cast<uint64_t>(std::clamp(std::round(value), 0.0, std::min(limit, 1.8e19))), width);
  }
  void put_bits(size_t at, uint64_t value, size_t width) {
    for (size_t i = 0; i < width; ++i) bytes_[at + i] = static_cast<char>(value >> (8 * i) & 0xff);
  }
  void u16(size_t at, double value) { put(at, value, 2); }
  void u32(size_t at, double value) { put(at, std::fmod(value, 4294967296.0), 4); }
  void u64(size_t at, double value) { put(at, value, 8); }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

struct Now {
  const AmdDevice& d;
  double since, t;

  double centigrade(const std::optional<AmdSensor>& sensor) const { return sensor->value.value(t); }
  double energy() const { return d.energy(since, t) / kJoulesPerCount; }
  double nanoseconds() const { return t * 1e9; }
  // The firmware counts in milliseconds since it was started.
  double cycles() const { return (t - since) * 1000; }
  double residency(AmdReason reason) const { return d.throttled_seconds(reason, since, t) * 1000; }
  double busy_acc() const { return (d.gpu.integral(t) - d.gpu.integral(since)) * 10; }  // percent times cycles / 100
  double memory_acc() const { return (d.memory.integral(t) - d.memory.integral(since)) * 10; }
  double kilobytes(const Wave& rate) const { return (rate.integral(t) - rate.integral(since)) / 1024; }
  double tenths_of_gts() const {
    constexpr double kSpeeds[] = {0, 25, 50, 80, 160, 320, 640};
    return kSpeeds[std::min(d.pcie_gen, 6u)];
  }
  // Independent of the chip: the bits of indep_throttle_status.
  uint64_t throttlers() const {
    uint64_t bits = 0;
    if (d.active(AmdReason::power, t)) bits |= 1ull << 0;
    if (d.active(AmdReason::current, t)) bits |= 1ull << 16;
    if (d.active(AmdReason::thermal, t)) bits |= 1ull << 36;
    if (d.active(AmdReason::voltage, t)) bits |= 1ull << 38;
    if (d.active(AmdReason::prochot, t)) bits |= 1ull << 47;
    if (d.active(AmdReason::other, t)) bits |= 1ull << 57;
    return bits;
  }
  // Dependent on the chip: some bit or other.
  double status() const { return throttlers() == 0 ? 0 : 0x10; }
};

// Revisions 1.0 to 1.3: chips with one die. 1.0 has its time first and narrower counters.
std::string single_die(const Now& now, unsigned revision) {
  constexpr size_t kSizes[] = {80, 96, 104, 120};
  const AmdDevice& d = now.d;
  Blob b(kSizes[revision], 1, revision);
  const size_t base = revision == 0 ? 16 : 4;
  if (d.edge) b.u16(base, now.centigrade(d.edge));
  if (d.junction) b.u16(base + 2, now.centigrade(d.junction));
  if (d.memory_sensor) b.u16(base + 4, now.centigrade(d.memory_sensor));
  if (d.vr_gfx) b.u16(base + 6, d.vr_gfx->value(now.t));
  if (d.vr_soc) b.u16(base + 8, d.vr_soc->value(now.t));
  if (d.vr_memory) b.u16(base + 10, d.vr_memory->value(now.t));
  b.u16(base + 12, d.gpu.value(now.t));
  b.u16(base + 14, d.memory.value(now.t));
  if (d.vcn) b.u16(base + 16, d.vcn->value(now.t));
  b.u16(base + 18, d.power.mean(now.t - 1, now.t));
  if (revision == 0) {
    b.u64(8, now.nanoseconds());
    if (d.energy_base) b.u32(36, now.energy());
  } else {
    if (d.energy_base) b.u64(24, now.energy());
    b.u64(32, now.nanoseconds());
  }
  const double graphics = d.clock_at(d.graphics, now.t), soc = d.clock_at(d.soc, now.t);
  const double memory = d.clock_at(d.memory_clock, now.t), video = d.clock_at(d.video, now.t);
  for (const size_t at : {size_t{40}, size_t{54}}) {
    b.u16(at, graphics);
    b.u16(at + 2, soc);
    b.u16(at + 4, memory);
    b.u16(at + 6, video);
    b.u16(at + 8, video);
  }
  b.u32(68, now.status());
  b.u16(72, d.fan_percent.value(now.t) / 100 * d.fan_max_rpm);
  if (revision == 0) {
    b.put(74, d.pcie_width, 1);
    b.put(75, now.tenths_of_gts(), 1);
    return b.take();
  }
  b.u16(74, d.pcie_width);
  b.u16(76, now.tenths_of_gts());
  b.u32(80, now.busy_acc());
  b.u32(84, now.memory_acc());
  if (revision >= 2) b.u64(96, now.t * 1e8);
  if (revision >= 3) {
    if (d.voltage_soc) b.u16(104, *d.voltage_soc * 1000);
    if (d.voltage_gfx) b.u16(106, *d.voltage_gfx * 1000);
    if (d.voltage_memory) b.u16(108, *d.voltage_memory * 1000);
    b.put_bits(112, now.throttlers(), 8);
  }
  return b.take();
}

// Where the parts of revisions 1.4 to 1.8 lie.
struct Multi {
  size_t size, energy, pcie, activity, replay, xgmi, firmware, clocks;
  size_t status;                   // 1.4, 1.5: throttle_status
  size_t residency;                // 1.6 on: accumulation_counter, then the residencies
  size_t links;                    // 1.7 on: xgmi_link_status
  size_t partitions, part, jpegs;  // 1.6 on: xcp_stats, size of one, how many JPEG engines it has room for
  size_t held;                     // 1.8: in one of those, the counts of held clocks
};
constexpr Multi kMulti[] = {
    {288, 24, 48, 56, 88, 104, 232, 240, 40, 0, 0, 0, 0, 0, 0},
    {360, 88, 112, 120, 152, 176, 304, 312, 104, 0, 0, 0, 0, 0, 0},
    {1664, 16, 60, 68, 104, 128, 256, 264, 0, 32, 0, 312, 168, 32, 0},
    {2208, 24, 68, 76, 112, 136, 288, 296, 0, 40, 264, 344, 232, 32, 0},
    {3872, 24, 68, 76, 112, 136, 288, 296, 0, 40, 264, 344, 440, 40, 184},
};

// Revisions 1.4 to 1.8: several dies, in one or more partitions.
std::string multi_die(const Now& now, unsigned revision) {
  const Multi& at = kMulti[revision - 4];
  const AmdDevice& d = now.d;
  Blob b(at.size, 1, revision);
  if (d.junction) b.u16(4, now.centigrade(d.junction));
  if (d.memory_sensor) b.u16(6, now.centigrade(d.memory_sensor));
  if (d.vr_soc) b.u16(8, d.vr_soc->value(now.t));
  b.u16(10, d.power.value(now.t));
  b.u16(12, d.gpu.value(now.t));
  b.u16(14, d.memory.value(now.t));
  if (at.status != 0) {
    for (size_t i = 0; d.vcn && i < 4; ++i) b.u16(16 + 2 * i, d.vcn->value(now.t));
    b.u32(at.status, now.status());
  }
  if (revision == 5)
    for (size_t i = 0; d.jpeg && i < 32; ++i) b.u16(24 + 2 * i, d.jpeg->value(now.t));
  if (d.energy_base) b.u64(at.energy, now.energy());
  b.u64(at.energy + 8, now.nanoseconds());
  if (at.residency != 0) {
    b.u32(at.residency, now.cycles());
    b.u32(at.residency + 4, now.residency(AmdReason::prochot));
    b.u32(at.residency + 8, now.residency(AmdReason::power));
    b.u32(at.residency + 12, now.residency(AmdReason::thermal));
    b.u32(at.residency + 16, now.residency(AmdReason::voltage));
    b.u32(at.residency + 20, 0);
  }
  b.u16(at.pcie, d.pcie_width);
  b.u16(at.pcie + 2, now.tenths_of_gts());
  b.u32(at.activity, now.busy_acc());
  b.u32(at.activity + 4, now.memory_acc());
  b.u64(at.replay - 16, d.pcie_bandwidth.value(now.t) * 8e-6);
  if (d.pcie_replays) b.u64(at.replay, d.pcie_replays->value(now.t));
  if (revision >= 5 && d.pcie_naks_sent) b.u32(at.replay + 16, d.pcie_naks_sent->value(now.t));
  if (revision >= 5 && d.pcie_naks_received) b.u32(at.replay + 20, d.pcie_naks_received->value(now.t));
  if (revision >= 7 && d.memory_bandwidth > 0) b.u64(16, d.memory_bandwidth * 1e-9);
  if (d.xgmi_links > 0) {
    b.u16(at.pcie + 4, d.xgmi_width);
    b.u16(at.pcie + 6, d.xgmi_speed);
  }
  for (size_t link = 0; link < d.xgmi_links; ++link) {
    const bool down = (d.xgmi_down >> link & 1) != 0;
    b.u64(at.xgmi + 8 * link, down ? 0 : now.kilobytes(d.xgmi_read));
    b.u64(at.xgmi + 64 + 8 * link, down ? 0 : now.kilobytes(d.xgmi_write));
    if (at.links != 0) b.u16(at.links + 2 * link, down ? 0 : 1);
  }
  b.u64(at.firmware, now.t * 1e8);
  for (size_t die = 0; die < std::min<size_t>(d.compute_dies, 8); ++die)
    b.u16(at.clocks + 2 * die, d.clock_at(d.graphics, now.t));
  for (size_t i = 0; i < 4; ++i) {
    b.u16(at.clocks + 16 + 2 * i, d.clock_at(d.soc, now.t));
    b.u16(at.clocks + 24 + 2 * i, d.clock_at(d.video, now.t));
    b.u16(at.clocks + 32 + 2 * i, d.clock_at(d.video, now.t));
  }
  b.u16(at.clocks + 40, d.clock_at(d.memory_clock, now.t));
  if (at.partitions == 0) return b.take();
  b.u16(at.clocks + 42, d.partitions);
  const size_t dies = std::max<size_t>(1, std::min<size_t>(d.compute_dies / d.partitions, 8));
  for (size_t part = 0; part < d.partitions; ++part) {
    const size_t stats = at.partitions + part * at.part;
    const double activity = d.partition_activity(static_cast<unsigned>(part), now.t);
    for (size_t die = 0; die < dies; ++die) {
      b.u32(stats + 4 * die, activity);
      b.u64(stats + 40 + 2 * at.jpegs + 8 * die, now.busy_acc());
      if (at.held == 0) continue;
      b.u64(stats + at.held + 8 * die, now.residency(AmdReason::power));
      b.u64(stats + at.held + 64 + 8 * die, now.residency(AmdReason::thermal));
    }
    if (d.jpeg) b.u16(stats + 32, d.jpeg->value(now.t));
    if (d.vcn) b.u16(stats + 32 + 2 * at.jpegs, d.vcn->value(now.t));
  }
  return b.take();
}

// Revision 1.9: each attribute says what it is.
std::string attributes(const Now& now) {
  constexpr unsigned kU16 = 2, kU32 = 4, kU64 = 6;
  const AmdDevice& d = now.d;
  std::string body;
  unsigned count = 0;
  const auto append = [&](uint64_t value, size_t width) {
    for (size_t i = 0; i < width; ++i) body += static_cast<char>(value >> (8 * i) & 0xff);
  };
  const auto add = [&](unsigned id, unsigned type, const std::vector<double>& values) {
    append(values.size() | id << 10 | type << 20, 8);
    const size_t width = type == kU16 ? 2 : type == kU32 ? 4 : 8;
    for (const double value : values) append(static_cast<uint64_t>(std::max(0.0, std::round(value))), width);
    ++count;
  };
  if (d.junction) add(0, kU16, {now.centigrade(d.junction)});
  if (d.memory_sensor) add(1, kU16, {now.centigrade(d.memory_sensor)});
  if (d.vr_soc) add(2, kU16, {d.vr_soc->value(now.t)});
  add(3, kU16, {d.power.value(now.t)});
  add(4, kU16, {d.gpu.value(now.t)});
  add(5, kU16, {d.memory.value(now.t)});
  if (d.memory_bandwidth > 0) add(6, kU64, {d.memory_bandwidth * 1e-9});
  if (d.energy_base) add(7, kU64, {now.energy()});
  add(8, kU64, {now.nanoseconds()});
  add(9, kU32, {now.cycles()});
  add(10, kU32, {now.residency(AmdReason::prochot)});
  add(11, kU32, {now.residency(AmdReason::power)});
  add(12, kU32, {now.residency(AmdReason::thermal)});
  add(13, kU32, {now.residency(AmdReason::voltage)});
  add(14, kU32, {0});
  add(16, kU16, {static_cast<double>(d.pcie_width)});
  add(17, kU16, {now.tenths_of_gts()});
  if (d.pcie_replays) add(25, kU64, {d.pcie_replays->value(now.t)});
  if (d.pcie_naks_sent) add(27, kU32, {d.pcie_naks_sent->value(now.t)});
  if (d.pcie_naks_received) add(28, kU32, {d.pcie_naks_received->value(now.t)});
  add(32, kU64, {now.t * 1e8});
  add(33, kU16, std::vector<double>(std::min<size_t>(d.compute_dies, 8), d.clock_at(d.graphics, now.t)));
  add(34, kU16, {d.clock_at(d.soc, now.t)});
  add(37, kU16, {d.clock_at(d.memory_clock, now.t)});
  add(38, kU16, {static_cast<double>(d.partitions)});
  const unsigned dies = std::min(d.compute_dies, 8u);
  std::vector<double> busy;
  for (unsigned die = 0; die < dies; ++die) busy.push_back(d.partition_activity(die * d.partitions / dies, now.t));
  add(40, kU32, busy);
  add(44, kU64, std::vector<double>(dies, now.residency(AmdReason::power)));
  add(45, kU64, std::vector<double>(dies, now.residency(AmdReason::thermal)));
  Blob header(8, 1, 9);
  header.put(0, static_cast<double>(8 + body.size()), 2);
  header.put(4, count, 4);
  return header.take() + body;
}

// Revisions 2.x: graphics beside processor cores, in hundredths.
std::string apu(const Now& now, unsigned revision) {
  constexpr size_t kSizes[] = {120, 120, 128, 152, 168};
  const AmdDevice& d = now.d;
  Blob b(kSizes[revision], 2, revision);
  if (d.edge) b.u16(4, now.centigrade(d.edge) * 100);
  if (d.vr_soc) b.u16(6, d.vr_soc->value(now.t) * 100);
  b.u16(28, d.gpu.value(now.t) * 100);
  if (d.vcn) b.u16(30, d.vcn->value(now.t) * 100);
  b.u64(32, now.nanoseconds());
  b.u16(40, d.power.mean(now.t - 1, now.t) * 1000);
  for (const size_t at : {size_t{64}, size_t{76}}) {
    b.u16(at, d.clock_at(d.graphics, now.t));
    b.u16(at + 2, d.clock_at(d.soc, now.t));
    b.u16(at + 4, d.clock_at(d.memory_clock, now.t));
  }
  b.u32(108, now.status());
  if (revision >= 2) b.put_bits(120, now.throttlers(), 8);
  if (revision >= 4 && d.voltage_gfx) b.u16(156, *d.voltage_gfx * 1000);
  return b.take();
}

std::string apu3(const Now& now) {
  const AmdDevice& d = now.d;
  Blob b(264, 3, 0);
  if (d.edge) b.u16(4, now.centigrade(d.edge) * 100);
  if (d.vr_soc) b.u16(6, d.vr_soc->value(now.t) * 100);
  b.u16(42, d.gpu.value(now.t));
  if (d.vcn) b.u16(44, d.vcn->value(now.t));
  b.u64(104, now.nanoseconds());
  b.u32(112, d.power.mean(now.t - 1, now.t) * 1000);
  b.u16(174, d.clock_at(d.graphics, now.t));
  b.u16(176, d.clock_at(d.soc, now.t));
  b.u16(186, d.clock_at(d.memory_clock, now.t));
  return b.take();
}

}  // namespace

std::string encode_gpu_metrics(const AmdDevice& device, double since, double t) {
  const Now now{device, since, t};
  const auto format = static_cast<unsigned>(device.metrics[0] - '0');
  const auto content = static_cast<unsigned>(device.metrics[2] - '0');
  if (format == 3) return apu3(now);
  if (format == 2) return apu(now, content);
  if (content == 9) return attributes(now);
  return content <= 3 ? single_die(now, content) : multi_die(now, content);
}

}  // namespace accelmon::simulator
