#include "store/chunk.h"

#include <gtest/gtest.h>

#include <random>

#include "store/catalog_blob.h"
#include "store/checksum.h"
#include "store/varint.h"

namespace accelmon::store {
namespace {

ChunkHead sample_head() {
  ChunkHead head{.tier = 0, .source = "nvml", .catalog = 0x1234567890abcdefu, .columns = 5, .rows = {}};
  std::mt19937_64 random(4);
  for (uint64_t i = 0; i < 900; ++i)
    head.rows.push_back({.seq = 1000 + 3 * i,
                         .wall = 1'700'000'000 * kSecond + static_cast<Nanos>(i * 1'000'000'000 + random() % 200'000),
                         .monotonic = static_cast<Nanos>(i * 1'000'000'000 + random() % 200'000),
                         .duration = static_cast<Nanos>(200'000 + random() % 10'000),
                         .sequence = 77 + i,
                         .fresh = static_cast<uint8_t>(i % 10 == 0 ? 3 : 1),
                         .read_at = {static_cast<Nanos>(i), 0, static_cast<Nanos>(i / 60)}});
  return head;
}

TEST(Chunk, HeadsComeBackWhole) {
  const ChunkHead head = sample_head();
  uint32_t written = 0, read = 0;
  const std::string bytes = encode_head(head, written);
  EXPECT_LT(bytes.size(), 900u * 12);
  const Result<ChunkHead> back = decode_head(bytes, read);
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(read, written);
  EXPECT_EQ(back->source, head.source);
  EXPECT_EQ(back->catalog, head.catalog);
  EXPECT_EQ(back->columns, head.columns);
  EXPECT_EQ(back->rows, head.rows);
}

TEST(Chunk, WhenTiersWereReadComesBackWhateverItWas) {
  ChunkHead head = sample_head();
  for (const Nanos odd : {Nanos{0}, Nanos{1}, Nanos{-1}, INT64_MIN, INT64_MAX}) {
    for (size_t i = 0; i < head.rows.size(); i += 7)
      head.rows[i].read_at = {
          static_cast<Nanos>(static_cast<uint64_t>(head.rows[i].monotonic) + static_cast<uint64_t>(odd)), odd,
          head.rows[i].monotonic};
    uint32_t checksum = 0;
    EXPECT_EQ(decode_head(encode_head(head, checksum), checksum)->rows, head.rows);
  }
}

TEST(Chunk, AHeadWithAnyByteChangedIsRefused) {
  uint32_t checksum = 0;
  ChunkHead head = sample_head();
  head.rows.resize(20);
  const std::string whole = encode_head(head, checksum);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string bytes = whole;
    bytes[i] ^= static_cast<char>(1u << (i % 8));
    EXPECT_FALSE(decode_head(bytes, checksum)) << i;
    EXPECT_FALSE(decode_head(whole.substr(0, i), checksum)) << i;
  }
}

TEST(Chunk, SheetsHoldTheirColumnsAndTheSameOnesOnce) {
  SheetWriter writer(42);
  std::vector<std::string> columns;
  for (int i = 0; i < 400; ++i)
    columns.push_back(i % 4 == 0 ? std::string(1000, static_cast<char>(i)) : columns.back());
  for (const std::string& column : columns) writer.add(column);
  const std::vector<Sheet> sheets = writer.finish();
  ASSERT_EQ(sheets.size(), 2u);
  size_t at = 0;
  for (const Sheet& sheet : sheets) {
    EXPECT_EQ(sheet.first_column, at);
    const auto read = read_sheet(sheet.bytes, 42, sheet.first_column);
    ASSERT_TRUE(read) << read.error().message();
    for (const std::string_view column : *read) EXPECT_EQ(column, columns[at++]);
    // It is this sheet of this chunk and no other.
    EXPECT_FALSE(read_sheet(sheet.bytes, 43, sheet.first_column));
    EXPECT_FALSE(read_sheet(sheet.bytes, 42, sheet.first_column + 1));
    for (size_t i = 0; i < sheet.bytes.size(); i += 97) {
      std::string bytes = sheet.bytes;
      bytes[i] ^= 1;
      EXPECT_FALSE(read_sheet(bytes, 42, sheet.first_column));
    }
  }
  EXPECT_EQ(at, columns.size());
}

TEST(Chunk, VarintsAndZigzagsComeBack) {
  for (const int64_t value : {int64_t{0}, int64_t{-1}, int64_t{63}, int64_t{64}, INT64_MIN, INT64_MAX}) {
    std::string bytes;
    put_varint(bytes, zigzag(value));
    std::string_view rest = bytes;
    uint64_t number = 0;
    ASSERT_TRUE(get_varint(rest, number));
    EXPECT_TRUE(rest.empty());
    EXPECT_EQ(unzigzag(number), value);
    rest = std::string_view(bytes).substr(0, bytes.size() - 1);
    EXPECT_FALSE(get_varint(rest, number));
  }
  std::string_view endless = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f";
  uint64_t number = 0;
  EXPECT_FALSE(get_varint(endless, number));
}

TEST(Checksum, IsCastagnolis) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c("6789", crc32c("12345")), 0xe3069283u);
}

Catalog sample_catalog() {
  Catalog catalog;
  catalog.generation = 9;
  CatalogBuilder build(catalog);
  const int gpu = build.add_device(
      {.id = "GPU-1", .index = "0", .vendor = "nvidia", .info = {{AttributeId::hw_serial_number, "42"}}});
  build.add(MetricId::power, gpu, Tier::fast, {{AttributeId::power_scope, "gpu"}});
  build.add(MetricId::temperature, gpu, Tier::slow, {{AttributeId::sensor_location, "memory"}});
  build.add(MetricId::energy, gpu);
  build.absent(MetricId::fan_speed, gpu, State::unsupported, "no fan");
  build.fact("library", "x");
  return catalog;
}

TEST(CatalogBlob, ComesBackWithoutItsGeneration) {
  Catalog catalog = sample_catalog();
  const std::string bytes = pack_catalog(catalog);
  catalog.generation = 1;
  EXPECT_EQ(pack_catalog(catalog), bytes);
  const Result<StoredCatalogPtr> back = unpack_catalog(bytes, 1);
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(*(*back)->catalog, catalog);
  EXPECT_EQ((*back)->columns, (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_EQ((*back)->column_count, 3u);
  EXPECT_EQ((*back)->series_of.at(series_key(catalog, catalog.series[1])), 1u);
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_FALSE(unpack_catalog(std::string_view(bytes).substr(0, n), 1));
}

}  // namespace
}  // namespace accelmon::store
