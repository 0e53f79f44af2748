#include "encode/labels.h"

#include <algorithm>
#include <unordered_set>

#include "encode/utf8.h"

namespace accelmon {
namespace {

bool plain(std::string_view text) {
  for (const char c : text)
    if (c < 0x20 || c == 0x7f) return false;
  return true;
}

bool well_formed_name(std::string_view name) {
  if (name.empty() || name.starts_with("__")) return false;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && (i == 0 || c < '0' || c > '9')) return false;
  }
  return true;
}

}  // namespace

std::string label_value(std::string_view raw) {
  if (raw.size() <= kMaxLabelBytes && plain(raw)) return std::string(raw);
  std::string out;
  size_t i = 0;
  while (i < raw.size()) {
    const auto c = static_cast<unsigned char>(raw[i]);
    size_t length = utf8_length(raw, i);
    const bool control = (c < 0x20 && c != '\n') || c == 0x7f ||
                         (c == 0xc2 && length == 2 && static_cast<unsigned char>(raw[i + 1]) < 0xa0);
    std::string_view piece = raw.substr(i, length);
    if (length == 0) length = utf8_broken_length(raw, i);
    if (control || piece.empty()) piece = kReplacementCharacter;
    if (out.size() + piece.size() > kMaxLabelBytes) break;
    i += length;
    out += piece;
  }
  return out;
}

void LabelSet::add(AttributeId id, std::string_view raw) {
  if (static_cast<size_t>(id) >= all_attributes().size()) return;
  for (const Label& label : labels_)
    if (label.id == id) return;
  std::string value = label_value(raw);
  if (value.empty()) return;
  if (labels_.empty()) labels_.reserve(6);
  labels_.push_back({id, std::move(value)});
}

void LabelSet::drop(const PageOptions& options) {
  std::erase_if(labels_, [&](const Label& label) { return options.drops(label.id); });
}

std::string LabelSet::identity() const {
  std::vector<const Label*> sorted;
  sorted.reserve(labels_.size());
  size_t size = 0;
  for (const Label& label : labels_) {
    sorted.push_back(&label);
    size += label.value.size() + 2;
  }
  std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->id < b->id; });
  std::string key;
  key.reserve(size);
  for (const Label* label : sorted) {
    key += static_cast<char>(label->id);
    key += label->value;
    key += '\0';  // in no clean value
  }
  return key;
}

LabelSet labels_of(const Catalog& catalog, const Series& series) {
  LabelSet labels;
  if (series.device >= 0) {
    const Device& device = catalog.devices[static_cast<size_t>(series.device)];
    labels.add(AttributeId::hw_id, device.id);
    labels.add(AttributeId::hw_type, to_string(device.type));
    labels.add(AttributeId::gpu, device.index);
    labels.add(AttributeId::hw_vendor, device.vendor);
    if (series.metric == MetricId::device_info) {
      labels.add(AttributeId::hw_model, device.model);
      for (const Attribute& attribute : device.info) labels.add(attribute.id, attribute.value);
      if (device.parent >= 0 && static_cast<size_t>(device.parent) < catalog.devices.size())
        labels.add(AttributeId::hw_parent, catalog.devices[static_cast<size_t>(device.parent)].id);
    }
  }
  for (const Attribute& attribute : series.attributes) labels.add(attribute.id, attribute.value);
  return labels;
}

bool is_exported(const Catalog& catalog, const Series& series) {
  if (index(series.metric) >= all_metrics().size() || is_local(series.metric)) return false;
  return series.device < 0 || static_cast<size_t>(series.device) < catalog.devices.size();
}

const Frame* fitting_frame(const SourceView& source) {
  if (source.catalog == nullptr || !source.frame) return nullptr;
  const size_t size = source.catalog->series.size();
  const Frame& frame = *source.frame;
  const bool fits =
      frame.generation == source.catalog->generation && frame.values.size() == size && frame.states.size() == size;
  return fits ? &frame : nullptr;
}

void for_each_page_series(const Snapshot& snapshot, const PageSeries& each, const PageOptions& options) {
  if (!options.otel) return;
  struct Item {
    MetricId metric;
    uint32_t source, series;
  };
  std::vector<Item> items;
  for (size_t source = 0; source < snapshot.sources.size(); ++source) {
    const CatalogPtr& catalog = snapshot.sources[source].catalog;
    if (catalog == nullptr) continue;
    for (size_t i = 0; i < catalog->series.size(); ++i)
      if (is_exported(*catalog, catalog->series[i]) && options.takes(catalog->series[i].metric))
        items.push_back({catalog->series[i].metric, static_cast<uint32_t>(source), static_cast<uint32_t>(i)});
  }
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.metric < b.metric; });
  std::unordered_set<std::string> seen;  // in this family
  for (size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    if (i == 0 || item.metric != items[i - 1].metric) seen.clear();
    const Catalog& catalog = *snapshot.sources[item.source].catalog;
    LabelSet labels = labels_of(catalog, catalog.series[item.series]);
    if (options.drops_any()) labels.drop(options);
    if (seen.insert(labels.identity()).second) each(item.metric, item.source, item.series, labels);
  }
}

std::string_view without_suffix(std::string_view name, std::string_view suffix) {
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
}

std::string_view stated_unit(const MetricInfo& metric) {
  if (metric.kind == Kind::info || metric.kind == Kind::state) return {};
  std::string_view family = prometheus_name(metric.id);
  if (metric.kind == Kind::counter) family = without_suffix(family, "_total");
  const std::string_view unit =
      metric.kind == Kind::gauge && metric.unit == Unit::one ? "ratio" : prometheus_unit(metric.unit);
  const bool ends_so =
      family.size() > unit.size() && family.ends_with(unit) && family[family.size() - unit.size() - 1] == '_';
  return ends_so ? unit : std::string_view();
}

Result<ConstantLabels> constant_labels(ConstantLabels labels) {
  ConstantLabels out;
  for (auto& [name, value] : labels) {
    if (!well_formed_name(name))
      return fail(Code::invalid,
                  "\"" + label_value(name) +
                      "\" cannot be the name of a label: letters, digits and underscores, no digit first, "
                      "not two underscores first");
    std::string clean = label_value(value);
    if (!clean.empty()) out.emplace_back(std::move(name), std::move(clean));
  }
  std::sort(out.begin(), out.end());
  for (size_t i = 1; i < out.size(); ++i)
    if (out[i].first == out[i - 1].first) return fail(Code::invalid, "the label " + out[i].first + " is given twice");
  return out;
}

std::vector<std::pair<std::string_view, std::string_view>> sorted_labels(MetricId metric, const LabelSet& own,
                                                                         const ConstantLabels& constant) {
  std::vector<std::pair<std::string_view, std::string_view>> out;
  out.reserve(1 + own.labels().size() + constant.size());
  out.emplace_back("__name__", prometheus_name(metric));
  for (const Label& label : own.labels()) out.emplace_back(prometheus_label(label.id), label.value);
  const size_t ours = out.size();
  for (const auto& [name, value] : constant) {
    const std::string_view wanted = name;
    if (std::none_of(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(ours),
                     [&](const auto& label) { return label.first == wanted; }))
      out.emplace_back(name, value);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace accelmon
