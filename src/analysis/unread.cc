#include "analysis/question.h"

namespace accelmon::analysis {
namespace {

struct Reason {
  std::string_view word;
  Severity severity;
  std::string_view title;
  std::string_view advice;
};

// The values of accelmon.device.unread{reason}. One that is given to a virtual machine is where it should be.
constexpr Reason kReasons[] = {
    {"no_driver", Severity::warning, "no driver is bound to the device", "load or install the vendor's driver"},
    {"driver_silent", Severity::warning, "a driver is bound to the device and shows nothing of it",
     "see the kernel's log of the driver: dmesg"},
    {"passed_through", Severity::info, "kept for a virtual machine", "measure it inside the machine"},
    {"off_the_bus", Severity::critical, "the device does not answer on the bus", "reset it or power-cycle the host"},
    {"gone", Severity::critical, "the device has left the bus", "restart the host; replace the device if it repeats"},
};

}  // namespace

void ask_unread(const Facts& facts, Findings& out) {
  for (const DeviceReadings& device : facts.readings.devices())
    for (const Reason& reason : kReasons) {
      if (!device.is(MetricId::device_unread, AttributeId::reason, reason.word)) continue;
      Finding finding =
          about(device, "device_unread", reason.severity, std::string(reason.title), std::string(reason.advice));
      finding.evidence.push_back(text_of("accelmon.device.unread", std::string(reason.word)));
      finding.evidence.push_back(text_of("hw.model", device.device->model));
      out.push_back(std::move(finding));
      break;
    }
}

}  // namespace accelmon::analysis
