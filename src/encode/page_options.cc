#include "encode/page_options.h"

#include <algorithm>

#include "base/text.h"

namespace accelmon {
namespace {

// What a rate is made of: where the counter is not wanted, neither is what was counted. Users choose by names that they
// see on the page, and a local metric is not there.
MetricId chosen_by(MetricId metric) {
  if (is_local(metric))
    for (const Derivation& rate : rate_derivations())
      if (rate.into == metric) return rate.of;
  return metric;
}

}  // namespace

bool PageOptions::takes(MetricId metric) const {
  const std::string_view name = info(chosen_by(metric)).name;
  const auto any = [&](const std::vector<std::string>& patterns) {
    return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& one) { return matches(one, name); });
  };
  return (only.empty() || any(only)) && !any(except);
}

bool PageOptions::drops(AttributeId attribute) const {
  const auto names = [&](const std::string& one) {
    return one == info(attribute).key || one == prometheus_label(attribute);
  };
  return (!keep_labels.empty() && std::none_of(keep_labels.begin(), keep_labels.end(), names)) ||
         std::any_of(drop_labels.begin(), drop_labels.end(), names);
}

bool PageOptions::drops(std::string_view label) const {
  const auto has = [&](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), label) != names.end();
  };
  return (!keep_labels.empty() && !has(keep_labels)) || has(drop_labels);
}

}  // namespace accelmon
