// Accelerators that the PCI bus shows, whether anybody reads them or not: so that one that nobody reads is a row with a
// reason, and not a row that is missing.
//
// Each is a device with accelmon.device.unread, 1 for the reason why it may not be read:
//   gone            it was on the bus when this collector looked first, and is no more
//   off_the_bus     it is listed and does not answer: its configuration space reads as ones
//   passed_through  it is kept for a virtual machine (vfio-pci, pci-stub, xen-pciback): a choice, and no failure
//   no_driver       no driver is bound
//   driver_silent   a driver is bound; whether any collector shows the device the agent knows, which then leaves out
//                   this row
// and hw.status, which is failed for all but passed_through. What is gone is remembered for as long as the collector
// lives. A sleeping device is not woken.
//
// Options: sysfs  where the host's /sys is mounted
// Tiers: slow. Threads: as every collector, one.
#pragma once

#include <memory>

#include "collectors/collector.h"

namespace accelmon {

std::unique_ptr<Collector> make_presence_collector(CollectorContext context);

}  // namespace accelmon
