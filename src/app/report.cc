#include "app/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace accelmon {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxText = 400;
constexpr size_t kNameTail = 12;  // of a UUID: its last group

const Json* member(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

std::string text(const Json& object, const char* name) {
  const Json* value = member(object, name);
  return value != nullptr && value->is_string() ? printable(value->get_ref<const std::string&>(), kMaxText)
                                                : std::string();
}

std::optional<double> maybe(const Json& object, const char* name) {
  const Json* value = member(object, name);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->get<double>();
}

double number_or_zero(const Json& object, const char* name) {
  return maybe(object, name).value_or(0);
}

uint64_t count(const Json& object, const char* name) {
  const double value = number_or_zero(object, name);
  return value >= 0 && value < 1.8e19 ? static_cast<uint64_t>(value) : 0;
}

// Calls `each` with every element of the array of that name.
template <class F>
void for_each(const Json& object, const char* name, F each) {
  const Json* list = member(object, name);
  if (list == nullptr || !list->is_array()) return;
  for (const Json& element : *list) each(element);
}

std::vector<std::pair<std::string, std::string>> texts(const Json& object, const char* name) {
  std::vector<std::pair<std::string, std::string>> out;
  const Json* map = member(object, name);
  if (map == nullptr || !map->is_object()) return out;
  for (const auto& [key, value] : map->items())
    if (value.is_string())
      out.emplace_back(printable(key, kMaxText), printable(value.get_ref<const std::string&>(), kMaxText));
  return out;
}

std::string_view find_text(const std::vector<std::pair<std::string, std::string>>& list, std::string_view key) {
  for (const auto& [name, value] : list)
    if (name == key) return value;
  return {};
}

ReportValue read_value(const Json& json) {
  ReportValue value;
  value.metric = text(json, "metric");
  value.attributes = texts(json, "attributes");
  value.unit = text(json, "unit");
  value.state = text(json, "state");
  // A number under any other state would be one that must not be believed.
  if (value.state == "ok") value.value = maybe(json, "value");
  value.age = maybe(json, "age_seconds");
  value.source = text(json, "source");
  return value;
}

ReportCollector read_collector(const Json& json) {
  ReportCollector out;
  out.name = text(json, "name");
  out.vendor = text(json, "vendor");
  out.brief = text(json, "brief");
  out.state = text(json, "state");
  out.message = text(json, "message");
  if (const auto pid = maybe(json, "pid"); pid && *pid > 0 && *pid < 1e10) out.pid = static_cast<int64_t>(*pid);
  out.age = maybe(json, "age_seconds");
  out.frames = count(json, "frames");
  out.duration = maybe(json, "duration_seconds");
  out.cpu_seconds = maybe(json, "cpu_seconds");
  out.resident_bytes = maybe(json, "resident_bytes");
  out.restarts = count(json, "restarts");
  out.missed_ticks = count(json, "missed_ticks");
  out.rejected = count(json, "rejected");
  out.series = count(json, "series");
  if (const Json* call = member(json, "current_call")) {
    out.current_call = text(*call, "name");
    out.current_call_seconds = number_or_zero(*call, "seconds");
  }
  out.facts = texts(json, "facts");
  for_each(json, "absences", [&](const Json& absence) {
    out.absences.push_back(
        {text(absence, "metric"), text(absence, "device"), text(absence, "state"), text(absence, "reason")});
  });
  for_each(json, "errors",
           [&](const Json& error) { out.errors.emplace_back(text(error, "code"), count(error, "count")); });
  for_each(json, "calls", [&](const Json& call) {
    out.calls.push_back({text(call, "name"), count(call, "calls"), number_or_zero(call, "seconds"),
                         number_or_zero(call, "longest_seconds")});
  });
  for_each(json, "implausible",
           [&](const Json& one) { out.implausible.emplace_back(text(one, "metric"), count(one, "count")); });
  return out;
}

ReportExporter read_exporter(const Json& json) {
  ReportExporter out;
  out.name = text(json, "name");
  out.type = text(json, "type");
  out.where = text(json, "where");
  out.state = text(json, "state");
  out.message = text(json, "message");
  out.note = text(json, "note");
  out.samples = count(json, "samples");
  out.rejected = count(json, "rejected_samples");
  out.lost_polls = count(json, "lost_polls");
  out.requests_ok = count(json, "requests_ok");
  out.requests_failed = count(json, "requests_failed");
  out.bytes = count(json, "bytes");
  out.behind = count(json, "behind_polls");
  out.last_success = maybe(json, "last_success");
  out.next_try = maybe(json, "next_try");
  return out;
}

}  // namespace

std::string_view ReportValue::attribute(std::string_view key) const {
  return find_text(attributes, key);
}
std::string_view ReportDevice::attribute(std::string_view key) const {
  return find_text(attributes, key);
}

std::string ReportDevice::name() const {
  if (!index.empty()) return index;
  if (const std::string_view address = attribute("accelmon.pci.address"); !address.empty()) return std::string(address);
  return id.size() > kNameTail ? "…" + id.substr(id.size() - kNameTail) : id;
}

