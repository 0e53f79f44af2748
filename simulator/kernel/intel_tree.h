// What the Intel part of the simulated kernel shares among its files.
//
// The counters of the device numbered i are of the PMU type kIntelPmuTypes + i.
#pragma once

#include "simulator/kernel/kernel.h"
#include "simulator/kernel/tree.h"

namespace accelmon::simulator {

inline constexpr unsigned kIntelPmuTypes = 4096;  // far from those that a real kernel gives
inline constexpr double kIntelTicks = 19.2e6;     // of xe's counters, in a second

// ioctl() on a DRM node of the Intel device numbered `index`: the query of memory regions.
int intel_control(const Moment& at, unsigned index, unsigned long request, void* argument);

// perf_event_open() of a counter of an Intel device. See SyscallHook.
bool intel_counter(Kernel& kernel, long number, const long (&arguments)[6], long& result);

}  // namespace accelmon::simulator
