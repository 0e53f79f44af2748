// Rendering, encoding and compressing allocate nothing once the buffers have grown. This file replaces the program's
// operator new.
#include <gtest/gtest.h>

#include "base/counted_new_for_test.h"
#include "base/valgrind_for_test.h"
#include "encode/exposition.h"
#include "encode/graphite.h"
#include "encode/gzip.h"
#include "encode/influx.h"
#include "encode/json_lines.h"
#include "encode/otlp.h"
#include "encode/remote_write.h"
#include "encode/runs_for_test.h"
#include "encode/snapshot_for_test.h"
#include "encode/statsd.h"

using accelmon::counted_new::allocations;

namespace accelmon {
namespace {

TEST(Allocation, NoneInSteadyState) {
  if (under_valgrind()) GTEST_SKIP() << "it counts no allocations";
  const Snapshot snapshot = for_test::whole_table();
  Exposition exposition({.dcgm = true, .except = {"system.*"}, .drop_labels = {"hw.vendor"}, .hostname = "node-1"});
  GzipEncoder gzip;
  std::string text, openmetrics, protobuf, packed;
  const auto poll = [&](int i) {
    for (const SourceView& source : snapshot.sources)
      for (size_t k = 0; k < source.frame->values.size(); ++k)
        source.frame->values[k] = i * 0.37 + static_cast<double>(k);
    exposition.render(snapshot, ExpositionFormat::text_0_0_4, text);
    exposition.render(snapshot, ExpositionFormat::openmetrics_1_0, openmetrics);
    exposition.render(snapshot, ExpositionFormat::protobuf, protobuf);
    gzip.compress(text, packed);
  };
  const uint64_t at_start = allocations.load();
  for (int i = 0; i < 3; ++i) poll(i);
  EXPECT_GT(allocations.load(), at_start) << "the counter counts";
  const uint64_t before = allocations.load();
  for (int i = 0; i < 1000; ++i) poll(i);
  EXPECT_EQ(allocations.load() - before, 0u);
  EXPECT_NE(text.find("\nDCGM_FI_DEV_FB_USED{"), std::string::npos);
  EXPECT_FALSE(packed.empty());
}

// One batch of one frame a source after the other, each delivered, as a push exporter lives.
template <class Encode>
uint64_t allocations_of_batches(Encode encode) {
  const Snapshot snapshot = for_test::whole_table();
  for_test::BatchMaker make = for_test::batch_of(snapshot, for_test::kBegin);
  const std::span<const FrameRun> batch = make.batch();
  Frame& frame = make.last_frame();
  const auto poll = [&](int i) {
    frame.wall += kSecond;
    for (size_t k = 0; k < frame.values.size(); ++k) {
      frame.values[k] = (i % 97) * 0.37 + static_cast<double>(k);  // counters fall now and then
      frame.states[k] = (static_cast<size_t>(i) + k) % 11 == 0 ? State::stale : State::ok;
    }
    encode(batch);
  };
  const uint64_t at_start = allocations.load();
  for (int i = 0; i < 200; ++i) poll(i);
  EXPECT_GT(allocations.load(), at_start) << "the counter counts";
  const uint64_t before = allocations.load();
  for (int i = 0; i < 1000; ++i) poll(i);
  return allocations.load() - before;
}

TEST(Allocation, NoneOfOtlp) {
  if (under_valgrind()) GTEST_SKIP() << "it counts no allocations";
  for (const OtlpForm form : {OtlpForm::protobuf, OtlpForm::json})
    for (const OtlpTemporality temporality : {OtlpTemporality::cumulative, OtlpTemporality::delta}) {
      OtlpEncoder encoder({.form = form, .temporality = temporality, .resource = {{"host.name", "node-1"}}});
      EXPECT_EQ(allocations_of_batches([&](std::span<const FrameRun> batch) {
                  EXPECT_GT(encoder.encode(batch).size(), 1000u);
                  encoder.commit();
                }),
                0u);
    }
}

TEST(Allocation, NoneOfRemoteWriteButSnappysOwn) {
  if (under_valgrind()) GTEST_SKIP() << "it counts no allocations";
  for (const RemoteWriteVersion version : {RemoteWriteVersion::v1, RemoteWriteVersion::v2}) {
    RemoteWriteEncoder encoder({.version = version, .max_samples = 150});
    std::string body;
    uint64_t requests = 0;
    const uint64_t allocated = allocations_of_batches([&](std::span<const FrameRun> batch) {
      encoder.begin(batch);
      while (encoder.next(body)) ++requests;
      encoder.commit();
    });
    EXPECT_GT(requests, 2000u) << "more than one a batch, and metadata";
    EXPECT_LE(allocated, requests) << "its table of matches, one a request";
  }
}

TEST(Allocation, NoneInLineEncoders) {
  const Snapshot snapshot = for_test::whole_table();
  const for_test::Runs runs(snapshot, 1772366400 * kSecond);
  GraphiteEncoder plain({}), tagged({.tags = true});
  InfluxEncoder influx({});
  JsonLinesEncoder json({});
  StatsdEncoder statsd({}), dogstatsd({.tags = true});
  std::string out;
  Datagrams datagrams;
  const auto poll = [&](int i) {
    for (const SourceView& source : snapshot.sources)
      for (size_t k = 0; k < source.frame->values.size(); ++k)
        source.frame->values[k] = i * 0.37 + static_cast<double>(k);
    out.clear();
    size_t lines = plain.encode(runs, out) + tagged.encode(runs, out) + influx.encode(runs, out);
    lines += json.encode(runs, out);
    statsd.encode(runs, datagrams);
    lines += datagrams.size();
    dogstatsd.encode(runs, datagrams);
    return lines + datagrams.size();
  };
  // The buffers of numbers that grow in digits.
  for (const int i : {0, 1, 2, 100'000}) poll(i);
  const uint64_t before = allocations.load();
  size_t lines = 0;
  for (int i = 0; i < 1000; ++i) lines += poll(i);
  EXPECT_EQ(allocations.load() - before, 0u);
  EXPECT_GT(lines, 300'000u);
}

}  // namespace
}  // namespace accelmon
