#include "model/fingerprint.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

namespace accelmon {
namespace {

uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

const Fingerprint& secret() {
  static const Fingerprint made = [] {
    Fingerprint random;
    if (getrandom(&random, sizeof(random), 0) != static_cast<ssize_t>(sizeof(random)))
      random = {0x9e3779b97f4a7c15u, 0xd1b54a32d192ed03u};
    random.low |= 1;
    random.high |= 1;
    return random;
  }();
  return made;
}

}  // namespace

Fingerprint fingerprint(std::string_view text) {
  const Fingerprint& key = secret();
  Fingerprint print{key.low ^ text.size(), key.high};
  while (!text.empty()) {
    uint64_t word = 0;
    const size_t size = std::min(text.size(), sizeof(word));
    std::memcpy(&word, text.data(), size);
    text.remove_prefix(size);
    print.low = mix(print.low ^ word, key.high ^ 0xa0761d6478bd642fu);
    print.high = mix(print.high + word, key.low ^ 0xe7037ed1a0b428dbu) ^ std::rotl(print.high, 29);
  }
  print.low = mix(print.low, key.low ^ 0x8ebc6af09c88c6e3u);
  print.high = mix(print.high, key.high ^ 0x589965cc75374cc3u);
  return print;
}

Fingerprint fingerprint(const Catalog& catalog, const Series& series) {
  return fingerprint(series_key(catalog, series));
}

FingerprintIndex::FingerprintIndex(size_t expected) {
  entries_.reserve(expected);
  spread(std::bit_ceil(std::max<size_t>(expected * 2, 16)));
}

size_t FingerprintIndex::slot_of(const Fingerprint& print) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = static_cast<size_t>(print.low) & mask;
  while (slots_[slot] != kNone && entries_[slots_[slot]].print != print) slot = (slot + 1) & mask;
  return slot;
}

void FingerprintIndex::spread(size_t slots) {
  slots_.assign(slots, kNone);
  for (uint32_t i = 0; i < entries_.size(); ++i) slots_[slot_of(entries_[i].print)] = i;
}

bool FingerprintIndex::add(const Fingerprint& print, uint32_t number) {
  size_t slot = slot_of(print);
  if (slots_[slot] != kNone) return false;
  if ((entries_.size() + 1) * 2 > slots_.size()) {
    spread(slots_.size() * 2);
    slot = slot_of(print);
  }
  slots_[slot] = static_cast<uint32_t>(entries_.size());
  entries_.push_back({print, number});
  return true;
}

uint32_t FingerprintIndex::find(const Fingerprint& print) const {
  const uint32_t entry = slots_[slot_of(print)];
  return entry == kNone ? kNone : entries_[entry].number;
}

}  // namespace accelmon
