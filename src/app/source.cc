#include "app/source.h"

#include <unistd.h>

#include <algorithm>

#include "app/simulate.h"
#include "base/log.h"
#include "base/text.h"
#include "net/http_client.h"

namespace accelmon {
namespace {

constexpr const char* kSystemSocket = "/run/accelmon/accelmon.sock";
constexpr Nanos kSampleTimeout = 4 * kSecond;

// Which options overrule which keys.
constexpr std::pair<std::string_view, std::string_view> kOverrides[] = {
    {"--listen", "listen.address"},
    {"--socket", "listen.socket"},
    {"--interval", "poll.interval"},
    {"--log-level", "log.level"},
};

// And which say it for every collector that reads such files.
constexpr std::pair<std::string_view, std::string_view> kRoots[] = {{"--sysfs-root", "sysfs"},
                                                                    {"--procfs-root", "procfs"}};

// Paths on the command line may be relative; the collectors run elsewhere.
std::string absolute(const std::string& path) {
  if (path.empty() || path.front() == '/') return path;
  char* here = ::get_current_dir_name();
  if (here == nullptr) return path;
  std::string out = std::string(here) + "/" + path;
  ::free(here);
  return out;
}

bool is_path(std::string_view option) {
  return option == "--socket" || option == "--sysfs-root" || option == "--procfs-root";
}

}  // namespace

Result<Settings> read_settings(const Arguments& arguments, int& code) {
  Settings settings;
  code = kFailure;
  settings.path = arguments.value("--config");
  // A reload happens wherever the process then stands.
  if (!settings.path.empty())
    settings.path = absolute(settings.path);
  else if (::access(kConfigPath, F_OK) == 0)
    settings.path = kConfigPath;
  if (settings.path.empty()) {
    settings.config = default_config();
  } else {
    Result<Config> config = load_config(settings.path);
    if (!config) return fail(config.error());
    settings.config = std::move(*config);
  }

  code = kWrongUse;
  std::vector<std::pair<std::string, std::string>> values;
  std::vector<std::pair<std::string_view, std::string_view>> overrides(std::begin(kOverrides), std::end(kOverrides));
  for (const auto& [option, root] : kRoots)
    for (const std::string_view key : collector_keys(root)) overrides.emplace_back(option, key);
  for (const auto& [option, key] : overrides) {
    if (!arguments.has(option)) continue;
    std::string value = arguments.value(option);
    if (is_path(option)) value = absolute(value);
    if (const Status status = set_config_value(settings.config, key, value); !status.ok())
      return fail(Code::invalid, std::string(option) + " " + status.message());
    values.emplace_back(key, std::move(value));
  }
  Simulation simulation;
  if (arguments.has("--simulate")) {
    Result<Simulation> found = find_simulation(arguments.value("--simulate"), installation_root());
    if (!found) {
      if (found.error().code() != Code::invalid) code = kFailure;
      return fail(found.error());
    }
    simulation = *found;
    if (const Status status = simulation.prepare(); !status.ok()) {
      code = kFailure;
      return fail(status);
    }
    settings.scenario = arguments.value("--simulate");
    settings.collector_environment = simulation.environment(real_clock().monotonic());
    simulation.apply(settings.config);
  }
  settings.overrides = [values, simulation](Config& config) {
    // Checked above; the same values fit again.
    for (const auto& [key, value] : values) (void)set_config_value(config, key, value).ok();
    if (!simulation.library.empty()) simulation.apply(config);
  };
  code = kFine;
  return settings;
}

AgentOptions agent_options(const Settings& settings, bool serve) {
  AgentOptions options;
  options.config = settings.config;
  options.config_path = settings.path;
  options.overrides = settings.overrides;
  options.serve = serve;
  options.collector_environment = settings.collector_environment;
  return options;
}

std::vector<std::string> agent_endpoints(const Arguments& arguments, const Settings& settings) {
  std::vector<std::string> endpoints;
  const auto add = [&](std::string endpoint) {
    if (std::find(endpoints.begin(), endpoints.end(), endpoint) == endpoints.end())
      endpoints.push_back(std::move(endpoint));
  };
  if (!settings.config.listen.socket.empty()) {
    // It was said which one: another agent's answer would be a wrong one.
    add("unix:" + settings.config.listen.socket);
    return endpoints;
  }
  add("unix:" + default_socket_path());
  // An agent that the system started, asked by somebody else.
  if (!arguments.has("--config")) add(std::string("unix:") + kSystemSocket);
  return endpoints;
}

Result<std::string> ask(const std::vector<std::string>& endpoints, std::string_view method, std::string_view target,
                        Nanos timeout) {
  std::string where;
  for (const std::string& endpoint : endpoints) {
    const std::string path = endpoint.starts_with("unix:") ? endpoint.substr(5) : endpoint;
    Result<HttpReply> reply = http_request(method, endpoint, target, timeout);
    if (reply) {
      if (reply->status == 200) return std::move(reply->body);
      const std::string_view answer = trim(reply->body);
      return fail(reply->status == 403 ? Code::no_permission : Code::invalid,
                  answer.empty() ? "the agent at " + path + " answers with status " + std::to_string(reply->status)
                                 : printable(answer, 400));
    }
    switch (reply.error().code()) {
      case Code::absent:
        where += (where.empty() ? "" : " or ") + path;
        continue;
      case Code::no_permission:
        return fail(Code::no_permission,
                    "the agent at " + path + " may not be asked by this user: run as its user or root");
      case Code::timeout:
        return fail(Code::timeout, "the agent at " + path + " does not answer within " + format_duration(timeout));
      default:
        return fail(reply.error().code(), "the agent at " + path + ": " + printable(reply.error().message(), 400));
    }
  }
  return fail(Code::absent, "no agent listens on " + where + "; 'accelmon serve' starts one, --socket names another");
}

Result<Source> get_source(const Arguments& arguments, uint64_t frames, int& code) {
  Result<Settings> settings = read_settings(arguments, code);
  if (!settings) return fail(settings.error());
  code = kFailure;
  Source source;
  // Other devices than the running agent's are asked for: it cannot answer.
  const bool own = arguments.has("--simulate") || arguments.has("--sysfs-root") || arguments.has("--procfs-root");
  if (!own) {
    source.endpoints = agent_endpoints(arguments, *settings);
    Result<std::string> answer = ask(source.endpoints, "GET", "/api/v1/status");
    if (answer) {
      Result<Report> report = parse_report(*answer);
      if (!report) return fail(report.error());
      source.json = std::move(*answer);
      source.report = std::move(*report);
      code = kFine;
      return source;
    }
    if (answer.error().code() != Code::absent || arguments.has("--socket")) return fail(answer.error());
  }
  // The log of a moment's agent would stand between the lines of the answer.
  set_log_level(LogLevel::error);
  settings->config.log_level = LogLevel::error;
  Result<std::unique_ptr<Agent>> agent = Agent::create(agent_options(*settings, /*serve=*/false));
  if (!agent) return fail(agent.error());
  (void)(*agent)->wait_for_frames(frames, kSampleTimeout);
  source.json = (*agent)->status_json();
  Result<Report> report = parse_report(source.json);
  if (!report) return fail(report.error());
  source.report = std::move(*report);
  source.report.sampled = true;
  source.agent = std::move(*agent);
  code = kFine;
  return source;
}

}  // namespace accelmon
