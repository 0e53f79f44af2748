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

// ze_result_t by the name that faults give it, without "ZE_RESULT_ERROR_".
struct ZeResult {
  std::string_view name;
  uint32_t value;
};
inline constexpr ZeResult kZeResults[] = {{"NOT_READY", 1},
                                          {"DEVICE_LOST", 0x70000001},
                                          {"DEVICE_REQUIRES_RESET", 0x70000006},
                                          {"DEVICE_IN_LOW_POWER_STATE", 0x70000007},
                                          {"INSUFFICIENT_PERMISSIONS", 0x70010000},
                                          {"NOT_AVAILABLE", 0x70010001},
                                          {"DEPENDENCY_UNAVAILABLE", 0x70020000},
                                          {"UNINITIALIZED", 0x78000001},
                                          {"UNSUPPORTED_VERSION", 0x78000002},
                                          {"UNSUPPORTED_FEATURE", 0x78000003},
                                          {"INVALID_ARGUMENT", 0x78000004},
                                          {"INVALID_SIZE", 0x78000008},
                                          {"SURVIVABILITY_MODE_DETECTED", 0x78000020},
                                          {"UNKNOWN", 0x7ffffffe}};

}  // namespace accelmon::simulator
