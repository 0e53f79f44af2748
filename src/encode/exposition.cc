#include "encode/exposition.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/text.h"
#include "encode/dcgm.h"
#include "encode/labels.h"
#include "encode/prometheus_protobuf.h"

namespace accelmon {
namespace {

constexpr size_t kMaxNumberBytes = 24;     // "-2.2250738585072014e-308"
constexpr size_t kNumberBufferBytes = 32;  // what write_number() wants to find
constexpr size_t kFormats = 2;             // of text
constexpr std::string_view kEnd = "# EOF\n";

void append_escaped(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
}

// `before`: '{' for the first label, then ','.
void append_label(std::string& out, char& before, std::string_view name, std::string_view value) {
  out += before;
  out += name;
  out += "=\"";
  append_escaped(out, value);
  out += '"';
  before = ',';
}

void append_labels(std::string& out, const LabelSet& labels) {
  char before = '{';
  for (const Label& label : labels.labels()) append_label(out, before, prometheus_label(label.id), label.value);
  if (before == ',') out += '}';
}

void append_labels(std::string& out, const DcgmLabels& labels) {
  char before = '{';
  for (const auto& [name, value] : labels) append_label(out, before, name, value);
  if (before == ',') out += '}';
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
  if (const std::string_view unit = stated_unit(metric); !unit.empty()) {
    out += "# UNIT ";
    out += family;
    out += ' ';
    out += unit;
    out += '\n';
  }
  append_help(out, family, metric.brief, true);
  return out;
}

std::string header(const DcgmField& field, ExpositionFormat format) {
  std::string out;
  const bool text = format == ExpositionFormat::text_0_0_4;
  if (text) append_help(out, field.name, field.help, false);
  append_type(out, field.name, field.kind != Kind::counter ? "gauge" : text ? "counter" : "unknown");
  if (!text) append_help(out, field.name, field.help, true);
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
  // DCGM's vocabulary, laid out likewise.
  struct DcgmFamily {
    bool counter = false;
    uint32_t entries = 0;
    uint32_t header_size[kFormats] = {};
  };
  std::vector<DcgmFamily> dcgm_families;
  std::vector<uint32_t> dcgm_sizes;  // of the prefixes
  std::string dcgm_prefixes;
  std::string dcgm_headers[kFormats];
  DcgmReadings dcgm_readings;
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

  void build(const Snapshot& snapshot, const PageOptions& options);
  void build_dcgm(const Snapshot& snapshot, const PageOptions& options);
  void take_frames(const Snapshot& snapshot);
  char* write(size_t format, char* out) const;
  char* write_dcgm(size_t format, char* out) const;
};

void Exposition::Plan::build(const Snapshot& snapshot, const PageOptions& options) {
  *this = Plan();
  built = true;
  for (const SourceView& view : snapshot.sources)
    sources.push_back({view.catalog, view.catalog != nullptr ? view.catalog->generation : 0});
  std::optional<MetricId> last;
  const auto add = [&](MetricId id, uint32_t source, uint32_t series, const LabelSet& labels) {
    if (last != id) {
      last = id;
      Family& family = families.emplace_back();
      family.kind = info(id).kind;
      for (size_t format = 0; format < kFormats; ++format) {
        const std::string text = header(info(id), static_cast<ExpositionFormat>(format));
        headers[format] += text;
        family.header_size[format] = static_cast<uint32_t>(text.size());
      }
    }
    if (families.back().runs == 0 || runs.back().source != source) {
      runs.push_back({source, 0, 0});
      ++families.back().runs;
    }
    const size_t before = prefixes.size();
    prefixes += prometheus_name(id);
    append_labels(prefixes, labels);
    prefixes += ' ';
    const auto size = static_cast<uint32_t>(prefixes.size() - before);
    entries.push_back({series, size});
    ++runs.back().entries;
    runs.back().prefix_bytes += size;
  };
  for_each_page_series(snapshot, add, options);
  prefixes.shrink_to_fit();
  entries.shrink_to_fit();
  if (options.dcgm) build_dcgm(snapshot, options);
  bound = prefixes.size() + dcgm_prefixes.size() + (entries.size() + dcgm_sizes.size()) * (kMaxNumberBytes + 1) +
          std::max(headers[0].size() + dcgm_headers[0].size(), headers[1].size() + dcgm_headers[1].size()) +
          kEnd.size() + kNumberBufferBytes;
}

void Exposition::Plan::build_dcgm(const Snapshot& snapshot, const PageOptions& options) {
  std::string_view last;
  for_each_dcgm_series(snapshot, options, [&](const DcgmField& field, const DcgmLabels& labels, const auto& reading) {
    if (last != field.name) {
      last = field.name;
      DcgmFamily& family = dcgm_families.emplace_back();
      family.counter = field.kind == Kind::counter;
      for (size_t format = 0; format < kFormats; ++format) {
        const std::string text = header(field, static_cast<ExpositionFormat>(format));
        dcgm_headers[format] += text;
        family.header_size[format] = static_cast<uint32_t>(text.size());
      }
    }
    ++dcgm_families.back().entries;
    const size_t before = dcgm_prefixes.size();
    dcgm_prefixes += field.name;
    append_labels(dcgm_prefixes, labels);
    dcgm_prefixes += ' ';
    dcgm_sizes.push_back(static_cast<uint32_t>(dcgm_prefixes.size() - before));
    dcgm_readings.add(reading);
  });
}

// A frame of another generation than its catalog's, or of another length, is not rendered at all.
void Exposition::Plan::take_frames(const Snapshot& snapshot) {
  for (size_t i = 0; i < sources.size(); ++i) {
    Source& source = sources[i];
    source.values = nullptr;
    const Frame* frame = fitting_frame(snapshot.sources[i]);
    if (frame == nullptr) continue;
    source.values = frame->values.data();
    source.states = frame->states.data();
  }
  if (dcgm_readings.size() != 0) dcgm_readings.take(snapshot);
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
  if (!dcgm_families.empty()) out = write_dcgm(format, out);
  if (format == static_cast<size_t>(ExpositionFormat::openmetrics_1_0)) {
    std::memcpy(out, kEnd.data(), kEnd.size());
    out += kEnd.size();
  }
  return out;
}

char* Exposition::Plan::write_dcgm(size_t format, char* out) const {
  const char* prefix = dcgm_prefixes.data();
  const char* head = dcgm_headers[format].data();
  size_t entry = 0;
  for (const DcgmFamily& family : dcgm_families) {
    bool begun = false;
    for (const size_t end = entry + family.entries; entry != end; prefix += dcgm_sizes[entry], ++entry) {
      const double value = dcgm_readings.value(entry);
      if (value != value || (family.counter && value < 0)) continue;
      if (!begun) {
        std::memcpy(out, head, family.header_size[format]);
        out += family.header_size[format];
        begun = true;
      }
      std::memcpy(out, prefix, dcgm_sizes[entry]);
      out = write_number(out + dcgm_sizes[entry], value);
      *out++ = '\n';
    }
    head += family.header_size[format];
  }
  return out;
}

Exposition::Exposition(PageOptions options) : options_(std::move(options)), plan_(std::make_unique<Plan>()) {}
Exposition::~Exposition() = default;
Exposition::Exposition(Exposition&&) noexcept = default;
Exposition& Exposition::operator=(Exposition&&) noexcept = default;

void Exposition::render(const Snapshot& snapshot, ExpositionFormat format, std::string& page) {
  if (format == ExpositionFormat::protobuf) {
    if (protobuf_ == nullptr) protobuf_ = std::make_unique<ProtobufExposition>(options_);
    if (protobuf_->render(snapshot, page)) ++prepared_;
    return;
  }
  if (!plan_->fits(snapshot)) {
    plan_->build(snapshot, options_);
    ++prepared_;
  }
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
         plan.headers[1].capacity() + plan.dcgm_families.capacity() * sizeof(Plan::DcgmFamily) +
         plan.dcgm_sizes.capacity() * sizeof(uint32_t) + plan.dcgm_prefixes.capacity() +
         plan.dcgm_headers[0].capacity() + plan.dcgm_headers[1].capacity() + plan.dcgm_readings.bytes() +
         (protobuf_ != nullptr ? protobuf_->bytes() : 0);
}

}  // namespace accelmon
