// Text for terminals: widths in characters, tables, durations and shares in words.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace accelmon {

struct View {
  size_t width = 0;     // columns of the terminal; 0: not a terminal, no limit
  bool colour = false;  // only ever a help: the words say the same
};

// The terminal that standard output is: its width, and colour unless NO_COLOR or TERM=dumb says otherwise.
View terminal_view();

size_t columns_of(std::string_view text);  // characters of UTF-8 text
std::string left(std::string_view text, size_t width);
std::string right(std::string_view text, size_t width);
// Cuts to `width` characters, the last one being "…" where something was cut.
std::string cut(std::string_view text, size_t width);
// Breaks at blanks into lines of at most `width` characters (a longer word stays whole).
std::vector<std::string> wrap(std::string_view text, size_t width);

// Appends `begin` and `text`, which continues below its own beginning; nothing where `text` is empty. `width` 0: no
// limit.
void hanging(std::string& out, std::string_view begin, std::string_view text, size_t width);

std::string fixed(double value, int decimals);
std::string percent(double share);         // "38 %"
std::string span_of_time(double seconds);  // "0.4 s", "12 s", "4 min", "2 h", "3 d"
std::string short_time(double seconds);    // "3.1 ms", "0.04 ms", "1.2 s"
std::string clock_time(double wall);       // "14:03:11" in local time
std::string plural(size_t n, std::string_view one, std::string_view many);

enum class Tint : unsigned char { none, dim, yellow, red };
std::string tinted(std::string_view text, Tint tint, const View& view);

}  // namespace accelmon
