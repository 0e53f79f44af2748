// Numbers, durations and sizes from and to text, without locale and without allocation where a buffer will do.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace accelmon {

std::string_view trim(std::string_view text);

// Whole-string conversions: "12 " and "12x" are not numbers.
std::optional<uint64_t> parse_u64(std::string_view text, int base = 10);
std::optional<int64_t> parse_i64(std::string_view text);
std::optional<double> parse_double(std::string_view text);

// The next blank-separated word of `rest`, which is moved past it; empty at the end. Blanks: space, tab, newline.
std::string_view next_word(std::string_view& rest);
// The next line without its newline; `rest` is moved past it.
std::string_view next_line(std::string_view& rest);

// "250ms", "1s", "1.5s", "10m", "24h", "7d". The unit is required; the error says how to write it.
Result<Nanos> parse_duration(std::string_view text);
std::string format_duration(Nanos duration);  // the shortest exact form of the above

// "512KiB", "2MiB", "1GiB", "1000B", and the decimal kB, MB, GB. The unit is required.
Result<uint64_t> parse_size(std::string_view text);
std::string format_size(double bytes);  // for people: "61.2 GiB"

// Appends the shortest text that reads back as the same double ("0.5", "1e+21", "NaN", "+Inf", "-Inf": the forms that
// Prometheus and OpenMetrics take). At most 32 bytes.
void append_number(std::string& out, double value);
void append_number(std::string& out, uint64_t value);
void append_number(std::string& out, int64_t value);
// The same into a buffer of at least 32 bytes; returns the end.
char* write_number(char* out, double value);

// The word of `known` nearest to `word` (edit distance at most 2 and less than its length), or nothing.
std::optional<std::string_view> nearest_word(std::string_view word, std::span<const std::string_view> known);

// Whether `name` is what `pattern` says: '*' stands for any text, also none. Linear for the patterns that people write.
bool matches(std::string_view pattern, std::string_view name);

// Text from outside made safe for a log line or a terminal: control characters and invalid UTF-8 become '?', cut to
// `limit` bytes.
std::string printable(std::string_view text, size_t limit = 200);

// Base64 of RFC 4648, with padding.
std::string encode_base64(std::string_view bytes);
// Appends the bytes to `out`, which the caller may have given its room (they may be secret: nothing is copied aside).
// The padding may be missing. False when it is no base64; `out` then holds what stood before.
bool decode_base64(std::string_view text, std::string& out);

}  // namespace accelmon
