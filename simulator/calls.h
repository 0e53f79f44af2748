// The exported functions as an enum, by name, and as sets.
#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>

namespace accelmon::simulator {

enum class Call : uint8_t {
#define CALL(name) name,
#include "calls.def"
#undef CALL
};

inline constexpr std::string_view kCallNames[] = {
#define CALL(name) #name,
#include "calls.def"
#undef CALL
};
inline constexpr size_t kCallCount = sizeof(kCallNames) / sizeof(kCallNames[0]);
static_assert(kCallCount <= 256);

using CallSet = std::bitset<kCallCount>;

// The calls that `pattern` names: one function, a prefix ending in '*', or "*". None: nobody is called so.
inline CallSet match_calls(std::string_view pattern) {
  CallSet set;
  const bool prefix = !pattern.empty() && pattern.back() == '*';
  if (prefix) pattern.remove_suffix(1);
  for (size_t i = 0; i < kCallCount; ++i) {
    set[i] = prefix ? kCallNames[i].substr(0, pattern.size()) == pattern : kCallNames[i] == pattern;
  }
  return set;
}

}  // namespace accelmon::simulator
