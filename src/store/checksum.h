// What tells whether bytes came back from the disk as they went: CRC-32C for chunks, a 64-bit hash for catalogs.
//
// Neither is a defence against somebody who writes into the file on purpose. Cost: 1 to 3 ns a byte.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace accelmon::store {

// CRC-32C of `bytes`, going on from `seed`.
inline uint32_t crc32c(std::string_view bytes, uint32_t seed = 0) {
  static constexpr auto kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t crc = i;
      for (int k = 0; k < 8; ++k) crc = crc >> 1 ^ ((crc & 1u) != 0 ? 0x82f63b78u : 0);
      table[i] = crc;
    }
    return table;
  }();
  uint32_t crc = ~seed;
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xffu] ^ crc >> 8;
  return ~crc;
}

inline uint64_t content_hash(std::string_view bytes) {
  uint64_t hash = 0x9e3779b97f4a7c15u ^ bytes.size();
  const auto mix = [&](uint64_t word) {
    hash = (hash ^ word) * 0xd6e8feb86659fd93u;
    hash ^= hash >> 32;
  };
  while (bytes.size() >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    mix(word);
    bytes.remove_prefix(8);
  }
  uint64_t word = 0;
  if (!bytes.empty()) std::memcpy(&word, bytes.data(), bytes.size());
  mix(word);
  mix(0);
  return hash;
}

}  // namespace accelmon::store
