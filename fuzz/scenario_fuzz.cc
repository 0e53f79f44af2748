// The parser of scenarios, and every reading of what it accepts: no text may crash it, hang it, or make it say
// something that is not a number. Link with accelmon_simulator_model.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "simulator/scenario.h"

namespace {

void require(bool good) {
  if (!good) abort();
}

void read(const accelmon::simulator::Scenario& scenario, double t) {
  using accelmon::simulator::Device;
  using accelmon::simulator::Fault;
  const double since = scenario.loaded_at(t);
  require(since >= 0 && since <= t);
  scenario.unloaded(t);
  for (unsigned i = 0; i < scenario.devices.size(); ++i) {
    const Device& device = scenario.devices[i];
    require(device.memory_reserved + scenario.memory_used(i, t) <= device.memory_total);
    for (unsigned j = 0; j < device.instances.size(); ++j) {
      require(scenario.memory_used(i, j, t) <= device.instances[j].memory_total);
    }
    const double share = device.gpu.value(t);
    require(share >= -1e-6 && share <= 100 + 1e-6);
    require(std::isfinite(device.temperature_at(t)));
    require(std::isfinite(device.energy(since, t)));
    require(std::isfinite(device.average_power(t)));
    require(device.throttled_ns(0x1ff, since, t) <= static_cast<uint64_t>(t * 1e9) + 1);
    for (int domain = 0; domain < 4; ++domain) require(device.clock_at(domain, t) >= 0);
    scenario.gone(i, t);
  }
  for (const Fault& fault : scenario.faults) {
    const auto began = fault.occurrence(t);
    require(!began || *began <= t);
    const auto next = fault.next_occurrence(t);
    require(!next || *next >= t - 1e-6);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto outcome = accelmon::simulator::parse_scenario({reinterpret_cast<const char*>(data), size}, 5);
  require(outcome.scenario.has_value() == outcome.error.empty());
  if (outcome.scenario) {
    for (const double t : {0.0, 0.1, 17.3, 3600.0, 1e7}) read(*outcome.scenario, t);
  }
  return 0;
}
