// The host in a glance: three files and one question to the kernel, for a command that must be done at once.
//
// The agent's host collector tells far more and keeps counters over time; this is what one process can say that lives
// for milliseconds. Threads: no state. Cost: about 0.1 ms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/torchserve.h"

namespace accelmon {

// Time of all processors since boot, in the kernel's ticks.
struct CpuReading {
  uint64_t busy = 0;
  uint64_t all = 0;
};
std::optional<CpuReading> read_cpu(const std::string& procfs);
// The busy share between two readings; nothing where no tick passed or the kernel's counters went backwards.
std::optional<double> cpu_between(const CpuReading& before, const CpuReading& after);

// Memory and the root file system. What cannot be read stays empty.
void read_memory_and_disk(const std::string& procfs, HostGlance& out);

// Resident bytes of each process; 0 for one that is gone, since it holds none.
std::vector<std::pair<int32_t, uint64_t>> read_resident(const std::string& procfs, const std::vector<int32_t>& pids);

}  // namespace accelmon
