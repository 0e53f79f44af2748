#include "base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

namespace accelmon {
namespace {

bool blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

template <class T, class... More>
std::optional<T> whole(std::string_view text, More... more) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, more...);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

struct UnitOf {
  std::string_view suffix;
  double factor;
};

// Splits "1.5s" into a number and a factor. The longest suffix is listed first so that "ms" is not read as "s".
std::optional<double> scaled(std::string_view text, std::span<const UnitOf> units) {
  for (const UnitOf& unit : units) {
    if (text.size() <= unit.suffix.size() || !text.ends_with(unit.suffix)) continue;
    const auto number = parse_double(trim(text.substr(0, text.size() - unit.suffix.size())));
    if (!number) continue;
    return *number * unit.factor;
  }
  return std::nullopt;
}

}  // namespace

std::string_view trim(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<uint64_t> parse_u64(std::string_view text, int base) {
  return whole<uint64_t>(text, base);
}
std::optional<int64_t> parse_i64(std::string_view text) {
  return whole<int64_t>(text);
}
std::optional<double> parse_double(std::string_view text) {
  return whole<double>(text);
}

std::string_view next_word(std::string_view& rest) {
  size_t begin = 0;
  while (begin < rest.size() && blank(rest[begin])) ++begin;
  size_t end = begin;
  while (end < rest.size() && !blank(rest[end])) ++end;
  const std::string_view word = rest.substr(begin, end - begin);
  rest.remove_prefix(end);
  return word;
}

std::string_view next_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return line;
}

Result<Nanos> parse_duration(std::string_view text) {
  static constexpr std::array<UnitOf, 7> kUnits{
      {{"ns", 1.0}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}}};
  const auto value = scaled(text, kUnits);
  if (value && std::isfinite(*value) && *value >= 0 && *value < 9.2e18) return static_cast<Nanos>(std::llround(*value));
  const std::string shown = printable(text, 40);
  if (parse_double(text))
    return fail(Code::invalid, "\"" + shown + "\" has no unit; write \"" + shown + "ms\" or \"" + shown + "s\"");
  return fail(Code::invalid,
              "\"" + shown + "\" is not a duration; write for example \"250ms\", \"1s\", \"10m\" or \"24h\"");
}

std::string format_duration(Nanos duration) {
  struct Step {
    Nanos unit;
    const char* suffix;
  };
  static constexpr Step kSteps[] = {{86400 * kSecond, "d"}, {3600 * kSecond, "h"}, {60 * kSecond, "m"},
                                    {kSecond, "s"},         {kMillisecond, "ms"},  {kMicrosecond, "us"}};
  for (const Step& step : kSteps)
    if (duration != 0 && duration % step.unit == 0) return std::to_string(duration / step.unit) + step.suffix;
  return duration == 0 ? "0s" : std::to_string(duration) + "ns";
}

Result<uint64_t> parse_size(std::string_view text) {
  static constexpr std::array<UnitOf, 9> kUnits{{{"KiB", 1024.0},
                                                 {"MiB", 1048576.0},
                                                 {"GiB", 1073741824.0},
                                                 {"TiB", 1099511627776.0},
                                                 {"kB", 1e3},
                                                 {"MB", 1e6},
                                                 {"GB", 1e9},
                                                 {"TB", 1e12},
                                                 {"B", 1.0}}};
  const auto value = scaled(text, kUnits);
  if (value && std::isfinite(*value) && *value >= 0 && *value < 1.8e19)
    return static_cast<uint64_t>(std::llround(*value));
  const std::string shown = printable(text, 40);
  if (parse_double(text))
    return fail(Code::invalid, "\"" + shown + "\" has no unit; write \"" + shown + "KiB\" or \"" + shown + "MiB\"");
  return fail(Code::invalid, "\"" + shown + "\" is not a size; write for example \"512KiB\", \"2MiB\" or \"1GiB\"");
}

