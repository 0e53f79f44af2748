#include "store/disk_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "store/disk_feed_for_test.h"
#include "store/settled_time.h"

namespace accelmon {
namespace {

using store_test::Feed;
using store_test::Folder;
using store_test::kStart;

constexpr size_t kMany = 1'000'000;
constexpr Nanos kFar = INT64_MAX;

std::vector<double> means(const StoreRange& range) {
  std::vector<double> out;
  for (const StorePoint& point : range.points) out.push_back(point.mean);
  return out;
}

struct Disk {
  explicit Disk(const Folder& folder) : clock(kSecond, kStart) {
    options.path = folder.file("history.db");
    options.clock = &clock;
    options.own_thread = false;
    options.chunk = 60 * kSecond;
    store = DiskStore::open(options);
  }
  void again() {
    store.reset();
    store = DiskStore::open(options);
  }
  // So many polls, one a second, written every `every`.
  void run(Feed& feed, int polls, int every = 10) {
    for (int i = 0; i < polls; ++i) {
      feed.append(*store);
      clock.advance(kSecond);
      if (every != 0 && i % every == every - 1) {
        const Status status = store->flush();
        ASSERT_TRUE(status.ok()) << status.message();
      }
    }
  }
  ManualClock clock;
  DiskOptions options;
  std::unique_ptr<DiskStore> store;
};

// Compares with what was appended, bit for bit.
void expect_frames(const FrameBatch& batch, const Feed& feed, uint64_t& at) {
  for (const FrameRun& run : batch.runs()) {
    EXPECT_EQ(run.source, feed.name);
    for (const Frame* frame : run.frames) {
      ASSERT_LT(at, feed.sent.size());
      const Frame& sent = feed.sent[at++];
      EXPECT_EQ(frame->sequence, sent.sequence);
      EXPECT_EQ(frame->wall, sent.wall);
      EXPECT_EQ(frame->monotonic, sent.monotonic);
      EXPECT_EQ(frame->duration, sent.duration);
      EXPECT_EQ(frame->fresh, sent.fresh);
      EXPECT_EQ(frame->read_at, sent.read_at);
      EXPECT_EQ(frame->generation, run.catalog->generation);
      ASSERT_EQ(frame->values.size(), run.catalog->series.size());
      for (size_t i = 0; i < frame->values.size(); ++i) {
        const int j = find_series(*feed.catalog, run.catalog->series[i].metric, run.catalog->series[i].device,
                                  run.catalog->series[i].attributes);
        ASSERT_GE(j, 0);
        ASSERT_EQ(frame->states[i], sent.states[static_cast<size_t>(j)]);
        if (frame->states[i] == State::ok) {
          ASSERT_EQ(std::bit_cast<uint64_t>(frame->values[i]),
                    std::bit_cast<uint64_t>(sent.values[static_cast<size_t>(j)]));
        }
      }
    }
  }
}

TEST(DiskStore, GivesBackEveryPollBitForBitFromQueueChunkAndMergedChunk) {
  const Folder folder;
  Disk disk(folder);
  Feed feed;
  disk.run(feed, 300);   // four minutes are merged, the last chunks are small
  disk.run(feed, 7, 0);  // and some wait
  const DiskState state = disk.store->state();
  EXPECT_EQ(state.health, DiskHealth::ok) << state.text;
  EXPECT_EQ(state.rows_written, 300u);
  EXPECT_EQ(state.rows_waiting, 7u);
  EXPECT_EQ(state.rows_dropped, 0u);
  EXPECT_GT(state.tier_bytes[1], 0u);

  auto scan = disk.store->scan(0, kFar);
  ASSERT_TRUE(scan) << scan.error().message();
  uint64_t at = 0;
  for (;;) {
    const auto batch = scan->next(77);
    ASSERT_TRUE(batch) << batch.error().message();
    if (batch->empty()) break;
    expect_frames(*batch, feed, at);
  }
  EXPECT_EQ(at, 307u);

  const StoreRange range = disk.store->query("nvml", feed.key(feed.power), 0, kFar, kMany).value();
  EXPECT_EQ(range.step, 0);
  EXPECT_EQ(means(range), feed.values_of(feed.power));
  const StoreRange part =
      disk.store->query("nvml", feed.key(feed.energy), kStart + 100 * kSecond, kStart + 109 * kSecond, kMany).value();
  EXPECT_EQ(part.points.size(), 10u);
}

TEST(DiskStore, KeepsInfosAndLeavesSmoothedValuesOut) {
  const Folder folder;
  Disk disk(folder);
  Feed feed;
  disk.run(feed, 20);
  const std::vector<HistorySeries> all = disk.store->list(0, kFar).value();
  bool info_there = false;
  for (const HistorySeries& series : all) {
    EXPECT_EQ(series.source, "nvml");
    EXPECT_EQ(series_key(*series.catalog, series.catalog->series[series.series]), series.key);
    const MetricId metric = series.catalog->series[series.series].metric;
    EXPECT_NE(metric, MetricId::power_ema);
    EXPECT_NE(metric, MetricId::power_window);
    info_there = info_there || metric == MetricId::device_info;
  }
  EXPECT_TRUE(info_there);
  EXPECT_EQ(all.size(), feed.catalog->series.size() - 2);
  EXPECT_EQ(all[0].catalog->devices[0].id, "GPU-1");
  EXPECT_TRUE(disk.store->list(0, kStart - 1).value().empty());
}

TEST(DiskStore, CoarseTiersHaveMinimumMeanAndMaximumAndTheLastOfCounters) {
  const Folder folder;
  Disk disk(folder);
  Feed feed;
  disk.run(feed, 600);
  const std::vector<double> watts = feed.values_of(feed.power);
  for (const auto& [most, step] : {std::pair<size_t, int>{100, 10}, {12, 60}}) {
    const StoreRange range = disk.store->query("nvml", feed.key(feed.power), 0, kFar, most).value();
    EXPECT_EQ(range.step, step * kSecond);
    ASSERT_EQ(range.points.size(), 600u / static_cast<size_t>(step));
    for (size_t p = 0; p < range.points.size(); ++p) {
      double least = 1e9, greatest = 0, sum = 0;
      for (size_t i = p * static_cast<size_t>(step); i < (p + 1) * static_cast<size_t>(step); ++i) {
        least = std::min(least, watts[i]);
        greatest = std::max(greatest, watts[i]);
        sum += watts[i];
      }
      EXPECT_EQ(range.points[p].minimum, least);
      EXPECT_EQ(range.points[p].maximum, greatest);
      EXPECT_NEAR(range.points[p].mean, sum / step, 0.00006);
      EXPECT_EQ(range.points[p].wall, kStart + static_cast<Nanos>((p + 1) * static_cast<size_t>(step) - 1) * kSecond);
    }
    const StoreRange joules = disk.store->query("nvml", feed.key(feed.energy), 0, kFar, most).value();
    ASSERT_EQ(joules.points.size(), range.points.size());
    EXPECT_EQ(joules.points[1].mean, feed.values_of(feed.energy)[2 * static_cast<size_t>(step) - 1]);
    EXPECT_EQ(joules.points[1].minimum, joules.points[1].maximum);
  }
}

TEST(DiskStore, RestartsContinueAndStoreTheSameCatalogOnce) {
  const Folder folder;
  Disk disk(folder);
  Feed feed;
  disk.run(feed, 25, 0);
  disk.again();  // writes what waits
  EXPECT_EQ(disk.store->state().rows_waiting, 0u);
  feed.restart();
  disk.run(feed, 25, 5);
  auto scan = disk.store->scan(0, kFar).value();
  uint64_t at = 0;
  const FrameBatch batch = scan.next(1000).value();
  expect_frames(batch, feed, at);
  EXPECT_EQ(at, 50u);
  EXPECT_EQ(batch.runs().size(), 1u);  // one catalog, though its generation differs
}

TEST(DiskStore, SeriesOfAnotherCatalogAndSourceAreKeptApart) {
  const Folder folder;
  Disk disk(folder);
  Feed gpu;
  Feed host("host");
  disk.run(gpu, 30, 0);
  disk.run(host, 30, 10);
  gpu.add_series();
  disk.run(gpu, 30, 10);
  gpu.append(*disk.store);
  host.append(*disk.store);
  const std::vector<HistorySeries> all = disk.store->list(0, kFar).value();
  EXPECT_EQ(all.size(), gpu.catalog->series.size() + host.catalog->series.size() - 4);  // each once
  EXPECT_EQ(all.front().source, "host");
  EXPECT_EQ(all.back().source, "nvml");
  disk.clock.advance(600 * kSecond);
  ASSERT_TRUE(disk.store->flush().ok());
  auto scan = disk.store->scan(0, kFar).value();
  const FrameBatch batch = scan.next(1000).value();
  EXPECT_EQ(batch.frames(), 92u);
  ASSERT_EQ(batch.runs().size(), 3u);
  EXPECT_EQ(batch.runs()[0].source, "nvml");
  EXPECT_EQ(batch.runs()[0].frames.size(), 30u);
  EXPECT_EQ(batch.runs()[1].source, "nvml");
  EXPECT_EQ(batch.runs()[1].catalog->series.size(), batch.runs()[0].catalog->series.size() + 1);
  EXPECT_EQ(batch.runs()[2].source, "host");
  // A series that goes on over the change is one series.
  EXPECT_EQ(disk.store->query("nvml", gpu.key(gpu.power), 0, kFar, kMany)->points.size(), 61u);
  EXPECT_TRUE(disk.store->query("nobody", gpu.key(gpu.power), 0, kFar, kMany)->points.empty());
  EXPECT_TRUE(disk.store->query("nvml", "nonsense", 0, kFar, kMany)->points.empty());
  EXPECT_TRUE(disk.store->query("nvml", gpu.key(gpu.power), kFar, 0, kMany)->points.empty());
}

TEST(DiskStore, WhatIsTooOldGoesFinestTierFirst) {
  const Folder folder;
  Disk disk(folder);
  disk.options.keep = {120 * kSecond, 400 * kSecond, 3600 * kSecond};
  disk.again();
  Feed feed;
  disk.run(feed, 900, 20);
  const DiskState state = disk.store->state();
  EXPECT_GE(state.tier_oldest[0], kStart + (900 - 120 - 80) * kSecond);
  EXPECT_LE(state.tier_oldest[0], kStart + (900 - 120) * kSecond);
  EXPECT_LE(state.tier_oldest[2], kStart + 60 * kSecond);
  // A question that begins before the finest tier does is answered by the one that reaches back.
  EXPECT_EQ(disk.store->query("nvml", feed.key(feed.power), 0, kFar, kMany)->step, 60 * kSecond);
  EXPECT_EQ(disk.store->query("nvml", feed.key(feed.power), kStart + 850 * kSecond, kFar, kMany)->step, 0);
}

TEST(DiskStore, TheFileAndItsLogStayBelowTheBound) {
  const Folder folder;
  Disk disk(folder);
  disk.options.limit_bytes = 1 << 20;
  disk.again();
  Feed feed;
  feed.noisy(40);
  uintmax_t most = 0;
  for (int i = 0; i < 50; ++i) {
    disk.run(feed, 60, 30);
    uintmax_t bytes = 0;
    for (const char* name : {"history.db", "history.db-wal"}) {
      std::error_code error;
      const auto size = std::filesystem::file_size(folder.file(name), error);
      if (!error) bytes += size;
    }
    most = std::max(most, bytes);
    feed.sent.clear();
  }
  EXPECT_LE(most, uintmax_t{1 << 20});
  EXPECT_GT(most, uintmax_t{1 << 19});  // and what may be used is used
  const DiskState state = disk.store->state();
  EXPECT_EQ(state.health, DiskHealth::ok) << state.text;
  EXPECT_EQ(state.rows_dropped, 0u);
  EXPECT_GT(state.tier_oldest[0], kStart + 600 * kSecond);  // some had to go
  EXPECT_LT(state.tier_oldest[2], state.tier_oldest[0]);    // and coarse tiers reach further back
}

TEST(DiskStore, AClockThatIsSetBackLosesNothing) {
  const Folder folder;
  Disk disk(folder);
  Feed feed;
  disk.run(feed, 200);
  disk.clock.jump_wall(-150 * kSecond);
  feed.frame.wall -= 150 * kSecond;
  disk.run(feed, 200);
  disk.clock.advance(600 * kSecond);
  ASSERT_TRUE(disk.store->flush().ok());
  auto scan = disk.store->scan(INT64_MIN, kFar).value();
  uint64_t at = 0;
  const FrameBatch batch = scan.next(1000).value();
  expect_frames(batch, feed, at);  // in the order in which they came
  EXPECT_EQ(at, 400u);
  const StoreRange range = disk.store->query("nvml", feed.key(feed.power), 0, kFar, kMany).value();
  EXPECT_EQ(range.points.size(), 400u);
  EXPECT_TRUE(std::is_sorted(range.points.begin(), range.points.end(),
                             [](const StorePoint& a, const StorePoint& b) { return a.wall < b.wall; }));
}

// A clock that shows next year for some seconds: everything would be too old, what exporters have not sent with it.
TEST(DiskStore, AClockThatJumpsAheadAndBackDeletesNothing) {
  const Folder folder;
  Disk disk(folder);
  disk.options.keep = {120 * kSecond, 400 * kSecond, 3600 * kSecond};
  disk.again();
  Feed feed;
  disk.run(feed, 100);
  const DiskState before = disk.store->state();
  constexpr Nanos kYear = 365 * 86'400 * kSecond;
  disk.clock.jump_wall(kYear);
  feed.frame.wall += kYear;
  disk.run(feed, 6);
  disk.clock.jump_wall(-kYear);
  feed.frame.wall -= kYear;
  disk.run(feed, 6);
  EXPECT_EQ(disk.store->state().tier_oldest[0], before.tier_oldest[0]);
  auto scan = disk.store->scan(INT64_MIN, kFar).value();
  uint64_t at = 0;
  const FrameBatch batch = scan.next(1000).value();
  expect_frames(batch, feed, at);
  EXPECT_EQ(at, 112u);
  // After an hour in which the clocks keep step age counts again.
  disk.run(feed, 3700, 60);
  EXPECT_GT(disk.store->state().tier_oldest[0], before.tier_oldest[0]);
}

TEST(SettledTime, GoesByAClockThatHasKeptStepForAnHourOrGoesOnWhereTheHistoryEnds) {
  using store::SettledTime;
  constexpr Nanos kNow = 1'700'000'000 * kSecond, kHour = 3600 * kSecond;
  EXPECT_EQ(SettledTime().look(kNow, kSecond, 0), kNow) << "nothing to lose";
  EXPECT_EQ(SettledTime().look(kNow, kSecond, kNow - kHour), kNow);
  SettledTime time;
  // Three days after the last row: perhaps it was off, perhaps the clock is wrong.
  EXPECT_EQ(time.look(kNow, kSecond, kNow - 72 * kHour), std::nullopt);
  EXPECT_EQ(time.look(kNow + kHour / 2, kSecond + kHour / 2, 0), std::nullopt);
  EXPECT_EQ(time.look(kNow + kHour, kSecond + kHour, 0), kNow + kHour);
  // Slewed, not jumped.
  EXPECT_TRUE(time.look(kNow + 2 * kHour + 10 * kSecond, kSecond + 2 * kHour, 0));
  EXPECT_EQ(time.look(kNow + 50 * kHour, 2 * kSecond + 2 * kHour, 0), std::nullopt);
  EXPECT_EQ(time.look(kNow + 2 * kHour + 13 * kSecond, 3 * kSecond + 2 * kHour, 0), std::nullopt) << "and back";
  EXPECT_TRUE(time.look(kNow + 3 * kHour + 13 * kSecond, 3 * kSecond + 3 * kHour, 0));
}

TEST(DiskStore, AFileOfHistoryIsReadWithoutAStore) {
  const Folder folder;
  Disk disk(folder);
  Feed feed;
  disk.run(feed, 100);
  for (int round = 0; round < 2; ++round) {  // beside the writer, and after it
    const Result<HistoryFile> file = HistoryFile::open(folder.file("history.db"));
    ASSERT_TRUE(file) << file.error().message();
    EXPECT_EQ(means(file->query("nvml", feed.key(feed.power), 0, kFar, kMany).value()), feed.values_of(feed.power));
    EXPECT_FALSE(file->list(0, kFar)->empty());
    auto scan = file->scan(kStart + 10 * kSecond, kStart + 19 * kSecond).value();
    EXPECT_EQ(scan.next(100)->frames(), 10u);
    EXPECT_TRUE(scan.next(100)->empty());
    disk.store.reset();
  }
  EXPECT_EQ(HistoryFile::open(folder.file("none.db")).error().code(), Code::absent);
}

TEST(DiskStore, TwoStoresOnOneFileAreRefused) {
  const Folder folder;
  Disk disk(folder);
  const auto other = DiskStore::open(disk.options);
  EXPECT_EQ(other->state().health, DiskHealth::behind);
  EXPECT_NE(other->state().text.find("in use by another"), std::string::npos);
  Feed feed;
  feed.append(*other);  // goes on, and writes once the first is gone
  EXPECT_FALSE(other->flush().ok());
  disk.store.reset();
  EXPECT_TRUE(other->flush().ok());
  EXPECT_EQ(other->state().rows_written, 1u);
  EXPECT_EQ(other->state().health, DiskHealth::ok);
}

TEST(DiskStore, AForeignDatabaseIsLeftAlone) {
  const Folder folder;
  const std::string path = folder.file("history.db");
  { Disk disk(folder); }
  // Its application id says that it is something else's.
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(68);
  file.write("abcd", 4);
  file.close();
  Disk disk(folder);
  EXPECT_EQ(disk.store->state().health, DiskHealth::error);
  EXPECT_NE(disk.store->state().text.find("something else"), std::string::npos);
  EXPECT_EQ(disk.store->state().files_damaged, 0u);
}

TEST(DiskStore, ReadersWritersAndCursorsMayRunAtOnce) {
  const Folder folder;
  DiskOptions options;
  options.path = folder.file("history.db");
  options.commit = 10 * kMillisecond;
  options.chunk = 60 * kSecond;
  ManualClock clock(kSecond, kStart);
  options.clock = &clock;
  const auto store = DiskStore::open(options);
  Feed feed;
  std::atomic<bool> done{false};
  std::atomic<uint64_t> read{0};
  HistoryCursor cursor = store->open_cursor("c").value();
  std::thread exporter([&] {
    uint64_t last = 0;
    for (bool finished = false; !finished;) {
      finished = done.load();
      const auto batch = cursor.read(50);
      if (!batch) {
        ADD_FAILURE() << batch.error().message();
        return;
      }
      EXPECT_EQ(batch->lost(), 0u);
      for (const FrameRun& run : batch->runs())
        for (const Frame* frame : run.frames) {
          EXPECT_EQ(frame->sequence, last + 1);
          last = frame->sequence;
          ++read;
        }
      EXPECT_TRUE(cursor.commit().ok());
      if (!batch->empty()) finished = false;
    }
  });
  const std::string key = feed.key(feed.power);
  std::thread asker([&] {
    while (!done.load()) {
      const auto range = store->query("nvml", key, 0, kFar, kMany);
      if (!range) ADD_FAILURE() << range.error().message();
      if (!store->list(0, kFar)) ADD_FAILURE();
      (void)store->state();
    }
  });
  for (int i = 0; i < 3000; ++i) {
    feed.append(*store);
    clock.advance(kSecond);
    if (i % 100 == 99) {
      EXPECT_TRUE(store->flush().ok());
    }
  }
  done = true;
  exporter.join();
  asker.join();
  EXPECT_EQ(read.load(), 3000u);
  EXPECT_EQ(store->query("nvml", key, 0, kFar, kMany)->points.size(), feed.values_of(feed.power).size());
}

}  // namespace
}  // namespace accelmon
