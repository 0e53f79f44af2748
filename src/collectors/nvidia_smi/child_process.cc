#include "collectors/nvidia_smi/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/fd.h"

namespace accelmon::nvidia_smi {
namespace {

constexpr const char* kDefaultPath = "/usr/local/bin:/usr/bin:/bin";
constexpr const char* kWslPath = "/usr/lib/wsl/lib";
constexpr Nanos kPatience = kSecond;  // for a killed child to go

void pause(Nanos span) {
  const timespec wait{span / kSecond, span % kSecond};
  ::nanosleep(&wait, nullptr);
}

// What posix_spawn takes, freed however run() is left.
struct Actions {
  Actions() { ::posix_spawn_file_actions_init(&files), ::posix_spawnattr_init(&attributes); }
  ~Actions() { ::posix_spawn_file_actions_destroy(&files), ::posix_spawnattr_destroy(&attributes); }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

bool prepare(Actions& actions, int output) {
  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  // The collector ignores these; a child that inherited that would outlive its own pipe.
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) sigaddset(&defaults, signal);
#if __GLIBC_PREREQ(2, 34)
  // Ours are closed by themselves; what a parent of ours left open is not.
  const auto close_others = [&] { return ::posix_spawn_file_actions_addclosefrom_np(&actions.files, 3) == 0; };
#else
  const auto close_others = [] { return true; };
#endif
  return ::posix_spawn_file_actions_addopen(&actions.files, 0, "/dev/null", O_RDONLY, 0) == 0 &&
         ::posix_spawn_file_actions_adddup2(&actions.files, output, 1) == 0 &&
         ::posix_spawn_file_actions_adddup2(&actions.files, output, 2) == 0 && close_others() &&
         ::posix_spawnattr_setpgroup(&actions.attributes, 0) == 0 &&
         ::posix_spawnattr_setsigmask(&actions.attributes, &none) == 0 &&
         ::posix_spawnattr_setsigdefault(&actions.attributes, &defaults) == 0 &&
         ::posix_spawnattr_setflags(&actions.attributes,
                                    POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) == 0;
}

}  // namespace

ChildProcess::~ChildProcess() {
  if (pid_ != 0) kill_group(kPatience);
}

// Whether the child is gone; waits until `deadline`.
bool ChildProcess::reap(Nanos deadline, int& status) {
  for (Nanos step = 200 * kMicrosecond;; step = std::min<Nanos>(step * 2, 10 * kMillisecond)) {
    const pid_t gone = ::waitpid(pid_, &status, WNOHANG);
    if (gone == pid_ || (gone < 0 && errno != EINTR)) {
      if (gone < 0) status = 0;
      pid_ = 0;
      return true;
    }
    if (real_clock().monotonic() >= deadline) return false;
    pause(step);
  }
}

void ChildProcess::kill_group(Nanos patience) {
  ::kill(-pid_, SIGKILL);
  int status = 0;
  reap(real_clock().monotonic() + patience, status);
}

Result<int> ChildProcess::run(const std::vector<std::string>& arguments, const Limits& limits, std::string& output) {
  output.clear();
  int status = 0;
  if (pid_ != 0 && !reap(0, status))
    return fail(Code::not_ready, "process " + std::to_string(pid_) + " of " + arguments[0] +
                                     " was killed and does not go: it sits in the kernel, that is in the driver");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(Status::from_errno(errno, "cannot make a pipe"));
  const UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);
  ::fcntl(from.get(), F_SETFL, O_NONBLOCK);

  Actions actions;
  if (!prepare(actions, to.get())) return fail(Code::internal, "cannot prepare the start of " + arguments[0]);
  std::string path = std::string("PATH=") + (std::getenv("PATH") != nullptr ? std::getenv("PATH") : kDefaultPath);
  std::string locale = "LC_ALL=C";
  std::string libraries = "LD_LIBRARY_PATH=";
  std::array<char*, 4> environment{locale.data(), path.data(), nullptr, nullptr};
  if (const char* given = std::getenv("LD_LIBRARY_PATH"); given != nullptr) {
    libraries += given;
    environment[2] = libraries.data();
  }
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const Nanos deadline = real_clock().monotonic() + limits.timeout;
  const int failed =
      ::posix_spawn(&pid_, argv[0], &actions.files, &actions.attributes, argv.data(), environment.data());
  if (failed != 0) {
    pid_ = 0;
    return fail(Status::from_errno(failed, arguments[0]));
  }
  to.reset();

  const auto give_up = [&](Code code, std::string why) {
    kill_group(kPatience);
    return fail(code, arguments[0] + " " + std::move(why));
  };
  const auto too_late = [&] {
    return give_up(Code::timeout,
                   "did not end within " + std::to_string(limits.timeout / kMillisecond) + " ms and was killed");
  };
  char chunk[16384];
  for (;;) {
    const ssize_t n = ::read(from.get(), chunk, sizeof chunk);
    if (n == 0) break;
    if (n > 0) {
      if (output.size() + static_cast<size_t>(n) > limits.bytes)
        return give_up(Code::exhausted, "printed more than " + std::to_string(limits.bytes) + " bytes and was killed");
      output.append(chunk, static_cast<size_t>(n));
    } else if (errno != EAGAIN && errno != EINTR) {
      return give_up(Code::io, std::string("cannot be read: ") + std::strerror(errno));
    }
    const Nanos left = deadline - real_clock().monotonic();
    if (left <= 0) return too_late();
    if (n > 0) continue;
    pollfd waiting{from.get(), POLLIN, 0};
    const timespec wait{left / kSecond, left % kSecond};
    ::ppoll(&waiting, 1, &wait, nullptr);
  }
  if (!reap(deadline, status)) return too_late();
  if (WIFSIGNALED(status))
    return fail(Code::lost, arguments[0] + " died of signal " + std::to_string(WTERMSIG(status)));
  return WEXITSTATUS(status);
}

std::string find_program(const std::string& name) {
  const auto runs = [](const std::string& path) { return ::access(path.c_str(), X_OK) == 0; };
  if (name.find('/') != std::string::npos) return runs(name) ? name : std::string();
  const char* const given = std::getenv("PATH");
  const std::string all = std::string(given != nullptr ? given : kDefaultPath) + ":" + kWslPath;
  for (size_t begin = 0; begin <= all.size();) {
    const size_t end = std::min(all.find(':', begin), all.size());
    // An empty or relative entry would look where the agent happens to stand.
    if (end > begin && all[begin] == '/')
      if (std::string path = all.substr(begin, end - begin) + "/" + name; runs(path)) return path;
    begin = end + 1;
  }
  return {};
}

}  // namespace accelmon::nvidia_smi
