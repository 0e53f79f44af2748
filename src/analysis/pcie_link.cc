#include <cmath>

#include "analysis/question.h"

namespace accelmon::analysis {
namespace {

// An idle device lowers its link to save power. The link is read once a minute or so: only one that was busy for all of
// the window was busy when it was read.
constexpr double kLoad = 0.2;

}  // namespace

void ask_pcie_link(const Facts& facts, Findings& out) {
  if (facts.watched < 2 * facts.window) return;
  for (const DeviceReadings& device : facts.readings.devices()) {
    const auto least = device.value(MetricId::gpu_utilization_window,
                                    {{AttributeId::gpu_task, "general"}, {AttributeId::stat, "min"}});
    if (!least || *least < kLoad) continue;
    const auto of = [&](MetricId metric, const char* which) {
      return device.value(metric, {{AttributeId::which, which}});
    };
    const auto width = of(MetricId::pcie_width, "current");
    const auto widest = of(MetricId::pcie_width, "maximum");
    const auto generation = of(MetricId::pcie_generation, "current");
    const auto newest = of(MetricId::pcie_generation, "maximum");
    const bool narrow = width && widest && *width > 0 && *width < *widest;
    const bool slow = generation && newest && *generation > 0 && *generation < *newest;
    if (!narrow && !slow) continue;
    std::string title = "PCIe link is";
    std::vector<Evidence> evidence;
    if (narrow) {
      title += " x" + std::to_string(std::lround(*width)) + " of x" + std::to_string(std::lround(*widest));
      evidence.push_back(number_of("accelmon.gpu.pcie.width", *width, "{lane}"));
      evidence.push_back(number_of("accelmon.gpu.pcie.width.maximum", *widest, "{lane}"));
    }
    if (slow) {
      title += std::string(narrow ? "," : "") + " generation " + std::to_string(std::lround(*generation)) + " of " +
               std::to_string(std::lround(*newest));
      evidence.push_back(number_of("accelmon.gpu.pcie.generation", *generation, "{generation}"));
      evidence.push_back(number_of("accelmon.gpu.pcie.generation.maximum", *newest, "{generation}"));
    }
    // NVIDIA's maximum is that of board and slot together; elsewhere it is the board's, and the slot may have no more.
    const bool both = device.device->vendor == "nvidia";
    Finding finding = about(device, "pcie_link_degraded", both ? Severity::warning : Severity::info,
                            title + " though the device is busy",
                            both ? "reseat the board; check slot, riser and the host's firmware settings"
                                 : "see whether the slot has more lanes or a newer generation; reseat the board if so");
    finding.evidence = std::move(evidence);
    out.push_back(std::move(finding));
  }
}

}  // namespace accelmon::analysis
