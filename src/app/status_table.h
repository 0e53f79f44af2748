// A report as a table for people, and as CSV for programs. Pure functions.
#pragma once

#include <string>

#include "app/layout.h"
#include "app/report.h"

namespace accelmon {

std::string render_status(const Report& report, const View& view);
// A row for each value: device,hw_id,metric,attributes,value,unit,state,age_seconds (RFC 4180).
std::string render_csv(const Report& report);

}  // namespace accelmon
