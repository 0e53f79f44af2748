#include "agent/status_document.h"

#include <unistd.h>

#include <map>

#include "encode/json.h"
#include "model/event_catalogue.h"

namespace accelmon {
namespace {

// Nanoseconds are noise to a reader; microseconds are not.
double rounded(Nanos span) {
  return static_cast<double>(span / kMicrosecond) / 1e6;
}

void seconds_or_null(JsonWriter& json, std::string_view key, bool known, Nanos span) {
  json.key(key);
  if (known)
    json.number(rounded(span));
  else
    json.null();
}

// When the series was last read, as far as its tier tells.
Nanos read_at(const Frame& frame, const Series& series) {
  return frame.read_at[static_cast<size_t>(series.tier)];
}

void write_value(JsonWriter& json, const Catalog& catalog, const Frame& frame, size_t i, Nanos now,
                 std::string_view source = {}) {
  const Series& series = catalog.series[i];
  json.begin_object();
  json.key("metric").text(info(series.metric).name);
  json.key("attributes").begin_object();
  for (const Attribute& attribute : series.attributes) json.key(info(attribute.id).key).text(attribute.value);
  json.end_object();
  json.key("value");
  if (frame.states[i] == State::ok)
    json.number(frame.values[i]);
  else
    json.null();
  json.key("unit").text(unit_text(info(series.metric).unit));
  json.key("state").text(to_string(frame.states[i]));
  const Nanos at = read_at(frame, series);
  seconds_or_null(json, "age_seconds", at != 0, now - at);
  if (!source.empty()) json.key("source").text(source);
  json.end_object();
}

void write_collector(JsonWriter& json, const CollectorSlot& slot, const ProcessUse& use, Nanos now) {
  json.begin_object();
  json.key("name").text(slot.name());
  json.key("vendor").text(slot.entry().vendor);
  json.key("brief").text(slot.entry().brief);
  json.key("state").text(to_string(slot.state()));
  json.key("message").text(slot.message());
  json.key("pid");
  if (slot.pid() > 0)
    json.integer(slot.pid());
  else
    json.null();
  const bool seen = slot.last_frame_at() != 0;
  seconds_or_null(json, "age_seconds", seen, now - slot.last_frame_at());
  json.key("frames").integer(static_cast<int64_t>(slot.frames()));
  seconds_or_null(json, "duration_seconds", seen, slot.last_duration());
  seconds_or_null(json, "cpu_seconds", use.known || use.cpu != 0, use.cpu);
  json.key("resident_bytes");
  if (use.known)
    json.integer(static_cast<int64_t>(use.resident));
  else
    json.null();
  json.key("restarts").integer(static_cast<int64_t>(slot.restarts()));
  json.key("missed_ticks").integer(static_cast<int64_t>(slot.missed_ticks()));
  json.key("rejected").integer(static_cast<int64_t>(slot.rejected()));
  const CatalogPtr& catalog = slot.catalog();
  json.key("series").integer(static_cast<int64_t>(slot.collected_series()));

  json.key("current_call");
  Nanos since = 0;
  if (const std::string call = slot.pid() > 0 ? slot.current_call(since) : ""; !call.empty()) {
    json.begin_object().key("name").text(call).key("seconds").number(rounded(since)).end_object();
  } else {
    json.null();
  }

  json.key("facts").begin_object();
  if (catalog != nullptr)
    for (const auto& [name, value] : catalog->facts) json.key(name).text(value);
  json.end_object();

  json.key("absences").begin_array();
  if (catalog != nullptr) {
    for (const Absence& absence : catalog->absences) {
      json.begin_object().key("metric").text(info(absence.metric).name).key("device");
      if (absence.device >= 0)
        json.text(catalog->devices[static_cast<size_t>(absence.device)].id);
      else
        json.null();
      json.key("state").text(to_string(absence.state)).key("reason").text(absence.reason).end_object();
    }
  }
  json.end_array();

  json.key("errors").begin_array();
  for (const auto& [code, count] : slot.totals().errors)
    json.begin_object().key("code").text(code).key("count").integer(static_cast<int64_t>(count)).end_object();
  json.end_array();

  json.key("calls").begin_array();
  for (const CallStats& call : slot.totals().calls) {
    json.begin_object().key("name").text(call.name).key("calls").integer(static_cast<int64_t>(call.calls));
    json.key("seconds").number(rounded(call.time)).key("longest_seconds").number(rounded(call.longest)).end_object();
  }
  json.end_array();

  json.key("implausible").begin_array();
  for (const auto& [metric, count] : slot.pipeline().implausible())
    json.begin_object()
        .key("metric")
        .text(info(metric).name)
        .key("count")
        .integer(static_cast<int64_t>(count))
        .end_object();
  json.end_array();
  json.end_object();
}

// The places of a device in the sources that show something of it; the first one's word is its description.
struct Shown {
  size_t source;
  size_t device;
};

std::vector<std::vector<Shown>> shown_devices(const std::vector<ArbiterSource>& views) {
  std::vector<std::vector<Shown>> all;
  std::map<std::string_view, size_t> known;
  for (size_t s = 0; s < views.size(); ++s) {
    if (views[s].view.catalog == nullptr) continue;
    const std::vector<Device>& devices = views[s].view.catalog->devices;
    for (size_t d = 0; d < devices.size(); ++d) {
      const auto [at, fresh] = known.emplace(devices[d].id, all.size());
      if (fresh) all.emplace_back();
      all[at->second].push_back({s, d});
    }
  }
  return all;
}

void write_device(JsonWriter& json, const StatusInputs& in, const std::vector<Shown>& places, Nanos now) {
  const Catalog& first = *in.views[places.front().source].view.catalog;
  const Device& device = first.devices[places.front().device];
  json.begin_object();
  json.key("id").text(device.id).key("type").text(to_string(device.type));
  json.key("index").text(device.index).key("vendor").text(device.vendor).key("model").text(device.model);
  json.key("parent");
  if (device.parent >= 0)
    json.text(first.devices[static_cast<size_t>(device.parent)].id);
  else
    json.null();
  json.key("collector").text(in.views[places.front().source].view.name);
  json.key("attributes").begin_object();
  for (const Attribute& attribute : device.info) json.key(info(attribute.id).key).text(attribute.value);
  json.end_object();
  json.key("values").begin_array();
  for (const Shown& place : places) {
    const SourceView& view = in.views[place.source].view;
    // Who is believed is said where there is a choice.
    const std::string_view source = places.size() > 1 ? std::string_view(view.name) : std::string_view();
    for (size_t i = 0; in.device_values && i < view.catalog->series.size(); ++i)
      if (view.catalog->series[i].device == static_cast<int32_t>(place.device))
        write_value(json, *view.catalog, *view.frame, i, now, source);
  }
  json.end_array().end_object();
}

void write_exporter(JsonWriter& json, const ExporterState& one) {
  json.begin_object();
  json.key("name").text(one.name);
  json.key("type").text(one.type);
  json.key("where").text(one.where);
  json.key("state").text(to_string(one.health));
  json.key("message").text(one.message);
  if (!one.note.empty()) json.key("note").text(one.note);
  json.key("samples").integer(static_cast<int64_t>(one.samples));
  json.key("rejected_samples").integer(static_cast<int64_t>(one.rejected));
  json.key("repeated_samples").integer(static_cast<int64_t>(one.repeated));
  json.key("lost_polls").integer(static_cast<int64_t>(one.lost_polls));
  json.key("late_samples").integer(static_cast<int64_t>(one.late));
  json.key("requests_ok").integer(static_cast<int64_t>(one.requests_ok));
  json.key("requests_failed").integer(static_cast<int64_t>(one.requests_failed));
  json.key("bytes").integer(static_cast<int64_t>(one.bytes));
  json.key("behind_polls").integer(static_cast<int64_t>(one.behind));
  if (one.last_success != 0) json.key("last_success").number(to_seconds(one.last_success));
  if (one.next_try != 0) json.key("next_try").number(to_seconds(one.next_try));
  json.end_object();
}

void write_history(JsonWriter& json, std::string_view path, const DiskState& state) {
  json.key("history").begin_object();
  json.key("path").text(path);
  json.key("state").text(to_string(state.health));
  json.key("message").text(state.text);
  json.key("bytes").integer(static_cast<int64_t>(state.bytes));
  json.key("polls_written").integer(static_cast<int64_t>(state.rows_written));
  json.key("polls_dropped").integer(static_cast<int64_t>(state.rows_dropped));
  json.key("polls_waiting").integer(static_cast<int64_t>(state.rows_waiting));
  json.key("chunks_damaged").integer(static_cast<int64_t>(state.chunks_damaged));
  json.end_object();
}

}  // namespace

void write_event(JsonWriter& json, const EventLog::Entry& entry) {
  const Event& event = entry.event;
  json.begin_object().key("wall").number(static_cast<double>(event.wall / kMillisecond) / 1e3);
  json.key("severity").text(to_string(event.severity)).key("device").text(event.device_id);
  json.key("code").text(event.code).key("message").text(event.message);
  json.key("source").text(entry.source).key("times").integer(entry.times);
  json.key("burst");
  if (entry.burst != 0)
    json.integer(static_cast<int64_t>(entry.burst));
  else
    json.null();
  json.key("root").boolean(entry.root);
  const EventEntry* known = find_event(event.code);
  json.key("meaning").text(known != nullptr ? known->meaning : "");
  json.key("action").text(known != nullptr ? known->action : "");
  json.end_object();
}

std::string status_document(const StatusInputs& in) {
  std::string out;
  JsonWriter json(out);
  const Nanos now = in.clock.monotonic();
  const Nanos wall = in.clock.wall();
  json.begin_object();
  json.key("version").text(in.version).key("pid").integer(::getpid());
  json.key("started_at").number(static_cast<double>(in.self.started_wall() / kMillisecond) / 1e3);
  json.key("uptime_seconds").number(rounded(wall - in.self.started_wall()));
  json.key("now").number(static_cast<double>(wall / kMillisecond) / 1e3);
  json.key("hostname").text(in.hostname).key("address").text(in.address).key("socket").text(in.socket);
  json.key("tls").boolean(in.tls).key("authenticates").boolean(in.authenticates);
  json.key("simulated").boolean(in.simulated);
  json.key("poll").begin_object();
  json.key("interval_seconds").number(to_seconds(in.config.poll.interval));
  json.key("slow_seconds").number(to_seconds(in.config.poll.slow));
  json.key("rare_seconds").number(to_seconds(in.config.poll.rare));
  json.end_object();

  json.key("collectors").begin_array();
  for (size_t i = 0; i < in.slots.size(); ++i) write_collector(json, *in.slots[i], in.self.use_of(i), now);
  json.end_array();

  json.key("devices").begin_array();
  for (const std::vector<Shown>& places : shown_devices(in.views)) write_device(json, in, places, now);
  json.end_array();

  json.key("host").begin_array();
  for (const ArbiterSource& source : in.views) {
    const SourceView& view = source.view;
    if (view.catalog == nullptr) continue;
    for (size_t i = 0; i < view.catalog->series.size(); ++i)
      if (view.catalog->series[i].device < 0) write_value(json, *view.catalog, *view.frame, i, now);
  }
  json.end_array();

  json.key("event_catalogue").integer(event_catalogue_version());
  json.key("exporters").begin_array();
  for (const ExporterState& one : in.exporters) write_exporter(json, one);
  json.end_array();
  if (in.history) write_history(json, in.history_path, *in.history);
  json.key("events").begin_array();
  for (const EventLog::Entry& entry : in.events.entries()) write_event(json, entry);
  json.end_array();

  if (in.findings) {
    json.key("findings").begin_object();
    for (const Severity severity : {Severity::critical, Severity::warning, Severity::info})
      json.key(to_string(severity)).integer(static_cast<int64_t>((*in.findings)[static_cast<size_t>(severity)]));
    json.end_object();
  }
  json.key("scrapes").begin_object().key("count").integer(static_cast<int64_t>(in.scrapes));
  seconds_or_null(json, "last_seconds_ago", in.last_scrape != 0, now - in.last_scrape);
  json.key("page_bytes").integer(static_cast<int64_t>(in.page_bytes)).end_object();
  json.end_object();
  out += '\n';
  return out;
}

}  // namespace accelmon
