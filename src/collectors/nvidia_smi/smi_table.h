// What nvidia-smi --query-gpu=... --format=csv prints, made sense of.
//
// The first line that names a field which was asked for is the header: it says which columns there are and in which
// unit ("memory.total [MiB]"). Each line after it with as many cells is a device; every other line is a message. Units
// are taken from the header and must be of the field's dimension: nothing is guessed. Cells are read as they stand;
// there is no quoting in this format.
// Pure functions over hostile text. Threads: values. Cost: no allocation once the table has grown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/frame.h"

namespace accelmon::nvidia_smi {

enum class Dimension : uint8_t {
  number,   // no unit
  bytes,    // MiB, ...
  ratio,    // %
  watts,    // W
  hertz,    // MHz
  seconds,  // us
  celsius,  // no unit, or C
  yes_no,   // "Yes", "Active", "Enabled", and their opposites
  pstate,   // "P8"
  text,
};

struct Value {
  State state = State::error;
  double number = 0;
};

// What stands in place of a value: "[N/A]", "[Unknown Error]", "[GPU is lost]", ... nullopt: it is one.
std::optional<State> absence_of(std::string_view cell);

// The factor that makes the unit of a header our own; nullopt: the unit is not of the dimension.
std::optional<double> factor_of(Dimension dimension, std::string_view unit);

// `unit` is the header's; the cell repeats it ("81559 MiB") or leaves it out.
Value read_value(std::string_view cell, std::string_view unit, Dimension dimension);

// "00000000:18:00.0" -> "0000:18:00.0", lower-case; empty where it is no PCI address.
std::string pci_address_of(std::string_view bus_id);

class SmiTable {
 public:
  static constexpr size_t kMostColumns = 256;
  static constexpr size_t kMostRows = 128;

  struct Column {
    std::string_view name, unit;
  };

  // Views into `text`, which must stay. `fields`: what was asked for.
  void parse(std::string_view text, const std::vector<std::string>& fields);

  bool has_header() const { return !columns_.empty(); }
  size_t rows() const { return columns_.empty() ? 0 : cells_.size() / columns_.size(); }
  // The column with that name; -1: none.
  int column(std::string_view name) const;
  const Column& at(int column) const { return columns_[static_cast<size_t>(column)]; }
  std::string_view cell(size_t row, int column) const {
    return cells_[row * columns_.size() + static_cast<size_t>(column)];
  }

  // The first line that is no table: "NVIDIA-SMI has failed because ...", "No devices were found".
  std::string_view message() const { return message_; }
  // The field that this version does not know, of `Field "x" is not a valid field to query.`
  std::string_view invalid_field() const { return invalid_field_; }
  // Lines after the header that are no device.
  size_t malformed() const { return malformed_; }

 private:
  bool parse_header(std::string_view line, const std::vector<std::string>& fields);

  std::vector<Column> columns_;
  std::vector<std::string_view> cells_;
  std::string_view message_, invalid_field_;
  size_t malformed_ = 0;
};

}  // namespace accelmon::nvidia_smi
