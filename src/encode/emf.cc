#include "encode/emf.h"

#include <algorithm>
#include <set>

#include "encode/json.h"

namespace accelmon {
namespace {

// A metric with the values that go into one event; EMF has no counts, so a value that came twice stands twice.
struct Part {
  MetricId metric;
  std::vector<double> values;
};

// 24 characters are the longest number.
size_t size_of(const Part& part) {
  return 2 * info(part.metric).name.size() + 80 + part.values.size() * 25;
}

}  // namespace

size_t EmfEncoder::encode(std::span<const FrameRun> batch, Nanos now, std::string& out) {
  const CloudWatchOptions& options = selection_.options();
  const std::vector<CloudWatchDatum> data = selection_.gather(batch, now);
  size_t written = 0;

  const auto write = [&](const CloudWatchDimensions& dimensions, Nanos start, const std::vector<Part>& parts) {
    JsonWriter json(out);
    json.begin_object().key("_aws").begin_object().key("Timestamp").integer(start / kMillisecond);
    if (!log_group_.empty()) json.key("LogGroupName").text(log_group_);
    json.key("CloudWatchMetrics").begin_array().begin_object().key("Namespace").text(options.space);
    json.key("Dimensions").begin_array().begin_array();
    for (const auto& [name, value] : dimensions) json.text(name);
    json.end_array().end_array().key("Metrics").begin_array();
    for (const Part& part : parts) {
      const MetricInfo& metric = info(part.metric);
      json.begin_object().key("Name").text(metric.name).key("Unit").text(cloudwatch_unit(metric).name);
      json.key("StorageResolution").integer(options.period < 60 * kSecond ? 1 : 60).end_object();
    }
    json.end_array().end_object().end_array().end_object();
    for (const auto& [name, value] : dimensions) json.key(name).text(value);
    for (const Part& part : parts) {
      json.key(info(part.metric).name);
      if (part.values.size() == 1) {
        json.number(part.values.front());
        continue;
      }
      json.begin_array();
      for (const double value : part.values) json.number(value);
      json.end_array();
    }
    json.end_object();
    out += '\n';
    ++written;
  };

  // Data of one period and one set of dimensions, which may belong to several rules.
  std::vector<bool> done(data.size());
  for (size_t i = 0; i < data.size(); ++i) {
    if (done[i]) continue;
    const CloudWatchDimensions& dimensions = *data[i].dimensions;
    size_t fixed = 256 + options.space.size() + log_group_.size();
    for (const auto& [name, value] : dimensions) fixed += 2 * name.size() + 2 * value.size() + 16;
    std::vector<Part> parts;
    size_t size = fixed;
    const auto flush = [&] {
      if (!parts.empty()) write(dimensions, data[i].start, parts);
      parts.clear();
      size = fixed;
    };
    const auto put = [&](Part part) {
      if (part.values.empty()) return;
      // An event has a metric once.
      const bool twice =
          std::any_of(parts.begin(), parts.end(), [&](const Part& p) { return p.metric == part.metric; });
      if (twice || parts.size() == kEmfMaxMetrics || size + size_of(part) > kEmfMaxBytes) flush();
      size += size_of(part);
      parts.push_back(std::move(part));
    };
    for (size_t k = i; k < data.size() && data[k].start == data[i].start; ++k) {
      if (done[k] || *data[k].dimensions != dimensions) continue;
      done[k] = true;
      Part part{data[k].metric, {}};
      for (const auto& [value, count] : data[k].values)
        for (size_t n = 0; n < count; ++n) {
          part.values.push_back(value);
          if (part.values.size() == kEmfMaxValues) put(std::exchange(part, {data[k].metric, {}}));
        }
      put(std::move(part));
    }
    flush();
  }
  return written;
}

}  // namespace accelmon
