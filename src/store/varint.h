// Small numbers in few bytes (base 128, lowest first), appended to a string (or what has its push_back) and taken from
// a view with suspicion.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace accelmon::store {

template <class Bytes>
void put_varint(Bytes& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

// False: `rest` ends within the number, or it has more than 64 bits.
inline bool get_varint(std::string_view& rest, uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (rest.empty()) return false;
    const auto byte = static_cast<uint8_t>(rest.front());
    rest.remove_prefix(1);
    if (shift == 63 && byte > 1) return false;
    value |= static_cast<uint64_t>(byte & 0x7fu) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

inline uint64_t zigzag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
inline int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1 ^ (0 - (value & 1)));
}

}  // namespace accelmon::store
