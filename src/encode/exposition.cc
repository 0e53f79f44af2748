#include "encode/exposition.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/text.h"
#include "encode/utf8.h"

namespace accelmon {
namespace {

constexpr size_t kMaxLabelBytes = 256;
constexpr size_t kMaxNumberBytes = 24;     // "-2.2250738585072014e-308"
constexpr size_t kNumberBufferBytes = 32;  // what write_number() wants to find
constexpr size_t kFormats = 2;
constexpr std::string_view kEnd = "# EOF\n";

using LabelText = std::pair<AttributeId, std::string>;  // escaped, without quotes

// A label's value as a page can carry it: valid UTF-8 without control characters other than the newline, at most
// kMaxLabelBytes long, and escaped.
std::string label_text(std::string_view value) {
  std::string out;
  size_t clean = 0;  // bytes so far, not counting escapes
  size_t i = 0;
  while (i < value.size()) {
    const auto c = static_cast<unsigned char>(value[i]);
    size_t length = utf8_length(value, i);
    const bool control = (c < 0x20 && c != '\n') || c == 0x7f ||
                         (c == 0xc2 && length == 2 && static_cast<unsigned char>(value[i + 1]) < 0xa0);
    std::string_view piece = value.substr(i, length);
    if (length == 0) length = utf8_broken_length(value, i);
    if (control || piece.empty()) piece = kReplacementCharacter;
    if (clean + piece.size() > kMaxLabelBytes) break;
    clean += piece.size();
    i += length;
    if (c == '\\')
      out += "\\\\";
    else if (c == '"')
      out += "\\\"";
    else if (c == '\n')
      out += "\\n";
    else
      out += piece;
  }
  return out;
}

// Labels of one series: no name twice (the first one stands), none empty, since an empty label is no label.
class Labels {
 public:
  void add(AttributeId id, std::string_view value) {
    if (static_cast<size_t>(id) >= all_attributes().size()) return;
    for (const LabelText& label : labels_)
      if (label.first == id) return;
    std::string text = label_text(value);
    if (!text.empty()) labels_.emplace_back(id, std::move(text));
  }

  void append_to(std::string& out) const {
    if (labels_.empty()) return;
    char before = '{';
    for (const auto& [id, text] : labels_) {
      out += before;
      out += prometheus_label(id);
      out += "=\"";
      out += text;
      out += '"';
      before = ',';
    }
    out += '}';
  }

  // The same for the same labels in any order, which to Prometheus is the same series.
  std::string identity() const {
    std::vector<const LabelText*> sorted;
    for (const LabelText& label : labels_) sorted.push_back(&label);
    std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->first < b->first; });
    std::string key;
    for (const LabelText* label : sorted) {
      key += static_cast<char>(label->first);
      key += label->second;
      key += '\n';  // never in an escaped text
    }
    return key;
  }

 private:
  std::vector<LabelText> labels_;
};

Labels labels_of(const Catalog& catalog, const Series& series) {
  Labels labels;
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

std::string_view without_suffix(std::string_view name, std::string_view suffix) {
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
}

void append_help(std::string& out, std::string_view family, std::string_view brief, bool escape_quotes) {
  out += "# HELP ";
  out += family;
  out += ' ';
  for (const char c : brief) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || (c == '"' && escape_quotes)) out += '\\';
    out += c;
  }
  out += '\n';
}

void append_type(std::string& out, std::string_view family, std::string_view type) {
  out += "# TYPE ";
  out += family;
  out += ' ';
  out += type;
  out += '\n';
}

// The unit that OpenMetrics wants as the end of the family's name; empty where there is none to state.
std::string_view unit_of(const MetricInfo& metric, std::string_view family) {
  if (metric.kind == Kind::info || metric.kind == Kind::state) return {};
  const std::string_view unit =
      metric.kind == Kind::gauge && metric.unit == Unit::one ? "ratio" : prometheus_unit(metric.unit);
  const bool ends_so =
      family.size() > unit.size() && family.ends_with(unit) && family[family.size() - unit.size() - 1] == '_';
  return ends_so ? unit : std::string_view();
}

