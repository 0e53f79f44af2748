#include "agent/api_query.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "base/text.h"

namespace accelmon {
namespace {

constexpr Nanos kLatest = 7'258'118'400 * kSecond;  // the year 2200
constexpr std::string_view kTimes =
    "; write Unix seconds (1764000000), RFC 3339 (2026-11-24T13:00:00Z), or a time before now (-1h)";

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

tl::unexpected<Status> no_time(std::string_view text) {
  return fail(Code::invalid, "'" + printable(text, 60) + "' is no time" + std::string(kTimes));
}

// Exactly `digits` digits of `text` from `at` on; -1 where they are not there.
int number_at(std::string_view text, size_t at, size_t digits) {
  if (text.size() < at + digits) return -1;
  int value = 0;
  for (const char c : text.substr(at, digits)) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

std::optional<Nanos> parse_rfc3339(std::string_view text) {
  const int year = number_at(text, 0, 4), month = number_at(text, 5, 2), day = number_at(text, 8, 2);
  const int hour = number_at(text, 11, 2), minute = number_at(text, 14, 2), second = number_at(text, 17, 2);
  if (year < 1970 || year >= 2200 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
      minute < 0 || minute > 59 || second < 0 || second > 60)
    return std::nullopt;
  if (text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't' && text[10] != ' ') || text[13] != ':' ||
      text[16] != ':')
    return std::nullopt;
  std::tm parts{};
  parts.tm_year = year - 1900;
  parts.tm_mon = month - 1;
  parts.tm_mday = day;
  parts.tm_hour = hour;
  parts.tm_min = minute;
  parts.tm_sec = second;
  const std::time_t seconds = ::timegm(&parts);
  if (parts.tm_mday != day && second != 60) return std::nullopt;  // 30 February
  Nanos wall = static_cast<Nanos>(seconds) * kSecond;
  size_t at = 19;
  if (at < text.size() && text[at] == '.') {
    Nanos unit = kSecond / 10;
    const size_t first = ++at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10) wall += (text[at] - '0') * unit;
    if (at == first) return std::nullopt;
  }
  const std::string_view zone = text.substr(at);
  if (zone == "Z" || zone == "z") return wall;
  // A '+' that was not percent-encoded has become a space.
  if (zone.size() != 6 || zone[3] != ':' || (zone[0] != '+' && zone[0] != '-' && zone[0] != ' ')) return std::nullopt;
  const int hours = number_at(zone, 1, 2), minutes = number_at(zone, 4, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
  const Nanos offset = (hours * 3600 + minutes * 60) * kSecond;
  return wall + (zone[0] == '-' ? offset : -offset);
}

bool has_wildcard(std::string_view pattern) {
  return pattern.find_first_of("*?") != std::string_view::npos;
}

Result<std::vector<std::string>> split_patterns(const std::string* list) {
  std::vector<std::string> out;
  if (list == nullptr) return out;
  std::string_view rest = *list;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view one = trim(rest.substr(0, comma));
    if (!one.empty()) out.emplace_back(one);
    if (out.size() > kMaxPatterns)
      return fail(Code::exhausted, "more than " + std::to_string(kMaxPatterns) + " patterns; write a '*'");
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
  }
  return out;
}

Status no_metric(std::string_view pattern) {
  std::vector<std::string_view> known;
  for (const MetricInfo& metric : all_metrics()) {
    known.push_back(metric.name);
    known.push_back(prometheus_name(metric.id));
  }
  std::string text = "no metric is called '" + printable(pattern, 80) + "'";
  const auto near = nearest_word(pattern, known);
  text += near ? "; did you mean '" + std::string(*near) + "'?" : "; /api/v1/metrics lists them, and '*' is any text";
  return {Code::invalid, text};
}

}  // namespace

Result<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+') {
      c = ' ';
    } else if (c == '%') {
      const int high = i + 2 < text.size() ? hex(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex(text[i + 2]) : -1;
      if (high < 0 || low < 0)
        return fail(Code::invalid, "'" + printable(text, 60) + "' has a '%' without two hexadecimal digits behind it");
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return fail(Code::invalid, "'" + printable(text, 60) + "' has a control character in it");
    out += c;
  }
  return out;
}

