// Protobuf's wire format, written by hand: what the encoders of messages share.
//
// Messages here are the same few shapes again and again with other numbers in them, so encoders keep the unchanging
// bytes ready and compute lengths instead of writing twice. Fields are written in the order of their numbers and zeros
// of proto3 are left out, so that the bytes are those that Google's library would write.
// Threads: pure functions.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace accelmon::protobuf {

inline constexpr uint32_t kVarint = 0, kFixed64 = 1, kBytes = 2;
inline constexpr size_t kMaxVarint = 10;

// A field's number and type as one byte; for numbers below 16.
constexpr char tag(uint32_t field, uint32_t type) {
  return static_cast<char>(field << 3 | type);
}

constexpr size_t varint_size(uint64_t value) {
  return (static_cast<size_t>(std::bit_width(value | 1)) + 6) / 7;
}

inline char* put_varint(char* out, uint64_t value) {
  while (value >= 0x80) {
    *out++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *out++ = static_cast<char>(value);
  return out;
}

template <class T>
inline char* put_fixed64(char* out, uint32_t field, T value) {
  static_assert(sizeof(T) == 8 && std::endian::native == std::endian::little);
  *out++ = tag(field, kFixed64);
  std::memcpy(out, &value, 8);
  return out + 8;
}

inline char* put_bytes(char* out, std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}

// A field of length-delimited bytes: a text or a message.
constexpr size_t field_size(size_t length) {
  return 1 + varint_size(length) + length;
}

inline char* put_field(char* out, uint32_t field, std::string_view bytes) {
  *out++ = tag(field, kBytes);
  return put_bytes(put_varint(out, bytes.size()), bytes);
}

// The same at the end of a string, for what is prepared once.
inline void append_varint(std::string& out, uint64_t value) {
  char bytes[kMaxVarint];
  out.append(bytes, static_cast<size_t>(put_varint(bytes, value) - bytes));
}

inline void append_field(std::string& out, uint32_t field, std::string_view bytes) {
  out += tag(field, kBytes);
  append_varint(out, bytes.size());
  out += bytes;
}

inline void append_text(std::string& out, uint32_t field, std::string_view text) {  // proto3: an empty one is left out
  if (!text.empty()) append_field(out, field, text);
}

inline void append_number(std::string& out, uint32_t field, uint64_t value) {
  if (value == 0) return;
  out += tag(field, kVarint);
  append_varint(out, value);
}

// A buffer that grows and never shrinks; what lies behind `used` is rubbish.
class Buffer {
 public:
  // Room for `more` bytes behind the used ones; call wrote() with the end of what was put there.
  char* room(size_t more) {
    if (bytes_.size() < used_ + more) bytes_.resize(used_ + more + bytes_.size() / 2);
    return bytes_.data() + used_;
  }
  void wrote(const char* end) { used_ = static_cast<size_t>(end - bytes_.data()); }
  void append(std::string_view text) { wrote(put_bytes(room(text.size()), text)); }
  void clear() { used_ = 0; }
  size_t size() const { return used_; }
  char* data() { return bytes_.data(); }
  std::string_view view() const { return {bytes_.data(), used_}; }
  size_t capacity() const { return bytes_.capacity(); }

 private:
  std::string bytes_;
  size_t used_ = 0;
};

}  // namespace accelmon::protobuf
