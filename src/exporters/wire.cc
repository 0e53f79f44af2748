#include "exporters/wire.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/text.h"
#include "net/address.h"

namespace accelmon {

Wire::Wire(Wire&& other) noexcept
    : kind_(other.kind_), address_(std::move(other.address_)), timeout_(other.timeout_), fd_(std::move(other.fd_)) {}

Result<Wire> Wire::parse(std::string_view address, bool datagrams, Nanos timeout) {
  Wire wire;
  wire.timeout_ = timeout;
  wire.kind_ = datagrams ? Kind::datagram : Kind::stream;
  if (address.starts_with("unix:")) {
    wire.kind_ = Kind::local;
    address.remove_prefix(5);
    if (auto path = unix_address(std::string(address)); !path) return fail(path.error());
  } else {
    if (address.starts_with("udp:") || address.starts_with("tcp:")) {
      wire.kind_ = address.starts_with("udp:") ? Kind::datagram : Kind::stream;
      address.remove_prefix(4);
    }
    const Result<HostPort> where = parse_host_port(address);
    if (!where) return fail(where.error());
    if (where->port == 0 || where->host.empty())
      return fail(Code::invalid, "\"" + printable(address, 100) + "\" needs a host and a port");
  }
  wire.address_ = std::string(address);
  return wire;
}

bool Wire::wait(short events, Nanos deadline) {
  for (;;) {
    const Nanos left = deadline - real_clock().monotonic();
    if (left <= 0 || interrupted_.load(std::memory_order_acquire)) return false;
    pollfd one{fd_.get(), events, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(std::min<Nanos>(left / kMillisecond + 1, 200)));
    if (ready > 0 || (ready < 0 && errno != EINTR)) return true;
  }
}

Status Wire::connect() {
  std::vector<SocketAddress> addresses;
  if (kind_ == Kind::local) {
    const Result<SocketAddress> path = unix_address(address_);
    if (!path) return path.error();
    addresses.push_back(*path);
  } else {
    const Result<HostPort> where = parse_host_port(address_);
    if (!where) return where.error();
    Result<std::vector<SocketAddress>> found = resolve(*where);
    if (!found) return found.error();
    addresses = std::move(*found);
  }
  const Nanos deadline = real_clock().monotonic() + timeout_;
  int error = ECONNREFUSED;
  for (const SocketAddress& to : addresses) {
    fd_ = UniqueFd(::socket(to.get()->sa_family,
                            (kind_ == Kind::stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd_.valid()) {
      error = errno;
      continue;
    }
    error = ::connect(fd_.get(), to.get(), to.size) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      socklen_t size = sizeof error;
      if (!wait(POLLOUT, deadline))
        error = ETIMEDOUT;
      else if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    }
    if (error == 0) return {};
    fd_.reset();
  }
  return Status::from_errno(error, printable(address_, 200));
}

Status Wire::send(std::string_view bytes) {
  // A stream whose other end has hung up takes one more write without a complaint: it is asked first.
  if (fd_.valid() && kind_ == Kind::stream) {
    char byte;
    const ssize_t n = ::recv(fd_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) fd_.reset();
  }
  if (!fd_.valid())
    if (Status status = connect(); !status.ok()) return status;
  const Nanos deadline = real_clock().monotonic() + timeout_;
  do {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
      continue;
    }
    if (errno == EINTR) continue;
    int error = errno;
    if (error == EAGAIN || error == ENOBUFS) {
      if (wait(POLLOUT, deadline)) continue;
      error = ETIMEDOUT;
    }
    fd_.reset();
    return Status::from_errno(error, printable(address_, 200));
  } while (!bytes.empty());
  return {};
}

// ---- the file ----

Status RotatingFile::open() {
  fd_ = UniqueFd(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640));
  struct stat about {};
  if (!fd_.valid() || ::fstat(fd_.get(), &about) != 0) return Status::from_errno(errno, printable(path_, 200));
  size_ = S_ISREG(about.st_mode) ? static_cast<uint64_t>(about.st_size) : 0;
  if (!S_ISREG(about.st_mode)) limit_ = 0;  // a pipe, a terminal
  return {};
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
  if (fd_.valid() && limit_ != 0) {
    struct stat named {
    }, held{};
    if (::stat(path_.c_str(), &named) != 0 || ::fstat(fd_.get(), &held) != 0 || named.st_ino != held.st_ino ||
        named.st_dev != held.st_dev)
      fd_.reset();
  }
  if (!fd_.valid())
    if (Status status = open(); !status.ok()) return status;
  if (limit_ != 0 && size_ > 0 && size_ + lines.size() > limit_) {
    rotate();
    if (Status status = open(); !status.ok()) return status;
  }
  const uint64_t before = size_;
  while (!lines.empty()) {
    const ssize_t n = ::write(fd_.get(), lines.data(), lines.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int error = n < 0 ? errno : ENOSPC;
      if (limit_ != 0 && ::ftruncate(fd_.get(), static_cast<off_t>(before)) == 0) size_ = before;
      fd_.reset();
      return Status::from_errno(error, printable(path_, 200));
    }
    size_ += static_cast<uint64_t>(n);
    lines.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

}  // namespace accelmon
