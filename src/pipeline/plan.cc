#include "pipeline/plan.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/text.h"

namespace accelmon::pipeline {
namespace {

std::string_view value_of(const Series& series, AttributeId id) {
  for (const Attribute& attribute : series.attributes)
    if (attribute.id == id) return attribute.value;
  return {};
}

// The keys of a metric's row that are also attributes of `source`, with the source's values, in the row's order.
// `window` and `stat` come from the caller.
std::vector<Attribute> inherited(const MetricInfo& target, const Series& source, const std::string& window,
                                 std::string_view stat) {
  std::vector<Attribute> out;
  std::string_view rest = target.attributes;
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const std::optional<AttributeId> id = find_attribute(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    if (!id) continue;
    if (*id == AttributeId::window) {
      out.push_back({*id, window});
    } else if (*id == AttributeId::stat) {
      out.push_back({*id, std::string(stat)});
    } else {
      for (const Attribute& attribute : source.attributes)
        if (attribute.id == *id) out.push_back(attribute);
    }
  }
  return out;
}

// Of several series of a device that could feed one integral, the one with the lowest number; nothing: unfit.
// Utilization is busy time only for the device as a whole. Energy is that of the whole board where it is measured, else
// of the module; of two readings the instant one, since the average lags a second behind.
std::optional<int> integral_rank(const Series& series) {
  if (series.metric == MetricId::gpu_utilization)
    return value_of(series, AttributeId::gpu_task) == "general" ? std::optional(0) : std::nullopt;
  if (series.metric == MetricId::power) {
    const std::string_view scope = value_of(series, AttributeId::power_scope);
    if (scope != "gpu" && scope != "module" && !scope.empty()) return std::nullopt;
    return (scope == "module" ? 2 : 0) + (value_of(series, AttributeId::power_reading) == "average" ? 1 : 0);
  }
  return 0;
}

Hold hold_of(const Series& series) {
  if (info(series.metric).kind == Kind::state) return Hold::state;
  if (info(series.metric).unit == Unit::watts && value_of(series, AttributeId::power_reading) != "average")
    return Hold::instant;
  return Hold::of_period;
}

// What multiplies the series and says little is not smoothed: power of parts of the board, the driver's own average
// where there is an instant reading too, codecs' utilization, the shares of reasons that are no throttling, and the
// temperatures of what is no accelerator (a server has a hundred).
bool smoothed(const Series& series, const Catalog& catalog) {
  switch (series.metric) {
    case MetricId::power: {
      if (value_of(series, AttributeId::power_scope) != "gpu") return false;
      if (value_of(series, AttributeId::power_reading) != "average") return true;
      return find_series(catalog, MetricId::power, series.device,
                         {{AttributeId::power_scope, "gpu"}, {AttributeId::power_reading, "instant"}}) < 0;
    }
    case MetricId::temperature:
      if (series.device < 0) return false;
      switch (catalog.devices[static_cast<size_t>(series.device)].type) {
        case DeviceType::gpu:
        case DeviceType::gpu_partition:
          return true;
        default:
          return false;
      }
    case MetricId::gpu_utilization:
      return value_of(series, AttributeId::gpu_task) == "general";
    case MetricId::throttle_share: {
      const std::string_view reason = value_of(series, AttributeId::reason);
      return reason != "idle" && reason != "application_clocks" && reason != "sync_boost" && reason != "display";
    }
    default:
      return true;
  }
}

class Planner {
 public:
  Planner(const Catalog& raw, const PipelineOptions& options)
      : options_(options),
        catalog_(std::make_shared<Catalog>(raw)),
        raw_series_(raw.series.size()),
        known_(raw_series_ * 2) {
    plan_.keys.reserve(raw_series_ * 2);
    for (const Series& series : raw.series) {
      plan_.keys.push_back(fingerprint(raw, series));
      known_.add(plan_.keys.back(), 0);
    }
  }

  Plan make() {
    // In the order in which they feed each other: throttle_active -> throttle_time -> throttle_share -> its window.
    for (const Derivation& derivation : integral_derivations()) integrals(derivation);
    for (const Derivation& derivation : rate_derivations()) rates(derivation);
    for (const Derivation& derivation : ema_derivations()) emas(derivation);
    for (const Derivation& derivation : window_derivations()) windows(derivation);
    healths();
    if (left_out_ > 0)
      catalog_->facts.emplace_back("series not derived, the catalog is full", std::to_string(left_out_));
    catalog_->series.shrink_to_fit();
    plan_.catalog = std::move(catalog_);
    return std::move(plan_);
  }

 private:
  // The index of a new series, or nothing where it exists or there is no room.
  std::optional<uint32_t> add(MetricId metric, const Series& source, std::vector<Attribute> attributes) {
    Series series{metric, source.device, source.tier, std::move(attributes)};
    const Fingerprint key = fingerprint(*catalog_, series);
    if (known_.contains(key)) return std::nullopt;
    if (catalog_->series.size() >= kMaxSeries) {
      ++left_out_;
      return std::nullopt;
    }
    known_.add(key, 0);
    plan_.keys.push_back(key);
    catalog_->series.push_back(std::move(series));
    return static_cast<uint32_t>(catalog_->series.size() - 1);
  }

  // add() may move the series; a copy of the source stays valid.
  Series source(size_t i) const { return catalog_->series[i]; }

