// Text from outside, made safe for a page: what is not valid UTF-8 becomes U+FFFD.
//
// Threads: pure functions. Cost: one pass, no allocation.
#pragma once

#include <cstddef>
#include <string_view>

namespace accelmon {

inline constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";  // U+FFFD

// Length in bytes of the valid UTF-8 character that begins at `at` (which lies inside `text`); 0 where none does:
// stray continuation bytes, overlong forms, surrogates, beyond U+10FFFF, cut off.
size_t utf8_length(std::string_view text, size_t at);

// How many bytes of `text`, from `at`, are to be replaced by one U+FFFD when utf8_length() is 0: the longest beginning
// of a valid character, at least one byte (the practice that the Unicode standard recommends).
size_t utf8_broken_length(std::string_view text, size_t at);

}  // namespace accelmon
