#include "encode/exposition.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>

#include "encode/snapshot_for_test.h"

namespace accelmon {
namespace {

using for_test::Page;
using for_test::read_page;
using for_test::Sample;
using for_test::small_snapshot;
using for_test::SnapshotMaker;
using for_test::whole_table;

constexpr auto kText = ExpositionFormat::text_0_0_4;
constexpr auto kOpenMetrics = ExpositionFormat::openmetrics_1_0;

std::string rendered(const Snapshot& snapshot, ExpositionFormat format) {
  Exposition exposition;
  std::string page = "what was there before";
  exposition.render(snapshot, format, page);
  return page;
}

std::string golden(const std::string& name) {
  std::ifstream file(ACCELMON_SOURCE_DIR "/src/encode/testdata/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Exposition, GoldenPages) {
  EXPECT_EQ(rendered(small_snapshot(), kText), golden("small.txt"));
  EXPECT_EQ(rendered(small_snapshot(), kOpenMetrics), golden("small.openmetrics"));
}

TEST(Exposition, NothingToShow) {
  Snapshot empty;
  EXPECT_EQ(rendered(empty, kText), "");
  EXPECT_EQ(rendered(empty, kOpenMetrics), "# EOF\n");
  empty.sources.push_back({"nvml", nullptr, {}});
  EXPECT_EQ(rendered(empty, kOpenMetrics), "# EOF\n");
  SnapshotMaker make;
  make.source("host").add(MetricId::uptime, -1, {}, 5, State::stale);
  EXPECT_EQ(rendered(make.take(), kText), "") << "no header without a sample";
}

TEST(Exposition, EveryStateButOkIsLeftOut) {
  for (size_t state = 0; state < kStates; ++state) {
    SnapshotMaker make;
    make.source("host").add(MetricId::uptime, -1, {}, 5, static_cast<State>(state));
    EXPECT_EQ(read_page(rendered(make.take(), kText)).samples.size(), state == 0 ? 1u : 0u);
  }
}

TEST(Exposition, WhatNoNumberCanBeIsLeftOut) {
  SnapshotMaker make;
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInf = std::numeric_limits<double>::infinity();
  make.source("host")
      .add(MetricId::uptime, -1, {}, kNan)
      .add(MetricId::process_created, -1, {}, -1)
      .add(MetricId::agent_reloads, -1, {{AttributeId::result, "ok"}}, kNan)
      .add(MetricId::load_average, -1, {{AttributeId::load_window, "1m"}}, -kInf)
      .add(MetricId::host_info, -1, {{AttributeId::host_name, "h"}}, 7);
  const Page page = read_page(rendered(make.take(), kOpenMetrics));
  ASSERT_EQ(page.samples.size(), 2u);
  EXPECT_EQ(page.samples[0].name, "accelmon_host_info");
  EXPECT_EQ(page.samples[0].value, 1) << "an info is 1 by definition";
  EXPECT_EQ(page.samples[1].value, -kInf);
}

TEST(Exposition, FamiliesFollowTheTableAndStandTogether) {
  const Page page = read_page(rendered(whole_table(), kText));
  std::vector<std::string> order;
  for (const Sample& sample : page.samples)
    if (order.empty() || order.back() != sample.name) order.push_back(sample.name);
  std::vector<std::string> table;
  for (const MetricInfo& metric : all_metrics())
    if (!is_local(metric.id)) table.emplace_back(prometheus_name(metric.id));
  EXPECT_EQ(order, table);
  EXPECT_EQ(page.comments.size(), 2 * table.size());

  const Page shared = read_page(rendered(small_snapshot(), kText));
  std::vector<std::string> temperatures;
  for (size_t i = 0; i < shared.samples.size(); ++i)
    if (shared.samples[i].name == "hw_temperature_celsius") {
      temperatures.push_back(shared.samples[i].label("hw_vendor"));
      if (temperatures.size() > 1) {
        EXPECT_EQ(shared.samples[i - 1].name, "hw_temperature_celsius");
      }
    }
  EXPECT_EQ(temperatures, (std::vector<std::string>{"nvidia", "nvidia", "intel"}));
}

TEST(Exposition, MetadataOfEveryMetricFitsItsKind) {
  const std::string text = rendered(whole_table(), kText);
  const std::string open = rendered(whole_table(), kOpenMetrics);
  EXPECT_TRUE(open.ends_with("\n# EOF\n"));
  for (const MetricInfo& metric : all_metrics()) {
    if (is_local(metric.id)) {
      EXPECT_EQ(text.find(prometheus_name(metric.id)), std::string::npos) << metric.name;
      continue;
    }
    const std::string name(prometheus_name(metric.id));
    std::string family = name;
    std::string type = "gauge";
    if (metric.kind == Kind::counter) {
      ASSERT_TRUE(name.ends_with("_total")) << name;
      family.resize(name.size() - 6);
      type = "counter";
    }
    if (metric.kind == Kind::info) {
      ASSERT_TRUE(name.ends_with("_info")) << name;
      family.resize(name.size() - 5);
      type = "info";
    }
    EXPECT_NE(text.find("# TYPE " + name + (type == "counter" ? " counter\n" : " gauge\n")), std::string::npos) << name;
    EXPECT_NE(text.find("# HELP " + name + ' '), std::string::npos) << name;
    const size_t at = open.find("# TYPE " + family + ' ' + type + '\n');
    ASSERT_NE(at, std::string::npos) << name;
    const size_t unit = open.find("# UNIT " + family + ' ');
    const size_t help = open.find("# HELP " + family + ' ', at);
    ASSERT_NE(help, std::string::npos) << name;
    if (unit == std::string::npos) continue;
    EXPECT_LT(at, unit);
    EXPECT_LT(unit, help);
    const size_t word = unit + 8 + family.size();
    EXPECT_TRUE(family.ends_with("_" + open.substr(word, open.find('\n', word) - word))) << name;
  }
  EXPECT_NE(open.find("# UNIT hw_energy_joules joules\n"), std::string::npos);
  EXPECT_NE(open.find("# UNIT hw_gpu_utilization_ratio ratio\n"), std::string::npos);
  EXPECT_EQ(open.find("# UNIT accelmon_device"), std::string::npos) << "an info has no unit";
}

TEST(Exposition, HostileLabels) {
  SnapshotMaker make;
  make.source("nvml");
  std::vector<Attribute> many{{AttributeId::hw_id, "again"}, {AttributeId::gpu, "7"}, {AttributeId::gpu, "8"}};
  const int gpu = make.device({.id = "a\\b\"c\nd", .index = "", .vendor = std::string(300, 'v'), .model = ""});
  make.add(MetricId::gpu_memory_usage, gpu, many, 1);
  make.add(MetricId::process_memory, -1, {{AttributeId::process_name, std::string("\0\x1b[2J\x7f\r\t", 8)}}, 2);
  make.add(MetricId::process_memory, -1, {{AttributeId::process_name, "\xc2\x85\xff\xe2\x82"}}, 3);
  make.add(MetricId::process_memory, -1,
           {{AttributeId::process_name, std::string(255, 'x') + "\xe2\x82\xac"
                                                                "y"}},
           4);
  make.add(MetricId::process_memory, -1, {{AttributeId::process_name, std::string(256, '"') + "z"}}, 5);
  const Page page = read_page(rendered(make.take(), kText));
  ASSERT_EQ(page.samples.size(), 5u);
  const auto& labels = page.samples[0].labels;
  ASSERT_EQ(labels.size(), 4u);
  EXPECT_EQ(labels[0], std::pair(std::string("hw_id"), std::string("a\\b\"c\nd")));
  EXPECT_EQ(labels[1], std::pair(std::string("hw_type"), std::string("gpu")));
  EXPECT_EQ(labels[2], std::pair(std::string("hw_vendor"), std::string(256, 'v')));
  EXPECT_EQ(labels[3], std::pair(std::string("gpu"), std::string("7"))) << "the first of a name stands";
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(page.samples[1].label("process_executable_name"), r + r + "[2J" + r + r + r);
  EXPECT_EQ(page.samples[2].label("process_executable_name"), r + r + r);
  EXPECT_EQ(page.samples[3].label("process_executable_name"), std::string(255, 'x')) << "cut between characters";
  EXPECT_EQ(page.samples[4].label("process_executable_name"), std::string(256, '"')) << "escapes do not count";
}

TEST(Exposition, OneSeriesOnce) {
  SnapshotMaker make;
  make.source("a")
      .add(MetricId::load_average, -1, {{AttributeId::load_window, "1\xff"}}, 1)
      .add(MetricId::load_average, -1, {{AttributeId::load_window, "1\xfe"}}, 2)
      .add(MetricId::cpu_time, -1, {{AttributeId::cpu_mode, "user"}, {AttributeId::result, "r"}}, 3)
      .add(MetricId::cpu_time, -1, {{AttributeId::result, "r"}, {AttributeId::cpu_mode, "user"}}, 4);
  make.source("b").add(MetricId::cpu_time, -1, {{AttributeId::cpu_mode, "user"}, {AttributeId::result, "r"}}, 5);
  const Page page = read_page(rendered(make.take(), kText));
  ASSERT_EQ(page.samples.size(), 2u);
  EXPECT_EQ(page.samples[0].value, 3);
  EXPECT_EQ(page.samples[1].value, 1);
}

TEST(Exposition, FollowsCatalogsAndFrames) {
  Exposition exposition;
  std::string page;
  const auto samples = [&](const Snapshot& snapshot) {
    exposition.render(snapshot, kText, page);
    return read_page(page).samples;
  };
  SnapshotMaker make;
  make.source("host").add(MetricId::uptime, -1, {}, 5);
  Snapshot snapshot = make.take();
  ASSERT_EQ(samples(snapshot).size(), 1u);

  Recycler<Frame> frames;
  Recycled<Frame> frame = frames.take();
  frame->generation = snapshot.sources[0].catalog->generation;
  frame->resize(1);
  frame->set(0, 6);
  snapshot.sources[0].frame = frame;
  EXPECT_EQ(samples(snapshot).at(0).value, 6) << "the next frame, the same catalog";

  frame->generation += 1;
  EXPECT_TRUE(samples(snapshot).empty()) << "a frame of another catalog is not read";
  frame->generation -= 1;
  frame->resize(0);
  EXPECT_TRUE(samples(snapshot).empty()) << "a frame too short is not read";
  snapshot.sources[0].frame = {};
  EXPECT_TRUE(samples(snapshot).empty());

  const size_t small = exposition.bytes();
  ASSERT_EQ(samples(small_snapshot()).size(), 14u) << "other sources";
  EXPECT_GT(exposition.bytes(), small + 1000);
  SnapshotMaker again;
  again.source("host").add(MetricId::uptime, -1, {}, 5).add(MetricId::cpu_count, -1, {}, 2);
  EXPECT_EQ(samples(again.take()).size(), 2u);
}

TEST(Exposition, AHostileCatalogIsNotFollowedOutOfBounds) {
  SnapshotMaker make;
  make.source("x").add(MetricId::uptime, -1, {}, 5);
  Snapshot snapshot = make.take();
  Catalog catalog = *snapshot.sources[0].catalog;
  catalog.series[0].device = 3;
  catalog.series.push_back({static_cast<MetricId>(60000), -1, Tier::fast, {}});
  catalog.series.push_back({MetricId::uptime, -1, Tier::fast, {{static_cast<AttributeId>(250), "v"}}});
  Recycler<Frame> frames;
  Recycled<Frame> frame = frames.take();
  frame->generation = catalog.generation;
  frame->resize(3);
  for (size_t i = 0; i < 3; ++i) frame->set(i, 1);
  snapshot.sources[0] = {"x", std::make_shared<const Catalog>(catalog), frame};
  EXPECT_EQ(read_page(rendered(snapshot, kText)).samples.size(), 1u);
}

}  // namespace
}  // namespace accelmon
