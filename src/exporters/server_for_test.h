// A server on loopback that answers as it is told, and remembers what it was sent.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/text.h"

namespace accelmon::for_test {

inline int port_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

// A socket that is bound to a free port of 127.0.0.1.
inline UniqueFd bound(int type) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (type == SOCK_STREAM) ::listen(fd.get(), 8);
  return fd;
}

class Server {
 public:
  struct Request {
    std::string head, body;
    std::string header(const std::string& name) const {
      std::string low = head;
      for (char& c : low) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
      const size_t at = low.find("\r\n" + name + ":");
      if (at == std::string::npos) return "";
      const size_t from = at + name.size() + 3;
      return std::string(trim(std::string_view(head).substr(from, head.find("\r\n", from) - from)));
    }
  };
  // The whole answer, status line and all; empty: the connection is closed.
  using Answer = std::function<std::string(const Request&)>;
  explicit Server(Answer answer) : answer_(std::move(answer)), fd_(bound(SOCK_STREAM)), port_(port_of(fd_.get())) {
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    stopping_ = true;
    thread_.join();
  }
  std::string url(const std::string& path = "/") const { return "http://127.0.0.1:" + std::to_string(port_) + path; }
  std::vector<Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  static std::string reply(int status, const std::string& body = "", const std::string& headers = "") {
    return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
           headers + "\r\n" + body;
  }

 private:
  bool readable(int fd) const {
    while (!stopping_) {
      pollfd one{fd, POLLIN, 0};
      if (::poll(&one, 1, 20) > 0) return true;
    }
    return false;
  }
  void serve() {
    while (readable(fd_.get())) {
      const UniqueFd peer(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      std::string in;
      for (bool open = peer.valid(); open;) {
        size_t end;
        size_t length = 0;
        while ((end = in.find("\r\n\r\n")) == std::string::npos ||
               in.size() < end + 4 + (length = length_of(in.substr(0, end)))) {
          char buffer[65536];
          ssize_t n = 0;
          if (!readable(peer.get()) || (n = ::recv(peer.get(), buffer, sizeof buffer, 0)) <= 0) {
            open = false;
            break;
          }
          in.append(buffer, static_cast<size_t>(n));
        }
        if (!open) break;
        Request request{in.substr(0, end), in.substr(end + 4, length)};
        in.erase(0, end + 4 + length);
        const std::string out = answer_(request);
        {
          const std::lock_guard lock(mutex_);
          requests_.push_back(std::move(request));
        }
        if (out.empty() || ::send(peer.get(), out.data(), out.size(), MSG_NOSIGNAL) < 0) break;
      }
    }
  }
  static size_t length_of(const std::string& head) {
    const std::string text = Request{head, ""}.header("content-length");
    return text.empty() ? 0 : std::stoul(text);
  }

  Answer answer_;
  UniqueFd fd_;
  int port_;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::thread thread_;
};

}  // namespace accelmon::for_test
