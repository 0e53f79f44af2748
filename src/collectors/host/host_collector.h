// The host from /proc and /sys: CPU per mode, memory, paging, disks, file systems, network, pressure, load.
//
// Options (texts; a wrong one shows as absences with the path in the reason):
//   procfs, sysfs    where they are mounted (default /proc, /sys): a container that watches its host mounts the host's
//                    elsewhere
//   rootfs           where the host's root directory is seen (default /): file systems are asked below it
//   network_exclude  comma-separated beginnings of the names of interfaces to leave out; the default names those that
//                    container runtimes make. The loopback is always left out.
//
// What is measured and how its parts add up stands in host_parse.h (cpu modes, memory states). Tiers: everything is
// fast but file systems (slow) and accelmon.host.info (rare). Disks, interfaces and mounts that come or go make poll()
// return `rediscover`; in the frame of that poll the series of what is gone are `stale`.
//
// What a kernel lacks or a container hides becomes an absence with a reason. discover() fails, with Code::absent, only
// where nothing at all can be read.
// Threads: as every collector, one. Memory: 16 KiB of buffer, more (at most 1 MiB) where a file of the kernel is
// longer.
#pragma once

#include <memory>

#include "collectors/collector.h"

namespace accelmon {

std::unique_ptr<Collector> make_host_collector(CollectorContext context);

}  // namespace accelmon
