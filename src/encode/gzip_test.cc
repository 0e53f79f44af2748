#include <gtest/gtest.h>
#include <zlib.h>

#include <random>

#include "encode/gzip.h"

namespace accelmon {
namespace {

// With zlib's own inflate, gzip framing required.
std::string unpacked(const std::string& packed, size_t size) {
  std::string out(size + 1, '\0');
  z_stream z{};
  EXPECT_EQ(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  z.avail_in = static_cast<uInt>(packed.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&z, Z_FINISH), Z_STREAM_END);
  EXPECT_EQ(z.avail_in, 0u) << "nothing after the stream's end";
  out.resize(z.total_out);
  inflateEnd(&z);
  return out;
}

TEST(Gzip, TheSameEncoderServesPagesOfAnyKindAndOrder) {
  GzipEncoder gzip;
  std::string packed;
  std::mt19937 random(7);
  std::string noise(300000, ' ');
  for (char& c : noise) c = static_cast<char>(random());
  std::string page;
  for (int i = 0; i < 5000; ++i) page += "hw_temperature_celsius{gpu=\"" + std::to_string(i) + "\"} 41\n";
  for (const std::string& text : {std::string(), std::string("x"), page, noise, std::string(1 << 20, 'a'), page}) {
    gzip.compress(text, packed);
    EXPECT_EQ(unpacked(packed, text.size()), text);
  }
  EXPECT_LT(packed.size() * 8, page.size());
}

// Texts made of earlier parts of themselves, over alphabets of all sizes: matches of every length and distance, blocks
// that end anywhere, codes of one symbol, trees that are deeper than a code may be long.
TEST(Gzip, WhateverIsPackedIsUnpacked) {
  GzipEncoder gzip;
  std::string packed;
  std::mt19937 random(11);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (int round = 0; round < 400; ++round) {
    const size_t size = below(round % 20 == 0 ? 300000 : 2000);
    const size_t letters = 1 + below(round % 3 == 0 ? 256 : 4);
    std::string text;
    while (text.size() < size) {
      if (text.size() > 20 && below(20) == 0) {
        const size_t from = below(text.size());
        for (size_t i = 0, length = below(700); i < length; ++i) text += text[from + i];
      }
      text += static_cast<char>(below(letters));
    }
    gzip.compress(text, packed);
    ASSERT_EQ(unpacked(packed, text.size()), text) << "round " << round;
  }
}

TEST(Gzip, MatchesReachBackAsFarAsTheWindowAndNoFarther) {
  GzipEncoder gzip;
  std::string packed;
  std::mt19937 random(3);
  for (const size_t between : {32768u - 300u, 32768u - 200u, 32768u - 200u + 1u, 32768u}) {
    std::string mark(200, ' ');
    for (char& c : mark) c = static_cast<char>('a' + random() % 26);
    // Nothing between the two that would push the first mark's places out of the table.
    const std::string text = mark + std::string(between, '\n') + mark;
    gzip.compress(text, packed);
    EXPECT_EQ(unpacked(packed, text.size()), text) << between;
  }
}

TEST(Gzip, IsNotMuchLargerThanZlibMakesIt) {
  GzipEncoder gzip;
  std::string packed;
  std::string page;
  for (int i = 0; i < 2000; ++i)
    page += "hw_power_watts{hw_id=\"GPU-" + std::to_string(i % 8 * 7919) + "\",hw_type=\"gpu\",gpu=\"" +
            std::to_string(i % 8) + "\",hw_vendor=\"nvidia\",kind=\"" + std::to_string(i / 8) + "\"} " +
            std::to_string(600 + i * 37 % 100) + "." + std::to_string(i * 7919 % 1000) + "\n";
  gzip.compress(page, packed);
  uLongf size = compressBound(page.size());
  std::string theirs(size, '\0');
  ASSERT_EQ(compress2(reinterpret_cast<Bytef*>(theirs.data()), &size, reinterpret_cast<const Bytef*>(page.data()),
                      page.size(), 1),
            Z_OK);
  EXPECT_LT(packed.size(), size * 5 / 4);
}

}  // namespace
}  // namespace accelmon
