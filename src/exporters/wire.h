// Bytes to a socket, for destinations that know no answers: TCP, UDP, local sockets.
//
// Threads: one at a time, but for interrupt(). Every wait is bounded. Errors are a Status that names the address.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/fd.h"
#include "base/status.h"

namespace accelmon {

// "HOST:PORT", "udp:HOST:PORT", "tcp:HOST:PORT", "unix:/PATH" (a datagram socket).
class Wire {
 public:
  // `datagrams`: what an address without a scheme means. Errors: invalid.
  static Result<Wire> parse(std::string_view address, bool datagrams, Nanos timeout);
  Wire(Wire&& other) noexcept;

  bool datagrams() const { return kind_ != Kind::stream; }
  // All of a stream's bytes, or one datagram. Connects first where it is not connected. After an error the connection
  // is closed, and it is not known what arrived.
  Status send(std::string_view bytes);
  void interrupt() { interrupted_.store(true, std::memory_order_release); }

 private:
  enum class Kind : uint8_t { stream, datagram, local };
  Wire() = default;
  Status connect();
  bool wait(short events, Nanos deadline);

  Kind kind_ = Kind::stream;
  std::string address_;  // without the scheme
  Nanos timeout_ = 10 * kSecond;
  UniqueFd fd_;
  std::atomic<bool> interrupted_{false};
};

}  // namespace accelmon
