#include "agent/arbiter.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace accelmon {
namespace {

constexpr int kPatience = 3;    // intervals without an answer until another source is believed
constexpr int kProbation = 10;  // intervals of answers until an earlier source is believed again
constexpr int kDoubt = 30;      // intervals of silence until a device that was read counts as failed

bool is_accelerator(const Device& device) {
  return device.type == DeviceType::gpu || device.type == DeviceType::gpu_partition;
}

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// Whether the frame has a reading of the series.
bool has(const Frame& frame, uint32_t series) {
  return series < frame.states.size() && frame.states[series] == State::ok;
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
  CatalogPtr before;             // and what it had shown until then; only while a change is learnt
  Nanos frame_at = 0;            // of the frame that we last looked at
  Nanos decided_at = 0;          // when what is shown of a guest last changed
  std::vector<Device> identity;  // of its devices, as they are shown
  bool renamed = false;
  bool dirty = true;
  CatalogPtr shown;                                // nullptr: all of it, as it came
  std::vector<uint32_t> kept;                      // indices of the raw series that `shown` has
  std::vector<std::pair<uint32_t, double>> added;  // to which values of what is shown, and what
  Recycler<Frame> frames;
};

struct Arbiter::Claim {
  struct Side {
    size_t source;
    std::vector<uint32_t> series;
    Nanos answered_at = 0;      // or when we first heard of it
    Nanos answering_since = 0;  // 0: does not answer now
    // Of counters, beside `series`: whose place it takes, and what is added to it to go on where another left off.
    std::vector<size_t> places;
    std::vector<double> offsets;
  };
  // A counter of the claim, whoever tells it.
  struct Place {
    std::vector<Attribute> attributes;
    double shown = kNone;  // last
  };
  std::vector<Side> sides;    // by precedence
  std::vector<Place> places;  // empty unless the metric is a counter
  size_t winner = 0;          // index of a side
  bool newcomer = false;      // an earlier source has just brought this metric: it needs no probation
  Nanos leaving_since = 0;    // since when another should be believed; 0: the winner stays
};

struct Arbiter::Guest {
  size_t source;
  int32_t device;
  std::string address;
  std::vector<size_t> readers;     // sources that show it
  std::vector<MetricId> metrics;   // what is told of it
  int failed = -1, degraded = -1;  // its series
  int driver_silent = -1;
  Nanos read_at = 0;  // when somebody last read it; 0: nobody did
  bool shown = false;
  bool in_doubt = false;
};

// What the presence check says of a device.
void Arbiter::describe(Guest& guest, const Catalog& catalog) {
  for (size_t i = 0; i < catalog.series.size(); ++i) {
    const Series& series = catalog.series[i];
    if (series.device != guest.device) continue;
    if (std::find(guest.metrics.begin(), guest.metrics.end(), series.metric) == guest.metrics.end())
      guest.metrics.push_back(series.metric);
    for (const Attribute& attribute : series.attributes) {
      const int at = static_cast<int>(i);
      if (attribute == Attribute{AttributeId::hw_state, "failed"}) guest.failed = at;
      if (attribute == Attribute{AttributeId::hw_state, "degraded"}) guest.degraded = at;
      if (attribute == Attribute{AttributeId::reason, "driver_silent"}) guest.driver_silent = at;
    }
  }
}

Arbiter::Arbiter() = default;
Arbiter::~Arbiter() = default;

// Two boards under one index would be one to whoever sums by it. Those that a source reads come first, in the order of
// the sources; then what was read once; then what only the bus has numbered.
void Arbiter::settle_indices(std::span<ArbiterSource> sources) {
  std::map<std::pair<std::string, std::string>, std::string> holders;  // by vendor and index
  for (int round = 0; round < 3; ++round) {
    for (size_t s = 0; s < sources.size(); ++s) {
      for (Device& device : seats_[s].identity) {
        const std::string address(address_of(device));
        if (address.empty() || device.index.empty()) continue;
        const int its = sources[s].shows == Shows::devices ? 0 : identities_.contains(address) ? 1 : 2;
        if (its != round) continue;
        const auto [holder, is_new] = holders.try_emplace({device.vendor, device.index}, address);
        if (!is_new && holder->second != address) device.index.clear();
      }
    }
  }
}

// Gives each counter of the claim its place, and what the claim knew `before` of it.
void Arbiter::find_places(Claim& claim, const Claim* before) const {
  for (Claim::Side& side : claim.sides) {
    const Claim::Side* known = nullptr;
    if (before != nullptr)
      for (const Claim::Side& one : before->sides)
        if (one.source == side.source) known = &one;
    for (const uint32_t i : side.series) {
      const std::vector<Attribute>& attributes = seats_[side.source].raw->series[i].attributes;
      const auto is_it = [&](const Claim::Place& one) { return one.attributes == attributes; };
      const auto place = std::find_if(claim.places.begin(), claim.places.end(), is_it);
      side.places.push_back(static_cast<size_t>(place - claim.places.begin()));
      side.offsets.push_back(kNone);
      if (place == claim.places.end()) claim.places.push_back({attributes, kNone});
      if (before == nullptr) continue;
      const auto old = std::find_if(before->places.begin(), before->places.end(), is_it);
      if (old == before->places.end()) continue;
      const auto number = static_cast<size_t>(old - before->places.begin());
      claim.places[side.places.back()].shown = old->shown;
      if (known == nullptr) continue;
      for (size_t k = 0; k < known->places.size(); ++k)
        if (known->places[k] == number) side.offsets.back() = known->offsets[k];
    }
  }
}

// Two sources count from different starts. What is shown goes on from where it was: while both answer, what is between
// them is kept up to date, and whoever is believed next adds it.
bool Arbiter::keep_counters_level(Claim& claim, std::span<const ArbiterSource> sources) {
  bool changed = false;
  const auto each = [&](size_t number, const auto& take) {
    Claim::Side& side = claim.sides[number];
    if (side.answering_since == 0) return;
    const Frame& frame = *sources[side.source].view.frame;
    for (size_t k = 0; k < side.series.size(); ++k)
      if (has(frame, side.series[k])) take(claim.places[side.places[k]], side.offsets[k], frame.values[side.series[k]]);
  };
  each(claim.winner, [&](Claim::Place& place, double& offset, double value) {
    if (std::isnan(offset)) {
      offset = std::isnan(place.shown) ? 0 : place.shown - value;
      changed = changed || offset != 0;
    }
    place.shown = value + offset;
  });
  if (claim.sides[claim.winner].answering_since == 0) return changed;
  for (size_t i = 0; i < claim.sides.size(); ++i)
    if (i != claim.winner)
      each(i, [](const Claim::Place& place, double& offset, double value) { offset = place.shown - value; });
  return changed;
}

// The winner of the claim is a new one. The two may have read at different times: never back, which would be a reset.
void Arbiter::go_on_counting(Claim& claim, std::span<const ArbiterSource> sources) {
  Claim::Side& side = claim.sides[claim.winner];
  const Frame& frame = *sources[side.source].view.frame;
  for (size_t k = 0; k < side.places.size(); ++k) {
    const double last = claim.places[side.places[k]].shown;
    double& offset = side.offsets[k];
    if (std::isnan(last) || !has(frame, side.series[k])) continue;
    const double behind = last - frame.values[side.series[k]];
    offset = std::isnan(offset) ? behind : std::max(offset, behind);
  }
}

// Whether the source had the metric of this series of its catalog in the catalog before.
bool Arbiter::had_before(const Seat& seat, uint32_t series) {
  if (seat.before == seat.raw) return true;
  if (seat.before == nullptr) return false;
  const Series& wanted = seat.raw->series[series];
  const std::string& device = seat.raw->devices[static_cast<size_t>(wanted.device)].id;
  return std::any_of(seat.before->series.begin(), seat.before->series.end(), [&](const Series& one) {
    return one.metric == wanted.metric && one.device >= 0 &&
           seat.before->devices[static_cast<size_t>(one.device)].id == device;
  });
}

// Whether one source may follow another now, so that who keeps every poll has each instant once and in order. Both read
// at the same times, and either may come first. A poll that both have shown already is the one to change after: what
// comes next comes from the successor, later by an interval.
bool Arbiter::may_follow(const ArbiterSource& held, const Seat& held_seat, const ArbiterSource& next,
                         const Seat& next_seat, Nanos interval) {
  if (!held.view.frame || !next.view.frame) return true;
  const Nanos held_at = held.view.frame->monotonic, next_at = next.view.frame->monotonic;
  return held_at == held_seat.frame_at && next_at == next_seat.frame_at &&
         std::max(held_at, next_at) - std::min(held_at, next_at) < interval / 2;
}

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

