// The destinations that there are, each in a file of its own: see destination_table().
#pragma once

#include "exporters/destination.h"

namespace accelmon {

using MakeDestination = Result<std::unique_ptr<Destination>>(const ExporterSettings& settings, const Identity& identity,
                                                             std::string& where);
MakeDestination make_otlp, make_remote_write, make_influx, make_graphite, make_statsd, make_json_lines, make_cloudwatch,
    make_emf;

}  // namespace accelmon
