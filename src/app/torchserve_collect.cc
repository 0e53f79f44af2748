// `accelmon torchserve-collect`: what TorchServe starts every minute instead of its own script.
//
// TorchServe reads until the end of our output, without a limit of its own, in one of two threads that it also restarts
// workers with. So everything here has a limit, an alarm stands behind them all, and no process that outlives this one
// may hold our ends of its pipes.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include "app/command.h"
#include "app/host_glance.h"
#include "app/source.h"
#include "app/torchserve.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "collectors/pci_bus.h"

namespace accelmon {
namespace {

constexpr unsigned kAlarmSeconds = 5;
constexpr Nanos kStdinTimeout = kSecond;
constexpr Nanos kAgentTimeout = kSecond;
constexpr Nanos kSampleTimeout = 1500 * kMillisecond;
constexpr Nanos kSampleInterval = 20 * kMillisecond;
constexpr Nanos kCpuSpan = 20 * kMillisecond;  // two of the kernel's ticks: less would tell nothing
constexpr size_t kMaxLine = 64 * 1024;

// What is on standard input up to the first newline; whatever has come when the time is over.
std::string read_line(Nanos timeout) {
  std::string line;
  if (::isatty(STDIN_FILENO) != 0) return line;
  const Nanos deadline = real_clock().monotonic() + timeout;
  char buffer[4096];
  while (line.size() < kMaxLine && line.find('\n') == std::string::npos) {
    const Nanos left = deadline - real_clock().monotonic();
    if (left <= 0) break;
    pollfd wait{STDIN_FILENO, POLLIN, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(left / kMillisecond) + 1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) break;
    const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    line.append(buffer, static_cast<size_t>(got));
  }
  return line;
}

// Standard output and error put aside, so that a process started meanwhile does not inherit them: TorchServe would wait
// for one that cannot be killed.
class Aside {
 public:
  Aside()
      : out_(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)),
        error_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)),
        null_(::open("/dev/null", O_RDWR | O_CLOEXEC)) {
    hide();
  }
  void bring_back() {
    if (out_.valid()) ::dup2(out_.get(), STDOUT_FILENO);
    if (error_.valid()) ::dup2(error_.get(), STDERR_FILENO);
    out_.reset();
    error_.reset();
  }
  // From here on the reader of both sees the end.
  void hide() {
    if (!null_.valid()) return;
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null_.get(), fd);
  }

 private:
  UniqueFd out_, error_, null_;
};

bool utilization_is_due(const Report& report) {
  for (const ReportDevice& device : report.devices)
    for (const ReportValue& value : device.values)
      if (value.metric == "hw.gpu.utilization" && value.state == "not_ready") return true;
  return false;
}

// A process for each maker whose devices this machine has, and for none else: each costs milliseconds. Where the bus
// cannot be read, or the devices are not on it (a virtual machine of Windows), all are asked.
void keep_makers_here(Config& config) {
  const PciListing bus = list_accelerators("/sys");
  if (bus.error != 0 || !bus.unreadable.empty() || ::access("/dev/dxg", F_OK) == 0) return;
  for (const KnownCollector& known : known_collectors()) {
    const bool here = std::any_of(bus.functions.begin(), bus.functions.end(),
                                  [&](const PciFunction& one) { return pci_vendor(one.vendor) == known.vendor; });
    if (!here) config.collectors[std::string(known.name)].enabled = false;
  }
}

// A sample of the accelerators alone: the host is read without a process of its own.
Result<Report> sample(Settings& settings, std::unique_ptr<Agent>& agent) {
  set_log_level(LogLevel::error);
  settings.config.log_level = LogLevel::error;
  settings.config.poll.interval = kSampleInterval;
  for (const char* name : {"host", "sensors", "kernel_log", "presence"})
    if (const auto found = settings.config.collectors.find(name); found != settings.config.collectors.end())
      found->second.enabled = false;
  if (settings.scenario.empty()) keep_makers_here(settings.config);
  const Nanos deadline = real_clock().monotonic() + kSampleTimeout;
  Result<std::unique_ptr<Agent>> made = Agent::create(agent_options(settings, /*serve=*/false));
  if (!made) return fail(made.error());
  agent = std::move(*made);
  Result<Report> report = fail(Code::not_ready, "nothing was read");
  // What is a rate needs a second poll, and is there only where a counter is: most devices are done with the first.
  for (const uint64_t frames : {1u, 2u, 3u}) {
    const Nanos left = deadline - real_clock().monotonic();
    const bool in_time = left > 0 && agent->wait_for_frames(frames, left);
    report = parse_report(agent->status_json());
    if (!report || !in_time || !utilization_is_due(*report)) break;
  }
  return report;
}

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? std::string(name) : std::string();
}

