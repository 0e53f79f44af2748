#include "encode/dcgm.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "base/text.h"
#include "encode/labels.h"
#include "model/event_catalogue.h"

namespace accelmon {
namespace {

constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();
constexpr std::string_view kXid = "xid:";

// NVIDIA's bits.
constexpr struct {
  std::string_view reason;
  double bit;
} kReasonBits[] = {
    {"idle", 0x1},        {"application_clocks", 0x2}, {"power_cap", 0x4},         {"hardware_slowdown", 0x8},
    {"sync_boost", 0x10}, {"thermal_software", 0x20},  {"thermal_hardware", 0x40}, {"power_brake", 0x80},
    {"display", 0x100}};

std::string_view info_of(const Device& device, AttributeId id) {
  for (const Attribute& attribute : device.info)
    if (attribute.id == id) return attribute.value;
  return {};
}

std::string_view attribute_of(const Series& series, AttributeId id) {
  for (const Attribute& attribute : series.attributes)
    if (attribute.id == id) return attribute.value;
  return {};
}

// "0000:1b:00.0", as Linux has it, to "00000000:1B:00.0", as NVML has it; anything else as it is.
std::string bus_id(std::string_view address) {
  std::string out(address);
  if (out.size() == 12 && out[4] == ':') out = "0000" + out;
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c; });
  return out;
}

// "domain=sm|graphics,..." taken apart: for each attribute the values that will do, the best one first.
struct Condition {
  AttributeId attribute;
  std::vector<std::string_view> values;
};

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return parts;
}

std::vector<Condition> conditions_of(std::string_view where) {
  std::vector<Condition> out;
  for (const std::string_view part : split(where, ',')) {
    const size_t equals = part.find('=');
    if (const auto id = find_attribute(part.substr(0, equals)))
      out.push_back({*id, split(part.substr(equals + 1), '|')});
  }
  return out;
}

// How far down its preferences a series stands; nothing where it is not among them.
std::optional<size_t> rank_of(const std::vector<Condition>& conditions, const Series& series) {
  size_t rank = 0;
  for (const Condition& one : conditions) {
    const auto at = std::find(one.values.begin(), one.values.end(), attribute_of(series, one.attribute));
    if (at == one.values.end()) return {};
    rank = rank * one.values.size() + static_cast<size_t>(at - one.values.begin());
  }
  return rank;
}

// One device, over all sources that have something of it.
struct Seen {
  const Device* device = nullptr;  // by the source that says most
  const Device* parent = nullptr;
  std::vector<std::pair<uint32_t, uint32_t>> series;  // source, series
  bool counts_events = true;                          // nobody says that its Xids cannot be heard
  std::string_view driver, address;
};

bool is_accelerator(const Device& device) {
  return device.type == DeviceType::gpu || device.type == DeviceType::gpu_partition;
}

// What every device says whether it is read or not.
bool says_nothing(MetricId metric) {
  return metric == MetricId::device_info || metric == MetricId::hw_status || metric == MetricId::device_unread ||
         metric == MetricId::gpu_asleep || metric == MetricId::events;
}

class Builder {
 public:
  Builder(const Snapshot& snapshot, const PageOptions& options) : snapshot_(snapshot), options_(options) { look(); }

  void row(const DcgmField& field) {
    if (!options_.takes(field.metric)) return;
    if (field.name != last_) {
      last_ = field.name;
      served_.clear();
      split_.clear();
      written_.clear();
    }
    field_ = &field;
    conditions_ = conditions_of(field.where);
    found_.clear();
    for (const std::string& id : order_) {
      if (served_.count(id) != 0) continue;  // by a row of the same name
      const Seen& seen = devices_.at(id);
      if (field.take == DcgmField::Take::xid) {
        xids(id, seen);
      } else if (std::optional<DcgmReading> reading = read(seen)) {
        found_.push_back({id, &seen, std::move(*reading), {}});
      }
    }
  }

  // The series that the last row gave, each once.
  void give(const EachDcgmSeries& each) {
    for (Found& found : found_) {
      if (is_hidden(found)) continue;
      served_.insert(found.id);
      if (found.seen->parent != nullptr) split_.insert(found.seen->parent->id);
      DcgmLabels labels = labels_of_device(*found.seen);
      for (auto& [name, value] : found.more) add(labels, name, value);
      std::string identity;
      for (const auto& [name, value] : labels) identity.append(name).append(1, '\0').append(value).append(1, '\0');
      if (written_.insert(std::move(identity)).second) each(*field_, labels, found.reading);
    }
  }

 private:
  struct Found {
    std::string id;
    const Seen* seen;
    DcgmReading reading;
    std::vector<std::pair<std::string_view, std::string>> more;  // labels
  };

  const Series& at(const std::pair<uint32_t, uint32_t>& place) const {
    return snapshot_.sources[place.first].catalog->series[place.second];
  }

