// Status and Result<T>: errors as values.
//
// An operation that can fail returns Status, or Result<T> when it also yields something. A Status carries a code for
// programs and one sentence for people: what failed, where, and what to do. Exceptions of third-party code are turned
// into a Status inside the .cc that uses it and never cross a room's door.
//
//   Result<Config> config = load_config(path);
//   if (!config) return config.error();      // hand it on
//   use(*config);
//
// Threads: values; the usual rules for const and non-const access. Cost of success: an empty string, no allocation.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace accelmon {

enum class Code : uint8_t {
  ok = 0,
  absent,         // the thing is not there: no library, no driver, no device
  unsupported,    // it is there and cannot do this
  no_permission,  // it is there and refuses us
  not_ready,      // it is there and has nothing yet; try again
  invalid,        // the input is wrong (configuration, request, message)
  lost,           // it was there and is gone (device fell off the bus, driver unloaded)
  timeout,
  io,         // the operating system refused: errno is in the message
  exhausted,  // a bound of ours is reached
  internal,   // a mistake of ours
};

std::string_view to_string(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status from_errno(int error, std::string_view what);

  bool ok() const { return code_ == Code::ok; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Code code_ = Code::ok;
  std::string message_;
};

template <class T>
using Result = tl::expected<T, Status>;

// The failing arm of a Result: return fail(Code::invalid, "...").
inline tl::unexpected<Status> fail(Code code, std::string message) {
  return tl::unexpected<Status>(Status(code, std::move(message)));
}
inline tl::unexpected<Status> fail(Status status) {
  return tl::unexpected<Status>(std::move(status));
}

}  // namespace accelmon
