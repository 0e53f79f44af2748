// 128 bits that stand for the key of a series: what is kept and compared in the place of the key, which is a hundred
// bytes of text.
//
// The hash is keyed with a secret of the process, so that names from outside (programs, disks) cannot be made to
// collide on purpose; by chance two of 100,000 series do so once in 10^28 catalogs. It means nothing to another
// process. Threads: fingerprint() any; an index one at a time.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/catalog.h"

namespace accelmon {

struct Fingerprint {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const Fingerprint&) const = default;
};

Fingerprint fingerprint(std::string_view text);
// Of series_key().
Fingerprint fingerprint(const Catalog& catalog, const Series& series);

// Numbers by fingerprints. Its memory is two blocks, where a hash map has one for each entry: what is made for a moment
// between things that stay leaves no holes in the heap.
class FingerprintIndex {
 public:
  static constexpr uint32_t kNone = 0xffffffffu;

  // `expected`: how many there will be; more may come.
  explicit FingerprintIndex(size_t expected = 0);

  // False where the fingerprint is there already; its number stays. `number` is not kNone.
  bool add(const Fingerprint& print, uint32_t number);
  uint32_t find(const Fingerprint& print) const;  // kNone: not there
  bool contains(const Fingerprint& print) const { return find(print) != kNone; }
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Fingerprint print;
    uint32_t number;
  };
  // The slot that holds the fingerprint, or the empty one where it belongs.
  size_t slot_of(const Fingerprint& print) const;
  void spread(size_t slots);

  std::vector<Entry> entries_;
  std::vector<uint32_t> slots_;  // numbers of entries; a power of two, at most half of them taken
};

}  // namespace accelmon
