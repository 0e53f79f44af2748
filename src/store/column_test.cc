#include "store/column.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#ifdef ACCELMON_HAVE_RAPIDCHECK
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#endif

namespace accelmon::store {
namespace {

struct Rows {
  std::vector<double> values;
  std::vector<State> states;
  void add(double value, State state = State::ok) {
    values.push_back(state == State::ok ? value : 0);
    states.push_back(state);
  }
};

std::string written(const Rows& rows, double step = 1) {
  std::string out;
  ColumnEncoder().encode(out, rows.values, rows.states, step);
  return out;
}

// Reads in uneven pieces, and compares bits.
void expect_back(const Rows& rows, const std::string& bytes) {
  ColumnDecoder decoder;
  ASSERT_TRUE(decoder.start(bytes, rows.values.size()));
  Rows back;
  for (size_t piece = 1; back.values.size() < rows.values.size(); piece = piece * 3 + 1) {
    const size_t n = std::min(piece, rows.values.size() - back.values.size());
    const size_t at = back.values.size();
    back.values.resize(at + n);
    back.states.resize(at + n);
    ASSERT_TRUE(decoder.next(std::span(back.values).subspan(at), std::span(back.states).subspan(at)));
  }
  EXPECT_EQ(back.states, rows.states);
  for (size_t i = 0; i < rows.values.size(); ++i)
    ASSERT_EQ(std::bit_cast<uint64_t>(back.values[i]), std::bit_cast<uint64_t>(rows.values[i])) << "row " << i;
  double one = 0;
  State state{};
  EXPECT_FALSE(decoder.next(std::span(&one, 1), std::span(&state, 1)));  // no more
}

TEST(Column, AConstantCostsAFewBytes) {
  Rows rows;
  for (int i = 0; i < 900; ++i) rows.add(700);
  const std::string bytes = written(rows);
  EXPECT_LE(bytes.size(), 4u);
  expect_back(rows, bytes);
}

TEST(Column, WhatTheDriverGaveIsFoundAgainBothWaysOfScaling) {
  std::mt19937 random(1);
  for (const bool multiplied : {false, true}) {
    Rows rows;
    for (int i = 0; i < 900; ++i) {
      const auto milliwatts = static_cast<double>(300'000 + random() % 4096);
      rows.add(multiplied ? milliwatts * 0.001 : milliwatts / 1000.0);
    }
    const std::string bytes = written(rows, 0.001);
    EXPECT_LT(bytes.size(), 900 * 12 / 8 + 60);  // 12 bits of noise each
    expect_back(rows, bytes);
  }
}

TEST(Column, SeldomMovingAndCountingColumnsAreShort) {
  Rows memory, clock, energy, flags;
  std::mt19937 random(2);
  double joules = 123456.789;
  for (int i = 0; i < 900; ++i) {
    memory.add(60e9 + (i / 300) * 2097152.0);
    clock.add(random() % 20 == 0 ? 345e6 : 1980e6);
    joules = std::round((joules + 0.4 + 1e-3 * static_cast<double>(random() % 64)) * 1000) / 1000;
    energy.add(joules);
    flags.add(i / 100 % 2);
  }
  EXPECT_LT(written(memory, 1).size(), 40u);
  EXPECT_LT(written(clock, 1e6).size(), 70u);
  EXPECT_LT(written(energy, 0.001).size(), 900u);
  EXPECT_LT(written(flags, 1).size(), 30u);
  for (const Rows* rows : {&memory, &clock, &energy, &flags}) expect_back(*rows, written(*rows, 0.001));
}

TEST(Column, AbsenceIsAStateAndItsValueIsNotKept) {
  Rows rows;
  for (int i = 0; i < 300; ++i) rows.add(i, i % 50 < 40 ? State::ok : State::stale);
  expect_back(rows, written(rows));
  Rows none;
  for (int i = 0; i < 300; ++i) none.add(0, State::no_permission);
  EXPECT_LE(written(none).size(), 2u);
  expect_back(none, written(none));
  Rows changes;
  for (int i = 0; i < 20; ++i) changes.add(0, i < 10 ? State::error : State::not_ready);
  expect_back(changes, written(changes));
}

TEST(Column, EveryDoubleComesBackBitForBit) {
  Rows odd;
  for (const double value : {0.0, -0.0, 1e308, -1e308, 5e-324, std::numeric_limits<double>::infinity(),
                             -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN(), 0.1,
                             1.0 / 3, 9007199254740993.0, -9007199254740992.0, 1e-9, 123456789.123456789})
    odd.add(value);
  expect_back(odd, written(odd));
  for (const double value : odd.values) {
    Rows one;
    one.add(value);
    expect_back(one, written(one));
  }
}

TEST(Column, IntegersComeBackWhateverTheyAre) {
  std::vector<int64_t> values{INT64_MIN, INT64_MAX, 0, -1, 1, INT64_MIN, 1'700'000'000'000'000'000};
  std::string bytes;
  ColumnEncoder().encode(bytes, values);
  ColumnDecoder decoder;
  ASSERT_TRUE(decoder.start(bytes, values.size()));
  std::vector<int64_t> back(values.size());
  ASSERT_TRUE(decoder.next(std::span<int64_t>(back)));
  EXPECT_EQ(back, values);
}

TEST(Column, BrokenBytesAreRefusedOrGiveSomethingWithinBounds) {
  std::mt19937 random(3);
  Rows rows;
  for (int i = 0; i < 200; ++i) rows.add(static_cast<double>(random() % 1000), i % 90 == 3 ? State::error : State::ok);
  const std::string whole = written(rows);
  std::vector<double> values(200);
  std::vector<State> states(200);
  for (int k = 0; k < 3000; ++k) {
    std::string bytes = whole;
    for (unsigned flips = random() % 4; flips-- > 0;)
      bytes[random() % bytes.size()] ^= static_cast<char>(1u << random() % 8);
    if (random() % 3 == 0) bytes.resize(random() % bytes.size());
    ColumnDecoder decoder;
    if (!decoder.start(bytes, 200)) continue;
    if (!decoder.next(values, states)) continue;
    for (const State state : states) ASSERT_LT(static_cast<size_t>(state), kStates);
  }
}

#ifdef ACCELMON_HAVE_RAPIDCHECK
RC_GTEST_PROP(ColumnProperty, WhatIsReadIsWhatWasWritten, ()) {
  const auto kind = *rc::gen::inRange(0, 5);
  const auto raw = *rc::gen::container<std::vector<int64_t>>(rc::gen::arbitrary<int64_t>());
  Rows rows;
  double walk = 0;
  for (const int64_t number : raw) {
    const State state = number % 11 == 0 ? static_cast<State>(static_cast<uint64_t>(number) % kStates) : State::ok;
    walk += static_cast<double>(number % 100) * 0.01;
    switch (kind) {
      case 0:
        rows.add(std::bit_cast<double>(number), state);
        break;
      case 1:
        rows.add(static_cast<double>(number % 1000), state);
        break;
      case 2:
        rows.add(static_cast<double>(number % 1000) * 0.001, state);
        break;
      case 3:
        rows.add(walk, state);
        break;
      default:
        rows.add(static_cast<double>(number % 3), state);
    }
  }
  RC_PRE(!rows.values.empty());
  ColumnDecoder decoder;
  const std::string bytes = written(rows, 0.001);
  RC_ASSERT(decoder.start(bytes, rows.values.size()));
  std::vector<double> values(rows.values.size());
  std::vector<State> states(rows.values.size());
  RC_ASSERT(decoder.next(values, states));
  RC_ASSERT(states == rows.states);
  for (size_t i = 0; i < values.size(); ++i)
    RC_ASSERT(std::bit_cast<uint64_t>(values[i]) == std::bit_cast<uint64_t>(rows.values[i]));
}
#endif

}  // namespace
}  // namespace accelmon::store
