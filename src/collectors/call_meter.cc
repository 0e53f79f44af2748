#include "collectors/call_meter.h"

#include <algorithm>

#include "base/text.h"

namespace accelmon {

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
  return static_cast<CallId>(stats_.size() - 1);
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