// Of the agent's last poll: a longer span than this process can wait.
std::optional<double> cpu_of(const Report& report) {
  const std::optional<double> idle = number(report.host, "system.cpu.utilization", {{"cpu.mode", "idle"}});
  if (!idle) return std::nullopt;
  const double waiting = number(report.host, "system.cpu.utilization", {{"cpu.mode", "iowait"}}).value_or(0);
  return std::max(0.0, 1 - *idle - waiting);
}

}  // namespace

int run_torchserve_collect(const Arguments& arguments) {
  (void)std::signal(SIGALRM, SIG_DFL);
  ::alarm(kAlarmSeconds);
  int code = kFine;
  TorchServeInput input;
  if (arguments.has("--gpu")) {
    const std::optional<uint64_t> most = parse_u64(arguments.value("--gpu"));
    if (!most)
      return complain("--gpu wants a number, not '" + printable(arguments.value("--gpu"), 60) + "'", kWrongUse);
    input.most_devices = *most;
  }
  const Nanos begun = real_clock().monotonic();
  const std::string procfs = arguments.value("--procfs-root", "/proc");
  const std::optional<CpuReading> before = read_cpu(procfs);
  const std::vector<int32_t> pids = parse_torchserve_pids(read_line(kStdinTimeout));

  // Whatever fails below, the host's numbers are printed, and the reason goes to standard error, which TorchServe logs.
  std::string complaint;
  std::optional<Report> report;
  std::unique_ptr<Agent> agent;
  Aside aside;
  Result<Settings> settings = read_settings(arguments, code);
  if (!settings) {
    complaint = settings.error().message();
  } else {
    bool own = arguments.has("--simulate");
    if (!own) {
      Result<std::string> answer = ask(agent_endpoints(arguments, *settings), "GET", "/metrics", kAgentTimeout);
      Result<Report> parsed = answer ? report_of_page(*answer) : Result<Report>(fail(answer.error()));
      if (parsed)
        report = std::move(*parsed);
      else if (parsed.error().code() == Code::absent || parsed.error().code() == Code::no_permission)
        own = true;
      else
        complaint = parsed.error().message();
    }
    if (own && input.most_devices != size_t{0}) {
      Result<Report> sampled = sample(*settings, agent);
      if (sampled)
        report = std::move(*sampled);
      else
        complaint = sampled.error().message();
    }
  }
  if (report) {
    input.report = &*report;
    input.host.cpu = cpu_of(*report);
  }
  if (!input.host.cpu && before) {
    const Nanos left = begun + kCpuSpan - real_clock().monotonic();
    const timespec pause{0, static_cast<long>(std::max<Nanos>(left, 0))};
    if (left > 0) ::nanosleep(&pause, nullptr);
    if (const std::optional<CpuReading> after = read_cpu(procfs)) input.host.cpu = cpu_between(*before, *after);
  }
  read_memory_and_disk(procfs, input.host);
  input.visible = {variable("CUDA_VISIBLE_DEVICES"), variable("XPU_VISIBLE_DEVICES"), variable("HIP_VISIBLE_DEVICES")};
  input.hostname = host_name();
  input.epoch_seconds = real_clock().wall() / kSecond;
  input.workers = read_resident(procfs, pids);

  aside.bring_back();
  const int result = print(torchserve_text(input), kFine);
  if (!complaint.empty()) (void)complain(complaint, kFailure);
  aside.hide();
  return complaint.empty() ? result : kFailure;
}

}  // namespace accelmon
