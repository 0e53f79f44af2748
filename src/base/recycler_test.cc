#include "base/recycler.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace accelmon {
namespace {

TEST(Recycler, ReusesWhatCameBack) {
  Recycler<std::vector<int>> recycler;
  std::vector<int>* first = nullptr;
  {
    auto ref = recycler.take();
    ref->assign(100, 7);
    first = ref.get();
    auto copy = ref;
    ref = {};
    EXPECT_EQ(copy->size(), 100u);
    auto other = recycler.take();
    EXPECT_NE(other.get(), first);
  }
  auto a = recycler.take();
  auto b = recycler.take();
  EXPECT_TRUE(a.get() == first || b.get() == first);
}

TEST(Recycler, AReferenceMayOutliveTheRecycler) {
  auto recycler = std::make_unique<Recycler<int>>();
  auto ref = recycler->take();
  *ref = 5;
  recycler.reset();
  EXPECT_EQ(*ref, 5);
}

TEST(Recycler, ManyReadersOneWriter) {
  Recycler<std::vector<int>> recycler;
  std::mutex mutex;
  Recycled<std::vector<int>> latest;
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&] {
      while (!stop) {
        Recycled<std::vector<int>> mine;
        {
          const std::lock_guard lock(mutex);
          mine = latest;
        }
        if (!mine) continue;
        for (int v : *mine) ASSERT_EQ(v, mine->front());
      }
    });
  }
  for (int i = 0; i < 2000; ++i) {
    auto fresh = recycler.take();
    fresh->assign(64, i);
    const std::lock_guard lock(mutex);
    latest = fresh;
  }
  stop = true;
  for (auto& reader : readers) reader.join();
}

}  // namespace
}  // namespace accelmon
