// One device in one sentence: the state column of `accelmon status`.
#pragma once

#include <string>

#include "app/report.h"

namespace accelmon {

struct Verdict {
  enum class Level : unsigned char { fine, attention, failed } level = Level::fine;
  std::string text;  // "ok", "idle", "thermal throttle, 38 % of the last minute"
};

// The most serious thing that the report knows of the device: failed, unreadable, degraded, throttled, idle with memory
// held, idle, ok; in this order.
Verdict judge(const Report& report, const ReportDevice& device);

}  // namespace accelmon
