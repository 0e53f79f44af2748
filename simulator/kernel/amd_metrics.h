// The gpu_metrics file of a simulated AMD GPU: the bytes that the driver's structures would have.
//
// Offsets are written out here a second time, from the kernel's interface and not from the collector's table, so that a
// slip in either shows in the tests that read one with the other.
#pragma once

#include <string>

#include "simulator/amd_device.h"

namespace accelmon::simulator {

// In the revision that the device has, as of time t; counters since the driver was loaded at `since`.
std::string encode_gpu_metrics(const AmdDevice& device, double since, double t);

}  // namespace accelmon::simulator
