// Accelerators as the PCI bus shows them, whether or not a driver reads them.
//
// Reads the files that the PCI core keeps (SYSFS/bus/pci/devices/ADDRESS): none of them wakes a sleeping device.
// Threads: none. Cost: about 40 us for each function of the bus; allocates: for discovery.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace accelmon {

struct PciFunction {
  std::string address;  // "0000:4d:00.0"
  std::string folder;   // SYSFS/bus/pci/devices/ADDRESS
  unsigned vendor = 0, device = 0;
  uint32_t class_code = 0;  // 0x030200
  std::string driver;       // the one that is bound; empty: none
  int numa_node = -1;       // -1: none, or not told

  bool operator==(const PciFunction&) const = default;
};

// The GPUs and other accelerators among the functions: display controllers of those who make GPUs, processing
// accelerators, and what is known to be one by its number. Virtual functions of a device that is itself there are parts
// of it and left out, and so are the plain display chips of servers. Sorted by address.
struct PciListing {
  std::vector<PciFunction> functions;
  std::vector<std::string> unreadable;  // addresses whose vendor or class cannot be read
  int error = 0;                        // errno of the folder itself
};
PciListing list_accelerators(const std::string& sysfs);

// The bus can be seen below `sysfs`, and no accelerator of that vendor is on it: advice about drivers helps nobody.
bool pci_bus_lacks(const std::string& sysfs, unsigned vendor);

// "nvidia", "amd", "intel", "habana", ...; empty: it makes no accelerators that are known here.
std::string_view pci_vendor(unsigned vendor);
// The product's name, "Intel Arc Pro B60"; where it is not known "8086:e211".
std::string pci_model(unsigned vendor, unsigned device);

// Minor numbers of the DRM nodes of a function, by its folder: those of its cards and of its render nodes.
std::vector<unsigned> drm_minors(const std::string& folder);

// "0000:4d:00.0", as Linux writes addresses; in any other form it is none.
bool is_pci_address(std::string_view text);

}  // namespace accelmon
