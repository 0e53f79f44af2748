// The values of hw.status' attribute hw.state, in the order in which collectors lay out their series.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>

namespace accelmon {

enum class HwState : uint8_t { ok, degraded, failed, predicted_failure };
inline constexpr const char* kHwStates[] = {"ok", "degraded", "failed", "predicted_failure"};
inline constexpr size_t kHwStateCount = std::size(kHwStates);

}  // namespace accelmon
