// The pipeline's own memory of where every series stands: what its stages read and write.
//
// One entry for each series of the derived catalog, raw ones first. A frame that leaves is a copy of `values` and
// `states`. Threads: one. Private to the room.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "model/catalog.h"
#include "model/frame.h"

namespace accelmon::pipeline {

struct Samples {
  std::vector<double> values;
  std::vector<State> states;
  // Monotonic time of the reading that a value rests on. A stage takes a sample of its source only when this is the
  // time of the present reading; otherwise the source repeats an older one. 0: none yet.
  std::vector<Nanos> at;
  // Grows with every reset or believed jump of a counter: growth across it means nothing.
  std::vector<uint32_t> epoch;

  void resize(size_t series) {
    values.assign(series, 0.0);
    states.assign(series, State::not_ready);
    at.assign(series, 0);
    epoch.assign(series, 0);
  }
  void set(uint32_t i, double value, Nanos when) {
    values[i] = value;
    states[i] = State::ok;
    at[i] = when;
  }
  void absent(uint32_t i, State why) {
    values[i] = 0.0;
    states[i] = why;
  }
  bool sampled(uint32_t i, Nanos now) const { return states[i] == State::ok && at[i] == now; }
};

template <class Step>
using PerTier = std::array<std::vector<Step>, kTiers>;

// One reading of a tier.
struct Reading {
  Nanos at = 0;        // monotonic
  Nanos interval = 0;  // between readings of the tier, as configured
  Nanos gap = 0;       // longer than this without a sample: what lies between is unknown

  // The end of a value whose source gives no sample any more: it may be repeated as long as a reading may be missed.
  bool repeats(Nanos last) const { return last != 0 && at - last <= gap; }
};

// For each series of the old catalog the step that made it, so that the step of the same series in the new catalog
// finds its state. -1: none.
using StepOf = std::vector<int32_t>;

template <class Step>
StepOf steps_by_target(const std::vector<Step>& steps, size_t series) {
  StepOf of(series, -1);
  for (size_t k = 0; k < steps.size(); ++k) of[steps[k].target] = static_cast<int32_t>(k);
  return of;
}

// The old step of a new target. `old_series[i]`: the index that the new catalog's series i had in the old one, or -1.
inline int32_t old_step(const StepOf& of, const std::vector<int32_t>& old_series, uint32_t target) {
  const int32_t series = old_series[target];
  return series < 0 || static_cast<size_t>(series) >= of.size() ? -1 : of[static_cast<size_t>(series)];
}

}  // namespace accelmon::pipeline
