// For this room's tests: the collector with the system's calls and clocks replaced.
#pragma once

#include "collectors/collector.h"
#include "collectors/kernel_log/kmsg_reader.h"

namespace accelmon::kernel_log {

struct KernelLogSystem {
  KmsgSystem kmsg = real_kmsg_system();
  Nanos (*suspended)() = nullptr;  // how long the host was suspended since boot; nullptr: asks the kernel
};
std::unique_ptr<Collector> make_collector(CollectorContext context, const KernelLogSystem& system);

}  // namespace accelmon::kernel_log
