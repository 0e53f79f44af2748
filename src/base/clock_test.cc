#include "base/clock.h"

#include <gtest/gtest.h>

namespace accelmon {
namespace {

TEST(Ticker, AlignsToWallTimeAndThenKeepsTheGrid) {
  Ticker ticker(kSecond, 500 * kSecond, 1000 * kSecond + 250 * kMillisecond);
  EXPECT_EQ(ticker.deadline(), 500 * kSecond + 750 * kMillisecond);
  EXPECT_EQ(ticker.advance(ticker.deadline() + 3 * kMillisecond), 0u);
  EXPECT_EQ(ticker.deadline(), 501 * kSecond + 750 * kMillisecond);
}

TEST(Ticker, CountsMissedTicksAndDoesNotCatchUp) {
  Ticker ticker(100 * kMillisecond, 0, 0);
  ASSERT_EQ(ticker.deadline(), 100 * kMillisecond);
  // 350 ms late: the deadlines at 200, 300 and 400 ms are gone, the next one is 500 ms.
  EXPECT_EQ(ticker.advance(450 * kMillisecond), 3u);
  EXPECT_EQ(ticker.deadline(), 500 * kMillisecond);
  EXPECT_EQ(ticker.advance(500 * kMillisecond), 0u);
  EXPECT_EQ(ticker.deadline(), 600 * kMillisecond);
}

TEST(Ticker, ADeadlineHitExactlyIsMissed) {
  Ticker ticker(100 * kMillisecond, 0, 0);
  EXPECT_EQ(ticker.advance(200 * kMillisecond), 1u);
  EXPECT_EQ(ticker.deadline(), 300 * kMillisecond);
}

TEST(RealClock, Moves) {
  const Nanos before = real_clock().monotonic();
  EXPECT_GE(real_clock().monotonic(), before);
  EXPECT_GT(real_clock().wall(), 1'600'000'000 * kSecond);
}

}  // namespace
}  // namespace accelmon
