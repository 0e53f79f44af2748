// What must hold for every series of polls, tried on random ones.
#ifdef ACCELMON_HAVE_RAPIDCHECK

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "pipeline/pipeline_test_support.h"

namespace accelmon::pipeline_test {
namespace {

struct Sample {
  Nanos elapsed;  // since the one before
  std::optional<double> value;
};
[[maybe_unused]] void showValue(const Sample& sample, std::ostream& out) {
  out << "+" << sample.elapsed << "ns ";
  if (sample.value)
    out << *sample.value;
  else
    out << "absent";
}

// Polls 1 ms to `longest` apart; a value of `0..maximum` in thousandths, absent once in `absent` times (0: never).
rc::Gen<std::vector<Sample>> samples(Nanos longest, double maximum, int absent) {
  return rc::gen::container<std::vector<Sample>>(rc::gen::map(
      rc::gen::tuple(rc::gen::inRange<Nanos>(kMillisecond, longest), rc::gen::inRange(0, 1001),
                     rc::gen::inRange(0, 100)),
      [=](const std::tuple<Nanos, int, int>& of) {
        const bool there = absent == 0 || std::get<2>(of) % absent != 0;
        return Sample{std::get<0>(of), there ? std::optional(std::get<1>(of) * maximum / 1000) : std::nullopt};
      }));
}

void poll(Rig& rig, const Sample& sample) {
  if (sample.value)
    rig.in.set(0, *sample.value);
  else
    rig.in.absent(0, State::error);
  rig.poll_after(sample.elapsed);
}

bool near(double a, double b, double tolerance) {
  return std::abs(a - b) <= tolerance * (1 + std::abs(b));
}

RC_GTEST_PROP(PipelineProperty, EmaIsTheClosedFormAndStaysWithinWhatItSaw, ()) {
  const auto polls = *rc::gen::nonEmpty(samples(20 * kSecond, 1, 5));
  Rig rig;
  rig.add(MetricId::gpu_memory_utilization);
  rig.start();
  const int ema = rig.find(MetricId::memory_utilization_ema, {{AttributeId::window, "10s"}});
  std::vector<std::pair<double, double>> seen;  // time, value
  double time = 0;
  for (const Sample& sample : polls) {
    poll(rig, sample);
    time += to_seconds(sample.elapsed);
    if (!sample.value) continue;
    seen.emplace_back(time, *sample.value);
    // Each sample weighs what the exponential gives the time between it and the one before; the first all before it.
    double closed = 0;
    double low = 1;
    double high = 0;
    for (size_t i = 0; i < seen.size(); ++i) {
      const double near_end = std::exp(-(time - seen[i].first) / 10);
      const double far_end = i == 0 ? 0 : std::exp(-(time - seen[i - 1].first) / 10);
      closed += seen[i].second * (near_end - far_end);
      low = std::min(low, seen[i].second);
      high = std::max(high, seen[i].second);
    }
    RC_ASSERT(near(rig.value(ema), closed, 1e-12));
    RC_ASSERT(rig.value(ema) >= low);
    RC_ASSERT(rig.value(ema) <= high);
  }
}

RC_GTEST_PROP(PipelineProperty, TheIntegralOfAConstantIsValueTimesTime, ()) {
  const auto polls = *rc::gen::nonEmpty(samples(3 * kSecond, 1, 0));
  const double watts = *rc::gen::inRange(0, 5001);
  for (const char* reading : {"instant", "average"}) {
    Rig rig;
    rig.add(MetricId::power, board(reading));
    rig.start();
    double time = 0;
    bool first = true;
    for (const Sample& sample : polls) {
      poll(rig, {sample.elapsed, watts});
      if (!first) time += to_seconds(sample.elapsed);
      first = false;
      RC_ASSERT(near(rig.value(MetricId::energy), watts * time, 1e-12));
    }
  }
}

RC_GTEST_PROP(PipelineProperty, APollMoreOrLessChangesNothingForWhatIsLinear, ()) {
  const auto polls = *rc::gen::nonEmpty(samples(kSecond, 1, 0));
  const auto skipped = *rc::gen::container<std::vector<bool>>(polls.size(), rc::gen::arbitrary<bool>());
  const double slope = *rc::gen::inRange(0, 50);
  const auto make = [](Rig& rig) {
    rig.add(MetricId::power, board("instant"));
    rig.add(MetricId::gpu_io, {{AttributeId::io_direction, "receive"}});
    rig.start();
    rig.in.set(0, 0);
    rig.in.set(1, 0);
    rig.poll(1);
  };
  Rig every, some;
  make(every);
  make(some);
  Nanos time = 0;
  Nanos since = 0;
  for (size_t i = 0; i < polls.size(); ++i) {
    const bool skip = skipped[i] && since + polls[i].elapsed < 2 * kSecond && i + 1 < polls.size();
    time += polls[i].elapsed;
    since += polls[i].elapsed;
    const double at = slope * to_seconds(time);
    if (at > 5000) break;
    for (Rig* rig : {&every, &some}) {
      if (rig == &some && skip) continue;
      rig->in.set(0, at);
      rig->in.set(1, at * 1000);
      rig->poll_after(rig == &some ? since : polls[i].elapsed);
    }
    if (skip) continue;
    since = 0;
    RC_ASSERT(near(some.value(MetricId::energy), every.value(MetricId::energy), 1e-9));
    RC_ASSERT(near(some.value(MetricId::gpu_io_rate), slope * 1000, 1e-6));
    RC_ASSERT(near(every.value(MetricId::gpu_io_rate), slope * 1000, 1e-6));
  }
}

// The window by its definition, from every sample ever seen.
struct NaiveWindow {
  struct Seen {
    Nanos at;
    Nanos stands_for;
    double value;
  };
  std::vector<Seen> seen;

