#include "model/catalog_wire.h"

#include <gtest/gtest.h>

namespace accelmon {
namespace {

Catalog sample() {
  Catalog catalog;
  catalog.generation = 3;
  CatalogBuilder build(catalog);
  const int gpu = build.add_device({.id = "GPU-1", .info = {{AttributeId::hw_serial_number, "42"}}});
  build.add(MetricId::power, gpu, Tier::fast, {{AttributeId::power_scope, "gpu"}});
  build.add(MetricId::temperature, gpu, Tier::slow, {{AttributeId::sensor_location, "memory"}});
  build.add(MetricId::energy, gpu);
  build.absent(MetricId::fan_speed, gpu, State::unsupported, "no fan");
  build.fact("library", "x");
  return catalog;
}

// A table under which every number is itself.
CatalogNumbers same() {
  CatalogNumbers numbers;
  for (size_t i = 0; i < all_metrics().size(); ++i) numbers.metrics.push_back(static_cast<int32_t>(i));
  for (size_t i = 0; i < all_attributes().size(); ++i) numbers.attributes.push_back(static_cast<int32_t>(i));
  return numbers;
}

TEST(CatalogWire, ComesBackAndIsRefusedWhenItIsShortOrLong) {
  std::string bytes;
  encode_catalog(bytes, sample());
  const Result<Catalog> back = decode_catalog(bytes);
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(*back, sample());
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_FALSE(decode_catalog(std::string_view(bytes).substr(0, n)));
  EXPECT_FALSE(decode_catalog(bytes + "x"));
}

TEST(CatalogWire, OtherNumbersAreTranslatedAndUnknownOnesLeftOut) {
  std::string bytes;
  encode_catalog(bytes, sample());
  CatalogNumbers numbers = same();
  std::vector<uint32_t> columns;
  uint32_t written = 0;
  EXPECT_EQ(decode_catalog(bytes, &numbers, &columns, &written).value(), sample());
  EXPECT_EQ(columns, (std::vector<uint32_t>{0, 1, 2}));

  // The writer's power is our voltage, its temperature nothing that we know.
  numbers.metrics[index(MetricId::power)] = static_cast<int32_t>(MetricId::voltage);
  numbers.metrics[index(MetricId::temperature)] = -1;
  Catalog catalog = decode_catalog(bytes, &numbers, &columns, &written).value();
  ASSERT_EQ(catalog.series.size(), 2u);
  EXPECT_EQ(catalog.series[0].metric, MetricId::voltage);
  EXPECT_EQ(catalog.series[1].metric, MetricId::energy);
  EXPECT_EQ(columns, (std::vector<uint32_t>{0, 2}));
  EXPECT_EQ(written, 3u);

  // An attribute that is unknown would make one series of two: it goes.
  numbers = same();
  numbers.attributes[static_cast<size_t>(AttributeId::power_scope)] = -1;
  numbers.attributes[static_cast<size_t>(AttributeId::hw_serial_number)] = -1;
  numbers.metrics.resize(index(MetricId::fan_speed));  // beyond the end: unknown
  catalog = decode_catalog(bytes, &numbers, &columns).value();
  EXPECT_EQ(columns.front(), 1u);
  EXPECT_TRUE(catalog.devices[0].info.empty());
  EXPECT_TRUE(catalog.absences.empty());
}

}  // namespace
}  // namespace accelmon
