// What the kernel's log says of accelerators: NVIDIA's Xids and SXids, resets and errors of amdgpu, xe and i915.
//
// Each such line becomes an event (code, severity and advice from the catalogue of events) and a count in
// accelmon.gpu.events{code,severity} of the device that it names. Devices come up as they are named; their hw.id is
// that of the other collectors (NVIDIA: the UUID, from the driver's own line or file; AMD: the unique id; Intel: the
// PCI address), else the PCI address. Where another source counts the same device's events itself (NVML), the agent
// believes that one.
//
// History: what the kernel's ring still holds from before the start is counted and told once, with the time at which it
// happened. That time is as good as that of `dmesg -T`: the log's clock drifts by seconds in a week. Where the time
// cannot be known (the host was suspended since, or the line is of the future) such lines are left out.
//
// Options: path    the log (default /dev/kmsg), or a file in its format
//          procfs, sysfs  where the host's are mounted, to name devices (default /proc, /sys)
// Needs CAP_SYSLOG where kernel.dmesg_restrict is set. Only lines of the kernel itself are believed.
// Tier: fast; without news a poll is one read that finds nothing. Threads: as every collector, one.
#pragma once

#include <memory>

#include "collectors/collector.h"

namespace accelmon {

std::unique_ptr<Collector> make_kernel_log_collector(CollectorContext context);

}  // namespace accelmon
