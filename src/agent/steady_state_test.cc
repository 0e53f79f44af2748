// From the poll to the rendered page, a thousand times, without one allocation.
//
// The real NVML collector reads the simulated library in this process; its frames take the real way: protocol bytes,
// pipeline, store, rendering in both formats, compression.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>

#include "agent/protocol.h"
#include "agent/registry.h"
#include "base/counted_new_for_test.h"
#include "base/instrumented.h"
#include "base/valgrind_for_test.h"
#include "encode/exposition.h"
#include "encode/gzip.h"
#include "pipeline/pipeline.h"
#include "store/store.h"

using accelmon::counted_new::allocations;

namespace {

std::atomic<bool> g_counting{false};
// What the simulated library allocates inside a call is the vendor's affair, not ours: the meter shows when one is on.
accelmon::Heartbeat g_heartbeat;

bool ours() {
  return g_counting.load(std::memory_order_relaxed) && g_heartbeat.call_began.load(std::memory_order_relaxed) == 0;
}

}  // namespace

namespace accelmon {
namespace {

TEST(SteadyState, AThousandCyclesFromPollToPageAllocateNothing) {
  if (under_valgrind()) GTEST_SKIP() << "it counts no allocations";
  const std::string library = ACCELMON_BUILD_DIR "/lib/accelmon/simulator/libnvidia-ml.so.1";
  const std::string scenario = ACCELMON_SOURCE_DIR "/simulator/scenarios/h100x8.toml";
  ASSERT_TRUE(std::filesystem::exists(library)) << library;
  ::setenv("ACCELMON_SCENARIO", scenario.c_str(), 1);

  CallMeter meter(real_clock(), &g_heartbeat);
  const auto collector = find_collector("nvml")->make({meter, real_clock(), {{"library", library}}});
  Result<Catalog> discovered = collector->discover();
  ASSERT_TRUE(discovered.has_value()) << discovered.error().message();
  auto catalog = std::make_shared<Catalog>(*discovered);
  catalog->generation = 1;
  ASSERT_GE(catalog->series.size(), 250u);

  Pipeline pipeline(PipelineOptions{});
  const CatalogPtr derived = pipeline.set_catalog(catalog);
  Store store(2u << 20);
  Recycler<Frame> frames;
  Recycler<Snapshot> snapshots;
  Exposition text;
  Exposition openmetrics({.dcgm = true, .hostname = "node-1"});
  GzipEncoder gzip;
  std::string bytes, page, compressed;
  MessageReader reader;
  Frame raw, received;
  CollectorStats stats;
  raw.resize(catalog->series.size());
  raw.generation = 1;
  std::vector<Event> events;
  uint64_t stops = 0;

  // Time is made up: a second passes in every cycle.
  Nanos now = real_clock().monotonic();
  const auto cycle = [&](uint64_t i) {
    now += kSecond;
    PollRequest request;
    request.due = i % 60 == 0 ? 7 : i % 10 == 0 ? 3 : 1;
    raw.sequence = i;
    raw.wall = now;
    raw.monotonic = now;
    raw.fresh = request.due;
    for (size_t tier = 0; tier < kTiers; ++tier)
      if ((request.due >> tier) & 1u) raw.read_at[tier] = now;
    if (collector->poll(request, raw, events) != PollResult::ok) ++stops;

    bytes.clear();
    write_frame(bytes, raw);
    write_stats(bytes, 0, meter);
    const auto [out, room] = reader.space(bytes.size());
    ASSERT_GE(room, bytes.size());
    std::memcpy(out, bytes.data(), bytes.size());
    reader.received(bytes.size());
    MessageType type{};
    std::string_view body;
    ASSERT_EQ(reader.next(type, body), MessageReader::Next::message);
    ASSERT_TRUE(read_frame(body, received));
    ASSERT_EQ(reader.next(type, body), MessageReader::Next::message);
    ASSERT_TRUE(read_stats(body, stats));

    Recycled<Frame> frame = frames.take();
    pipeline.process(received, *frame);
    store.append("nvml", derived, *frame);
    Recycled<Snapshot> snapshot = snapshots.take();
    snapshot->sequence = i;
    snapshot->sources.resize(1);
    snapshot->sources[0].name = "nvml";
    snapshot->sources[0].catalog = derived;
    snapshot->sources[0].frame = frame;
    text.render(*snapshot, ExpositionFormat::text_0_0_4, page);
    gzip.compress(page, compressed);
    openmetrics.render(*snapshot, ExpositionFormat::openmetrics_1_0, page);
  };

  // Warm: buffers grow, the store's first rows and the windows fill.
  uint64_t i = 0;
  for (; i < 400; ++i) cycle(i + 1);
  accelmon::counted_new::counts = ours;
  allocations = 0;
  g_counting = true;
  for (const uint64_t end = i + 1000; i < end; ++i) cycle(i + 1);
  g_counting = false;
#ifndef ACCELMON_ADDRESS_SANITIZER
  // Under the sanitizer a call may cost more than its budget, and moves to a slower tier: a new catalog.
  EXPECT_EQ(allocations.load(), 0u);
  EXPECT_EQ(stops, 0u);
#endif
  EXPECT_GT(page.size(), 20000u);
  collector->release();
}

}  // namespace
}  // namespace accelmon
