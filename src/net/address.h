// "host:port" to socket addresses and back.
//
// Threads: pure functions, except that resolve() may ask the system's resolver for a host name (and then blocks; for
// numbers and "localhost" it does not).
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace accelmon {

struct HostPort {
  std::string host;  // without brackets; empty: all interfaces
  uint16_t port = 0;
};

// "127.0.0.1:19400", "[::1]:0", "localhost:0", ":19400". The error says how to write it.
Result<HostPort> parse_host_port(std::string_view text);

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

// The addresses to try, in order. An empty host gives the IPv6 wildcard (which takes IPv4 too) and the IPv4 one. Never
// empty on success. Errors: absent (no such host).
Result<std::vector<SocketAddress>> resolve(const HostPort& where);

// "127.0.0.1:19400", "[::1]:19400".
std::string format_address(const SocketAddress& address);

// The address of a Unix socket. Errors: invalid (the path is empty or longer than the system takes).
Result<SocketAddress> unix_address(const std::string& path);

}  // namespace accelmon
