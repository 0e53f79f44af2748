#include "collectors/level_zero/ze_meters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace accelmon::level_zero {
namespace {

TEST(ActivityMeter, SharesOfTime) {
  ActivityMeter meter;
  EXPECT_EQ(meter.read(100, 1000, kSecond).state, State::not_ready);
  const Cell half = meter.read(600, 2000, 2 * kSecond);
  EXPECT_EQ(half.state, State::ok);
  EXPECT_EQ(half.value, 0.5);
  // Whatever the unit of time is.
  EXPECT_EQ(meter.read(600 + 19'200'000 / 4, 2000 + 19'200'000, 3 * kSecond).value, 0.25);
}

TEST(ActivityMeter, NeverDividesByNothing) {
  ActivityMeter meter;
  EXPECT_EQ(meter.read(5, 7, 0).state, State::not_ready);
  EXPECT_EQ(meter.read(5, 7, kSecond).state, State::not_ready);
  meter.read(8, 17, 2 * kSecond);
  // The last answer for a while, then none.
  EXPECT_EQ(meter.read(8, 17, 3 * kSecond).value, 0.3);
  EXPECT_EQ(meter.read(8, 17, 5 * kSecond + 1).state, State::not_ready);
  EXPECT_EQ(meter.read(18, 27, 6 * kSecond).value, 1.0);
  // As long as its reader says: ten times a second it is a shorter while.
  EXPECT_EQ(meter.read(18, 27, 6 * kSecond + 300 * kMillisecond, 300 * kMillisecond).value, 1.0);
  EXPECT_EQ(meter.read(18, 27, 6 * kSecond + 400 * kMillisecond, 300 * kMillisecond).state, State::not_ready);
}

TEST(ActivityMeter, WhatRunsBackwardsBeginsAnew) {
  ActivityMeter meter;
  meter.read(1000, 1000, 0);
  EXPECT_EQ(meter.read(10, 2000, kSecond).state, State::not_ready);
  EXPECT_EQ(meter.read(20, 2100, 2 * kSecond).value, 0.1);
  EXPECT_EQ(meter.read(30, 50, 3 * kSecond).state, State::not_ready);
  EXPECT_EQ(meter.read(35, 60, 4 * kSecond).value, 0.5);
}

TEST(ActivityMeter, MoreThanAllIsImplausible) {
  ActivityMeter meter;
  meter.read(0, 0, 0);
  EXPECT_EQ(meter.read(102, 100, kSecond).value, 1.0);
  EXPECT_EQ(meter.read(1102, 200, 2 * kSecond).state, State::implausible);
  EXPECT_EQ(meter.read(~0ull, 300, 3 * kSecond).state, State::implausible);
}

TEST(RateMeter, BytesPerSecond) {
  RateMeter meter;
  EXPECT_EQ(meter.read(1000, 0, 0).state, State::not_ready);
  EXPECT_EQ(meter.read(3000, 500'000, kSecond).value, 4000);
  EXPECT_EQ(meter.read(100, 600'000, 2 * kSecond).state, State::not_ready);
}

// A board read once a second: what its counter shows at each second.
struct Board {
  explicit Board(double most = EnergyMeter::kMostWatts) : meter(most) {}
  void second(double joules) {
    ++seconds;
    meter.read(static_cast<uint64_t>(std::llround(joules * 1e6)), static_cast<uint64_t>(seconds) * 1'000'000,
               seconds * kSecond);
    powers.push_back(meter.power().state == State::ok ? meter.power().value : -1);
    energies.push_back(meter.energy().value);
  }
  double highest() const { return *std::max_element(powers.begin(), powers.end()); }
  bool rises() const { return std::is_sorted(energies.begin(), energies.end()); }

  EnergyMeter meter;
  int64_t seconds = 0;
  std::vector<double> powers, energies;
};

TEST(EnergyMeter, WattsAndJoules) {
  Board run;
  run.second(1000.25);
  EXPECT_EQ(run.meter.power().state, State::not_ready);
  EXPECT_EQ(run.meter.energy().value, 1000.25);
  run.second(1190.25);
  EXPECT_NEAR(run.meter.power().value, 190, 1e-9);
  EXPECT_NEAR(run.meter.energy().value, 1190.25, 1e-9);
}

TEST(EnergyMeter, LosesNothingWhereTheCounterBeginsAgain) {
  constexpr double kModulus = 262144;
  Board run;
  double joules = kModulus - 1000.5;
  const double began = joules;
  for (int i = 0; i < 20; ++i, joules += 190) run.second(std::fmod(joules, kModulus));
  for (size_t i = 1; i < run.powers.size(); ++i) EXPECT_NEAR(run.powers[i], 190, 1e-3) << i;
  EXPECT_TRUE(run.rises());
  EXPECT_NEAR(run.energies.back(), began + 19 * 190, 1e-3);
}

TEST(EnergyMeter, AGlitchToNearZeroIsNoSample) {
  for (const int length : {1, 2, 3}) {
    Board run;
    double joules = 150'000.5;
    for (int i = 0; i < 20; ++i, joules += 60) run.second(i >= 8 && i < 8 + length ? 200.25 : joules);
    EXPECT_LT(run.highest(), 100) << length;
    EXPECT_TRUE(run.rises());
    EXPECT_NEAR(run.energies.back(), 150'000.5 + 19 * 60, 1e-3);
    EXPECT_EQ(run.powers[8], -1);
    EXPECT_NEAR(run.powers.back(), 60, 1e-3);
  }
}

TEST(EnergyMeter, AGlitchBelowNothingIsNoSample) {
  Board run;
  for (int i = 0; i < 6; ++i) run.second(500.5 + 60 * i);
  // An unsigned number that fell below 0.
  run.meter.read(~0ull - 5000, 7'000'000, 7 * kSecond);
  EXPECT_EQ(run.meter.power().state, State::implausible);
  run.seconds = 7;
  for (int i = 7; i < 10; ++i) run.second(500.5 + 60 * i);
  EXPECT_NEAR(run.meter.power().value, 60, 1e-3);
  EXPECT_LT(run.highest(), 100);
}

TEST(EnergyMeter, AResetGoesOnFromThere) {
  Board run;
  for (int i = 0; i < 5; ++i) run.second(90'000.5 + 100 * i);
  for (int i = 0; i < 5; ++i) run.second(3.25 + 100 * i);
  EXPECT_LT(run.highest(), 101);
  EXPECT_NEAR(run.powers.back(), 100, 1e-3);
  EXPECT_TRUE(run.rises());
  EXPECT_GT(run.energies.back(), 90'000.5 + 400 + 300);
}

TEST(EnergyMeter, BelowTheLastTenthAFallIsNoWrap) {
  Board run(600);
  run.second(200'000.5);
  run.second(10.5);
  EXPECT_EQ(run.powers.back(), -1);
  // Past the modulus the counter is a wider one.
  Board wide(5000);
  wide.second(263'000.5);
  wide.second(900.5);
  EXPECT_EQ(wide.powers.back(), -1);
}

TEST(EnergyMeter, WholeJoulesAreReadOverWholeSeconds) {
  EnergyMeter meter;
  meter.read(1'000'000, 1'000'000, kSecond);
  meter.read(2'000'000, 1'100'000, kSecond + 100 * kMillisecond);
  EXPECT_EQ(meter.power().state, State::not_ready);
  meter.read(11'000'000, 2'000'000, 2 * kSecond);
  EXPECT_NEAR(meter.power().value, 10, 1e-9);
}

TEST(EnergyMeter, AStoppedCounterIsRepeatedForAWhile) {
  EnergyMeter meter;
  meter.read(1'500, 1'000'000, kSecond);
  meter.read(50'001'500, 2'000'000, 2 * kSecond);
  meter.read(50'001'500, 2'000'000, 3 * kSecond);
  EXPECT_NEAR(meter.power().value, 50, 1e-9);
  meter.read(50'001'500, 2'000'000, 3 * kSecond, 500 * kMillisecond);
  EXPECT_EQ(meter.power().state, State::not_ready);
  meter.read(100'001'500, 3'000'000, 4 * kSecond);
  EXPECT_EQ(meter.power().state, State::ok);
  meter.read(100'001'500, 3'000'000, 8 * kSecond);
  EXPECT_EQ(meter.power().state, State::not_ready);
  EXPECT_EQ(meter.energy().state, State::ok);
}

}  // namespace
}  // namespace accelmon::level_zero
