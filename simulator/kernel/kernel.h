// The simulated kernel inside a process: which descriptors are its, and what reading them gives.
//
// Files below $ACCELMON_SIM_ROOT were laid out beforehand (lay-out-tree) and are opened for real; what is read from
// them is made up at that moment from $ACCELMON_SCENARIO, at the scenario time since $ACCELMON_SIM_EPOCH_NS. The
// scenario is looked at again at most every 100 ms, so that faults come and go while a reader runs. Without both
// variables everything passes through.
// Threads: any number; a lock is held for moments, never while a read hangs.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "simulator/kernel/tree.h"
#include "simulator/live_scenario.h"

namespace accelmon::simulator {

// A descriptor whose reads and ioctls are made up. Calls answer a negative errno when they fail.
class OpenFile {
 public:
  OpenFile() = default;
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  virtual ~OpenFile() = default;
  virtual ssize_t read(void* buffer, size_t size, off_t offset) = 0;
  virtual int control(unsigned long request, void* argument);  // -ENOTTY
  // Whether read() moves a position, as with a regular file.
  virtual bool seekable() const { return true; }
};

// One scenario and the tree that was built from it.
struct World {
  const std::shared_ptr<const Scenario> source;
  const Scenario& scenario;
  KernelTree tree;
  explicit World(std::shared_ptr<const Scenario> from) : source(std::move(from)), scenario(*source), tree(scenario) {}
};

// What the faults of the moment make of a read.
struct Verdict {
  int error = 0;  // errno
  double t = 0, since = 0;
  bool all_ones = false;  // the bus has nobody who answers
  bool garbage = false;
  bool sentinel = false;  // a garbage of all ones
  uint64_t garbage_key = 0;
};

class Kernel {
 public:
  static Kernel& get();
  bool active() const { return active_; }

  // Whether `path`, as a program gives it, lies below the root. Costs a comparison for those that do not.
  bool below_root(const char* path) const;
  // What open() of this descriptor must answer: 0, or the errno, and then the descriptor is to be closed. Registers it
  // where the tree has its file.
  int opened(int fd);
  std::shared_ptr<OpenFile> find(int fd);
  // From now on what is read from `fd` comes from `file`; forget() when it is closed.
  void adopt(int fd, std::shared_ptr<OpenFile> file);
  void forget(int fd);
  bool owns(int fd) const { return fd >= 0 && fd < kDescriptors && used_[static_cast<size_t>(fd)].load(); }

  std::shared_ptr<const World> world();  // rereads the scenario if it has changed; null: there is no good one
  double now() const { return live_.now(); }
  // Hangs, slows down, crashes; else says what the read must answer. `opening`: only what an open already shows.
  Verdict judge(const std::string& path, const KernelFile& file, bool opening);

 private:
  static constexpr int kDescriptors = 4096;
  Kernel();
  bool concerns(const Fault& fault, const std::string& path, const KernelFile& file) const;

  bool active_ = false;
  std::string root_, resolved_root_;  // as given, and without links; each ends with '/'
  LiveScenario live_;

  std::mutex mutex_;
  std::shared_ptr<const World> world_;
  std::array<std::atomic<bool>, kDescriptors> used_{};
  std::array<std::shared_ptr<OpenFile>, kDescriptors> files_;
  std::atomic<uint32_t> draws_{0};
};

// Calls that reach the kernel through syscall(): perf_event_open and the like. True: it was taken, and `result` is what
// the kernel would answer (a negative errno where it fails). hooks.cc lists them.
using SyscallHook = bool (*)(Kernel& kernel, long number, const long (&arguments)[6], long& result);
extern const SyscallHook kSyscallHooks[];  // ends with nullptr

}  // namespace accelmon::simulator
