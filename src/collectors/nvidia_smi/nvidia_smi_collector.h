// NVIDIA GPUs through the program nvidia-smi: the way that is left where NVML cannot be loaded into a process (a static
// build, another C library, a wrapper that reaches into a container).
//
// It does not run where NVML can be loaded: discover() then says so (absent). One child process at a time, never a
// shell, bounded in time and output, at most one for a poll. Everything is in the slow tier, and not read more often
// than `min_interval`: a due turn that comes sooner is left out, and the frame says so (its tier stays as old as it
// is). The CSV form says all that the XML form does of these metrics, at a fiftieth of its cost; processes would take a
// second child and are left to NVML.
//
// Options: library   the NVML library that must not be there (default libnvidia-ml.so.1 and where it usually lies)
//          program   nvidia-smi, by name (looked for in PATH) or absolute path
//          min_interval  shortest time between two readings (default 5s)
//          timeout   after which a child is killed (default 10s)
// A poll allocates some short texts for the child's arguments; beside a process that is nothing.
// Should this process be killed, a child that runs ends by itself: its output is gone.
// Threads: as every collector, one.
#pragma once

#include <memory>

#include "collectors/collector.h"

namespace accelmon {

std::unique_ptr<Collector> make_nvidia_smi_collector(CollectorContext context);

}  // namespace accelmon
