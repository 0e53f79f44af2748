#include "collectors/level_zero/ze_meters.h"

#include <algorithm>

namespace accelmon::level_zero {
namespace {

// Two clocks that are not read at one instant may show a little more than all of the time.
constexpr double kSlack = 1.05;
// Power over less than this says more of the counter's steps than of the board. Microseconds.
constexpr uint64_t kShortest = 100'000;
constexpr uint64_t kShortestCoarse = 1'000'000;  // a counter of whole joules
constexpr uint64_t kJoule = 1'000'000;

Cell only(State state) {
  Cell cell;
  cell.absent(state);
  return cell;
}

}  // namespace

Cell ActivityMeter::read(uint64_t active, uint64_t timestamp, Nanos now, Nanos patience) {
  if (primed_ && timestamp == timestamp_) return now - moved_ <= patience ? last_ : only(State::not_ready);
  const bool follows = primed_ && timestamp > timestamp_ && active >= active_;
  if (follows) {
    const double share = static_cast<double>(active - active_) / static_cast<double>(timestamp - timestamp_);
    if (share <= kSlack) {
      last_.set(std::min(share, 1.0));
    } else {
      last_.absent(State::implausible);
    }
  } else {
    last_.absent(State::not_ready);
  }
  primed_ = true;
  active_ = active;
  timestamp_ = timestamp;
  moved_ = now;
  return last_;
}

Cell RateMeter::read(uint64_t count, uint64_t timestamp, Nanos now, Nanos patience) {
  if (primed_ && timestamp == timestamp_) return now - moved_ <= patience ? last_ : only(State::not_ready);
  if (primed_ && timestamp > timestamp_ && count >= count_) {
    last_.set(static_cast<double>(count - count_) / (static_cast<double>(timestamp - timestamp_) * 1e-6));
  } else {
    last_.absent(State::not_ready);
  }
  primed_ = true;
  count_ = count;
  timestamp_ = timestamp;
  moved_ = now;
  return last_;
}

double EnergyMeter::growth(const Point& from, const Point& to) const {
  if (to.timestamp <= from.timestamp) return -1;
  double grown = static_cast<double>(to.energy) - static_cast<double>(from.energy);
  if (grown < 0) {
    const auto before = static_cast<double>(from.energy);
    const bool wrapped =
        before < kModulus && before > 0.9 * kModulus && static_cast<double>(to.energy) < 0.1 * kModulus;
    if (!wrapped) return -1;
    grown += kModulus;
  }
  // A joule of slack: the counter's own step, however short the time.
  const double most = most_watts_ * static_cast<double>(to.timestamp - from.timestamp) + static_cast<double>(kJoule);
  return grown <= most ? grown : -1;
}

void EnergyMeter::accept(double microjoules, const Point& to, Nanos now, bool coarse) {
  const uint64_t elapsed = to.timestamp - good_.timestamp;
  power_.set(microjoules / static_cast<double>(elapsed));
  energy_.set(energy_.value + microjoules * 1e-6);
  good_ = to;
  moved_ = now;
  suspicious_ = false;
  coarse_ = coarse;
}

void EnergyMeter::read(uint64_t microjoules, uint64_t timestamp, Nanos now, Nanos patience) {
  const Point to{microjoules, timestamp};
  const bool coarse = coarse_ && microjoules % kJoule == 0;
  if (!primed_) {
    primed_ = true;
    suspicious_ = false;
    good_ = to;
    moved_ = now;
    coarse_ = coarse;
    power_.absent(State::not_ready);
    // What it had counted before we came, unless that cannot be: the reading may be the glitch itself.
    const auto joules = static_cast<double>(microjoules) * 1e-6;
    if (!begun_) energy_.set(joules < 1e12 ? joules : 0);
    begun_ = true;
    return;
  }
  const Point& latest = suspicious_ ? suspect_ : good_;
  if (timestamp == latest.timestamp) {
    if (now - moved_ > patience) power_.absent(State::not_ready);
    return;
  }
  if (timestamp > good_.timestamp && timestamp - good_.timestamp < (coarse ? kShortestCoarse : kShortest)) return;
  if (const double grown = growth(good_, to); grown >= 0) return accept(grown, to, now, coarse);
  // Not from what was good; from what was not, then? Then that was true, and the counter had been reset.
  if (suspicious_) {
    // One that stands still proves nothing: a glitch may last.
    if (const double grown = growth(suspect_, to); grown > 0) {
      good_ = suspect_;
      return accept(grown, to, now, coarse);
    }
  }
  suspicious_ = true;
  suspect_ = to;
  moved_ = now;
  power_.absent(State::implausible);
}

}  // namespace accelmon::level_zero
