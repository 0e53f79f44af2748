#include "collectors/call_meter.h"

#include <algorithm>
#include <cstdio>

#include "base/text.h"

namespace accelmon {
namespace {

constexpr unsigned kPollsOver = 3;

// A tenth of the interval, and never so little that a busy machine's hiccups count.
Nanos budget(Nanos interval) {
  return std::max(interval / 10, 5 * kMillisecond);
}

}  // namespace

std::string Heartbeat::current_call() const {
  if (call_began.load(std::memory_order_acquire) == 0) return {};
  char text[64];
  for (size_t i = 0; i < 8; ++i) {
    const uint64_t word = name[i].load(std::memory_order_relaxed);
    std::memcpy(text + 8 * i, &word, 8);
  }
  text[63] = '\0';
  return printable(text, 63);
}

CallMeter::CallMeter(const Clock& clock, Heartbeat* heartbeat)
    : clock_(clock), heartbeat_(heartbeat != nullptr ? heartbeat : &own_) {}

CallId CallMeter::add(std::string_view name) {
  name = name.substr(0, 63);
  for (size_t i = 0; i < stats_.size(); ++i)
    if (stats_[i].name == name) return static_cast<CallId>(i);
  std::array<uint64_t, 8> words{};
  std::memcpy(words.data(), name.data(), name.size());
  names_.push_back(words);
  stats_.push_back(CallStats{std::string(name), 0, 0, 0});
  place_.emplace_back();
  return static_cast<CallId>(stats_.size() - 1);
}

Tier CallMeter::place(CallId id, Tier wanted) {
  Place& place = place_[id];
  // A call that serves several tiers is judged by the fastest.
  if (!place.asked || wanted < place.wanted) {
    place.wanted = wanted;
    place.given = std::max(place.given, wanted);
  }
  place.asked = true;
  return std::max(place.given, wanted);
}

bool CallMeter::close_poll(const std::array<Nanos, kTiers>& intervals) {
  bool changed = false;
  for (size_t i = 0; i < place_.size(); ++i) {
    Place& place = place_[i];
    const CallStats& stats = stats_[i];
    const bool called = stats.calls != place.calls;
    const Nanos spent = stats.time - place.seen;
    place.seen = stats.time;
    place.calls = stats.calls;
    if (!called || !place.asked) continue;
    place.last_poll = spent;
    const auto tier = static_cast<size_t>(place.given);
    place.over = spent > budget(intervals[tier]) ? place.over + 1 : 0;
    place.under = place.given > place.wanted && spent < budget(intervals[tier - 1]) / 4 ? place.under + 1 : 0;
    if (place.over >= kPollsOver && place.given < Tier::rare) {
      place.given = static_cast<Tier>(tier + 1);
      // One that comes and goes is tried again ever more seldom.
      place.probation = std::min(place.probation * 2, 10'000u);
    } else if (place.under >= place.probation) {
      place.given = static_cast<Tier>(tier - 1);
    } else {
      continue;
    }
    place.over = place.under = 0;
    changed = true;
  }
  if (changed) ++places_;
  return changed;
}

void CallMeter::skip_poll() {
  for (size_t i = 0; i < place_.size(); ++i) {
    place_[i].seen = stats_[i].time;
    place_[i].calls = stats_[i].calls;
  }
}

std::vector<std::pair<std::string, std::string>> CallMeter::moved(const std::array<Nanos, kTiers>& intervals) const {
  std::vector<std::pair<std::string, std::string>> all;
  for (size_t i = 0; i < place_.size(); ++i) {
    const Place& place = place_[i];
    if (!place.asked || place.given == place.wanted) continue;
    char text[160];
    std::snprintf(text, sizeof text, "takes %.3g ms a poll: read every %.3g s, not every %.3g s",
                  to_seconds(place.last_poll) * 1e3, to_seconds(intervals[static_cast<size_t>(place.given)]),
                  to_seconds(intervals[static_cast<size_t>(place.wanted)]));
    all.emplace_back(stats_[i].name, text);
  }
  return all;
}

void CallMeter::count_error(std::string_view code) {
  if (const auto found = errors_.find(code); found != errors_.end()) {
    ++found->second;
    return;
  }
  if (errors_.size() >= 64) code = "other";
  ++errors_[std::string(code)];
}

void CallMeter::begin(CallId id) {
  last_ = id;
  for (size_t i = 0; i < 8; ++i) heartbeat_->name[i].store(names_[id][i], std::memory_order_relaxed);
  began_ = clock_.monotonic();
  heartbeat_->call_began.store(began_, std::memory_order_release);
}

void CallMeter::end(CallId id) {
  const Nanos now = clock_.monotonic();
  heartbeat_->call_began.store(0, std::memory_order_release);
  heartbeat_->alive.store(now, std::memory_order_relaxed);
  CallStats& stats = stats_[id];
  ++stats.calls;
  stats.time += now - began_;
  stats.longest = std::max(stats.longest, now - began_);
}

}  // namespace accelmon
