#include "encode/exposition.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/text.h"
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

void append_labels(std::string& out, const LabelSet& labels) {
  char before = '{';
  for (const Label& label : labels.labels()) {
    out += before;
    out += prometheus_label(label.id);
    out += "=\"";
    append_escaped(out, label.value);
    out += '"';
    before = ',';
  }
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
  for (const SourceView& view : snapshot.sources)
    sources.push_back({view.catalog, view.catalog != nullptr ? view.catalog->generation : 0});
  std::optional<MetricId> last;
  for_each_page_series(snapshot, [&](MetricId id, uint32_t source, uint32_t series, const LabelSet& labels) {
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
  });
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
  if (format == ExpositionFormat::protobuf) {
    if (protobuf_ == nullptr) protobuf_ = std::make_unique<ProtobufExposition>();
    protobuf_->render(snapshot, page);
    return;
  }
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
         plan.headers[1].capacity() + (protobuf_ != nullptr ? protobuf_->bytes() : 0);
}

}  // namespace accelmon
