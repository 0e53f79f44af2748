// What nvidia-smi prints, as hostile as it comes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "collectors/nvidia_smi/smi_fields.h"
#include "collectors/nvidia_smi/smi_table.h"

namespace {

using namespace accelmon;
using namespace accelmon::nvidia_smi;

void require(bool promise) {
  if (!promise) std::abort();
}

const std::vector<std::string>& fields() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> names(other_fields().begin(), other_fields().end());
    for (const Field& field : metric_fields()) names.emplace_back(field.name);
    return names;
  }();
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  SmiTable table;
  table.parse(text, fields());
  require(table.rows() <= SmiTable::kMostRows && table.malformed() <= size);
  require(table.invalid_field().size() <= size && table.message().size() <= size);
  for (const Field& field : metric_fields()) {
    const int column = table.column(field.name);
    if (column < 0) continue;
    for (size_t row = 0; row < table.rows(); ++row) {
      const Value value = read_value(table.cell(row, column), table.at(column).unit, field.dimension);
      // A reading needs a unit of its dimension, and is never one of the words for "there is none".
      if (value.state == State::ok)
        require(factor_of(field.dimension, table.at(column).unit) && !absence_of(table.cell(row, column)));
    }
  }
  for (size_t row = 0; row < table.rows(); ++row) {
    const int column = table.column("pci.bus_id");
    if (column < 0) break;
    const std::string address = pci_address_of(table.cell(row, column));
    require(address.empty() || address.size() == 12 || address.size() == 16);
  }
  return 0;
}