const ReportCollector* Report::collector(std::string_view name) const {
  for (const ReportCollector& one : collectors)
    if (one.name == name) return &one;
  return nullptr;
}

const std::string& Report::label(const ReportCollector& collector) const {
  const auto of_vendor = std::count_if(collectors.begin(), collectors.end(),
                                       [&](const ReportCollector& one) { return one.vendor == collector.vendor; });
  return of_vendor > 1 ? collector.name : collector.vendor;
}

Result<Report> parse_report(std::string_view document) {
  const Json json = Json::parse(document, nullptr, /*allow_exceptions=*/false);
  const Json* collectors = member(json, "collectors");
  if (collectors == nullptr || !collectors->is_array())
    return fail(Code::invalid, "the answer is not a status document of accelmon");
  Report report;
  report.version = text(json, "version");
  report.pid = static_cast<int64_t>(count(json, "pid") & 0xffffffff);
  report.uptime = number_or_zero(json, "uptime_seconds");
  report.now = number_or_zero(json, "now");
  report.hostname = text(json, "hostname");
  report.address = text(json, "address");
  report.socket = text(json, "socket");
  const auto truth = [&](const char* key) {
    const Json* value = member(json, key);
    return value != nullptr && value->is_boolean() && value->get<bool>();
  };
  report.tls = truth("tls");
  report.authenticates = truth("authenticates");
  report.simulated = truth("simulated");
  if (const Json* poll = member(json, "poll")) report.interval = number_or_zero(*poll, "interval_seconds");
  for_each(json, "collectors", [&](const Json& one) { report.collectors.push_back(read_collector(one)); });
  for_each(json, "devices", [&](const Json& one) {
    ReportDevice device;
    device.id = text(one, "id");
    device.type = text(one, "type");
    device.index = text(one, "index");
    device.vendor = text(one, "vendor");
    device.model = text(one, "model");
    device.parent = text(one, "parent");
    device.collector = text(one, "collector");
    device.attributes = texts(one, "attributes");
    for_each(one, "values", [&](const Json& value) { device.values.push_back(read_value(value)); });
    report.devices.push_back(std::move(device));
  });
  for_each(json, "host", [&](const Json& value) { report.host.push_back(read_value(value)); });
  for_each(json, "events", [&](const Json& one) {
    report.events.push_back({number_or_zero(one, "wall"), text(one, "severity"), text(one, "device"), text(one, "code"),
                             text(one, "message"), text(one, "action")});
  });
  for_each(json, "exporters", [&](const Json& one) { report.exporters.push_back(read_exporter(one)); });
  if (const Json* history = member(json, "history"); history != nullptr && history->is_object())
    report.history = ReportHistory{.path = text(*history, "path"),
                                   .state = text(*history, "state"),
                                   .message = text(*history, "message"),
                                   .bytes = count(*history, "bytes"),
                                   .written = count(*history, "polls_written"),
                                   .dropped = count(*history, "polls_dropped"),
                                   .waiting = count(*history, "polls_waiting"),
                                   .damaged = count(*history, "chunks_damaged")};
  if (const Json* findings = member(json, "findings"); findings != nullptr && findings->is_object())
    report.findings = count(*findings, "critical") + count(*findings, "warning");
  if (const Json* scrapes = member(json, "scrapes")) {
    report.scrapes = count(*scrapes, "count");
    report.last_scrape_ago = maybe(*scrapes, "last_seconds_ago");
    report.page_bytes = count(*scrapes, "page_bytes");
  }
  return report;
}

const ReportValue* find_value(const std::vector<ReportValue>& values, std::string_view metric,
                              std::initializer_list<std::pair<std::string_view, std::string_view>> attributes) {
  for (const ReportValue& value : values) {
    if (value.metric != metric) continue;
    if (std::all_of(attributes.begin(), attributes.end(),
                    [&](const auto& wanted) { return value.attribute(wanted.first) == wanted.second; }))
      return &value;
  }
  return nullptr;
}

std::optional<double> number(const std::vector<ReportValue>& values, std::string_view metric,
                             std::initializer_list<std::pair<std::string_view, std::string_view>> attributes) {
  const ReportValue* value = find_value(values, metric, attributes);
  return value == nullptr ? std::nullopt : value->value;
}

bool concerns(const ReportEvent& event, const ReportDevice& device) {
  return !event.device.empty() && (event.device == device.id || event.device == device.parent);
}

bool needs_hands(const Report& report) {
  return std::any_of(report.collectors.begin(), report.collectors.end(),
                     [](const ReportCollector& one) { return one.state == "stuck"; }) ||
         std::any_of(report.devices.begin(), report.devices.end(), [](const ReportDevice& device) {
           return number(device.values, "hw.status", {{"hw.state", "failed"}}).value_or(0) != 0;
         });
}

}  // namespace accelmon
