#include <cmath>

#include "analysis/question.h"

namespace accelmon::analysis {
namespace {

// A few degrees above the point where clocks go down; a board under load swings by two or three.
constexpr double kCome = 5;
constexpr double kLeave = 8;

}  // namespace

void ask_temperature(const Facts& facts, Findings& out) {
  if (facts.watched < facts.window) return;
  for (const DeviceReadings& device : facts.readings.devices())
    for (const Reading& margin : device.readings) {
      if (margin.series->metric != MetricId::temperature_margin) continue;
      // Some boards tell 0 or less while they run at full clocks: no distance to a limit.
      if (margin.value <= 0) continue;
      const std::string_view where = margin.attribute(AttributeId::sensor_location);
      const auto now = device.value(MetricId::temperature, {{AttributeId::sensor_location, where}});
      const auto coolest = device.value(MetricId::temperature_window,
                                        {{AttributeId::sensor_location, where}, {AttributeId::stat, "min"}});
      if (!now || !coolest) continue;
      // The margin when the sensor was at its coolest: if that was small, it was small for the whole window.
      const double largest = margin.value + std::max(*now - *coolest, 0.0);
      if (largest >= (facts.held("temperature_margin_low", device.device->id) ? kLeave : kCome)) continue;
      Finding finding =
          about(device, "temperature_margin_low", Severity::warning,
                std::to_string(std::lround(margin.value)) + " C left until it slows down, never more than " +
                    std::to_string(std::lround(largest)) + " in the last " + span_of(facts.window),
                "check the cooling: airflow, fans, inlet temperature");
      finding.evidence = {number_of("accelmon.temperature.margin", margin.value, "Cel"),
                          number_of("largest_margin", largest, "Cel"), number_of("hw.temperature", *now, "Cel")};
      out.push_back(std::move(finding));
      break;
    }
}

}  // namespace accelmon::analysis
