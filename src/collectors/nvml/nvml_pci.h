// NVIDIA devices as the PCI bus shows them, read from sysfs: what is there when the driver or its library is not.
//
// Threads: none. Cost: a few small files for every PCI device; done at discovery only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/nvml/nvml_abi.h"

namespace accelmon::nvml {

// Linux's form of an address: "0000:83:00.0". NVML writes "00000000:83:00.0".
std::string pci_address(const PciInfo& info);
// The same from text in either form, any case; nothing if it is not an address.
std::optional<std::string> pci_address(std::string_view text);

struct PciDevice {
  std::string address;
  std::string driver;  // bound kernel driver: nvidia, nouveau, vfio-pci; empty: none
};

// NVIDIA's display and 3D controllers, in the order of their addresses. A bus that cannot be read has none.
std::vector<PciDevice> nvidia_pci_devices(const std::string& sysfs);

// What a person needs to know of them: "no NVIDIA device on the PCI bus", or
// "1 NVIDIA device on the PCI bus (0000:83:00.0) has no driver".
std::string describe(const std::vector<PciDevice>& devices);

// The NUMA node of a device; nothing where there is none.
std::optional<int> numa_node(const std::string& sysfs, const std::string& address);

}  // namespace accelmon::nvml