  void add(Nanos at, double value, Nanos interval) {
    const Nanos elapsed = seen.empty() ? 0 : at - seen.back().at;
    seen.push_back({at, seen.empty() || elapsed > 3 * interval ? interval : elapsed, value});
  }
  struct Result {
    std::vector<double> values;  // ascending
    double mean = 0;
    double p95() const {
      return values[static_cast<size_t>(std::ceil(0.95 * static_cast<double>(values.size()) - 1e-9)) - 1];
    }
  };
  Result over(Nanos span, Nanos now) const {
    Result result;
    double weight = 0;
    double sum = 0;
    for (const Seen& one : seen) {
      if (one.at <= now - span) continue;
      const double seconds = to_seconds(std::min(one.stands_for, one.at - (now - span)));
      weight += seconds;
      sum += seconds * one.value;
      result.values.push_back(one.value);
    }
    std::sort(result.values.begin(), result.values.end());
    if (weight > 0) result.mean = sum / weight;
    return result;
  }
};

RC_GTEST_PROP(PipelineProperty, WindowsAreWhatANaiveRecomputationGives, ()) {
  // At least half a second apart: every sample has its own slot, and the window is evaluated each time.
  auto polls = *rc::gen::resize(400, rc::gen::nonEmpty(samples(1500 * kMillisecond, 5000, 7)));
  Rig rig;
  rig.add(MetricId::power, board("instant"));
  rig.start();
  NaiveWindow naive;
  for (Sample& sample : polls) {
    sample.elapsed = std::max(sample.elapsed, 850 * kMillisecond);
    poll(rig, sample);
    const Nanos now = rig.in.monotonic;
    if (sample.value) naive.add(now, *sample.value, kSecond);
    const NaiveWindow::Result wanted = naive.over(60 * kSecond, now);
    const auto stat = [&](const char* which) { return rig.find(MetricId::power_window, {{AttributeId::stat, which}}); };
    if (wanted.values.empty()) {
      RC_ASSERT(rig.state(stat("mean")) == State::not_ready);
      continue;
    }
    RC_ASSERT(rig.value(stat("min")) == wanted.values.front());
    RC_ASSERT(rig.value(stat("max")) == wanted.values.back());
    RC_ASSERT(rig.value(stat("p95")) == wanted.p95());
    RC_ASSERT(near(rig.value(stat("mean")), wanted.mean, 1e-12));
  }
}

RC_GTEST_PROP(PipelineProperty, GatheredSlotsKeepExtremesAndMean, ()) {
  // Ten times a second, for less than the window: nothing has left it, so gathering must lose nothing.
  const auto values = *rc::gen::resize(500, rc::gen::nonEmpty(samples(kSecond, 5000, 7)));
  Rig rig(PipelineOptions{.interval = 100 * kMillisecond});
  rig.add(MetricId::power, board("instant"));
  rig.start();
  NaiveWindow naive;
  for (size_t i = 0; i < values.size() && i < 590; ++i) {
    poll(rig, {100 * kMillisecond, values[i].value});
    if (values[i].value) naive.add(rig.in.monotonic, *values[i].value, 100 * kMillisecond);
    if (i % 10 != 0) continue;  // evaluated now
    const NaiveWindow::Result wanted = naive.over(60 * kSecond, rig.in.monotonic);
    if (wanted.values.empty()) continue;
    const auto stat = [&](const char* which) {
      return rig.value(MetricId::power_window, {{AttributeId::stat, which}});
    };
    RC_ASSERT(stat("min") == wanted.values.front());
    RC_ASSERT(stat("max") == wanted.values.back());
    RC_ASSERT(near(stat("mean"), wanted.mean, 1e-9));
    RC_ASSERT(stat("p95") >= wanted.values.front());
    RC_ASSERT(stat("p95") <= wanted.values.back());
  }
}

RC_GTEST_PROP(PipelineProperty, AGlitchOfOneSampleNeverLeaves, ()) {
  const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(-50, 51));
  const auto glitches = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 4));
  Rig rig;
  rig.add(MetricId::temperature, {});
  rig.add(MetricId::energy);
  rig.start();
  double celsius = 50;
  double joules = 1e6;
  bool clean = true;  // the sample before was true: two wrong ones in a row may be believed
  for (size_t i = 0; i < steps.size(); ++i) {
    const double before = celsius;
    celsius = std::clamp(celsius + steps[i], -40.0, 150.0);
    joules += std::abs(steps[i]) * 10;
    const int kind = i > 0 && clean && i < glitches.size() ? glitches[i] : 0;
    // Not so far that it is impossible, but too far for a second.
    const double hot = before > 55 ? before - 62 - (before - 55) * 0.3 : before + 62 + (55 - before) * 0.3;
    rig.in.set(0, kind == 1 ? hot : kind == 2 ? 1e9 : celsius);
    rig.in.set(1, kind == 1 ? joules - 1e5 : kind == 3 ? joules + 1e9 : joules);
    rig.poll(1);
    clean = kind == 0;
    if (rig.out.states[0] == State::ok) RC_ASSERT(rig.out.values[0] == celsius);
    if (rig.out.states[1] == State::ok) RC_ASSERT(rig.out.values[1] == joules);
    if (kind == 0) RC_ASSERT(rig.out.states[1] == State::ok);
  }
}

