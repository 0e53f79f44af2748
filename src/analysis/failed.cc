#include "analysis/question.h"

namespace accelmon::analysis {

void ask_failed(const Facts& facts, Findings& out) {
  for (const DeviceReadings& device : facts.readings.devices()) {
    if (!device.is(MetricId::hw_status, AttributeId::hw_state, "failed")) continue;
    // What the bus alone shows is another question; so is a part, which fails with the whole.
    if (!device.parent.empty() || device.value(MetricId::device_unread)) continue;
    const bool lost = !device.anything_read();
    std::string title = lost ? "lost" : "failed";
    std::string advice;
    const Event* event = critical_event_of(facts, device);
    if (event != nullptr) {
      const Told told = told_of(*event, &device);
      title += ": " + told.what;
      advice = told.advice;
    } else if (device.is(MetricId::memory_rows, AttributeId::row_state, "failed")) {
      title += ": bad memory could not be replaced";
      advice = "reset the GPU; replace it if this stays";
    }
    if (advice.empty())
      for (const char* action : {"node_reboot", "gpu_reset", "drain_p2p", "drain_and_reset"})
        if (device.is(MetricId::recovery_action, AttributeId::row_state, action)) advice = recovery_word(action);
    if (advice.empty()) advice = "drain the node; accelmon doctor says what is still read of the device";
    Finding finding = about(device, "device_failed", Severity::critical, std::move(title), std::move(advice));
    finding.evidence.push_back(text_of("hw.status", "failed"));
    if (event != nullptr) {
      finding.evidence.push_back(text_of("event", event->code));
      finding.since = event->wall;
    }
    out.push_back(std::move(finding));
  }
}

}  // namespace accelmon::analysis
