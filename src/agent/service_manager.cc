#include "agent/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/fd.h"
#include "base/text.h"

namespace accelmon {

void notify_service_manager(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t length = std::strlen(path);
  if (length < 2 || length >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract name
  const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return;
  [[maybe_unused]] const ssize_t sent = ::sendto(fd.get(), state.data(), state.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                                                 reinterpret_cast<const sockaddr*>(&address),
                                                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
}

Nanos watchdog_period() {
  const char* micros = std::getenv("WATCHDOG_USEC");
  if (micros == nullptr) return 0;
  if (const char* pid = std::getenv("WATCHDOG_PID");
      pid != nullptr && parse_u64(pid) != static_cast<uint64_t>(::getpid()))
    return 0;
  const auto value = parse_u64(micros);
  if (!value || *value == 0 || *value > 86'400'000'000ull) return 0;
  return static_cast<Nanos>(*value) * kMicrosecond / 2;
}

}  // namespace accelmon