RC_GTEST_PROP(PipelineProperty, AResetPassesOnePollLater, ()) {
  const auto growths = *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 9000)));
  const auto resets = *rc::gen::container<std::vector<bool>>(growths.size(), rc::gen::arbitrary<bool>());
  Rig rig;
  rig.add(MetricId::energy);
  rig.start();
  double joules = 1e6;
  rig.feed(joules);
  bool held = false;
  for (size_t i = 0; i < growths.size(); ++i) {
    const bool reset = resets[i] && !held && joules > 20000;
    if (reset) joules = 0;
    joules += growths[i];
    rig.feed(joules);
    RC_ASSERT((rig.out.states[0] == State::implausible) == reset);
    if (!reset) RC_ASSERT(rig.out.values[0] == joules);
    held = reset;
  }
}

RC_GTEST_PROP(PipelineProperty, NoDerivedCounterEverGoesDownWhateverHappens, ()) {
  struct Act {
    int kind;
    int value;
    Nanos elapsed;
  };
  const auto acts = *rc::gen::resize(200, rc::gen::container<std::vector<Act>>(rc::gen::map(
                                              rc::gen::tuple(rc::gen::inRange(0, 24), rc::gen::inRange(-100, 1100),
                                                             rc::gen::inRange<Nanos>(0, 5 * kSecond)),
                                              [](const std::tuple<int, int, Nanos>& of) {
                                                return Act{std::get<0>(of), std::get<1>(of), std::get<2>(of)};
                                              })));
  Rig rig;
  rig.add(MetricId::gpu_utilization, general());
  rig.add(MetricId::throttle_active, reason("power_cap"));
  rig.add(MetricId::power, board("instant"));
  rig.add(MetricId::power, {{AttributeId::power_scope, "module"}, {AttributeId::power_reading, "average"}});
  const Catalog whole = rig.raw;
  rig.start();
  std::map<std::string, double> totals;
  for (const Act& act : acts) {
    if (act.kind == 0) {
      rig.raw = whole;
      rig.raw.series.erase(rig.raw.series.begin() + act.elapsed % 4);
      rig.start();
    } else if (act.kind == 1) {
      rig.raw = whole;
      rig.start();
    } else if (act.kind == 2) {
      rig.raw = Catalog{};
      rig.start();
    }
    for (size_t i = 0; i < rig.raw.series.size(); ++i) {
      const double unit = rig.raw.series[i].metric == MetricId::power ? 5 : 0.001;
      const bool state = rig.raw.series[i].metric == MetricId::throttle_active;
      if (act.kind == 3)
        rig.in.set(i, std::numeric_limits<double>::quiet_NaN());
      else if (act.kind == 4)
        rig.in.absent(i, State::error);
      else
        rig.in.set(i, state ? act.value % 2 : act.value * unit);
    }
    rig.poll_after(act.kind == 5 ? -act.elapsed * 100 : act.kind == 6 ? 0 : act.elapsed, act.kind == 7 ? kSlow : kAll);
    for (size_t i = rig.raw.series.size(); i < rig.catalog->series.size(); ++i) {
      const Series& series = rig.catalog->series[i];
      if (rig.out.states[i] == State::ok) RC_ASSERT(std::isfinite(rig.out.values[i]));
      if (info(series.metric).kind != Kind::counter || rig.out.states[i] != State::ok) continue;
      double& total = totals[series_key(*rig.catalog, series)];
      RC_ASSERT(rig.out.values[i] >= total);
      total = rig.out.values[i];
    }
  }
}

RC_GTEST_PROP(PipelineProperty, TheWallClockChangesNothing, ()) {
  const auto polls = *rc::gen::nonEmpty(samples(2 * kSecond, 5000, 6));
  const auto jumps = *rc::gen::container<std::vector<int>>(polls.size(), rc::gen::inRange(-100'000, 100'000));
  Rig steady, jumping;
  for (Rig* rig : {&steady, &jumping}) {
    rig->add(MetricId::power, board("instant"));
    rig->start();
  }
  for (size_t i = 0; i < polls.size(); ++i) {
    jumping.in.wall += jumps[i] * kSecond;
    poll(steady, polls[i]);
    poll(jumping, polls[i]);
    RC_ASSERT(steady.out.values == jumping.out.values);
    RC_ASSERT(steady.out.states == jumping.out.states);
  }
}

}  // namespace
}  // namespace accelmon::pipeline_test

#endif  // ACCELMON_HAVE_RAPIDCHECK
