#include "exporters/rotating_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>

#include "base/log.h"
#include "base/text.h"

namespace accelmon {
namespace {

// As many whole lines as a pipe takes at once, or not at all: lines are not torn, and where the descriptor cannot be
// made non-blocking, a write of what it said that it takes does not wait.
std::string_view piece(std::string_view lines) {
  if (lines.size() <= PIPE_BUF) return lines;
  const size_t end = lines.rfind('\n', PIPE_BUF - 1);
  return lines.substr(0, end == std::string_view::npos ? PIPE_BUF : end + 1);
}

}  // namespace

RotatingFile::RotatingFile(RotatingFile&& other) noexcept
    : path_(std::move(other.path_)),
      limit_(other.limit_),
      keep_(other.keep_),
      timeout_(other.timeout_),
      fd_(std::move(other.fd_)),
      kind_(other.kind_),
      turned_over_(other.turned_over_),
      told_(other.told_),
      size_(other.size_),
      taken_(other.taken_) {}

std::string RotatingFile::shown() const {
  return standard_output() ? "standard output" : printable(path_, 200);
}

Status RotatingFile::open() {
  if (standard_output()) return open_standard_output();
  fd_ = UniqueFd(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640));
  struct stat about {};
  if (!fd_.valid()) {
    const int error = errno;
    if (error == ENXIO && ::stat(path_.c_str(), &about) == 0) {
      if (S_ISFIFO(about.st_mode)) return {Code::not_ready, shown() + ": nobody reads from this pipe"};
      if (S_ISSOCK(about.st_mode))
        return {Code::invalid, shown() + ": a socket cannot be opened by its name; for standard output write \"-\""};
    }
    return Status::from_errno(error, shown());
  }
  if (::fstat(fd_.get(), &about) != 0) {
    const int error = errno;
    fd_.reset();
    return Status::from_errno(error, shown());
  }
  kind_ = S_ISREG(about.st_mode) ? Kind::file : Kind::stream;
  size_ = kind_ == Kind::file ? static_cast<uint64_t>(about.st_size) : 0;
  taken_ = 0;
  struct stat named {};
  turned_over_ = kind_ == Kind::file && ::lstat(path_.c_str(), &named) == 0 && S_ISREG(named.st_mode);
  if (kind_ == Kind::file && !turned_over_ && !std::exchange(told_, true))
    log(LogLevel::warn, "exporters", shown() + " is a link: the file behind it grows without a limit");
  return {};
}

Status RotatingFile::open_standard_output() {
  struct stat about {};
  if (::fstat(STDOUT_FILENO, &about) != 0) return Status::from_errno(errno, shown());
  kind_ = S_ISSOCK(about.st_mode) ? Kind::socket : Kind::stream;
  // O_NONBLOCK belongs to the open file, which others have too: it is opened anew for ourselves where that works.
  if (S_ISFIFO(about.st_mode) || S_ISCHR(about.st_mode))
    fd_ = UniqueFd(::open("/proc/self/fd/1", O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd_.valid()) fd_ = UniqueFd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  return fd_.valid() ? Status() : Status::from_errno(errno, shown());
}

void RotatingFile::rotate() {
  fd_.reset();
  for (unsigned n = keep_; n > 1; --n)
    (void)std::rename((path_ + "." + std::to_string(n - 1)).c_str(), (path_ + "." + std::to_string(n)).c_str());
  if (keep_ > 0)
    (void)std::rename(path_.c_str(), (path_ + ".1").c_str());
  else
    (void)::unlink(path_.c_str());
}

Status RotatingFile::append(std::string_view lines) {
  if (fd_.valid() && kind_ == Kind::file) {
    struct stat named {
    }, held{};
    if (::fstatat(AT_FDCWD, path_.c_str(), &named, turned_over_ ? AT_SYMLINK_NOFOLLOW : 0) != 0 ||
        ::fstat(fd_.get(), &held) != 0 || named.st_ino != held.st_ino || named.st_dev != held.st_dev)
      fd_.reset();
  }
  if (!fd_.valid())
    if (Status status = open(); !status.ok()) return status;
  if (turned_over_ && limit_ != 0 && size_ > 0 && size_ + lines.size() > limit_) {
    rotate();
    if (Status status = open(); !status.ok()) return status;
  }
  if (kind_ != Kind::file) return stream(lines);
  const uint64_t before = size_;
  while (!lines.empty()) {
    const ssize_t n = ::write(fd_.get(), lines.data(), lines.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int error = n < 0 ? errno : ENOSPC;
      if (::ftruncate(fd_.get(), static_cast<off_t>(before)) == 0) size_ = before;
      fd_.reset();
      return Status::from_errno(error, shown());
    }
    size_ += static_cast<uint64_t>(n);
    lines.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status RotatingFile::wait(Nanos deadline) {
  for (;;) {
    if (interrupted_.load(std::memory_order_acquire)) return {Code::lost, "interrupted"};
    const Nanos left = deadline - real_clock().monotonic();
    if (left <= 0) return {Code::timeout, shown() + ": nobody takes what is written there"};
    pollfd one{fd_.get(), POLLOUT, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(std::min<Nanos>(left / kMillisecond + 1, 100)));
    if (ready > 0 || (ready < 0 && errno != EINTR)) return {};
  }
}

Status RotatingFile::stream(std::string_view lines) {
  const Nanos deadline = real_clock().monotonic() + timeout_;
  taken_ = std::min(taken_, lines.size());
  while (taken_ < lines.size()) {
    if (Status status = wait(deadline); !status.ok()) return status;
    const std::string_view next = piece(lines.substr(taken_));
    const ssize_t n = kind_ == Kind::socket ? ::send(fd_.get(), next.data(), next.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                                            : ::write(fd_.get(), next.data(), next.size());
    if (n > 0) {
      taken_ += static_cast<size_t>(n);
      continue;
    }
    const int error = n < 0 ? errno : ENOSPC;
    if (error == EINTR) continue;
    if (error == EAGAIN) {
      ::poll(nullptr, 0, 10);  // it said that it takes something, and does not take this
      continue;
    }
    // Who read is gone, and with it what it had been given: the next one gets all of it.
    if (error != ENOSPC) {
      taken_ = 0;
      fd_.reset();
    }
    return Status::from_errno(error, shown());
  }
  taken_ = 0;
  return {};
}

}  // namespace accelmon
