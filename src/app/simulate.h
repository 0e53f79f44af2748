// `--simulate`: the real NVML collector over a simulated library.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/config.h"
#include "base/status.h"

namespace accelmon {

struct Simulation {
  std::string library;   // absolute path of the simulated libnvidia-ml.so.1
  std::string scenario;  // absolute path of the scenario's file

  void apply(Config& config) const;  // points the collector to the library
  // What the collector processes get. `now` is the monotonic time at which the scenario begins.
  std::vector<std::pair<std::string, std::string>> environment(Nanos now) const;
};

// `scenario` is a known name or the path of a .toml file; `root` is the folder that holds lib/ and share/ of accelmon.
// Errors: invalid (an unknown name, with the known ones), absent (no such file; the simulator is not installed).
Result<Simulation> find_simulation(const std::string& scenario, const std::string& root);

// The folder above the one that holds this program.
std::string installation_root();

}  // namespace accelmon