  void look() {
    for (size_t source = 0; source < snapshot_.sources.size(); ++source) {
      const CatalogPtr& catalog = snapshot_.sources[source].catalog;
      if (catalog == nullptr) continue;
      const auto device_of = [&](int32_t index) -> const Device* {
        if (index < 0 || static_cast<size_t>(index) >= catalog->devices.size()) return nullptr;
        const Device& device = catalog->devices[static_cast<size_t>(index)];
        return is_accelerator(device) ? &device : nullptr;
      };
      for (const Device& device : catalog->devices) {
        if (!is_accelerator(device)) continue;
        const auto [place, is_new] = devices_.try_emplace(device.id);
        Seen& seen = place->second;
        if (is_new) order_.push_back(device.id);
        if (seen.device == nullptr || (seen.device->model.empty() && !device.model.empty())) seen.device = &device;
        if (seen.parent == nullptr) seen.parent = device_of(device.parent);
        if (seen.driver.empty()) seen.driver = info_of(device, AttributeId::hw_driver_version);
        if (seen.address.empty()) seen.address = info_of(device, AttributeId::pci_address);
      }
      for (size_t i = 0; i < catalog->series.size(); ++i) {
        const Series& series = catalog->series[i];
        const Device* device = device_of(series.device);
        if (device == nullptr || index(series.metric) >= all_metrics().size()) continue;
        devices_[device->id].series.emplace_back(static_cast<uint32_t>(source), static_cast<uint32_t>(i));
      }
      for (const Absence& absence : catalog->absences)
        if (const Device* device = device_of(absence.device); device != nullptr && absence.metric == MetricId::events)
          devices_[device->id].counts_events = false;
    }
  }

  // A part that programs are given by itself (a MIG instance, an AMD partition), not a tile that only shows the parts
  // of the whole.
  static bool is_instance(const Seen& seen) {
    return seen.device->type == DeviceType::gpu_partition &&
           !info_of(*seen.device, AttributeId::partition_profile).empty();
  }

  // What AMD's partitions tell less of than their board does: the size of their memory without its use, and two of the
  // reasons for which clocks are held down.
  static bool is_the_boards(const Seen& seen, MetricId metric) {
    return seen.parent != nullptr && seen.device->vendor == "amd" &&
           (metric == MetricId::gpu_memory_limit || metric == MetricId::throttle_active ||
            metric == MetricId::throttle_time);
  }

  std::optional<DcgmReading> read(const Seen& seen) const {
    if (is_the_boards(seen, field_->metric)) return {};
    DcgmReading reading;
    const double scale = field_->scale != 0 ? field_->scale : info(field_->metric).dcgm_scale;
    std::optional<size_t> best;
    for (const auto& place : seen.series) {
      const Series& series = at(place);
      if (series.metric != field_->metric) continue;
      const std::optional<size_t> rank = rank_of(conditions_, series);
      if (!rank) continue;
      double factor = scale;
      switch (field_->take) {
        case DcgmField::Take::first:
          if (best && *best <= *rank) continue;
          best = rank;
          reading.terms.clear();
          break;
        case DcgmField::Take::reasons: {
          const std::string_view reason = attribute_of(series, AttributeId::reason);
          const auto* bit = std::find_if(std::begin(kReasonBits), std::end(kReasonBits),
                                         [&](const auto& one) { return one.reason == reason; });
          if (bit == std::end(kReasonBits)) continue;
          factor = bit->bit;
          break;
        }
        case DcgmField::Take::sum:
        case DcgmField::Take::xid:
          break;
      }
      reading.terms.push_back({place.first, place.second, factor});
    }
    if (reading.terms.empty()) return {};
    return reading;
  }

  void xids(const std::string& id, const Seen& seen) {
    if (seen.device->vendor != "nvidia" || seen.device->type != DeviceType::gpu) return;
    DcgmReading none;
    const std::pair<uint32_t, uint32_t>* readable = nullptr;
    bool unread = false;
    for (const auto& place : seen.series) {
      const Series& series = at(place);
      unread = unread || series.metric == MetricId::device_unread;
      if (readable == nullptr && !says_nothing(series.metric)) readable = &place;
      if (series.metric != MetricId::events) continue;
      const std::string_view code = attribute_of(series, AttributeId::event_code);
      const auto number = code.starts_with(kXid) ? parse_u64(code.substr(kXid.size())) : std::nullopt;
      if (!number || *number > 1'000'000) continue;
      none.terms.push_back({place.first, place.second, 0});
      const EventEntry* known = find_event(code);
      DcgmReading reading;
      reading.terms.push_back({place.first, place.second, 0});
      reading.base = static_cast<double>(*number);
      reading.shown = DcgmReading::Shown::where_positive;
      found_.push_back({id,
                        &seen,
                        std::move(reading),
                        {{"err_code", std::to_string(*number)},
                         {"err_msg", known != nullptr ? std::string(known->meaning) : "not in the catalogue"}}});
    }
    // Zero is a statement: that the Xids of this device can be heard and that there was none. Counters that stand at
    // zero say so; where there are none it takes a device that is read, and nobody who says that it cannot be heard.
    if (!none.terms.empty()) {
      none.shown = DcgmReading::Shown::where_zero;
    } else {
      if (readable == nullptr || unread || !seen.counts_events) return;
      none.terms.push_back({readable->first, readable->second, 0});
    }
    found_.push_back({id, &seen, std::move(none), {{"err_code", "0"}, {"err_msg", "no error"}}});
  }

