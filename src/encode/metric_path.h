// The name of a series where there are no labels: a path of words with dots between them, as Graphite and StatsD have
// it.
//
//   PREFIX.gpu.GPU-1f3a.hw_power_watts.gpu.instant
//   prefix, type and id of the device (or "host"), Prometheus name, the values of its own attributes in their order
//
// Each word is made of letters, digits, '-' and '_'; any other character becomes '_'. Threads: pure. Cost: allocates;
// made when a catalog changes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/catalog.h"

namespace accelmon {

// One word of a path: never empty, at most 200 bytes.
std::string path_word(std::string_view text);

// The path of every series of the catalog; empty for one that is not exported, and for accelmon.*.info, which is
// nothing but labels. Where two would have one path, the later gets the names of its attributes as well. `by_index`:
// devices by the index that the vendor's tool shows (which a reboot may change) instead of their id. `prefix` is taken
// as it is.
std::vector<std::string> metric_paths(const Catalog& catalog, std::string_view prefix, bool by_index);

}  // namespace accelmon