std::string header(const MetricInfo& metric, ExpositionFormat format) {
  const std::string_view name = prometheus_name(metric.id);
  std::string out;
  if (format == ExpositionFormat::text_0_0_4) {
    append_help(out, name, metric.brief, false);
    append_type(out, name, metric.kind == Kind::counter ? "counter" : "gauge");
    return out;
  }
  std::string_view family = name;
  std::string_view type = "gauge";
  if (metric.kind == Kind::counter) {
    family = without_suffix(name, "_total");
    type = "counter";
  } else if (metric.kind == Kind::info) {
    family = without_suffix(name, "_info");
    type = "info";
  }
  append_type(out, family, type);
  if (const std::string_view unit = unit_of(metric, family); !unit.empty()) {
    out += "# UNIT ";
    out += family;
    out += ' ';
    out += unit;
    out += '\n';
  }
  append_help(out, family, metric.brief, true);
  return out;
}

}  // namespace

// The page with holes for the numbers, laid out in the order of rendering, so that rendering walks memory forwards.
struct Exposition::Plan {
  struct Source {
    CatalogPtr catalog;  // held, so that its address is not used again by another
    uint64_t generation = 0;
    const double* values = nullptr;  // of the snapshot being rendered; null: it has no frame that fits
    const State* states = nullptr;
  };
  struct Entry {
    uint32_t series = 0;  // in its source's frame
    uint32_t size = 0;    // of its prefix in `prefixes`
  };
  struct Run {  // consecutive entries of one family and source
    uint32_t source = 0;
    uint32_t entries = 0;
    uint32_t prefix_bytes = 0;  // of all of them
  };
  struct Family {
    Kind kind = Kind::gauge;
    uint32_t runs = 0;
    uint32_t header_size[kFormats] = {};
  };

  bool built = false;
  std::vector<Source> sources;
  std::vector<Family> families;
  std::vector<Run> runs;
  std::vector<Entry> entries;
  std::string prefixes;
  std::string headers[kFormats];
  size_t bound = 0;  // no page is longer

  bool fits(const Snapshot& snapshot) const {
    if (!built || sources.size() != snapshot.sources.size()) return false;
    for (size_t i = 0; i < sources.size(); ++i) {
      const CatalogPtr& catalog = snapshot.sources[i].catalog;
      if (sources[i].catalog != catalog) return false;
      if (catalog != nullptr && sources[i].generation != catalog->generation) return false;
    }
    return true;
  }

  void build(const Snapshot& snapshot);
  void take_frames(const Snapshot& snapshot);
  char* write(size_t format, char* out) const;
};

void Exposition::Plan::build(const Snapshot& snapshot) {
  *this = Plan();
  built = true;
  struct Item {
    uint32_t metric, source, series;
  };
  std::vector<Item> items;
  for (const SourceView& view : snapshot.sources) {
    const auto source = static_cast<uint32_t>(sources.size());
    sources.push_back({view.catalog, view.catalog != nullptr ? view.catalog->generation : 0});
    if (view.catalog == nullptr) continue;
    const Catalog& catalog = *view.catalog;
    for (size_t i = 0; i < catalog.series.size(); ++i) {
      const Series& series = catalog.series[i];
      if (index(series.metric) >= all_metrics().size() || is_local(series.metric)) continue;
      if (series.device >= 0 && static_cast<size_t>(series.device) >= catalog.devices.size()) continue;
      items.push_back({static_cast<uint32_t>(index(series.metric)), source, static_cast<uint32_t>(i)});
    }
  }
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.metric < b.metric; });

  std::unordered_set<std::string> seen;  // in this family
  for (size_t i = 0; i < items.size(); ++i) {
    const MetricInfo& metric = all_metrics()[items[i].metric];
    if (i == 0 || items[i].metric != items[i - 1].metric) {
      seen.clear();
      Family& family = families.emplace_back();
      family.kind = metric.kind;
      for (size_t format = 0; format < kFormats; ++format) {
        const std::string text = header(metric, static_cast<ExpositionFormat>(format));
        headers[format] += text;
        family.header_size[format] = static_cast<uint32_t>(text.size());
      }
    }
    const Catalog& catalog = *sources[items[i].source].catalog;
    const Labels labels = labels_of(catalog, catalog.series[items[i].series]);
    // Two samples of one series would cost the scraper the whole page: the first source's stands.
    if (!seen.insert(labels.identity()).second) continue;
    if (families.back().runs == 0 || runs.back().source != items[i].source) {
      runs.push_back({items[i].source, 0, 0});
      ++families.back().runs;
    }
    const size_t before = prefixes.size();
    prefixes += prometheus_name(metric.id);
    labels.append_to(prefixes);
    prefixes += ' ';
    const auto size = static_cast<uint32_t>(prefixes.size() - before);
    entries.push_back({items[i].series, size});
    ++runs.back().entries;
    runs.back().prefix_bytes += size;
  }
  prefixes.shrink_to_fit();
  entries.shrink_to_fit();
  bound = prefixes.size() + entries.size() * (kMaxNumberBytes + 1) + std::max(headers[0].size(), headers[1].size()) +
          kEnd.size() + kNumberBufferBytes;
}

