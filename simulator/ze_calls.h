// The functions of the simulated Level Zero driver as an enum, by name, and as sets: what calls.h is for NVML.
#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>

namespace accelmon::simulator {

enum class ZeCall : uint8_t {
#define ZE_CALL(name) name,
#include "ze_calls.def"
#undef ZE_CALL
};

inline constexpr std::string_view kZeCallNames[] = {
#define ZE_CALL(name) #name,
#include "ze_calls.def"
#undef ZE_CALL
};
inline constexpr size_t kZeCallCount = sizeof(kZeCallNames) / sizeof(kZeCallNames[0]);

using ZeCallSet = std::bitset<kZeCallCount>;

// The calls that `pattern` names: one function, a prefix ending in '*', or "*". None: nobody is called so.
inline ZeCallSet match_ze_calls(std::string_view pattern) {
  ZeCallSet set;
  const bool prefix = !pattern.empty() && pattern.back() == '*';
  if (prefix) pattern.remove_suffix(1);
  for (size_t i = 0; i < kZeCallCount; ++i) {
    set[i] = prefix ? kZeCallNames[i].substr(0, pattern.size()) == pattern : kZeCallNames[i] == pattern;
  }
  return set;
}

}  // namespace accelmon::simulator
