// Intel GPUs through Level Zero Sysman: what the kernel's files lack (memory traffic, PCIe bytes, errors, links between
// GPUs) beside what they have.
//
// The driver's library is loaded by Level Zero's loader into this process, once: the loader cannot start anew, so that
// after release() or a lost driver only another process reads again, which is how collectors run.
// Options: "library" (the loader), "procfs", "sysfs"; for tests "own_procfs", where it looks up its own rights.
#pragma once

#include <memory>

#include "collectors/collector.h"

namespace accelmon {

std::unique_ptr<Collector> make_level_zero_collector(CollectorContext context);

}  // namespace accelmon
