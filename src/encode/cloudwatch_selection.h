// What of the frames goes to CloudWatch: a short list of metrics, as few sets of dimensions as possible, values
// gathered over a period. CloudWatch bills each set of dimensions of each metric for each month, so nothing goes that
// was not named.
//
// The two ways there, PutMetricData (cloudwatch.h) and log events (emf.h), share this. Threads: one at a time. Cost:
// once a period; allocates.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "encode/labels.h"
#include "model/frame_run.h"

namespace accelmon {

// Series of this metric that have these attributes. The attributes named do not become dimensions, since they are
// always the same; the others that a series has do.
struct CloudWatchRule {
  MetricId metric;
  std::vector<Attribute> attributes;
  bool per_device = true;  // false: the values of all devices together, without a dimension for the device

  bool operator==(const CloudWatchRule&) const = default;
};

// "hw.power{accelmon.power.scope=gpu,accelmon.power.reading=instant}"; with " by host" behind it not per device.
// Errors: invalid, with the nearest known name.
Result<CloudWatchRule> parse_cloudwatch_rule(std::string_view text);

// Six for each GPU and two for the host: utilization, memory in use, how full it is, temperature, power, uncorrected
// errors; idle share of the processors, memory that is available.
std::vector<CloudWatchRule> default_cloudwatch_rules();

struct CloudWatchOptions {
  std::string space = "accelmon";  // the namespace; must not begin with "AWS/"
  std::vector<CloudWatchRule> rules = default_cloudwatch_rules();
  ConstantLabels dimensions;     // on everything, such as {"Host", "h1"}
  Nanos period = 60 * kSecond;   // below a minute: high resolution, which costs sixty times the requests
  bool device_by_index = false;  // the dimension "Device" is the vendor's index instead of hw.id
};

// Errors: invalid, with what is wrong: namespace, period (1 s to 1 h), dimensions, no rule.
Status validate(const CloudWatchOptions& options);

inline constexpr size_t kMaxCloudWatchDimensions = 30;

// Our unit in CloudWatch's words, and the factor to it: shares are percent there.
struct CloudWatchUnit {
  std::string_view name;
  double scale;
};
CloudWatchUnit cloudwatch_unit(const MetricInfo& metric);

using CloudWatchDimensions = std::vector<std::pair<std::string, std::string>>;

// One metric with one set of dimensions in one period.
struct CloudWatchDatum {
  MetricId metric{};
  const CloudWatchDimensions* dimensions = nullptr;
  Nanos start = 0;                  // wall time at which the period began
  std::map<double, size_t> values;  // in CloudWatch's unit, with how often each was seen; of a counter its growth, once
};

class CloudWatchSelection {
 public:
  explicit CloudWatchSelection(CloudWatchOptions options) : options_(std::move(options)) {}

  // The data of these frames, by period, then in the order of the rules. Frames that CloudWatch would refuse for their
  // age (14 days) or because they are of the future (2 hours) are left out. The pointers in them hold until the next
  // call.
  std::vector<CloudWatchDatum> gather(std::span<const FrameRun> batch, Nanos now);

  // How many metrics are billed for these catalogs: every set of dimensions of every rule.
  size_t metrics(std::span<const FrameRun> batch) const;

  const CloudWatchOptions& options() const { return options_; }

 private:
  // Dimensions of a series under the first rule that takes it; false where none does.
  bool select(const Catalog& catalog, const Series& series, size_t& rule, CloudWatchDimensions& out) const;

  CloudWatchOptions options_;
  std::map<std::pair<size_t, CloudWatchDimensions>, size_t> sets_;  // of this gathering
  std::unordered_map<std::string, double> counters_;                // what each said last, by source and series key
};

}  // namespace accelmon
