// Where a verb gets its report from: the running agent, or a sample of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "app/command.h"
#include "app/report.h"

namespace accelmon {

inline constexpr const char* kConfigPath = "/etc/accelmon/accelmon.toml";  // where nobody names another

// The configuration that the command line asks for: the file, and what overrules it.
struct Settings {
  Config config;                           // overrides applied
  std::string path;                        // of the file; empty: none was read
  std::function<void(Config&)> overrides;  // may be applied to any configuration, again and again
  std::vector<CollectorVariable> collector_environment;
  std::string scenario;  // as it was asked for; empty: the real devices
};

// On an error `code` is the exit code to end with: wrong use for what the command line says, failure for a file.
Result<Settings> read_settings(const Arguments& arguments, int& code);

// Options for Agent::create.
AgentOptions agent_options(const Settings& settings, bool serve);

// The endpoints at which the agent may answer ("unix:/run/accelmon/accelmon.sock", "127.0.0.1:19400"), likeliest first.
std::vector<std::string> agent_endpoints(const Arguments& arguments, const Settings& settings);

// Asks the first of `endpoints` that somebody listens on, and waits for `timeout` at most. `absent`: nobody does.
Result<std::string> ask(const std::vector<std::string>& endpoints, std::string_view method, std::string_view target,
                        Nanos timeout = 5 * kSecond);

struct Source {
  std::string json;  // the status document as it came
  Report report;
  std::unique_ptr<Agent> agent;  // that took the sample; empty when a running one was asked
  std::vector<std::string> endpoints;
};

// The report of the running agent or, where none runs or the command line asks for other devices than its, of an agent
// that lives for `frames` polls (a rate needs two, a performance counter sometimes three).
Result<Source> get_source(const Arguments& arguments, uint64_t frames, int& code);

}  // namespace accelmon
