#include "pipeline/window.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "model/metric.h"

namespace accelmon::pipeline {
namespace {

constexpr Nanos kSlotsPerSpan = 60;
constexpr uint32_t kLanes = 4;  // columns are this many slots wide, times a whole number
constexpr double kEmpty = std::numeric_limits<double>::infinity();

size_t position(Statistic one) {
  return static_cast<size_t>(std::countr_zero(static_cast<unsigned>(one)));
}

// The largest samples of a window seen so far, ascending: what the 95th percentile needs, one in twenty of them.
class Largest {
 public:
  explicit Largest(uint32_t keep) : keep_(std::min<uint32_t>(keep, kMost)) {}

  void add(double value) {
    if (size_ == keep_ && value <= top_[0]) return;
    uint32_t i;
    if (size_ == keep_) {
      for (i = 0; i + 1 < size_ && top_[i + 1] < value; ++i) top_[i] = top_[i + 1];
    } else {
      for (i = size_++; i > 0 && top_[i - 1] > value; --i) top_[i] = top_[i - 1];
    }
    top_[i] = value;
  }
  double smallest() const { return top_[0]; }

 private:
  static constexpr uint32_t kMost = 8;
  double top_[kMost] = {};
  uint32_t size_ = 0;
  uint32_t keep_;
};

// Two doubles at a time: the compilers' own vectors, which at -O2 they do not find in the loops by themselves.
using Pair = double __attribute__((vector_size(16)));

Pair load(const double* from) {
  Pair pair;
  std::memcpy(&pair, from, sizeof(pair));
  return pair;
}
Pair smaller(Pair a, Pair b) {
  return a < b ? a : b;
}

// Of a whole column; empty slots hold infinity.
double least(const double* column, uint32_t size) {
  Pair first{kEmpty, kEmpty};
  Pair second = first;
  for (uint32_t slot = 0; slot < size; slot += kLanes) {
    first = smaller(load(column + slot), first);
    second = smaller(load(column + slot + 2), second);
  }
  const Pair best = smaller(first, second);
  return std::min(best[0], best[1]);
}

}  // namespace

void Windows::set_times(Nanos span, Nanos interval) {
  span_ = span;
  const Nanos fine = std::max<Nanos>(1, span / kSlotsPerSpan);
  // Samples that come at most 60 to a window are kept one by one. Half an interval tells two of them apart however much
  // they jitter; whatever comes faster than that was not asked for, and is gathered.
  slot_ = interval < fine ? fine : std::max<Nanos>(1, interval / 2);
  const Nanos slots = interval < fine ? kSlotsPerSpan : std::max<Nanos>(1, span / interval);
  capacity_ = static_cast<uint32_t>(slots + slots / 4 + 2);
  every_ = kSecond - std::min<Nanos>(interval, kSecond) / 2;
  columns_ = (capacity_ + kLanes - 1) / kLanes * kLanes;
  first_at_.assign(capacity_, 0);
  last_at_.assign(capacity_, 0);
  clip_.assign(columns_, 0.0);
}

void Windows::configure(std::vector<WindowStep> steps, const std::vector<int32_t>& old_series, size_t series) {
  StepOf of;
  for (size_t k = 0; k < steps_.size(); ++k) {
    const uint32_t target = steps_[k].first_target();
    if (target >= of.size()) of.resize(target + 1, -1);
    of[target] = static_cast<int32_t>(k);
  }
  uint32_t size = 0;
  for (WindowStep& step : steps) {
    const auto column = [&] {
      const uint32_t begin = size;
      size += columns_;
      return begin;
    };
    step.weights = column();
    step.means = column();
    if (step.targets[position(kMin)] != kNoTarget) step.minima = column();
    if (step.targets[position(kMax)] != kNoTarget) step.maxima = column();
  }
  std::vector<double> data(size, 0.0);
  for (const WindowStep& step : steps)
    for (const uint32_t extremes : {step.minima, step.maxima})
      if (extremes != kNoTarget) std::fill_n(data.begin() + extremes, columns_, kEmpty);
  for (WindowStep& step : steps) {
    const uint32_t target = step.first_target();
    if (target >= series) continue;
    const int32_t k = old_step(of, old_series, target);
    if (k < 0) continue;
    const WindowStep& before = steps_[static_cast<size_t>(k)];
    const auto copy = [&](uint32_t from, uint32_t to) {
      if (from != kNoTarget && to != kNoTarget) std::copy_n(data_.begin() + from, columns_, data.begin() + to);
    };
    copy(before.weights, step.weights);
    copy(before.means, step.means);
    copy(before.minima, step.minima);
    copy(before.maxima, step.maxima);
    step.last_at = before.last_at;
  }
  steps_ = std::move(steps);
  data_ = std::move(data);
  evaluated_at_ = 0;
}

void Windows::empty(uint32_t slot) {
  for (const WindowStep& step : steps_) {
    data_[step.weights + slot] = 0.0;
    if (step.minima != kNoTarget) data_[step.minima + slot] = kEmpty;
    if (step.maxima != kNoTarget) data_[step.maxima + slot] = kEmpty;
  }
}

uint32_t Windows::slot_for(Nanos at) {
  while (count_ > 0 && last_at_[oldest_] <= at - span_) {
    empty(oldest_);
    oldest_ = (oldest_ + 1) % capacity_;
    --count_;
  }
  if (count_ > 0) {
    const uint32_t newest = (oldest_ + count_ - 1) % capacity_;
    if (at - first_at_[newest] < slot_ || count_ == capacity_) {
      last_at_[newest] = at;
      return newest;
    }
  }
  const uint32_t slot = (oldest_ + count_) % capacity_;
  ++count_;
  first_at_[slot] = last_at_[slot] = at;
  return slot;
}

void Windows::add(WindowStep& step, uint32_t slot, double value, const Reading& reading) {
  const Nanos elapsed = reading.at - step.last_at;
  if (step.last_at != 0 && elapsed == 0) return;  // the clock stood still: no time for this sample to stand for
  const bool continues = step.last_at != 0 && elapsed > 0 && elapsed <= reading.gap;
  const double weight = to_seconds(continues ? elapsed : reading.interval);
  step.last_at = reading.at;

  double& weights = data_[step.weights + slot];
  double& mean = data_[step.means + slot];
  if (weights == 0.0) {
    weights = weight;
    mean = value;
  } else {
    weights += weight;
    mean += (value - mean) * (weight / weights);
  }
  if (step.minima != kNoTarget) data_[step.minima + slot] = std::min(data_[step.minima + slot], value);
  if (step.maxima != kNoTarget) data_[step.maxima + slot] = std::min(data_[step.maxima + slot], -value);
}

void Windows::run(const Reading& reading, Samples& samples) {
  if (steps_.empty()) return;
  // A clock that went back leaves slots from the future: nothing in them can be placed any more.
  if (count_ > 0 && reading.at < last_at_[(oldest_ + count_ - 1) % capacity_]) {
    for (uint32_t slot = 0; slot < capacity_; ++slot) empty(slot);
    for (WindowStep& step : steps_) step.last_at = 0;
    oldest_ = count_ = 0;
    evaluated_at_ = 0;
  }
  const uint32_t slot = slot_for(reading.at);
  for (WindowStep& step : steps_)
    if (samples.sampled(step.source, reading.at)) add(step, slot, samples.values[step.source], reading);
  if (evaluated_at_ == 0 || reading.at - evaluated_at_ >= every_) evaluate(reading.at, samples);
}

void Windows::evaluate(Nanos at, Samples& samples) {
  evaluated_at_ = at;
  std::fill(clip_.begin(), clip_.end(), 0.0);
  for (uint32_t k = 0, slot = oldest_; k < count_; ++k, slot = (slot + 1) % capacity_)
    clip_[slot] = to_seconds(last_at_[slot] - (at - span_));
  for (const WindowStep& step : steps_) evaluate(step, at, samples);
}

void Windows::evaluate(const WindowStep& step, Nanos at, Samples& samples) {
  const double* weights = data_.data() + step.weights;
  const double* means = data_.data() + step.means;
  const double* clip = clip_.data();

  // The mean is summed as the distance from one of the values, so that a constant stays exactly what it is. Empty slots
  // have weight 0, so the order and the ends of the ring do not matter; separate sums keep the adder busy.
  uint32_t newest = (oldest_ + count_ - 1) % capacity_;
  for (uint32_t k = 1; k < count_ && weights[newest] == 0.0; ++k) newest = (newest + capacity_ - 1) % capacity_;
  const double reference = means[newest];
  const Pair from{reference, reference};
  Pair weight_a{};
  Pair weight_b{};
  Pair sum_a{};
  Pair sum_b{};
  for (uint32_t slot = 0; slot < columns_; slot += kLanes) {
    const Pair a = smaller(load(weights + slot), load(clip + slot));
    const Pair b = smaller(load(weights + slot + 2), load(clip + slot + 2));
    weight_a += a;
    weight_b += b;
    sum_a += a * (load(means + slot) - from);
    sum_b += b * (load(means + slot + 2) - from);
  }
  weight_a += weight_b;
  sum_a += sum_b;
  const double total = weight_a[0] + weight_a[1];
  if (!(total > 0.0)) {
    for (const uint32_t target : step.targets)
      if (target != kNoTarget) samples.absent(target, State::not_ready);
    return;
  }
  if (const uint32_t target = step.targets[position(kMean)]; target != kNoTarget) {
    const double mean = reference + (sum_a[0] + sum_a[1]) / total;
    samples.set(target, std::clamp(mean, step.lowest, step.highest), at);
  }
  if (const uint32_t target = step.targets[position(kMin)]; target != kNoTarget)
    samples.set(target, least(data_.data() + step.minima, columns_), at);
  if (const uint32_t target = step.targets[position(kMax)]; target != kNoTarget)
    samples.set(target, -least(data_.data() + step.maxima, columns_), at);
  if (const uint32_t target = step.targets[position(kP95)]; target != kNoTarget) {
    const auto filled =
        static_cast<uint32_t>(std::count_if(weights, weights + columns_, [](double weight) { return weight > 0.0; }));
    const uint32_t rank = (filled * 95u + 99u) / 100u;  // counted from the smallest
    Largest largest(filled - rank + 1);
    for (uint32_t slot = 0; slot < columns_; ++slot)
      if (weights[slot] > 0.0) largest.add(means[slot]);
    samples.set(target, largest.smallest(), at);
  }
}

}  // namespace accelmon::pipeline