  for (size_t s = 0; s < sources.size(); ++s) {
    Seat& seat = seats_[s];
    seat.identity.clear();
    if (seat.raw == nullptr) continue;
    for (const Device& device : seat.raw->devices) {
      Device shown = device;
      if (const auto known = identities_.find(address_of(shown)); known != identities_.end()) {
        const Device& first = known->second.device;
        shown.id = first.id;
        shown.index = first.index;
        shown.vendor = first.vendor;
        if (!first.model.empty()) shown.model = first.model;
      }
      seat.identity.push_back(std::move(shown));
    }
  }
  settle_indices(sources);

  // The same metric of the same device, from whom.
  std::map<std::pair<std::string, MetricId>, Claim> claims;
  std::vector<Guest> guests;
  for (size_t s = 0; s < sources.size(); ++s) {
    Seat& seat = seats_[s];
    seat.renamed = false;
    if (seat.raw == nullptr) continue;
    const Catalog& raw = *seat.raw;
    // A part is named after its parent, whatever the parent is called here.
    for (size_t d = 0; d < raw.devices.size(); ++d) {
      const int32_t parent = raw.devices[d].parent;
      if (parent < 0) continue;
      const std::string& before = raw.devices[static_cast<size_t>(parent)].id;
      const std::string& after = seat.identity[static_cast<size_t>(parent)].id;
      std::string& id = seat.identity[d].id;
      if (before != after && id.compare(0, before.size() + 1, before + "/") == 0) id = after + id.substr(before.size());
    }
    seat.renamed = seat.identity != raw.devices;
    if (sources[s].shows == Shows::presence) {
      for (size_t d = 0; d < raw.devices.size(); ++d) {
        const std::string_view address = address_of(raw.devices[d]);
        Guest& guest = guests.emplace_back();
        guest.source = s;
        guest.device = static_cast<int32_t>(d);
        guest.address = address;
        describe(guest, raw);
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
      if (before.source == guest.source && before.address == guest.address) {
        guest.shown = before.shown;
        guest.read_at = before.read_at;
      }
  }
  guests_ = std::move(guests);

  std::erase_if(claims, [](const auto& entry) { return entry.second.sides.size() < 2; });
  // Who was believed stays so over a change of catalogs, which comes with every process that starts or ends.
  for (auto& [key, claim] : claims) {
    const auto before = claims_.find(key);
    if (info(key.second).kind == Kind::counter) find_places(claim, before == claims_.end() ? nullptr : &before->second);
    if (before == claims_.end()) {
      // Uncontested until now: whoever had it goes on until decide() lets the other follow.
      const auto had = std::find_if(claim.sides.begin(), claim.sides.end(), [&](const Claim::Side& side) {
        return had_before(seats_[side.source], side.series.front());
      });
      if (had != claim.sides.end()) claim.winner = static_cast<size_t>(had - claim.sides.begin());
      claim.newcomer = claim.winner != 0;
      continue;
    }
    claim.newcomer = before->second.newcomer;
    claim.leaving_since = before->second.leaving_since;
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
        const Frame& frame = *source.view.frame;
        answers = std::any_of(side.series.begin(), side.series.end(), [&](uint32_t i) { return has(frame, i); });
      }
      if (answers) {
        side.answered_at = now;
        if (side.answering_since == 0) side.answering_since = now;
      } else {
        side.answering_since = 0;
      }
    }
    size_t winner = claim.winner;
    claim.newcomer = claim.newcomer && winner != 0;
    const Claim::Side& held = claim.sides[winner];
    const bool gone =
        held.answering_since == 0 && (!sources[held.source].live || now - held.answered_at > kPatience * interval);
    for (size_t i = 0; i < claim.sides.size(); ++i) {
      const Claim::Side& side = claim.sides[i];
      if (side.answering_since == 0 || i == winner) continue;
      if (gone || (i < winner && (claim.newcomer || now - side.answering_since >= kProbation * interval))) {
        winner = i;
        break;
      }
    }
    if (!claim.places.empty() && keep_counters_level(claim, sources)) seats_[held.source].dirty = true;
    if (winner == claim.winner) {
      claim.leaving_since = 0;
      continue;
    }
    if (claim.leaving_since == 0) claim.leaving_since = now;
    const size_t next = claim.sides[winner].source;
    if (!gone && now - claim.leaving_since < kPatience * interval &&
        !may_follow(sources[held.source], seats_[held.source], sources[next], seats_[next], interval))
      continue;
    claim.winner = winner;
    claim.leaving_since = 0;
    go_on_counting(claim, sources);
    for (const Claim::Side& side : claim.sides) seats_[side.source].dirty = true;
  }
  const bool all_reported =
      settled || std::all_of(sources.begin(), sources.end(), [](const ArbiterSource& s) { return s.reported; });
  for (Guest& guest : guests_) {
    const bool read = std::any_of(guest.readers.begin(), guest.readers.end(),
                                  [&](size_t reader) { return sources[reader].live || sources[reader].let_go; });
    if (read) guest.read_at = now;
    const bool in_doubt = guest.read_at != 0 && now - guest.read_at <= kDoubt * interval;
    const bool shown = !read && all_reported;
    if (shown != guest.shown || (shown && in_doubt != guest.in_doubt)) seats_[guest.source].decided_at = now;
    guest.in_doubt = in_doubt;
    if (shown == guest.shown) continue;
    guest.shown = shown;
    seats_[guest.source].dirty = true;
    for (const size_t reader : guest.readers) seats_[reader].dirty = true;
  }
}

