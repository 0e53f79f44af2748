// A hardware counter of unknown width made into one that only grows.
//
// NVML does not say how wide its byte counters are. What is done about it:
//  - The running total starts at the first raw reading and grows by differences, in 64 bits.
//  - A value that the driver hands out as an unsigned int has 32 bits: set_width(). (So come the bytes of the PCIe
//    link, measured on an H100 with driver 580: docs/gpu-measurements.md.) Every fall is a wrap then. Where such a
//    counter stands says nothing of what it has counted, so the total starts at 0: after a restart of this process a
//    rate over it sees a counter that began anew, and not what the raw reading happened to be. All ones is no reading.
//  - A reading below the one before is a wrap if it fell by more than half of 2^32, or of 2^42 (which is 2^32 KiB, a
//    32-bit counter of KiB shown in bytes), and the earlier reading lay below that bound. The bound is then the width.
//    A driver that is in use cannot be reset, so that a restart is much less likely than a wrap.
//  - Any other fall is a restart: the total begins anew at the raw reading, as counters may.
//  - Once the width is known, an interval in which the counter could have wrapped more than once (at the greatest rate
//    that the hardware can do) has no true difference. It gives no reading; the total goes on behind it.
// Threads: none. Cost: a few comparisons.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace accelmon::nvml {

class WrapCounter {
 public:
  // `most`: the most that the counter can grow in a second, in its own unit.
  explicit WrapCounter(double most) : most_(most) {}

  // The running total; nothing when it cannot be known for this interval.
  std::optional<uint64_t> update(uint64_t raw, Nanos monotonic);

  // The counter is as wide as `width`, 2^n, by its type.
  void set_width(uint64_t width) {
    width_ = width;
    certain_ = true;
  }

 private:
  double most_;
  bool started_ = false;
  uint64_t last_ = 0;
  Nanos last_at_ = 0;
  uint64_t width_ = 0;  // 0: not known
  bool certain_ = false;
  uint64_t total_ = 0;
};

}  // namespace accelmon::nvml
