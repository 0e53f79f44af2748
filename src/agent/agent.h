// The agent: supervises the collectors, runs the pipeline, keeps the store, serves HTTP.
//
// Threads: everything of the agent happens in the thread that calls run() or wait_for_first_frames(), except HTTP,
// which has a thread of its own and reads published snapshots only, so that a page never waits for a driver. stop(),
// reload(), snapshot() and status_json() may be called from any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/config.h"
#include "base/status.h"
#include "model/snapshot.h"

namespace accelmon {

// Set in the environment of collector processes.
struct CollectorVariable {
  std::string name;
  std::string value;
  std::vector<std::string> only;  // names of the collectors that get it; empty: all
  bool operator==(const CollectorVariable&) const = default;
};

struct AgentOptions {
  Config config;
  std::string config_path;                    // read again at reload(); empty: nothing to read
  std::function<void(Config&)> overrides;     // the command line's say, applied after every reading of the file
  bool serve = true;                          // false: no listener, no socket; sampling for one command
  std::string executable = "/proc/self/exe";  // what is started as "EXE collect NAME"
  std::vector<CollectorVariable> collector_environment;
};

class Agent {
 public:
  // Opens the listener and the socket, then starts the collectors. Errors name the address and who holds it.
  static Result<std::unique_ptr<Agent>> create(AgentOptions options);
  virtual ~Agent() = default;

  // Runs until stop(). `on_first_report` is called once, when every collector has shown a frame or said why not, or
  // after `first_report_after` at the latest.
  virtual void run(std::function<void()> on_first_report = {}, Nanos first_report_after = 3 * kSecond) = 0;
  // Runs until every collector has shown `frames` frames or said why not, or the time is over. Returns whether they
  // did.
  virtual bool wait_for_frames(uint64_t frames, Nanos timeout) = 0;

  virtual void stop() = 0;    // async-signal-safe
  virtual void reload() = 0;  // async-signal-safe: reads the configuration again; an error keeps the running one

  virtual Recycled<Snapshot> snapshot() const = 0;
  // The document that /api/v1/status serves; see docs/api.md. Without the devices' values it is a twentieth as long.
  virtual std::string status_json(bool device_values = true) const = 0;
  // The document that /api/v1/findings serves: what needs attention, evaluated now.
  virtual std::string findings_json() const = 0;
  virtual std::string address() const = 0;  // "127.0.0.1:19400", with the real port where 0 was asked for
};

// `accelmon collect NAME`: the collector process. Speaks with the agent over descriptor 3 and shares the heartbeat page
// over descriptor 4. Returns the exit code.
int run_collector_process(const std::string& name);

struct KnownCollector {
  std::string_view name;
  std::string_view vendor;  // "nvidia"; "host" for the host
  std::string_view brief;
};
// All collectors of this build, in the order in which they are shown.
std::vector<KnownCollector> known_collectors();

}  // namespace accelmon
