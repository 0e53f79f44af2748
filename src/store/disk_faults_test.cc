// What can happen to a disk: a kill in the middle of anything, no space, bytes that are not what was written.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "base/log.h"
#include "store/disk_feed_for_test.h"
#include "store/disk_store.h"

namespace accelmon {
namespace {

using store_test::Feed;
using store_test::Folder;
using store_test::kStart;

constexpr Nanos kFar = INT64_MAX;

// Poll number n of the crash test: everything in it follows from n.
void fill(Frame& frame, uint64_t n) {
  frame.sequence = n;
  frame.wall = kStart + static_cast<Nanos>(n) * kSecond;
  frame.monotonic = static_cast<Nanos>(n) * kSecond;
  frame.fresh = 1;
  for (size_t i = 0; i < frame.values.size(); ++i) {
    const uint64_t bits = (n * 0x9e3779b97f4a7c15u) ^ (i * 0xd6e8feb86659fd93u);
    if (bits % 13 == 0)
      frame.absent(i, State::stale);
    else
      frame.set(i, static_cast<double>(bits % 100'000) * 0.001);
  }
}

CatalogPtr crash_catalog() {
  Catalog raw;
  raw.generation = 1;
  CatalogBuilder build(raw);
  build.add_device({.id = "GPU-1", .index = "0", .vendor = "nvidia"});
  for (int i = 0; i < 12; ++i)
    build.add(MetricId::temperature, 0, Tier::fast, {{AttributeId::sensor_location, std::to_string(i)}});
  return std::make_shared<const Catalog>(std::move(raw));
}

// What the child tells over shared memory before it may be killed.
struct Shared {
  std::atomic<uint64_t> appended;
  std::atomic<uint64_t> flushed;    // flush() came back: these must be there
  std::atomic<uint64_t> delivered;  // handed to the far end by the cursor
  std::atomic<uint64_t> committed;  // commit() came back
};

[[noreturn]] void write_for_ever(const DiskOptions& base, Shared& shared) {
  // As an agent does it, only faster; the parent kills it anywhere.
  set_log_level(LogLevel::error);
  ManualClock clock(kSecond, kStart + static_cast<Nanos>(shared.appended.load()) * kSecond);
  DiskOptions options = base;
  options.clock = &clock;
  const auto store = DiskStore::open(options);
  const CatalogPtr catalog = crash_catalog();
  Frame frame;
  frame.resize(catalog->series.size());
  auto cursor = store->open_cursor("far", CursorStart::oldest);
  if (!cursor) _exit(3);
  for (uint64_t n = shared.appended.load() + 1;; ++n) {
    fill(frame, n);
    store->append("nvml", catalog, frame);
    shared.appended = n;
    clock.advance(kSecond);
    if (n % 5 == 0) {
      if (!store->flush().ok()) _exit(4);
      shared.flushed = n;
    }
    if (n % 3 == 0) {
      const auto batch = cursor->read(100);
      if (!batch) _exit(5);
      for (const FrameRun& run : batch->runs())
        for (const Frame* one : run.frames) {
          // In order, from where the last commit ended; after a kill what was not committed comes again.
          if (one->sequence != shared.delivered + 1) _exit(6);
          shared.delivered = one->sequence;
        }
      const uint64_t delivered = shared.delivered;
      if (!cursor->commit().ok()) _exit(7);
      shared.committed = delivered;
    }
  }
}

TEST(DiskFaults, AKillAtAnyPointTearsNothing) {
  // A kill takes nothing from the page cache, so memory will do as a disk, and syncs cost nothing there.
  const Folder folder(std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "");
  DiskOptions options;
  options.path = folder.file("history.db");
  options.chunk = 60 * kSecond;
  options.own_thread = false;
  auto* shared =
      static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(shared, MAP_FAILED);
  std::mt19937 random(11);
  const CatalogPtr catalog = crash_catalog();
  Frame expected;
  expected.resize(catalog->series.size());
  for (int round = 0; round < 200; ++round) {
    const uint64_t before = shared->appended;
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) write_for_ever(options, *shared);
    // Killed after some work, wherever it then is.
    const uint64_t until = before + 3 + random() % 15;
    for (int i = 0; i < 100'000 && shared->appended < until && waitpid(child, nullptr, WNOHANG) == 0; ++i) usleep(100);
    usleep(random() % 700);
    kill(child, SIGKILL);
    int status = 0;
    if (waitpid(child, &status, 0) == child) {
      ASSERT_TRUE(WIFSIGNALED(status)) << "round " << round << ": the writer ended with " << WEXITSTATUS(status);
    }
    ASSERT_GE(shared->appended.load(), until) << "round " << round << ": the writer ended by itself";

    const Result<HistoryFile> file = HistoryFile::open(options.path);
    ASSERT_TRUE(file) << "round " << round << ": " << file.error().message();
    // Only the last rounds' rows are compared in full; the earlier ones have been.
    const Nanos from = kStart + static_cast<Nanos>(before > 60 ? before - 60 : 0) * kSecond;
    auto scan = file->scan(from, kFar).value();
    uint64_t last = 0;
    for (;;) {
      const auto batch = scan.next(500);
      ASSERT_TRUE(batch) << batch.error().message();
      if (batch->empty()) break;
      for (const FrameRun& run : batch->runs())
        for (const Frame* frame : run.frames) {
          // What a kill took stands between two rounds: the rest ascends without a hole.
          ASSERT_GT(frame->sequence, last);
          last = frame->sequence;
          fill(expected, frame->sequence);
          ASSERT_EQ(frame->wall, expected.wall);
          ASSERT_EQ(frame->states, expected.states);
          ASSERT_EQ(frame->values, expected.values);
        }
    }
    ASSERT_GE(last, shared->flushed.load()) << "round " << round << ": written rows are gone";
    ASSERT_LE(last, shared->appended.load());
    // The next writer's first row follows the last one that is on the disk or was handed on: what was neither is lost.
    // The commit that was on its way when the kill came may have been written.
    ASSERT_LE(shared->committed.load(), shared->delivered.load());
    DiskOptions again = options;
    ManualClock clock(kSecond, kStart + static_cast<Nanos>(shared->appended.load()) * kSecond);
    again.clock = &clock;
    const auto store = DiskStore::open(again);
    auto cursor = store->open_cursor("far", CursorStart::oldest);
    ASSERT_TRUE(cursor) << cursor.error().message();
    uint64_t at = 0;
    for (;;) {
      const auto batch = cursor->read(100);
      ASSERT_TRUE(batch) << batch.error().message();
      if (batch->empty()) break;
      for (const FrameRun& run : batch->runs())
        for (const Frame* frame : run.frames) {
          if (at == 0) {
            // Nothing that was committed comes again, and nothing between is left out.
            ASSERT_GT(frame->sequence, shared->committed.load()) << "round " << round;
            ASSERT_LE(frame->sequence, std::max(shared->delivered.load(), shared->committed.load()) + 1)
                << "round " << round;
          } else {
            ASSERT_EQ(frame->sequence, at + 1) << "round " << round;
          }
          at = frame->sequence;
        }
    }
    if (at != 0) {
      ASSERT_EQ(at, last);
    }
    ASSERT_TRUE(cursor->commit().ok());
    // The next round goes on behind all that was ever appended; what the kill took is known to be gone.
    shared->delivered = shared->committed = shared->appended.load();
  }
  EXPECT_GT(shared->flushed.load(), 800u);
  munmap(shared, sizeof(Shared));
}

TEST(DiskFaults, AFullDiskLosesTheOldestAndMendsByItself) {
  const Folder folder;
  // In a process of its own, whose files may not grow: every write beyond fails, as on a full disk.
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    set_log_level(LogLevel::error);
    signal(SIGXFSZ, SIG_IGN);
    ManualClock clock(kSecond, kStart);
    DiskOptions options;
    options.path = folder.file("history.db");
    options.clock = &clock;
    options.own_thread = false;
    options.queue_bytes = 200 * 1024;
    const auto store = DiskStore::open(options);
    Feed feed;
    feed.noisy(50);
    const auto run = [&](int polls) {
      for (int i = 0; i < polls; ++i) {
        feed.append(*store);
        clock.advance(kSecond);
        if (i % 10 == 9) (void)store->flush();
      }
    };
    run(20);
    if (store->state().health != DiskHealth::ok || store->state().rows_written != 20) _exit(10);
    auto cursor = store->open_cursor("far").value();
    rlimit most{};
    getrlimit(RLIMIT_FSIZE, &most);
    most.rlim_cur = 150 * 1024;
    setrlimit(RLIMIT_FSIZE, &most);
    run(600);
    const DiskState full = store->state();
    if (full.health != DiskHealth::disk_full) _exit(11);
    if (full.text.empty() || full.rows_dropped == 0) _exit(12);
    // What waits can still be read, and says how much it left out; reading what is on the disk works too.
    const auto batch = cursor.read(100'000);
    if (!batch || batch->frames() == 0 || batch->frames() + batch->lost() != 600) _exit(13);
    if (store->query("nvml", feed.key(feed.power), 0, kFar, 1'000'000)->points.size() < 20) _exit(14);
    (void)cursor.commit();
    most.rlim_cur = most.rlim_max;
    setrlimit(RLIMIT_FSIZE, &most);
    const uint64_t dropped = full.rows_dropped;
    run(20);
    const DiskState mended = store->state();
    if (mended.health != DiskHealth::ok || mended.rows_waiting != 0) _exit(15);
    if (mended.rows_written + mended.rows_dropped != 640 || mended.rows_dropped < dropped) _exit(16);
    if (cursor.read(100'000)->frames() != 20) _exit(17);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

struct Written {
  explicit Written(const Folder& folder) : clock(kSecond, kStart) {
    options.path = folder.file("history.db");
    options.clock = &clock;
    options.own_thread = false;
    options.chunk = 60 * kSecond;
    const auto store = DiskStore::open(options);
    for (int i = 0; i < 300; ++i) {
      feed.append(*store);
      clock.advance(kSecond);
      if (i % 30 == 29) (void)store->flush();
    }
  }
  ManualClock clock;
  DiskOptions options;
  Feed feed;
};

std::string contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Whatever the bytes are: nothing falls over, and what is read was written.
void expect_no_lie(const DiskOptions& options, const Feed& feed) {
  const auto check = [&](const FrameBatch& batch) {
    for (const FrameRun& run : batch.runs())
      for (const Frame* frame : run.frames) {
        ASSERT_GE(frame->sequence, 1u);
        ASSERT_LE(frame->sequence, feed.sent.size());
        const Frame& sent = feed.sent[frame->sequence - 1];
        ASSERT_EQ(frame->wall, sent.wall);
        for (size_t i = 0; i < run.catalog->series.size(); ++i) {
          const int j = find_series(*feed.catalog, run.catalog->series[i].metric, run.catalog->series[i].device,
                                    run.catalog->series[i].attributes);
          ASSERT_GE(j, 0);
          ASSERT_EQ(frame->states[i], sent.states[static_cast<size_t>(j)]);
          if (frame->states[i] == State::ok) {
            ASSERT_EQ(frame->values[i], sent.values[static_cast<size_t>(j)]);
          }
        }
      }
  };
  const Result<HistoryFile> file = HistoryFile::open(options.path);
  if (!file) return;
  if (auto scan = file->scan(INT64_MIN, kFar)) {
    for (;;) {
      const auto batch = scan->next(1000);
      if (!batch || batch->empty()) break;
      check(*batch);
    }
  }
  for (const size_t series : {feed.power, feed.share}) {
    const auto range = file->query("nvml", feed.key(series), 0, kFar, 1'000'000);
    if (!range || range->step != 0) continue;
    for (const StorePoint& point : range->points) {
      const auto n = static_cast<size_t>((point.wall - kStart) / kSecond);
      ASSERT_LT(n, feed.sent.size());
      ASSERT_EQ(point.mean, feed.sent[n].values[series]);
    }
    (void)file->query("nvml", feed.key(series), 0, kFar, 5);
  }
  (void)file->list(0, kFar);
}

TEST(DiskFaults, BytesThatAreNotWhatWasWrittenAreNoticed) {
  const Folder folder;
  const Written written(folder);
  const std::string whole = contents(written.options.path);
  ASSERT_GT(whole.size(), 20'000u);
  set_log_level(LogLevel::error);
  std::mt19937 random(5);
  for (int round = 0; round < 150; ++round) {
    std::string bytes = whole;
    for (unsigned flips = 1 + random() % (round < 100 ? 3 : 400); flips-- > 0;)
      bytes[100 + random() % (bytes.size() - 100)] ^= static_cast<char>(1u << random() % 8);
    if (round % 10 == 9) bytes.resize(random() % bytes.size());
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(written.options.path + suffix);
    std::ofstream(written.options.path, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    expect_no_lie(written.options, written.feed);
    if (HasFatalFailure()) FAIL() << "round " << round;
  }
  set_log_level(LogLevel::info);
}

TEST(DiskFaults, ADamagedFileIsMovedAsideAndANewOneBegun) {
  const Folder folder;
  Written written(folder);
  const std::string whole = contents(written.options.path);
  set_log_level(LogLevel::error);
  std::mt19937 random(9);
  int moved = 0;
  for (int round = 0; round < 40; ++round) {
    std::string bytes = whole;
    if (round == 0)
      bytes.assign(9000, 'x');  // no database at all
    else
      for (unsigned flips = 1 + random() % 200; flips-- > 0;)
        bytes[100 + random() % (bytes.size() - 100)] ^= static_cast<char>(1u << random() % 8);
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(written.options.path + suffix);
    std::ofstream(written.options.path, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    written.clock.advance(kSecond);
    const auto store = DiskStore::open(written.options);
    Feed feed;
    feed.frame.wall = written.clock.wall();
    auto cursor = store->open_cursor("far");
    for (int i = 0; i < 3; ++i) {
      feed.append(*store);
      (void)store->query("nvml", feed.key(feed.power), 0, kFar, 1'000'000);
      (void)store->flush();
    }
    moved += static_cast<int>(store->state().files_damaged);
    // Whatever it was, rows are written, or the state says why not.
    const DiskState state = store->state();
    EXPECT_TRUE(state.health == DiskHealth::ok ? state.rows_written == 3 : !state.text.empty())
        << "round " << round << " " << state.text;
    if (round == 0) {
      EXPECT_EQ(state.files_damaged, 1u);
      EXPECT_EQ(state.health, DiskHealth::ok) << state.text;
    }
  }
  EXPECT_GT(moved, 1);
  int kept = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    const std::string name = entry.path().filename().string();
    if (name.find(".damaged-") != std::string::npos && name.find("-wal") == std::string::npos) ++kept;
  }
  EXPECT_EQ(kept, std::min(moved, 2));  // of many, the last two
  set_log_level(LogLevel::info);
}

}  // namespace
}  // namespace accelmon
