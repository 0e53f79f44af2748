#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "app/banner.h"
#include "app/command.h"
#include "app/source.h"
#include "base/log.h"
#include "exporters/settings.h"

namespace accelmon {
namespace {

// What the signal handlers act on. Set before they are installed, cleared after they are gone.
Agent* served = nullptr;

void on_stop(int) {
  served->stop();
}
void on_reload(int) {
  served->reload();
}

// Whether an exporter writes lines there, which the banner would be one of.
bool output_is_taken(const Config& config) {
  return std::any_of(config.exporters.begin(), config.exporters.end(), [](const auto& one) {
    const ExporterSettings settings(one.first, one.second.options);
    return settings.flag("enabled", true) && settings.text("path") == "-";
  });
}

// A terminal that was told to stop (Ctrl-S) or a full pipe must not hold up the agent: the banner is then left out.
bool writable(int fd) {
  constexpr int kPatienceMs = 500;
  pollfd ready{fd, POLLOUT, 0};
  return ::poll(&ready, 1, kPatienceMs) == 1 && (ready.revents & POLLOUT) != 0;
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  (void)::sigaction(signal, &action, nullptr);
}

}  // namespace

int run_serve(const Arguments& arguments) {
  int code = kFine;
  Result<Settings> settings = read_settings(arguments, code);
  if (!settings) return complain(settings.error().message(), code);
  set_log_level(settings->config.log_level);
  handle(SIGPIPE, SIG_IGN);
  Result<std::unique_ptr<Agent>> agent = Agent::create(agent_options(*settings, /*serve=*/true));
  if (!agent) return complain(agent.error().message(), kFailure);
  served = agent->get();
  handle(SIGTERM, on_stop);
  handle(SIGINT, on_stop);
  handle(SIGHUP, on_reload);
  (*agent)->run([&] {
    const Result<Report> report = parse_report((*agent)->status_json(false));
    const char* command = std::getenv("ACCELMON_COMMAND");
    // Nobody may be reading; the agent serves all the same.
    const bool taken = output_is_taken(settings->config);
    if (!report || !writable(taken ? STDERR_FILENO : STDOUT_FILENO)) return;
    const std::string banner =
        render_banner(*report, settings->scenario, command != nullptr ? command : "accelmon serve");
    if (taken)
      (void)std::fputs(banner.c_str(), stderr);
    else
      (void)print(banner);
  });
  handle(SIGTERM, SIG_IGN);
  handle(SIGINT, SIG_IGN);
  handle(SIGHUP, SIG_IGN);
  agent->reset();
  served = nullptr;
  return kFine;
}

}  // namespace accelmon
