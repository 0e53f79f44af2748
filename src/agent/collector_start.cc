// How a slot starts its collector's process.
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <new>

#include "agent/child_fds.h"
#include "agent/collector_slot.h"

extern char** environ;

namespace accelmon {
namespace {

constexpr Nanos kAfterFailure = kSecond;

// A descriptor above the ones that the child will find its own at, so that placing one cannot overwrite the other.
UniqueFd lift(UniqueFd fd) {
  return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 10));
}

// The program to start. /proc/self/exe is this program even when its file was replaced; the file's own name is better
// where it still leads there, since tools that run the agent inside another program (valgrind) follow it.
std::string program_path(const std::string& executable) {
  if (executable != "/proc/self/exe") return executable;
  char path[4096];
  const ssize_t n = ::readlink(executable.c_str(), path, sizeof path);
  if (n <= 0 || n == static_cast<ssize_t>(sizeof path)) return executable;
  const std::string_view name(path, static_cast<size_t>(n));
  return name.ends_with(" (deleted)") ? executable : std::string(name);
}

}  // namespace

void CollectorSlot::spawn() {
  const Nanos now = clock_.monotonic();
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    message_ = Status::from_errno(errno, "cannot make a socket for the collector").message();
    schedule_restart(kAfterFailure);
    return;
  }
  UniqueFd ours(pair[0]);
  UniqueFd theirs = lift(UniqueFd(pair[1]));
  UniqueFd page(::memfd_create("accelmon-heartbeat", MFD_CLOEXEC));
  page = lift(std::move(page));
  if (!theirs.valid() || !page.valid() || ::ftruncate(page.get(), kHeartbeatBytes) != 0) {
    message_ = Status::from_errno(errno, "cannot make the heartbeat page").message();
    schedule_restart(kAfterFailure);
    return;
  }
  void* mapped = ::mmap(nullptr, kHeartbeatBytes, PROT_READ | PROT_WRITE, MAP_SHARED, page.get(), 0);
  if (mapped == MAP_FAILED) {
    message_ = Status::from_errno(errno, "cannot map the heartbeat page").message();
    schedule_restart(kAfterFailure);
    return;
  }
  if (heartbeat_ != nullptr) ::munmap(heartbeat_, kHeartbeatBytes);
  heartbeat_ = new (mapped) Heartbeat;
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);

  std::string name(entry_.name);
  std::string program = "accelmon";
  std::string verb = "collect";
  char* argv[] = {program.data(), verb.data(), name.data(), nullptr};
  std::vector<const CollectorVariable*> variables;
  for (const CollectorVariable& one : settings_.environment)
    if (one.only.empty() || std::find(one.only.begin(), one.only.end(), name) != one.only.end())
      variables.push_back(&one);
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    // The service manager's channel is the agent's own.
    if (text.starts_with("NOTIFY_SOCKET=") || text.starts_with("WATCHDOG_")) continue;
    // So are its keys, which no vendor's library needs to see.
    if (text.starts_with("AWS_")) continue;
    const std::string_view key = text.substr(0, text.find('='));
    if (std::any_of(variables.begin(), variables.end(), [&](const auto* one) { return one->name == key; })) continue;
    environment.emplace_back(text);
  }
  for (const CollectorVariable* one : variables) environment.push_back(one->name + "=" + one->value);
  std::vector<char*> env;
  for (std::string& entry : environment) env.push_back(entry.data());
  env.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), kCollectorSocketFd);
  posix_spawn_file_actions_adddup2(&actions, page.get(), kCollectorHeartbeatFd);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int error =
      ::posix_spawn(&pid, program_path(settings_.executable).c_str(), &actions, &attributes, argv, env.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    message_ = Status::from_errno(error, "cannot start " + settings_.executable).message();
    schedule_restart(kAfterFailure);
    return;
  }

  if (spawned_at_ != 0 && state_ != SlotState::absent) ++restarts_;
  pid_ = pid;
  socket_ = std::move(ours);
  reader_ = MessageReader();
  greeted_ = stopping_ = asked_to_stop_ = restart_at_once_ = false;
  notice_ = Status();
  stats_ = CollectorStats();
  spawned_at_ = now;
  killed_at_ = stop_asked_at_ = 0;
  frames_of_process_ = last_sequence_ = raw_generation_ = 0;
  // A source that is asked again whether it is there yet keeps saying so meanwhile.
  if (state_ != SlotState::absent) {
    state_ = SlotState::starting;
    message_ = "starting";
  }

  std::string bytes;
  write_configure(bytes, Configure{interval_, slow_, rare_, own_.options});
  // A fresh socket's buffer takes this whole; if not, the process sees a broken start and ends.
  if (::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()))
    reject("its configuration does not fit into the socket");
}

}  // namespace accelmon
