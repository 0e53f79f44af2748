#include "collectors/call_meter.h"

#include <gtest/gtest.h>

namespace accelmon {
namespace {

TEST(CallMeter, TimesCallsAndNamesTheOneUnderWay) {
  ManualClock clock;
  Heartbeat heartbeat;
  CallMeter meter(clock, &heartbeat);
  const CallId power = meter.add("nvmlDeviceGetPowerUsage");
  EXPECT_EQ(meter.add("nvmlDeviceGetPowerUsage"), power);
  EXPECT_EQ(heartbeat.current_call(), "");
  const int result = meter.measure(power, [&] {
    EXPECT_EQ(heartbeat.current_call(), "nvmlDeviceGetPowerUsage");
    EXPECT_EQ(heartbeat.call_began.load(), clock.monotonic());
    clock.advance(3 * kMillisecond);
    return 7;
  });
  EXPECT_EQ(result, 7);
  EXPECT_EQ(heartbeat.current_call(), "");
  meter.measure(power, [&] { clock.advance(kMillisecond); });
  EXPECT_EQ(meter.calls()[power].calls, 2u);
  EXPECT_EQ(meter.calls()[power].time, 4 * kMillisecond);
  EXPECT_EQ(meter.calls()[power].longest, 3 * kMillisecond);
}

TEST(CallMeter, ErrorsAreBounded) {
  CallMeter meter(real_clock());
  for (int i = 0; i < 1000; ++i) meter.count_error("E" + std::to_string(i));
  EXPECT_LE(meter.errors().size(), 65u);
  EXPECT_EQ(meter.errors().at("other"), 936u);
}

TEST(CallMeter, LongNamesAreCut) {
  CallMeter meter(real_clock());
  const CallId id = meter.add(std::string(200, 'x'));
  EXPECT_EQ(meter.calls()[id].name.size(), 63u);
}

constexpr std::array<Nanos, kTiers> kIntervals{kSecond, 10 * kSecond, 60 * kSecond};

// A poll in which the call takes so long. Whether a place changed.
bool poll(CallMeter& meter, ManualClock& clock, CallId id, Nanos takes) {
  meter.measure(id, [&] { clock.advance(takes); });
  return meter.close_poll(kIntervals);
}

TEST(CallMeter, ACallThatCostsMoreThanItsBudgetMovesToASlowerTierAndSaysSo) {
  ManualClock clock;
  CallMeter meter(clock);
  const CallId dear = meter.add("dear");
  const CallId cheap = meter.add("cheap");
  EXPECT_EQ(meter.place(dear, Tier::fast), Tier::fast);
  EXPECT_EQ(meter.place(cheap, Tier::fast), Tier::fast);
  EXPECT_FALSE(poll(meter, clock, dear, 150 * kMillisecond));
  EXPECT_FALSE(poll(meter, clock, dear, 150 * kMillisecond));
  EXPECT_FALSE(poll(meter, clock, dear, 50 * kMillisecond)) << "twice is a hiccup";
  EXPECT_FALSE(poll(meter, clock, dear, 150 * kMillisecond));
  EXPECT_FALSE(poll(meter, clock, dear, 150 * kMillisecond));
  EXPECT_TRUE(poll(meter, clock, dear, 150 * kMillisecond));
  EXPECT_EQ(meter.places(), 1u);
  EXPECT_EQ(meter.place(dear, Tier::fast), Tier::slow);
  EXPECT_EQ(meter.place(cheap, Tier::fast), Tier::fast);
  const auto moved = meter.moved(kIntervals);
  ASSERT_EQ(moved.size(), 1u);
  EXPECT_EQ(moved[0].first, "dear");
  EXPECT_EQ(moved[0].second, "takes 150 ms a poll: read every 10 s, not every 1 s");
  // In the slow tier it is judged by that tier's interval, and has nowhere to go beyond the rare one.
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(poll(meter, clock, dear, 2 * kSecond));
  EXPECT_TRUE(poll(meter, clock, dear, 2 * kSecond));
  EXPECT_EQ(meter.place(dear, Tier::fast), Tier::rare);
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(poll(meter, clock, dear, 20 * kSecond));
}

TEST(CallMeter, ACallThatGotCheapAgainReturnsAfterAProbationThatGrows) {
  ManualClock clock;
  CallMeter meter(clock);
  const CallId call = meter.add("call");
  meter.place(call, Tier::fast);
  int waits[2]{};
  for (int& wait : waits) {
    for (int i = 0; i < 3; ++i) poll(meter, clock, call, 200 * kMillisecond);
    ASSERT_EQ(meter.place(call, Tier::fast), Tier::slow);
    while (!poll(meter, clock, call, kMillisecond)) ++wait;
    EXPECT_EQ(meter.place(call, Tier::fast), Tier::fast);
  }
  EXPECT_GT(waits[0], 50);
  EXPECT_GT(waits[1], waits[0]);
}

TEST(CallMeter, DiscoveryAndCallsOfSlowerTiersAreNoPolls) {
  ManualClock clock;
  CallMeter meter(clock);
  const CallId call = meter.add("call");
  const CallId list = meter.add("list");
  meter.place(call, Tier::fast);
  meter.place(list, Tier::slow);
  for (int i = 0; i < 5; ++i) {
    meter.measure(call, [&] { clock.advance(5 * kSecond); });
    meter.skip_poll();
    EXPECT_FALSE(poll(meter, clock, list, 300 * kMillisecond)) << "within the slow tier's budget";
  }
  EXPECT_EQ(meter.place(call, Tier::fast), Tier::fast);
  EXPECT_EQ(meter.place(list, Tier::slow), Tier::slow);
}

}  // namespace
}  // namespace accelmon
