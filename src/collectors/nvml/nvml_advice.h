// Sentences for people about why there is nothing to read, and what to do.
#pragma once

#include <string>

#include "base/status.h"
#include "collectors/nvml/nvml_library.h"

namespace accelmon::nvml {

struct Surroundings {
  std::string sysfs;
  std::string procfs;
};

// The library could not be loaded: `why` from Library::open().
Status no_library(const Status& why, const Surroundings& where);
// nvmlInit (or a call that every device needs) answered `code`.
Status no_driver(int code, Library& library, const Surroundings& where);
// The driver runs and counts no device.
Status no_device(const Surroundings& where);

// Version of the loaded kernel driver, from /proc/driver/nvidia/version; empty where there is none.
std::string kernel_driver_version(const std::string& procfs);

}  // namespace accelmon::nvml
