// What people are told of where the numbers go: the page of metrics, the exporters, the history on disk.
// Pure functions.
#pragma once

#include <string>
#include <vector>

#include "app/layout.h"
#include "app/report.h"

namespace accelmon {

// For `status`: what is not in order alone; empty while all is.
std::string exports_in_trouble(const Report& report, const View& view);
// For `doctor`: all of them.
std::string exports_of(const Report& report, size_t width);
// What somebody should do about them.
void advise_exports(const Report& report, std::vector<std::string>& advice);

}  // namespace accelmon
