#include "agent/finding_book.h"

#include <algorithm>

#include "agent/api_query.h"

namespace accelmon {
namespace {

// Seconds since the epoch, to the millisecond.
double seconds(Nanos wall) {
  return static_cast<double>(wall / kMillisecond) / 1e3;
}

}  // namespace

void FindingBook::grow(const Counter& counter, Nanos wall) {
  const auto [at, fresh] = grown_.try_emplace({counter.kind, counter.device_id, counter.subject});
  Grown& one = at->second;
  // Fewer than before: it was counted anew, and what it has now came since.
  if (fresh || counter.total < one.fact.total) {
    const double grown = fresh ? 0 : one.fact.grown;
    one.base = fresh ? counter.total : -grown;
    if (fresh)
      one.fact = {counter.kind, counter.device_id, counter.subject, counter.total, 0, 0, 0};
    else
      one.fact.total = 0;
  }
  if (counter.total > one.fact.total) {
    if (one.fact.grown <= 0) one.fact.first_grew = wall;
    one.fact.last_grew = wall;
  }
  one.fact.total = counter.total;
  one.fact.grown = counter.total - one.base;
  if (one.fact.grown > 0 && wall - one.fact.last_grew > kQuiet) {
    one.base = counter.total;
    one.fact.grown = 0;
  }
}

void FindingBook::evaluate(analysis::Facts facts, const std::vector<Counter>& counters) {
  for (const Counter& counter : counters) grow(counter, facts.wall);
  for (const analysis::DeviceReadings& device : facts.readings.devices()) {
    // Where there is a total the blocks are parts of it.
    std::optional<double> total;
    double sum = 0;
    bool any = false;
    for (const analysis::Reading& one : device.readings) {
      if (one.series->metric != MetricId::errors || one.attribute(AttributeId::error_type) != "uncorrected") continue;
      any = true;
      sum += one.value;
      if (one.attribute(AttributeId::error_block) == "total") total = one.value;
    }
    if (any) grow({"uncorrected_errors", device.device->id, device.name(), total.value_or(sum)}, facts.wall);
  }
  std::vector<analysis::GrowthFact> growth;
  for (const auto& [key, one] : grown_) growth.push_back(one.fact);
  const std::vector<Finding> before = std::move(findings_);
  facts.growth = growth;
  facts.before = before;
  findings_ = analysis::analyse(facts);
  // What held at the last look still does, however long ago that was.
  std::erase_if(
      seen_, [&](const auto& one) { return one.second.last != evaluated_at_ && facts.wall - one.second.last > kGap; });
  for (Finding& finding : findings_) {
    Seen& seen = seen_[{finding.code, finding.device_id, finding.subject}];
    if (seen.since == 0) seen.since = finding.since != 0 ? finding.since : facts.wall;
    // What began earlier than it was first seen is told so; it never begins later.
    if (finding.since != 0) seen.since = std::min(seen.since, finding.since);
    finding.since = seen.since;
    seen.last = facts.wall;
  }
  evaluated_at_ = facts.wall;
}

size_t FindingBook::count(Severity severity) const {
  return static_cast<size_t>(
      std::count_if(findings_.begin(), findings_.end(), [&](const Finding& one) { return one.severity == severity; }));
}

void write_finding(JsonWriter& json, const Finding& finding) {
  json.begin_object().key("code").text(finding.code).key("severity").text(to_string(finding.severity));
  json.key("device").text(finding.device_id).key("subject").text(finding.subject);
  json.key("title").text(finding.title).key("since").number(seconds(finding.since));
  json.key("evidence").begin_array();
  for (const Evidence& one : finding.evidence) {
    json.begin_object().key("name").text(one.name).key("value");
    if (one.number)
      json.number(*one.number);
    else
      json.text(one.text);
    json.key("unit").text(one.unit).end_object();
  }
  json.end_array().key("advice").text(finding.advice).end_object();
}

std::string findings_document(const std::vector<Finding>& findings, Nanos wall, std::string_view device_glob) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("time").number(seconds(wall)).key("findings").begin_array();
  for (const Finding& one : findings)
    if (device_glob.empty() || glob_matches(device_glob, one.device_id)) write_finding(json, one);
  json.end_array().end_object();
  return out;
}

}  // namespace accelmon
