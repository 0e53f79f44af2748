// A socket that sends what no HTTP library would, for the tests of this room. Every wait ends after 20 s.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/text.h"
#include "net/address.h"

namespace accelmon::for_test {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "accelmon-net-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = pattern;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Reply {
  unsigned status = 0;
  std::string head;  // status line and headers
  std::string body;
  bool has(std::string_view line) const { return head.find(line) != std::string::npos; }
};

class RawClient {
 public:
  // "host:port" or "unix:/path".
  explicit RawClient(const std::string& endpoint) {
    const bool local = endpoint.starts_with("unix:");
    const SocketAddress address =
        local ? unix_address(endpoint.substr(5)).value() : resolve(parse_host_port(endpoint).value()).value().at(0);
    fd_.reset(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval limit{20, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(fd_.get(), address.get(), address.size) != 0) throw std::runtime_error("connect");
  }

  int fd() const { return fd_.get(); }
  // False when the other side has closed.
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  void half_close() const { ::shutdown(fd_.get(), SHUT_WR); }
  void close() { fd_.reset(); }

  // One response by its Content-Length. Status 0: the connection ended before a whole head.
  Reply receive(bool head_only = false) {
    Reply reply;
    size_t end;
    while ((end = in_.find("\r\n\r\n")) == std::string::npos)
      if (!more()) return reply;
    reply.head = in_.substr(0, end + 4);
    in_.erase(0, end + 4);
    reply.status = static_cast<unsigned>(std::atoi(reply.head.c_str() + 9));
    size_t length = 0;
    if (const size_t at = reply.head.find("Content-Length: "); at != std::string::npos && !head_only)
      length = static_cast<size_t>(std::atoll(reply.head.c_str() + at + 16));
    while (in_.size() < length)
      if (!more()) break;
    reply.body = in_.substr(0, length);
    in_.erase(0, length);
    return reply;
  }
  Reply ask(std::string_view bytes, bool head_only = false) {
    send(bytes);
    return receive(head_only);
  }
  Reply get(std::string_view path) { return ask("GET " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n\r\n"); }

  // The next line of a body without an end, without its newline.
  std::string line() {
    size_t end;
    while ((end = in_.find('\n')) == std::string::npos)
      if (!more()) return {};
    const std::string out = in_.substr(0, end);
    in_.erase(0, end + 1);
    return out;
  }

  // Whether the other side has closed; waits for it.
  bool closed() {
    while (more()) {
    }
    return !timed_out_;
  }
  const std::string& pending() const { return in_; }

 private:
  bool more() {
    char chunk[65536];
    const ssize_t n = ::recv(fd_.get(), chunk, sizeof chunk, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) timed_out_ = true;
    if (n <= 0) return false;
    in_.append(chunk, static_cast<size_t>(n));
    return true;
  }
  UniqueFd fd_;
  std::string in_;
  bool timed_out_ = false;
};

}  // namespace accelmon::for_test
