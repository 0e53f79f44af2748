#include "wave.h"

#include <algorithm>
#include <cmath>

namespace accelmon::simulator {

namespace {

constexpr double kTwoPi = 6.283185307179586;

// u modulo period, in [0, period), for any u.
double wrap(double u, double period) {
  const double rest = u - std::floor(u / period) * period;
  return rest < 0 || rest >= period ? 0 : rest;
}

// Integral of a square or a sawtooth from its own origin to u.
double square_integral(const Term& term, double u) {
  const double on = term.duty * term.period;
  const double whole = std::floor(u / term.period);
  return term.low * u + (term.high - term.low) * (whole * on + std::min(wrap(u, term.period), on));
}

double sawtooth_integral(const Term& term, double u) {
  const double whole = std::floor(u / term.period);
  const double rest = wrap(u, term.period);
  const double slope = (term.high - term.low) / term.period;
  return whole * term.period * (term.low + term.high) / 2 + term.low * rest + slope * rest * rest / 2;
}

// Step k and step k + 1 of a pair lie as far above the middle as below it.
double pair_height(const Term& term, double pair) {
  const auto key = static_cast<uint64_t>(static_cast<int64_t>(pair));
  return (2 * mix_unit(term.seed * 0x9e3779b97f4a7c15u + key) - 1) * (term.high - term.low) / 2;
}

double noise_integral(const Term& term, double u) {
  const double pair = std::floor(u / (2 * term.period));
  const double rest = wrap(u, 2 * term.period);
  const double area = rest < term.period ? rest : 2 * term.period - rest;
  return (term.low + term.high) / 2 * u + pair_height(term, pair) * area;
}

double ramp_value(const Term& term, double t) {
  if (t <= term.start) return term.low;
  if (t >= term.end) return term.high;
  return term.low + (term.high - term.low) * (t - term.start) / (term.end - term.start);
}

}  // namespace

uint64_t mix(uint64_t key) {
  key += 0x9e3779b97f4a7c15u;
  key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
  key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
  return key ^ (key >> 31);
}

double mix_unit(uint64_t key) {
  return static_cast<double>(mix(key) >> 11) * 0x1p-53;
}

double Term::value(double t) const {
  const double u = t + phase;
  switch (kind) {
    case Kind::constant:
      return low;
    case Kind::sine:
      return (low + high) / 2 + (high - low) / 2 * std::sin(kTwoPi * wrap(u, period) / period);
    case Kind::square:
      return wrap(u, period) < duty * period ? high : low;
    case Kind::sawtooth:
      return low + (high - low) * wrap(u, period) / period;
    case Kind::ramp:
      return ramp_value(*this, t);
    case Kind::steps: {
      double value = points.empty() ? 0 : points.front().second;
      for (const auto& [at, next] : points) {
        if (at > t) break;
        value = next;
      }
      return value;
    }
    case Kind::noise: {
      const double pair = std::floor(u / (2 * period));
      const double height = pair_height(*this, pair);
      return (low + high) / 2 + (wrap(u, 2 * period) < period ? height : -height);
    }
  }
  return 0;
}

double Term::integral(double t) const {
  if (!(t > 0)) return 0;
  switch (kind) {
    case Kind::constant:
      return low * t;
    case Kind::sine: {
      const double w = kTwoPi / period;
      return (low + high) / 2 * t +
             (high - low) / 2 / w * (std::cos(w * wrap(phase, period)) - std::cos(w * wrap(t + phase, period)));
    }
    case Kind::square:
      return square_integral(*this, t + phase) - square_integral(*this, phase);
    case Kind::sawtooth:
      return sawtooth_integral(*this, t + phase) - sawtooth_integral(*this, phase);
    case Kind::ramp: {
      // Before the line, along it (a trapezium), after it.
      const auto until = [&](double x) {
        if (x <= start) return low * x;
        const double along = std::min(x, end) - start;
        double area = low * start + along * (low + ramp_value(*this, std::min(x, end))) / 2;
        if (x > end) area += high * (x - end);
        return area;
      };
      return until(t) - until(0);
    }
    case Kind::steps: {
      double area = 0;
      double from = 0;
      double current = points.empty() ? 0 : points.front().second;
      for (const auto& [at, next] : points) {
        if (at >= t) break;
        if (at > from) {
          area += current * (at - from);
          from = at;
        }
        current = next;
      }
      return area + current * (t - from);
    }
    case Kind::noise:
      return noise_integral(*this, t + phase) - noise_integral(*this, phase);
  }
  return 0;
}

double Term::lagged(double t, double tau) const {
  if (!(tau > 0)) return value(t);
  switch (kind) {
    case Kind::constant:
      return low;
    case Kind::sine: {
      const double wt = kTwoPi / period * tau;
      const double angle = kTwoPi * wrap(t + phase, period) / period - std::atan(wt);
      return (low + high) / 2 + (high - low) / 2 / std::sqrt(1 + wt * wt) * std::sin(angle);
    }
    case Kind::square: {
      if (duty <= 0) return low;
      if (duty >= 1) return high;
      const double on = duty * period;
      const double rise = std::exp(-on / tau);
      const double fall = std::exp(-(period - on) / tau);
      const double step = high - low;
      const double below = -step * (1 - fall) / (1 - rise * fall);  // distance from high when it rises
      const double s = wrap(t + phase, period);
      if (s < on) return high + below * std::exp(-s / tau);
      return low + (step + below * rise) * std::exp(-(s - on) / tau);
    }
    case Kind::sawtooth: {
      const double slope = (high - low) / period;
      const double s = wrap(t + phase, period);
      return low + slope * (s - tau) + (high - low) / (1 - std::exp(-period / tau)) * std::exp(-s / tau);
    }
    case Kind::ramp: {
      if (t <= start) return low;
      const double slope = (high - low) / (end - start);
      const double along = std::min(t, end) - start;
      const double at = low + slope * (along - tau * (1 - std::exp(-along / tau)));
      return t <= end ? at : high + (at - high) * std::exp(-(t - end) / tau);
    }
    case Kind::steps: {
      double value = points.empty() ? 0 : points.front().second;
      double before = value;
      for (const auto& [at, next] : points) {
        if (at > t) break;
        value += (next - before) * (1 - std::exp(-(t - at) / tau));
        before = next;
      }
      return value;
    }
    case Kind::noise:
      return (low + high) / 2;  // a lag much longer than its steps leaves the mean
  }
  return 0;
}

std::pair<double, double> Term::bounds() const {
  switch (kind) {
    case Kind::constant:
      return {low, low};
    case Kind::steps: {
      if (points.empty()) return {0, 0};
      std::pair<double, double> all{points.front().second, points.front().second};
      for (const auto& [at, value] : points) {
        all = {std::min(all.first, value), std::max(all.second, value)};
      }
      return all;
    }
    default:
      return {std::min(low, high), std::max(low, high)};
  }
}

Wave::Wave(double constant) {
  add(constant);
}

void Wave::add(double constant) {
  Term term;
  term.low = term.high = constant;
  terms_.push_back(std::move(term));
}

void Wave::add(const Wave& other, double scale) {
  const size_t count = other.terms_.size();  // `other` may be this wave
  for (size_t i = 0; i < count; ++i) {
    Term term = other.terms_[i];
    term.low *= scale;
    term.high *= scale;
    for (auto& point : term.points) point.second *= scale;
    terms_.push_back(std::move(term));
  }
}

double Wave::value(double t) const {
  double sum = 0;
  for (const Term& term : terms_) sum += term.value(t);
  return sum;
}

double Wave::integral(double t) const {
  double sum = 0;
  for (const Term& term : terms_) sum += term.integral(t);
  return sum;
}

double Wave::lagged(double t, double tau) const {
  double sum = 0;
  for (const Term& term : terms_) sum += term.lagged(t, tau);
  return sum;
}

double Wave::mean(double from, double to) const {
  from = std::max(from, 0.0);
  return to > from ? (integral(to) - integral(from)) / (to - from) : value(to);
}

std::pair<double, double> Wave::bounds() const {
  std::pair<double, double> sum{0, 0};
  for (const Term& term : terms_) {
    const auto [low, high] = term.bounds();
    sum = {sum.first + low, sum.second + high};
  }
  return sum;
}

void Wave::shift(double seconds, uint64_t seed) {
  for (Term& term : terms_) {
    term.phase += seconds;
    if (term.kind == Term::Kind::noise) term.seed = mix(term.seed ^ mix(seed));
  }
}

bool Wave::is_switch() const {
  if (terms_.size() != 1) return terms_.empty();
  const Term& term = terms_.front();
  const auto binary = [](double value) { return value == 0 || value == 1; };
  switch (term.kind) {
    case Term::Kind::constant:
      return binary(term.low);
    case Term::Kind::square:
      return binary(term.low) && binary(term.high);
    case Term::Kind::steps:
      return std::all_of(term.points.begin(), term.points.end(),
                         [&](const auto& point) { return binary(point.second); });
    default:
      return false;
  }
}

}  // namespace accelmon::simulator
