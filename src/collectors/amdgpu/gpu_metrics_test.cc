// Golden blobs of every revision, put together here from offsets that are written out field by field, as the kernel's
// interface has them; and blobs that must be refused.
#include "collectors/amdgpu/gpu_metrics.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace accelmon::amdgpu {
namespace {

struct Field {
  size_t offset, width;
  uint64_t raw;
  Gauge gauge;
  size_t instance;
  double value;
};

class Blob {
 public:
  Blob(size_t size, unsigned format, unsigned content, uint8_t filler = 0xff) : bytes_(size, std::byte{filler}) {
    put(0, 2, size);
    put(2, 1, format);
    put(3, 1, content);
  }
  void put(size_t at, size_t width, uint64_t value) {
    for (size_t i = 0; i < width; ++i) bytes_.at(at + i) = static_cast<std::byte>(value >> (8 * i) & 0xff);
  }
  void append(size_t width, uint64_t value) {
    bytes_.resize(bytes_.size() + width);
    put(bytes_.size() - width, width, value);
  }
  std::vector<std::byte>& bytes() { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

size_t known_gauges(const GpuMetrics& metrics) {
  size_t known = 0;
  for (size_t gauge = 0; gauge < kGauges; ++gauge)
    for (size_t i = 0; i < instances(static_cast<Gauge>(gauge)); ++i)
      known += metrics.get(static_cast<Gauge>(gauge), i).has_value() ? 1u : 0u;
  return known;
}

void check(unsigned format, unsigned content, size_t size, const std::vector<Field>& fields) {
  SCOPED_TRACE(std::to_string(format) + "." + std::to_string(content));
  EXPECT_EQ(size_of_revision(format, content), size);
  Blob blob(size, format, content);
  GpuMetrics metrics;
  // Nothing filled: all ones mean that nothing is known.
  ASSERT_EQ(decode(blob.bytes(), metrics), Code::ok);
  EXPECT_EQ(known_gauges(metrics), 0u);
  for (const Field& field : fields) blob.put(field.offset, field.width, field.raw);
  ASSERT_EQ(decode(blob.bytes(), metrics), Code::ok);
  EXPECT_EQ(metrics.format, format);
  EXPECT_EQ(metrics.content, content);
  for (const Field& field : fields) {
    const auto value = metrics.get(field.gauge, field.instance);
    ASSERT_TRUE(value) << "offset " << field.offset;
    EXPECT_NEAR(*value, field.value, std::abs(field.value) * 1e-12) << "offset " << field.offset;
  }
  EXPECT_EQ(known_gauges(metrics), fields.size());

  // One byte less or more, in the file or in its header, is another structure.
  std::vector<std::byte> shorter(blob.bytes().begin(), blob.bytes().end() - 1);
  EXPECT_EQ(decode(shorter, metrics), Code::invalid);
  EXPECT_EQ(known_gauges(metrics), 0u);
  std::vector<std::byte> longer = blob.bytes();
  longer.push_back(std::byte{0});
  EXPECT_EQ(decode(longer, metrics), Code::invalid);
  blob.put(0, 2, size + 1);
  EXPECT_EQ(decode(blob.bytes(), metrics), Code::invalid);
}

constexpr double kUnit = 1.0 / 65536;

TEST(GpuMetrics, Revision1_0) {
  check(1, 0, 80,
        {{8, 8, 5'000'000'000, Gauge::time, 0, 5},
         {16, 2, 51, Gauge::temperature_edge, 0, 51},
         {18, 2, 62, Gauge::temperature_hotspot, 0, 62},
         {20, 2, 73, Gauge::temperature_memory, 0, 73},
         {28, 2, 64, Gauge::activity_graphics, 0, 0.64},
         {30, 2, 21, Gauge::activity_memory, 0, 0.21},
         {32, 2, 7, Gauge::activity_media, 0, 0.07},
         {34, 2, 199, Gauge::power_average, 0, 199},
         {36, 4, 65536 * 9, Gauge::energy, 0, 9},
         {54, 2, 1800, Gauge::clock_graphics, 0, 1.8e9},
         {58, 2, 875, Gauge::clock_memory, 0, 8.75e8},
         {68, 4, 0x11, Gauge::throttle_status, 0, 0x11},
         {72, 2, 1500, Gauge::fan_rpm, 0, 1500},
         {74, 1, 16, Gauge::pcie_width, 0, 16},
         {75, 1, 160, Gauge::pcie_speed, 0, 16e9}});
}

std::vector<Field> one_die() {
  return {{4, 2, 51, Gauge::temperature_edge, 0, 51},
          {6, 2, 62, Gauge::temperature_hotspot, 0, 62},
          {8, 2, 73, Gauge::temperature_memory, 0, 73},
          {10, 2, 44, Gauge::temperature_vr_graphics, 0, 44},
          {12, 2, 45, Gauge::temperature_vr_soc, 0, 45},
          {14, 2, 46, Gauge::temperature_vr_memory, 0, 46},
          {16, 2, 99, Gauge::activity_graphics, 0, 0.99},
          {18, 2, 31, Gauge::activity_memory, 0, 0.31},
          {20, 2, 12, Gauge::activity_media, 0, 0.12},
          {22, 2, 339, Gauge::power_average, 0, 339},
          {24, 8, 65536ull * 1000000, Gauge::energy, 0, 1e6},
          {32, 8, 77, Gauge::time, 0, 77e-9},
          {54, 2, 2480, Gauge::clock_graphics, 0, 2.48e9},
          {56, 2, 1150, Gauge::clock_soc, 0, 1.15e9},
          {58, 2, 1249, Gauge::clock_memory, 0, 1.249e9},
          {60, 2, 1900, Gauge::clock_video, 0, 1.9e9},
          {62, 2, 1600, Gauge::clock_decode, 0, 1.6e9},
          {68, 4, 8, Gauge::throttle_status, 0, 8},
          {72, 2, 1203, Gauge::fan_rpm, 0, 1203},
          {74, 2, 8, Gauge::pcie_width, 0, 8},
          {76, 2, 320, Gauge::pcie_speed, 0, 32e9},
          {88, 2, 55, Gauge::temperature_hbm, 0, 55},
          {94, 2, 58, Gauge::temperature_hbm, 3, 58}};
}

TEST(GpuMetrics, Revisions1_1To1_3AppendToEachOther) {
  check(1, 1, 96, one_die());
  std::vector<Field> fields = one_die();
  fields.push_back({96, 8, 300'000'000, Gauge::firmware_time, 0, 3});
  check(1, 2, 104, fields);
  fields.insert(fields.end(), {{104, 2, 912, Gauge::voltage_soc, 0, 0.912},
                               {106, 2, 934, Gauge::voltage_graphics, 0, 0.934},
                               {108, 2, 1300, Gauge::voltage_memory, 0, 1.3},
                               {112, 8, 1ull << 36, Gauge::throttlers, 0, static_cast<double>(1ull << 36)}});
  check(1, 3, 120, fields);
}

// Offsets of the columns of the family 1.4 to 1.8.
struct Column {
  unsigned content;
  size_t size, energy, time, width, speed, xgmi_width, xgmi_speed, recoveries, replays, rollovers, read, write;
  size_t graphics, soc, video, decode, memory;
};
constexpr Column kColumns[] = {
    {4, 288, 24, 32, 48, 50, 52, 54, 80, 88, 96, 104, 168, 240, 256, 264, 272, 280},
    {5, 360, 88, 96, 112, 114, 116, 118, 144, 152, 160, 176, 240, 312, 328, 336, 344, 352},
    {6, 1664, 16, 24, 60, 62, 64, 66, 96, 104, 112, 128, 192, 264, 280, 288, 296, 304},
    {7, 2208, 24, 32, 68, 70, 72, 74, 104, 112, 120, 136, 200, 296, 312, 320, 328, 336},
    {8, 3872, 24, 32, 68, 70, 72, 74, 104, 112, 120, 136, 200, 296, 312, 320, 328, 336},
};

std::vector<Field> many_dies(const Column& at) {
  return {{4, 2, 81, Gauge::temperature_hotspot, 0, 81},
          {6, 2, 66, Gauge::temperature_memory, 0, 66},
          {8, 2, 59, Gauge::temperature_vr_soc, 0, 59},
          {10, 2, 735, Gauge::power_instant, 0, 735},
          {12, 2, 88, Gauge::activity_graphics, 0, 0.88},
          {14, 2, 53, Gauge::activity_memory, 0, 0.53},
          {at.energy, 8, 3, Gauge::energy, 0, 3 * kUnit},
          {at.time, 8, 1'000'000'000, Gauge::time, 0, 1},
          {at.width, 2, 16, Gauge::pcie_width, 0, 16},
          {at.speed, 2, 320, Gauge::pcie_speed, 0, 32e9},
          {at.xgmi_width, 2, 16, Gauge::xgmi_width, 0, 16},
          {at.xgmi_speed, 2, 32, Gauge::xgmi_speed, 0, 32e9},
          {at.recoveries, 8, 4, Gauge::pcie_recoveries, 0, 4},
          {at.replays, 8, 5, Gauge::pcie_replays, 0, 5},
          {at.rollovers, 8, 6, Gauge::pcie_rollovers, 0, 6},
          {at.read, 8, 1000, Gauge::xgmi_read, 0, 1024000},
          {at.read + 56, 8, 7, Gauge::xgmi_read, 7, 7168},
          {at.write, 8, 2000, Gauge::xgmi_write, 0, 2048000},
          {at.write + 56, 8, 9, Gauge::xgmi_write, 7, 9216},
          {at.graphics - 8, 8, 250'000'000, Gauge::firmware_time, 0, 2.5},
          {at.graphics, 2, 2100, Gauge::clock_graphics, 0, 2.1e9},
          {at.graphics + 14, 2, 2090, Gauge::clock_graphics, 7, 2.09e9},
          {at.soc, 2, 1143, Gauge::clock_soc, 0, 1.143e9},
          {at.video + 6, 2, 29, Gauge::clock_video, 3, 29e6},
          {at.decode, 2, 22, Gauge::clock_decode, 0, 22e6},
          {at.memory, 2, 1300, Gauge::clock_memory, 0, 1.3e9}};
}

TEST(GpuMetrics, Revision1_4) {
  std::vector<Field> fields = many_dies(kColumns[0]);
  fields.push_back({16, 2, 10, Gauge::activity_vcn, 0, 0.1});
  fields.push_back({22, 2, 40, Gauge::activity_vcn, 3, 0.4});
  fields.push_back({40, 4, 1, Gauge::throttle_status, 0, 1});
  check(1, 4, 288, fields);
}

TEST(GpuMetrics, Revision1_5) {
  std::vector<Field> fields = many_dies(kColumns[1]);
  fields.push_back({16, 2, 10, Gauge::activity_vcn, 0, 0.1});
  fields.push_back({24, 2, 20, Gauge::activity_jpeg, 0, 0.2});
  fields.push_back({86, 2, 30, Gauge::activity_jpeg, 31, 0.3});
  fields.push_back({104, 4, 1, Gauge::throttle_status, 0, 1});
  fields.push_back({168, 4, 3, Gauge::pcie_naks_sent, 0, 3});
  fields.push_back({172, 4, 4, Gauge::pcie_naks_received, 0, 4});
  check(1, 5, 360, fields);
}

void add_residencies(std::vector<Field>& fields, size_t at) {
  constexpr Gauge kGaugesThere[] = {Gauge::cycles,
                                    Gauge::residency_prochot,
                                    Gauge::residency_power,
                                    Gauge::residency_socket_thermal,
                                    Gauge::residency_vr_thermal,
                                    Gauge::residency_hbm_thermal};
  for (size_t i = 0; i < std::size(kGaugesThere); ++i)
    fields.push_back({at + 4 * i, 4, 100 + i, kGaugesThere[i], 0, 100.0 + static_cast<double>(i)});
}

TEST(GpuMetrics, Revision1_6) {
  std::vector<Field> fields = many_dies(kColumns[2]);
  add_residencies(fields, 32);
  fields.push_back({120, 4, 3, Gauge::pcie_naks_sent, 0, 3});
  fields.push_back({124, 4, 4, Gauge::pcie_naks_received, 0, 4});
  fields.push_back({306, 2, 8, Gauge::partitions, 0, 8});
  fields.push_back({312, 4, 11, Gauge::partition_activity, 0, 0.11});
  fields.push_back({312 + 168 * 7 + 28, 4, 22, Gauge::partition_activity, 63, 0.22});
  fields.push_back({312 + 168 + 32 + 62, 2, 33, Gauge::partition_jpeg, kJpegMost + 31, 0.33});
  fields.push_back({312 + 168 * 2 + 96 + 6, 2, 44, Gauge::partition_vcn, 11, 0.44});
  check(1, 6, 1664, fields);
}

void newer(const Column& column, size_t part, size_t jpegs, size_t held) {
  std::vector<Field> fields = many_dies(column);
  add_residencies(fields, 40);
  fields.push_back({128, 4, 3, Gauge::pcie_naks_sent, 0, 3});
  fields.push_back({132, 4, 4, Gauge::pcie_naks_received, 0, 4});
  fields.push_back({16, 8, 5300, Gauge::bandwidth_limit, 0, 5.3e12});
  fields.push_back({264, 2, 1, Gauge::xgmi_up, 0, 1});
  fields.push_back({278, 2, 0, Gauge::xgmi_up, 7, 0});
  fields.push_back({338, 2, 1, Gauge::partitions, 0, 1});
  fields.push_back({344 + part * 7, 4, 55, Gauge::partition_activity, 56, 0.55});
  fields.push_back(
      {344 + part * 3 + 32 + 2 * (jpegs - 1), 2, 66, Gauge::partition_jpeg, 3 * kJpegMost + jpegs - 1, 0.66});
  fields.push_back({344 + part * 3 + 32 + 2 * jpegs, 2, 77, Gauge::partition_vcn, 12, 0.77});
  if (held != 0) {
    fields.push_back({344 + held, 8, 1000, Gauge::partition_held_power, 0, 1000});
    fields.push_back({344 + part * 7 + held + 56, 8, 1001, Gauge::partition_held_power, 63, 1001});
    fields.push_back({344 + held + 64, 8, 1002, Gauge::partition_held_thermal, 0, 1002});
    fields.push_back({344 + part * 7 + held + 120, 8, 1003, Gauge::partition_held_thermal, 63, 1003});
  }
  check(1, column.content, column.size, fields);
}

TEST(GpuMetrics, Revisions1_7And1_8) {
  newer(kColumns[3], 232, 32, 0);
  newer(kColumns[4], 440, 40, 184);
}

TEST(GpuMetrics, ApusCountInHundredths) {
  check(2, 0, 120,
        {{8, 8, 77, Gauge::time, 0, 77e-9},
         {16, 2, 4550, Gauge::temperature_edge, 0, 45.5},
         {18, 2, 4000, Gauge::temperature_soc, 0, 40},
         {80, 2, 1600, Gauge::clock_graphics, 0, 1.6e9},
         {112, 4, 1, Gauge::throttle_status, 0, 1}});
  const std::vector<Field> fields = {{4, 2, 4550, Gauge::temperature_edge, 0, 45.5},
                                     {6, 2, 4000, Gauge::temperature_soc, 0, 40},
                                     {32, 8, 77, Gauge::time, 0, 77e-9},
                                     {76, 2, 1600, Gauge::clock_graphics, 0, 1.6e9},
                                     {80, 2, 800, Gauge::clock_memory, 0, 8e8},
                                     {84, 2, 400, Gauge::clock_video, 0, 4e8},
                                     {108, 4, 1, Gauge::throttle_status, 0, 1}};
  check(2, 1, 120, fields);
  std::vector<Field> more = fields;
  more.push_back({120, 8, 1, Gauge::throttlers, 0, 1});
  check(2, 2, 128, more);
  check(2, 3, 152, more);
  more.insert(more.end(), {{28, 2, 9900, Gauge::activity_graphics, 0, 0.99},
                           {30, 2, 500, Gauge::activity_media, 0, 0.05},
                           {40, 2, 15500, Gauge::power_average, 0, 15.5},
                           {154, 2, 800, Gauge::voltage_soc, 0, 0.8},
                           {156, 2, 900, Gauge::voltage_graphics, 0, 0.9}});
  check(2, 4, 168, more);
}

TEST(GpuMetrics, Revision3_0) {
  check(3, 0, 264,
        {{4, 2, 4550, Gauge::temperature_edge, 0, 45.5},
         {6, 2, 4000, Gauge::temperature_soc, 0, 40},
         {40, 2, 3300, Gauge::temperature_skin, 0, 33},
         {42, 2, 97, Gauge::activity_graphics, 0, 0.97},
         {44, 2, 3, Gauge::activity_media, 0, 0.03},
         {104, 8, 77, Gauge::time, 0, 77e-9},
         {112, 4, 15500, Gauge::power_average, 0, 15.5},
         {174, 2, 2800, Gauge::clock_graphics, 0, 2.8e9},
         {186, 2, 1000, Gauge::clock_memory, 0, 1e9}});
}

// ---- 1.9 ----

Blob attributes(uint32_t count) {
  Blob blob(8, 1, 9);
  blob.put(4, 4, count);
  return blob;
}

void append(Blob& blob, unsigned id, unsigned type, std::initializer_list<uint64_t> values) {
  blob.append(8, values.size() | id << 10 | type << 20 | 3ull << 24);
  for (const uint64_t value : values) blob.append(size_t{1} << (type / 2), value);
  blob.put(0, 2, blob.bytes().size());
}

TEST(GpuMetrics, Revision1_9SaysWhatItHolds) {
  Blob blob = attributes(11);
  append(blob, 0, 2, {81});
  append(blob, 33, 2, {2100, 0xffff, 2090});
  append(blob, 999, 6, {1, 2, 3});  // of a later driver: passed over
  append(blob, 7, 6, {65536});
  append(blob, 40, 0, {50, 0xff});
  append(blob, 1, 1, {0xf6});  // a signed byte: -10
  append(blob, 9, 4, {0xffffffff});
  append(blob, 32, 6, {200'000'000});
  append(blob, 6, 6, {5300});
  append(blob, 44, 6, {1000, ~0ull, 1001});
  append(blob, 45, 6, {2000});
  GpuMetrics metrics;
  ASSERT_EQ(decode(blob.bytes(), metrics), Code::ok);
  EXPECT_EQ(metrics.get(Gauge::firmware_time), 2);
  EXPECT_EQ(metrics.get(Gauge::temperature_hotspot), 81);
  EXPECT_EQ(metrics.get(Gauge::clock_graphics, 0), 2.1e9);
  EXPECT_FALSE(metrics.get(Gauge::clock_graphics, 1));
  EXPECT_EQ(metrics.get(Gauge::clock_graphics, 2), 2.09e9);
  EXPECT_EQ(metrics.get(Gauge::energy), 1);
  EXPECT_EQ(metrics.get(Gauge::activity_die, 0), 0.5);
  EXPECT_FALSE(metrics.get(Gauge::activity_die, 1));
  EXPECT_EQ(metrics.get(Gauge::temperature_memory), -10);
  EXPECT_FALSE(metrics.get(Gauge::cycles));
  EXPECT_EQ(metrics.get(Gauge::bandwidth_limit), 5.3e12);
  EXPECT_EQ(metrics.get(Gauge::die_held_power, 0), 1000);
  EXPECT_FALSE(metrics.get(Gauge::die_held_power, 1));
  EXPECT_EQ(metrics.get(Gauge::die_held_power, 2), 1001);
  EXPECT_EQ(metrics.get(Gauge::die_held_thermal, 0), 2000);
}

TEST(GpuMetrics, AttributesThatReachBeyondTheEndAreRefused) {
  GpuMetrics metrics;
  Blob fewer = attributes(2);
  append(fewer, 0, 2, {81});
  EXPECT_EQ(decode(fewer.bytes(), metrics), Code::invalid);
  EXPECT_EQ(known_gauges(metrics), 0u);

  Blob many = attributes(1);
  many.append(8, 1023 | 33u << 10 | 6u << 20);
  many.put(0, 2, many.bytes().size());
  EXPECT_EQ(decode(many.bytes(), metrics), Code::invalid);

  Blob type = attributes(1);
  append(type, 0, 2, {81});
  type.put(8, 8, 1 | 8u << 20);
  EXPECT_EQ(decode(type.bytes(), metrics), Code::invalid);

  Blob count = attributes(0xffffffff);
  EXPECT_EQ(decode(count.bytes(), metrics), Code::invalid);
}

// ---- what must be refused ----

TEST(GpuMetrics, UnknownRevisionsAndScraps) {
  GpuMetrics metrics;
  EXPECT_EQ(decode(Blob(4000, 1, 10).bytes(), metrics), Code::unsupported);
  EXPECT_EQ(decode(Blob(264, 3, 1).bytes(), metrics), Code::unsupported);
  EXPECT_EQ(decode(Blob(120, 0, 3).bytes(), metrics), Code::unsupported);
  EXPECT_EQ(decode({}, metrics), Code::invalid);
  EXPECT_EQ(decode(std::vector<std::byte>(3, std::byte{1}), metrics), Code::invalid);
  // All ones from a device that has fallen off the bus.
  EXPECT_EQ(decode(std::vector<std::byte>(120, std::byte{0xff}), metrics), Code::unsupported);
  EXPECT_EQ(known_gauges(metrics), 0u);
  EXPECT_FALSE(read_header({}));
}

// Every blob of a known revision gives only numbers that fit its fields; none of any revision is read out of bounds.
TEST(GpuMetrics, AnyBytesGiveFiniteNumbersOrNothing) {
  std::mt19937_64 random(20);  // NOLINT(cert-msc51-cpp): the same on every run
  constexpr std::pair<unsigned, unsigned> kRevisions[] = {{1, 0}, {1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5},
                                                          {1, 6}, {1, 7}, {1, 8}, {1, 9}, {2, 0}, {2, 1},
                                                          {2, 2}, {2, 3}, {2, 4}, {3, 0}};
  for (int round = 0; round < 4000; ++round) {
    const auto [format, content] = kRevisions[random() % std::size(kRevisions)];
    size_t size = size_of_revision(format, content);
    if (size == 0) size = 8 + random() % 300;
    if (random() % 8 == 0) size = 4 + random() % 4000;
    Blob blob(size, format, content);
    for (size_t i = 4; i < size; ++i) blob.put(i, 1, random() & 0xff);
    if (content == 9 && size >= 8) blob.put(4, 4, random() % 5);
    GpuMetrics metrics;
    const Code code = decode(blob.bytes(), metrics);
    if (code != Code::ok) {
      EXPECT_EQ(known_gauges(metrics), 0u);
    }
    for (size_t gauge = 0; gauge < kGauges; ++gauge)
      for (size_t i = 0; i < instances(static_cast<Gauge>(gauge)); ++i)
        ASSERT_LT(std::abs(metrics.get(static_cast<Gauge>(gauge), i).value_or(0)), 2e28);
  }
}

TEST(GpuMetrics, TheEnergyCounterOf1_0IsNarrow) {
  GpuMetrics metrics;
  Blob blob(80, 1, 0);
  ASSERT_EQ(decode(blob.bytes(), metrics), Code::ok);
  EXPECT_EQ(metrics.energy_modulus(), 65536);
}

}  // namespace
}  // namespace accelmon::amdgpu