  // A name stands for a board or for its parts, never for both, or a sum would count twice: for the instances that
  // programs are given, else for the board.
  bool is_hidden(const Found& found) const {
    const Seen& seen = *found.seen;
    const auto has = [&](auto&& what) { return std::any_of(found_.begin(), found_.end(), what); };
    if (seen.device->type == DeviceType::gpu)
      return split_.count(found.id) != 0 || has([&](const Found& other) {
               return other.seen->parent != nullptr && other.seen->parent->id == found.id && is_instance(*other.seen);
             });
    if (seen.parent == nullptr) return false;
    const std::string& board = seen.parent->id;
    return served_.count(board) != 0 ||
           (!is_instance(seen) && has([&](const Found& other) { return other.id == board; }));
  }

  void add(DcgmLabels& labels, std::string_view name, std::string_view raw) const {
    if (raw.empty() || options_.drops(name)) return;
    labels.emplace_back(name, label_value(raw));
  }

  DcgmLabels labels_of_device(const Seen& seen) const {
    const Device& own = *seen.device;
    const Device& board = seen.parent != nullptr ? *seen.parent : own;
    DcgmLabels labels;
    add(labels, "gpu", board.index);
    add(labels, "UUID", board.id);
    const std::string_view address = info_of(board, AttributeId::pci_address);
    add(labels, "pci_bus_id", bus_id(address.empty() ? seen.address : address));
    if (!board.index.empty()) add(labels, "device", board.vendor + board.index);
    add(labels, "modelName", board.model);
    if (own.type == DeviceType::gpu_partition) {
      add(labels, "GPU_I_PROFILE", info_of(own, AttributeId::partition_profile));
      const std::string_view number = info_of(own, AttributeId::partition_id);
      add(labels, "GPU_I_ID", !number.empty() ? number : std::string_view(own.index).substr(own.index.rfind(':') + 1));
    }
    add(labels, "Hostname", options_.hostname);
    const std::string_view driver = info_of(board, AttributeId::hw_driver_version);
    add(labels, "DCGM_FI_DRIVER_VERSION", driver.empty() ? seen.driver : driver);
    return labels;
  }

  const Snapshot& snapshot_;
  const PageOptions& options_;
  std::map<std::string, Seen> devices_;
  std::vector<std::string> order_;  // of their first sight
  // Of the name at hand.
  std::string_view last_;
  std::set<std::string> served_;   // ids of devices
  std::set<std::string> split_;    // ids of boards whose parts were served
  std::set<std::string> written_;  // sets of labels
  // Of the row at hand.
  const DcgmField* field_ = nullptr;
  std::vector<Condition> conditions_;
  std::vector<Found> found_;
};

}  // namespace

void for_each_dcgm_series(const Snapshot& snapshot, const PageOptions& options, const EachDcgmSeries& each) {
  Builder builder(snapshot, options);
  for (const DcgmField& field : dcgm_fields()) {
    builder.row(field);
    builder.give(each);
  }
}

void DcgmReadings::add(const DcgmReading& reading) {
  terms_.insert(terms_.end(), reading.terms.begin(), reading.terms.end());
  ends_.push_back(static_cast<uint32_t>(terms_.size()));
  bases_.push_back(reading.base);
  shown_.push_back(reading.shown);
}

void DcgmReadings::take(const Snapshot& snapshot) {
  frames_.resize(snapshot.sources.size());
  for (size_t i = 0; i < frames_.size(); ++i) frames_[i] = fitting_frame(snapshot.sources[i]);
}

double DcgmReadings::value(size_t reading) const {
  double sum = bases_[reading];
  bool scaled = false;
  for (size_t i = reading == 0 ? 0 : ends_[reading - 1]; i < ends_[reading]; ++i) {
    const DcgmReading::Term& term = terms_[i];
    const Frame* frame = frames_[term.source];
    if (frame == nullptr || frame->states[term.series] != State::ok) return kAbsent;
    const double count = frame->values[term.series];
    if (shown_[reading] == DcgmReading::Shown::where_positive && !(count > 0)) return kAbsent;
    if (shown_[reading] == DcgmReading::Shown::where_zero && count != 0) return kAbsent;
    if (term.factor == 0) continue;  // its value is not what is shown
    sum += count * term.factor;
    scaled = scaled || term.factor != 1;
  }
  if (!scaled) return sum;
  // 0.29 times 100 is 28.999999999999996: whole numbers of DCGM's units stay whole.
  const double whole = std::nearbyint(sum);
  return std::abs(sum - whole) <= 1e-12 * std::abs(whole) ? whole : sum;
}

size_t DcgmReadings::bytes() const {
  return terms_.capacity() * sizeof(DcgmReading::Term) + ends_.capacity() * sizeof(uint32_t) +
         bases_.capacity() * sizeof(double) + shown_.capacity() * sizeof(DcgmReading::Shown) +
         frames_.capacity() * sizeof(const Frame*);
}

}  // namespace accelmon
