#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "pipeline/pipeline_test_support.h"

namespace accelmon::pipeline_test {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Rig one(MetricId metric, std::vector<Attribute> attributes = {}) {
  Rig rig;
  rig.add(metric, std::move(attributes));
  rig.start();
  return rig;
}

Rig temperature() {
  return one(MetricId::temperature, {{AttributeId::sensor_location, "gpu"}});
}
Rig energy() {
  return one(MetricId::energy);
}

TEST(Gate, BoundsAreInclusiveAndNothingBeyondThemPasses) {
  Rig rig = one(MetricId::gpu_memory_utilization);
  EXPECT_EQ(rig.feed(0), State::ok);
  EXPECT_EQ(rig.feed(1), State::ok);
  EXPECT_EQ(rig.out.values[0], 1);
  EXPECT_EQ(rig.feed(std::nextafter(1.0, 2.0)), State::implausible);
  EXPECT_EQ(rig.feed(-1e-9), State::implausible);
  EXPECT_EQ(rig.feed(4294967295.0), State::implausible);
  EXPECT_EQ(rig.feed(0.5), State::ok);
  EXPECT_EQ(rig.implausible(MetricId::gpu_memory_utilization), 3u);
}

TEST(Gate, WhatIsNoNumberIsImplausibleEvenWithoutBounds) {
  Rig rig = one(MetricId::uptime);
  EXPECT_EQ(rig.feed(kNaN), State::implausible);
  EXPECT_EQ(rig.feed(kInfinity), State::implausible);
  EXPECT_EQ(rig.feed(-kInfinity), State::implausible);
  EXPECT_EQ(rig.feed(1e300), State::ok);
  Rig counter = energy();
  EXPECT_EQ(counter.feed(kNaN), State::implausible);
  EXPECT_EQ(counter.feed(kInfinity), State::implausible);
  EXPECT_EQ(counter.feed(7), State::ok);
}

TEST(Gate, AStateIsZeroOrOne) {
  Rig rig = one(MetricId::ecc_enabled, {{AttributeId::which, "current"}});
  EXPECT_EQ(rig.feed(0.5), State::implausible);
  EXPECT_EQ(rig.feed(1), State::ok);
  EXPECT_EQ(rig.feed(0), State::ok);
}

TEST(Gate, AnAbsentSamplePassesWithItsReason) {
  Rig rig = temperature();
  for (const State why : {State::unsupported, State::no_permission, State::not_ready, State::error}) {
    rig.in.absent(0, why);
    rig.poll(1);
    EXPECT_EQ(rig.out.states[0], why);
  }
  EXPECT_TRUE(rig.pipeline.implausible().empty());
}

TEST(Gate, AGlitchOfOneSampleNeverLeaves) {
  Rig rig = temperature();
  EXPECT_EQ(rig.feed(50), State::ok);
  EXPECT_EQ(rig.feed(127), State::implausible);  // 77 degrees in a second; 60 and one step are possible
  EXPECT_EQ(rig.feed(51), State::ok);
  EXPECT_EQ(rig.out.values[0], 51);
  EXPECT_EQ(rig.feed(127), State::implausible);  // the glitch before does not bear this one out
  EXPECT_EQ(rig.feed(51), State::ok);
  EXPECT_EQ(rig.implausible(MetricId::temperature), 2u);
}

TEST(Gate, AJumpIsBelievedWhenTheNextSampleBearsItOut) {
  Rig rig = temperature();
  EXPECT_EQ(rig.feed(20), State::ok);
  EXPECT_EQ(rig.feed(140), State::implausible);
  EXPECT_EQ(rig.feed(139), State::ok);
  EXPECT_EQ(rig.out.values[0], 139);
  EXPECT_EQ(rig.feed(140), State::ok);
}

TEST(Gate, TheRateIsOfRealTime) {
  Rig rig = temperature();
  EXPECT_EQ(rig.feed(20), State::ok);
  EXPECT_EQ(rig.feed(140, 2), State::ok);            // 60 a second is possible
  EXPECT_EQ(rig.feed(20, 1.5), State::implausible);  // 120 in 1.5 s is not
  EXPECT_EQ(rig.feed(81, 1), State::ok);             // and this is near to 140, 2.5 s ago
}

TEST(Gate, AfterAnAbsenceTimeIsCountedFromTheLastGoodSample) {
  Rig rig = temperature();
  EXPECT_EQ(rig.feed(20), State::ok);
  rig.in.absent(0, State::error);
  rig.poll(5);
  EXPECT_EQ(rig.feed(140), State::ok);
}

TEST(Gate, GarbageDoesNotBearAJumpOut) {
  Rig rig = temperature();
  EXPECT_EQ(rig.feed(20), State::ok);
  EXPECT_EQ(rig.feed(140), State::implausible);
  EXPECT_EQ(rig.feed(4e9), State::implausible);
  EXPECT_EQ(rig.feed(20), State::ok);
}

TEST(Gate, ACounterThatGoesBackForOneSampleIsAGlitch) {
  Rig rig = energy();
  EXPECT_EQ(rig.feed(1000), State::ok);
  EXPECT_EQ(rig.feed(0), State::implausible);
  EXPECT_EQ(rig.feed(1200), State::ok);
  EXPECT_EQ(rig.feed(1199.999), State::implausible);
  EXPECT_EQ(rig.feed(1200), State::ok);
}

TEST(Gate, AResetPassesOnePollLater) {
  Rig rig = energy();
  EXPECT_EQ(rig.feed(1000), State::ok);
  EXPECT_EQ(rig.feed(10), State::implausible);
  EXPECT_EQ(rig.feed(20), State::ok);
  EXPECT_EQ(rig.out.values[0], 20);
  EXPECT_EQ(rig.feed(30), State::ok);
  EXPECT_EQ(rig.implausible(MetricId::energy), 1u);
}

TEST(Gate, AResetOfAnIdleCounterPassesToo) {
  Rig rig = one(MetricId::pcie_replays);
  EXPECT_EQ(rig.feed(7), State::ok);
  EXPECT_EQ(rig.feed(0), State::implausible);
  EXPECT_EQ(rig.feed(0), State::ok);
}

TEST(Gate, ACounterThatStaysAtAWildValueRecoversWhenItReturns) {
  Rig rig = energy();
  EXPECT_EQ(rig.feed(1000), State::ok);
  EXPECT_EQ(rig.feed(4.3e6), State::implausible);
  EXPECT_EQ(rig.feed(4.3e6), State::ok);  // it stands by it
  EXPECT_EQ(rig.feed(4.3e6), State::ok);
  EXPECT_EQ(rig.feed(1400), State::implausible);
  EXPECT_EQ(rig.feed(1500), State::ok);
  EXPECT_EQ(rig.feed(1600), State::ok);
}

// What a driver answers that has no number comes again at the next poll, and bears itself out.
TEST(Gate, NoCounterOfErrorsShowsASentinel) {
  for (const MetricId metric : {MetricId::pcie_replays, MetricId::errors, MetricId::errors_lifetime}) {
    Rig rig = one(metric);
    EXPECT_EQ(rig.feed(3), State::ok);
    for (const double sentinel : {4294967295.0, 4294967294.0, 18446744073709551615.0})
      for (int poll = 0; poll < 3; ++poll) EXPECT_EQ(rig.feed(sentinel), State::implausible) << sentinel;
    EXPECT_EQ(rig.feed(4), State::ok);
  }
  // All ones of 64 bits, in bytes, microjoules and nanoseconds.
  for (const auto& [metric, sentinel] : {std::pair{MetricId::gpu_memory_io, 1.8446744073709552e19},
                                         {MetricId::gpu_io, 1.8446744073709552e19},
                                         {MetricId::link_io, 1.8446744073709552e19},
                                         {MetricId::energy, 1.8446744073709552e13},
                                         {MetricId::throttle_time, 1.8446744073709552e10}}) {
    Rig rig = one(metric);
    EXPECT_EQ(rig.feed(3), State::ok);
    for (int poll = 0; poll < 3; ++poll) EXPECT_EQ(rig.feed(sentinel), State::implausible) << info(metric).name;
    EXPECT_EQ(rig.feed(4), State::ok);
  }
}

TEST(Gate, ACounterThatKeepsFallingNeverPasses) {
  Rig rig = energy();
  EXPECT_EQ(rig.feed(1000), State::ok);
  for (double value = 900; value > 0; value -= 100) EXPECT_EQ(rig.feed(value), State::implausible) << value;
  EXPECT_EQ(rig.feed(1000), State::ok);
}

TEST(Gate, ACounterRefreshedOnceASecondMayBePolledTenTimes) {
  Rig rig(PipelineOptions{.interval = 100 * kMillisecond});
  rig.add(MetricId::disk_io_time, {{AttributeId::system_device, "sda"}});
  rig.start();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(rig.feed(i / 10, 0.1), State::ok) << i;
  EXPECT_EQ(rig.feed(14, 0.1), State::implausible);  // five seconds' worth at once
}

TEST(Gate, ASensorPolledTenTimesASecondMayMoveAsFarAsInOne) {
  Rig rig(PipelineOptions{.interval = 100 * kMillisecond});
  rig.add(MetricId::temperature, {{AttributeId::sensor_location, "hotspot"}});
  rig.start();
  EXPECT_EQ(rig.feed(44, 0.1), State::ok);
  EXPECT_EQ(rig.feed(74, 0.1), State::ok);            // work came
  EXPECT_EQ(rig.feed(136, 0.1), State::implausible);  // more than a second can do
  EXPECT_EQ(rig.feed(75, 0.1), State::ok);
}

TEST(Gate, AClockThatStandsStillOrGoesBackStopsNothing) {
  Rig rig = temperature();
  EXPECT_EQ(rig.feed(50), State::ok);
  EXPECT_EQ(rig.feed(51, 0), State::ok);  // within a step
  EXPECT_EQ(rig.feed(60, 0), State::implausible);
  EXPECT_EQ(rig.feed(60, 0), State::ok);
  rig.poll_after(-500 * kSecond);
  EXPECT_EQ(rig.out.states[0], State::ok);
  EXPECT_EQ(rig.feed(62), State::ok);
}

TEST(Gate, TimesFromOutsideDoNotOverflow) {
  Rig rig = temperature();
  rig.in.set(0, 50);
  for (const Nanos time : {std::numeric_limits<Nanos>::max(), std::numeric_limits<Nanos>::min(), Nanos{0}, Nanos{-1},
                           std::numeric_limits<Nanos>::max()}) {
    rig.in.monotonic = time;
    rig.in.read_at = {time, time, time};
    rig.in.fresh = 0xff;
    rig.pipeline.process(rig.in, rig.out);
    rig.in.read_at = {std::numeric_limits<Nanos>::min(), 0, std::numeric_limits<Nanos>::max()};
    rig.pipeline.process(rig.in, rig.out);
  }
  SUCCEED();
}

TEST(Gate, ComparesAcrossACatalogChange) {
  Rig rig = temperature();
  EXPECT_EQ(rig.feed(50), State::ok);
  rig.raw.generation = 2;
  rig.raw.series.insert(rig.raw.series.begin(), Series{MetricId::gpu_memory_usage, 0, Tier::fast, {}});
  rig.start();
  rig.in.set(0, 1e9);
  rig.in.set(1, 140);
  rig.poll(1);
  EXPECT_EQ(rig.out.states[0], State::ok);
  EXPECT_EQ(rig.out.states[1], State::implausible);
}

TEST(Gate, AFrameOfAnotherLayoutIsNotRead) {
  Rig rig = temperature();
  EXPECT_EQ(rig.feed(50), State::ok);
  rig.in.resize(5);
  rig.poll(1);
  EXPECT_EQ(rig.out.values[0], 50);
  EXPECT_EQ(rig.out.values.size(), rig.catalog->series.size());
}

}  // namespace
}  // namespace accelmon::pipeline_test
