#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/text.h"

namespace accelmon {
namespace {

std::atomic<LogLevel> g_level{LogLevel::info};
std::atomic<int> g_fd{STDERR_FILENO};
std::atomic<uint64_t> g_lost{0};

}  // namespace

bool parse_log_level(std::string_view text, LogLevel& out) {
  for (LogLevel level : {LogLevel::error, LogLevel::warn, LogLevel::info, LogLevel::debug}) {
    if (text == to_string(level)) {
      out = level;
      return true;
    }
  }
  return false;
}

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::error:
      return "error";
    case LogLevel::warn:
      return "warn";
    case LogLevel::info:
      return "info";
    case LogLevel::debug:
      return "debug";
  }
  return "info";
}

void set_log_level(LogLevel level) {
  g_level.store(level, std::memory_order_relaxed);
}
LogLevel log_level() {
  return g_level.load(std::memory_order_relaxed);
}
void set_log_fd(int fd) {
  g_fd.store(fd, std::memory_order_relaxed);
}
uint64_t lost_log_lines() {
  return g_lost.load(std::memory_order_relaxed);
}

void log(LogLevel level, std::string_view area, std::string_view message) {
  if (level > log_level()) return;
  std::string line = "accelmon: ";
  if (level == LogLevel::error) line += "ERROR ";
  if (level == LogLevel::warn) line += "WARN ";
  if (level == LogLevel::debug) line += "DEBUG ";
  if (!area.empty()) {
    line += area;
    line += ": ";
  }
  line += printable(message, 2000);
  line += '\n';
  // One attempt: a line that did not go out whole is lost, and a loop here could hold up a poll.
  const ssize_t n = ::write(g_fd.load(std::memory_order_relaxed), line.data(), line.size());
  if (n != static_cast<ssize_t>(line.size())) g_lost.fetch_add(1, std::memory_order_relaxed);
}

void Repeated::log(LogLevel level, std::string_view area, std::string_view message, Nanos monotonic_now) {
  if (message == last_message_ && last_ != 0 && monotonic_now - last_ < period_) {
    ++held_back_;
    return;
  }
  std::string text(message);
  if (held_back_ > 0 && message == last_message_) text += " (" + std::to_string(held_back_) + " more like it since)";
  last_message_.assign(message);
  held_back_ = 0;
  last_ = monotonic_now;
  accelmon::log(level, area, text);
}

}  // namespace accelmon