Result<QueryParameters> QueryParameters::parse(std::string_view query, std::span<const std::string_view> known) {
  QueryParameters out;
  if (query.size() > kMaxQueryBytes)
    return fail(Code::exhausted, "the query is longer than " + std::to_string(kMaxQueryBytes) + " bytes");
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    if (pair.empty()) continue;
    if (out.values_.size() == kMaxParameters)
      return fail(Code::exhausted, "more than " + std::to_string(kMaxParameters) + " parameters");
    const size_t equals = pair.find('=');
    Result<std::string> name = percent_decode(pair.substr(0, equals));
    if (!name) return fail(name.error());
    Result<std::string> value =
        percent_decode(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1));
    if (!value) return fail(value.error());
    if (!known.empty() && std::find(known.begin(), known.end(), *name) == known.end()) {
      std::string text = "there is no parameter '" + printable(*name, 60) + "' here";
      if (const auto near = nearest_word(*name, known))
        return fail(Code::invalid, text + "; did you mean '" + std::string(*near) + "'?");
      for (size_t i = 0; i < known.size(); ++i) text += (i == 0 ? "; known: " : ", ") + std::string(known[i]);
      return fail(Code::invalid, text);
    }
    if (out.find(*name) != nullptr)
      return fail(Code::invalid, "'" + *name + "' is given twice; several patterns go into one, with commas between");
    out.values_.emplace_back(std::move(*name), std::move(*value));
  }
  return out;
}

const std::string* QueryParameters::find(std::string_view name) const {
  for (const auto& [key, value] : values_)
    if (key == name) return &value;
  return nullptr;
}

Result<Nanos> parse_time(std::string_view text, Nanos now) {
  const std::string_view whole = text;
  if (text.starts_with("now")) {
    text.remove_prefix(3);
    if (text.empty()) return now;
    if (text.front() != '-') return no_time(whole);
  }
  if (text.starts_with('-')) {
    const Result<Nanos> ago = parse_duration(text.substr(1));
    if (!ago || *ago < 0) return no_time(whole);
    if (*ago > now) return 0;
    return now - *ago;
  }
  if (const std::optional<double> seconds = parse_double(text)) {
    // NaN fails every comparison.
    if (!(*seconds >= 0 && *seconds <= to_seconds(kLatest))) return no_time(whole);
    return static_cast<Nanos>(std::llround(*seconds * 1e3)) * kMillisecond;
  }
  const std::optional<Nanos> wall = parse_rfc3339(text);
  if (!wall || *wall < 0) return no_time(whole);
  return *wall;
}

std::string format_time(Nanos wall) {
  const std::time_t seconds = static_cast<std::time_t>(wall / kSecond);
  std::tm utc{};
  if (wall < 0 || ::gmtime_r(&seconds, &utc) == nullptr) return {};
  char text[64];
  const int n =
      std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                    utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, static_cast<int>(wall % kSecond / kMillisecond));
  return {text, n > 0 ? static_cast<size_t>(n) : 0};
}

bool glob_matches(std::string_view pattern, std::string_view text) {
  // Only the last '*' need be gone back to: an earlier one can take nothing that the last one could not.
  size_t p = 0, t = 0, star = std::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<SeriesFilter> SeriesFilter::make(const std::string* metrics, const std::string* devices) {
  SeriesFilter out;
  const Result<std::vector<std::string>> patterns = split_patterns(metrics);
  if (!patterns) return fail(patterns.error());
  if (!patterns->empty()) out.metrics_.assign(all_metrics().size(), false);
  for (const std::string& pattern : *patterns) {
    bool any = false;
    for (const MetricInfo& metric : all_metrics()) {
      if (!glob_matches(pattern, metric.name) && !glob_matches(pattern, prometheus_name(metric.id))) continue;
      out.metrics_[index(metric.id)] = true;
      any = true;
    }
    if (!any && !has_wildcard(pattern)) return fail(no_metric(pattern));
  }
  Result<std::vector<std::string>> wanted = split_patterns(devices);
  if (!wanted) return fail(wanted.error());
  out.devices_ = std::move(*wanted);
  return out;
}

bool SeriesFilter::takes_device(const Catalog& catalog, int32_t device) const {
  if (devices_.empty()) return true;
  if (device < 0 || static_cast<size_t>(device) >= catalog.devices.size())
    return std::find(devices_.begin(), devices_.end(), "none") != devices_.end();
  const Device& one = catalog.devices[static_cast<size_t>(device)];
  return std::any_of(devices_.begin(), devices_.end(), [&](const std::string& pattern) {
    return glob_matches(pattern, one.id) || (!one.index.empty() && pattern == one.index);
  });
}

}  // namespace accelmon
