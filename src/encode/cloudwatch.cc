#include "encode/cloudwatch.h"

#include <algorithm>
#include <cmath>

#include "encode/json.h"

namespace accelmon {
namespace {

constexpr std::string_view kEnd = "]}";
constexpr double kMonth = 30 * 24 * 3600;

std::string head(const CloudWatchOptions& options) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("Namespace").text(options.space).key("MetricData").begin_array();
  return out;
}

// One datum with the values from `at` on, as many as it may have.
std::string datum_text(const CloudWatchDatum& datum, bool high_resolution,
                       std::map<double, size_t>::const_iterator& at) {
  const MetricInfo& metric = info(datum.metric);
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("MetricName").text(metric.name);
  if (!datum.dimensions->empty()) {
    json.key("Dimensions").begin_array();
    for (const auto& [name, value] : *datum.dimensions)
      json.begin_object().key("Name").text(name).key("Value").text(value).end_object();
    json.end_array();
  }
  json.key("Timestamp").integer(datum.start / kSecond).key("Unit").text(cloudwatch_unit(metric).name);
  json.key("StorageResolution").integer(high_resolution ? 1 : 60);
  const auto begin = at;
  json.key("Values").begin_array();
  for (size_t n = 0; at != datum.values.end() && n < kCloudWatchMaxValues; ++at, ++n) json.number(at->first);
  json.end_array().key("Counts").begin_array();
  for (auto one = begin; one != at; ++one) json.integer(static_cast<int64_t>(one->second));
  json.end_array().end_object();
  return out;
}

}  // namespace

size_t CloudWatchEncoder::encode(std::span<const FrameRun> batch, Nanos now, std::vector<std::string>& bodies) {
  const CloudWatchOptions& options = selection_.options();
  const std::string begin = head(options);
  size_t written = 0, in_body = 0;
  std::string body;
  const auto finish = [&] {
    if (in_body == 0) return;
    body += kEnd;
    bodies.push_back(std::move(body));
    in_body = 0;
  };
  for (const CloudWatchDatum& datum : selection_.gather(batch, now)) {
    for (auto at = datum.values.begin(); at != datum.values.end();) {
      const std::string text = datum_text(datum, options.period < 60 * kSecond, at);
      if (in_body == kCloudWatchMaxData ||
          (in_body > 0 && body.size() + 1 + text.size() + kEnd.size() > kCloudWatchMaxBytes))
        finish();
      if (in_body == 0)
        body = begin;
      else
        body += ',';
      body += text;
      ++in_body;
      ++written;
    }
  }
  finish();
  return written;
}

CloudWatchEstimate estimate_cloudwatch(std::span<const FrameRun> batch, const CloudWatchOptions& options,
                                       Nanos interval, const CloudWatchPrices& prices) {
  CloudWatchEstimate estimate;
  const CloudWatchSelection selection(options);
  estimate.metrics = selection.metrics(batch);
  if (estimate.metrics == 0) return estimate;
  const double readings =
      std::max(1.0, static_cast<double>(options.period) / static_cast<double>(std::max<Nanos>(interval, 1)));
  // All of them different is the worst, and 24 characters the longest number; a count beside each.
  const double data_a_metric = std::ceil(readings / static_cast<double>(kCloudWatchMaxValues));
  double dimensions = 0;
  for (const auto& [name, value] : options.dimensions)
    dimensions += static_cast<double>(name.size() + value.size()) + 24;
  const double bytes_a_datum = 200 + dimensions + 90 + readings / data_a_metric * 27;
  const double data = static_cast<double>(estimate.metrics) * data_a_metric;
  const double data_a_request = std::min(static_cast<double>(kCloudWatchMaxData),
                                         std::floor(static_cast<double>(kCloudWatchMaxBytes) / bytes_a_datum));
  const double requests = std::ceil(data / std::max(1.0, data_a_request));
  estimate.requests_a_month = requests * kMonth * static_cast<double>(kSecond) / static_cast<double>(options.period);
  estimate.bytes_a_request = std::min(data, data_a_request) * bytes_a_datum;
  estimate.metrics_cost = static_cast<double>(estimate.metrics) * prices.metric_month;
  estimate.requests_cost = estimate.requests_a_month / 1000 * prices.thousand_requests;
  return estimate;
}

}  // namespace accelmon
