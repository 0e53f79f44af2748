#include "agent/event_log.h"

#include <algorithm>

#include "model/event_catalogue.h"

namespace accelmon {
namespace {

// Addresses of a host's devices; beyond is a source that invents them.
constexpr size_t kMostAddresses = 4096;

bool sympathetic(const Event& event) {
  const EventEntry* entry = find_event(event.code);
  return entry != nullptr && entry->sympathetic;
}

// Between two wall times; no overflow, whatever a collector made of them.
Nanos apart(Nanos a, Nanos b) {
  const uint64_t difference =
      a > b ? static_cast<uint64_t>(a) - static_cast<uint64_t>(b) : static_cast<uint64_t>(b) - static_cast<uint64_t>(a);
  return difference > INT64_MAX ? INT64_MAX : static_cast<Nanos>(difference);
}

}  // namespace

void EventLog::learn(const Catalog& catalog) {
  for (const Device& device : catalog.devices) {
    if (device.parent >= 0) continue;
    for (const Attribute& attribute : device.info) {
      if (attribute.id != AttributeId::pci_address || attribute.value == device.id) continue;
      const auto [known, is_new] = device_at_.try_emplace(attribute.value, device.id);
      if (is_new && device_at_.size() > kMostAddresses) {
        device_at_.erase(known);
        continue;
      }
      if (!is_new) known->second = device.id;
      for (Entry& entry : entries_)
        if (entry.event.device_id == attribute.value) entry.event.device_id = device.id;
    }
  }
}

bool EventLog::add(std::string_view source, Event event, Nanos wall_now) {
  if (const auto known = device_at_.find(event.device_id); known != device_at_.end()) event.device_id = known->second;
  const bool history = event.wall < wall_now && apart(wall_now, event.wall) > kHistory;
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (entry->event.code != event.code || entry->event.device_id != event.device_id) continue;
    // Told again from the kernel's log an event has the time of that log's clock, which drifts.
    const Nanos same = history && entry->source == source ? kBurst : kSame;
    if (apart(entry->last, event.wall) > same && apart(entry->event.wall, event.wall) > same) continue;
    if (entry->source == source && !history) {
      ++entry->times;
      entry->last = std::max(entry->last, event.wall);
    }
    return false;
  }
  // History comes late; the list is ordered by when things happened.
  auto at = entries_.end();
  while (at != entries_.begin() && std::prev(at)->event.wall > event.wall) --at;
  if (entries_.size() >= kKept && at == entries_.begin()) return false;  // older than all that is kept
  Entry entry;
  entry.last = event.wall;
  entry.source = std::string(source);
  entry.event = std::move(event);
  const auto index = static_cast<size_t>(at - entries_.begin());
  entries_.insert(at, std::move(entry));
  place_in_burst(index);
  if (entries_.size() > kKept) {
    const bool root = entries_.front().root;
    const uint64_t burst = entries_.front().burst;
    entries_.pop_front();
    // What is left of its burst still has a first cause.
    if (root && burst != 0) find_root(burst);
  }
  return true;
}

void EventLog::place_in_burst(size_t at) {
  Entry& entry = entries_[at];
  if (entry.event.device_id.empty()) return;
  const auto neighbour = [&](const Entry& other) {
    return other.event.device_id == entry.event.device_id &&
           std::min(apart(other.event.wall, entry.event.wall), apart(other.last, entry.event.wall)) < kBurst;
  };
  for (size_t i = at; i-- > 0 && entry.burst == 0;)
    if (neighbour(entries_[i])) entry.burst = entries_[i].burst;
  for (size_t i = at + 1; i < entries_.size(); ++i) {
    if (!neighbour(entries_[i])) continue;
    const uint64_t later = entries_[i].burst;
    if (entry.burst == 0) entry.burst = later;
    // It closes the gap between two bursts.
    if (later != entry.burst)
      for (Entry& other : entries_)
        if (other.burst == later) other.burst = entry.burst;
    break;
  }
  if (entry.burst == 0) entry.burst = ++bursts_;
  find_root(entry.burst);
}

void EventLog::find_root(uint64_t burst) {
  Entry* first = nullptr;
  Entry* root = nullptr;
  for (Entry& entry : entries_) {
    if (entry.burst != burst) continue;
    entry.root = false;
    if (first == nullptr) first = &entry;
    if (root == nullptr && !sympathetic(entry.event)) root = &entry;
  }
  if (root == nullptr) root = first;
  if (root != nullptr) root->root = true;
}

}  // namespace accelmon
