// What the parsers of scenarios share: required keys, names that stand for numbers, lists of calls.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "reader.h"
#include "scenario.h"

namespace accelmon::simulator {

inline constexpr double kMiB = 1048576;
inline constexpr double kMemoryMost = 1e8;  // MiB
inline constexpr double kRateMost = 1e13;   // bytes/s
inline constexpr double kCountMost = 1e12;
inline constexpr double kTimeMost = 1e9;  // seconds

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
// Power: the function at `path`, else what follows utilization between power.idle_w and power.busy_w.
Wave read_draw(Reader& reader, std::string_view path, const Wave& gpu, double most);
// The entry of pci.addresses for this copy of a device, "0000:4d:00.0"; where there is none the numbers stay. `example`
// is for the complaint.
void read_pci_address(Reader& reader, unsigned copy, const char* example, unsigned& domain, unsigned& bus,
                      unsigned& slot);
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
