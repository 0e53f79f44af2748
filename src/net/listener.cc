#include "net/listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "net/address.h"
#include "net/port_holder.h"

namespace accelmon {
namespace {

constexpr int kBacklog = 128;

std::string cannot(const std::string& where) {
  return "cannot listen on " + where + ": ";
}

std::string in_use_by(int pid, const std::string& name) {
  const std::string who = "in use by pid " + std::to_string(pid) + (name.empty() ? "" : " (" + name + ")") + ". ";
  // The kernel keeps the first 15 characters of a name, which ours fits in.
  return who + (name == "accelmon" ? "Use --listen, or 'accelmon status' to ask that one."
                                   : "Choose another address with --listen.");
}

Status tcp_error(const std::string& where, uint16_t port, int error) {
  if (error == EADDRINUSE) {
    const auto holder = find_port_holder(port);
    return Status(Code::io, cannot(where) + (holder ? in_use_by(holder->pid, holder->name)
                                                    : "in use by another process, which this user may not see. Choose "
                                                      "another address with --listen."));
  }
  if (error == EACCES)
    return Status(Code::io, cannot(where) +
                                "no permission. Ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher "
                                "one with --listen.");
  if (error == EADDRNOTAVAIL)
    return Status(Code::io,
                  cannot(where) + "no interface of this host has that address. Choose another with --listen.");
  return Status(Code::io, Status::from_errno(error, "cannot listen on " + where).message());
}

// 0 or an errno.
int bind_tcp(const SocketAddress& address, UniqueFd& out) {
  UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno;
  const int on = 1, off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // Accepted sockets inherit it: without, small answers wait for the other side's delayed acknowledgement.
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (address.storage.ss_family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(fd.get(), address.get(), address.size) != 0) return errno;
  if (::listen(fd.get(), kBacklog) != 0) return errno;
  out = std::move(fd);
  return 0;
}

}  // namespace

Result<TcpListener> listen_tcp(const std::string& address) {
  const Result<HostPort> where = parse_host_port(address);
  if (!where) return fail(where.error());
  const Result<std::vector<SocketAddress>> candidates = resolve(*where);
  if (!candidates) return fail(Code::invalid, cannot(address) + candidates.error().message());
  int error = EADDRNOTAVAIL;
  for (const SocketAddress& candidate : *candidates) {
    TcpListener out;
    error = bind_tcp(candidate, out.fd);
    if (error == 0) {
      SocketAddress real;
      real.size = sizeof real.storage;
      if (::getsockname(out.fd.get(), real.get(), &real.size) != 0) return fail(tcp_error(address, where->port, errno));
      out.address = format_address(real);
      return out;
    }
    // The next candidate is for hosts without IPv6 (or IPv4), not a way around one that is in use.
    if (error != EAFNOSUPPORT && error != EADDRNOTAVAIL) break;
  }
  return fail(tcp_error(address, where->port, error));
}

UnixListener& UnixListener::operator=(UnixListener&& other) noexcept {
  if (this != &other) {
    remove();
    fd_ = std::move(other.fd_);
    path_ = std::move(other.path_);
    device_ = other.device_;
    inode_ = other.inode_;
  }
  return *this;
}

void UnixListener::remove() {
  if (!fd_.valid()) return;
  struct stat now {};
  if (::lstat(path_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_) ::unlink(path_.c_str());
  fd_.reset();
}

namespace {

// Whether a server answers at the address; its pid when it does.
bool alive(const SocketAddress& address, int& pid, int& error) {
  const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    error = errno;
    return false;
  }
  if (::connect(fd.get(), address.get(), address.size) != 0) {
    error = errno;
    return error == EAGAIN;  // its queue is full
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) pid = peer.pid;
  error = 0;
  return true;
}

// Makes room at `path` for a new socket: removes the file that a dead server left.
Status clear_the_way(const std::string& path, const SocketAddress& address) {
  const std::string where = "unix:" + path;
  struct stat there {};
  if (::lstat(path.c_str(), &there) != 0) return {};
  if (!S_ISSOCK(there.st_mode))
    return Status(Code::io, cannot(where) + "a file that is no socket lies there. Remove it, or choose another path.");
  int pid = 0, error = 0;
  if (alive(address, pid, error))
    return Status(Code::io, cannot(where) + (pid > 0 ? in_use_by(pid, process_name(pid))
                                                     : "in use by another process. Choose another path."));
  if (error == ENOENT) return {};
  if (error != ECONNREFUSED) return Status(Code::io, Status::from_errno(error, "cannot listen on " + where).message());
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return Status(Code::io,
                  Status::from_errno(errno, cannot(where) + "the file of a dead server cannot be removed").message());
  return {};
}

}  // namespace

Result<UnixListener> listen_unix(const std::string& path) {
  const Result<SocketAddress> address = unix_address(path);
  if (!address) return fail(address.error());
  const std::string where = "unix:" + path;
  const auto failed = [&](int error) {
    return fail(Code::io, Status::from_errno(error, "cannot listen on " + where).message());
  };

  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  struct stat folder_is {};
  if (::stat(folder.c_str(), &folder_is) != 0) {
    if (errno != ENOENT || (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST))
      return fail(Code::io, Status::from_errno(errno, cannot(where) + "folder " + folder).message());
    if (::stat(folder.c_str(), &folder_is) != 0) return failed(errno);
  }
  const mode_t mode = (folder_is.st_mode & S_IWOTH) != 0 ? 0600 : 0660;

  // Two servers that start at once must not remove each other's file. Who cannot have the lock goes on without it:
  // in /tmp anybody may hold it.
  const UniqueFd lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int attempt = 0; lock.valid() && attempt < 20; ++attempt) {
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) break;
    ::usleep(10'000);
  }

  if (Status status = clear_the_way(path, *address); !status.ok()) return fail(std::move(status));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return failed(errno);
  // The file is born with the socket's own mode (less the umask), so at no time can more people connect than should.
  ::fchmod(fd.get(), mode);
  if (::bind(fd.get(), address->get(), address->size) != 0) return failed(errno);
  struct stat made {};
  if (::lstat(path.c_str(), &made) != 0) return failed(errno);
  UnixListener out(std::move(fd), path, made.st_dev, made.st_ino);
  if (::chmod(path.c_str(), mode) != 0 || ::listen(out.fd(), kBacklog) != 0) return failed(errno);
  return out;
}

}  // namespace accelmon
