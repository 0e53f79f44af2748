// The collector of AMD GPUs: what the amdgpu and KFD drivers show in the kernel's files. It loads no library, so that
// none of AMD's can abort or hang it, and never holds /dev/kfd, which would keep the driver from being repartitioned.
//
// Options: sysfs, procfs, devfs (roots; default /sys, /proc, /dev).
#pragma once

#include <memory>

#include "collectors/collector.h"

namespace accelmon {

std::unique_ptr<Collector> make_amdgpu_collector(CollectorContext context);

}  // namespace accelmon
