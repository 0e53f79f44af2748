// The exporters of a configuration: made, started, changed at a reload, stopped.
//
// One that cannot work (a wrong setting, a library that is missing) is there all the same, and says why: nothing else
// stops for it. Threads: the agent's; states() from any.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/config.h"
#include "exporters/feed.h"
#include "exporters/runner.h"

namespace accelmon {

class ExporterSet {
 public:
  explicit ExporterSet(Identity identity) : identity_(std::move(identity)) {}

  // Starts what is new or has changed, ends what is gone. `disk` is the history, or nullptr.
  void configure(const Config& config, DiskStore* disk);
  // New polls, for exporters without a history on disk; nothing where there are none.
  void append(std::string_view source, const CatalogPtr& catalog, const Recycled<Frame>& frame);
  void stop();
  std::vector<ExporterState> states() const;
  bool any() const { return !running_.empty(); }

 private:
  struct Running {
    std::string name;
    ExporterConfig config;
    Nanos poll_interval;
    std::unique_ptr<Runner> runner;
  };
  std::unique_ptr<Runner> make(const std::string& name, const ExporterConfig& config, Nanos poll_interval,
                               DiskStore* disk);

  Identity identity_;
  std::unique_ptr<MemoryFeed> feed_;
  std::vector<Running> running_;
};

// /etc/machine-id; empty where there is none.
std::string machine_id();

}  // namespace accelmon
