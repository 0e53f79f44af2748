// The readable values of a snapshot, by device: what the questions ask.
//
// Only values whose state is ok are here, so that an absent input is no reading rather than a zero. Devices that
// several sources show are one. Refers to the snapshot, which must outlive it. Threads: immutable once made. Cost: a
// pass over the snapshot's series; look-ups walk one device's readings.
#pragma once

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/snapshot.h"

namespace accelmon::analysis {

using Wanted = std::initializer_list<std::pair<AttributeId, std::string_view>>;

struct Reading {
  const Series* series;
  double value;

  std::string_view attribute(AttributeId id) const;
};

struct DeviceReadings {
  const Device* device = nullptr;
  std::string_view parent;  // hw.id; empty: it is a whole one
  std::vector<Reading> readings;

  // "nvidia 3"
  std::string name() const;
  std::optional<double> value(MetricId metric, Wanted attributes = {}) const;
  // Whether a state is known and holds.
  bool is(MetricId metric, AttributeId key, std::string_view word) const;
  // Whether more is known of it than what it is and how it is.
  bool anything_read() const;
};

class Readings {
 public:
  explicit Readings(const Snapshot& snapshot);
  // GPUs and their parts, in the sources' order.
  const std::vector<DeviceReadings>& devices() const { return devices_; }

 private:
  std::vector<DeviceReadings> devices_;
};

}  // namespace accelmon::analysis
