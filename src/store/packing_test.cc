#include "store/packing.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>

#ifdef ACCELMON_HAVE_RAPIDCHECK
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#endif

namespace accelmon::store {
namespace {

template <class Float>
using Rows = std::array<Float, kPackedRows>;

template <class Float, class Make>
Rows<Float> rows(Make make) {
  Rows<Float> out;
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<Float>(make(i));
  return out;
}

// Packs, reads back bit by bit, and returns the size; 0: did not fit.
template <class Float>
size_t round_trip(const Rows<Float>& values) {
  Packed bytes;
  bytes.fill(std::byte{0xa5});
  const size_t size = pack(std::span<const Float, kPackedRows>(values), bytes);
  EXPECT_LE(size, kPackedBytes);
  if (size == 0) return 0;
  for (size_t i = size; i < bytes.size(); ++i) EXPECT_EQ(bytes[i], std::byte{0xa5}) << "beyond its size";
  Rows<Float> back;
  unpack(bytes, std::span<Float, kPackedRows>(back));
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i]))
      EXPECT_TRUE(std::isnan(back[i])) << i;
    else
      EXPECT_EQ(std::memcmp(&values[i], &back[i], sizeof(Float)), 0) << i << ": " << values[i] << " " << back[i];
  }
  return size;
}

TEST(Packing, ReadingsTakeTheBytesOfTheirDecimals) {
  // 0.37 to 0.52 of a utilization: 5 header bytes, 16 times 4 bits.
  EXPECT_LE(round_trip(rows<float>([](size_t i) { return 0.37 + 0.01 * static_cast<double>(i * 7 % 16); })), 13u);
  // Degrees.
  EXPECT_LE(round_trip(rows<float>([](size_t i) { return 64 + i % 3; })), 9u);
  // Milliwatts as watts, 50 W apart: 16 bits.
  EXPECT_LE(round_trip(rows<float>([](size_t i) { return 612.345 + 3.117 * static_cast<double>(i); })), 40u);
  // A clock that steps by 15 MHz: the steps, not the hertz.
  EXPECT_LE(round_trip(rows<float>([](size_t i) { return 1.98e9 - 15e6 * static_cast<double>(i % 4); })), 16u);
  // Memory in pages of 2 MiB.
  EXPECT_LE(round_trip(rows<double>([](size_t i) { return 6.5e10 + 2097152.0 * (i * i % 9); })), 20u);
}

TEST(Packing, ACounterIsALineAndWhatItDeviates) {
  // Millijoules as joules: a thousand hours at 600 W, and 600 J a second, give or take 3.
  const auto joules =
      rows<double>([](size_t i) { return (2160000000123.0 + 600000.0 * i + (i * 1237 % 3000)) / 1000; });
  EXPECT_LE(round_trip(joules), 40u);
  const auto times =
      rows<double>([](size_t i) { return (2160000000123.0 + 600000.0 * i + (i * 1237 % 3000)) * 0.001; });
  EXPECT_LE(round_trip(times), 40u) << "multiplied by a thousandth, which is another double";
  // Exactly a line: nothing is left.
  EXPECT_LE(round_trip(rows<double>([](size_t i) { return 1e15 + 4096.0 * i; })), 14u);
}

TEST(Packing, RowsThatAreMissingAreMissing) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_GT(round_trip(rows<float>([&](size_t i) { return i % 5 == 2 ? nan : 20.5F + static_cast<float>(i); })), 0u);
  EXPECT_GT(round_trip(rows<float>([&](size_t i) { return i == 9 ? 7.0F : nan; })), 0u);
  EXPECT_EQ(round_trip(rows<float>([&](size_t) { return nan; })), 0u) << "nothing to pack";
}

TEST(Packing, WhatIsNoDecimalComesBackOrIsLeftAlone) {
  std::mt19937_64 random(7);
  EXPECT_EQ(round_trip(rows<double>([&](size_t) { return std::bit_cast<double>(random() >> 2); })), 0u);
  for (const double value : {0.0, -0.0, 1e300, -1e300, 5e-324, -5e-324, 9007199254740993.0, 4.5e15, -4.5e15}) {
    round_trip(rows<double>([&](size_t i) { return i == 3 ? value : 1.0; }));
    round_trip(rows<double>([&](size_t i) { return i == 3 ? value : -value; }));
  }
  for (const float value : {0.0F, -0.0F, 3e38F, -3e38F, 1e-45F, 16777217.0F}) {
    round_trip(rows<float>([&](size_t i) { return i == 3 ? value : 1.0F; }));
    round_trip(rows<float>([&](size_t i) { return i == 3 ? value : -value; }));
  }
  // Rates: floats of full precision within a factor of two of each other.
  EXPECT_GT(round_trip(rows<float>([](size_t i) { return 1.0F / static_cast<float>(40 + i); })), 0u);
}

TEST(Packing, TwoLargeNumbersAtTheEndAreNoLineThatOverflows) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  round_trip(rows<double>([&](size_t i) { return i < 14 ? nan : i == 14 ? -9e15 : 9e15; }));
  round_trip(rows<double>([&](size_t i) { return i < 14 ? nan : i == 14 ? -1e308 : 1e308; }));
}

#ifdef ACCELMON_HAVE_RAPIDCHECK
template <class Float>
void any_decimals() {
  const auto exponent = *rc::gen::inRange(0, 10);
  const auto spread = *rc::gen::inRange<int64_t>(1, int64_t{1} << *rc::gen::inRange(1, 50));
  const auto base = *rc::gen::inRange<int64_t>(-spread, spread);
  const auto gaps = *rc::gen::arbitrary<uint16_t>();
  Rows<Float> values;
  for (size_t i = 0; i < values.size(); ++i) {
    const auto integer = static_cast<double>(base + *rc::gen::inRange<int64_t>(0, spread));
    values[i] = (gaps >> i & 1) != 0 && (gaps & 3) == 3 ? std::numeric_limits<Float>::quiet_NaN()
                                                        : static_cast<Float>(integer / std::pow(10.0, exponent));
  }
  round_trip(values);
  RC_ASSERT(!::testing::Test::HasFailure());
}
RC_GTEST_PROP(PackingProperty, FloatsComeBack, ()) {
  any_decimals<float>();
}
RC_GTEST_PROP(PackingProperty, DoublesComeBack, ()) {
  any_decimals<double>();
}
#endif

}  // namespace
}  // namespace accelmon::store