// A frame of another generation than its catalog's, or of another length, is not rendered at all.
void Exposition::Plan::take_frames(const Snapshot& snapshot) {
  for (size_t i = 0; i < sources.size(); ++i) {
    Source& source = sources[i];
    source.values = nullptr;
    const SourceView& view = snapshot.sources[i];
    if (view.catalog == nullptr || !view.frame) continue;
    const size_t size = view.catalog->series.size();
    if (view.frame->generation != view.catalog->generation || view.frame->values.size() != size ||
        view.frame->states.size() != size)
      continue;
    source.values = view.frame->values.data();
    source.states = view.frame->states.data();
  }
}

char* Exposition::Plan::write(size_t format, char* out) const {
  const char* prefix = prefixes.data();
  const char* head = headers[format].data();
  const Entry* entry = entries.data();
  const Run* run = runs.data();
  for (const Family& family : families) {
    bool begun = false;
    for (uint32_t r = 0; r < family.runs; ++r, ++run) {
      const Source& source = sources[run->source];
      if (source.values == nullptr) {
        prefix += run->prefix_bytes;
        entry += run->entries;
        continue;
      }
      for (const Entry* end = entry + run->entries; entry != end; prefix += entry->size, ++entry) {
        if (source.states[entry->series] != State::ok) continue;
        const double value = source.values[entry->series];
        // Not a number, or a counter below zero: no collector may say so, and a strict reader refuses the page for it.
        if (value != value || (family.kind == Kind::counter && value < 0)) continue;
        if (!begun) {
          std::memcpy(out, head, family.header_size[format]);
          out += family.header_size[format];
          begun = true;
        }
        std::memcpy(out, prefix, entry->size);
        out += entry->size;
        if (family.kind == Kind::info)
          *out++ = '1';
        else
          out = write_number(out, value);
        *out++ = '\n';
      }
    }
    head += family.header_size[format];
  }
  if (format == static_cast<size_t>(ExpositionFormat::openmetrics_1_0)) {
    std::memcpy(out, kEnd.data(), kEnd.size());
    out += kEnd.size();
  }
  return out;
}

Exposition::Exposition() : plan_(std::make_unique<Plan>()) {}
Exposition::~Exposition() = default;
Exposition::Exposition(Exposition&&) noexcept = default;
Exposition& Exposition::operator=(Exposition&&) noexcept = default;

void Exposition::render(const Snapshot& snapshot, ExpositionFormat format, std::string& page) {
  if (!plan_->fits(snapshot)) plan_->build(snapshot);
  plan_->take_frames(snapshot);
  // Not cleared first: a page of the last size is grown by the bound's slack alone, and only that is filled with zeros.
  page.resize(plan_->bound);
  const char* end = plan_->write(static_cast<size_t>(format), page.data());
  page.resize(static_cast<size_t>(end - page.data()));
}

size_t Exposition::bytes() const {
  const Plan& plan = *plan_;
  return sizeof(Plan) + plan.sources.capacity() * sizeof(Plan::Source) +
         plan.families.capacity() * sizeof(Plan::Family) + plan.runs.capacity() * sizeof(Plan::Run) +
         plan.entries.capacity() * sizeof(Plan::Entry) + plan.prefixes.capacity() + plan.headers[0].capacity() +
         plan.headers[1].capacity();
}

}  // namespace accelmon
