// Sixteen values of one column in as few bytes as they need: what a closed block of the history in memory keeps.
//
// Readings are decimals of few digits (0.37, 64, 612.345) or multiples of something (15 MHz, 2 MiB). So values become
// integers, by the least power of ten that brings back every one of them bit by bit, else by their own bits; then
// either all are taken relative to the least of them and divided by their greatest common divisor, or they are taken
// relative to a straight line, which counters are near to; and what is left is stored in as many bits as the largest
// needs. NaN stands for a row without a value.
//
//   byte 0     bits 0-4 the transform (integers.h); bit 5: a line; bit 6: rows are missing
//   byte 1     bits of each value
//   2 bytes    which rows have a value, where some are missing
//   varint     the least value, or where the line begins; zigzag
//   varint     the divisor; or the slope of the line, zigzag
//   the rest   the values, lowest bit first
//
// Threads: any. Cost: some 200 ns to pack, 50 to unpack; no allocation.
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace accelmon::store {

inline constexpr size_t kPackedRows = 16;
// A cell less the link to the next.
inline constexpr size_t kPackedBytes = 60;
using Packed = std::array<std::byte, kPackedBytes>;

// How many bytes of `out` were written; 0: there is no value, or they do not fit.
size_t pack(std::span<const float, kPackedRows> values, Packed& out);
size_t pack(std::span<const double, kPackedRows> values, Packed& out);

// `in` begins with what pack() wrote, of the same type.
void unpack(std::span<const std::byte> in, std::span<float, kPackedRows> values);
void unpack(std::span<const std::byte> in, std::span<double, kPackedRows> values);

}  // namespace accelmon::store
