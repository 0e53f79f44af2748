// Values as integers and back, bit by bit: what both codings of columns begin with.
//
// A transform says how: the integer that the driver gave, where one power of ten brings back every value, else the bits
// of the value in the order of the numbers. Integers are below 2^53 except for bits. Threads: any.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace accelmon::store {

// 0 the bits; 1 + e: divided by 10^e; 11 + e: multiplied by 10^-e, which is not the same double; 20 + e, 1 to 9:
// multiplied by 10^e, for floats (the one that stands for 1.965 GHz is 1965000064); 30: integers as they are.
inline constexpr uint8_t kBits = 0;
inline constexpr uint8_t kDivide = 1;
inline constexpr uint8_t kMultiply = 11;
inline constexpr uint8_t kRaise = 20;
inline constexpr uint8_t kInteger = 30;
inline constexpr int kExponents = 10;
inline constexpr double kPower[kExponents] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
inline constexpr double kInverse[kExponents] = {1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9};

template <class Float>
using BitsOf = std::conditional_t<sizeof(Float) == 4, int32_t, int64_t>;

// Integers in the order of the numbers.
template <class Float>
int64_t ordered_bits(Float value) {
  using Bits = BitsOf<Float>;
  const auto bits = std::bit_cast<Bits>(value);
  return bits ^ ((bits >> (8 * sizeof(Bits) - 1)) & std::numeric_limits<Bits>::max());
}
template <class Float>
Float from_ordered_bits(int64_t ordered) {
  using Bits = BitsOf<Float>;
  const auto bits = static_cast<Bits>(ordered);
  return std::bit_cast<Float>(
      static_cast<Bits>(bits ^ ((bits >> (8 * sizeof(Bits) - 1)) & std::numeric_limits<Bits>::max())));
}

template <class Float>
Float from_integer(int64_t integer, uint8_t transform) {
  if (transform == kBits) return from_ordered_bits<Float>(integer);
  const auto number = static_cast<double>(integer);
  if (transform >= kDivide && transform < kMultiply) return static_cast<Float>(number / kPower[transform - kDivide]);
  if (transform >= kMultiply && transform < kMultiply + kExponents)
    return static_cast<Float>(number * kInverse[transform - kMultiply]);
  if (transform > kRaise && transform < kRaise + kExponents)
    return static_cast<Float>(number * kPower[transform - kRaise]);
  return static_cast<Float>(number);
}

// The integer that gives exactly this value under the transform, which is not kInteger.
template <class Float>
bool to_integer(Float value, uint8_t transform, int64_t& integer) {
  if (transform == kBits) {
    integer = ordered_bits(value);
    return true;
  }
  const auto number = static_cast<double>(value);
  const double scaled = transform > kRaise ? number / kPower[transform - kRaise]
                                           : number * kPower[transform - (transform < kMultiply ? kDivide : kMultiply)];
  if (!(std::fabs(scaled) < 9007199254740992.0)) return false;
  // To the nearest, without the call that nearbyint() is on processors of no known kind; whether it is the right one is
  // seen below. Above 2^52 there is no half.
  integer = static_cast<int64_t>(std::fabs(scaled) < 4503599627370496.0 ? scaled + std::copysign(0.5, scaled) : scaled);
  using Bits = BitsOf<Float>;
  return std::bit_cast<Bits>(from_integer<Float>(integer, transform)) == std::bit_cast<Bits>(value);
}

}  // namespace accelmon::store
