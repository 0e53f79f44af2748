// The fields that are asked of nvidia-smi, and the metrics that they become. A table; see smi_fields.cc.
#pragma once

#include <span>

#include "collectors/nvidia_smi/smi_table.h"
#include "model/catalog.h"

namespace accelmon::nvidia_smi {

struct Field {
  const char* name;
  const char* older;  // what drivers before 535 call it; nullptr: the same or nothing
  Dimension dimension;
  MetricId metric;
  struct {
    AttributeId id;
    const char* value;
  } attributes[2];  // value nullptr: none
};

// Those that give a metric each.
std::span<const Field> metric_fields();
// Those that name a device, and those of which something is computed.
std::span<const char* const> other_fields();

}  // namespace accelmon::nvidia_smi
