#include "app/verdict.h"

#include <algorithm>
#include <map>

#include "analysis/question.h"
#include "app/layout.h"
#include "base/text.h"

namespace accelmon {
namespace {

using Level = Verdict::Level;

// Below this a context without work is all that is held.
constexpr double kHeldBytes = 1 << 30;
constexpr double kThrottleShare = 0.01;
constexpr double kEventAge = 3600;
constexpr std::string_view kUnread = "accelmon.device.unread";

bool set(const ReportDevice& device, std::string_view metric, std::string_view key, std::string_view value) {
  return number(device.values, metric, {{key, value}}).value_or(0) != 0;
}

bool set_at_all(const ReportDevice& device, std::string_view metric) {
  return number(device.values, metric).value_or(0) != 0;
}

const ReportEvent* latest_critical(const Report& report, const ReportDevice& device) {
  const ReportEvent* latest = nullptr;
  for (const ReportEvent& event : report.events) {
    if (!concerns(event, device) || event.severity != "critical") continue;
    if (latest == nullptr || event.wall >= latest->wall) latest = &event;
  }
  return latest;
}

std::string recovery(const ReportDevice& device) {
  for (const std::string_view action : {"node_reboot", "gpu_reset", "drain_p2p", "drain_and_reset"})
    if (set(device, "accelmon.gpu.recovery.action", "state", action))
      return "; " + std::string(analysis::recovery_word(action));
  return "";
}

// "Xid 79: the GPU has fallen off the bus, 14:03:11; restart the node": the time stands before the advice.
std::string told(const ReportEvent& event) {
  std::string text = event.message.empty() ? event.code : event.message;
  text.insert(std::min(text.find(';'), text.size()), ", " + clock_time(event.wall));
  if (event.code.starts_with("xid:")) {
    const std::string name = "Xid " + event.code.substr(4);
    if (text.find(name) == std::string::npos) text += " (" + name + ")";
  }
  return text;
}

// Why only the bus shows the device now; empty: it is read.
std::string_view why_unread(const ReportDevice& device) {
  for (const ReportValue& value : device.values)
    if (value.metric == kUnread && value.value.value_or(0) != 0) return value.attribute("reason");
  return {};
}

// What hw.status says in one word, in the words of what it was made of.
std::string_view why_degraded(const ReportDevice& device) {
  if (set(device, "accelmon.gpu.memory.rows", "state", "failed")) return "bad memory could not be replaced";
  if (set(device, "accelmon.gpu.memory.rows", "state", "pending") ||
      set(device, "accelmon.gpu.memory.pages", "state", "pending"))
    return "bad memory waits for a reset of the GPU to be replaced";
  if (why_unread(device) == "driver_silent") return "its driver does not show it";
  return "see accelmon doctor";
}

std::string window_words(std::string_view window) {
  const Result<Nanos> length = parse_duration(window);
  if (!length) return "lately";
  if (*length == 60 * kSecond) return "of the last minute";
  if (*length == 3600 * kSecond) return "of the last hour";
  return "of the last " + span_of_time(to_seconds(*length));
}

// `windows`: whether what windows say is of their whole length, and not of the two polls of a sampling.
std::string throttling(const ReportDevice& device, bool windows) {
  // Reasons that people call the same are told once, with the larger share.
  struct Share {
    double share = 0;
    std::string window;
  };
  std::map<std::string_view, Share> shares;
  std::map<std::string_view, bool> active;
  for (const ReportValue& value : device.values) {
    if (!value.value) continue;
    const std::string_view word = analysis::throttle_word(value.attribute("reason"));
    if (word.empty()) continue;
    if (windows && value.metric == "accelmon.gpu.throttle.share.window" && value.attribute("stat") == "mean") {
      Share& known = shares[word];
      if (*value.value >= known.share) known = {*value.value, std::string(value.attribute("window"))};
    } else if (value.metric == "accelmon.gpu.throttle.active" && *value.value != 0) {
      active[word] = true;
    }
  }
  std::vector<std::pair<std::string_view, Share>> sorted(shares.begin(), shares.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second.share > b.second.share; });
  std::string text;
  for (const auto& [word, share] : sorted) {
    if (share.share < kThrottleShare) continue;
    const bool first = text.empty();
    text += (first ? "" : "; ") + std::string(word) + ", " + percent(std::min(share.share, 1.0));
    // One window for all of them; it is told once.
    if (first) text += " " + window_words(share.window);
  }
  if (!text.empty()) return text;
  for (const auto& [word, yes] : active) text += (text.empty() ? "" : "; ") + std::string(word) + " now";
  return text;
}

std::string held_memory(const ReportDevice& device) {
  std::vector<const ReportValue*> holders;
  double sum = 0;
  for (const ReportValue& value : device.values) {
    if (value.metric != "accelmon.process.gpu.memory.usage" || !value.value) continue;
    holders.push_back(&value);
    sum += *value.value;
  }
  if (holders.empty() || sum < kHeldBytes) return "";
  const ReportValue* largest = *std::max_element(holders.begin(), holders.end(),
                                                 [](const auto* a, const auto* b) { return *a->value < *b->value; });
  std::string text = "idle, yet " + format_size(sum) + " held by pid " + std::string(largest->attribute("process.pid"));
  if (const auto name = largest->attribute("process.executable.name"); !name.empty())
    text += " (" + std::string(name) + ")";
  if (holders.size() > 1) text += " and " + std::to_string(holders.size() - 1) + " more";
  return text;
}

// The first of what a message says: a line of a table has no room for the rest, and accelmon doctor tells it.
std::string_view first_of(std::string_view message) {
  for (const std::string_view end : {"; ", " (", ". ", ": "}) message = message.substr(0, message.find(end));
  return message;
}

std::string why_unreadable(const ReportCollector& collector) {
  std::string text = "no data: " + collector.name + " is ";
  if (collector.state == "silent" || collector.state == "stuck" ||
      (collector.state == "starting" && !collector.current_call.empty())) {
    text += collector.state;
    if (!collector.current_call.empty())
      text += " in " + collector.current_call + " for " + span_of_time(collector.current_call_seconds);
    return text;
  }
  text += collector.state == "backing_off" ? "being started again" : collector.state;
  return collector.message.empty() ? text : text + " (" + std::string(first_of(collector.message)) + ")";
}

// Not what the bus and the kernel's log say of a device, which is there whether its driver reads it or not, nor what it
// was in the last minute.
bool is_reading(const ReportValue& value) {
  constexpr std::string_view kOfOthers[] = {"accelmon.device.info", "hw.status", kUnread, "accelmon.gpu.events"};
  return value.value.has_value() && value.attribute("window").empty() &&
         std::find(std::begin(kOfOthers), std::end(kOfOthers), value.metric) == std::end(kOfOthers);
}

bool anything_read(const ReportDevice& device) {
  return std::any_of(device.values.begin(), device.values.end(), is_reading);
}

// Whether a second source reads the device while its first one is silent.
bool read_by_another(const Report& report, const ReportDevice& device) {
  return std::any_of(device.values.begin(), device.values.end(), [&](const ReportValue& value) {
    const ReportCollector* source = report.collector(device.source(value));
    return source != nullptr && source->name != device.collector && source->running() && is_reading(value);
  });
}

// The collector that owes the device's readings; nullptr: none does. A device that was never read is described by the
// bus: then it is one of its vendor's, before others one that is ill rather than absent.
const ReportCollector* debtor(const Report& report, const ReportDevice& device) {
  const ReportCollector* own = report.collector(device.collector);
  if (own != nullptr && !own->running()) return own;
  if (why_unread(device) != "driver_silent") return nullptr;
  const ReportCollector* found = nullptr;
  for (const ReportCollector& one : report.collectors) {
    if (one.vendor != device.vendor || one.running()) continue;
    if (found == nullptr || (found->state == "absent" && one.state != "absent")) found = &one;
  }
  return found;
}

Verdict judge_alone(const Report& report, const ReportDevice& device) {
  const std::string_view unread = why_unread(device);
  const ReportCollector* silent = read_by_another(report, device) ? nullptr : debtor(report, device);
  const bool failed = set(device, "hw.status", "hw.state", "failed");
  // While its driver is silent the status is what the bus makes of that. Only of a device that left the bus more is
  // known.
  const bool of_the_bus = unread == "driver_silent" || unread == "no_driver";
  const Level no_data = failed ? Level::failed : Level::attention;
  if (silent != nullptr && of_the_bus) return {no_data, why_unreadable(*silent)};
  if (unread == "no_driver") return {no_data, "no data: no driver is bound to it"};
  if (unread == "passed_through") return {Level::fine, "kept for a virtual machine"};
  if (failed) {
    const ReportEvent* event = latest_critical(report, device);
    std::string text = anything_read(device) ? "failed: " : "lost: ";
    text += event != nullptr          ? told(*event)
            : unread == "off_the_bus" ? std::string("it does not answer on the PCI bus")
            : unread == "gone"        ? std::string("it has left the PCI bus")
                                      : std::string(why_degraded(device));
    // The event's own advice is the better one: it knows what happened.
    if (text.find(';') == std::string::npos) text += recovery(device);
    return {Level::failed, std::move(text)};
  }
  if (silent != nullptr && !anything_read(device)) return {Level::attention, why_unreadable(*silent)};
  if (const ReportEvent* event = latest_critical(report, device);
      event != nullptr && report.now - event->wall < kEventAge)
    return {Level::attention, told(*event)};
  if (silent != nullptr) return {Level::attention, why_unreadable(*silent)};
  if (set(device, "hw.status", "hw.state", "predicted_failure"))
    return {Level::attention, "about to fail: " + std::string(why_degraded(device))};
  // Clocks that the hardware holds down are one way of being degraded; the share says more than the word.
  if (std::string text = throttling(device, !report.sampled); !text.empty()) return {Level::attention, std::move(text)};
  if (set(device, "hw.status", "hw.state", "degraded"))
    return {Level::attention, "degraded: " + std::string(why_degraded(device))};

  if (set_at_all(device, "accelmon.gpu.asleep")) return {Level::fine, "asleep"};

  const size_t parts =
      static_cast<size_t>(std::count_if(report.devices.begin(), report.devices.end(),
                                        [&](const ReportDevice& other) { return other.parent == device.id; }));
  const auto utilization = number(device.values, "hw.gpu.utilization", {{"hw.gpu.task", "general"}});
  if (utilization && *utilization == 0) {
    const auto most =
        number(device.values, "accelmon.gpu.utilization.window", {{"hw.gpu.task", "general"}, {"stat", "max"}});
    if (most.value_or(0) == 0) {
      if (std::string text = held_memory(device); !text.empty()) return {Level::attention, std::move(text)};
    }
    return {Level::fine, "idle"};
  }
  if (parts > 0 && device.vendor == "intel") return {Level::fine, plural(parts, "tile", "tiles")};
  if (parts > 0)
    return {Level::fine, (device.vendor == "nvidia" ? "MIG, " : "") + plural(parts, "partition", "partitions")};
  if (!anything_read(device)) return {Level::attention, "nothing could be read: accelmon doctor"};
  // "ok" is said where the device's health is known, its own or that of the device that it is a part of.
  const auto parent = std::find_if(report.devices.begin(), report.devices.end(),
                                   [&](const ReportDevice& other) { return other.id == device.parent; });
  if (set(device, "hw.status", "hw.state", "ok") ||
      (parent != report.devices.end() && set(*parent, "hw.status", "hw.state", "ok")))
    return {Level::fine, "ok"};
  return {Level::fine, utilization ? "busy" : "-"};
}

}  // namespace

Verdict judge(const Report& report, const ReportDevice& device) {
  Verdict own = judge_alone(report, device);
  if (device.parent.empty() || own.level == Level::fine) return own;
  const auto board = std::find_if(report.devices.begin(), report.devices.end(),
                                  [&](const ReportDevice& other) { return other.id == device.parent; });
  if (board == report.devices.end() || board->id == device.id) return own;
  // What its board says already is not said again for each part of it.
  if (judge_alone(report, *board).text == own.text) own.text = "as its board";
  return own;
}

}  // namespace accelmon
