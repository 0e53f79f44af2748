#include <gtest/gtest.h>
#include <zlib.h>

#include <random>

#include "encode/exposition.h"

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

}  // namespace
}  // namespace accelmon
