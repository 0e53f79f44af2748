#include "app/diagnosis.h"

#include <algorithm>
#include <map>
#include <set>

#include "app/exports.h"
#include "model/metric.h"

namespace accelmon {
namespace {

constexpr double kSlowCall = 0.005;    // mean
constexpr double kSlowestCall = 0.05;  // once
constexpr size_t kSlowCalls = 3;
// Libraries that are loaded and drivers that are begun with take their time, once.
constexpr uint64_t kOfTheStart = 3;  // so many calls at most
constexpr double kSlowStart = 1;
constexpr double kLongStart = 5;  // in one call, before the first frame
constexpr size_t kNamed = 8;      // more metrics than these are counted, not named
constexpr double kOftenMissed = 0.01;

std::string_view state_reason(std::string_view state) {
  if (state == "unsupported") return "the device cannot tell";
  if (state == "no_permission") return "permission denied";
  if (state == "not_ready") return "nothing yet: the first value needs a second poll";
  if (state == "stale") return "not read for three polls";
  if (state == "implausible") return "what the driver says cannot be true";
  return "the call failed at the last poll";
}

// Gathers what is not read by reason, in the order in which the reasons come up.
class Reasons {
 public:
  void add(const std::string& reason, const std::string& state, const std::string& metric, const std::string& device) {
    auto found = std::find_if(groups_.begin(), groups_.end(),
                              [&](const Group& g) { return g.reason == reason && g.state == state; });
    if (found == groups_.end()) {
      groups_.push_back({reason, state, {}});
      found = groups_.end() - 1;
    }
    found->by_metric[metric].insert(device);
  }

  // Metrics that the same devices lack for the same reason share a line.
  std::vector<NotRead> lines(size_t devices) const {
    std::vector<NotRead> out;
    for (const Group& group : groups_) {
      std::map<std::vector<std::string>, size_t> line_of;
      for (const auto& [metric, where] : group.by_metric) {
        std::vector<std::string> on(where.begin(), where.end());
        // The whole collector, or each of its devices.
        if (where.count("") != 0 || where.size() >= devices) on.clear();
        const auto [at, fresh] = line_of.try_emplace(on, out.size());
        if (fresh) out.push_back({group.reason, group.state, {}, on});
        out[at->second].metrics.push_back(metric);
      }
    }
    return out;
  }

