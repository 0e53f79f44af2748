#include "base/clock.h"

#include <ctime>

namespace accelmon {
namespace {

Nanos read(clockid_t id) {
  timespec ts{};
  clock_gettime(id, &ts);
  return static_cast<Nanos>(ts.tv_sec) * kSecond + ts.tv_nsec;
}

class RealClock : public Clock {
 public:
  Nanos monotonic() const override { return read(CLOCK_MONOTONIC); }
  Nanos wall() const override { return read(CLOCK_REALTIME); }
};

}  // namespace

const Clock& real_clock() {
  static const RealClock clock;
  return clock;
}

Ticker::Ticker(Nanos interval, Nanos monotonic_now, Nanos wall_now) : interval_(interval > 0 ? interval : kSecond) {
  const Nanos phase = ((wall_now % interval_) + interval_) % interval_;
  deadline_ = monotonic_now + (interval_ - phase);
}

uint64_t Ticker::advance(Nanos monotonic_now) {
  deadline_ += interval_;
  if (deadline_ > monotonic_now) return 0;
  const uint64_t missed = static_cast<uint64_t>((monotonic_now - deadline_) / interval_) + 1;
  deadline_ += static_cast<Nanos>(missed) * interval_;
  return missed;
}

}  // namespace accelmon
