// Runs one program and takes what it prints, within bounds of time and size.
//
// Never a shell: the program's path and its arguments are given as they are. The child is a process group of its own
// with an environment of LC_ALL=C, PATH and LD_LIBRARY_PATH, without open files but its output, and with signals as at
// login. At either bound the whole group is killed, and the child itself when the thread that runs it ends. A child
// that cannot be killed (it sits in the kernel) is left behind, and no other is started until it is gone. Threads: one.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace accelmon::nvidia_smi {

class ChildProcess {
 public:
  ChildProcess() = default;
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  struct Limits {
    Nanos timeout = 10 * kSecond;
    size_t bytes = 256 * 1024;
  };

  // Runs `arguments` (the first is the path of the program) to its end. `output` holds standard output and error in the
  // order in which they came; its memory is used again. The exit code; errors: timeout, exhausted (too much output),
  // lost (killed by a signal, named), not_ready (the one before cannot be killed), and the system's own.
  Result<int> run(const std::vector<std::string>& arguments, const Limits& limits, std::string& output);

 private:
  bool reap(Nanos deadline, int& status);
  void kill_group(Nanos patience);

  pid_t pid_ = 0;  // 0: none
};

// The program that a name means: a path as it is, else the first in PATH (and where WSL puts NVIDIA's). Empty: none.
std::string find_program(const std::string& name);

}  // namespace accelmon::nvidia_smi
