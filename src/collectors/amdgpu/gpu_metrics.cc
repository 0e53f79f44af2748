#include "collectors/amdgpu/gpu_metrics.h"

#include <algorithm>

namespace accelmon::amdgpu {
namespace {

constexpr double kMega = 1e6;
constexpr double kPercent = 0.01;
constexpr double kMilli = 1e-3;
constexpr double kKibi = 1024;
constexpr double kEnergyUnit = 1.0 / 65536;  // 15.259 uJ
constexpr double kNano = 1e-9;
constexpr double kTenNano = 1e-8;
constexpr double kTenthOfGiga = 1e8;
constexpr double kGiga = 1e9;

struct Row {
  Gauge gauge;
  uint16_t offset;
  uint8_t width;
  uint8_t count = 1;
  double scale = 1;
};

struct Layout {
  uint8_t format, content;
  uint16_t size;
  std::span<const Row> rows;
  // Statistics of partitions: where, how large each, how many JPEG engines it has room for, and where in each the
  // counts of held clocks begin (0: it has none that say why).
  uint16_t parts = 0, part_size = 0;
  uint8_t jpegs = 0;
  uint16_t held = 0;
};

using enum Gauge;

constexpr Row k1_0[] = {{time, 8, 8, 1, kNano},
                        {temperature_edge, 16, 2},
                        {temperature_hotspot, 18, 2},
                        {temperature_memory, 20, 2},
                        {temperature_vr_graphics, 22, 2},
                        {temperature_vr_soc, 24, 2},
                        {temperature_vr_memory, 26, 2},
                        {activity_graphics, 28, 2, 1, kPercent},
                        {activity_memory, 30, 2, 1, kPercent},
                        {activity_media, 32, 2, 1, kPercent},
                        {power_average, 34, 2},
                        {energy, 36, 4, 1, kEnergyUnit},
                        {clock_graphics, 54, 2, 1, kMega},
                        {clock_soc, 56, 2, 1, kMega},
                        {clock_memory, 58, 2, 1, kMega},
                        {clock_video, 60, 2, 1, kMega},
                        {clock_decode, 62, 2, 1, kMega},
                        {throttle_status, 68, 4},
                        {fan_rpm, 72, 2},
                        {pcie_width, 74, 1},
                        {pcie_speed, 75, 1, 1, kTenthOfGiga}};

// 1.1 to 1.3 append to each other: one table, cut where the structure ends.
constexpr Row k1_3[] = {{temperature_edge, 4, 2},
                        {temperature_hotspot, 6, 2},
                        {temperature_memory, 8, 2},
                        {temperature_vr_graphics, 10, 2},
                        {temperature_vr_soc, 12, 2},
                        {temperature_vr_memory, 14, 2},
                        {activity_graphics, 16, 2, 1, kPercent},
                        {activity_memory, 18, 2, 1, kPercent},
                        {activity_media, 20, 2, 1, kPercent},
                        {power_average, 22, 2},
                        {energy, 24, 8, 1, kEnergyUnit},
                        {time, 32, 8, 1, kNano},
                        {clock_graphics, 54, 2, 1, kMega},
                        {clock_soc, 56, 2, 1, kMega},
                        {clock_memory, 58, 2, 1, kMega},
                        {clock_video, 60, 2, 1, kMega},
                        {clock_decode, 62, 2, 1, kMega},
                        {throttle_status, 68, 4},
                        {fan_rpm, 72, 2},
                        {pcie_width, 74, 2},
                        {pcie_speed, 76, 2, 1, kTenthOfGiga},
                        {temperature_hbm, 88, 2, 4},
                        {firmware_time, 96, 8, 1, kTenNano},
                        {voltage_soc, 104, 2, 1, kMilli},
                        {voltage_graphics, 106, 2, 1, kMilli},
                        {voltage_memory, 108, 2, 1, kMilli},
                        {throttlers, 112, 8}};
constexpr std::span<const Row> kTo1_1(k1_3, 22);
constexpr std::span<const Row> kTo1_2(k1_3, 23);
static_assert(k1_3[21].gauge == temperature_hbm && k1_3[22].gauge == firmware_time);

#define ACCELMON_MULTI_DIE_HEAD                                                                                \
  {temperature_hotspot, 4, 2}, {temperature_memory, 6, 2}, {temperature_vr_soc, 8, 2}, {power_instant, 10, 2}, \
      {activity_graphics, 12, 2, 1, kPercent}, {                                                               \
    activity_memory, 14, 2, 1, kPercent                                                                        \
  }

// What follows the residencies or the status, in the order of the structures.
#define ACCELMON_MULTI_DIE_LINKS(pcie, recoveries, naks, xgmi, clocks)                                            \
  {pcie_width, pcie, 2}, {pcie_speed, pcie + 2, 2, 1, kTenthOfGiga}, {xgmi_width, pcie + 4, 2},                   \
      {xgmi_speed, pcie + 6, 2, 1, kGiga}, {pcie_recoveries, recoveries, 8}, {pcie_replays, recoveries + 8, 8},   \
      {pcie_rollovers, recoveries + 16, 8}, {xgmi_read, xgmi, 8, 8, kKibi}, {xgmi_write, xgmi + 64, 8, 8, kKibi}, \
      {firmware_time, clocks - 8, 8, 1, kTenNano}, {clock_graphics, clocks, 2, 8, kMega},                         \
      {clock_soc, clocks + 16, 2, 4, kMega}, {clock_video, clocks + 24, 2, 4, kMega},                             \
      {clock_decode, clocks + 32, 2, 4, kMega}, {                                                                 \
    clock_memory, clocks + 40, 2, 1, kMega                                                                        \
  }

#define ACCELMON_RESIDENCIES(at)                                                    \
  {cycles, at, 4}, {residency_prochot, at + 4, 4}, {residency_power, at + 8, 4},    \
      {residency_socket_thermal, at + 12, 4}, {residency_vr_thermal, at + 16, 4}, { \
    residency_hbm_thermal, at + 20, 4                                               \
  }

constexpr Row k1_4[] = {ACCELMON_MULTI_DIE_HEAD,         {activity_vcn, 16, 2, 4, kPercent},
                        {energy, 24, 8, 1, kEnergyUnit}, {time, 32, 8, 1, kNano},
                        {throttle_status, 40, 4},        ACCELMON_MULTI_DIE_LINKS(48, 80, 0, 104, 240)};

constexpr Row k1_5[] = {ACCELMON_MULTI_DIE_HEAD,
                        {activity_vcn, 16, 2, 4, kPercent},
                        {activity_jpeg, 24, 2, 32, kPercent},
                        {energy, 88, 8, 1, kEnergyUnit},
                        {time, 96, 8, 1, kNano},
                        {throttle_status, 104, 4},
                        ACCELMON_MULTI_DIE_LINKS(112, 144, 168, 176, 312),
                        {pcie_naks_sent, 168, 4},
                        {pcie_naks_received, 172, 4}};

constexpr Row k1_6[] = {ACCELMON_MULTI_DIE_HEAD,
                        {energy, 16, 8, 1, kEnergyUnit},
                        {time, 24, 8, 1, kNano},
                        ACCELMON_RESIDENCIES(32),
                        ACCELMON_MULTI_DIE_LINKS(60, 96, 120, 128, 264),
                        {pcie_naks_sent, 120, 4},
                        {pcie_naks_received, 124, 4},
                        {partitions, 306, 2}};

// 1.8 differs from 1.7 in the statistics of its partitions only.
constexpr Row k1_7[] = {
    ACCELMON_MULTI_DIE_HEAD,  {bandwidth_limit, 16, 8, 1, kGiga}, {energy, 24, 8, 1, kEnergyUnit},
    {time, 32, 8, 1, kNano},  ACCELMON_RESIDENCIES(40),           ACCELMON_MULTI_DIE_LINKS(68, 104, 128, 136, 296),
    {pcie_naks_sent, 128, 4}, {pcie_naks_received, 132, 4},       {xgmi_up, 264, 2, 8},
    {partitions, 338, 2}};

// APUs count in hundredths of a degree. The scale of activity and power is told for 2.4 only; before, chips differ, and
// the driver's other files say it better.
constexpr Row k2_0[] = {{time, 8, 8, 1, kNano},
                        {temperature_edge, 16, 2, 1, 0.01},
                        {temperature_soc, 18, 2, 1, 0.01},
                        {clock_graphics, 80, 2, 1, kMega},
                        {clock_soc, 82, 2, 1, kMega},
                        {clock_memory, 84, 2, 1, kMega},
                        {clock_video, 88, 2, 1, kMega},
                        {clock_decode, 90, 2, 1, kMega},
                        {throttle_status, 112, 4}};

constexpr Row k2_3[] = {{temperature_edge, 4, 2, 1, 0.01}, {temperature_soc, 6, 2, 1, 0.01},
                        {time, 32, 8, 1, kNano},           {clock_graphics, 76, 2, 1, kMega},
                        {clock_soc, 78, 2, 1, kMega},      {clock_memory, 80, 2, 1, kMega},
                        {clock_video, 84, 2, 1, kMega},    {clock_decode, 86, 2, 1, kMega},
                        {throttle_status, 108, 4},         {throttlers, 120, 8}};
constexpr std::span<const Row> kTo2_1(k2_3, 9);
static_assert(k2_3[9].gauge == throttlers);

constexpr Row k2_4[] = {{temperature_edge, 4, 2, 1, 0.01},
                        {temperature_soc, 6, 2, 1, 0.01},
                        {activity_graphics, 28, 2, 1, 1e-4},
                        {activity_media, 30, 2, 1, 1e-4},
                        {time, 32, 8, 1, kNano},
                        {power_average, 40, 2, 1, kMilli},
                        {clock_graphics, 76, 2, 1, kMega},
                        {clock_soc, 78, 2, 1, kMega},
                        {clock_memory, 80, 2, 1, kMega},
                        {clock_video, 84, 2, 1, kMega},
                        {clock_decode, 86, 2, 1, kMega},
                        {throttle_status, 108, 4},
                        {throttlers, 120, 8},
                        {voltage_soc, 154, 2, 1, kMilli},
                        {voltage_graphics, 156, 2, 1, kMilli}};

constexpr Row k3_0[] = {
    {temperature_edge, 4, 2, 1, 0.01},       {temperature_soc, 6, 2, 1, 0.01},     {temperature_skin, 40, 2, 1, 0.01},
    {activity_graphics, 42, 2, 1, kPercent}, {activity_media, 44, 2, 1, kPercent}, {time, 104, 8, 1, kNano},
    {power_average, 112, 4, 1, kMilli},      {clock_graphics, 174, 2, 1, kMega},   {clock_soc, 176, 2, 1, kMega},
    {clock_video, 184, 2, 1, kMega},         {clock_memory, 186, 2, 1, kMega}};

constexpr Layout kLayouts[] = {
    {1, 0, 80, k1_0},
    {1, 1, 96, kTo1_1},
    {1, 2, 104, kTo1_2},
    {1, 3, 120, k1_3},
    {1, 4, 288, k1_4},
    {1, 5, 360, k1_5},
    {1, 6, 1664, k1_6, 312, 168, 32},
    {1, 7, 2208, k1_7, 344, 232, 32},
    {1, 8, 3872, k1_7, 344, 440, 40, 184},
    {2, 0, 120, k2_0},
    {2, 1, 120, kTo2_1},
    {2, 2, 128, k2_3},
    {2, 3, 152, k2_3},
    {2, 4, 168, k2_4},
    {3, 0, 264, k3_0},
};

constexpr bool fits(const Layout& layout) {
  for (const Row& row : layout.rows) {
    if (row.offset + row.width * row.count > layout.size || row.count > instances(row.gauge)) return false;
    if (row.offset % (row.width < 8 ? row.width : 8) != 0) return false;  // natural alignment
  }
  return layout.parts == 0 || layout.parts + kPartitionsMost * layout.part_size <= layout.size;
}
static_assert(std::all_of(std::begin(kLayouts), std::end(kLayouts), fits));

const Layout* find(unsigned format, unsigned content) {
  for (const Layout& layout : kLayouts)
    if (layout.format == format && layout.content == content) return &layout;
  return nullptr;
}

uint64_t little_endian(std::span<const std::byte> blob, size_t at, size_t width) {
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) value |= std::to_integer<uint64_t>(blob[at + i]) << (8 * i);
  return value;
}

constexpr uint64_t all_ones(size_t width) {
  return width >= 8 ? ~0ull : (1ull << (8 * width)) - 1;
}

void store(GpuMetrics& out, Gauge gauge, size_t instance, uint64_t raw, size_t width, double scale) {
  if (raw == all_ones(width)) return;
  if (gauge == throttle_status || gauge == throttlers) return out.set_bits(gauge, raw);
  out.set(gauge, instance, static_cast<double>(raw) * scale);
}

void decode_partitions(std::span<const std::byte> blob, const Layout& layout, GpuMetrics& out) {
  for (size_t part = 0; part < kPartitionsMost; ++part) {
    const size_t at = layout.parts + part * layout.part_size;
    for (size_t die = 0; die < kDiesMost; ++die) {
      store(out, partition_activity, part * kDiesMost + die, little_endian(blob, at + 4 * die, 4), 4, kPercent);
      if (layout.held == 0) continue;
      const size_t held = at + layout.held + 8 * die;
      store(out, partition_held_power, part * kDiesMost + die, little_endian(blob, held, 8), 8, 1);
      store(out, partition_held_thermal, part * kDiesMost + die, little_endian(blob, held + 8 * kDiesMost, 8), 8, 1);
    }
    for (size_t engine = 0; engine < layout.jpegs; ++engine)
      store(out, partition_jpeg, part * kJpegMost + engine, little_endian(blob, at + 32 + 2 * engine, 2), 2, kPercent);
    for (size_t engine = 0; engine < 4; ++engine)
      store(out, partition_vcn, part * 4 + engine,
            little_endian(blob, at + 32 + 2 * size_t{layout.jpegs} + 2 * engine, 2), 2, kPercent);
  }
}

// ---- 1.9: attributes that say what they are ----

struct Attribute {
  uint16_t id;
  Gauge gauge;
  double scale = 1;
};
constexpr Attribute kAttributes[] = {{0, temperature_hotspot},
                                     {1, temperature_memory},
                                     {2, temperature_vr_soc},
                                     {3, power_instant},
                                     {4, activity_graphics, kPercent},
                                     {5, activity_memory, kPercent},
                                     {6, bandwidth_limit, kGiga},
                                     {7, energy, kEnergyUnit},
                                     {8, time, kNano},
                                     {9, cycles},
                                     {10, residency_prochot},
                                     {11, residency_power},
                                     {12, residency_socket_thermal},
                                     {13, residency_vr_thermal},
                                     {14, residency_hbm_thermal},
                                     {16, pcie_width},
                                     {17, pcie_speed, kTenthOfGiga},
                                     {18, xgmi_width},
                                     {19, xgmi_speed, kGiga},
                                     {24, pcie_recoveries},
                                     {25, pcie_replays},
                                     {26, pcie_rollovers},
                                     {27, pcie_naks_sent},
                                     {28, pcie_naks_received},
                                     {29, xgmi_read, kKibi},
                                     {30, xgmi_write, kKibi},
                                     {31, xgmi_up},
                                     {32, firmware_time, kTenNano},
                                     {33, clock_graphics, kMega},
                                     {34, clock_soc, kMega},
                                     {35, clock_video, kMega},
                                     {36, clock_decode, kMega},
                                     {37, clock_memory, kMega},
                                     {38, partitions},
                                     {40, activity_die, kPercent},
                                     {41, activity_jpeg, kPercent},
                                     {42, activity_vcn, kPercent},
                                     {44, die_held_power},
                                     {45, die_held_thermal}};

Code decode_attributes(std::span<const std::byte> blob, GpuMetrics& out) {
  if (blob.size() < 8) return Code::invalid;
  const uint64_t count = little_endian(blob, 4, 4);
  size_t at = 8;
  for (uint64_t i = 0; i < count; ++i) {
    if (blob.size() - at < 8) return Code::invalid;
    const uint64_t encoding = little_endian(blob, at, 8);
    at += 8;
    const size_t number = encoding & 0x3ff;
    const auto id = static_cast<uint16_t>(encoding >> 10 & 0x3ff);
    const unsigned type = encoding >> 20 & 0xf;
    if (type > 7) return Code::invalid;
    const size_t width = size_t{1} << (type / 2);
    if (number > (blob.size() - at) / width) return Code::invalid;
    const auto* known = std::find_if(std::begin(kAttributes), std::end(kAttributes),
                                     [id](const Attribute& attribute) { return attribute.id == id; });
    for (size_t j = 0; known != std::end(kAttributes) && j < std::min(number, instances(known->gauge)); ++j) {
      const uint64_t raw = little_endian(blob, at + j * width, width);
      if (raw == all_ones(width)) continue;
      // Signed types are sign-extended.
      const unsigned spare = static_cast<unsigned>(64 - 8 * width);
      const double value =
          type % 2 == 0 ? static_cast<double>(raw) : static_cast<double>(static_cast<int64_t>(raw << spare) >> spare);
      out.set(known->gauge, j, value * known->scale);
    }
    at += number * width;
  }
  return Code::ok;
}

}  // namespace

