#include "agent/arbiter.h"

#include <algorithm>
#include <utility>

namespace accelmon {
namespace {

constexpr int kPatience = 3;    // intervals without an answer until another source is believed
constexpr int kProbation = 10;  // intervals of answers until an earlier source is believed again

bool is_accelerator(const Device& device) {
  return device.type == DeviceType::gpu || device.type == DeviceType::gpu_partition;
}

// Empty for parts of a device, which have their parent's address, and where it is unknown.
std::string_view address_of(const Device& device) {
  if (device.type != DeviceType::gpu) return {};
  for (const Attribute& attribute : device.info)
    if (attribute.id == AttributeId::pci_address) return attribute.value;
  return {};
}

}  // namespace

struct Arbiter::Seat {
  CatalogPtr raw;                // what the source showed when we last looked
  std::vector<Device> identity;  // of its devices, as they are shown
  bool renamed = false;
  bool dirty = true;
  CatalogPtr shown;            // nullptr: all of it, as it came
  std::vector<uint32_t> kept;  // indices of the raw series that `shown` has
  Recycler<Frame> frames;
};

struct Arbiter::Claim {
  struct Side {
    size_t source;
    std::vector<uint32_t> series;
    Nanos answered_at = 0;      // or when we first heard of it
    Nanos answering_since = 0;  // 0: does not answer now
  };
  std::vector<Side> sides;  // by precedence
  size_t winner = 0;        // index of a side
};

struct Arbiter::Guest {
  size_t source;
  int32_t device;
  std::string address;
  std::vector<size_t> readers;  // sources that show it
  bool shown = false;
};

Arbiter::Arbiter() = default;
Arbiter::~Arbiter() = default;

// Rebuilds what follows from catalogs alone.
void Arbiter::learn(std::span<ArbiterSource> sources, Nanos now) {
  for (size_t s = 0; s < sources.size(); ++s) {
    if (sources[s].shows != Shows::devices || seats_[s].raw == nullptr) continue;
    for (const Device& device : seats_[s].raw->devices) {
      const std::string_view address = address_of(device);
      if (address.empty()) continue;
      const auto known = identities_.find(address);
      // The first source's word stays while it is silent, so that the device does not change its name when it falls
      // ill.
      if (known != identities_.end() && known->second.source < s) continue;
      Identity identity{device, s};
      identity.device.parent = -1;
      identities_.insert_or_assign(std::string(address), std::move(identity));
    }
  }

  // The same metric of the same device, from whom.
  std::map<std::pair<std::string, MetricId>, Claim> claims;
  std::vector<Guest> guests;
  for (size_t s = 0; s < sources.size(); ++s) {
    Seat& seat = seats_[s];
    seat.identity.clear();
    seat.renamed = false;
    if (seat.raw == nullptr) continue;
    const Catalog& raw = *seat.raw;
    for (size_t d = 0; d < raw.devices.size(); ++d) {
      Device shown = raw.devices[d];
      if (const auto known = identities_.find(address_of(shown)); known != identities_.end()) {
        const Device& first = known->second.device;
        shown.id = first.id;
        shown.index = first.index;
        shown.vendor = first.vendor;
        if (!first.model.empty()) shown.model = first.model;
      }
      seat.renamed = seat.renamed || !(shown == raw.devices[d]);
      seat.identity.push_back(std::move(shown));
    }
    // A part is named after its parent, whatever the parent is called here.
    for (size_t d = 0; d < raw.devices.size(); ++d) {
      const int32_t parent = raw.devices[d].parent;
      if (parent < 0) continue;
      const std::string& before = raw.devices[static_cast<size_t>(parent)].id;
      const std::string& after = seat.identity[static_cast<size_t>(parent)].id;
      std::string& id = seat.identity[d].id;
      if (before != after && id.compare(0, before.size() + 1, before + "/") == 0) id = after + id.substr(before.size());
    }
    if (sources[s].shows == Shows::presence) {
      for (size_t d = 0; d < raw.devices.size(); ++d) {
        const std::string_view address = address_of(raw.devices[d]);
        guests.push_back({s, static_cast<int32_t>(d), std::string(address), {}, false});
      }
      continue;
    }
    for (size_t i = 0; i < raw.series.size(); ++i) {
      const int32_t device = raw.series[i].device;
      if (device < 0 || !is_accelerator(seat.identity[static_cast<size_t>(device)])) continue;
      Claim& claim = claims[{seat.identity[static_cast<size_t>(device)].id, raw.series[i].metric}];
      if (claim.sides.empty() || claim.sides.back().source != s) claim.sides.push_back({s, {}, now, 0});
      claim.sides.back().series.push_back(static_cast<uint32_t>(i));
    }
  }

  for (Guest& guest : guests) {
    if (guest.address.empty()) continue;
    for (size_t s = 0; s < sources.size(); ++s) {
      if (sources[s].shows != Shows::devices || seats_[s].raw == nullptr) continue;
      const std::vector<Device>& devices = seats_[s].raw->devices;
      if (std::any_of(devices.begin(), devices.end(),
                      [&](const Device& device) { return address_of(device) == guest.address; }))
        guest.readers.push_back(s);
    }
    for (const Guest& before : guests_)
      if (before.source == guest.source && before.address == guest.address) guest.shown = before.shown;
  }
  guests_ = std::move(guests);

  std::erase_if(claims, [](const auto& entry) { return entry.second.sides.size() < 2; });
  // Who was believed stays so over a change of catalogs, which comes with every process that starts or ends.
  for (auto& [key, claim] : claims) {
    const auto before = claims_.find(key);
    if (before == claims_.end()) continue;
    const std::vector<Claim::Side>& known = before->second.sides;
    for (size_t i = 0; i < claim.sides.size(); ++i) {
      Claim::Side& side = claim.sides[i];
      const auto same =
          std::find_if(known.begin(), known.end(), [&](const Claim::Side& one) { return one.source == side.source; });
      if (same == known.end()) continue;
      side.answered_at = same->answered_at;
      side.answering_since = same->answering_since;
      if (same->source == known[before->second.winner].source) claim.winner = i;
    }
  }
  claims_ = std::move(claims);
  for (Seat& seat : seats_) seat.dirty = true;
}

void Arbiter::decide(std::span<ArbiterSource> sources, Nanos now, Nanos interval, bool settled) {
  for (auto& [key, claim] : claims_) {
    for (Claim::Side& side : claim.sides) {
      const ArbiterSource& source = sources[side.source];
      bool answers = false;
      if (source.live && source.view.frame) {
        const std::vector<State>& states = source.view.frame->states;
        for (const uint32_t i : side.series)
          if (i < states.size() && states[i] == State::ok) {
            answers = true;
            break;
          }
      }
      if (answers) {
        side.answered_at = now;
        if (side.answering_since == 0) side.answering_since = now;
      } else {
        side.answering_since = 0;
      }
    }
    size_t winner = claim.winner;
    const Claim::Side& held = claim.sides[winner];
    const bool gone =
        held.answering_since == 0 && (!sources[held.source].live || now - held.answered_at > kPatience * interval);
    for (size_t i = 0; i < claim.sides.size(); ++i) {
      const Claim::Side& side = claim.sides[i];
      if (side.answering_since == 0 || i == winner) continue;
      if (gone || (i < winner && now - side.answering_since >= kProbation * interval)) {
        winner = i;
        break;
      }
    }
    if (winner == claim.winner) continue;
    claim.winner = winner;
    for (const Claim::Side& side : claim.sides) seats_[side.source].dirty = true;
  }
  const bool all_reported =
      settled || std::all_of(sources.begin(), sources.end(), [](const ArbiterSource& s) { return s.reported; });
  for (Guest& guest : guests_) {
    const bool read = std::any_of(guest.readers.begin(), guest.readers.end(),
                                  [&](size_t reader) { return sources[reader].live || sources[reader].let_go; });
    const bool shown = !read && all_reported;
    if (shown == guest.shown) continue;
    guest.shown = shown;
    seats_[guest.source].dirty = true;
  }
}

void Arbiter::refilter(Seat& seat, size_t source) {
  seat.dirty = false;
  const Catalog& raw = *seat.raw;
  std::vector<uint8_t> hidden(raw.series.size(), 0);
  for (const auto& [key, claim] : claims_)
    for (size_t i = 0; i < claim.sides.size(); ++i)
      if (claim.sides[i].source == source && i != claim.winner)
        for (const uint32_t series : claim.sides[i].series) hidden[series] = 1;
  for (const Guest& guest : guests_)
    if (guest.source == source && !guest.shown)
      for (size_t i = 0; i < raw.series.size(); ++i)
        if (raw.series[i].device == guest.device) hidden[i] = 1;
  seat.shown = nullptr;
  seat.kept.clear();
  if (!seat.renamed && std::find(hidden.begin(), hidden.end(), uint8_t{1}) == hidden.end()) return;
  auto catalog = std::make_shared<Catalog>();
  catalog->generation = ++generations_;
  catalog->facts = raw.facts;
  // Devices of which something is left, and their parents.
  std::vector<uint8_t> wanted(raw.devices.size(), 0);
  for (size_t i = 0; i < raw.series.size(); ++i)
    if (hidden[i] == 0 && raw.series[i].device >= 0) wanted[static_cast<size_t>(raw.series[i].device)] = 1;
  for (size_t d = raw.devices.size(); d-- > 0;)
    if (wanted[d] != 0 && raw.devices[d].parent >= 0) wanted[static_cast<size_t>(raw.devices[d].parent)] = 1;
  std::vector<int32_t> place(raw.devices.size(), -1);
  for (size_t d = 0; d < raw.devices.size(); ++d) {
    if (wanted[d] == 0) continue;
    place[d] = static_cast<int32_t>(catalog->devices.size());
    catalog->devices.push_back(seat.identity[d]);
  }
  for (Device& device : catalog->devices)
    if (device.parent >= 0) device.parent = place[static_cast<size_t>(device.parent)];
  for (size_t i = 0; i < raw.series.size(); ++i) {
    if (hidden[i] != 0) continue;
    Series series = raw.series[i];
    if (series.device >= 0) series.device = place[static_cast<size_t>(series.device)];
    catalog->series.push_back(std::move(series));
    seat.kept.push_back(static_cast<uint32_t>(i));
  }
  for (const Absence& absence : raw.absences) {
    Absence copy = absence;
    if (copy.device >= 0) copy.device = place[static_cast<size_t>(copy.device)];
    if (absence.device < 0 || copy.device >= 0) catalog->absences.push_back(std::move(copy));
  }
  seat.shown = std::move(catalog);
}

void Arbiter::apply(Seat& seat, ArbiterSource& source) {
  if (seat.shown == nullptr || !source.view.frame) return;
  const Frame& raw = *source.view.frame;
  Recycled<Frame> frame = seat.frames.take();
  frame->generation = seat.shown->generation;
  frame->sequence = raw.sequence;
  frame->wall = raw.wall;
  frame->monotonic = raw.monotonic;
  frame->duration = raw.duration;
  frame->fresh = raw.fresh;
  frame->read_at = raw.read_at;
  frame->values.resize(seat.kept.size());
  frame->states.resize(seat.kept.size());
  for (size_t i = 0; i < seat.kept.size(); ++i) {
    frame->values[i] = raw.values[seat.kept[i]];
    frame->states[i] = raw.states[seat.kept[i]];
  }
  source.view.catalog = seat.shown;
  source.view.frame = std::move(frame);
}

void Arbiter::arbitrate(std::span<ArbiterSource> sources, Nanos now, Nanos interval, bool settled) {
  if (seats_.size() != sources.size()) {
    seats_.clear();
    seats_.resize(sources.size());
    claims_.clear();
    guests_.clear();
  }
  bool changed = false;
  for (size_t s = 0; s < sources.size(); ++s) {
    if (seats_[s].raw == sources[s].view.catalog) continue;
    seats_[s].raw = sources[s].view.catalog;
    changed = true;
  }
  if (changed) learn(sources, now);
  decide(sources, now, interval, settled);
  for (size_t s = 0; s < sources.size(); ++s) {
    Seat& seat = seats_[s];
    if (seat.raw == nullptr) continue;
    if (seat.dirty) refilter(seat, s);
    apply(seat, sources[s]);
  }
}

}  // namespace accelmon
