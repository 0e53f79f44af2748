// An adaptive binary range coder: bits and how probable each was, to bytes and back.
//
// Each binary decision has a Bit of its own that learns how often it was 1; what is expected costs next to nothing, and
// no block sizes or tables are needed. Carries as in LZMA. A Bit learns fast at first (its first decisions count most)
// and slowly later. The encoder drops trailing zero bytes; the decoder reads zeros past its end, so that it never
// fails: that the bytes are whole is for the caller's checksum to say. Threads: values. Cost: about 4 ns a decision.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace accelmon::store {

// Probability of a 1 in the upper 12 bits, the number of decisions seen (up to 15) in the lower 4.
using Bit = uint16_t;
inline constexpr Bit kEven = 2048u << 4;

inline void learn(Bit& bit, bool one) {
  constexpr uint8_t kShift[16] = {1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5};
  const uint32_t count = bit & 15u;
  uint32_t p = bit >> 4;
  p = one ? p + ((4096 - p) >> kShift[count]) : p - (p >> kShift[count]);
  p = p < 1 ? 1 : p > 4095 ? 4095 : p;
  bit = static_cast<Bit>(p << 4 | (count < 15 ? count + 1 : 15));
}

class RangeEncoder {
 public:
  explicit RangeEncoder(std::string& out) : out_(out), start_(out.size()) {}

  void bit(Bit& model, bool one) {
    const uint32_t bound = (range_ >> 12) * (model >> 4u);
    if (one) {
      range_ = bound;
    } else {
      low_ += bound;
      range_ -= bound;
    }
    learn(model, one);
    normalize();
  }
  // `count` bits of even odds, highest first.
  void direct(uint64_t value, unsigned count) {
    while (count-- > 0) {
      range_ >>= 1;
      if (((value >> count) & 1u) != 0) low_ += range_;
      normalize();
    }
  }
  void finish() {
    // Of the numbers that mean the same, one with as many trailing zeros as can be.
    for (unsigned shift = 32; shift-- > 0;) {
      const uint64_t mask = (uint64_t{1} << shift) - 1;
      const uint64_t rounded = (low_ + mask) & ~mask;
      if (rounded < low_ + range_) {
        low_ = rounded;
        break;
      }
    }
    for (int i = 0; i < 5; ++i) shift_low();
    while (out_.size() > start_ && out_.back() == '\0') out_.pop_back();
  }

 private:
  void normalize() {
    while (range_ < (1u << 24)) {
      range_ <<= 8;
      shift_low();
    }
  }
  void shift_low() {
    if (low_ < 0xff000000u || low_ > 0xffffffffu) {
      const auto carry = static_cast<uint8_t>(low_ >> 32);
      if (begun_) out_.push_back(static_cast<char>(cache_ + carry));
      for (; pending_ > 0; --pending_) out_.push_back(static_cast<char>(0xff + carry));
      cache_ = static_cast<uint8_t>(low_ >> 24);
      begun_ = true;
    } else {
      ++pending_;
    }
    low_ = (low_ & 0x00ffffffu) << 8;
  }

  std::string& out_;
  size_t start_;
  uint64_t low_ = 0;
  uint32_t range_ = 0xffffffffu;
  uint64_t pending_ = 0;  // bytes of 0xff that a carry may still change
  uint8_t cache_ = 0;
  bool begun_ = false;
};

class RangeDecoder {
 public:
  RangeDecoder() = default;
  explicit RangeDecoder(std::string_view bytes) : bytes_(bytes) {
    for (int i = 0; i < 4; ++i) code_ = code_ << 8 | next();
  }

  bool bit(Bit& model) {
    const uint32_t bound = (range_ >> 12) * (model >> 4u);
    const bool one = code_ < bound;
    if (one) {
      range_ = bound;
    } else {
      code_ -= bound;
      range_ -= bound;
    }
    learn(model, one);
    normalize();
    return one;
  }
  uint64_t direct(unsigned count) {
    uint64_t value = 0;
    while (count-- > 0) {
      range_ >>= 1;
      const bool one = code_ >= range_;
      if (one) code_ -= range_;
      value = value << 1 | (one ? 1 : 0);
      normalize();
    }
    return value;
  }

 private:
  void normalize() {
    while (range_ < (1u << 24)) {
      range_ <<= 8;
      code_ = code_ << 8 | next();
    }
  }
  uint8_t next() { return at_ < bytes_.size() ? static_cast<uint8_t>(bytes_[at_++]) : uint8_t{0}; }

  std::string_view bytes_;
  size_t at_ = 0;
  uint32_t code_ = 0;
  uint32_t range_ = 0xffffffffu;
};

}  // namespace accelmon::store
