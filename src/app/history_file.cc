#include "app/history_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "app/source.h"
#include "base/fd.h"
#include "base/text.h"

namespace accelmon {
namespace {

// StateDirectory of deploy/systemd/accelmon.service.
constexpr const char* kPackagedPath = "/var/lib/accelmon/history.db";

enum class NamedBy : uint8_t { command_line, agent, configuration, package };

struct Place {
  std::string path;
  NamedBy by;
  std::string who;  // the agent's socket, or the configuration's file
};

std::string told(const Place& place) {
  std::string out = "the history " + printable(place.path, 4096);
  if (place.by == NamedBy::agent) out += ", which the agent at " + printable(place.who, 200) + " writes,";
  if (place.by == NamedBy::configuration) out += ", which " + printable(place.who, 4096) + " names,";
  return out;
}

std::string as_root() {
  return ::geteuid() == 0 ? std::string() : ": run it as root, as in 'sudo accelmon export'";
}

Result<HistoryFile> open_place(const Place& place) {
  {
    // Closed before SQLite opens it: closing it later would take SQLite's locks away.
    const UniqueFd fd(::open(place.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    const int error = fd.valid() ? 0 : errno;
    if (error == EACCES || error == EPERM)
      return fail(Code::no_permission, told(place) + " may not be read by this user" + as_root());
    if (error == ENOENT && place.by == NamedBy::agent)
      return fail(Code::absent, told(place) +
                                    " is not there: where the agent runs in a container, say with --path where its "
                                    "file is seen from here");
    if (error == ENOENT && place.by == NamedBy::configuration)
      return fail(Code::absent, told(place) + " is not there: no agent with this configuration has begun it");
    if (error != 0) return fail(Status::from_errno(error, told(place)));
  }
  Result<HistoryFile> file = HistoryFile::open(place.path);
  // To read what an agent writes to takes its index beside it as well.
  if (!file && file.error().code() == Code::no_permission && place.by != NamedBy::command_line)
    return fail(Code::no_permission,
                told(place) + " cannot be read by this user" + as_root() + " (" + file.error().message() + ")");
  return file;
}

}  // namespace

Result<HistoryFile> open_history(const Arguments& arguments, int& code) {
  code = kFailure;
  if (std::string path = arguments.value("--path"); !path.empty())
    return open_place({std::move(path), NamedBy::command_line, ""});
  const Result<Settings> settings = read_settings(arguments, code);
  if (!settings) return fail(settings.error());
  code = kFailure;
  const std::string& configured = settings->config.store.path;
  const bool chosen = arguments.has("--socket");
  if (arguments.has("--config") && !configured.empty() && !chosen)
    return open_place({configured, NamedBy::configuration, settings->path});

  std::string looked;
  const auto note = [&](const std::string& what) { looked += (looked.empty() ? "" : "; ") + what; };
  for (const std::string& endpoint : agent_endpoints(arguments, *settings)) {
    const std::string socket = endpoint.substr(endpoint.find(':') + 1);
    const Result<std::string> answer = ask({endpoint}, "GET", "/api/v1/status");
    if (!answer) {
      if (chosen) return fail(answer.error());
      note(answer.error().code() == Code::absent ? "no agent listens on " + socket : answer.error().message());
      continue;
    }
    const Result<Report> report = parse_report(*answer);
    if (!report) {
      note("the agent at " + socket + ": " + report.error().message());
      continue;
    }
    if (report->history && !report->history->path.empty())
      return open_place({report->history->path, NamedBy::agent, socket});
    const std::string without = "the agent at " + socket +
                                (report->history ? " does not say where its history is" : " keeps no history on disk");
    if (chosen) return fail(Code::absent, without + "; name a file with --path");
    note(without);
  }

  if (!configured.empty())
    return open_place({configured, NamedBy::configuration,
                       settings->path.empty() ? std::string("$STATE_DIRECTORY") : settings->path});
  note(settings->path.empty() ? "there is no " + std::string(kConfigPath)
                              : "store.path is not set in " + settings->path);
  // Of another configuration than the service's it says nothing.
  if (settings->path.empty() || settings->path == kConfigPath) {
    if (::access(kPackagedPath, F_OK) == 0 || errno != ENOENT) return open_place({kPackagedPath, NamedBy::package, ""});
    note("there is no " + std::string(kPackagedPath));
  }
  return fail(Code::absent,
              "no history is found: " + looked + ". Name a file with --path, or let an agent keep one: store.path");
}

}  // namespace accelmon
