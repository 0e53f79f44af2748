// Which GPUs and MIG partitions there are, and who they are.
//
// Threads: the collector's. Cost: a few calls for each device; the first call for a device may wake it up (a second).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "collectors/nvml/nvml_device.h"

namespace accelmon::nvml {

// What is remembered of a GPU beyond its handle, so that one that is lost keeps its name.
struct KnownGpu {
  Device identity;
  std::string pci_address;
  bool listed = true;  // NVML had an index for it
};

struct Enumeration {
  // GPUs in the order of their index, each followed by its partitions. Those that NVML counts and does not hand out are
  // among them; last come those that it has ceased to count although the bus still shows them to be its own. All are
  // probed.
  std::vector<std::unique_ptr<DeviceReader>> readers;
  U32 count = 0;  // of GPUs, as NVML has it
};

// Lists and probes everything. `known` are the GPUs of the discovery before, the listed ones first and by index. An
// error is the code of NVML that ended it: the library is lost.
tl::expected<Enumeration, int> enumerate(Host& host, const std::vector<KnownGpu>& known);

// Whether a GPU's partitions are still `parts`, in this order. Allocates nothing.
bool same_partitions(Library& nvml, DeviceHandle gpu, std::span<const std::unique_ptr<DeviceReader>> parts);

// "1g.10gb" out of "NVIDIA H100 80GB HBM3 MIG 1g.10gb", else made from the partition's size; empty if neither is known.
std::string partition_profile(std::string_view model, const DeviceAttributes* attributes);

}  // namespace accelmon::nvml
