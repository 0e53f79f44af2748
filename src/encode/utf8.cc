#include "encode/utf8.h"

namespace accelmon {
namespace {

struct Scan {
  size_t good;    // bytes that fit the beginning of a character
  bool complete;  // they are a whole one
};

Scan scan(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const size_t left = text.size() - at;
  const unsigned char first = byte(0);
  if (first < 0x80) return {1, true};
  if (first < 0xc2 || first > 0xf4) return {1, false};
  const size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  // The second byte alone decides on overlong forms, surrogates and the end of Unicode.
  const unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  size_t good = 1;
  while (good < length && good < left) {
    const unsigned char next = byte(good);
    if (next < (good == 1 ? low : 0x80) || next > (good == 1 ? high : 0xbf)) return {good, false};
    ++good;
  }
  return {good, good == length};
}

}  // namespace

size_t utf8_length(std::string_view text, size_t at) {
  const Scan found = scan(text, at);
  return found.complete ? found.good : 0;
}

size_t utf8_broken_length(std::string_view text, size_t at) {
  return scan(text, at).good;
}

}  // namespace accelmon
