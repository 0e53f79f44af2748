#include "pipeline/window.h"

#include <gtest/gtest.h>

#include "pipeline/pipeline_test_support.h"

namespace accelmon::pipeline_test {
namespace {

double stat(const Rig& rig, MetricId metric, const char* which) {
  return rig.value(metric, {{AttributeId::stat, which}});
}

Rig power(Nanos interval = kSecond, Nanos window = 60 * kSecond) {
  Rig rig(PipelineOptions{.interval = interval, .window = window});
  rig.add(MetricId::power, board("instant"));
  rig.start();
  return rig;
}

TEST(Window, FourStatisticsOfOneSecondSamplesAreExact) {
  Rig rig = power();
  for (int i = 1; i <= 100; ++i) rig.feed(i);  // the window holds 41 to 100
  EXPECT_EQ(stat(rig, MetricId::power_window, "min"), 41);
  EXPECT_EQ(stat(rig, MetricId::power_window, "max"), 100);
  EXPECT_DOUBLE_EQ(stat(rig, MetricId::power_window, "mean"), 70.5);
  EXPECT_EQ(stat(rig, MetricId::power_window, "p95"), 97);  // the 57th of 60
}

TEST(Window, OneSampleIsAllFour) {
  Rig rig = power();
  rig.feed(123.456);
  for (const char* which : {"min", "mean", "max", "p95"})
    EXPECT_EQ(stat(rig, MetricId::power_window, which), 123.456) << which;
}

TEST(Window, TheMeanIsWeightedByTime) {
  Rig rig = power();
  rig.feed(100);     // one interval: 1 s
  rig.feed(200, 3);  // 3 s
  EXPECT_DOUBLE_EQ(stat(rig, MetricId::power_window, "mean"), 175);
  rig.feed(1000, 4);  // a gap: one interval again
  EXPECT_DOUBLE_EQ(stat(rig, MetricId::power_window, "mean"), 340);
}

TEST(Window, AConstantIsItself) {
  Rig rig = power();
  for (int i = 0; i < 200; ++i) {
    rig.feed(0.1 + 0.2, 0.9 + 0.01 * (i % 20));
    EXPECT_EQ(stat(rig, MetricId::power_window, "mean"), 0.1 + 0.2);
  }
}

TEST(Window, AbsentSamplesDoNotCountAndAnEmptyWindowIsNotReady) {
  Rig rig = power();
  rig.feed(100);
  rig.in.absent(0, State::error);
  for (int i = 0; i < 59; ++i) rig.poll(1);
  EXPECT_EQ(stat(rig, MetricId::power_window, "mean"), 100);
  rig.poll(1);  // a minute old: out of the half-open window
  EXPECT_EQ(rig.state(MetricId::power_window), State::not_ready);
  rig.feed(50);
  EXPECT_EQ(stat(rig, MetricId::power_window, "max"), 50);
}

TEST(Window, FastPollingLosesNoExtremeAndIsEvaluatedOnceASecond) {
  Rig rig = power(100 * kMillisecond);
  int changes = 0;
  double last = -1;
  for (int i = 0; i < 600; ++i) {
    rig.feed(i == 300 ? 4000 : i == 301 ? 1 : 500, 0.1);
    const double most = stat(rig, MetricId::power_window, "max");
    changes += most != last;
    last = most;
  }
  EXPECT_EQ(stat(rig, MetricId::power_window, "max"), 4000);
  EXPECT_EQ(stat(rig, MetricId::power_window, "min"), 1);
  EXPECT_EQ(changes, 2);
  EXPECT_NEAR(stat(rig, MetricId::power_window, "mean"), (598 * 500 + 4001) / 600.0, 3);
  for (int i = 0; i < 330; ++i) rig.feed(500, 0.1);  // both are older than a minute, a slot and an evaluation
  EXPECT_EQ(stat(rig, MetricId::power_window, "max"), 500);
  EXPECT_EQ(stat(rig, MetricId::power_window, "min"), 500);
}

TEST(Window, BetweenEvaluationsTheLastResultStands) {
  Rig rig = power(100 * kMillisecond);
  rig.feed(100);
  for (int i = 0; i < 9; ++i) {
    rig.feed(900, 0.1);
    EXPECT_EQ(stat(rig, MetricId::power_window, "max"), 100) << i;
  }
  rig.feed(900, 0.1);
  EXPECT_EQ(stat(rig, MetricId::power_window, "max"), 900);
}

TEST(Window, PollsFarFasterThanConfiguredStayWithinTheSlots) {
  Rig rig = power();  // configured for 1 s
  for (int i = 0; i < 10000; ++i) rig.feed(i % 1000, 0.01);
  EXPECT_EQ(stat(rig, MetricId::power_window, "min"), 0);
  EXPECT_EQ(stat(rig, MetricId::power_window, "max"), 999);
  EXPECT_NEAR(stat(rig, MetricId::power_window, "mean"), 499.5, 10);
}

TEST(Window, KeepsItsSamplesOverAChangeOfTheCatalog) {
  Rig rig = power();
  for (int i = 1; i <= 10; ++i) rig.feed(i);
  rig.raw.series.insert(rig.raw.series.begin(), Series{MetricId::temperature, 0, Tier::fast, {}});
  rig.raw.generation = 2;
  rig.start();
  rig.in.set(0, 40);
  rig.in.set(1, 11);
  rig.poll(1);
  EXPECT_EQ(stat(rig, MetricId::power_window, "min"), 1);
  EXPECT_DOUBLE_EQ(stat(rig, MetricId::power_window, "mean"), 6);
  EXPECT_EQ(stat(rig, MetricId::temperature_window, "min"), 40);
}

TEST(Window, AClockThatStandsStillOrGoesBackBeginsAnew) {
  Rig rig = power();
  rig.feed(100);
  rig.feed(200, 0);
  EXPECT_EQ(stat(rig, MetricId::power_window, "max"), 100);  // no time for it to stand for
  rig.in.set(0, 300);
  rig.poll_after(-1000 * kSecond);
  EXPECT_EQ(stat(rig, MetricId::power_window, "max"), 300);
  EXPECT_EQ(stat(rig, MetricId::power_window, "min"), 300);
  rig.feed(400);
  EXPECT_EQ(stat(rig, MetricId::power_window, "mean"), 350);
}

TEST(Window, SlowTiersAndShortWindowsWork) {
  Rig rig(PipelineOptions{.interval = kSecond, .window = 500 * kMillisecond});
  rig.add(MetricId::power, board("instant"));
  rig.add(MetricId::temperature, {}, Tier::rare);
  rig.start();
  rig.in.set(0, 100);
  rig.in.set(1, 40);
  rig.poll(1);
  rig.in.set(0, 200);
  rig.poll(1, kFast);
  EXPECT_EQ(stat(rig, MetricId::power_window, "mean"), 200);
  EXPECT_EQ(stat(rig, MetricId::temperature_window, "mean"), 40);
}

}  // namespace
}  // namespace accelmon::pipeline_test
