#include "analysis/readings.h"

#include <algorithm>

namespace accelmon::analysis {

std::string_view Reading::attribute(AttributeId id) const {
  for (const Attribute& one : series->attributes)
    if (one.id == id) return one.value;
  return {};
}

std::string DeviceReadings::name() const {
  if (device->index.empty()) return device->id;
  return device->vendor.empty() ? "gpu " + device->index : device->vendor + " " + device->index;
}

std::optional<double> DeviceReadings::value(MetricId metric, Wanted attributes) const {
  for (const Reading& one : readings)
    if (one.series->metric == metric && std::all_of(attributes.begin(), attributes.end(), [&](const auto& wanted) {
          return one.attribute(wanted.first) == wanted.second;
        }))
      return one.value;
  return std::nullopt;
}

bool DeviceReadings::is(MetricId metric, AttributeId key, std::string_view word) const {
  return value(metric, {{key, word}}).value_or(0) != 0;
}

bool DeviceReadings::anything_read() const {
  return std::any_of(readings.begin(), readings.end(), [](const Reading& one) {
    const MetricId metric = one.series->metric;
    return metric != MetricId::device_info && metric != MetricId::hw_status && metric != MetricId::device_unread &&
           metric != MetricId::events;
  });
}

Readings::Readings(const Snapshot& snapshot) {
  std::map<std::string_view, size_t> known;
  for (const SourceView& source : snapshot.sources) {
    if (source.catalog == nullptr || !source.frame) continue;
    const Catalog& catalog = *source.catalog;
    std::vector<int> at(catalog.devices.size(), -1);
    for (size_t i = 0; i < catalog.devices.size(); ++i) {
      const Device& device = catalog.devices[i];
      if (device.type != DeviceType::gpu && device.type != DeviceType::gpu_partition) continue;
      const auto [entry, fresh] = known.emplace(device.id, devices_.size());
      if (fresh) devices_.push_back({&device, {}, {}});
      if (device.parent >= 0 && static_cast<size_t>(device.parent) < catalog.devices.size())
        devices_[entry->second].parent = catalog.devices[static_cast<size_t>(device.parent)].id;
      at[i] = static_cast<int>(entry->second);
    }
    const size_t count = std::min(catalog.series.size(), source.frame->states.size());
    for (size_t i = 0; i < count; ++i) {
      const Series& series = catalog.series[i];
      if (series.device < 0 || source.frame->states[i] != State::ok) continue;
      if (const int device = at[static_cast<size_t>(series.device)]; device >= 0)
        devices_[static_cast<size_t>(device)].readings.push_back({&series, source.frame->values[i]});
    }
  }
}

}  // namespace accelmon::analysis
