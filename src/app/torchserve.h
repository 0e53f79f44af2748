// What TorchServe expects of a system metrics command: lines of numbers, an empty line, the memory of its workers.
//
// Everything here is pure; `accelmon torchserve-collect` (torchserve_collect.cc) reads and prints. TorchServe parses
// with patience for nothing: a line that its expression refuses is a warning every minute, and a line of the second
// part that is no "PID:BYTES" of a process it asked for ends its system metrics for good. So names, units, dimensions
// and numbers are of the few characters that it takes, whatever a driver says, and what is not known has no line.
// Threads: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/report.h"

namespace accelmon {

inline constexpr size_t kMaxTorchServePids = 4096;

// The process ids of TorchServe's workers: decimal, comma-separated, up to the first newline. What is no process id of
// a Java int above zero is left out, and so is all beyond kMaxTorchServePids.
std::vector<int32_t> parse_torchserve_pids(std::string_view line);

// The host as it is now, each number where it could be read.
struct HostGlance {
  std::optional<double> cpu;                                          // share of all processors' time, 0 to 1
  std::optional<double> memory_used, memory_available, memory_total;  // bytes
  std::optional<double> disk_used, disk_available;                    // bytes of the root file system
};

// Which devices of a vendor the server may use, as CUDA_VISIBLE_DEVICES and its like say it. Nothing: all of them.
struct VisibleDevices {
  std::optional<std::string> nvidia, intel, amd;
};

struct TorchServeInput {
  const Report* report = nullptr;  // nullptr: no accelerator could be read
  VisibleDevices visible;
  std::optional<size_t> most_devices;  // what --gpu says
  HostGlance host;
  std::string hostname;
  int64_t epoch_seconds = 0;
  std::vector<std::pair<int32_t, uint64_t>> workers;  // process id and resident bytes
};

// The whole of what goes to standard output.
std::string torchserve_text(const TorchServeInput& input);

// What of the agent's page of metrics (text 0.0.4) TorchServe is told: devices with the metrics below, and the
// processors' time. A tenth of the status document's cost, which has all else too. Errors: invalid where `page` is no
// page of accelmon's.
Result<Report> report_of_page(std::string_view page);

// One gauge of a device as TorchServe knows it: which value of ours, and how it is converted. For tests and docs.
struct TorchServeGauge {
  std::string_view name;
  std::string_view unit;
  std::string_view metric;  // OpenTelemetry name
};
std::vector<TorchServeGauge> torchserve_device_gauges();

}  // namespace accelmon
