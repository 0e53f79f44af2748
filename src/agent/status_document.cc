#include "agent/status_document.h"

#include <unistd.h>

#include "encode/json.h"

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

void write_value(JsonWriter& json, const Catalog& catalog, const Frame& frame, size_t i, Nanos now) {
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

void write_devices(JsonWriter& json, const CollectorSlot& slot, Nanos now, bool values) {
  const SourceView view = slot.view();
  if (view.catalog == nullptr) return;
  const Catalog& catalog = *view.catalog;
  for (size_t d = 0; d < catalog.devices.size(); ++d) {
    const Device& device = catalog.devices[d];
    json.begin_object();
    json.key("id").text(device.id).key("type").text(to_string(device.type));
    json.key("index").text(device.index).key("vendor").text(device.vendor).key("model").text(device.model);
    json.key("parent");
    if (device.parent >= 0)
      json.text(catalog.devices[static_cast<size_t>(device.parent)].id);
    else
      json.null();
    json.key("collector").text(slot.name());
    json.key("attributes").begin_object();
    for (const Attribute& attribute : device.info) json.key(info(attribute.id).key).text(attribute.value);
    json.end_object();
    json.key("values").begin_array();
    for (size_t i = 0; values && i < catalog.series.size(); ++i)
      if (catalog.series[i].device == static_cast<int32_t>(d)) write_value(json, catalog, *view.frame, i, now);
    json.end_array().end_object();
  }
}

}  // namespace

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
  for (const auto& slot : in.slots) write_devices(json, *slot, now, in.device_values);
  json.end_array();

  json.key("host").begin_array();
  for (const auto& slot : in.slots) {
    const SourceView view = slot->view();
    if (view.catalog == nullptr) continue;
    for (size_t i = 0; i < view.catalog->series.size(); ++i)
      if (view.catalog->series[i].device < 0) write_value(json, *view.catalog, *view.frame, i, now);
  }
  json.end_array();

  json.key("events").begin_array();
  for (const Event& event : in.events) {
    json.begin_object().key("wall").number(static_cast<double>(event.wall / kMillisecond) / 1e3);
    json.key("severity").text(to_string(event.severity)).key("device").text(event.device_id);
    json.key("code").text(event.code).key("message").text(event.message).end_object();
  }
  json.end_array();

  json.key("scrapes").begin_object().key("count").integer(static_cast<int64_t>(in.scrapes));
  seconds_or_null(json, "last_seconds_ago", in.last_scrape != 0, now - in.last_scrape);
  json.key("page_bytes").integer(static_cast<int64_t>(in.page_bytes)).end_object();
  json.end_object();
  out += '\n';
  return out;
}

}  // namespace accelmon
