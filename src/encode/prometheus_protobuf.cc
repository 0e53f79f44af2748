#include "encode/prometheus_protobuf.h"

#include <optional>
#include <vector>

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
  char* write(char* out);
};

// MetricFamily{name 1, help 2, type 3, metric 4 {label 1 {name 1, value 2}, gauge 2 | counter 3 {value 1}}, unit 5}
void ProtobufExposition::Plan::build(const Snapshot& snapshot) {
  *this = Plan();
  built = true;
  for (const SourceView& view : snapshot.sources)
    sources.push_back({view.catalog, view.catalog != nullptr ? view.catalog->generation : 0, nullptr});
  std::optional<MetricId> last;
  std::string label, metric;
  for_each_page_series(snapshot, [&](MetricId id, uint32_t source, uint32_t series, const LabelSet& labels) {
    const MetricInfo& about = info(id);
    if (last != id) {
      last = id;
      Family& family = families.emplace_back();
      family.kind = about.kind;
      family.at = static_cast<uint32_t>(bytes.size());
      protobuf::append_field(bytes, 1, prometheus_name(id));
      protobuf::append_field(bytes, 2, about.brief);
      bytes += tag(3, protobuf::kVarint);  // proto2: a zero is written too
      protobuf::append_varint(bytes, about.kind == Kind::counter ? kCounterType : kGaugeType);
      family.head = static_cast<uint32_t>(bytes.size()) - family.at;
      protobuf::append_text(bytes, 5, stated_unit(about));
      family.tail = static_cast<uint32_t>(bytes.size()) - family.at - family.head;
    }
    metric.clear();
    for (const Label& one : labels.labels()) {
      label.clear();
      protobuf::append_field(label, 1, prometheus_label(one.id));
      protobuf::append_field(label, 2, one.value);
      protobuf::append_field(metric, 1, label);
    }
    metric += tag(about.kind == Kind::counter ? 3 : 2, protobuf::kBytes);
    metric += static_cast<char>(1 + kValueBytes);
    metric += tag(1, protobuf::kFixed64);
    const auto at = static_cast<uint32_t>(bytes.size());
    bytes += tag(4, protobuf::kBytes);
    protobuf::append_varint(bytes, metric.size() + kValueBytes);
    bytes += metric;
    entries.push_back({source, series, at, static_cast<uint32_t>(bytes.size()) - at});
    ++families.back().entries;
  });
  bytes.shrink_to_fit();
  entries.shrink_to_fit();
  bound = bytes.size() + entries.size() * kValueBytes + families.size() * protobuf::kMaxVarint;
}

// A frame of another generation than its catalog's, or of another length, is not rendered at all.
void ProtobufExposition::Plan::take_frames(const Snapshot& snapshot) {
  for (size_t i = 0; i < sources.size(); ++i) {
    sources[i].frame = nullptr;
    const SourceView& view = snapshot.sources[i];
    if (view.catalog == nullptr || !view.frame) continue;
    const size_t size = view.catalog->series.size();
    if (view.frame->generation == view.catalog->generation && view.frame->values.size() == size &&
        view.frame->states.size() == size)
      sources[i].frame = &*view.frame;
  }
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
  return out;
}

ProtobufExposition::ProtobufExposition() : plan_(std::make_unique<Plan>()) {}
ProtobufExposition::~ProtobufExposition() = default;
ProtobufExposition::ProtobufExposition(ProtobufExposition&&) noexcept = default;
ProtobufExposition& ProtobufExposition::operator=(ProtobufExposition&&) noexcept = default;

void ProtobufExposition::render(const Snapshot& snapshot, std::string& page) {
  if (!plan_->fits(snapshot)) plan_->build(snapshot);
  plan_->take_frames(snapshot);
  page.resize(plan_->bound);
  const char* end = plan_->write(page.data());
  page.resize(static_cast<size_t>(end - page.data()));
}

size_t ProtobufExposition::bytes() const {
  const Plan& plan = *plan_;
  return sizeof(Plan) + plan.sources.capacity() * sizeof(Plan::Source) +
         plan.families.capacity() * sizeof(Plan::Family) + plan.entries.capacity() * sizeof(Plan::Entry) +
         plan.values.capacity() * sizeof(double*) + plan.bytes.capacity();
}

}  // namespace accelmon
