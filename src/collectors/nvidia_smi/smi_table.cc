#include "collectors/nvidia_smi/smi_table.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace accelmon::nvidia_smi {
namespace {

std::string_view next_cell(std::string_view& line) {
  const size_t comma = line.find(',');
  const std::string_view cell = trim(line.substr(0, comma));
  line.remove_prefix(comma == std::string_view::npos ? line.size() : comma + 1);
  return cell;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

struct UnitFactor {
  Dimension dimension;
  std::string_view unit;
  double factor;
};
constexpr UnitFactor kUnits[] = {
    {Dimension::number, "", 1},
    {Dimension::bytes, "MiB", 1048576},
    {Dimension::bytes, "B", 1},
    {Dimension::bytes, "KiB", 1024},
    {Dimension::bytes, "GiB", 1073741824},
    {Dimension::ratio, "%", 0.01},
    {Dimension::watts, "W", 1},
    {Dimension::watts, "mW", 1e-3},
    {Dimension::hertz, "MHz", 1e6},
    {Dimension::hertz, "Hz", 1},
    {Dimension::hertz, "GHz", 1e9},
    {Dimension::seconds, "us", 1e-6},
    {Dimension::seconds, "ns", 1e-9},
    {Dimension::seconds, "ms", 1e-3},
    {Dimension::seconds, "s", 1},
    {Dimension::celsius, "", 1},
    {Dimension::celsius, "C", 1},
    {Dimension::yes_no, "", 1},
    {Dimension::pstate, "", 1},
    {Dimension::text, "", 1},
};

constexpr std::string_view kYes[] = {"Yes", "Active", "Enabled"};
constexpr std::string_view kNo[] = {"No", "Not Active", "Disabled"};

bool hex(std::string_view text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

}  // namespace

std::optional<State> absence_of(std::string_view cell) {
  if (cell.empty() || cell == "N/A" || cell == "Not Supported") return State::unsupported;
  if (cell.front() != '[') return std::nullopt;
  // "[N/A]", "[Not Supported]", "[Not Found]", "[Requested functionality has been deprecated]"
  if (contains(cell, "N/A") || contains(cell, "Not Supported") || contains(cell, "Not Found") ||
      contains(cell, "deprecated"))
    return State::unsupported;
  if (contains(cell, "Permission")) return State::no_permission;
  if (contains(cell, "Not Ready")) return State::not_ready;
  return State::error;  // "[Unknown Error]", "[GPU is lost]", "[GPU requires reset]", and what is to come
}

std::optional<double> factor_of(Dimension dimension, std::string_view unit) {
  for (const UnitFactor& one : kUnits)
    if (one.dimension == dimension && one.unit == unit) return one.factor;
  return std::nullopt;
}

Value read_value(std::string_view cell, std::string_view unit, Dimension dimension) {
  if (const auto absent = absence_of(cell)) return {*absent, 0};
  const auto factor = factor_of(dimension, unit);
  if (!factor) return {State::error, 0};
  if (dimension == Dimension::yes_no) {
    for (const std::string_view yes : kYes)
      if (cell == yes) return {State::ok, 1};
    for (const std::string_view no : kNo)
      if (cell == no) return {State::ok, 0};
    return {State::error, 0};
  }
  if (dimension == Dimension::pstate) {
    if (cell.front() != 'P') return {State::error, 0};
    cell.remove_prefix(1);
  } else if (!unit.empty() && cell.ends_with(unit)) {
    cell = trim(cell.substr(0, cell.size() - unit.size()));
  }
  const auto number = parse_double(cell);
  if (!number || !std::isfinite(*number)) return {State::error, 0};
  return {State::ok, *number * *factor};
}

std::string pci_address_of(std::string_view bus_id) {
  // Domain of 4 or 8 digits, bus, device, function.
  const size_t colon = bus_id.find(':');
  if (colon != 4 && colon != 8) return {};
  std::string_view domain = bus_id.substr(0, colon);
  const std::string_view rest = bus_id.substr(colon + 1);
  if (!hex(domain, colon) || rest.size() != 7 || !hex(rest.substr(0, 2), 2) || rest[2] != ':' ||
      !hex(rest.substr(3, 2), 2) || rest[5] != '.' || !hex(rest.substr(6, 1), 1))
    return {};
  if (domain.size() == 8 && domain.starts_with("0000")) domain.remove_prefix(4);
  std::string address = std::string(domain) + ":" + std::string(rest);
  std::transform(address.begin(), address.end(), address.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
  return address;
}

bool SmiTable::parse_header(std::string_view line, const std::vector<std::string>& fields) {
  bool known = false;
  while (!line.empty()) {
    const std::string_view cell = next_cell(line);
    Column column{cell, {}};
    if (const size_t open = cell.rfind(" ["); open != std::string_view::npos && cell.ends_with(']')) {
      column.name = trim(cell.substr(0, open));
      column.unit = cell.substr(open + 2, cell.size() - open - 3);
    }
    known = known || std::find(fields.begin(), fields.end(), column.name) != fields.end();
    if (columns_.size() >= kMostColumns) known = false, line = {};
    columns_.push_back(column);
  }
  if (!known) columns_.clear();
  return known;
}

void SmiTable::parse(std::string_view text, const std::vector<std::string>& fields) {
  constexpr std::string_view kBefore = "Field \"", kAfter = "\" is not a valid field";
  columns_.clear();
  cells_.clear();
  message_ = invalid_field_ = {};
  malformed_ = 0;
  while (!text.empty()) {
    const std::string_view line = trim(next_line(text));
    if (line.empty()) continue;
    if (columns_.empty()) {
      if (const size_t after = line.find(kAfter); line.starts_with(kBefore) && after != std::string_view::npos) {
        if (invalid_field_.empty() && after > kBefore.size())
          invalid_field_ = line.substr(kBefore.size(), after - kBefore.size());
      } else if (parse_header(line, fields)) {
        continue;
      }
      if (message_.empty()) message_ = line;
      continue;
    }
    std::string_view rest = line;
    const size_t before = cells_.size();
    size_t count = 0;
    // A line that ends in a comma has one more, empty cell.
    for (bool more = true; more && count <= columns_.size(); ++count) {
      more = rest.find(',') != std::string_view::npos;
      cells_.push_back(next_cell(rest));
    }
    if (count == columns_.size() && before / columns_.size() < kMostRows) continue;
    cells_.resize(before);
    ++malformed_;
    if (message_.empty()) message_ = line;
  }
}

int SmiTable::column(std::string_view name) const {
  for (size_t i = 0; i < columns_.size(); ++i)
    if (columns_[i].name == name) return static_cast<int>(i);
  return -1;
}

}  // namespace accelmon::nvidia_smi