void Arbiter::refilter(Seat& seat, size_t source) {
  seat.dirty = false;
  const Catalog& raw = *seat.raw;
  std::vector<uint8_t> hidden(raw.series.size(), 0);
  std::map<uint32_t, double> added;
  for (const auto& [key, claim] : claims_) {
    for (size_t i = 0; i < claim.sides.size(); ++i) {
      const Claim::Side& side = claim.sides[i];
      if (side.source != source) continue;
      if (i != claim.winner)
        for (const uint32_t series : side.series) hidden[series] = 1;
      else
        for (size_t k = 0; k < side.offsets.size(); ++k)
          if (!std::isnan(side.offsets[k]) && side.offsets[k] != 0) added[side.series[k]] = side.offsets[k];
    }
  }
  for (const Guest& guest : guests_) {
    if (guest.source == source) {
      if (guest.shown) continue;
      for (size_t i = 0; i < raw.series.size(); ++i)
        if (raw.series[i].device == guest.device) hidden[i] = 1;
    } else if (guest.shown && std::find(guest.readers.begin(), guest.readers.end(), source) != guest.readers.end()) {
      // Its readers are silent: what they last said of the same must not stand before it.
      for (size_t i = 0; i < raw.series.size(); ++i)
        if (raw.series[i].device >= 0 &&
            address_of(raw.devices[static_cast<size_t>(raw.series[i].device)]) == guest.address &&
            std::find(guest.metrics.begin(), guest.metrics.end(), raw.series[i].metric) != guest.metrics.end())
          hidden[i] = 1;
    }
  }
  seat.shown = nullptr;
  seat.kept.clear();
  seat.added.clear();
  const bool doubts = std::any_of(guests_.begin(), guests_.end(), [&](const Guest& guest) {
    return guest.source == source && guest.shown && guest.read_at != 0;
  });
  if (!seat.renamed && !doubts && added.empty() && std::find(hidden.begin(), hidden.end(), uint8_t{1}) == hidden.end())
    return;
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
    if (const auto more = added.find(static_cast<uint32_t>(i)); more != added.end())
      seat.added.emplace_back(static_cast<uint32_t>(seat.kept.size()), more->second);
    seat.kept.push_back(static_cast<uint32_t>(i));
  }
  for (const Absence& absence : raw.absences) {
    Absence copy = absence;
    if (copy.device >= 0) copy.device = place[static_cast<size_t>(copy.device)];
    if (absence.device < 0 || copy.device >= 0) catalog->absences.push_back(std::move(copy));
  }
  seat.shown = std::move(catalog);
}

