// hw.status of a device, drawn from what its readings say.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "collectors/hw_state.h"

namespace accelmon::nvml {

enum class HealthInput : uint8_t {
  none,
  hardware_slowdown,  // flag of the clocks-event reasons
  power_brake,        // likewise
  remap_pending,
  remap_failed,
  rows_corrected,  // counts of remapped rows
  rows_uncorrected,
  pages_corrected,  // counts of retired pages
  pages_uncorrected,
  pages_pending,
  recovery_action,
  banks_exhausted,  // banks of memory without a spare row
  mig_current,      // no matter of health: whether MIG is on
  count_
};

// Threads: none. What was not read counts as sound: a board that cannot tell of retired pages has none to complain of.
class Health {
 public:
  void set(HealthInput input, double value);
  void forget(HealthInput input) { set(input, 0); }
  double get(HealthInput input) const { return values_[static_cast<size_t>(input)]; }

  // failed: lost, or memory that could not be repaired. predicted_failure: a bank of memory has no spare row left, so
  // that its next uncorrectable error cannot be repaired, or nearly all pages that can be retired are. degraded: it
  // works and wants a reset, or its clocks are held down by its power supply or an emergency.
  HwState condition(bool lost) const;

 private:
  bool is(HealthInput input) const { return get(input) != 0; }
  std::array<double, static_cast<size_t>(HealthInput::count_)> values_{};
  // Polls in a row for which the flag stood: drivers raise hardware_slowdown for an instant at a change of clocks.
  int slowdown_streak_ = 0;
  int brake_streak_ = 0;
};

}  // namespace accelmon::nvml
