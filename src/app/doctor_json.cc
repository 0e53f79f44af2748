// `accelmon doctor --format json`: the same findings for programs, under stable keys.
#include "app/diagnosis.h"
#include "encode/json.h"

namespace accelmon {
namespace {

void texts(JsonWriter& json, std::string_view key, const std::vector<std::string>& list) {
  json.key(key).begin_array();
  for (const std::string& one : list) json.text(one);
  json.end_array();
}

void counts(JsonWriter& json, std::string_view key, std::string_view name,
            const std::vector<std::pair<std::string, uint64_t>>& list) {
  json.key(key).begin_array();
  for (const auto& [text, count] : list)
    json.begin_object().key(name).text(text).key("count").integer(static_cast<int64_t>(count)).end_object();
  json.end_array();
}

}  // namespace

std::string doctor_json(const Report& report, const Diagnosis& diagnosis) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("version").text(report.version).key("hostname").text(report.hostname);
  json.key("sampled").boolean(report.sampled).key("simulated").boolean(report.simulated);
  json.key("needs_attention").boolean(needs_hands(report));
  json.key("collectors").begin_array();
  for (const CollectorDiagnosis& one : diagnosis.collectors) {
    const ReportCollector& collector = *one.collector;
    json.begin_object().key("name").text(collector.name).key("vendor").text(collector.vendor);
    json.key("state").text(collector.state).key("message").text(collector.message);
    json.key("facts").begin_object();
    for (const auto& [name, value] : collector.facts) json.key(name).text(value);
    json.end_object();
    json.key("read").begin_object();
    json.key("metrics").integer(static_cast<int64_t>(one.metrics));
    json.key("devices").integer(static_cast<int64_t>(one.devices)).end_object();
    json.key("stands_by_for");
    if (one.stands_by_for != nullptr)
      json.text(one.stands_by_for->name);
    else
      json.null();
    json.key("not_read").begin_array();
    for (const NotRead& line : one.not_read) {
      json.begin_object().key("reason").text(line.reason).key("state").text(line.state);
      texts(json, "metrics", line.metrics);
      texts(json, "devices", line.devices);
      json.end_object();
    }
    json.end_array();
    json.key("slow").begin_array();
    for (const ReportCall& call : one.slow) {
      json.begin_object().key("call").text(call.name).key("calls").integer(static_cast<int64_t>(call.calls));
      json.key("seconds").number(call.seconds).key("longest_seconds").number(call.longest).end_object();
    }
    json.end_array();
    counts(json, "errors", "code", collector.errors);
    counts(json, "implausible", "metric", collector.implausible);
    json.key("restarts").integer(static_cast<int64_t>(collector.restarts));
    json.key("missed_ticks").integer(static_cast<int64_t>(collector.missed_ticks));
    json.key("rejected").integer(static_cast<int64_t>(collector.rejected));
    json.end_object();
  }
  json.end_array();
  json.key("exporters").begin_array();
  for (const ReportExporter& one : report.exporters) {
    json.begin_object().key("name").text(one.name).key("type").text(one.type).key("where").text(one.where);
    json.key("state").text(one.state).key("message").text(one.message);
    if (!one.note.empty()) json.key("note").text(one.note);
    json.key("samples").integer(static_cast<int64_t>(one.samples));
    json.key("rejected_samples").integer(static_cast<int64_t>(one.rejected));
    json.key("lost_polls").integer(static_cast<int64_t>(one.lost_polls));
    json.key("behind_polls").integer(static_cast<int64_t>(one.behind)).end_object();
  }
  json.end_array();
  if (report.history) {
    const ReportHistory& history = *report.history;
    json.key("history").begin_object().key("state").text(history.state).key("message").text(history.message);
    json.key("bytes").integer(static_cast<int64_t>(history.bytes));
    json.key("polls_written").integer(static_cast<int64_t>(history.written));
    json.key("polls_dropped").integer(static_cast<int64_t>(history.dropped)).end_object();
  }
  texts(json, "advice", diagnosis.advice);
  json.end_object();
  return out + "\n";
}

}  // namespace accelmon
