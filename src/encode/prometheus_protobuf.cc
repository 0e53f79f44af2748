#include "encode/prometheus_protobuf.h"

#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "encode/dcgm.h"
#include "encode/labels.h"
#include "encode/protobuf.h"

namespace accelmon {
namespace {

using protobuf::tag;

constexpr size_t kValueBytes = 8;
constexpr uint64_t kCounterType = 0, kGaugeType = 1;  // MetricType

}  // namespace

// Every sample is its prepared bytes and the eight of its number, so a family's length is known from counting.
struct ProtobufExposition::Plan {
  struct Source {
    CatalogPtr catalog;  // held, so that its address is not used again by another
    uint64_t generation = 0;
    const Frame* frame = nullptr;  // of the snapshot being rendered; null: none that fits
  };
  struct Entry {
    uint32_t source = 0, series = 0;
    uint32_t at = 0, size = 0;  // in `bytes`
  };
  struct Family {
    Kind kind = Kind::gauge;
    uint32_t entries = 0;
    uint32_t at = 0, head = 0, tail = 0;  // in `bytes`: the fields before and behind the metrics
  };

  bool built = false;
  std::vector<Source> sources;
  std::vector<Family> families;
  std::vector<Entry> entries;
  std::vector<const double*> values;  // of the family at hand
  std::string bytes;
  // DCGM's vocabulary behind them; an entry's series is the number of its reading.
  std::vector<Family> dcgm_families;
  std::vector<Entry> dcgm_entries;
  DcgmReadings dcgm_readings;
  std::vector<double> dcgm_values;  // of the family at hand
  size_t bound = 0;                 // no page is longer

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
  Family begin_family(std::string_view name, std::string_view help, Kind kind, std::string_view unit);
  // `labels`: the metric's label fields.
  Entry begin_entry(const std::string& labels, Kind kind);
  void take_frames(const Snapshot& snapshot);
  char* write(char* out);
  char* write_dcgm(char* out);
};

// MetricFamily{name 1, help 2, type 3, metric 4 {label 1 {name 1, value 2}, gauge 2 | counter 3 {value 1}}, unit 5}
ProtobufExposition::Plan::Family ProtobufExposition::Plan::begin_family(std::string_view name, std::string_view help,
                                                                        Kind kind, std::string_view unit) {
  Family family;
  family.kind = kind;
  family.at = static_cast<uint32_t>(bytes.size());
  protobuf::append_field(bytes, 1, name);
  protobuf::append_field(bytes, 2, help);
  bytes += tag(3, protobuf::kVarint);  // proto2: a zero is written too
  protobuf::append_varint(bytes, kind == Kind::counter ? kCounterType : kGaugeType);
  family.head = static_cast<uint32_t>(bytes.size()) - family.at;
  protobuf::append_text(bytes, 5, unit);
  family.tail = static_cast<uint32_t>(bytes.size()) - family.at - family.head;
  return family;
}

ProtobufExposition::Plan::Entry ProtobufExposition::Plan::begin_entry(const std::string& labels, Kind kind) {
  Entry entry;
  entry.at = static_cast<uint32_t>(bytes.size());
  bytes += tag(4, protobuf::kBytes);
  protobuf::append_varint(bytes, labels.size() + 3 + kValueBytes);
  bytes += labels;
  bytes += tag(kind == Kind::counter ? 3 : 2, protobuf::kBytes);
  bytes += static_cast<char>(1 + kValueBytes);
  bytes += tag(1, protobuf::kFixed64);
  entry.size = static_cast<uint32_t>(bytes.size()) - entry.at;
  return entry;
}

namespace {

// LabelPair{name 1, value 2}, as a field of Metric.
void append_label(std::string& labels, std::string& scratch, std::string_view name, std::string_view value) {
  scratch.clear();
  protobuf::append_field(scratch, 1, name);
  protobuf::append_field(scratch, 2, value);
  protobuf::append_field(labels, 1, scratch);
}

}  // namespace

void ProtobufExposition::Plan::build(const Snapshot& snapshot, const PageOptions& options) {
  *this = Plan();
  built = true;
  for (const SourceView& view : snapshot.sources)
    sources.push_back({view.catalog, view.catalog != nullptr ? view.catalog->generation : 0, nullptr});
  std::optional<MetricId> last;
  std::string scratch, fields;
  const auto add = [&](MetricId id, uint32_t source, uint32_t series, const LabelSet& labels) {
    const MetricInfo& about = info(id);
    if (last != id) {
      last = id;
      families.push_back(begin_family(prometheus_name(id), about.brief, about.kind, stated_unit(about)));
    }
    fields.clear();
    for (const Label& one : labels.labels()) append_label(fields, scratch, prometheus_label(one.id), one.value);
    Entry entry = begin_entry(fields, about.kind);
    entry.source = source;
    entry.series = series;
    entries.push_back(entry);
    ++families.back().entries;
  };
  for_each_page_series(snapshot, add, options);
  if (options.dcgm) build_dcgm(snapshot, options);
  bytes.shrink_to_fit();
  entries.shrink_to_fit();
  bound = bytes.size() + (entries.size() + dcgm_entries.size()) * kValueBytes +
          (families.size() + dcgm_families.size()) * protobuf::kMaxVarint;
}

void ProtobufExposition::Plan::build_dcgm(const Snapshot& snapshot, const PageOptions& options) {
  std::string_view last;
  std::string scratch, fields;
  for_each_dcgm_series(snapshot, options, [&](const DcgmField& field, const DcgmLabels& labels, const auto& reading) {
    if (last != field.name) {
      last = field.name;
      dcgm_families.push_back(begin_family(field.name, field.help, field.kind, {}));
    }
    fields.clear();
    for (const auto& [name, value] : labels) append_label(fields, scratch, name, value);
    dcgm_entries.push_back(begin_entry(fields, field.kind));
    ++dcgm_families.back().entries;
    dcgm_readings.add(reading);
  });
}

// A frame of another generation than its catalog's, or of another length, is not rendered at all.
void ProtobufExposition::Plan::take_frames(const Snapshot& snapshot) {
  for (size_t i = 0; i < sources.size(); ++i) sources[i].frame = fitting_frame(snapshot.sources[i]);
  if (dcgm_readings.size() != 0) dcgm_readings.take(snapshot);
}

char* ProtobufExposition::Plan::write(char* out) {
  static constexpr double kOne = 1;
  const Entry* entry = entries.data();
  for (const Family& family : families) {
    const Entry* const begin = entry;
    values.clear();
    size_t metrics = 0;
    for (const Entry* end = entry + family.entries; entry != end; ++entry) {
      const Frame* frame = sources[entry->source].frame;
      const double* value = nullptr;
      if (frame != nullptr && frame->states[entry->series] == State::ok) {
        value = &frame->values[entry->series];
        // As on the text page: no collector may say so, and a strict reader refuses the page for it.
        if (*value != *value || (family.kind == Kind::counter && *value < 0))
          value = nullptr;
        else if (family.kind == Kind::info)
          value = &kOne;
      }
      values.push_back(value);
      if (value != nullptr) metrics += entry->size + kValueBytes;
    }
    if (metrics == 0) continue;
    const char* text = bytes.data() + family.at;
    out = protobuf::put_varint(out, family.head + metrics + family.tail);
    out = protobuf::put_bytes(out, {text, family.head});
    for (uint32_t i = 0; i < family.entries; ++i) {
      if (values[i] == nullptr) continue;
      out = protobuf::put_bytes(out, {bytes.data() + begin[i].at, begin[i].size});
      std::memcpy(out, values[i], kValueBytes);
      out += kValueBytes;
    }
    out = protobuf::put_bytes(out, {text + family.head, family.tail});
  }
  return dcgm_families.empty() ? out : write_dcgm(out);
}

char* ProtobufExposition::Plan::write_dcgm(char* out) {
  size_t first = 0;
  for (const Family& family : dcgm_families) {
    dcgm_values.clear();
    size_t metrics = 0;
    for (uint32_t i = 0; i < family.entries; ++i) {
      double value = dcgm_readings.value(first + i);
      if (family.kind == Kind::counter && value < 0) value = std::numeric_limits<double>::quiet_NaN();
      dcgm_values.push_back(value);
      if (value == value) metrics += dcgm_entries[first + i].size + kValueBytes;
    }
    if (metrics != 0) {
      const char* text = bytes.data() + family.at;
      out = protobuf::put_varint(out, family.head + metrics + family.tail);
      out = protobuf::put_bytes(out, {text, family.head});
      for (uint32_t i = 0; i < family.entries; ++i) {
        const double value = dcgm_values[i];
        if (value != value) continue;
        const Entry& entry = dcgm_entries[first + i];
        out = protobuf::put_bytes(out, {bytes.data() + entry.at, entry.size});
        std::memcpy(out, &value, kValueBytes);
        out += kValueBytes;
      }
      out = protobuf::put_bytes(out, {text + family.head, family.tail});
    }
    first += family.entries;
  }
  return out;
}

ProtobufExposition::ProtobufExposition(PageOptions options)
    : options_(std::move(options)), plan_(std::make_unique<Plan>()) {}
ProtobufExposition::~ProtobufExposition() = default;
ProtobufExposition::ProtobufExposition(ProtobufExposition&&) noexcept = default;
ProtobufExposition& ProtobufExposition::operator=(ProtobufExposition&&) noexcept = default;

bool ProtobufExposition::render(const Snapshot& snapshot, std::string& page) {
  const bool anew = !plan_->fits(snapshot);
  if (anew) plan_->build(snapshot, options_);
  plan_->take_frames(snapshot);
  page.resize(plan_->bound);
  const char* end = plan_->write(page.data());
  page.resize(static_cast<size_t>(end - page.data()));
  return anew;
}

size_t ProtobufExposition::bytes() const {
  const Plan& plan = *plan_;
  return sizeof(Plan) + plan.sources.capacity() * sizeof(Plan::Source) +
         plan.families.capacity() * sizeof(Plan::Family) + plan.entries.capacity() * sizeof(Plan::Entry) +
         plan.values.capacity() * sizeof(double*) + plan.bytes.capacity() +
         plan.dcgm_families.capacity() * sizeof(Plan::Family) + plan.dcgm_entries.capacity() * sizeof(Plan::Entry) +
         plan.dcgm_values.capacity() * sizeof(double) + plan.dcgm_readings.bytes();
}

}  // namespace accelmon
