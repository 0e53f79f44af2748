#include <algorithm>
#include <vector>

#include "analysis/question.h"

namespace accelmon::analysis {
namespace {

// As long as the status table shows an event as a device's state. What lasts longer shows in hw.status.
constexpr Nanos kRecent = 3600 * kSecond;

}  // namespace

void ask_critical_events(const Facts& facts, Findings& out) {
  std::vector<std::pair<std::string_view, std::string_view>> told;
  for (auto event = facts.events.rbegin(); event != facts.events.rend(); ++event) {
    if (event->severity != Severity::critical || event->wall > facts.wall || facts.wall - event->wall > kRecent)
      continue;
    const auto& devices = facts.readings.devices();
    const auto device = std::find_if(devices.begin(), devices.end(),
                                     [&](const DeviceReadings& one) { return one.device->id == event->device_id; });
    // That it failed is told by a question of its own, with its event.
    if (device != devices.end() && device->is(MetricId::hw_status, AttributeId::hw_state, "failed")) continue;
    const std::pair<std::string_view, std::string_view> key{event->device_id, event->code};
    if (std::find(told.begin(), told.end(), key) != told.end()) continue;
    told.push_back(key);
    // Its first time in the hour is when it began.
    Nanos first = event->wall;
    double times = 0;
    for (const Event& other : facts.events)
      if (other.device_id == event->device_id && other.code == event->code && facts.wall - other.wall <= kRecent) {
        first = std::min(first, other.wall);
        ++times;
      }
    Finding finding;
    finding.code = "critical_event";
    finding.severity = Severity::critical;
    finding.device_id = event->device_id;
    finding.subject = device != devices.end() ? device->name() : event->device_id;
    const Told told_event = told_of(*event, device != devices.end() ? &*device : nullptr);
    finding.title = told_event.what;
    finding.advice = told_event.advice;
    finding.since = first;
    finding.evidence = {text_of("event", event->code), number_of("events", times, "{event}")};
    out.push_back(std::move(finding));
  }
}

}  // namespace accelmon::analysis
