// Frames -> log events in CloudWatch's Embedded Metric Format: one JSON object a line.
//
// For the CloudWatch agent (TCP or UDP port 25888 of this machine, then no keys are needed here) or PutLogEvents. All
// metrics of one set of dimensions and one period share an event, as far as its limits go: 100 metrics, 100 values of a
// metric, 256 KB; what is more goes into a further one. Threads: one at a time. Cost: once a period; allocates.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "encode/cloudwatch_selection.h"

namespace accelmon {

inline constexpr size_t kEmfMaxMetrics = 100;
inline constexpr size_t kEmfMaxValues = 100;
inline constexpr size_t kEmfMaxBytes = 256 * 1024;

class EmfEncoder {
 public:
  // The options must be valid. `log_group`: where the agent is to write; empty: its own default.
  EmfEncoder(CloudWatchOptions options, std::string log_group)
      : selection_(std::move(options)), log_group_(std::move(log_group)) {}
  // Appends whole lines. Returns how many.
  size_t encode(std::span<const FrameRun> batch, Nanos now, std::string& out);

 private:
  CloudWatchSelection selection_;
  std::string log_group_;
};

}  // namespace accelmon
