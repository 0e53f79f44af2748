// What the settings of a `cloudwatch` or `emf` exporter come to: for what it would cost, before anything is sent.
#pragma once

#include "encode/cloudwatch_selection.h"
#include "exporters/destination.h"

namespace accelmon {

// Errors: invalid, naming the key.
Result<CloudWatchOptions> cloudwatch_options(const ExporterSettings& settings, const Identity& identity);

}  // namespace accelmon
