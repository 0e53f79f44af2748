// What a page of metrics shows: which vocabularies, which metrics, which labels.
//
// Threads: values. Cost: looked at when a catalog changes, never in the steady state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/metric.h"

namespace accelmon {

struct PageOptions {
  bool otel = true;   // the names of metrics.def
  bool dcgm = false;  // the names of NVIDIA's DCGM, see encode/dcgm.h
  // OpenTelemetry names, with '*' for any text. `only` empty: all.
  std::vector<std::string> only, except;
  // OpenTelemetry keys or names of labels, of either vocabulary; `keep_labels` empty: all. Of series that this leaves
  // alike the first stands.
  std::vector<std::string> keep_labels, drop_labels;
  std::string hostname;  // DCGM's label Hostname; empty: none

  bool operator==(const PageOptions&) const = default;

  bool takes(MetricId metric) const;
  bool drops_any() const { return !keep_labels.empty() || !drop_labels.empty(); }
  bool drops(AttributeId attribute) const;
  bool drops(std::string_view label) const;  // one of DCGM's
};

}  // namespace accelmon
