// What the parsers of scenarios share: required keys, names that stand for numbers, lists of calls.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "reader.h"
#include "scenario.h"

namespace accelmon::simulator {

struct Named {
  std::string_view name;
  int value;
};

template <size_t N>
std::optional<int> find_named(const Named (&table)[N], std::string_view name) {
  for (const Named& entry : table) {
    if (entry.name == name) return entry.value;
  }
  return std::nullopt;
}

// The value that `path` names in `table`; an error that lists the choices where it is none of them.
template <size_t N>
std::optional<int> read_named(Reader& reader, std::string_view path, const Named (&table)[N]) {
  const std::optional<std::string> name = reader.text(path);
  if (!name) return std::nullopt;
  const std::optional<int> value = find_named(table, *name);
  if (value) return value;
  std::string choices;
  for (const Named& entry : table) choices += (choices.empty() ? "" : ", ") + std::string(entry.name);
  reader.fail(reader.find(path), Reader::quoted(path) + " must be one of " + choices);
  return std::nullopt;
}

CallSet read_calls(Reader& reader, std::string_view path);
std::string need_text(Reader& reader, std::string_view path, size_t longest = 90);
double need_number(Reader& reader, std::string_view path, double low, double high);
// The function at `path`; 0 where there is none.
Wave read_wave(Reader& reader, std::string_view path, double low, double high, double unit = 1);
unsigned read_whole(Reader& reader, std::string_view path, int64_t most, unsigned fallback = 0);

// One device, from its own table and the templates in the reader's chain.
struct DevicePlace {
  const std::string& scenario;
  unsigned index;         // in the scenario
  unsigned copy, copies;  // of those that share one table
  double phase;
};
Device read_device(Reader& reader, const DevicePlace& place, FirstError& error);

}  // namespace accelmon::simulator
