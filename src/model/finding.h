// Something that needs attention: what was concluded, of whom, since when, from which numbers, and what to do about it.
//
// An event happened at an instant; a finding holds as long as its evidence does. Code, device and subject together are
// what it is: the same three are the same finding, however its numbers move.
// Threads: values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/event.h"

namespace accelmon {

struct Evidence {
  std::string name;              // a metric's or attribute's, or a plain word: "throttle_share"
  std::optional<double> number;  // nothing: `text` it is
  std::string unit;              // of the number, as UCUM writes it
  std::string text;
};

struct Finding {
  std::string code;  // stable, for programs: "device_failed"
  Severity severity = Severity::info;
  std::string device_id;  // hw.id; empty: about the agent, a collector, an exporter
  std::string subject;    // for people: "nvidia 3", or the name of the collector or exporter
  std::string title;
  std::vector<Evidence> evidence;
  Nanos since = 0;  // wall time; 0: whoever keeps findings says since when it has seen this one
  std::string advice;
};

}  // namespace accelmon
