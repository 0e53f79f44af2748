#include "pipeline/health.h"

namespace accelmon::pipeline {
namespace {

std::string_view value_of(const Series& series, AttributeId id) {
  for (const Attribute& attribute : series.attributes)
    if (attribute.id == id) return attribute.value;
  return {};
}

}  // namespace

std::string_view to_string(Health health) {
  switch (health) {
    case Health::ok:
      return "ok";
    case Health::degraded:
      return "degraded";
    case Health::predicted_failure:
      return "predicted_failure";
    case Health::failed:
      return "failed";
  }
  return "";
}

std::optional<Health> evidence(const Series& series) {
  switch (series.metric) {
    case MetricId::recovery_action:
      return value_of(series, AttributeId::row_state) == "none" ? Health::ok : Health::failed;
    case MetricId::memory_rows: {
      const std::string_view state = value_of(series, AttributeId::row_state);
      if (state == "failed") return Health::predicted_failure;
      if (state == "pending") return Health::degraded;
      return std::nullopt;
    }
    case MetricId::memory_pages:
      if (value_of(series, AttributeId::row_state) == "pending") return Health::degraded;
      return std::nullopt;
    case MetricId::throttle_active: {
      const std::string_view reason = value_of(series, AttributeId::reason);
      if (reason == "thermal_hardware" || reason == "hardware_slowdown" || reason == "power_brake")
        return Health::degraded;
      return std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

void Healths::run(uint8_t fresh, Nanos now, Samples& samples) {
  for (const HealthStep& step : steps_) {
    if ((step.tiers & fresh) == 0) continue;
    Health worst = Health::ok;
    bool known = false;
    for (const HealthStep::Evidence& one : step.evidence) {
      if (samples.states[one.series] != State::ok) continue;
      known = true;
      if (samples.values[one.series] > 0.0 && one.means > worst) worst = one.means;
    }
    for (size_t health = 0; health < kHealths; ++health) {
      if (known)
        samples.set(step.targets[health], static_cast<size_t>(worst) == health ? 1.0 : 0.0, now);
      else
        samples.absent(step.targets[health], samples.states[step.evidence.front().series]);
    }
  }
}

}  // namespace accelmon::pipeline
