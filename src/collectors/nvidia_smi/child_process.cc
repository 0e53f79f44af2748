#include "collectors/nvidia_smi/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
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
constexpr int kNotStarted = 127;
constexpr unsigned kCloseRangeCloexec = 4;  // not every libc has its name
constexpr int kMostDescriptors = 1024;      // that a kernel without close_range is asked about

void pause(Nanos span) {
  const timespec wait{span / kSecond, span % kSecond};
  ::nanosleep(&wait, nullptr);
}

// What the child needs, made before it is there: between fork and exec it may neither allocate nor lock.
struct Start {
  pid_t parent;
  int nothing;  // /dev/null
  int output;
  int failure;  // takes the errno; the exec closes it
  const char* program;
  char* const* arguments;
  char* const* environment;
};

// Ours are closed by themselves; what a parent of ours left open is not.
void close_others_at_exec() {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, 3U, ~0U, kCloseRangeCloexec) == 0) return;
#endif
  for (int fd = 3; fd < kMostDescriptors; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

// A descriptor that is where it shall be already would keep its close-on-exec.
bool place(int from, int at) {
  return from == at ? ::fcntl(at, F_SETFD, 0) == 0 : ::dup2(from, at) >= 0;
}

// In the child: calls that a signal handler may make, and no others.
[[noreturn]] void become(const Start& start) {
  // The kernel ends it with the thread that started it. Else a program that hangs in the driver would outlive an agent
  // or a collector that was killed. Of a parent that died before this line nothing is heard any more.
  int error = 0;
  const auto must = [&error](bool done) {
    if (!done && error == 0) error = errno;
  };
  must(::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
  if (::getppid() != start.parent) ::_exit(kNotStarted);
  must(::setpgid(0, 0) == 0);
  // The collector ignores these; a child that inherited that would outlive its own pipe.
  struct sigaction as_at_login = {};
  as_at_login.sa_handler = SIG_DFL;
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) must(::sigaction(signal, &as_at_login, nullptr) == 0);
  sigset_t none;
  sigemptyset(&none);
  must(::sigprocmask(SIG_SETMASK, &none, nullptr) == 0);
  must(place(start.nothing, 0));
  must(place(start.output, 1));
  must(place(start.output, 2));
  close_others_at_exec();
  if (error == 0) must(::execve(start.program, start.arguments, start.environment) == 0);
  [[maybe_unused]] const ssize_t n = ::write(start.failure, &error, sizeof error);
  ::_exit(kNotStarted);
}

// Waits until there is something to read, or the end; false: not before `deadline`.
bool readable_until(int fd, Nanos deadline) {
  for (;;) {
    const Nanos left = deadline - real_clock().monotonic();
    if (left <= 0) return false;
    pollfd waiting{fd, POLLIN, 0};
    const timespec wait{left / kSecond, left % kSecond};
    if (::ppoll(&waiting, 1, &wait, nullptr) > 0) return true;
  }
}

// A descriptor above those that the child's own ones are placed at.
UniqueFd lifted(UniqueFd fd) {
  return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
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
  int ends[2], failures[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(Status::from_errno(errno, "cannot make a pipe"));
  const UniqueFd from(ends[0]);
  UniqueFd to = lifted(UniqueFd(ends[1]));
  if (::pipe2(failures, O_CLOEXEC) != 0) return fail(Status::from_errno(errno, "cannot make a pipe"));
  const UniqueFd failure(failures[0]);
  UniqueFd failing = lifted(UniqueFd(failures[1]));
  const UniqueFd nothing = lifted(UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  if (!to.valid() || !failing.valid() || !nothing.valid())
    return fail(Status::from_errno(errno, "cannot prepare the start of " + arguments[0]));
  ::fcntl(from.get(), F_SETFL, O_NONBLOCK);

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
  const Start start{::getpid(), nothing.get(), to.get(), failing.get(), argv[0], argv.data(), environment.data()};
  pid_ = ::fork();
  if (pid_ == 0) become(start);
  if (pid_ < 0) {
    pid_ = 0;
    return fail(Status::from_errno(errno, "cannot start " + arguments[0]));
  }
  ::setpgid(pid_, pid_);  // by whoever comes first, so that the group can be killed from now on
  to.reset();
  failing.reset();

  const auto give_up = [&](Code code, std::string why) {
    kill_group(kPatience);
    return fail(code, arguments[0] + " " + std::move(why));
  };
  const auto too_late = [&] {
    return give_up(Code::timeout,
                   "did not end within " + std::to_string(limits.timeout / kMillisecond) + " ms and was killed");
  };
  // The far end is closed by the exec, or told why there is none.
  int error = 0;
  if (!readable_until(failure.get(), deadline)) return too_late();
  if (::read(failure.get(), &error, sizeof error) == static_cast<ssize_t>(sizeof error)) {
    reap(real_clock().monotonic() + kPatience, status);
    return fail(Status::from_errno(error, arguments[0]));
  }
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
    if (n > 0 ? real_clock().monotonic() >= deadline : !readable_until(from.get(), deadline)) return too_late();
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
