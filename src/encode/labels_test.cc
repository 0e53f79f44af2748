#include "encode/labels.h"

#include <gtest/gtest.h>

#include "encode/snapshot_for_test.h"

namespace accelmon {
namespace {

TEST(Labels, Values) {
  EXPECT_EQ(label_value("plain"), "plain");
  EXPECT_EQ(label_value(""), "");
  EXPECT_EQ(label_value("a\nb\t\x7f\"\\"), "a\nb\xef\xbf\xbd\xef\xbf\xbd\"\\");
  EXPECT_EQ(label_value("\xe2\x82\xac \xe2\x82 \xff"), "\xe2\x82\xac \xef\xbf\xbd \xef\xbf\xbd");
  EXPECT_EQ(label_value(std::string(256, 'x')).size(), 256u);
  EXPECT_EQ(label_value(std::string(257, 'x')).size(), 256u);
  EXPECT_EQ(label_value(std::string(255, 'x') + "\xe2\x82\xac"), std::string(255, 'x')) << "cut between characters";
}

TEST(Labels, IdentityDoesNotDependOnOrder) {
  LabelSet a, b, c;
  a.add(AttributeId::hw_id, "1");
  a.add(AttributeId::gpu, "0");
  a.add(AttributeId::gpu, "the first stands");
  a.add(AttributeId::hw_vendor, "");
  b.add(AttributeId::gpu, "0");
  b.add(AttributeId::hw_id, "1");
  c.add(AttributeId::gpu, "01");
  EXPECT_EQ(a.labels().size(), 2u);
  EXPECT_EQ(a.identity(), b.identity());
  EXPECT_NE(a.identity(), c.identity());
  a.add(static_cast<AttributeId>(255), "x");
  EXPECT_EQ(a.labels().size(), 2u);
}

TEST(Labels, Constant) {
  const Result<ConstantLabels> good =
      constant_labels({{"job", "accelmon"}, {"Zone", "a\xff"}, {"empty", ""}, {"_x1", "y"}});
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, (ConstantLabels{{"Zone", "a\xef\xbf\xbd"}, {"_x1", "y"}, {"job", "accelmon"}})) << "in byte order";
  for (const char* bad : {"", "1a", "a-b", "a.b", "__name__", "__x", "a b", "\xc3\xa9"}) {
    const Result<ConstantLabels> labels = constant_labels({{bad, "x"}});
    ASSERT_FALSE(labels) << bad;
    EXPECT_EQ(labels.error().code(), Code::invalid);
    EXPECT_NE(labels.error().message().find(bad), std::string::npos);
  }
  const Result<ConstantLabels> twice = constant_labels({{"a", "1"}, {"b", "2"}, {"a", "3"}});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().message(), "the label a is given twice");
}

TEST(Labels, Sorted) {
  LabelSet own;
  own.add(AttributeId::hw_id, "GPU-1");
  own.add(AttributeId::gpu, "0");
  const ConstantLabels constant{{"Zone", "a"}, {"gpu", "mine"}, {"job", "accelmon"}};
  const std::vector<std::pair<std::string_view, std::string_view>> expected{
      {"Zone", "a"}, {"__name__", "hw_energy_joules_total"}, {"gpu", "0"}, {"hw_id", "GPU-1"}, {"job", "accelmon"}};
  EXPECT_EQ(sorted_labels(MetricId::energy, own, constant), expected);
}

TEST(Labels, StatedUnits) {
  EXPECT_EQ(stated_unit(info(MetricId::energy)), "joules");
  EXPECT_EQ(stated_unit(info(MetricId::gpu_utilization)), "ratio");
  EXPECT_EQ(stated_unit(info(MetricId::hw_status)), "");
  EXPECT_EQ(stated_unit(info(MetricId::device_info)), "");
  EXPECT_EQ(stated_unit(info(MetricId::errors)), "");
}

TEST(Labels, EveryPageSeriesOnceAndInOrder) {
  const Snapshot snapshot = for_test::whole_table();
  size_t count = 0;
  MetricId last{};
  for_each_page_series(snapshot, [&](MetricId metric, uint32_t source, uint32_t series, const LabelSet& labels) {
    EXPECT_LE(last, metric);
    last = metric;
    EXPECT_EQ(source, 0u);
    EXPECT_EQ(snapshot.sources[0].catalog->series[series].metric, metric);
    EXPECT_FALSE(is_local(metric));
    EXPECT_EQ(labels.identity(),
              labels_of(*snapshot.sources[0].catalog, snapshot.sources[0].catalog->series[series]).identity());
    ++count;
  });
  size_t expected = 0;
  for (const Series& series : snapshot.sources[0].catalog->series) expected += !is_local(series.metric);
  EXPECT_EQ(count, expected);
}

}  // namespace
}  // namespace accelmon
