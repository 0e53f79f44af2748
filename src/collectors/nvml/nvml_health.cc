#include "collectors/nvml/nvml_health.h"

#include <algorithm>

namespace accelmon::nvml {
namespace {

constexpr int kStreak = 2;
// A board can retire 64 pages; with 63 gone the next fault cannot be taken out of use.
constexpr double kPagesNearlyUsedUp = 63;

}  // namespace

void Health::set(HealthInput input, double value) {
  values_[static_cast<size_t>(input)] = value;
  const auto follow = [value](int& streak) { streak = value != 0 ? std::min(streak + 1, kStreak) : 0; };
  if (input == HealthInput::hardware_slowdown) follow(slowdown_streak_);
  if (input == HealthInput::power_brake) follow(brake_streak_);
}

HwState Health::condition(bool lost) const {
  if (lost || is(HealthInput::remap_failed)) return HwState::failed;
  const double pages = get(HealthInput::pages_corrected) + get(HealthInput::pages_uncorrected);
  if (is(HealthInput::banks_exhausted) || pages >= kPagesNearlyUsedUp) return HwState::predicted_failure;
  if (is(HealthInput::remap_pending) || is(HealthInput::pages_pending) || is(HealthInput::recovery_action) ||
      slowdown_streak_ >= kStreak || brake_streak_ >= kStreak)
    return HwState::degraded;
  return HwState::ok;
}

}  // namespace accelmon::nvml
