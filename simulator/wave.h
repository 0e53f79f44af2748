// Numbers over scenario time: constants, sines, squares, ramps, steps, noise, and sums of them.
//
// Every term has its value, its integral and its first-order lag in closed form, so that what a scenario says at time t
// depends on t alone: the same counters come out at any poll rate, and a process that restarts goes on where the last
// one stopped. No term keeps state; every answer costs a few dozen nanoseconds a term.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace accelmon::simulator {

// splitmix64's finalizer: well-mixed bits of a key, the same everywhere and for ever.
uint64_t mix(uint64_t key);
// The same as a number in [0, 1).
double mix_unit(uint64_t key);

struct Term {
  enum class Kind : uint8_t {
    constant,  // low
    sine,      // between low and high with `period`, at the middle and rising at time -phase
    square,    // high for the first `duty` of each period, then low
    sawtooth,  // rises from low to high over each period, then falls at once
    ramp,      // low before `start`, high after `end`, a line between
    steps,     // points: the value from each time on; the first value also before it
    noise,     // steps of `period` seconds between low and high, in pairs that cancel: its mean is the middle, exactly
  };
  Kind kind = Kind::constant;
  double low = 0;
  double high = 0;
  double period = 1;
  double phase = 0;
  double duty = 0.5;
  double start = 0;
  double end = 0;
  uint64_t seed = 0;
  std::vector<std::pair<double, double>> points;

  double value(double t) const;
  double integral(double t) const;            // over [0, t]
  double lagged(double t, double tau) const;  // of a first-order filter that has followed the term for ever
  std::pair<double, double> bounds() const;
};

// A sum of terms. Empty: 0 everywhere.
class Wave {
 public:
  Wave() = default;
  explicit Wave(double constant);
  explicit Wave(Term term) { terms_.push_back(std::move(term)); }

  void add(const Wave& other, double scale = 1);
  void add(double constant);

  double value(double t) const;
  double integral(double t) const;  // over [0, t]; t below 0 counts as 0
  double lagged(double t, double tau) const;
  // Mean over [from, to]; the value where they coincide.
  double mean(double from, double to) const;
  std::pair<double, double> bounds() const;  // it never leaves these; it need not reach them

  // Shifts what is periodic (and reseeds noise), so that devices of one kind do not move as one.
  void shift(double seconds, uint64_t seed);

  // Whether it is only ever 0 or 1.
  bool is_switch() const;
  size_t size() const { return terms_.size(); }

 private:
  std::vector<Term> terms_;
};

}  // namespace accelmon::simulator
