// Between changes of the catalog the store never calls the allocator: counted by replacing operator new for this whole
// test program.
#include <gtest/gtest.h>

#include "base/counted_new_for_test.h"
#include "store/disk_feed_for_test.h"
#include "store/disk_store.h"
#include "store/store.h"

using accelmon::counted_new::allocations;

namespace accelmon {
namespace {

TEST(Allocation, AppendsAllocateNothingWhileTheStoreFillsAndAfterwards) {
  Catalog raw;
  raw.generation = 1;
  for (int i = 0; i < 50; ++i)
    CatalogBuilder(raw).add(i % 3 == 0 ? MetricId::disk_io : MetricId::temperature, -1, Tier::fast,
                            {{AttributeId::sensor_location, std::to_string(i)}});
  const auto catalog = std::make_shared<const Catalog>(raw);
  Store store(96 << 10);
  Frame frame{.wall = 1'700'000'000 * kSecond, .monotonic = kSecond};
  frame.resize(50);
  store.append("nvml", catalog, frame);

  const uint64_t before = allocations.load();
  for (int k = 0; k < 5000; ++k) {
    for (size_t i = 0; i < 50; ++i) frame.set(i, (k * 7 + static_cast<int>(i)) % 100);
    if (k % 9 == 0) frame.absent(4, State::error);
    frame.wall += kSecond;
    frame.monotonic += kSecond;
    store.append("nvml", catalog, frame);
  }
  EXPECT_EQ(allocations.load() - before, 0u);
  EXPECT_LT(store.full_rate_span(), 5000 * kSecond);  // it had to let rows go
}

TEST(Allocation, AppendsToTheDiskAllocateNothingOnceAsManyRowsHaveWaitedAsEverDo) {
  const store_test::Folder folder;
  ManualClock clock(kSecond, store_test::kStart);
  DiskOptions options;
  options.path = folder.file("history.db");
  options.clock = &clock;
  options.own_thread = false;
  const auto store = DiskStore::open(options);
  store_test::Feed feed;
  feed.keep = false;
  uint64_t appends = 0;
  for (int i = 0; i < 300; ++i) {
    const Frame& frame = feed.poll();
    const uint64_t before = allocations.load();
    store->append("nvml", feed.catalog, frame);
    if (i >= 10) appends += allocations.load() - before;
    feed.frame.wall += kSecond;
    clock.advance(kSecond);
    if (i % 10 == 9) (void)store->flush();
  }
  EXPECT_EQ(appends, 0u);
  EXPECT_EQ(store->state().rows_written, 300u);
}

}  // namespace
}  // namespace accelmon
