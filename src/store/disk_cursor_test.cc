// Positions of push exporters: in order, nothing twice, nothing skipped, over everything that happens to the file.
#include <gtest/gtest.h>

#include <filesystem>

#include "store/disk_feed_for_test.h"
#include "store/disk_store.h"

namespace accelmon {
namespace {

using store_test::Feed;
using store_test::Folder;
using store_test::kStart;

struct Rig {
  Rig() : clock(kSecond, kStart) {
    options.path = folder.file("history.db");
    options.clock = &clock;
    options.own_thread = false;
    options.chunk = 60 * kSecond;
    open();
  }
  void open() { store = DiskStore::open(options); }
  void append(int polls, Feed& from) {
    for (int i = 0; i < polls; ++i) {
      from.append(*store);
      clock.advance(kSecond);
    }
  }
  void append(int polls) { append(polls, feed); }
  void flush() { ASSERT_TRUE(store->flush().ok()); }
  // The sequence numbers of everything that is there to read, in batches of `most`.
  std::vector<uint64_t> drain(HistoryCursor& cursor, size_t most, uint64_t* lost = nullptr) {
    std::vector<uint64_t> found;
    for (;;) {
      const auto batch = cursor.read(most);
      if (!batch) {
        ADD_FAILURE() << batch.error().message();
        return found;
      }
      EXPECT_LE(batch->frames(), most);
      if (lost != nullptr)
        *lost += batch->lost();
      else
        EXPECT_EQ(batch->lost(), 0u);
      if (batch->empty()) return found;
      for (const FrameRun& run : batch->runs())
        for (const Frame* frame : run.frames) found.push_back(frame->sequence);
    }
  }
  Folder folder;
  ManualClock clock;
  DiskOptions options;
  std::unique_ptr<DiskStore> store;
  Feed feed;
};

std::vector<uint64_t> numbers(uint64_t first, uint64_t last) {
  std::vector<uint64_t> all;
  for (uint64_t n = first; n <= last; ++n) all.push_back(n);
  return all;
}

TEST(DiskCursor, ReadsWhatWaitsWhatIsSmallAndWhatIsMergedInOrder) {
  Rig rig;
  HistoryCursor late = rig.store->open_cursor("late").value();
  for (const size_t most : {1u, 7u, 1000u}) {
    HistoryCursor cursor = rig.store->open_cursor("batches-of-" + std::to_string(most)).value();
    const uint64_t first = rig.feed.frame.sequence + 1;
    std::vector<uint64_t> found;
    for (int i = 0; i < 12; ++i) {
      rig.append(17);
      if (i % 3 != 2) rig.flush();
      if (i % 2 == 1) {
        const std::vector<uint64_t> some = rig.drain(cursor, most);
        found.insert(found.end(), some.begin(), some.end());
        EXPECT_TRUE(cursor.commit().ok());
        EXPECT_EQ(cursor.behind(), 0u);
      }
    }
    EXPECT_EQ(found, numbers(first, rig.feed.frame.sequence));
  }
  EXPECT_EQ(late.behind(), rig.feed.frame.sequence);
  EXPECT_EQ(rig.drain(late, 64), numbers(1, rig.feed.frame.sequence));
}

TEST(DiskCursor, BeginsNowOrAtTheOldestAsAsked) {
  Rig rig;
  rig.append(100);
  rig.flush();
  rig.append(5);
  HistoryCursor now = rig.store->open_cursor("now").value();
  HistoryCursor oldest = rig.store->open_cursor("oldest", CursorStart::oldest).value();
  rig.append(3);
  EXPECT_EQ(rig.drain(now, 10), numbers(106, 108));
  EXPECT_EQ(rig.drain(oldest, 10), numbers(1, 108));
}

TEST(DiskCursor, PositionsAreIndependentAndOutliveTheStore) {
  Rig rig;
  {
    HistoryCursor a = rig.store->open_cursor("a").value();
    HistoryCursor b = rig.store->open_cursor("b").value();
    rig.append(30);
    EXPECT_EQ(a.read(20)->frames(), 20u);
    EXPECT_TRUE(a.commit().ok());
    EXPECT_EQ(a.read(5)->frames(), 5u);  // not committed
    EXPECT_EQ(b.read(25)->frames(), 25u);
    EXPECT_TRUE(b.commit().ok());
  }
  rig.store.reset();
  rig.open();
  rig.append(10);
  HistoryCursor a = rig.store->open_cursor("a").value();
  HistoryCursor b = rig.store->open_cursor("b").value();
  EXPECT_EQ(rig.drain(a, 7), numbers(21, 40));
  EXPECT_EQ(rig.drain(b, 7), numbers(26, 40));
  a.rewind();
  EXPECT_EQ(rig.drain(a, 9), numbers(21, 40));  // forgets what was read, in merged chunks too
}

TEST(DiskCursor, ARewoundCursorReadsTheSameAgainOutOfChunks) {
  Rig rig;
  HistoryCursor cursor = rig.store->open_cursor("a").value();
  rig.append(200);
  rig.flush();
  rig.append(70);
  rig.flush();
  EXPECT_EQ(cursor.read(50)->frames(), 50u);
  EXPECT_TRUE(cursor.commit().ok());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(rig.drain(cursor, 37), numbers(51, 270));
    cursor.rewind();
  }
}

TEST(DiskCursor, OutOfRetentionItJumpsAndSaysHowMuch) {
  Rig rig;
  rig.options.keep[0] = 120 * kSecond;
  rig.store.reset();
  rig.open();
  HistoryCursor cursor = rig.store->open_cursor("slow").value();
  for (int i = 0; i < 60; ++i) {
    rig.append(10);
    rig.flush();
  }
  uint64_t lost = 0;
  const std::vector<uint64_t> found = rig.drain(cursor, 50, &lost);
  EXPECT_GT(lost, 300u);
  EXPECT_LE(lost, 600u - 120u);
  EXPECT_EQ(found, numbers(lost + 1, 600));
}

TEST(DiskCursor, SourcesComeInOneBatchEachInItsOrder) {
  Rig rig;
  Feed host("host");
  HistoryCursor cursor = rig.store->open_cursor("a").value();
  for (int i = 0; i < 130; ++i) {
    rig.append(1);
    rig.append(1, host);
    if (i % 10 == 9) rig.flush();
  }
  uint64_t gpu = 0, other = 0;
  for (;;) {
    const FrameBatch batch = cursor.read(40).value();
    if (batch.empty()) break;
    for (const FrameRun& run : batch.runs())
      for (const Frame* frame : run.frames) {
        uint64_t& last = run.source == "host" ? other : gpu;
        EXPECT_EQ(frame->sequence, ++last);
        EXPECT_EQ(frame->values.size(), run.catalog->series.size());
      }
  }
  EXPECT_EQ(gpu, 130u);
  EXPECT_EQ(other, 130u);
}

TEST(DiskCursor, NamesAreCheckedAndOpenOnce) {
  Rig rig;
  HistoryCursor cursor = rig.store->open_cursor("a").value();
  EXPECT_EQ(rig.store->open_cursor("a").error().code(), Code::invalid);
  EXPECT_EQ(rig.store->open_cursor("").error().code(), Code::invalid);
  EXPECT_EQ(rig.store->open_cursor("a b").error().code(), Code::invalid);
  EXPECT_EQ(rig.store->open_cursor(std::string(65, 'x')).error().code(), Code::invalid);
  EXPECT_FALSE(rig.store->remove_cursor("a").ok());
  for (int i = 0; i < 63; ++i) EXPECT_TRUE(rig.store->open_cursor("n" + std::to_string(i)));
  EXPECT_EQ(rig.store->open_cursor("more").error().code(), Code::exhausted);
  EXPECT_TRUE(rig.store->remove_cursor("n7").ok());
  EXPECT_TRUE(rig.store->open_cursor("more"));
  EXPECT_TRUE(rig.store->open_cursor("n8"));  // one that is there
}

TEST(DiskCursor, GoesOnInMemoryWhileTheFileCannotBeOpenedAndOnDiskAfterwards) {
  Rig rig;
  {
    HistoryCursor cursor = rig.store->open_cursor("a").value();
    rig.append(20);
    EXPECT_EQ(rig.drain(cursor, 10), numbers(1, 20));
    EXPECT_TRUE(cursor.commit().ok());
    rig.append(5);  // not read
  }
  rig.store.reset();
  const std::string path = rig.options.path;
  std::filesystem::rename(path, path + ".away");
  std::filesystem::create_directory(path);  // no file can be opened there
  rig.open();
  EXPECT_EQ(rig.store->state().health, DiskHealth::error);
  HistoryCursor cursor = rig.store->open_cursor("a").value();
  rig.append(10);
  EXPECT_FALSE(rig.store->flush().ok());
  EXPECT_EQ(rig.drain(cursor, 10), numbers(26, 35));
  EXPECT_FALSE(cursor.commit().ok());
  std::filesystem::remove(path);
  std::filesystem::rename(path + ".away", path);
  rig.flush();
  EXPECT_EQ(rig.store->state().health, DiskHealth::ok);
  rig.append(3);
  uint64_t lost = 0;
  EXPECT_EQ(rig.drain(cursor, 10, &lost), numbers(36, 38));  // neither again nor left out
  EXPECT_EQ(lost, 5u);                                       // what the old position had still to read
  EXPECT_TRUE(cursor.commit().ok());
}

}  // namespace
}  // namespace accelmon
