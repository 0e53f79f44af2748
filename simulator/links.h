// Counters of the buses, shared by the calls and the fields that show them.
#pragma once

#include "api.h"

namespace accelmon::nvml {

bool link_up(const Device& device, unsigned link);
unsigned links_up(const Device& device);
// Bytes since the driver was loaded: over the host bus, and over one NVLink or all of them (kAllNvlinks). Traffic is
// spread evenly over the links that are up.
double pcie_bytes(const Entry& entry, bool transmit);
double link_bytes(const Entry& entry, unsigned link, bool transmit);

}  // namespace accelmon::nvml