  template <class Visit>
  void each(MetricId metric, Visit visit) {
    const size_t series = catalog_->series.size();
    for (uint32_t i = 0; i < series; ++i)
      if (catalog_->series[i].metric == metric) visit(i, source(i));
  }

  void integrals(const Derivation& derivation) {
    struct Feed {
      std::vector<Attribute> attributes;
      uint32_t source;
      int rank;
    };
    const MetricInfo& into = info(derivation.into);
    const auto key_into = [&](const Series& from, std::vector<Attribute> attributes) {
      return fingerprint(*catalog_, Series{into.id, from.device, from.tier, std::move(attributes)});
    };
    // What the collector gives itself, by the attributes that the row lists (it may have more).
    FingerprintIndex given;
    each(into.id, [&](uint32_t, const Series& own) { given.add(key_into(own, inherited(into, own, "", "")), 0); });

    std::vector<Feed> feeds;
    FingerprintIndex feed_of;
    each(derivation.of, [&](uint32_t i, const Series& from) {
      const std::optional<int> rank = integral_rank(from);
      if (!rank) return;
      std::vector<Attribute> attributes = inherited(into, from, "", "");
      const Fingerprint key = key_into(from, attributes);
      if (given.contains(key)) return;
      if (feed_of.add(key, static_cast<uint32_t>(feeds.size()))) {
        feeds.push_back({std::move(attributes), i, *rank});
      } else if (Feed& feed = feeds[feed_of.find(key)]; *rank < feed.rank) {
        feed.source = i;
        feed.rank = *rank;
      }
    });
    for (Feed& feed : feeds) {
      const Series from = source(feed.source);
      if (const auto target = add(into.id, from, std::move(feed.attributes)))
        plan_.integrals[tier(from)].push_back({.source = feed.source, .target = *target, .hold = hold_of(from)});
    }
  }

  void rates(const Derivation& derivation) {
    const MetricInfo& into = info(derivation.into);
    each(derivation.of, [&](uint32_t i, const Series& from) {
      if (const auto target = add(into.id, from, inherited(into, from, "", "")))
        plan_.rates[tier(from)].push_back({.source = i,
                                           .target = *target,
                                           .derived_source = i >= raw_series_,
                                           .minimum = into.minimum,
                                           .maximum = into.maximum});
    });
  }

  void emas(const Derivation& derivation) {
    const MetricInfo& into = info(derivation.into);
    for (const Nanos tau : options_.ema)
      each(derivation.of, [&](uint32_t i, const Series& from) {
        if (!smoothed(from, *catalog_)) return;
        if (const auto target = add(into.id, from, inherited(into, from, format_duration(tau), "")))
          plan_.emas[tier(from)].push_back({.source = i, .target = *target, .tau = to_seconds(tau)});
      });
  }

  void windows(const Derivation& derivation) {
    if (options_.window <= 0) return;
    const MetricInfo& into = info(derivation.into);
    const std::string window = format_duration(options_.window);
    each(derivation.of, [&](uint32_t i, const Series& from) {
      if (!smoothed(from, *catalog_)) return;
      WindowStep step{.source = i};
      step.lowest = into.minimum;
      step.highest = into.maximum;
      for (size_t bit = 0; bit < kStatistics; ++bit) {
        const auto stat = static_cast<Statistic>(1u << bit);
        if ((derivation.statistics & stat) == 0) continue;
        if (const auto target = add(into.id, from, inherited(into, from, window, to_string(stat))))
          step.targets[bit] = *target;
      }
      if (step.first_target() != kNoTarget) plan_.windows[tier(from)].push_back(step);
    });
  }

  void healths() {
    std::vector<HealthStep> steps(catalog_->devices.size());
    std::vector<bool> told(catalog_->devices.size(), false);
    std::vector<uint32_t> nearest(catalog_->devices.size(), kNoTarget);  // the evidence that is read most often
    for (uint32_t i = 0; i < raw_series_; ++i) {
      const Series& series = catalog_->series[i];
      if (series.device < 0) continue;
      const auto device = static_cast<size_t>(series.device);
      if (series.metric == MetricId::hw_status) told[device] = true;
      const std::optional<Health> means = evidence(series);
      if (!means) continue;
      steps[device].evidence.push_back({i, *means});
      steps[device].tiers |= static_cast<uint8_t>(1u << tier(series));
      if (nearest[device] == kNoTarget || series.tier < catalog_->series[nearest[device]].tier) nearest[device] = i;
    }
    for (size_t device = 0; device < steps.size(); ++device) {
      if (told[device] || steps[device].evidence.empty() || catalog_->series.size() + kHealths > kMaxSeries) continue;
      const Series from = source(nearest[device]);
      for (size_t health = 0; health < kHealths; ++health)
        // The collector gives none, so each is new.
        steps[device].targets[health] = *add(
            MetricId::hw_status, from, {{AttributeId::hw_state, std::string(to_string(static_cast<Health>(health)))}});
      plan_.healths.push_back(std::move(steps[device]));
    }
  }

  static size_t tier(const Series& series) { return static_cast<size_t>(series.tier); }

  const PipelineOptions& options_;
  std::shared_ptr<Catalog> catalog_;
  const size_t raw_series_;
  FingerprintIndex known_;  // all series, to see what is there already
  size_t left_out_ = 0;
  Plan plan_;
};

}  // namespace

Plan make_plan(const Catalog& raw, const PipelineOptions& options) {
  return Planner(raw, options).make();
}

}  // namespace accelmon::pipeline
