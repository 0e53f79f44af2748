// A catalog as bytes (base/wire.h): between our own processes, and in the history on disk.
//
// Reading is suspicious: lengths are bounded before anything is allocated, enumerations and indices are checked, and
// what comes out has passed validate(). The numbers of metrics and attributes are those of the writer's tables. Another
// version of the program may number them otherwise; who keeps catalogs over versions says with CatalogNumbers what the
// writer's numbers are here.
// Threads: none of it has state. Cost: about 50 ns for each series.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/catalog.h"

namespace accelmon {

inline constexpr size_t kMaxFacts = 256;

// Appends the bytes.
void encode_catalog(std::string& out, const Catalog& catalog);

// The writer's numbers as ours; -1: we do not know that metric or attribute. What is beyond the end is unknown too.
struct CatalogNumbers {
  std::vector<int32_t> metrics;
  std::vector<int32_t> attributes;
};

// Reads the bytes whole. With `numbers`, series and absences of metrics that are unknown here are left out, and so are
// series with an unknown attribute; `columns` (when given) then says where each series that is left stood, and
// `written` how many there were.
Result<Catalog> decode_catalog(std::string_view bytes, const CatalogNumbers* numbers = nullptr,
                               std::vector<uint32_t>* columns = nullptr, uint32_t* written = nullptr);

}  // namespace accelmon
