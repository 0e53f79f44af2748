// Frames -> bodies of CloudWatch's PutMetricData, JSON 1.0; and what that will cost.
//
// Sent as POST / with Content-Type kCloudWatchContentType and X-Amz-Target kCloudWatchTarget, signed for the service
// "monitoring". A period's readings of one metric go as Values and Counts, so that percentiles live. Each body keeps
// CloudWatch's limits: 1000 data, 150 different values each (more become further data of the same metric), 1 MB.
// Threads: one at a time. Cost: once a period; allocates.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "encode/cloudwatch_selection.h"

namespace accelmon {

inline constexpr std::string_view kCloudWatchContentType = "application/x-amz-json-1.0";
inline constexpr std::string_view kCloudWatchTarget = "GraniteServiceVersion20100801.PutMetricData";
inline constexpr size_t kCloudWatchMaxData = 1000;
inline constexpr size_t kCloudWatchMaxValues = 150;
inline constexpr size_t kCloudWatchMaxBytes = 999'000;

class CloudWatchEncoder {
 public:
  // The options must be valid.
  explicit CloudWatchEncoder(CloudWatchOptions options) : selection_(std::move(options)) {}
  // Appends whole bodies. `now` is wall time. Returns how many data they hold.
  size_t encode(std::span<const FrameRun> batch, Nanos now, std::vector<std::string>& bodies);

 private:
  CloudWatchSelection selection_;
};

// What the rules would cost for devices like these. Prices are inputs, since they change and differ by region; the
// defaults are list prices in US dollars of the first step.
struct CloudWatchPrices {
  double metric_month = 0.30;
  double thousand_requests = 0.01;
};
struct CloudWatchEstimate {
  size_t metrics = 0;           // billed each month
  double requests_a_month = 0;  // of 30 days
  double bytes_a_request = 0;   // uncompressed, of the largest
  double metrics_cost = 0;      // a month
  double requests_cost = 0;     // a month
  double cost() const { return metrics_cost + requests_cost; }
};
// `interval` is that of the polls: it says how many values a period has. Pure: nothing is sent.
CloudWatchEstimate estimate_cloudwatch(std::span<const FrameRun> batch, const CloudWatchOptions& options,
                                       Nanos interval, const CloudWatchPrices& prices = {});

}  // namespace accelmon
