// Where a collector process finds what the agent gave it.
#pragma once

#include <cstddef>

namespace accelmon {

inline constexpr int kCollectorSocketFd = 3;
inline constexpr int kCollectorHeartbeatFd = 4;
inline constexpr size_t kHeartbeatBytes = 4096;

}  // namespace accelmon
