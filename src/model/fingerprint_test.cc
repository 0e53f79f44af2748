#include "model/fingerprint.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>

namespace accelmon {
namespace {

TEST(Fingerprint, TellsKeysApartByEveryByteAndByTheirLength) {
  std::set<std::pair<uint64_t, uint64_t>> seen;
  size_t made = 0;
  const auto take = [&](const std::string& text) {
    const Fingerprint print = fingerprint(text);
    EXPECT_EQ(print, fingerprint(text));
    seen.emplace(print.low, print.high);
    ++made;
  };
  // A last word is filled up with zeros: texts of zeros differ by their length alone.
  for (size_t length = 0; length <= 40; ++length) take(std::string(length, '\0'));
  for (size_t at = 0; at < 40; ++at)
    for (int byte = 1; byte < 256; ++byte) {
      std::string text(40, '\0');
      text[at] = static_cast<char>(byte);
      take(text);
    }
  EXPECT_EQ(seen.size(), made);
}

TEST(Fingerprint, OfASeriesIsThatOfItsKey) {
  Catalog catalog;
  CatalogBuilder builder(catalog);
  builder.add_device({.id = "GPU-1"});
  builder.add(MetricId::power, 0, Tier::fast, {{AttributeId::power_scope, "gpu"}});
  EXPECT_EQ(fingerprint(catalog, catalog.series[0]), fingerprint(series_key(catalog, catalog.series[0])));
}

TEST(FingerprintIndex, KeepsTheFirstNumberAndGrows) {
  FingerprintIndex index(10);
  const auto print = [](uint32_t i) { return fingerprint(std::to_string(i)); };
  for (uint32_t i = 0; i < 5000; ++i) {
    EXPECT_FALSE(index.contains(print(i)));
    EXPECT_TRUE(index.add(print(i), i + 7));
  }
  EXPECT_FALSE(index.add(print(42), 1));
  EXPECT_EQ(index.size(), 5000u);
  for (uint32_t i = 0; i < 5000; ++i) ASSERT_EQ(index.find(print(i)), i + 7);
  EXPECT_EQ(index.find(print(5000)), FingerprintIndex::kNone);
}

TEST(FingerprintIndex, TakesThoseThatBelongInOneSlot) {
  FingerprintIndex index;
  for (uint64_t i = 0; i < 100; ++i) EXPECT_TRUE(index.add({1, i}, static_cast<uint32_t>(i)));
  for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(index.find({1, i}), i);
  EXPECT_FALSE(index.contains({1, 100}));
}

}  // namespace
}  // namespace accelmon