std::optional<uint64_t> GpuMetrics::bits(Gauge gauge) const {
  if (!get(gauge)) return std::nullopt;
  return gauge == Gauge::throttlers ? throttlers_ : throttle_status_;
}

void GpuMetrics::set_bits(Gauge gauge, uint64_t value) {
  (gauge == Gauge::throttlers ? throttlers_ : throttle_status_) = value;
  set(gauge, 0, static_cast<double>(value));
}

double GpuMetrics::energy_modulus() const {
  return (format == 1 && content == 0 ? 4294967296.0 : 18446744073709551616.0) * kEnergyUnit;
}

void GpuMetrics::clear() {
  known_.reset();
  format = content = 0;
}

std::optional<GpuMetricsHeader> read_header(std::span<const std::byte> blob) {
  if (blob.size() < 4) return std::nullopt;
  return GpuMetricsHeader{static_cast<uint16_t>(little_endian(blob, 0, 2)), std::to_integer<uint8_t>(blob[2]),
                          std::to_integer<uint8_t>(blob[3])};
}

size_t size_of_revision(unsigned format, unsigned content) {
  const Layout* layout = find(format, content);
  return layout != nullptr ? layout->size : 0;
}

Code decode(std::span<const std::byte> blob, GpuMetrics& out) {
  out.clear();
  const std::optional<GpuMetricsHeader> header = read_header(blob);
  if (!header) return Code::invalid;
  if (header->format == 1 && header->content == 9) {
    if (header->size != blob.size()) return Code::invalid;
    const Code code = decode_attributes(blob, out);
    if (code != Code::ok) {
      out.clear();
      return code;
    }
  } else {
    const Layout* layout = find(header->format, header->content);
    if (layout == nullptr) return Code::unsupported;
    if (header->size != layout->size || blob.size() != layout->size) return Code::invalid;
    for (const Row& row : layout->rows)
      for (size_t i = 0; i < row.count; ++i)
        store(out, row.gauge, i, little_endian(blob, row.offset + i * row.width, row.width), row.width, row.scale);
    if (layout->parts != 0) decode_partitions(blob, *layout, out);
  }
  out.format = header->format;
  out.content = header->content;
  return Code::ok;
}

}  // namespace accelmon::amdgpu
