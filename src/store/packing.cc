#include "store/packing.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string_view>

#include "store/integers.h"
#include "store/varint.h"

namespace accelmon::store {
namespace {

enum : uint8_t { kTransform = 0x1f, kLine = 0x20, kMissing = 0x40 };

// The values that there are, as integers, and the rows that they stand in.
struct Rows {
  std::array<int64_t, kPackedRows> integers;
  std::array<uint8_t, kPackedRows> at;
  size_t count = 0;
  uint8_t transform = kBits;
  uint16_t present = 0;
};

// What is stored of them: each is base + factor * stored, or base + factor * row + stored.
struct Form {
  bool line = false;
  int64_t base = 0;
  int64_t factor = 1;
  std::array<uint64_t, kPackedRows> stored;
  int width = 0;
};

template <class Float>
bool fits(std::span<const Float, kPackedRows> values, uint8_t transform, Rows& rows) {
  for (size_t i = 0; i < rows.count; ++i)
    if (!to_integer(values[rows.at[i]], transform, rows.integers[i])) return false;
  rows.transform = transform;
  return true;
}

template <class Float>
void to_integers(std::span<const Float, kPackedRows> values, Rows& rows) {
  if (sizeof(Float) == 4 && std::fabs(values[rows.at[0]]) > 16777216)  // every integer from here on fits as it is
    for (int exponent = kExponents - 1; exponent > 0; --exponent)
      if (fits(values, static_cast<uint8_t>(kRaise + exponent), rows)) return;
  for (int exponent = 0; exponent < kExponents; ++exponent) {
    if (fits(values, static_cast<uint8_t>(kDivide + exponent), rows)) return;
    // A float is so coarse that both give the same.
    if (sizeof(Float) == 8 && exponent > 0 && fits(values, static_cast<uint8_t>(kMultiply + exponent), rows)) return;
  }
  fits(values, kBits, rows);
}

int bits_of(uint64_t largest) {
  return static_cast<int>(std::bit_width(largest));
}

// Above the least of them, in units of their greatest common divisor.
Form above_least(const Rows& rows) {
  Form form;
  form.base = *std::min_element(rows.integers.begin(), rows.integers.begin() + rows.count);
  uint64_t divisor = 0;
  for (size_t i = 0; i < rows.count; ++i) {
    form.stored[i] = static_cast<uint64_t>(rows.integers[i]) - static_cast<uint64_t>(form.base);
    if (divisor != 1 && (divisor == 0 || form.stored[i] % divisor != 0)) divisor = std::gcd(divisor, form.stored[i]);
  }
  uint64_t largest = 0;
  for (size_t i = 0; i < rows.count; ++i) {
    if (divisor > 1) form.stored[i] /= divisor;
    largest = std::max(largest, form.stored[i]);
  }
  form.factor = static_cast<int64_t>(std::max<uint64_t>(divisor, 1));
  form.width = bits_of(largest);
  return form;
}

// Above a line as steep as from the first to the last. Where the integers are so large that this might overflow there
// is none (width 64).
Form above_line(const Rows& rows) {
  Form form;
  form.line = true;
  form.width = 64;
  constexpr int64_t kLargest = int64_t{1} << 57;
  const size_t last = rows.count - 1;
  for (size_t i = 0; i < rows.count; ++i)
    if (rows.integers[i] >= kLargest || rows.integers[i] <= -kLargest) return form;
  if (last == 0) return form;
  form.factor = (rows.integers[last] - rows.integers[0]) / (rows.at[last] - rows.at[0]);
  const auto above = [&](size_t i) { return rows.integers[i] - form.factor * rows.at[i]; };
  form.base = above(0);
  for (size_t i = 1; i < rows.count; ++i) form.base = std::min(form.base, above(i));
  uint64_t largest = 0;
  for (size_t i = 0; i < rows.count; ++i) {
    form.stored[i] = static_cast<uint64_t>(above(i)) - static_cast<uint64_t>(form.base);
    largest = std::max(largest, form.stored[i]);
  }
  form.width = bits_of(largest);
  return form;
}

// Bytes one after the other; what lies beyond the room is counted and not written.
struct Writer {
  Packed& out;
  size_t size = 0;
  void push_back(char byte) {
    if (size < out.size()) out[size] = static_cast<std::byte>(byte);
    ++size;
  }
  void byte(uint64_t value) { push_back(static_cast<char>(value & 0xff)); }
};

size_t write(const Rows& rows, const Form& form, Packed& out) {
  Writer to{out};
  const bool missing = rows.count != kPackedRows;
  to.byte(rows.transform | (form.line ? kLine : 0) | (missing ? kMissing : 0));
  to.byte(static_cast<uint64_t>(form.width));
  if (missing) {
    to.byte(rows.present);
    to.byte(rows.present >> 8);
  }
  put_varint(to, zigzag(form.base));
  put_varint(to, form.line ? zigzag(form.factor) : static_cast<uint64_t>(form.factor));
  const auto width = static_cast<size_t>(form.width);
  if (to.size + (rows.count * width + 7) / 8 > out.size()) return 0;
  uint64_t waiting = 0;  // fewer than 8 bits, and a half of a value
  size_t bits = 0;
  const auto put = [&](uint64_t value, size_t count) {
    waiting |= value << bits;
    for (bits += count; bits >= 8; bits -= 8) {
      to.byte(waiting);
      waiting >>= 8;
    }
  };
  for (size_t i = 0; i < rows.count; ++i) {
    const uint64_t value = form.stored[i];
    put(value & 0xffffffffu, std::min<size_t>(width, 32));
    if (width > 32) put(value >> 32, width - 32);
  }
  if (bits > 0) to.byte(waiting);
  return to.size;
}

template <class Float>
size_t pack_values(std::span<const Float, kPackedRows> values, Packed& out) {
  Rows rows;
  for (size_t row = 0; row < kPackedRows; ++row) {
    if (std::isnan(values[row])) continue;
    rows.at[rows.count++] = static_cast<uint8_t>(row);
    rows.present = static_cast<uint16_t>(rows.present | 1u << row);
  }
  if (rows.count == 0) return 0;
  to_integers(values, rows);
  const Form least = above_least(rows);
  const Form line = above_line(rows);
  return write(rows, line.width < least.width ? line : least, out);
}

template <class Float>
void unpack_values(std::span<const std::byte> packed, std::span<Float, kPackedRows> values) {
  std::string_view in(reinterpret_cast<const char*>(packed.data()), packed.size());
  const auto next = [&in] {
    const auto byte = static_cast<uint8_t>(in.front());
    in.remove_prefix(1);
    return byte;
  };
  const uint8_t head = next();
  const size_t width = next();
  uint32_t present = 0xffffu;
  if ((head & kMissing) != 0) {
    present = next();
    present |= uint32_t{next()} << 8;
  }
  uint64_t least = 0;
  uint64_t coded = 0;
  get_varint(in, least);
  get_varint(in, coded);
  const auto base = static_cast<uint64_t>(unzigzag(least));
  const bool line = (head & kLine) != 0;
  const uint64_t factor = line ? static_cast<uint64_t>(unzigzag(coded)) : coded;
  size_t bit = 0;
  for (size_t row = 0; row < kPackedRows; ++row) {
    if ((present >> row & 1u) == 0) {
      values[row] = std::numeric_limits<Float>::quiet_NaN();
      continue;
    }
    uint64_t stored = 0;
    for (size_t got = 0; got < width;) {
      const size_t from = bit % 8;
      const size_t taken = std::min(width - got, 8 - from);
      stored |= (uint64_t{static_cast<uint8_t>(in[bit / 8])} >> from & ((1u << taken) - 1)) << got;
      got += taken;
      bit += taken;
    }
    const uint64_t integer = base + (line ? factor * row + stored : factor * stored);
    values[row] = from_integer<Float>(static_cast<int64_t>(integer), head & kTransform);
  }
}

}  // namespace

size_t pack(std::span<const float, kPackedRows> values, Packed& out) {
  return pack_values(values, out);
}
size_t pack(std::span<const double, kPackedRows> values, Packed& out) {
  return pack_values(values, out);
}
void unpack(std::span<const std::byte> in, std::span<float, kPackedRows> values) {
  unpack_values(in, values);
}
void unpack(std::span<const std::byte> in, std::span<double, kPackedRows> values) {
  unpack_values(in, values);
}

}  // namespace accelmon::store
