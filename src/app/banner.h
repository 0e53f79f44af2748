// What `accelmon serve` says once when every collector has reported. A pure function.
#pragma once

#include <string>

#include "app/report.h"

namespace accelmon {

// `command`: how this program was started, for the hint ("accelmon serve").
std::string render_banner(const Report& report, std::string_view scenario, std::string_view command);

}  // namespace accelmon
