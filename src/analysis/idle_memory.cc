#include <algorithm>

#include "analysis/question.h"
#include "base/text.h"

namespace accelmon::analysis {
namespace {

// Below this a context without work is all that is held.
constexpr double kHeldBytes = 1 << 30;

}  // namespace

void ask_idle_memory(const Facts& facts, Findings& out) {
  if (facts.watched < facts.window) return;
  for (const DeviceReadings& device : facts.readings.devices()) {
    const auto most = device.value(MetricId::gpu_utilization_window,
                                   {{AttributeId::gpu_task, "general"}, {AttributeId::stat, "max"}});
    if (!most || *most != 0) continue;
    double held = 0;
    size_t holders = 0;
    const Reading* largest = nullptr;
    for (const Reading& one : device.readings) {
      if (one.series->metric != MetricId::process_memory) continue;
      held += one.value;
      ++holders;
      if (largest == nullptr || one.value > largest->value) largest = &one;
    }
    if (largest == nullptr || held < kHeldBytes) continue;
    std::string who = "pid " + std::string(largest->attribute(AttributeId::process_pid));
    if (const auto name = largest->attribute(AttributeId::process_name); !name.empty())
      who += " (" + std::string(name) + ")";
    Finding finding = about(device, "idle_memory", Severity::info,
                            "idle, yet " + format_size(held) + " held by " + who +
                                (holders > 1 ? " and " + std::to_string(holders - 1) + " more" : ""),
                            "end the process if it is not a server that waits for requests");
    finding.evidence = {number_of("accelmon.process.gpu.memory.usage", held, "By"),
                        number_of("accelmon.gpu.processes", static_cast<double>(holders), "{process}")};
    out.push_back(std::move(finding));
  }
}

}  // namespace accelmon::analysis
