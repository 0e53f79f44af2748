#include "analysis/question.h"

namespace accelmon::analysis {

// hw.status is debounced where it is made. The clocks that power supply or an emergency hold down degrade a device too;
// that is the throttling question's, so a device without another reason is left to it.
void ask_degraded(const Facts& facts, Findings& out) {
  for (const DeviceReadings& device : facts.readings.devices()) {
    if (!device.parent.empty() || device.value(MetricId::device_unread)) continue;
    const bool failing = device.is(MetricId::hw_status, AttributeId::hw_state, "predicted_failure");
    if (!failing && !device.is(MetricId::hw_status, AttributeId::hw_state, "degraded")) continue;
    std::string why;
    std::string advice;
    std::vector<Evidence> evidence{text_of("hw.status", failing ? "predicted_failure" : "degraded")};
    if (device.is(MetricId::memory_rows, AttributeId::row_state, "pending")) {
      why = "bad memory waits for a reset of the GPU to be replaced";
      advice = "drain the GPU and reset it";
      evidence.push_back(text_of("accelmon.gpu.memory.rows", "pending"));
    } else if (device.is(MetricId::memory_pages, AttributeId::row_state, "pending")) {
      why = "bad pages wait for a reset of the GPU to be taken out of use";
      advice = "drain the GPU and reset it";
      evidence.push_back(text_of("accelmon.gpu.memory.pages", "pending"));
    }
    for (const char* action : {"node_reboot", "gpu_reset", "drain_p2p", "drain_and_reset"}) {
      if (!device.is(MetricId::recovery_action, AttributeId::row_state, action)) continue;
      if (why.empty()) why = "its driver asks for a recovery";
      advice = recovery_word(action);
      evidence.push_back(text_of("accelmon.gpu.recovery.action", action));
    }
    for (const char* state : {"retired_corrected", "retired_uncorrected"})
      if (const auto pages = device.value(MetricId::memory_pages, {{AttributeId::row_state, state}});
          pages && *pages > 0)
        evidence.push_back(number_of(std::string("accelmon.gpu.memory.pages.") + state, *pages, "{page}"));
    for (const char* state : {"remapped_corrected", "remapped_uncorrected"})
      if (const auto rows = device.value(MetricId::memory_rows, {{AttributeId::row_state, state}}); rows && *rows > 0)
        evidence.push_back(number_of(std::string("accelmon.gpu.memory.rows.") + state, *rows, "{row}"));
    if (failing) {
      if (why.empty()) why = "spare memory is used up, so that the next error cannot be repaired";
      advice = advice.empty() ? "replace the GPU" : advice + "; replace the GPU";
    } else if (why.empty()) {
      bool held_down = false;
      for (const char* reason : {"hardware_slowdown", "power_brake", "thermal_hardware"})
        held_down = held_down || device.is(MetricId::throttle_active, AttributeId::reason, reason);
      if (held_down) continue;
      why = "its driver says so and gives no reason";
      advice = "see the kernel's log of the driver: dmesg";
    }
    Finding finding = about(device, failing ? "device_predicted_failure" : "device_degraded", Severity::warning,
                            (failing ? "about to fail: " : "degraded: ") + why, std::move(advice));
    finding.evidence = std::move(evidence);
    out.push_back(std::move(finding));
  }
}

}  // namespace accelmon::analysis