std::string format_size(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  while (std::abs(bytes) >= 1024 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  char buffer[48];
  const int n = std::snprintf(buffer, sizeof buffer, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, kUnits[unit]);
  return std::string(buffer, static_cast<size_t>(n));
}

char* write_number(char* out, double value) {
  if (std::isnan(value)) {
    std::memcpy(out, "NaN", 3);
    return out + 3;
  }
  if (std::isinf(value)) {
    std::memcpy(out, value > 0 ? "+Inf" : "-Inf", 4);
    return out + 4;
  }
  // Integers in the range where a double holds each one exactly: shorter and five times faster than the general form.
  if (value >= -9007199254740992.0 && value <= 9007199254740992.0) {
    const auto integer = static_cast<int64_t>(value);
    if (static_cast<double>(integer) == value) return std::to_chars(out, out + 32, integer).ptr;
  }
  // What is measured in thousandths or percent. At most 15 digits, of which no two sequences give the same double: so
  // if these do give `value`, they are the ones that the general form would find, four times slower.
  const double size = value < 0 ? -value : value;
  if (size >= 0.001 && size < 1e9) {
    const auto millionths = static_cast<uint64_t>(size * 1e6 + 0.5);
    if (static_cast<double>(millionths) / 1e6 == size) {
      if (value < 0) *out++ = '-';
      out = std::to_chars(out, out + 20, millionths / 1'000'000).ptr;
      *out++ = '.';
      auto fraction = static_cast<uint32_t>(millionths % 1'000'000);
      for (int i = 5; i >= 0; --i, fraction /= 10) out[i] = static_cast<char>('0' + fraction % 10);
      out += 6;
      while (out[-1] == '0') --out;
      return out;
    }
  }
  return std::to_chars(out, out + 32, value).ptr;
}

void append_number(std::string& out, double value) {
  char buffer[32];
  out.append(buffer, write_number(buffer, value));
}
void append_number(std::string& out, uint64_t value) {
  char buffer[32];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}
void append_number(std::string& out, int64_t value) {
  char buffer[32];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

namespace {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

std::optional<std::string_view> nearest_word(std::string_view word, std::span<const std::string_view> known) {
  std::optional<std::string_view> best;
  size_t best_distance = 3;
  if (word.size() > 64) return best;
  for (std::string_view candidate : known) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance && distance < candidate.size()) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

bool matches(std::string_view pattern, std::string_view name) {
  // Greedy, with one point of return.
  size_t p = 0, n = 0, star = std::string_view::npos, from = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  size_t i = 0;
  while (i < text.size()) {
    const auto c = static_cast<unsigned char>(text[i]);
    size_t length = 1;
    bool good = c >= 0x20 && c < 0x7f;
    if (c >= 0xc2 && c <= 0xf4) {
      length = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
      good = i + length <= text.size();
      for (size_t k = 1; good && k < length; ++k) good = (static_cast<unsigned char>(text[i + k]) & 0xc0) == 0x80;
      if (good) {
        const auto second = static_cast<unsigned char>(text[i + 1]);
        // Overlong forms, surrogates, beyond U+10FFFF, and the C1 control characters.
        if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) || (c == 0xf0 && second < 0x90) ||
            (c == 0xf4 && second > 0x8f) || (c == 0xc2 && second < 0xa0))
          good = false;
      }
      if (!good) length = 1;
    }
    if (out.size() + (good ? length : 1) > limit) {
      out += "...";
      break;
    }
    if (good)
      out.append(text.substr(i, length));
    else
      out += '?';
    i += length;
  }
  return out;
}

namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::string encode_base64(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kBase64[group >> (18 - 6 * k) & 63u];
  }
  return out;
}

bool decode_base64(std::string_view text, std::string& out) {
  while (!text.empty() && text.back() == '=' && text.size() % 4 != 1) text.remove_suffix(1);
  if (text.size() % 4 == 1) return false;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t value = kBase64.find(c);
    if (value == std::string_view::npos) return false;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xff);
  }
  return true;
}

}  // namespace accelmon
