#include "model/catalog_wire.h"

#include "base/wire.h"

namespace accelmon {
namespace {

void put_attributes(WireWriter& w, const std::vector<Attribute>& attributes) {
  w.put(static_cast<uint32_t>(attributes.size()));
  for (const Attribute& attribute : attributes) {
    w.put(static_cast<uint8_t>(attribute.id));
    w.text(attribute.value);
  }
}

// The writer's number as ours; without a translation as it is (validate() looks at it).
bool translate(const std::vector<int32_t>* table, uint32_t number, uint32_t& ours) {
  ours = number;
  if (table == nullptr) return true;
  if (number >= table->size() || (*table)[number] < 0) return false;
  ours = static_cast<uint32_t>((*table)[number]);
  return true;
}

// False: one of them is unknown here, and left out.
bool get_attributes(WireReader& r, const std::vector<int32_t>* table, std::vector<Attribute>& attributes) {
  const uint32_t n = r.count(64, 5);
  attributes.reserve(n);
  bool all = true;
  for (uint32_t i = 0; i < n && r.ok(); ++i) {
    uint32_t id = 0;
    const bool known = translate(table, r.get<uint8_t>(), id);
    const std::string_view value = r.text(kMaxTextBytes);
    if (known)
      attributes.push_back({static_cast<AttributeId>(id), std::string(value)});
    else
      all = false;
  }
  return all;
}

}  // namespace

void encode_catalog(std::string& out, const Catalog& catalog) {
  WireWriter w(out);
  w.put(catalog.generation);
  w.put(static_cast<uint32_t>(catalog.devices.size()));
  for (const Device& device : catalog.devices) {
    w.put(static_cast<uint8_t>(device.type));
    w.text(device.id);
    w.text(device.index);
    w.text(device.vendor);
    w.text(device.model);
    w.put(device.parent);
    put_attributes(w, device.info);
  }
  w.put(static_cast<uint32_t>(catalog.series.size()));
  for (const Series& series : catalog.series) {
    w.put(static_cast<uint16_t>(series.metric));
    w.put(series.device);
    w.put(static_cast<uint8_t>(series.tier));
    put_attributes(w, series.attributes);
  }
  w.put(static_cast<uint32_t>(catalog.absences.size()));
  for (const Absence& absence : catalog.absences) {
    w.put(static_cast<uint16_t>(absence.metric));
    w.put(absence.device);
    w.put(static_cast<uint8_t>(absence.state));
    w.text(absence.reason);
  }
  w.put(static_cast<uint32_t>(catalog.facts.size()));
  for (const auto& [name, value] : catalog.facts) {
    w.text(name);
    w.text(value);
  }
}

Result<Catalog> decode_catalog(std::string_view bytes, const CatalogNumbers* numbers, std::vector<uint32_t>* columns,
                               uint32_t* written) {
  const std::vector<int32_t>* metrics = numbers != nullptr ? &numbers->metrics : nullptr;
  const std::vector<int32_t>* attributes = numbers != nullptr ? &numbers->attributes : nullptr;
  WireReader r(bytes);
  Catalog catalog;
  catalog.generation = r.get<uint64_t>();
  const uint32_t devices = r.count(kMaxDevices, 25);
  catalog.devices.reserve(devices);
  for (uint32_t i = 0; i < devices && r.ok(); ++i) {
    Device device;
    device.type = static_cast<DeviceType>(r.get<uint8_t>());
    device.id = r.text(kMaxTextBytes);
    device.index = r.text(kMaxTextBytes);
    device.vendor = r.text(kMaxTextBytes);
    device.model = r.text(kMaxTextBytes);
    device.parent = r.get<int32_t>();
    (void)get_attributes(r, attributes, device.info);
    catalog.devices.push_back(std::move(device));
  }
  const uint32_t series_count = r.count(kMaxSeries, 11);
  catalog.series.reserve(series_count);
  if (columns != nullptr) columns->clear();
  if (written != nullptr) *written = series_count;
  for (uint32_t i = 0; i < series_count && r.ok(); ++i) {
    Series series{};
    uint32_t metric = 0;
    bool known = translate(metrics, r.get<uint16_t>(), metric);
    series.metric = static_cast<MetricId>(metric);
    series.device = r.get<int32_t>();
    series.tier = static_cast<Tier>(r.get<uint8_t>());
    known = get_attributes(r, attributes, series.attributes) && known;
    if (!known) continue;
    catalog.series.push_back(std::move(series));
    if (columns != nullptr) columns->push_back(i);
  }
  const uint32_t absences = r.count(kMaxSeries, 11);
  catalog.absences.reserve(absences);
  for (uint32_t i = 0; i < absences && r.ok(); ++i) {
    Absence absence{};
    uint32_t metric = 0;
    const bool known = translate(metrics, r.get<uint16_t>(), metric);
    absence.metric = static_cast<MetricId>(metric);
    absence.device = r.get<int32_t>();
    absence.state = static_cast<State>(r.get<uint8_t>());
    absence.reason = r.text(kMaxTextBytes);
    if (known) catalog.absences.push_back(std::move(absence));
  }
  const uint32_t facts = r.count(kMaxFacts, 8);
  for (uint32_t i = 0; i < facts && r.ok(); ++i) {
    std::string name(r.text(kMaxTextBytes));
    catalog.facts.emplace_back(std::move(name), std::string(r.text(kMaxTextBytes)));
  }
  if (!r.done()) return fail(Code::invalid, "catalog: malformed bytes");
  if (Status status = validate(catalog); !status.ok()) return fail(std::move(status));
  return catalog;
}

}  // namespace accelmon
