#include "wave.h"

#include <gtest/gtest.h>

#include <cmath>

namespace accelmon::simulator {
namespace {

Term make(Term::Kind kind) {
  Term term;
  term.kind = kind;
  term.low = 10;
  term.high = 90;
  term.period = 7;
  term.phase = 1.3;
  term.duty = 0.3;
  term.start = 20;
  term.end = 45;
  term.seed = 42;
  term.points = {{0, 5}, {12.5, 60}, {30, 15}};
  return term;
}

const Term::Kind kAll[] = {Term::Kind::constant, Term::Kind::sine,  Term::Kind::square, Term::Kind::sawtooth,
                           Term::Kind::ramp,     Term::Kind::steps, Term::Kind::noise};

// The closed forms against sums of small steps: an independent way to the same numbers.
TEST(Wave, IntegralIsTheAreaUnderTheValue) {
  for (const Term::Kind kind : kAll) {
    const Term term = make(kind);
    double area = 0;
    constexpr double kStep = 1e-3;
    for (int i = 0; i < 60000; ++i) area += term.value((i + 0.5) * kStep) * kStep;
    EXPECT_NEAR(term.integral(60), area, 0.2) << static_cast<int>(kind);
    EXPECT_EQ(term.integral(0), 0);
    EXPECT_EQ(term.integral(-5), 0);
  }
}

TEST(Wave, IntegralOfAWholeIsThatOfItsParts) {
  for (const Term::Kind kind : kAll) {
    const Term term = make(kind);
    double parts = 0;
    for (int i = 0; i < 400; ++i) parts += term.integral((i + 1) * 0.25) - term.integral(i * 0.25);
    EXPECT_NEAR(parts, term.integral(100), 1e-8) << static_cast<int>(kind);
  }
}

TEST(Wave, LagFollowsItsDifferentialEquation) {
  constexpr double kTau = 5;
  constexpr double kStep = 1e-3;
  for (const Term::Kind kind : kAll) {
    if (kind == Term::Kind::noise) continue;  // its lag is its mean
    const Term term = make(kind);
    double lagged = term.lagged(0, kTau);
    for (int i = 0; i < 60000; ++i) lagged += (term.value((i + 0.5) * kStep) - lagged) * kStep / kTau;
    EXPECT_NEAR(term.lagged(60, kTau), lagged, 0.05) << static_cast<int>(kind);
  }
}

TEST(Wave, StaysWithinItsBounds) {
  for (const Term::Kind kind : kAll) {
    const Term term = make(kind);
    const auto [low, high] = term.bounds();
    double least = 1e9, most = -1e9;
    for (int i = 0; i < 20000; ++i) {
      const double value = term.value(i * 0.05);
      least = std::min(least, value);
      most = std::max(most, value);
    }
    EXPECT_GE(least, low - 1e-9) << static_cast<int>(kind);
    EXPECT_LE(most, high + 1e-9) << static_cast<int>(kind);
    // And they are no wider than needed.
    EXPECT_LT(least - low, 1) << static_cast<int>(kind);
    EXPECT_LT(high - most, 1) << static_cast<int>(kind);
  }
}

TEST(Wave, NoiseIsTheSameAgainAndAveragesToItsMiddle) {
  const Term term = make(Term::Kind::noise);
  EXPECT_EQ(term.value(1234.5), make(Term::Kind::noise).value(1234.5));
  const double pairs = 2 * term.period;
  const double from = pairs * 10 - term.phase;
  EXPECT_NEAR((term.integral(from + pairs * 1000) - term.integral(from)) / (pairs * 1000), 50, 1e-9);
  Term other = term;
  other.seed = 43;
  EXPECT_NE(term.value(100), other.value(100));
}

TEST(Wave, SumsScalesAndShifts) {
  Wave wave(make(Term::Kind::sine));
  wave.add(3);
  wave.add(wave, 2);  // itself
  const Term sine = make(Term::Kind::sine);
  EXPECT_NEAR(wave.value(4), 3 * (sine.value(4) + 3), 1e-9);
  EXPECT_NEAR(wave.mean(2, 9), (wave.integral(9) - wave.integral(2)) / 7, 1e-9);
  EXPECT_EQ(wave.mean(2, 2), wave.value(2));
  Wave moved(make(Term::Kind::sine));
  moved.shift(2, 0);
  EXPECT_NEAR(moved.value(5), sine.value(7), 1e-9);
  EXPECT_EQ(Wave().value(1), 0);
  EXPECT_EQ(Wave().integral(1), 0);
}

TEST(Wave, KnowsSwitches) {
  Term term = make(Term::Kind::square);
  EXPECT_FALSE(Wave(term).is_switch());
  term.low = 0;
  term.high = 1;
  EXPECT_TRUE(Wave(term).is_switch());
  EXPECT_TRUE(Wave().is_switch());
  EXPECT_TRUE(Wave(1.0).is_switch());
  EXPECT_FALSE(Wave(0.5).is_switch());
  term.kind = Term::Kind::sine;
  EXPECT_FALSE(Wave(term).is_switch());
}

}  // namespace
}  // namespace accelmon::simulator
