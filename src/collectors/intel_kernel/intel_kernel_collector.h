// Intel GPUs from the kernel's own files, without any library: i915 and xe.
//
// Engines come from the drivers' perf counters, power and temperatures from hwmon, clocks and reasons of throttling
// from sysfs, memory from the region query on the render node, processes from DRM fdinfo. What this user may not see is
// absent, with what it would need: CAP_PERFMON for engines and memory in use, CAP_SYS_PTRACE for the processes of
// others; where all processes can be seen they stand in for the former two.
// A device that the kernel has suspended is not woken. While counters of xe are open the kernel does not suspend it:
// counters=false leaves it that choice.
//
// Options: sysfs, procfs, devfs  where the host's /sys, /proc and /dev are mounted
//          counters              "false": no perf counters (default true)
// Tiers: fast: engines, energy, memory, clocks, temperatures; slow: fans, voltages, processes; rare: limits.
// Threads: as every collector, one.
#pragma once

#include <memory>

#include "collectors/collector.h"

namespace accelmon {

std::unique_ptr<Collector> make_intel_kernel_collector(CollectorContext context);

}  // namespace accelmon
