// Remote write as snappy and Google's protobuf library read it.
#include "encode/remote_write.h"

#include <gtest/gtest.h>
#include <judge/remote.pb.h>
#include <judge/remote_v2.pb.h>
#include <snappy.h>

#include <bit>
#include <map>
#include <set>

#include "encode/exposition.h"
#include "encode/runs_for_test.h"
#include "encode/symbols.h"

namespace accelmon {
namespace {

using for_test::batch_of;
using for_test::BatchMaker;
using for_test::five_kinds;
using for_test::kBegin;
using for_test::kGone;

constexpr auto kV1 = RemoteWriteVersion::v1;
constexpr auto kV2 = RemoteWriteVersion::v2;

RemoteWriteOptions options_of(RemoteWriteVersion version) {
  RemoteWriteOptions options;
  options.version = version;
  options.labels = constant_labels({{"job", "accelmon"}, {"instance", "node-1:19400"}, {"gpu", "never"}}).value();
  options.metadata_every = 0;
  return options;
}

// A request in terms that both versions share.
struct Sample {
  int64_t time;
  uint64_t bits;
  int64_t start;
  double value() const { return std::bit_cast<double>(bits); }
};
struct Series {
  std::string key;  // name|label=value|...
  std::vector<Sample> samples;
  int type = 0;
  std::string help, unit;
};
struct Request {
  std::vector<Series> series;
  size_t bytes = 0, samples = 0;
  std::vector<std::string> metadata;  // 1.0: name type unit
  const Series* find(std::string_view part) const {
    for (const Series& one : series)
      if (one.key.find(part) != std::string::npos) return &one;
    return nullptr;
  }
};

std::string key_of(const std::vector<std::pair<std::string, std::string>>& labels) {
  std::string key;
  for (size_t i = 0; i < labels.size(); ++i) {
    EXPECT_FALSE(labels[i].first.empty() || labels[i].second.empty());
    EXPECT_TRUE(i == 0 || labels[i - 1].first < labels[i].first) << "sorted, none twice";
    key += "|" + labels[i].first + "=" + labels[i].second;
  }
  EXPECT_FALSE(labels.empty() || labels[0].first != "__name__");
  return key;
}

Request parsed(const std::string& body, RemoteWriteVersion version) {
  std::string bytes;
  EXPECT_TRUE(snappy::Uncompress(body.data(), body.size(), &bytes)) << "snappy's block format";
  Request out;
  out.bytes = bytes.size();
  if (version == kV1) {
    judge::remote::WriteRequest request;
    EXPECT_TRUE(request.ParseFromString(bytes));
    EXPECT_EQ(request.SerializeAsString(), bytes) << "canonical";
    for (const auto& series : request.timeseries()) {
      std::vector<std::pair<std::string, std::string>> labels;
      for (const auto& label : series.labels()) labels.emplace_back(label.name(), label.value());
      Series& one = out.series.emplace_back();
      one.key = key_of(labels);
      for (const auto& sample : series.samples())
        one.samples.push_back({sample.timestamp(), std::bit_cast<uint64_t>(sample.value()), 0});
    }
    for (const auto& metadata : request.metadata())
      out.metadata.push_back(metadata.metric_family_name() + " " +
                             judge::remote::MetricMetadata::MetricType_Name(metadata.type()) + " " + metadata.unit());
  } else {
    judge::remote2::Request request;
    EXPECT_TRUE(request.ParseFromString(bytes));
    EXPECT_EQ(request.SerializeAsString(), bytes) << "canonical";
    EXPECT_GE(request.symbols_size(), 1);
    EXPECT_EQ(request.symbols(0), "");
    const std::set<std::string> distinct(request.symbols().begin(), request.symbols().end());
    EXPECT_EQ(distinct.size(), static_cast<size_t>(request.symbols_size()));
    std::set<uint32_t> used{0};
    const auto text = [&](uint32_t number) {
      EXPECT_LT(number, static_cast<uint32_t>(request.symbols_size()));
      used.insert(number);
      return request.symbols(static_cast<int>(number));
    };
    for (const auto& series : request.timeseries()) {
      EXPECT_EQ(series.labels_refs_size() % 2, 0);
      std::vector<std::pair<std::string, std::string>> labels;
      for (int i = 0; i + 1 < series.labels_refs_size(); i += 2)
        labels.emplace_back(text(series.labels_refs(i)), text(series.labels_refs(i + 1)));
      Series& one = out.series.emplace_back();
      one.key = key_of(labels);
      one.type = series.metadata().type();
      one.help = text(series.metadata().help_ref());
      one.unit = text(series.metadata().unit_ref());
      for (const auto& sample : series.samples())
        one.samples.push_back({sample.timestamp(), std::bit_cast<uint64_t>(sample.value()), sample.start_timestamp()});
    }
    EXPECT_EQ(used.size(), distinct.size()) << "no symbol that nothing needs";
  }
  for (const Series& one : out.series) {
    EXPECT_FALSE(one.samples.empty());
    out.samples += one.samples.size();
    for (size_t i = 1; i < one.samples.size(); ++i) EXPECT_LT(one.samples[i - 1].time, one.samples[i].time);
  }
  return out;
}

std::vector<Request> encoded(RemoteWriteEncoder& encoder, BatchMaker& make, RemoteWriteVersion version) {
  encoder.begin(make.batch());
  std::vector<Request> out;
  std::string body = "what was there before";
  size_t samples = 0;
  while (encoder.next(body)) {
    out.push_back(parsed(body, version));
    EXPECT_EQ(out.back().samples, encoder.samples());
    samples += out.back().samples;
  }
  EXPECT_EQ(samples, encoder.all_samples());
  EXPECT_FALSE(encoder.next(body));
  return out;
}

constexpr int64_t ms(double seconds) {
  return kBegin / kMillisecond + static_cast<int64_t>(seconds * 1000 + 0.5);
}

class RemoteWrite : public ::testing::TestWithParam<RemoteWriteVersion> {};
INSTANTIATE_TEST_SUITE_P(Both, RemoteWrite, ::testing::Values(kV1, kV2),
                         [](const auto& version) { return version.param == kV1 ? "v1" : "v2"; });

TEST_P(RemoteWrite, SaysWhatThePageSays) {
  for (const Snapshot& snapshot : {for_test::small_snapshot(), for_test::whole_table()}) {
    std::string text;
    Exposition().render(snapshot, ExpositionFormat::text_0_0_4, text);
    std::map<std::string, uint64_t> expected, seen;
    for (const for_test::Sample& sample : for_test::read_page(text).samples) {
      std::map<std::string, std::string> labels(sample.labels.begin(), sample.labels.end());
      labels["__name__"] = sample.name;
      labels.emplace("job", "accelmon");
      labels.emplace("instance", "node-1:19400");
      labels.emplace("gpu", "never");  // only where the series has none
      std::string key;
      for (const auto& [name, value] : labels) key += "|" + name + "=" + value;
      expected[key] = std::bit_cast<uint64_t>(sample.value);
    }
    RemoteWriteEncoder encoder(options_of(GetParam()));
    BatchMaker make = batch_of(snapshot, kBegin + 123'456'789);
    const std::vector<Request> requests = encoded(encoder, make, GetParam());
    ASSERT_EQ(requests.size(), 1u);
    for (const Series& series : requests[0].series) {
      ASSERT_EQ(series.samples.size(), 1u);
      EXPECT_EQ(series.samples[0].time, ms(0.123));
      EXPECT_TRUE(seen.emplace(series.key, series.samples[0].bits).second) << series.key;
    }
    EXPECT_EQ(seen, expected);
  }
}

TEST_P(RemoteWrite, StaleMarkers) {
  RemoteWriteEncoder encoder(options_of(GetParam()));
  BatchMaker make;
  make.run("nvml", five_kinds())
      .frame(kBegin, {41, kGone, 0, 1, 1})
      .frame(kBegin + kSecond, {kGone, kGone, 0, 1, 1})
      .frame(kBegin + 2 * kSecond, {kGone, kGone, 0, 1, 1})
      .frame(kBegin + 3 * kSecond, {42, kGone, 0, 1, 1});
  std::vector<Request> requests = encoded(encoder, make, GetParam());
  encoder.commit();
  ASSERT_EQ(requests.size(), 1u);
  const Series* temperature = requests[0].find("hw_temperature");
  ASSERT_NE(temperature, nullptr);
  ASSERT_EQ(temperature->samples.size(), 3u) << "one marker, however long it stays away";
  EXPECT_EQ(temperature->samples[0].value(), 41);
  EXPECT_EQ(temperature->samples[1].time, ms(1));
  EXPECT_EQ(temperature->samples[1].bits, 0x7ff0000000000002u) << "these bits and no other";
  EXPECT_EQ(temperature->samples[2].value(), 42);
  EXPECT_EQ(requests[0].find("hw_energy"), nullptr) << "it was never there, so it cannot end";

  // Another catalog: what is gone ends, between batches as well.
  BatchMaker second;
  second.run("nvml", five_kinds(2, "GPU-2")).frame(kBegin + 4 * kSecond, {5, 6, 7, 1, 1});
  requests = encoded(encoder, second, GetParam());
  const std::vector<Request> again = encoded(encoder, second, GetParam());
  EXPECT_EQ(requests[0].samples, again[0].samples) << "not committed: the same once more";
  encoder.commit();
  ASSERT_EQ(requests.size(), 1u);
  size_t stale = 0;
  for (const Series& series : requests[0].series) {
    const bool old = series.key.find("hw_id=GPU-1") != std::string::npos;
    EXPECT_EQ(series.samples[0].bits == kStaleMarkerBits, old) << series.key;
    EXPECT_EQ(series.samples[0].time, ms(4));
    stale += old;
  }
  EXPECT_EQ(stale, 4u);
  EXPECT_EQ(encoder.series(), 5u);
  BatchMaker third;
  third.run("nvml", five_kinds(2, "GPU-2")).frame(kBegin + 5 * kSecond, {5, 6, 7, 1, 1});
  EXPECT_EQ(encoded(encoder, third, GetParam())[0].samples, 5u);

  RemoteWriteOptions options = options_of(GetParam());
  options.stale_markers = false;
  RemoteWriteEncoder without(options);
  EXPECT_EQ(encoded(without, make, GetParam())[0].find("hw_temperature")->samples.size(), 2u);
}

TEST_P(RemoteWrite, RequestsAreBounded) {
  BatchMaker make;
  for (const char* id : {"GPU-1", "GPU-2", "GPU-3"}) {
    make.run(id, five_kinds(1, id));
    for (int i = 0; i < 50; ++i) make.frame(kBegin + i * kSecond, {40.0 + i, 100.0 + i, 5, 1, 1});
  }
  std::map<std::string, std::vector<int64_t>> all;
  RemoteWriteEncoder whole(options_of(GetParam()));
  for (const Request& request : encoded(whole, make, GetParam()))
    for (const Series& series : request.series)
      for (const Sample& sample : series.samples) all[series.key].push_back(sample.time);
  EXPECT_EQ(all.size(), 15u);
  for (const auto& [samples, bytes] : {std::pair<size_t, size_t>(1, 1 << 20),
                                       {7, 1 << 20},
                                       {50, 1 << 20},
                                       {64, 1 << 20},
                                       {750, 1 << 20},
                                       {2000, 4000},
                                       {2000, 1500},
                                       {2000, 1},
                                       {0, 0}}) {
    RemoteWriteOptions options = options_of(GetParam());
    options.max_samples = samples;
    options.max_bytes = bytes;
    RemoteWriteEncoder encoder(options);
    std::map<std::string, std::vector<int64_t>> seen;
    const std::vector<Request> requests = encoded(encoder, make, GetParam());
    for (const Request& request : requests) {
      EXPECT_LE(request.samples, std::max<size_t>(samples, 1));
      EXPECT_TRUE(request.bytes <= bytes || request.samples == 1) << request.bytes << " of " << bytes;
      for (const Series& series : request.series)
        for (const Sample& sample : series.samples) seen[series.key].push_back(sample.time);
    }
    EXPECT_EQ(seen, all) << "nothing lost, everything in order";
    EXPECT_TRUE(bytes != 1 << 20 || requests.size() == (750 + samples - 1) / samples) << requests.size();
    EXPECT_TRUE(bytes != 4000 || requests.size() < 20) << "no more than needed: " << requests.size();
  }
}

TEST_P(RemoteWrite, ClockThatWasSetBackAndSameMillisecond) {
  RemoteWriteEncoder encoder(options_of(GetParam()));
  BatchMaker make;
  make.run("nvml", five_kinds())
      .frame(kBegin + kSecond, {1, 1, 1, 1, 1})
      .frame(kBegin + kSecond + 900'000, {2, 2, 2, 1, 1})
      .frame(kBegin, {3, 3, 3, 1, 1});
  EXPECT_EQ(encoded(encoder, make, GetParam())[0].samples, 5u);
  EXPECT_EQ(encoder.late(), 10u);
  encoder.commit();
  // A catalog that ends series at a time before their last sample.
  BatchMaker second;
  second.run("nvml", five_kinds(2, "GPU-2")).frame(kBegin, {1, 1, 1, 1, 1});
  const std::vector<Request> requests = encoded(encoder, second, GetParam());
  for (const Series& series : requests[0].series)
    EXPECT_EQ(series.samples[0].time, series.key.find("GPU-1") != std::string::npos ? ms(1.001) : ms(0));
}

// A series that two sources have for a moment, in batches of their own: it has one sample, and no clock is wrong.
TEST_P(RemoteWrite, TwoSourcesAreNoClockThatWasSetBack) {
  RemoteWriteEncoder encoder(options_of(GetParam()));
  BatchMaker first, second;
  first.run("nvml", five_kinds()).frame(kBegin + kSecond, {1, 1, 1, 1, 1});
  second.run("nvidia_smi", five_kinds()).frame(kBegin + kSecond - kMillisecond, {1, 1, 1, 1, 1});
  EXPECT_EQ(encoded(encoder, first, GetParam())[0].samples, 5u);
  encoder.commit();
  encoded(encoder, second, GetParam());
  EXPECT_EQ(encoder.all_samples(), 0u);
  EXPECT_EQ(encoder.late(), 0u);
}

// Two days ahead for three polls, and back: what is read now is sent, in ascending order within each series.
TEST_P(RemoteWrite, AClockThatWasFarAheadStopsNothing) {
  constexpr Nanos kAhead = 2 * 86400 * kSecond;
  RemoteWriteEncoder encoder(options_of(GetParam()));
  BatchMaker make;
  make.run("nvml", five_kinds());
  for (int i = 0; i < 3; ++i) make.frame(kBegin + kAhead + i * kSecond, {1, 1.0 + i, 1, 1, 1});
  for (int i = 3; i < 6; ++i) make.frame(kBegin + i * kSecond, {1, 1.0 + i, 1, 1, 1});
  const std::vector<Request> requests = encoded(encoder, make, GetParam());
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].samples, 30u);
  EXPECT_EQ(encoder.late(), 0u);
  ASSERT_EQ(requests[0].series.size(), 10u) << "each stands twice";
  for (const Series& series : requests[0].series) {
    ASSERT_EQ(series.samples.size(), 3u);
    EXPECT_LT(series.samples[0].time, series.samples[2].time);
    for (const auto& sample : series.samples) EXPECT_LE(sample.start, sample.time);
  }
  encoder.commit();
  BatchMaker second;
  second.run("nvml", five_kinds()).frame(kBegin + 6 * kSecond, {1, 7, 1, 1, 1});
  EXPECT_EQ(encoded(encoder, second, GetParam())[0].samples, 5u);
}

TEST_P(RemoteWrite, NothingToSay) {
  RemoteWriteEncoder encoder(options_of(GetParam()));
  std::string body;
  EXPECT_FALSE(encoder.next(body));
  encoder.begin({});
  EXPECT_FALSE(encoder.next(body));
  BatchMaker make;
  make.run("nvml", five_kinds()).frame(kBegin, {kGone, kGone, kGone, kGone, kGone});
  encoder.begin(make.batch());
  EXPECT_FALSE(encoder.next(body));
  EXPECT_EQ(encoder.all_samples(), 0u);
  encoder.commit();
}

TEST_P(RemoteWrite, TwoSourcesWithOneSeries) {
  RemoteWriteEncoder encoder(options_of(GetParam()));
  BatchMaker make;
  make.run("a", five_kinds()).frame(kBegin, {1, 1, 1, 1, 1});
  make.run("b", five_kinds(7)).frame(kBegin, {2, 2, 2, 1, 1}).frame(kBegin + kSecond, {2, 2, 2, 1, 1});
  const std::vector<Request> requests = encoded(encoder, make, GetParam());
  EXPECT_EQ(requests[0].samples, 5u) << "the first one's, or the receiver refuses all";
  EXPECT_EQ(requests[0].find("hw_temperature")->samples[0].value(), 1);
}

TEST(RemoteWriteOne, Metadata) {
  RemoteWriteOptions options = options_of(kV1);
  options.metadata_every = 60 * kSecond;
  RemoteWriteEncoder encoder(options);
  const auto metadata_at = [&](Nanos wall, bool commit) {
    BatchMaker make;
    make.run("nvml", five_kinds()).frame(wall, {1, 1, 1, 1, 1});
    std::vector<std::string> out;
    for (const Request& request : encoded(encoder, make, kV1)) {
      EXPECT_TRUE(request.metadata.empty() || request.series.empty()) << "in a request of its own";
      out.insert(out.end(), request.metadata.begin(), request.metadata.end());
    }
    if (commit) encoder.commit();
    return out;
  };
  const std::vector<std::string> expected{
      "hw_gpu_memory_usage_bytes GAUGE bytes", "hw_temperature_celsius GAUGE celsius",
      "hw_energy_joules_total COUNTER joules", "hw_status GAUGE ", "accelmon_device_info INFO "};
  EXPECT_EQ(metadata_at(kBegin, false), expected);
  EXPECT_EQ(metadata_at(kBegin, true), expected) << "not committed: again";
  EXPECT_TRUE(metadata_at(kBegin + 59 * kSecond, true).empty());
  EXPECT_EQ(metadata_at(kBegin + 60 * kSecond, true), expected);
  EXPECT_TRUE(metadata_at(kBegin + 119 * kSecond, true).empty());
}

TEST(RemoteWriteTwo, MetadataAndStart) {
  RemoteWriteEncoder encoder(options_of(kV2));
  BatchMaker make;
  make.run("nvml", five_kinds());
  for (const double energy : {1000., 1100., 7., 9., 3.})
    make.frame(kBegin + static_cast<Nanos>(make.batch()[0].frames.size()) * kSecond, {1, energy, 1, 1, 1});
  const std::vector<Request> requests = encoded(encoder, make, kV2);
  ASSERT_EQ(requests.size(), 1u);
  const Series* energy = requests[0].find("hw_energy");
  ASSERT_NE(energy, nullptr);
  EXPECT_EQ(energy->type, judge::remote2::Metadata::METRIC_TYPE_COUNTER);
  EXPECT_EQ(energy->help, info(MetricId::energy).brief);
  EXPECT_EQ(energy->unit, "joules");
  std::vector<int64_t> starts;
  for (const Sample& sample : energy->samples) starts.push_back(sample.start);
  EXPECT_EQ(starts, (std::vector<int64_t>{0, 0, ms(1.001), ms(1.001), ms(3.001)}))
      << "a first sight is no start; a fall is, behind the last sample of what was before";
  EXPECT_EQ(requests[0].find("hw_temperature")->type, judge::remote2::Metadata::METRIC_TYPE_GAUGE);
  EXPECT_EQ(requests[0].find("hw_temperature")->samples[0].start, 0);
  EXPECT_EQ(requests[0].find("device_info")->type, judge::remote2::Metadata::METRIC_TYPE_INFO);
  EXPECT_EQ(requests[0].find("hw_status")->unit, "");
}

TEST(RemoteWriteTwo, Headers) {
  EXPECT_EQ(content_type(kV1), "application/x-protobuf");
  EXPECT_EQ(content_type(kV2), "application/x-protobuf;proto=io.prometheus.write.v2.Request");
  EXPECT_EQ(protocol_version(kV1), "0.1.0");
  EXPECT_EQ(protocol_version(kV2), "2.0.0");
}

TEST(RemoteWriteTwo, WhatWasWritten) {
  const auto verdict = [](WrittenHeaders headers, uint64_t sent) { return judge_written(headers, sent).verdict; };
  EXPECT_EQ(verdict({.samples = "10"}, 10), WriteVerdict::stored);
  EXPECT_EQ(verdict({.samples = " 10 "}, 10), WriteVerdict::stored);
  EXPECT_EQ(verdict({.samples = "9"}, 10), WriteVerdict::fewer);
  EXPECT_EQ(verdict({.samples = "0"}, 10), WriteVerdict::fewer);
  EXPECT_EQ(verdict({}, 10), WriteVerdict::not_ours) << "a 204 of a receiver that knows 1.0 alone";
  EXPECT_EQ(verdict({.samples = ""}, 10), WriteVerdict::not_ours);
  EXPECT_EQ(verdict({.samples = "many"}, 10), WriteVerdict::not_ours);
  EXPECT_EQ(verdict({.samples = "-1"}, 10), WriteVerdict::not_ours);
  EXPECT_EQ(verdict({.samples = "99999999999999999999999"}, 10), WriteVerdict::not_ours);
  EXPECT_EQ(verdict({.histograms = "0"}, 10), WriteVerdict::fewer) << "missing beside others means 0";
  EXPECT_EQ(verdict({.exemplars = "0"}, 0), WriteVerdict::stored);
  EXPECT_EQ(judge_written({.samples = "7"}, 10).samples, 7u);
}

TEST(Symbols, NumbersStayOverGrowth) {
  SymbolTable table;
  std::vector<std::string> texts;
  for (int i = 0; i < 5000; ++i) texts.push_back("text " + std::to_string(i));
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(table.number(texts[i]), i + 1);
    for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(table.number(texts[i]), i + 1);
    EXPECT_EQ(table.number(""), 0u);
    EXPECT_EQ(table.texts().size(), texts.size() + 1);
    table.clear();
    EXPECT_EQ(table.bytes(), 0u);
    EXPECT_EQ(table.texts().size(), 1u);
  }
}

}  // namespace
}  // namespace accelmon
