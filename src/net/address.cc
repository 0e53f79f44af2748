#include "net/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "base/text.h"

namespace accelmon {
namespace {

SocketAddress ipv4(in_addr address, uint16_t port) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr = address;
  in.sin_port = htons(port);
  SocketAddress out;
  std::memcpy(&out.storage, &in, sizeof in);
  out.size = sizeof in;
  return out;
}

SocketAddress ipv6(const in6_addr& address, uint16_t port) {
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_addr = address;
  in.sin6_port = htons(port);
  SocketAddress out;
  std::memcpy(&out.storage, &in, sizeof in);
  out.size = sizeof in;
  return out;
}

}  // namespace

Result<HostPort> parse_host_port(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return fail(Code::invalid, "\"" + printable(text, 80) + "\" is not an address: " + std::string(why) +
                                   "; write for example \"127.0.0.1:19400\", \"[::1]:19400\" or \":19400\"");
  };
  HostPort out;
  std::string_view rest = text;
  if (!rest.empty() && rest.front() == '[') {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) return wrong("the bracket is not closed");
    out.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    in6_addr ignored{};
    if (::inet_pton(AF_INET6, out.host.c_str(), &ignored) != 1) return wrong("brackets hold an IPv6 address");
    if (rest.empty() || rest.front() != ':') return wrong("the port is missing");
  } else {
    const size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos) return wrong("the port is missing");
    if (rest.find(':') != colon) return wrong("an IPv6 address stands in brackets");
    out.host = rest.substr(0, colon);
    rest.remove_prefix(colon);
    for (const char c : out.host)
      if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-' && c != '_')
        return wrong("a host's name has letters, digits, dots and hyphens");
  }
  const auto port = parse_u64(rest.substr(1));
  if (!port || *port > 65535) return wrong("the port is a number from 0 to 65535");
  out.port = static_cast<uint16_t>(*port);
  return out;
}

Result<std::vector<SocketAddress>> resolve(const HostPort& where) {
  std::vector<SocketAddress> out;
  in_addr four{};
  in6_addr six{};
  if (where.host.empty()) {
    out.push_back(ipv6(in6addr_any, where.port));
    four.s_addr = htonl(INADDR_ANY);
    out.push_back(ipv4(four, where.port));
    return out;
  }
  if (where.host == "localhost") {
    four.s_addr = htonl(INADDR_LOOPBACK);
    out.push_back(ipv4(four, where.port));
    out.push_back(ipv6(in6addr_loopback, where.port));
    return out;
  }
  if (::inet_pton(AF_INET, where.host.c_str(), &four) == 1) {
    out.push_back(ipv4(four, where.port));
    return out;
  }
  if (::inet_pton(AF_INET6, where.host.c_str(), &six) == 1) {
    out.push_back(ipv6(six, where.port));
    return out;
  }
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &found);
  if (error != 0) return fail(Code::absent, "host " + printable(where.host, 80) + ": " + ::gai_strerror(error));
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (one->ai_addrlen > sizeof(sockaddr_storage)) continue;
    SocketAddress address;
    std::memcpy(&address.storage, one->ai_addr, one->ai_addrlen);
    address.size = one->ai_addrlen;
    out.push_back(address);
  }
  ::freeaddrinfo(found);
  if (out.empty()) return fail(Code::absent, "host " + printable(where.host, 80) + " has no address");
  return out;
}

std::string format_address(const SocketAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.storage.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &address.storage, sizeof in);
    ::inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(in.sin_port));
  }
  if (address.storage.ss_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &address.storage, sizeof in);
    ::inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(in.sin6_port));
  }
  return "unix";
}

Result<SocketAddress> unix_address(const std::string& path) {
  sockaddr_un un{};
  if (path.empty()) return fail(Code::invalid, "the socket's path is empty");
  if (path.find('\0') != std::string::npos) return fail(Code::invalid, "the socket's path holds a zero byte");
  if (path.size() >= sizeof un.sun_path)
    return fail(Code::invalid, "the socket's path is longer than " + std::to_string(sizeof un.sun_path - 1) +
                                   " bytes, which is all that the system takes: " + printable(path));
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, path.data(), path.size());
  SocketAddress out;
  std::memcpy(&out.storage, &un, sizeof un);
  out.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return out;
}

}  // namespace accelmon
