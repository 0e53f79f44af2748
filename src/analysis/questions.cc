// The table of questions. A new one is a row here, a line in question.h and a file of its own.
#include <algorithm>
#include <cstdio>

#include "analysis/question.h"

namespace accelmon::analysis {
namespace {

constexpr Question kQuestions[] = {
    {"has a device failed, or is it lost?", ask_failed},
    {"does no driver read a device that the bus shows?", ask_unread},
    {"is a device degraded or about to fail, and why?", ask_degraded},
    {"did something critical happen in the last hour?", ask_critical_events},
    {"were clocks held down in the last minute?", ask_throttling},
    {"is a device close to its limit of temperature?", ask_temperature},
    {"does an idle device hold memory?", ask_idle_memory},
    {"is a link to the host less than it can be?", ask_pcie_link},
    {"do uncorrected memory errors grow?", ask_memory_errors},
    {"does a collector read nothing?", ask_collectors},
    {"do readings come that cannot be true?", ask_implausible},
    {"does an exporter get rid of nothing?", ask_exporters},
    {"is the history written?", ask_history},
    {"does the certificate expire?", ask_certificate},
};

}  // namespace

std::span<const Question> questions() {
  return kQuestions;
}

bool Facts::held(std::string_view code, std::string_view device_id, std::string_view subject) const {
  return std::any_of(before.begin(), before.end(), [&](const Finding& one) {
    return one.code == code && one.device_id == device_id && (subject.empty() || one.subject == subject);
  });
}

Findings analyse(const Facts& facts) {
  Findings out;
  for (const Question& question : questions()) question.ask(facts, out);
  std::stable_sort(out.begin(), out.end(), [](const Finding& a, const Finding& b) {
    if (a.severity != b.severity) return a.severity > b.severity;
    // "nvidia 2" before "nvidia 10"
    if (a.subject.size() != b.subject.size()) return a.subject.size() < b.subject.size();
    return a.subject < b.subject;
  });
  return out;
}

Finding about(const DeviceReadings& device, std::string code, Severity severity, std::string title,
              std::string advice) {
  Finding out;
  out.code = std::move(code);
  out.severity = severity;
  out.device_id = device.device->id;
  out.subject = device.name();
  out.title = std::move(title);
  out.advice = std::move(advice);
  return out;
}

Evidence number_of(std::string name, double number, std::string unit) {
  return {std::move(name), number, std::move(unit), {}};
}

Evidence text_of(std::string name, std::string text) {
  return {std::move(name), std::nullopt, {}, std::move(text)};
}

std::string percent_of(double share) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.0f %%", std::min(share, 1.0) * 100);
  return buffer;
}

std::string span_of(Nanos window) {
  return window == 60 * kSecond ? "minute" : std::to_string(window / kSecond) + " s";
}

const Event* critical_event_of(const Facts& facts, const DeviceReadings& device) {
  for (auto event = facts.events.rbegin(); event != facts.events.rend(); ++event)
    if (event->severity == Severity::critical && !event->device_id.empty() &&
        (event->device_id == device.device->id || event->device_id == device.parent))
      return &*event;
  return nullptr;
}

Told told_of(const Event& event, const DeviceReadings* device) {
  std::string_view message = event.message.empty() ? std::string_view(event.code) : std::string_view(event.message);
  if (device != nullptr)
    if (const std::string prefix = "GPU " + device->device->index + ": "; message.starts_with(prefix))
      message.remove_prefix(prefix.size());
  const size_t cut = message.find("; ");
  return {std::string(message.substr(0, cut)),
          cut == std::string_view::npos ? std::string() : std::string(message.substr(cut + 2))};
}

std::string_view throttle_word(std::string_view reason) {
  constexpr std::pair<std::string_view, std::string_view> kWords[] = {
      {"thermal_software", "thermal throttle"},
      {"thermal_hardware", "thermal throttle"},
      {"power_cap", "power cap"},
      {"power_brake", "power brake"},
      {"hardware_slowdown", "hardware slowdown"},
      {"current", "current limit"},
      {"voltage", "voltage limit"},
      {"reliability", "reliability limit"},
      {"other", "throttled for another reason"},
  };
  for (const auto& [name, word] : kWords)
    if (name == reason) return word;
  return {};  // idle, application_clocks, sync_boost, display: states of a healthy device
}

std::string_view recovery_word(std::string_view action) {
  constexpr std::pair<std::string_view, std::string_view> kActions[] = {
      {"node_reboot", "reboot the host"},
      {"gpu_reset", "reset the GPU"},
      {"drain_p2p", "stop what uses it together with other GPUs"},
      {"drain_and_reset", "stop what uses it, then reset it"},
  };
  for (const auto& [state, words] : kActions)
    if (state == action) return words;
  return {};
}

}  // namespace accelmon::analysis
