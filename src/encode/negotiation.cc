// Accept and Accept-Encoding, as RFC 9110 says: a list of ranges with parameters, the most specific range decides.
#include <optional>

#include "encode/exposition.h"

namespace accelmon {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_word(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (lower(a[i]) != lower(b[i])) return false;
  return true;
}

std::string_view strip(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The next piece up to `separator` outside of quotes; `rest` is moved past it.
std::string_view next_piece(std::string_view& rest, char separator) {
  bool quoted = false;
  size_t i = 0;
  for (; i < rest.size(); ++i) {
    if (quoted && rest[i] == '\\') {
      ++i;
    } else if (rest[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && rest[i] == separator) {
      break;
    }
  }
  const std::string_view piece = strip(rest.substr(0, i));
  rest.remove_prefix(i < rest.size() ? i + 1 : rest.size());
  return piece;
}

// "0.75" in thousandths; nothing for what is not a quality ("2", "-1", "0,5", "").
std::optional<int> parse_quality(std::string_view text) {
  if (text.empty() || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  int value = (text[0] - '0') * 1000;
  if (text.size() > 1) {
    if (text[1] != '.') return std::nullopt;
    int digit_worth = 100;
    for (const char c : text.substr(2)) {
      if (c < '0' || c > '9') return std::nullopt;
      value += (c - '0') * digit_worth;
      digit_worth /= 10;
    }
  }
  if (value > 1000) return std::nullopt;
  return value;
}

struct Range {
  std::string_view name;
  std::string_view version, proto, encoding;  // the parameters, unquoted; empty: none
  int quality = 1000;
};

// One element of the list. An element whose quality makes no sense is not counted at all: neither wanted nor refused.
std::optional<Range> parse_range(std::string_view element) {
  Range range;
  range.name = next_piece(element, ';');
  if (range.name.empty()) return std::nullopt;
  while (!element.empty()) {
    std::string_view value = next_piece(element, ';');
    const std::string_view name = next_piece(value, '=');
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    if (same_word(name, "q")) {
      const std::optional<int> quality = parse_quality(value);
      if (!quality) return std::nullopt;
      range.quality = *quality;
    } else if (same_word(name, "version")) {
      range.version = value;
    } else if (same_word(name, "proto")) {
      range.proto = value;
    } else if (same_word(name, "encoding")) {
      range.encoding = value;
    }
  }
  return range;
}

// The quality of the most specific range that matched so far; of equally specific ones the best.
struct Best {
  int specificity = -1;
  int quality = 0;
  void see(int how_specific, int its_quality) {
    if (how_specific < specificity || (how_specific == specificity && its_quality <= quality)) return;
    specificity = how_specific;
    quality = its_quality;
  }
};

constexpr int kAnything = 0, kAnySubtype = 1, kType = 2, kTypeAndVersion = 3;

}  // namespace

std::string_view content_type(ExpositionFormat format) {
  // The names are plain, so the escaping that was asked for (allow-utf-8, dots, values) changes nothing that we could
  // promise; "underscores" is what holds for them, and it is the default that a client assumes.
  if (format == ExpositionFormat::protobuf)
    return "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
  return format == ExpositionFormat::text_0_0_4
             ? "text/plain; version=0.0.4; charset=utf-8"
             : "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";
}

ExpositionFormat negotiate_format(std::string_view accept) {
  Best text, openmetrics, old_openmetrics, protobuf;
  while (!accept.empty()) {
    const std::optional<Range> range = parse_range(next_piece(accept, ','));
    if (!range) continue;
    const std::string_view name = range->name, version = range->version;
    const int quality = range->quality;
    if (name == "*/*") {
      text.see(kAnything, quality);
      openmetrics.see(kAnything, quality);
    } else if (same_word(name, "text/*")) {
      text.see(kAnySubtype, quality);
    } else if (same_word(name, "application/*")) {
      openmetrics.see(kAnySubtype, quality);
    } else if (same_word(name, "text/plain")) {
      if (version.empty()) text.see(kType, quality);
      if (version == "0.0.4") text.see(kTypeAndVersion, quality);
    } else if (same_word(name, "application/openmetrics-text")) {
      if (version.empty()) openmetrics.see(kType, quality);
      if (version == "1.0.0") openmetrics.see(kTypeAndVersion, quality);
      if (version == "0.0.1") old_openmetrics.see(kTypeAndVersion, quality);
    } else if (same_word(name, "application/vnd.google.protobuf")) {
      if (range->proto == "io.prometheus.client.MetricFamily" && range->encoding == "delimited")
        protobuf.see(kTypeAndVersion, quality);
    }
  }
  if (protobuf.quality > text.quality && protobuf.quality > openmetrics.quality) return ExpositionFormat::protobuf;
  if (openmetrics.quality > text.quality) return ExpositionFormat::openmetrics_1_0;
  // A client of 0.0.1 reads our 1.0.0 page, but it did not say so: only where nothing that it named will do.
  if (openmetrics.quality == 0 && text.quality == 0 && old_openmetrics.quality > 0)
    return ExpositionFormat::openmetrics_1_0;
  return ExpositionFormat::text_0_0_4;
}

bool accepts_gzip(std::string_view accept_encoding) {
  Best gzip;
  while (!accept_encoding.empty()) {
    const std::optional<Range> range = parse_range(next_piece(accept_encoding, ','));
    if (!range) continue;
    if (range->name == "*") gzip.see(kAnything, range->quality);
    if (same_word(range->name, "gzip") || same_word(range->name, "x-gzip")) gzip.see(kType, range->quality);
  }
  return gzip.quality > 0;
}

}  // namespace accelmon
