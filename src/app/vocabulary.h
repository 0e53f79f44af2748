// The vocabulary as documents. Pure functions of the metric table.
#pragma once

#include <string>

namespace accelmon {

std::string vocabulary_markdown();  // docs/metrics.md
std::string vocabulary_json();

}  // namespace accelmon
