// Something that happened at an instant: an Xid, a lost device, a collector that fell silent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace accelmon {

enum class Severity : uint8_t { info, warning, critical };
std::string_view to_string(Severity severity);

struct Event {
  Nanos wall = 0;
  Severity severity = Severity::info;
  std::string device_id;  // hw.id; empty: about the collector or host
  std::string code;       // stable, for programs: "xid:79", "device_lost"
  std::string message;    // for people
};

}  // namespace accelmon
