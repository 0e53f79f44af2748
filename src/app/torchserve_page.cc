#include <algorithm>
#include <map>
#include <unordered_map>

#include "app/torchserve.h"
#include "base/text.h"
#include "model/metric.h"

namespace accelmon {
namespace {

constexpr std::string_view kSign = "accelmon_build_info{";
constexpr MetricId kProcessors = MetricId::cpu_utilization;
constexpr size_t kMaxDevices = 1024;

using Labels = std::vector<std::pair<std::string_view, std::string>>;

// Name in Prometheus -> name in OpenTelemetry, of what is wanted from the page.
std::unordered_map<std::string_view, std::string_view> wanted_metrics() {
  std::unordered_map<std::string_view, std::string_view> wanted;
  const auto add = [&](MetricId id) { wanted[prometheus_name(id)] = info(id).name; };
  for (const TorchServeGauge& gauge : torchserve_device_gauges())
    if (const auto id = find_metric(gauge.metric)) add(*id);
  add(MetricId::device_info);  // shows devices of which nothing else is known, and whose part one is
  add(kProcessors);
  return wanted;
}

// `text` begins behind the brace; false where it is no list of labels. `text` is moved behind the closing brace.
bool read_labels(std::string_view& text, Labels& out) {
  out.clear();
  while (!text.empty() && text.front() != '}') {
    const size_t equals = text.find("=\"");
    if (equals == std::string_view::npos) return false;
    auto& [name, value] = out.emplace_back(text.substr(0, equals), std::string());
    text.remove_prefix(equals + 2);
    size_t i = 0;
    for (; i < text.size() && text[i] != '"'; ++i) {
      if (text[i] == '\\' && i + 1 < text.size()) {
        ++i;
        value += text[i] == 'n' ? '\n' : text[i];
      } else {
        value += text[i];
      }
    }
    if (i == text.size()) return false;
    text.remove_prefix(i + 1);
    if (text.starts_with(',')) text.remove_prefix(1);
  }
  if (text.empty()) return false;
  text.remove_prefix(1);
  return true;
}

std::string_view label(const Labels& labels, AttributeId id) {
  for (const auto& [name, value] : labels)
    if (name == prometheus_label(id)) return value;
  return {};
}

}  // namespace

Result<Report> report_of_page(std::string_view page) {
  if (page.find(kSign) == std::string_view::npos)
    return fail(Code::invalid, "the answer is not a page of metrics of accelmon");
  const auto wanted = wanted_metrics();
  std::unordered_map<std::string_view, std::string_view> keys;
  for (const AttributeInfo& attribute : all_attributes()) keys[prometheus_label(attribute.id)] = attribute.key;

  Report report;
  std::map<std::string, size_t, std::less<>> places;
  Labels labels;
  while (!page.empty()) {
    std::string_view line = next_line(page);
    if (line.starts_with('#')) continue;
    const size_t brace = line.find('{');
    if (brace == std::string_view::npos) continue;
    const auto metric = wanted.find(line.substr(0, brace));
    if (metric == wanted.end()) continue;
    line.remove_prefix(brace + 1);
    if (!read_labels(line, labels)) continue;
    const std::optional<double> number = parse_double(trim(line));
    if (!number) continue;
    ReportValue value;
    value.metric = metric->second;
    value.value = *number;
    value.state = "ok";
    const std::string_view id = label(labels, AttributeId::hw_id);
    for (const auto& [name, text] : labels)
      if (const auto key = keys.find(name); key != keys.end()) value.attributes.emplace_back(key->second, text);
    if (id.empty()) {
      if (metric->second == info(kProcessors).name) report.host.push_back(std::move(value));
      continue;
    }
    auto place = places.find(id);
    if (place == places.end()) {
      if (report.devices.size() == kMaxDevices) continue;
      ReportDevice device;
      device.id = id;
      device.type = label(labels, AttributeId::hw_type);
      device.index = label(labels, AttributeId::gpu);
      device.vendor = label(labels, AttributeId::hw_vendor);
      place = places.emplace(device.id, report.devices.size()).first;
      report.devices.push_back(std::move(device));
    }
    ReportDevice& device = report.devices[place->second];
    if (metric->second == info(MetricId::device_info).name)
      device.parent = label(labels, AttributeId::hw_parent);
    else
      device.values.push_back(std::move(value));
  }
  return report;
}

}  // namespace accelmon
