// Which processes hold a context on a device, and how much of its memory.
//
// The lists come in three generations. The oldest of the newer ones (_v3) changed the size of its entries with some
// drivers (535.43 to 535.86) and back again without saying so: memory is offered for the larger size, and what the
// library has written shows which it meant.
// Threads: the collector's. Cost: one or two vendor calls a poll, milliseconds each on some boards.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "collectors/nvml/nvml_library.h"

namespace accelmon::nvml {

inline constexpr size_t kShownProcesses = 64;  // the most series of processes for a device

struct Process {
  U32 pid = 0;
  std::optional<uint64_t> memory;  // bytes; nothing where the driver does not tell
  ProcessMode mode = kProcessesCompute;
};

// The size of the entries that were written into `memory`, which held `filler` before and has room for `count` entries
// of ProcessDetail: that one's size if anything was written beyond `count` small entries, else ProcessInfo's.
size_t entry_size(std::span<const unsigned char> memory, size_t count, unsigned char filler);

// Puts the largest first, joins the entries of one process, and lists a process that computes and draws once only, as a
// compute one: its memory is the same in both lists.
void merge(std::vector<Process>& processes);

class ProcessReader {
 public:
  ProcessReader(Library& nvml, DeviceHandle device) : nvml_(nvml), device_(device) {}

  struct List {
    int code = kNotReady;
    size_t count = 0;  // of the whole list, also where it was too long to be read at once
    bool complete = true;
  };

  // Finds out which lists the device has; returns the code of the compute list. Tries again when a list has grown.
  int probe();
  // Reads both lists once.
  void read();

  const List& list(ProcessMode mode) const { return lists_[mode]; }
  // All that the last read() found; see merge().
  const std::vector<Process>& processes() const { return processes_; }

 private:
  enum class Source : uint8_t { none, detail_list, v3, v2 };
  void read(ProcessMode mode);
  int read_from(Source source, ProcessMode mode, U32& count);
  void take(size_t count, size_t size, ProcessMode mode);

  Library& nvml_;
  DeviceHandle device_;
  Source sources_[2] = {Source::none, Source::none};
  List lists_[2];
  std::vector<unsigned char> memory_;
  std::vector<Process> processes_;
};

// Names of processes, looked up once.
class ProcessNames {
 public:
  // `procfs`: where the process's name stands if NVML does not know it; it is asked only if its process ids are those
  // that NVML speaks of, which they are not in a container with ids of its own.
  ProcessNames(Library& nvml, std::string procfs);

  // The name of the program, without its path; empty if nobody knows it.
  const std::string& name(U32 pid);
  // Forgets those that are not `alive`, since ids are used again.
  void keep(const std::function<bool(U32 pid)>& alive);

 private:
  std::string look_up(U32 pid);
  Library& nvml_;
  std::string procfs_;
  bool host_pids_;
  CallId comm_call_;
  std::map<U32, std::string> names_;
};

}  // namespace accelmon::nvml