 private:
  struct ByNumber {
    // "2" before "10"
    bool operator()(const std::string& a, const std::string& b) const {
      return a.size() != b.size() ? a.size() < b.size() : a < b;
    }
  };
  struct Group {
    std::string reason;
    std::string state;
    std::map<std::string, std::set<std::string, ByNumber>> by_metric;
  };
  std::vector<Group> groups_;
};

// Made by the pipeline: it lacks what the metric that it is made of lacks, which is told.
bool derived(std::string_view metric) {
  const auto id = find_metric(metric);
  if (!id) return false;
  const auto among = [&](std::span<const Derivation> list) {
    return std::any_of(list.begin(), list.end(), [&](const Derivation& d) { return d.into == *id; });
  };
  return among(ema_derivations()) || among(window_derivations());
}

// What told last that the device does not answer; nullptr: it answers, or nothing was told.
const ReportEvent* loss_of(const Report& report, const ReportDevice& device) {
  const ReportEvent* latest = nullptr;
  for (const ReportEvent& event : report.events) {
    if (!concerns(event, device) || (event.code != "device_lost" && event.code != "device_back")) continue;
    if (latest == nullptr || event.wall >= latest->wall) latest = &event;
  }
  return latest != nullptr && latest->code == "device_lost" ? latest : nullptr;
}

// Sources name a device by its PCI address until another gives it an id.
const ReportDevice* device_of(const Report& report, std::string_view id) {
  if (id.empty()) return nullptr;
  for (const ReportDevice& device : report.devices)
    if (device.id == id || (!device.partition() && device.attribute("accelmon.pci.address") == id)) return &device;
  return nullptr;
}

// The source of the same vendor's devices that is believed before this one; nullptr: there is none.
const ReportCollector* first_source(const Report& report, const ReportCollector& collector) {
  for (const ReportCollector& one : report.collectors) {
    if (&one == &collector) break;
    if (one.vendor == collector.vendor && one.running() &&
        std::any_of(report.devices.begin(), report.devices.end(),
                    [&](const ReportDevice& device) { return device.collector == one.name; }))
      return &one;
  }
  return nullptr;
}

CollectorDiagnosis diagnose_one(const Report& report, const ReportCollector& collector) {
  CollectorDiagnosis out;
  out.collector = &collector;
  std::set<std::string_view> read;
  Reasons reasons;
  // A metric that a device shows in another form (one of its series) is not missing there, whoever reads it.
  std::set<std::pair<std::string_view, std::string_view>> known, known_to_others;
  uint64_t shown = 0;
  for (const ReportDevice& device : report.devices) {
    bool its = device.collector == collector.name;
    for (const ReportValue& value : device.values) {
      const bool own = device.source(value) == collector.name;
      if (own) ++shown;
      if (!value.value) continue;
      (own ? known : known_to_others).emplace(value.metric, device.id);
      if (!own) continue;
      read.insert(value.metric);
      its = true;
    }
    if (its) ++out.devices;
  }
  const auto elsewhere = [&](std::string_view metric, std::string_view device) {
    return known_to_others.count({metric, device}) != 0 && known.count({metric, device}) == 0;
  };
  // Of a collector that does not run nothing is read, and its state says why.
  const auto missing = [&](const ReportDevice& device, const ReportValue& value) {
    return collector.running() && !value.value && device.source(value) == collector.name && !derived(value.metric) &&
           known.count({value.metric, device.id}) == 0 && !elsewhere(value.metric, device.id);
  };
  std::map<std::string_view, const ReportEvent*> losses;  // by device
  for (const ReportDevice& device : report.devices)
    if (const ReportEvent* loss = loss_of(report, device); loss != nullptr)
      if (std::any_of(device.values.begin(), device.values.end(),
                      [&](const ReportValue& value) { return value.state == "error" && missing(device, value); }))
        losses[device.id] = loss;
  for (const ReportAbsence& absence : collector.absences) {
    if (!collector.running()) break;  // they are of when it last ran
    const ReportDevice* device = device_of(report, absence.device);
    if (device != nullptr && elsewhere(absence.metric, device->id)) continue;
    // That it is lost is told with what it lacks; its status is known.
    if (device != nullptr && absence.metric == "hw.status" && losses.count(device->id) != 0) continue;
    reasons.add(absence.reason.empty() ? std::string(state_reason(absence.state)) : absence.reason, absence.state,
                absence.metric, device != nullptr ? device->name() : absence.device);
  }
  for (const ReportDevice& device : report.devices) {
    const auto loss = losses.find(device.id);
    for (const ReportValue& value : device.values)
      if (missing(device, value))
        reasons.add(loss != losses.end() && value.state == "error" ? loss->second->message
                                                                   : std::string(state_reason(value.state)),
                    value.state, value.metric, device.name());
  }
  if (collector.running() && collector.vendor != "host" && shown < collector.series)
    out.stands_by_for = first_source(report, collector);
  // The document keeps what belongs to no device in one list; it is the host collector's.
  if (collector.is_host()) {
    for (const ReportValue& value : report.host)
      if (value.value) read.insert(value.metric);
    for (const ReportValue& value : report.host)
      if (collector.running() && !value.value && read.count(value.metric) == 0)
        reasons.add(std::string(state_reason(value.state)), value.state, value.metric, "");
  }
  out.metrics = read.size();
  out.not_read = reasons.lines(std::max<size_t>(out.devices, 1));
  for (const ReportCall& call : collector.calls) {
    // What was asked in vain is left alone, and how long that took is nobody's concern.
    if (call.calls == 0 || collector.state == "absent") continue;
    if (call.calls <= kOfTheStart && call.longest < kSlowStart) continue;
    if (call.seconds / static_cast<double>(call.calls) >= kSlowCall || call.longest >= kSlowestCall)
      out.slow.push_back(call);
  }
  std::stable_sort(out.slow.begin(), out.slow.end(),
                   [](const ReportCall& a, const ReportCall& b) { return a.longest > b.longest; });
  if (out.slow.size() > kSlowCalls) out.slow.resize(kSlowCalls);
  return out;
}

bool loopback(std::string_view address) {
  return address.empty() || address.starts_with("127.") || address.starts_with("[::1]") ||
         address.starts_with("localhost:");
}

// What is to be done about devices that do not answer any more, once for those that need the same.
void advise_losses(const Report& report, const ReportCollector& collector, std::vector<std::string>& advice) {
  std::map<std::string_view, std::vector<std::string>> lost;  // by what to do
  for (const ReportDevice& device : report.devices) {
    if (device.partition() || device.collector != collector.name) continue;
    const ReportEvent* loss = loss_of(report, device);
    if (loss != nullptr && !loss->action.empty() && loss->action != "none") lost[loss->action].push_back(device.name());
  }
  for (const auto& [action, names] : lost) {
    std::string text = collector.vendor + (names.size() == 1 ? ": device " : ": devices ");
    for (size_t i = 0; i < names.size(); ++i) text += (i == 0 ? "" : ", ") + names[i];
    advice.push_back(text + (names.size() == 1 ? " is" : " are") + " lost: " + std::string(action));
  }
}

void advise(const Report& report, Diagnosis& diagnosis) {
  auto& advice = diagnosis.advice;
  for (const CollectorDiagnosis& one : diagnosis.collectors) {
    const ReportCollector& collector = *one.collector;
    const auto denied = std::count_if(one.not_read.begin(), one.not_read.end(),
                                      [](const NotRead& line) { return line.state == "no_permission"; });
    if (collector.state == "stuck")
      advice.push_back(collector.name +
                       " sits in the kernel and cannot be killed: see dmesg; only its driver, or a reboot, "
                       "lets it go");
    if (collector.state == "silent" || (collector.state == "starting" && collector.current_call_seconds >= kLongStart))
      advice.push_back(collector.name + " does not answer" +
                       (collector.current_call.empty() ? "" : ": it sits in " + collector.current_call) +
                       ". Its process is ended and started anew after poll.hang; see dmesg if that repeats");
    advise_losses(report, collector, advice);
    if (collector.state == "released")
      advice.push_back("accelmon resume " + collector.vendor + " takes its devices up again");
    if (denied != 0)
      advice.push_back(collector.vendor + ": some metrics need more permission than the agent has; see 'not read'");
    if (collector.frames > 100 &&
        static_cast<double>(collector.missed_ticks) > static_cast<double>(collector.frames) * kOftenMissed)
      advice.push_back(
          collector.duration.value_or(0) > report.interval / 2
              ? collector.name + " misses polls: raise poll.interval above " + short_time(*collector.duration)
              : collector.name +
                    " misses polls though they are short: the host lacks processor time, or the driver stalls "
                    "now and then");
    if (!collector.implausible.empty())
      advice.push_back(collector.name +
                       ": the driver told what cannot be true; such samples are kept back, and a newer "
                       "driver may mend it");
  }
  advise_exports(report, advice);
  if (!report.sampled && !loopback(report.address) && !report.authenticates)
    advice.push_back("whoever reaches " + report.address +
                     " can read the metrics: listen.web_config, listen.address or a firewall limits that");
  // Who pushes need not be scraped.
  if (!report.sampled && report.scrapes == 0 && report.exporters.empty() && report.uptime > 300 &&
      !report.address.empty())
    advice.push_back("nothing has scraped this agent yet: give " + std::string(report.tls ? "https" : "http") + "://" +
                     report.address + "/metrics to Prometheus");
}

std::string fact(const ReportCollector& collector, std::string_view wanted) {
  for (const auto& [name, value] : collector.facts)
    if (name == wanted) return value;
  return "";
}

std::string upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

std::string headline(const Report& report, const CollectorDiagnosis& one) {
  const ReportCollector& collector = *one.collector;
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
  if (!collector.running()) {
    out = collector.state == "absent"        ? "none"
          : collector.state == "backing_off" ? "being started again"
                                             : collector.state;
    if (!collector.message.empty()) out += ": " + collector.message;
    if (!collector.current_call.empty() && collector.message.find(collector.current_call) == std::string::npos)
      out += "; sits in " + collector.current_call + " for " + span_of_time(collector.current_call_seconds);
    return out;
  }
  if (const std::string version = fact(collector, "library version"); !version.empty()) {
    const std::string driver = fact(collector, "driver version");
    add(upper(collector.name) + " " + version + (driver.empty() ? "" : " (driver " + driver + ")"));
  }
  if (collector.pid) add("collector pid " + std::to_string(*collector.pid));
  if (collector.duration) add(short_time(*collector.duration) + " per poll");
  // Within the first seconds the start is most of it.
  if (collector.cpu_seconds && report.uptime >= 10) add(percent(*collector.cpu_seconds / report.uptime) + " of a core");
  return out.empty() ? "running" : out;
}

std::string names_of(const NotRead& line) {
  std::string out;
  // A lost device lacks everything.
  if (line.metrics.size() > kNamed) return std::to_string(line.metrics.size()) + " metrics";
  for (const std::string& metric : line.metrics) out += (out.empty() ? "" : ", ") + plain_name(metric);
  return out;
}

std::string devices_of(const NotRead& line) {
  if (line.devices.empty()) return "";
  std::string out = line.devices.size() == 1 ? " (device " : " (devices ";
  for (size_t i = 0; i < line.devices.size(); ++i) out += (i == 0 ? "" : ", ") + line.devices[i];
  return out + ")";
}

constexpr size_t kLabel = 12;  // "  not read  "
constexpr size_t kNames = 26;

// Two columns that each break into lines of their own.
void two_columns(std::string& out, std::string_view label, const std::string& names, const std::string& text,
                 size_t width) {
  const size_t room = std::max<size_t>(width > kLabel + kNames ? width - kLabel - kNames : 0, 24);
  const std::vector<std::string> first = wrap(names, kNames - 2);
  const std::vector<std::string> second = wrap(text, room);
  for (size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    std::string line = "  " + left(i == 0 ? label : "", kLabel - 2);
    line += i < second.size() ? left(i < first.size() ? first[i] : "", kNames - 2) + "  " + second[i] : first[i];
    out += line + "\n";
  }
}

}  // namespace

std::string plain_name(std::string_view metric) {
  for (const std::string_view prefix : {"accelmon.gpu.", "hw.gpu.", "accelmon.", "hw.", "system."})
    if (metric.starts_with(prefix)) {
      metric.remove_prefix(prefix.size());
      break;
    }
  constexpr std::pair<std::string_view, std::string_view> kWords[] = {{"sm", "SM"},   {"pcie", "PCIe"}, {"io", "I/O"},
                                                                      {"mig", "MIG"}, {"bar", "BAR"},   {"gtt", "GTT"},
                                                                      {"cpu", "CPU"}, {"gpu", "GPU"},   {"linux", ""}};
  std::string out;
  for (size_t begin = 0; begin < metric.size();) {
    const size_t end = std::min(metric.find_first_of("._", begin), metric.size());
    std::string_view word = metric.substr(begin, end - begin);
    for (const auto& [from, to] : kWords)
      if (word == from) {
        word = to;
        break;
      }
    if (!word.empty()) out += (out.empty() ? "" : " ") + std::string(word);
    begin = end + 1;
  }
  return out;
}

Diagnosis diagnose(const Report& report) {
  Diagnosis out;
  for (const ReportCollector& collector : report.collectors) out.collectors.push_back(diagnose_one(report, collector));
  advise(report, out);
  return out;
}

std::string render_doctor(const Report& report, const Diagnosis& diagnosis, const View& view) {
  const size_t width = view.width == 0 ? 110 : view.width;
  std::string out;
  if (report.sampled) out += "no agent running: sampled here\n\n";
  if (report.simulated) out += "the accelerators are simulated\n\n";
  size_t label = 8;
  for (const CollectorDiagnosis& one : diagnosis.collectors)
    label = std::max(label, columns_of(report.label(*one.collector)));
  for (const CollectorDiagnosis& one : diagnosis.collectors) {
    const ReportCollector& collector = *one.collector;
    hanging(out, left(report.label(collector), label + 1), headline(report, one), width);
    bool first = true;
    // Of devices that were let go or are gone nothing is known any more.
    const bool gone = collector.state == "absent" || collector.state == "released";
    for (const auto& [name, value] : collector.facts) {
      // The headline tells these.
      if (gone || value.empty() || name == "library version" || name == "driver version") continue;
      two_columns(out, first ? "about" : "", name, value, width);
      first = false;
    }
    if (one.metrics != 0) {
      out += "  read      " + plural(one.metrics, "metric", "metrics");
      if (!collector.is_host()) out += " on " + plural(one.devices, "device", "devices");
      out += "\n";
    }
    if (one.stands_by_for != nullptr)
      hanging(out, "  stands by ", "for " + one.stands_by_for->name + ", from which what both read is taken", width);
    first = true;
    for (const NotRead& line : one.not_read) {
      two_columns(out, first ? "not read" : "", names_of(line), line.reason + devices_of(line), width);
      first = false;
    }
    first = true;
    for (const ReportCall& call : one.slow) {
      two_columns(out, first ? "slow" : "", call.name,
                  short_time(call.seconds / static_cast<double>(call.calls)) + " on average, " +
                      short_time(call.longest) + " at the longest, " + plural(call.calls, "call", "calls"),
                  width);
      first = false;
    }
    first = true;
    for (const auto& [code, count] : collector.errors) {
      if (gone) break;  // what it is absent for stands in its headline
      two_columns(out, first ? "errors" : "", code, plural(count, "time", "times"), width);
      first = false;
    }
    first = true;
    for (const auto& [metric, count] : collector.implausible) {
      two_columns(out, first ? "untrue" : "", plain_name(metric), plural(count, "sample", "samples") + " kept back",
                  width);
      first = false;
    }
    std::string mishaps;
    const auto add = [&](uint64_t n, std::string_view what, std::string_view many) {
      if (n != 0) mishaps += (mishaps.empty() ? "" : ", ") + plural(n, what, many);
    };
    add(collector.restarts, "restart", "restarts");
    add(collector.missed_ticks, "missed poll", "missed polls");
    add(collector.rejected, "malformed message", "malformed messages");
    if (!mishaps.empty()) out += "  mishaps   " + mishaps + "\n";
  }
  if (!report.sampled) out += exports_of(report, width);
  if (diagnosis.advice.empty())
    out += "advice   none\n";
  else
    out += "advice   " + plural(diagnosis.advice.size(), "thing", "things") + "\n";
  for (const std::string& one : diagnosis.advice) hanging(out, "  - ", one, width);
  return out;
}

}  // namespace accelmon
