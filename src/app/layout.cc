#include "app/layout.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/text.h"

namespace accelmon {

View terminal_view() {
  View view;
  if (::isatty(STDOUT_FILENO) != 1) return view;
  view.width = 80;
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0) {
    view.width = size.ws_col;
  } else if (const char* columns = std::getenv("COLUMNS")) {
    if (const auto number = parse_u64(columns); number && *number > 0 && *number < 10000) view.width = *number;
  }
  const char* no_colour = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  view.colour = (no_colour == nullptr || *no_colour == '\0') && term != nullptr && std::strcmp(term, "dumb") != 0;
  return view;
}

size_t columns_of(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string left(std::string_view text, size_t width) {
  std::string out(text);
  const size_t has = columns_of(text);
  if (has < width) out.append(width - has, ' ');
  return out;
}

std::string right(std::string_view text, size_t width) {
  const size_t has = columns_of(text);
  return std::string(has < width ? width - has : 0, ' ') + std::string(text);
}

std::string cut(std::string_view text, size_t width) {
  if (columns_of(text) <= width) return std::string(text);
  size_t end = 0;
  for (size_t columns = 0; end < text.size(); ++end) {
    if ((static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) continue;
    if (++columns == std::max<size_t>(width, 1)) break;
  }
  return std::string(trim(text.substr(0, end))) + "…";
}

std::vector<std::string> wrap(std::string_view text, size_t width) {
  std::vector<std::string> lines;
  for (std::string_view rest = text;;) {
    const std::string_view word = next_word(rest);
    if (word.empty()) break;
    if (!lines.empty() && (width == 0 || columns_of(lines.back()) + 1 + columns_of(word) <= width))
      lines.back() += " " + std::string(word);
    else
      lines.emplace_back(word);
  }
  return lines;
}

void hanging(std::string& out, std::string_view begin, std::string_view text, size_t width) {
  constexpr size_t kLeast = 24;
  const size_t indent = columns_of(begin);
  const size_t room = width == 0 ? 0 : width > indent + kLeast ? width - indent : kLeast;
  bool first = true;
  for (const std::string& part : wrap(text, room)) {
    out += (first ? std::string(begin) : std::string(indent, ' ')) + part + "\n";
    first = false;
  }
}

std::string fixed(double value, int decimals) {
  char buffer[64];
  const int n = std::snprintf(buffer, sizeof buffer, "%.*f", decimals, value);
  return n > 0 && static_cast<size_t>(n) < sizeof buffer ? std::string(buffer, static_cast<size_t>(n)) : "-";
}

std::string percent(double share) {
  const double value = share * 100;
  // A small share is not none.
  if (value > 0 && value < 0.5) return value < 0.005 ? "<0.01 %" : fixed(value, 2) + " %";
  return fixed(value, 0) + " %";
}

std::string span_of_time(double seconds) {
  if (seconds < 9.95) return fixed(seconds, 1) + " s";
  if (seconds < 120) return fixed(seconds, 0) + " s";
  if (seconds < 7200) return fixed(seconds / 60, 0) + " min";
  if (seconds < 172800) return fixed(seconds / 3600, 0) + " h";
  return fixed(seconds / 86400, 0) + " d";
}

std::string short_time(double seconds) {
  if (seconds >= 1) return fixed(seconds, 1) + " s";
  const double ms = seconds * 1e3;
  return fixed(ms, ms >= 9.95 ? 0 : ms >= 0.095 ? 1 : 2) + " ms";
}

std::string clock_time(double wall) {
  const auto when = static_cast<time_t>(std::clamp(wall, 0.0, 2.5e11));
  tm parts{};
  char buffer[16];
  if (::localtime_r(&when, &parts) == nullptr || std::strftime(buffer, sizeof buffer, "%H:%M:%S", &parts) == 0)
    return "-";
  return buffer;
}

std::string plural(size_t n, std::string_view one, std::string_view many) {
  return std::to_string(n) + " " + std::string(n == 1 ? one : many);
}

std::string tinted(std::string_view text, Tint tint, const View& view) {
  if (!view.colour || tint == Tint::none) return std::string(text);
  const char* code = tint == Tint::red ? "\x1b[31m" : tint == Tint::yellow ? "\x1b[33m" : "\x1b[2m";
  return code + std::string(text) + "\x1b[0m";
}

}  // namespace accelmon
