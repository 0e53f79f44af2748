// The host from /proc and /sys: CPU per mode, memory, paging, disks, file systems, network, pressure, load.
//
// Options: "procfs" (default /proc), "sysfs" (default /sys), "rootfs" (default /).
#pragma once

#include <memory>

#include "collectors/collector.h"

namespace accelmon {

std::unique_ptr<Collector> make_host_collector(CollectorContext context);

}  // namespace accelmon
