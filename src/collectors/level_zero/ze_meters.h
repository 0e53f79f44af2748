// From the driver's counters to shares, watts and joules: what two readings of one counter may be taken to mean.
//
// A meter is given each reading as it comes and holds back what cannot be: it never divides by nothing, and what it
// cannot tell is a state. Drivers update counters at their own pace, and some do not at all while the device idles: an
// unmoved timestamp repeats the last answer for `patience` and is not_ready afterwards.
// Threads: none. Cost: arithmetic.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "collectors/cell_block.h"

namespace accelmon::level_zero {

inline constexpr Nanos kPatience = 3 * kSecond;  // of a collector that reads once a second

// Share of time that an engine was active: active time over elapsed time, in the driver's own unit of both.
class ActivityMeter {
 public:
  Cell read(uint64_t active, uint64_t timestamp, Nanos now, Nanos patience = kPatience);
  void forget() { primed_ = false; }

 private:
  bool primed_ = false;
  uint64_t active_ = 0;
  uint64_t timestamp_ = 0;
  Nanos moved_ = 0;  // when the timestamp moved last
  Cell last_;
};

// Bytes per second out of a growing count and its timestamp in microseconds.
class RateMeter {
 public:
  Cell read(uint64_t count, uint64_t timestamp, Nanos now, Nanos patience = kPatience);
  void forget() { primed_ = false; }

 private:
  bool primed_ = false;
  uint64_t count_ = 0;
  uint64_t timestamp_ = 0;
  Nanos moved_ = 0;
  Cell last_;
};

// Power and energy out of an energy counter (microjoules, at microseconds).
//
// The counter of some boards is 32 bits of 2^-14 J: it begins again at 0 after 2^18 J, every 23 minutes at 190 W. A
// fall is taken for that only from the last tenth of the range into its first; any other is a reset, or a glitch that
// is over with the next reading. Whatever would be more power than the board can draw yields nothing. Thus the energy
// never falls, and loses nothing over a wrap or a glitch.
class EnergyMeter {
 public:
  // `most_watts`: what the board cannot exceed, from its limit where that is known.
  explicit EnergyMeter(double most_watts = kMostWatts) : most_watts_(most_watts) {}

  void read(uint64_t microjoules, uint64_t timestamp, Nanos now, Nanos patience = kPatience);
  // The device was away: what comes next begins anew; the energy goes on.
  void forget() { primed_ = false; }

  const Cell& power() const { return power_; }    // watts, averaged since the reading before
  const Cell& energy() const { return energy_; }  // joules

  static constexpr double kModulus = 262144e6;  // microjoules
  static constexpr double kMostWatts = 5000;

 private:
  struct Point {
    uint64_t energy = 0;
    uint64_t timestamp = 0;
  };
  // Microjoules from `from` to `to`; negative: it cannot be.
  double growth(const Point& from, const Point& to) const;
  void accept(double microjoules, const Point& to, Nanos now, bool coarse);

  double most_watts_;
  bool primed_ = false;
  bool suspicious_ = false;
  Point good_;     // the last one that was accepted
  Point suspect_;  // a later one that does not follow from it
  Nanos moved_ = 0;
  bool begun_ = false;
  bool coarse_ = true;  // has only ever shown whole joules
  Cell power_;
  Cell energy_;
};

}  // namespace accelmon::level_zero
