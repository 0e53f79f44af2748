// Log lines for people, on standard error: "accelmon: WARN nvml: the sentence".
//
// One write(2) a line, no allocation beyond the message, never blocks longer than the descriptor does and never fails
// the caller: a log that cannot be written (a full disk, a closed pipe) is counted and forgotten. A line that repeats
// is held back: see Repeated.
// Threads: log() may be called from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace accelmon {

enum class LogLevel : uint8_t { error, warn, info, debug };

bool parse_log_level(std::string_view text, LogLevel& out);
std::string_view to_string(LogLevel level);

void set_log_level(LogLevel level);
LogLevel log_level();
// The descriptor that log() writes to; standard error unless a test says otherwise.
void set_log_fd(int fd);

void log(LogLevel level, std::string_view area, std::string_view message);
uint64_t lost_log_lines();

// Lets a repeating message through at most once per `period`; tells how many were held back in between.
class Repeated {
 public:
  explicit Repeated(Nanos period = 60 * kSecond) : period_(period) {}
  // Logs `message` unless the same one was logged less than a period ago.
  void log(LogLevel level, std::string_view area, std::string_view message, Nanos monotonic_now);

 private:
  Nanos period_;
  Nanos last_ = 0;
  uint64_t held_back_ = 0;
  std::string last_message_;
};

}  // namespace accelmon
