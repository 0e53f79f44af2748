#include "encode/gzip.h"

#include <libdeflate.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

namespace accelmon {
namespace {

static_assert(std::endian::native == std::endian::little, "words are compared and written as they lie in memory");

constexpr uint32_t kEnd = 256;
constexpr size_t kWindow = 32768;
constexpr size_t kWord = 8;   // what is read at once
constexpr size_t kLeast = 6;  // a match begins with that many equal bytes
constexpr uint32_t kMostLength = 258;
constexpr int kMostBits = 15;
constexpr int kMostLengthBits = 7;
constexpr size_t kLengthSymbols = 19;
constexpr uint8_t kLengthOrder[kLengthSymbols] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

// RFC 1951, 3.2.5: the symbol of a length or a distance, and what its extra bits count from.
struct Range {
  uint16_t base;
  uint8_t bits;
};
constexpr Range kLengthRanges[] = {{3, 0},   {4, 0},   {5, 0},   {6, 0},   {7, 0},  {8, 0},  {9, 0},  {10, 0},
                                   {11, 1},  {13, 1},  {15, 1},  {17, 1},  {19, 2}, {23, 2}, {27, 2}, {31, 2},
                                   {35, 3},  {43, 3},  {51, 3},  {59, 3},  {67, 4}, {83, 4}, {99, 4}, {115, 4},
                                   {131, 5}, {163, 5}, {195, 5}, {227, 5}, {258, 0}};
constexpr Range kDistanceRanges[] = {{1, 0},     {2, 0},     {3, 0},     {4, 0},      {5, 1},      {7, 1},
                                     {9, 2},     {13, 2},    {17, 3},    {25, 3},     {33, 4},     {49, 4},
                                     {65, 5},    {97, 5},    {129, 6},   {193, 6},    {257, 7},    {385, 7},
                                     {513, 8},   {769, 8},   {1025, 9},  {1537, 9},   {2049, 10},  {3073, 10},
                                     {4097, 11}, {6145, 11}, {8193, 12}, {12289, 12}, {16385, 13}, {24577, 13}};

constexpr auto kSymbolOfLength = [] {
  std::array<uint8_t, kMostLength + 1> out{};
  for (size_t symbol = 0; symbol < std::size(kLengthRanges); ++symbol)
    for (size_t i = kLengthRanges[symbol].base; i <= kMostLength; ++i) out[i] = static_cast<uint8_t>(symbol);
  return out;
}();

uint32_t symbol_of_distance(uint32_t distance) {
  if (distance <= 4) return distance - 1;
  // Two symbols for each doubling.
  const auto top = static_cast<uint32_t>(std::bit_width(distance - 1)) - 1;
  return 2 * top + (((distance - 1) >> (top - 1)) & 1);
}

uint64_t word_at(const char* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

uint64_t least_at(const char* at) {
  return word_at(at) << 8 * (kWord - kLeast);
}

// Lengths of the bits of a prefix code in which what is frequent is short, none longer than `most`. At least two
// symbols get one, since decoders differ over codes of one symbol.
void choose_lengths(std::span<const uint32_t> frequencies, int most, std::span<uint8_t> lengths) {
  struct Leaf {
    uint32_t weight;
    uint16_t symbol;
  };
  std::array<Leaf, 286> leaves;
  size_t n = 0;
  for (size_t i = 0; i < frequencies.size(); ++i)
    if (frequencies[i] != 0) leaves[n++] = {frequencies[i], static_cast<uint16_t>(i)};
  for (size_t i = 0; n < 2; ++i)
    if (frequencies[i] == 0) leaves[n++] = {1, static_cast<uint16_t>(i)};
  std::fill(lengths.begin(), lengths.end(), uint8_t{0});
  std::sort(leaves.begin(), leaves.begin() + n, [](const Leaf& a, const Leaf& b) {
    return a.weight != b.weight ? a.weight < b.weight : a.symbol < b.symbol;
  });

  // Huffman's tree with two queues: the leaves, and the inner nodes in the order in which they were made.
  std::array<uint32_t, 285> weight;
  std::array<uint16_t, 285 + 286> parent;  // inner nodes first, then leaves
  const size_t inner = n - 1;
  size_t leaf = 0;
  size_t node = 0;
  for (size_t made = 0; made < inner; ++made) {
    weight[made] = 0;
    for (int child = 0; child < 2; ++child) {
      const bool take_leaf = leaf < n && (node == made || leaves[leaf].weight <= weight[node]);
      weight[made] += take_leaf ? leaves[leaf].weight : weight[node];
      parent[take_leaf ? inner + leaf++ : node++] = static_cast<uint16_t>(made);
    }
  }
  std::array<uint16_t, 285> depth;
  depth[inner - 1] = 0;
  for (size_t i = inner - 1; i-- > 0;) depth[i] = static_cast<uint16_t>(depth[parent[i]] + 1);

  // How many leaves have which length. What is too deep goes up to `most`, and shorter ones make room until the code
  // fits: each step takes a leaf from the longest length below `most` and hangs another beside it.
  std::array<uint32_t, kMostBits + 1> having{};
  uint32_t room = 0;  // in units of the longest code
  for (size_t i = 0; i < n; ++i) {
    const int bits = std::min(depth[parent[inner + i]] + 1, most);
    ++having[static_cast<size_t>(bits)];
    room += 1u << (most - bits);
  }
  while (room > 1u << most) {
    int bits = most - 1;
    while (having[static_cast<size_t>(bits)] == 0) --bits;
    --having[static_cast<size_t>(bits)];
    having[static_cast<size_t>(bits) + 1] += 2;
    --having[static_cast<size_t>(most)];
    --room;
  }
  size_t next = n;
  for (int bits = 1; bits <= most; ++bits)
    for (uint32_t i = 0; i < having[static_cast<size_t>(bits)]; ++i)
      lengths[leaves[--next].symbol] = static_cast<uint8_t>(bits);
}

// RFC 1951, 3.2.2, with the bits turned round, as they are written.
void assign_codes(std::span<const uint8_t> lengths, std::span<uint16_t> codes) {
  std::array<uint16_t, kMostBits + 1> having{};
  for (const uint8_t length : lengths) ++having[length];
  having[0] = 0;
  std::array<uint16_t, kMostBits + 2> next{};
  for (size_t bits = 1; bits <= kMostBits; ++bits)
    next[bits + 1] = static_cast<uint16_t>((next[bits] + having[bits]) << 1);
  for (size_t i = 0; i < lengths.size(); ++i) {
    uint32_t code = lengths[i] == 0 ? 0 : next[lengths[i]]++;
    uint32_t turned = 0;
    for (int bit = 0; bit < lengths[i]; ++bit, code >>= 1) turned = turned << 1 | (code & 1);
    codes[i] = static_cast<uint16_t>(turned);
  }
}

// Writes bits from the lowest on. The caller sees to the room.
class Bits {
 public:
  char* at = nullptr;

  void put(uint64_t value, uint32_t bits) {
    held_ |= value << count_;
    count_ += bits;
  }
  // After at most 56 bits of put().
  void flush() {
    std::memcpy(at, &held_, sizeof held_);
    at += count_ / 8;
    held_ >>= count_ & ~7u;
    count_ &= 7;
  }
  void to_byte() {
    count_ = (count_ + 7) & ~7u;
    flush();
  }

 private:
  uint64_t held_ = 0;
  uint32_t count_ = 0;
};

}  // namespace

class GzipEncoder::Deflater {
 public:
  void compress(std::string_view in, std::string& out);

