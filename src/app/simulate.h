// `--simulate`: the real collectors over simulated libraries and a simulated kernel.
//
// NVIDIA's library is replaced by ours. What the kernel shows of devices is laid out as files in a private folder, and
// a library that is preloaded into the collectors answers when they are read.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/agent.h"
#include "agent/config.h"
#include "base/status.h"

namespace accelmon {

// A private folder below the system's for temporary files; removed with all in it when its last owner goes.
class TemporaryFolder {
 public:
  static Result<std::shared_ptr<TemporaryFolder>> make();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

struct Simulation {
  std::string library;                    // absolute path of the simulated libnvidia-ml.so.1
  std::string level_zero;                 // likewise of the Level Zero driver, which may be missing
  std::string scenario;                   // absolute path of the scenario's file
  std::string kernel;                     // the library that answers for the kernel
  std::string lay_out;                    // the program that writes its files
  std::shared_ptr<TemporaryFolder> root;  // where they are: sys, proc and dev; empty before prepare()

  // Writes the kernel's files. Errors: invalid (the scenario is broken), io.
  Status prepare();
  void apply(Config& config) const;  // points the collectors to the library and the files
  // What the collector processes get. `now` is the monotonic time at which the scenario begins.
  std::vector<CollectorVariable> environment(Nanos now) const;
};

// `scenario` is a known name or the path of a .toml file; `root` is the folder that holds lib/ and share/ of accelmon.
// Errors: invalid (an unknown name, with the known ones), absent (no such file; the simulator is not installed).
Result<Simulation> find_simulation(const std::string& scenario, const std::string& root);

// The folder above the one that holds this program.
std::string installation_root();

}  // namespace accelmon
