// One poll: the numbers over a catalog's series, each with a state and a known age.
//
// A value that is absent is a state, never a number: where states[i] is not `ok`, values[i] means nothing and must not
// be read. No sentinel and no made-up zero ever leaves a collector.
// Threads: a frame is written by one thread and read-only once it is published.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace accelmon {

enum class State : uint8_t {
  ok = 0,
  unsupported,    // the device cannot tell
  no_permission,  // it could, and refuses us
  not_ready,      // it will, and has nothing yet (first poll of a rate, a second GPM sample)
  stale,          // it did, longer than three intervals ago
  implausible,    // what it told cannot be true
  error,          // the call failed
};
inline constexpr size_t kStates = 7;
std::string_view to_string(State state);

struct Frame {
  uint64_t generation = 0;  // of the catalog that lays it out
  uint64_t sequence = 0;    // counts the collector's polls
  Nanos wall = 0;           // when the poll began
  Nanos monotonic = 0;      // the same instant
  Nanos duration = 0;       // how long the poll took
  uint8_t fresh = 0;        // bit t: the series of Tier t were read in this poll; others repeat their last reading
  std::array<Nanos, 3> read_at{};  // monotonic time at which each tier was last read; 0: never
  std::vector<double> values;
  std::vector<State> states;

  void resize(size_t series) {
    values.assign(series, 0.0);
    states.assign(series, State::not_ready);
  }
  void set(size_t i, double value) {
    values[i] = value;
    states[i] = State::ok;
  }
  void absent(size_t i, State why) {
    values[i] = 0.0;
    states[i] = why;
  }
};

}  // namespace accelmon
