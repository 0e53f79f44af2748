// For tests: the collector under the simulated kernel, and a board of eight dies.
//
// The kernel's library has to be there when a process starts, so each test of this fixture runs in a process of its
// own, that run_under_simulated_kernel() starts; run directly they are skipped.
#pragma once

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "collectors/amdgpu/amdgpu_collector.h"
#include "collectors/simulated_kernel_for_test.h"
#include "model/catalog.h"

namespace accelmon::amdgpu {

class AmdgpuSimulated : public for_test::SimulatedKernel {
 protected:
  AmdgpuSimulated() : SimulatedKernel(&make_amdgpu_collector) {}

  Code discover() {
    const Result<Catalog> found = CollectorRig::discover();
    return found ? Code::ok : found.error().code();
  }

  // Until the collector is content with its catalog.
  void settle() {
    for (int i = 0; i < 4; ++i) {
      ASSERT_EQ(discover(), Code::ok) << error.message();
      if (poll() == PollResult::ok) return;
    }
    FAIL() << "it discovers for ever";
  }

  int find(MetricId metric, int device, std::vector<Attribute> attributes = {}) const {
    return find_series(catalog, metric, device, std::move(attributes));
  }
  State state(MetricId metric, int device, std::vector<Attribute> attributes = {}) const {
    const int i = find(metric, device, std::move(attributes));
    return i < 0 ? State::unsupported : frame.states[static_cast<size_t>(i)];
  }
  double value(MetricId metric, int device, std::vector<Attribute> attributes = {}) const {
    const int i = find(metric, device, std::move(attributes));
    if (i < 0 || frame.states[static_cast<size_t>(i)] != State::ok) return std::nan("");
    return frame.values[static_cast<size_t>(i)];
  }
  bool is_absent(MetricId metric, int device) const {
    for (const Absence& absence : catalog.absences)
      if (absence.metric == metric && absence.device == device && !absence.reason.empty()) return true;
    return false;
  }
  uint64_t calls_of(std::string_view name) const {
    for (const CallStats& call : calls.calls())
      if (call.name == name) return call.calls;
    return 0;
  }
};

// Everything constant, so that what is read is known.
inline const std::string kInstinct = R"([[amd]]
name = "Instinct"
unique_id = 0x5d2c81a0b9e40010
metrics = "1.8"
gfx_version = 90402
compute_dies = 8
compute_units = 304
pci.addresses = ["0000:05:00.0"]
memory = { total_mib = 196592, base_mib = 200, bandwidth = 5.3e12 }
utilization = { gpu = 50, memory = 25, vcn = 20, jpeg = 30 }
power = { draw_w = 500, energy_base_j = 1e6, input = true }
temperature = { junction_c = 70, junction_critical_c = 100 }
clock.graphics = { max_mhz = 2100 }
xgmi = { links = 7, read = 1e9, write = 2e9 }
throttle = [{ reason = "thermal", active = { kind = "square", low = 0, high = 1, period = 0.02, duty = 0.25 } }, { reason = "power_cap", active = 1 }]
partition = { compute = "CPX", memory = "NPS4" }
[[amd.process]]
pid = 100
name = "a"
partition = 2
memory_mib = 1000
occupancy = 75
[[amd.process]]
pid = 101
name = "b"
partition = 7
memory_mib = 2000
occupancy = 25
)";

}  // namespace accelmon::amdgpu
