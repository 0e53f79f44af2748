// Who listens on a TCP port of this host: for the sentence that says why we cannot.
//
// Best effort: the inode of the listening socket from /proc/net/tcp and tcp6, then the process that has it open. A
// process of another user is not visible to everybody. Threads: pure but for /proc. Cost: milliseconds; for the error
// path.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace accelmon {

struct PortHolder {
  int pid = 0;
  std::string name;  // as the kernel knows it (comm), printable
};

// The inodes' owner among the processes under `proc`; nothing when it cannot be seen.
std::optional<PortHolder> find_port_holder(uint16_t port, const std::string& proc = "/proc");

// The name of a process: "accelmon"; empty when unknown.
std::string process_name(int pid, const std::string& proc = "/proc");

}  // namespace accelmon
