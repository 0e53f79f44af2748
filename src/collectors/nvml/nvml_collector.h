// NVIDIA GPUs through NVML, loaded with dlopen; see docs of collector.h for the contract.
//
// Options: "library" (default libnvidia-ml.so.1, then the places where containers and WSL put it), "procfs", "sysfs",
// "each_nvlink" ("true": series for each NVLink; "false", the default: one for all of a device).
#pragma once

#include <memory>

#include "collectors/collector.h"

namespace accelmon {

std::unique_ptr<Collector> make_nvml_collector(CollectorContext context);

}  // namespace accelmon
