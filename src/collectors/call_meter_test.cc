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

}  // namespace
}  // namespace accelmon
