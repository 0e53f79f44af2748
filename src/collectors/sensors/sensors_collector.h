// The host's own sensors: hwmon chips, thermal zones and the processors' energy meters (powercap, RAPL).
//
// Each chip, zone and meter is a device: cpu, memory, network, physical_disk, or enclosure for the rest. Chips of
// accelerators are left to the accelerators' collectors. A processor's power is what its energy meter gained between
// two polls, over the real time between them. Every number is a small file that is opened at discovery and kept.
//
// Options: sysfs       where the host's /sys is mounted (default /sys)
//          each_core   "true": a temperature for every core, not only for each processor (default false)
// Tiers: fast: energy meters (a register each); slow: all other readings (a chip may hang on a slow bus); rare: limits.
// Threads: as every collector, one.
#pragma once

#include <memory>

#include "collectors/collector.h"

namespace accelmon {

std::unique_ptr<Collector> make_sensors_collector(CollectorContext context);

}  // namespace accelmon
