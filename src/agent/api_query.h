// What a question of the API says: names and values of a query string, times, globs of metrics and devices.
//
// All of it comes from strangers: lengths and counts are bounded, what is not understood is an error that names the
// word and says what would be right, and no pattern costs more than its length times the text's. The command line reads
// times and globs with the same functions. Threads: pure functions and values. Cost: microseconds, some allocations.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "model/catalog.h"
#include "model/metric.h"

namespace accelmon {

inline constexpr size_t kMaxQueryBytes = 4096;
inline constexpr size_t kMaxParameters = 16;
inline constexpr size_t kMaxPatterns = 32;

// "%41+b" -> "A b". invalid: a '%' without two hexadecimal digits; a control character.
Result<std::string> percent_decode(std::string_view text);

class QueryParameters {
 public:
  // Only `known` names (empty: any), none twice, else invalid with the nearest known one.
  static Result<QueryParameters> parse(std::string_view query, std::span<const std::string_view> known);
  const std::string* find(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& all() const { return values_; }

 private:
  std::vector<std::pair<std::string, std::string>> values_;
};

// Wall time: "1764000000.5" (Unix seconds), "2026-11-24T13:00:00Z" with or without a fraction, or with an offset
// ("+01:00"), "now", "-1h" and "now-1h". Within the years 1970 to 2200.
Result<Nanos> parse_time(std::string_view text, Nanos now);
// "2026-11-24T13:00:00.250Z"; milliseconds.
std::string format_time(Nanos wall);

// '*' stands for any text, '?' for any character, everything else for itself. Takes time in proportion to both lengths.
bool glob_matches(std::string_view pattern, std::string_view text);

// Which series a question is about.
class SeriesFilter {
 public:
  // metrics: globs over OpenTelemetry's or Prometheus' names, with commas between; devices: likewise over hw.id, or an
  // index as the vendor's tool shows it, or "none" for series that belong to no device. nullptr or empty: all.
  // invalid: a word without '*' and '?' that is no metric; more than kMaxPatterns.
  static Result<SeriesFilter> make(const std::string* metrics, const std::string* devices);

  bool takes(MetricId metric) const { return metrics_.empty() || metrics_[index(metric)]; }
  bool takes_device(const Catalog& catalog, int32_t device) const;
  bool takes(const Catalog& catalog, const Series& series) const {
    return takes(series.metric) && takes_device(catalog, series.device);
  }

 private:
  std::vector<bool> metrics_;  // by index; empty: all
  std::vector<std::string> devices_;
};

}  // namespace accelmon
