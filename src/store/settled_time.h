// Whether wall time may decide what is too old.
//
// A clock that jumps ahead, if only for seconds, would make all of a history too old at once, with all that exporters
// have not sent. So age counts by a clock that has kept step with the monotonic one for an hour, or that goes on where
// the history ends. What a jump delays is only the deleting: the bound on bytes holds meanwhile.
// Threads: one. Cost: none.
#pragma once

#include <cstdlib>
#include <optional>

#include "base/clock.h"

namespace accelmon::store {

class SettledTime {
 public:
  static constexpr Nanos kProbation = 3600 * kSecond;
  static constexpr Nanos kJump = 60 * kSecond;  // more than clocks are slewed by between two looks

  // `newest`: the time of the newest row there is; 0: none. For the first look.
  std::optional<Nanos> look(Nanos wall, Nanos monotonic, Nanos newest) {
    const Nanos offset = wall - monotonic;
    if (!looked_) {
      looked_ = true;
      since_ = newest == 0 || std::llabs(wall - newest) <= kProbation ? monotonic - kProbation : monotonic;
    } else if (std::llabs(offset - offset_) > kJump) {
      since_ = monotonic;
    }
    offset_ = offset;
    if (monotonic - since_ < kProbation) return std::nullopt;
    return wall;
  }

 private:
  bool looked_ = false;
  Nanos offset_ = 0;
  Nanos since_ = 0;  // monotonic: so long the two have kept step
};

}  // namespace accelmon::store
