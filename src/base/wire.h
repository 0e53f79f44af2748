// Bytes between our own processes: little-endian, bounded, read with suspicion.
//
// Writer appends to a string that the caller keeps and reuses (no allocation once it has grown). Reader never reads
// past the end: after the first short or oversized read it fails for good, every later read gives zero or empty, and
// the caller asks ok() once at the end. Lengths are checked against what is left before anything is allocated.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace accelmon {

static_assert(std::endian::native == std::endian::little,
              "the wire format is the memory format of little-endian hosts");

class WireWriter {
 public:
  explicit WireWriter(std::string& out) : out_(out) {}

  template <class T>
  requires std::is_trivially_copyable_v<T>
  void put(T value) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    out_.append(bytes, sizeof(T));
  }
  void text(std::string_view value) {
    put(static_cast<uint32_t>(value.size()));
    out_.append(value);
  }
  void bytes(const void* data, size_t size) { out_.append(static_cast<const char*>(data), size); }

 private:
  std::string& out_;
};

class WireReader {
 public:
  explicit WireReader(std::string_view data) : rest_(data) {}

  template <class T>
  requires std::is_trivially_copyable_v<T> T get() {
    T value{};
    if (!take(sizeof(T))) return value;
    std::memcpy(&value, taken_.data(), sizeof(T));
    return value;
  }
  // A string of at most `limit` bytes.
  std::string_view text(size_t limit) {
    const auto size = get<uint32_t>();
    if (size > limit) return fail();
    return take(size) ? taken_ : std::string_view();
  }
  // A count of things that take at least `least` bytes each, at most `limit` of them.
  uint32_t count(uint32_t limit, size_t least) {
    const auto n = get<uint32_t>();
    if (n > limit || (least != 0 && n > rest_.size() / least)) {
      fail();
      return 0;
    }
    return n;
  }
  bool bytes(void* out, size_t size) {
    if (!take(size)) return false;
    if (size != 0) std::memcpy(out, taken_.data(), size);
    return true;
  }
  void reject() { fail(); }
  std::string_view rest() const { return rest_; }  // what has not been read; empty after a failure

  bool ok() const { return ok_; }
  bool done() const { return ok_ && rest_.empty(); }  // all read, nothing left over

 private:
  std::string_view fail() {
    ok_ = false;
    rest_ = {};
    return {};
  }
  bool take(size_t size) {
    if (!ok_ || size > rest_.size()) {
      fail();
      return false;
    }
    taken_ = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  std::string_view rest_;
  std::string_view taken_;
  bool ok_ = true;
};

}  // namespace accelmon
