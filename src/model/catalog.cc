#include "model/catalog.h"

#include <algorithm>
#include <unordered_set>

namespace accelmon {
namespace {

// A text from a collector may hold anything but must stay short; what encoders cannot carry they escape.
bool bounded(const std::string& text) {
  return text.size() <= kMaxTextBytes;
}

Status broken(std::string what) {
  return Status(Code::invalid, "catalog: " + std::move(what));
}

}  // namespace

std::string series_key(const Catalog& catalog, const Series& series) {
  std::string key(info(series.metric).name);
  key += '\x1f';
  if (series.device >= 0) key += catalog.devices[static_cast<size_t>(series.device)].id;
  for (const Attribute& attribute : series.attributes) {
    key += '\x1f';
    key += info(attribute.id).key;
    key += '=';
    key += attribute.value;
  }
  return key;
}

int find_series(const Catalog& catalog, MetricId metric, int device, std::vector<Attribute> attributes) {
  for (size_t i = 0; i < catalog.series.size(); ++i) {
    const Series& series = catalog.series[i];
    if (series.metric != metric || series.device != device) continue;
    const bool all = std::all_of(attributes.begin(), attributes.end(), [&](const Attribute& wanted) {
      return std::find(series.attributes.begin(), series.attributes.end(), wanted) != series.attributes.end();
    });
    if (all) return static_cast<int>(i);
  }
  return -1;
}

Status validate(const Catalog& catalog) {
  if (catalog.devices.size() > kMaxDevices) return broken("more than " + std::to_string(kMaxDevices) + " devices");
  if (catalog.series.size() > kMaxSeries) return broken("more than " + std::to_string(kMaxSeries) + " series");
  if (catalog.absences.size() > kMaxSeries || catalog.facts.size() > 256) return broken("too many absences or facts");
  const auto devices = static_cast<int32_t>(catalog.devices.size());

  std::unordered_set<std::string> ids;
  for (int32_t i = 0; i < devices; ++i) {
    const Device& device = catalog.devices[static_cast<size_t>(i)];
    if (device.id.empty()) return broken("a device without an id");
    if (!ids.insert(device.id).second) return broken("two devices have the id " + device.id);
    if (device.parent < -1 || device.parent >= devices || device.parent == i) return broken("a parent out of range");
    if (device.type > kLastDeviceType) return broken("an unknown type of device");
    if (!bounded(device.id) || !bounded(device.index) || !bounded(device.vendor) || !bounded(device.model))
      return broken("a device's text is too long");
    for (const Attribute& attribute : device.info)
      if (static_cast<size_t>(attribute.id) >= all_attributes().size() || !bounded(attribute.value))
        return broken("a device's attribute is out of bounds");
  }

  std::unordered_set<std::string> keys;
  keys.reserve(catalog.series.size());
  for (const Series& series : catalog.series) {
    if (index(series.metric) >= all_metrics().size()) return broken("an unknown metric");
    if (series.device < -1 || series.device >= devices) return broken("a series' device is out of range");
    if (static_cast<size_t>(series.tier) >= kTiers) return broken("an unknown tier");
    if (series.attributes.size() > 16) return broken("too many attributes");
    for (const Attribute& attribute : series.attributes)
      if (static_cast<size_t>(attribute.id) >= all_attributes().size() || !bounded(attribute.value))
        return broken("an attribute is out of bounds");
    if (!keys.insert(series_key(catalog, series)).second)
      return broken("two series are the same: " + std::string(info(series.metric).name));
  }

  for (const Absence& absence : catalog.absences)
    if (index(absence.metric) >= all_metrics().size() || absence.device < -1 || absence.device >= devices ||
        static_cast<size_t>(absence.state) >= kStates || !bounded(absence.reason))
      return broken("an absence is out of bounds");
  for (const auto& [name, value] : catalog.facts)
    if (!bounded(name) || !bounded(value)) return broken("a fact is too long");
  return {};
}

int CatalogBuilder::add_device(Device device) {
  catalog_.devices.push_back(std::move(device));
  return static_cast<int>(catalog_.devices.size()) - 1;
}

int CatalogBuilder::add(MetricId metric, int device, Tier tier, std::vector<Attribute> attributes) {
  catalog_.series.push_back(Series{metric, device, tier, std::move(attributes)});
  return static_cast<int>(catalog_.series.size()) - 1;
}

void CatalogBuilder::absent(MetricId metric, int device, State state, std::string reason) {
  catalog_.absences.push_back(Absence{metric, device, state, std::move(reason)});
}

void CatalogBuilder::fact(std::string name, std::string value) {
  catalog_.facts.emplace_back(std::move(name), std::move(value));
}

}  // namespace accelmon
