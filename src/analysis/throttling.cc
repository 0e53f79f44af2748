#include <algorithm>
#include <array>

#include "analysis/question.h"

namespace accelmon::analysis {
namespace {

// A twentieth of the time is where a server loses throughput that its users see: of a GPU that is held at half its
// clock for 5 % of the time 2.5 % is gone. It leaves at half of that.
constexpr double kCome = 0.05;
constexpr double kLeave = 0.025;

struct Kind {
  std::string_view code;
  Severity severity;
  std::string_view advice;
};
enum KindIndex : size_t { kThermal, kBrake, kSlowdown, kCap, kOther, kKinds };

// A power cap is somebody's decision; what heat and power supplies do is nobody's.
constexpr std::array<Kind, kKinds> kTable{{
    {"throttle_thermal", Severity::warning, "check the cooling: airflow, fans, inlet temperature"},
    {"throttle_power_brake", Severity::warning, "the power supply or rack holds the board down: check them"},
    {"throttle_hardware_slowdown", Severity::warning,
     "the board protects itself from heat or a lack of power: check cooling and power cables"},
    {"throttle_power_cap", Severity::info,
     "the power limit holds the clocks down; raise it if the board may draw more"},
    {"throttle_other", Severity::info, "see the throttle reasons of the device in accelmon status --format json"},
}};

size_t kind_of(std::string_view reason) {
  if (reason == "thermal_software" || reason == "thermal_hardware") return kThermal;
  if (reason == "power_brake") return kBrake;
  if (reason == "hardware_slowdown") return kSlowdown;
  return reason == "power_cap" ? kCap : kOther;
}

}  // namespace

void ask_throttling(const Facts& facts, Findings& out) {
  if (facts.watched < facts.window) return;
  for (const DeviceReadings& device : facts.readings.devices()) {
    struct Worst {
      double share = 0;
      std::string_view reason;
    };
    std::array<Worst, kKinds> worst{};
    for (const Reading& one : device.readings) {
      if (one.series->metric != MetricId::throttle_share_window || one.attribute(AttributeId::stat) != "mean") continue;
      const std::string_view reason = one.attribute(AttributeId::reason);
      if (throttle_word(reason).empty()) continue;
      Worst& known = worst[kind_of(reason)];
      if (one.value > known.share) known = {one.value, reason};
    }
    const auto found = [&](size_t kind) {
      const bool before = facts.held(kTable[kind].code, device.device->id);
      return worst[kind].share >= (before ? kLeave : kCome);
    };
    for (size_t kind = 0; kind < kKinds; ++kind) {
      // The slowdown is the brake or the heat seen from the clocks.
      if (!found(kind) || (kind == kSlowdown && (found(kThermal) || found(kBrake)))) continue;
      Finding finding = about(device, std::string(kTable[kind].code), kTable[kind].severity,
                              std::string(throttle_word(worst[kind].reason)) + ", " + percent_of(worst[kind].share) +
                                  " of the last " + span_of(facts.window),
                              std::string(kTable[kind].advice));
      finding.evidence = {number_of("accelmon.gpu.throttle.share.window", worst[kind].share, "1"),
                          text_of("reason", std::string(worst[kind].reason)),
                          number_of("window", to_seconds(facts.window), "s")};
      out.push_back(std::move(finding));
    }
  }
}

}  // namespace accelmon::analysis
