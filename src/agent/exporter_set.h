// The exporters of a configuration: made, started, changed at a reload, stopped.
//
// One that cannot work (a wrong setting, a library that is missing) is there all the same, and says why: nothing else
// stops for it. Nor does the agent wait for a far end: what a reload ends is given a moment to send what it holds and
// is then interrupted, by look(), while the agent goes on; what follows it under its name begins when it has ended,
// since both have one cursor. Threads: the agent's; states() under the lock under which the agent changes it.
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

  // Starts what is new or has changed, begins to end what is gone. `disk` is the history, or nullptr; it must live
  // until stop().
  void configure(const Config& config, DiskStore* disk);
  // Goes on with what configure() began. Costs nothing where nothing is ending.
  void look(Nanos monotonic);
  // When look() has something to do; INT64_MAX: nothing.
  Nanos next_look(Nanos monotonic) const;
  // New polls, for exporters without a history on disk; nothing where there are none.
  void append(std::string_view source, const CatalogPtr& catalog, const Recycled<Frame>& frame);
  // Everything is to end: a last request each, a second for all of them together.
  void begin_stop();
  // And waits for it. What cannot be interrupted (a file system that hangs, a name that is looked up) is left behind.
  void stop();
  std::vector<ExporterState> states() const;
  bool any() const { return !running_.empty(); }

 private:
  struct Running {
    std::string name;
    ExporterConfig config;
    Nanos poll_interval;
    std::unique_ptr<Runner> runner;  // nullptr: one of the same name is still ending
  };
  struct Ending {
    std::string name;
    std::unique_ptr<Runner> runner;
    Nanos interrupt_at;  // monotonic; INT64_MAX: it was
  };
  std::unique_ptr<Runner> make(const std::string& name, const ExporterConfig& config, Nanos poll_interval);
  void end(Running& one);
  bool is_ending(std::string_view name) const;

  Identity identity_;
  DiskStore* disk_ = nullptr;
  std::unique_ptr<MemoryFeed> feed_;
  std::vector<Running> running_;
  std::vector<Ending> ending_;
};

// /etc/machine-id; empty where there is none.
std::string machine_id();

}  // namespace accelmon