// Of a driver that was well and does not answer for some seconds nobody knows that its device has failed.
void Arbiter::give_the_benefit_of_the_doubt(size_t source, Frame& frame, const std::vector<uint32_t>& kept) const {
  for (const Guest& guest : guests_) {
    if (guest.source != source || !guest.shown || !guest.in_doubt) continue;
    const auto place = [&](int series) {
      const auto at = std::lower_bound(kept.begin(), kept.end(), static_cast<uint32_t>(series));
      return series >= 0 && at != kept.end() && *at == static_cast<uint32_t>(series)
                 ? static_cast<size_t>(at - kept.begin())
                 : frame.values.size();
    };
    const size_t silent = place(guest.driver_silent), failed = place(guest.failed), degraded = place(guest.degraded);
    if (std::max({silent, failed, degraded}) >= frame.values.size() || frame.states[silent] != State::ok ||
        frame.values[silent] != 1)
      continue;
    std::swap(frame.values[failed], frame.values[degraded]);
  }
}

void Arbiter::apply(Seat& seat, size_t number, ArbiterSource& source) {
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
  for (const auto& [i, more] : seat.added)
    if (frame->states[i] == State::ok) frame->values[i] += more;
  if (source.shows == Shows::presence) {
    give_the_benefit_of_the_doubt(number, *frame, seat.kept);
    // What was decided after the source's look at the bus is so since then, not since the look.
    if (seat.decided_at > frame->monotonic) {
      frame->wall += seat.decided_at - frame->monotonic;
      frame->monotonic = seat.decided_at;
    }
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
    seats_[s].before = std::exchange(seats_[s].raw, sources[s].view.catalog);
    changed = changed || seats_[s].before != seats_[s].raw;
  }
  if (changed) learn(sources, now);
  for (Seat& seat : seats_) seat.before = nullptr;
  decide(sources, now, interval, settled);
  for (size_t s = 0; s < sources.size(); ++s) {
    Seat& seat = seats_[s];
    if (seat.raw == nullptr) continue;
    if (sources[s].view.frame) seat.frame_at = sources[s].view.frame->monotonic;
    if (seat.dirty) refilter(seat, s);
    apply(seat, s, sources[s]);
  }
}

}  // namespace accelmon
