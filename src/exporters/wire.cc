#include "exporters/wire.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

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

}  // namespace accelmon