 private:
  static constexpr size_t kPlaces = 4096;
  static constexpr size_t kSymbols = 8192;  // of a block
  static constexpr size_t kLiterals = 286;
  static constexpr size_t kDistances = 30;

  void end_block(bool last, std::string& out, Bits& bits);

  std::array<uint32_t, kPlaces> places_{};    // hash of six bytes -> where they stood, plus one
  std::array<uint32_t, kSymbols> symbols_{};  // a literal, or (length << 16 | distance)
  size_t count_ = 0;
  std::array<uint32_t, kLiterals> literal_frequencies_{};
  std::array<uint32_t, kDistances> distance_frequencies_{};
};

void GzipEncoder::Deflater::end_block(bool last, std::string& out, Bits& bits) {
  ++literal_frequencies_[kEnd];
  std::array<uint8_t, kLiterals + kDistances> lengths;
  const std::span<uint8_t> literal_lengths(lengths.data(), kLiterals);
  const std::span<uint8_t> distance_lengths(lengths.data() + kLiterals, kDistances);
  choose_lengths(literal_frequencies_, kMostBits, literal_lengths);
  choose_lengths(distance_frequencies_, kMostBits, distance_lengths);
  std::array<uint16_t, kLiterals> literal_codes;
  std::array<uint16_t, kDistances> distance_codes;
  assign_codes(literal_lengths, literal_codes);
  assign_codes(distance_lengths, distance_codes);

  // The lengths are themselves coded: runs of zeros (17, 18) and repetitions (16), with how many in extra bits.
  struct Step {
    uint8_t symbol, extra, bits;
  };
  std::array<Step, kLiterals + kDistances> steps;
  size_t step_count = 0;
  std::array<uint32_t, kLengthSymbols> step_frequencies{};
  for (size_t i = 0; i < lengths.size();) {
    size_t run = 1;
    while (i + run < lengths.size() && lengths[i + run] == lengths[i]) ++run;
    Step step{lengths[i], 0, 0};
    if (lengths[i] == 0 && run >= 11) {
      run = std::min<size_t>(run, 138);
      step = {18, static_cast<uint8_t>(run - 11), 7};
    } else if (lengths[i] == 0 && run >= 3) {
      step = {17, static_cast<uint8_t>(run - 3), 3};
    } else if (i > 0 && lengths[i] == lengths[i - 1] && run >= 3) {
      run = std::min<size_t>(run, 6);
      step = {16, static_cast<uint8_t>(run - 3), 2};
    } else {
      run = 1;
    }
    ++step_frequencies[step.symbol];
    steps[step_count++] = step;
    i += run;
  }
  std::array<uint8_t, kLengthSymbols> step_lengths;
  std::array<uint16_t, kLengthSymbols> step_codes;
  choose_lengths(step_frequencies, kMostLengthBits, step_lengths);
  assign_codes(step_lengths, step_codes);

  // No symbol takes more than 15 + 5 + 15 + 13 bits, no step more than 7 + 7.
  const size_t used = static_cast<size_t>(bits.at - out.data());
  const size_t wanted = used + count_ * 6 + 2 * lengths.size() + 64;
  if (out.size() < wanted) out.resize(std::max(wanted, out.size() + out.size() / 2));
  bits.at = out.data() + used;

  bits.put(last ? 1 : 0, 1);
  bits.put(2, 2);
  bits.put(kLiterals - 257, 5);
  bits.put(kDistances - 1, 5);
  bits.put(kLengthSymbols - 4, 4);
  bits.flush();
  for (const uint8_t symbol : kLengthOrder) {
    bits.put(step_lengths[symbol], 3);
    bits.flush();
  }
  for (size_t i = 0; i < step_count; ++i) {
    bits.put(step_codes[steps[i].symbol], step_lengths[steps[i].symbol]);
    bits.put(steps[i].extra, steps[i].bits);
    bits.flush();
  }
  for (size_t i = 0; i < count_; ++i) {
    const uint32_t length = symbols_[i] >> 16;
    if (length == 0) {
      bits.put(literal_codes[symbols_[i]], literal_lengths[symbols_[i]]);
    } else {
      // A distance of 32768 is kept as 0.
      const uint32_t distance = ((symbols_[i] - 1) & 0x7fff) + 1;
      const uint32_t symbol = kSymbolOfLength[length];
      bits.put(literal_codes[257 + symbol], literal_lengths[257 + symbol]);
      bits.put(length - kLengthRanges[symbol].base, kLengthRanges[symbol].bits);
      const uint32_t place = symbol_of_distance(distance);
      bits.put(distance_codes[place], distance_lengths[place]);
      bits.put(distance - kDistanceRanges[place].base, kDistanceRanges[place].bits);
    }
    bits.flush();
  }
  bits.put(literal_codes[kEnd], literal_lengths[kEnd]);
  bits.flush();
  if (last) bits.to_byte();
  count_ = 0;
  literal_frequencies_.fill(0);
  distance_frequencies_.fill(0);
}

void GzipEncoder::Deflater::compress(std::string_view in, std::string& out) {
  // What the last page took is there already.
  out.resize(std::max(out.capacity(), size_t{256}));
  constexpr unsigned char kHeader[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255};
  std::memcpy(out.data(), kHeader, sizeof kHeader);
  Bits bits;
  bits.at = out.data() + sizeof kHeader;

  places_.fill(0);
  const char* text = in.data();
  const size_t size = in.size();
  const auto literal = [&](size_t at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    symbols_[count_++] = byte;
    ++literal_frequencies_[byte];
    if (count_ == kSymbols) end_block(false, out, bits);
  };
  size_t at = 0;
  while (at + kWord <= size) {
    const uint64_t word = least_at(text + at);
    uint32_t& place = places_[(word * 0x9e3779b97f4a7c15u) >> (64 - std::bit_width(kPlaces - 1))];
    const size_t before = place;  // plus one
    place = static_cast<uint32_t>(at + 1);
    if (before == 0 || at + 1 - before > kWindow || least_at(text + before - 1) != word) {
      literal(at++);
      continue;
    }
    const size_t distance = at + 1 - before;
    size_t end = at + kLeast;
    for (; end + kWord <= size; end += kWord) {
      const uint64_t difference = word_at(text + end) ^ word_at(text + end - distance);
      if (difference == 0) continue;
      end += static_cast<size_t>(std::countr_zero(difference)) / 8;
      break;
    }
    if (end + kWord > size)
      while (end < size && text[end] == text[end - distance]) ++end;
    while (at < end) {
      size_t length = std::min<size_t>(end - at, kMostLength);
      if (end - at - length == 1 || end - at - length == 2) length -= 2;  // a rest of less than three is no match
      symbols_[count_++] = static_cast<uint32_t>(length << 16 | (distance & 0x7fff));
      ++literal_frequencies_[257 + kSymbolOfLength[length]];
      ++distance_frequencies_[symbol_of_distance(static_cast<uint32_t>(distance))];
      if (count_ == kSymbols) end_block(false, out, bits);
      at += length;
    }
  }
  while (at < size) literal(at++);
  end_block(true, out, bits);

  const uint32_t checksum = libdeflate_crc32(0, text, size);
  const auto length = static_cast<uint32_t>(size);
  const auto used = static_cast<size_t>(bits.at - out.data());
  out.resize(used + sizeof checksum + sizeof length);
  std::memcpy(out.data() + used, &checksum, sizeof checksum);
  std::memcpy(out.data() + used + sizeof checksum, &length, sizeof length);
}

GzipEncoder::GzipEncoder() = default;
GzipEncoder::~GzipEncoder() = default;

void GzipEncoder::compress(std::string_view in, std::string& out) {
  if (deflater_ == nullptr) deflater_ = std::make_unique<Deflater>();
  deflater_->compress(in, out);
}

}  // namespace accelmon
