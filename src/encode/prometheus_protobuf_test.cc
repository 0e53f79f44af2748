// The protobuf page as Google's library reads it, and beside the text page.
#include "encode/prometheus_protobuf.h"

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/delimited_message_util.h>
#include <gtest/gtest.h>
#include <judge/client_model.pb.h>

#include <bit>

#include "encode/exposition.h"
#include "encode/snapshot_for_test.h"

namespace accelmon {
namespace {

using judge::client::MetricFamily;

std::vector<MetricFamily> families_of(const Snapshot& snapshot, const PageOptions& options = {}) {
  std::string page = "what was there before";
  ProtobufExposition(options).render(snapshot, page);
  std::string other;
  Exposition(options).render(snapshot, ExpositionFormat::protobuf, other);
  EXPECT_EQ(page, other);
  google::protobuf::io::ArrayInputStream stream(page.data(), static_cast<int>(page.size()));
  std::vector<MetricFamily> out;
  std::string again;
  for (;;) {
    MetricFamily family;
    bool end = false;
    if (!google::protobuf::util::ParseDelimitedFromZeroCopyStream(&family, &stream, &end)) {
      EXPECT_TRUE(end) << "after " << out.size() << " families";
      break;
    }
    const std::string bytes = family.SerializeAsString();
    char length[10];
    char* at = length;
    for (size_t rest = bytes.size(); at == length || rest != 0; rest >>= 7)
      *at++ = static_cast<char>((rest & 127) | (rest > 127 ? 128 : 0));
    again.append(length, static_cast<size_t>(at - length));
    again += bytes;
    out.push_back(std::move(family));
  }
  EXPECT_EQ(again, page) << "canonical";
  return out;
}

void says_what_the_text_page_says(const PageOptions& options) {
  for (const Snapshot& snapshot : {for_test::small_snapshot(), for_test::whole_table()}) {
    std::string text;
    Exposition(options).render(snapshot, ExpositionFormat::text_0_0_4, text);
    const for_test::Page page = for_test::read_page(text);
    size_t sample = 0, comment = 0;
    for (const MetricFamily& family : families_of(snapshot, options)) {
      ASSERT_LT(comment + 1, page.comments.size());
      EXPECT_EQ(page.comments[comment++], "HELP " + family.name() + " " + family.help());
      EXPECT_EQ(page.comments[comment++],
                "TYPE " + family.name() + (family.type() == judge::client::COUNTER ? " counter" : " gauge"));
      EXPECT_TRUE(family.has_type());
      EXPECT_GT(family.metric_size(), 0);
      for (const auto& metric : family.metric()) {
        ASSERT_LT(sample, page.samples.size());
        const for_test::Sample& expected = page.samples[sample++];
        EXPECT_EQ(family.name(), expected.name);
        ASSERT_EQ(static_cast<size_t>(metric.label_size()), expected.labels.size());
        for (int i = 0; i < metric.label_size(); ++i) {
          EXPECT_EQ(metric.label(i).name(), expected.labels[static_cast<size_t>(i)].first);
          EXPECT_EQ(metric.label(i).value(), expected.labels[static_cast<size_t>(i)].second);
        }
        const bool counter = family.type() == judge::client::COUNTER;
        EXPECT_EQ(metric.has_counter(), counter);
        EXPECT_EQ(metric.has_gauge(), !counter);
        const double value = counter ? metric.counter().value() : metric.gauge().value();
        EXPECT_EQ(std::bit_cast<uint64_t>(value), std::bit_cast<uint64_t>(expected.value)) << expected.name;
        EXPECT_FALSE(metric.has_timestamp_ms());
      }
    }
    EXPECT_EQ(sample, page.samples.size());
    EXPECT_EQ(comment, page.comments.size());
  }
}

TEST(PrometheusProtobuf, SaysWhatTheTextPageSays) {
  says_what_the_text_page_says({});
  says_what_the_text_page_says({.dcgm = true, .keep_labels = {"hw.id", "gpu"}});
  says_what_the_text_page_says({.dcgm = true, .only = {"hw.*"}, .drop_labels = {"hw.vendor"}, .hostname = "node-1"});
  says_what_the_text_page_says({.otel = false, .dcgm = true});
}

TEST(PrometheusProtobuf, WhatIsLeftOut) {
  for_test::SnapshotMaker make;
  make.source("x");
  const int gpu = make.device({.id = "GPU-1", .vendor = "nvidia"});
  make.add(MetricId::energy, gpu, {}, -1)
      .add(MetricId::gpu_memory_usage, gpu, {}, std::numeric_limits<double>::quiet_NaN())
      .add(MetricId::device_info, gpu, {}, 17)
      .add(MetricId::uptime, -1, {}, 5, State::stale)
      .add(MetricId::gpu_io_rate, gpu, {}, 5);
  const std::vector<MetricFamily> families = families_of(make.take());
  ASSERT_EQ(families.size(), 1u);
  EXPECT_EQ(families[0].name(), "accelmon_device_info");
  EXPECT_EQ(families[0].metric(0).gauge().value(), 1);
  EXPECT_FALSE(families[0].has_unit());
  EXPECT_TRUE(families_of(Snapshot()).empty());
}

TEST(PrometheusProtobuf, Units) {
  std::map<std::string, std::string> units;
  for (const MetricFamily& family : families_of(for_test::whole_table())) units[family.name()] = family.unit();
  EXPECT_EQ(units["hw_energy_joules_total"], "joules");
  EXPECT_EQ(units["hw_gpu_utilization_ratio"], "ratio");
  EXPECT_EQ(units["hw_status"], "");
}

TEST(PrometheusProtobuf, ContentType) {
  EXPECT_EQ(content_type(ExpositionFormat::protobuf),
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited");
}

}  // namespace
}  // namespace accelmon
