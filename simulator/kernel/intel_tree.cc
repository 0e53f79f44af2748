// What the kernel shows of Intel GPUs.
#include "simulator/kernel/tree.h"

namespace accelmon::simulator {

void add_intel(KernelTree& tree, const Scenario& scenario) {
  for (unsigned i = 0; i < scenario.intel.size(); ++i) {
    const IntelDevice& d = scenario.intel[i];
    PciFunction f;
    f.address = d.pci_address();
    f.vendor = 0x8086;
    f.device = d.pci_device_id;
    f.subsystem = d.pci_subsystem_id;
    f.class_code = 0x038000;
    f.driver = d.driver == IntelDriver::xe ? "xe" : "i915";
    f.numa_node = d.numa_node;
    f.generation = d.pcie_gen;
    f.generation_max = d.pcie_gen_max;
    f.width = d.pcie_width;
    f.width_max = d.pcie_width_max;
    tree.pci(f, Owner{Vendor::intel, i});
  }
}

}  // namespace accelmon::simulator
