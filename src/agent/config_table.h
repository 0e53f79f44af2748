// The table of configuration keys and the checks of one value: what config.cc and the command line share.
//
// Internal to the configuration (config.cc, config_table.cc); everybody else uses config.h.
// Threads: constant data and pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/config.h"

namespace accelmon::config_table {

enum class Type : uint8_t { duration, durations, size, count, boolean, text, texts, path, address, level };

// Where a key's value lives. Options of a collector or an exporter have none: they lie in a map, under the last word of
// the key.
using Slot = std::variant<std::monostate, bool*, uint32_t*, Nanos*, uint64_t*, std::string*, std::vector<Nanos>*,
                          std::vector<std::string>*, LogLevel*>;

struct Key {
  std::string_view path;  // "poll.interval"; "exporters.*.url" for every name
  Type type;
  Slot (*slot)(Config&);  // nullptr: an option of a collector or an exporter
  uint64_t minimum;       // durations in nanoseconds, sizes in bytes; for a list: of each element
  uint64_t maximum;
  std::string_view absent_default;  // what happens without the key, where no value can say it
  std::string_view meaning;
};

inline constexpr size_t kMaxFile = 1u << 20;

std::span<const Key> keys();  // grouped by section, in the order of the documentation
const Key* find_key(std::string_view path);
bool is_exporter_name(std::string_view name);
// Whether some key lies below `path`.
bool is_section(std::string_view path);

// Why `text` cannot stand in the list of this key: a misspelt metric or label would select nothing, silently.
std::optional<std::string> unknown_text(const Key& key, std::string_view text);

// A value as it was written, whether in a file or on the command line.
struct Written {
  enum class Form : uint8_t { text, integer, boolean, list, other } form = Form::other;
  std::string_view what = "a value";  // "an integer"
  std::string text;
  int64_t integer = 0;
  bool boolean = false;
  std::vector<Written> list;

  std::string shown() const;
};

// Puts the value into `config`, under `path` as it was written. Returns what is wrong with it, to stand behind "KEY =
// VALUE "; nothing when all is well. A wrong value leaves the configuration as it was.
std::optional<std::string> assign(Config& config, const Key& key, std::string_view path, const Written& value);

// "unknown key "pol.interval"; did you mean "poll.interval"?"
std::string unknown_key(std::string_view path, bool section);

std::string quoted(std::string_view text);

}  // namespace accelmon::config_table
