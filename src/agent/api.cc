#include "agent/api.h"

#include <algorithm>
#include <array>
#include <map>

#include "agent/api_json.h"
#include "agent/api_query.h"
#include "agent/finding_book.h"
#include "agent/status_document.h"
#include "base/text.h"

namespace accelmon {
namespace {

constexpr std::string_view kPrefix = "/api/v1/";

// What people look for who expect a whole Prometheus.
constexpr std::array<std::string_view, 6> kPromQl{"query",  "query_range", "series",
                                                  "labels", "label",       "query_exemplars"};

bool asks_for_promql(std::string_view name) {
  return std::find(kPromQl.begin(), kPromQl.end(), name.substr(0, name.find('/'))) != kPromQl.end();
}

// A device as the first source that shows it describes it, and who shows it.
struct ShownDevice {
  const Catalog* catalog = nullptr;
  const Device* device = nullptr;
  std::vector<std::string_view> sources;
};

}  // namespace

Api::Api(ApiSource source) : source_(std::move(source)), worker_([this] { source_.wake(); }) {}

bool Api::handle(const HttpRequest& request, HttpResponse& out) {
  if (!request.path.starts_with(kPrefix)) return false;
  const std::string_view name = request.path.substr(kPrefix.size());
  if (name == "status" || name == "release" || name == "resume") return false;  // the agent's own

  const bool is_read = request.path == kRemoteReadPath;
  if (is_read ? request.method != "POST" : request.method != "GET" && request.method != "HEAD") {
    out = api_error(405, std::string(request.path) + " is asked with " + (is_read ? "POST" : "GET"),
                    is_read ? "it speaks Prometheus' remote read; people want /api/v1/range"
                            : "send the parameters in the query string");
    out.headers.emplace_back("Allow", is_read ? "POST" : "GET, HEAD");
    return true;
  }
  if (name == "devices")
    out = devices(request);
  else if (name == "metrics")
    out = metrics(request);
  else if (name == "latest")
    out = latest(request);
  else if (name == "range")
    out = range(request);
  else if (name == "events")
    out = events(request);
  else if (name == "findings")
    out = findings(request);
  else if (name == "stream")
    out = stream(request);
  else if (is_read)
    out = read(request);
  else if (asks_for_promql(name))
    out = api_error(404, "no PromQL is evaluated here",
                    "let a Prometheus do so: remote_read with the url http://.../api/v1/read (docs/api.md), or ask "
                    "/api/v1/latest and /api/v1/range");
  else
    out = api_error(404, "there is no " + printable(request.path, 80),
                    "there are /api/v1/status, devices, metrics, latest, range, events, findings, stream and read");
  if (out.later == nullptr && out.stream == nullptr) out.headers.emplace_back("Cache-Control", "no-store");
  return true;
}

HttpResponse Api::work(ApiWorker::Job job) {
  HttpResponse response;
  response.later = worker_.submit(std::move(job));
  if (response.later == nullptr)
    return api_error(503, "too many questions to the history are being answered", "ask again in a moment");
  return response;
}

HttpResponse Api::devices(const HttpRequest& request) const {
  if (const auto none = QueryParameters::parse(request.query, std::array<std::string_view, 1>{"device"}); !none)
    return api_error(none.error());
  else {
    const Result<SeriesFilter> filter = SeriesFilter::make(nullptr, none->find("device"));
    if (!filter) return api_error(filter.error());
    const Recycled<Snapshot> snapshot = source_.snapshot();
    std::vector<ShownDevice> shown;
    std::map<std::string_view, size_t> known;
    if (snapshot) {
      for (const SourceView& source : snapshot->sources) {
        if (source.catalog == nullptr) continue;
        for (size_t i = 0; i < source.catalog->devices.size(); ++i) {
          if (!filter->takes_device(*source.catalog, static_cast<int32_t>(i))) continue;
          const Device& device = source.catalog->devices[i];
          const auto [at, fresh] = known.emplace(device.id, shown.size());
          if (fresh) shown.push_back({source.catalog.get(), &device, {}});
          shown[at->second].sources.push_back(source.name);
        }
      }
    }
    std::string body;
    JsonWriter json(body);
    json.begin_object().key("devices").begin_array();
    for (const ShownDevice& one : shown) {
      const Device& device = *one.device;
      json.begin_object().key("id").text(device.id).key("type").text(to_string(device.type));
      json.key("index").text(device.index).key("vendor").text(device.vendor).key("model").text(device.model);
      json.key("parent");
      if (device.parent >= 0 && static_cast<size_t>(device.parent) < one.catalog->devices.size())
        json.text(one.catalog->devices[static_cast<size_t>(device.parent)].id);
      else
        json.null();
      json.key("attributes").begin_object();
      for (const Attribute& attribute : device.info) json.key(info(attribute.id).key).text(attribute.value);
      json.end_object().key("sources").begin_array();
      for (const std::string_view source : one.sources) json.text(source);
      json.end_array().end_object();
    }
    json.end_array().end_object();
    return api_json(std::move(body));
  }
}

HttpResponse Api::metrics(const HttpRequest& request) const {
  const auto parameters = QueryParameters::parse(request.query, std::array<std::string_view, 1>{"metric"});
  if (!parameters) return api_error(parameters.error());
  const Result<SeriesFilter> filter = SeriesFilter::make(parameters->find("metric"), nullptr);
  if (!filter) return api_error(filter.error());

  // Who has a metric now: series and devices by source, in the sources' order.
  struct Has {
    size_t series = 0;
    size_t readable = 0;
    std::vector<std::string_view> devices;
  };
  const Recycled<Snapshot> snapshot = source_.snapshot();
  std::vector<std::map<size_t, Has>> has(all_metrics().size());
  for (size_t s = 0; snapshot && s < snapshot->sources.size(); ++s) {
    const SourceView& source = snapshot->sources[s];
    if (source.catalog == nullptr) continue;
    for (size_t i = 0; i < source.catalog->series.size(); ++i) {
      const Series& series = source.catalog->series[i];
      if (index(series.metric) >= has.size() || !filter->takes(series.metric)) continue;
      Has& one = has[index(series.metric)][s];
      ++one.series;
      if (source.frame && i < source.frame->states.size() && source.frame->states[i] == State::ok) ++one.readable;
      if (series.device < 0) continue;
      const std::string_view id = source.catalog->devices[static_cast<size_t>(series.device)].id;
      if (std::find(one.devices.begin(), one.devices.end(), id) == one.devices.end()) one.devices.push_back(id);
    }
  }

  std::string body;
  JsonWriter json(body);
  const auto bound = [&](std::string_view key, double value) {
    json.key(key).number(value);  // an infinity becomes null
  };
  json.begin_object().key("metrics").begin_array();
  for (const MetricInfo& metric : all_metrics()) {
    if (!filter->takes(metric.id)) continue;
    json.begin_object().key("name").text(metric.name).key("prometheus").text(prometheus_name(metric.id));
    json.key("kind").text(to_string(metric.kind)).key("unit").text(unit_text(metric.unit));
    bound("minimum", metric.minimum);
    bound("maximum", metric.maximum);
    json.key("on_page").boolean(!is_local(metric.id));
    json.key("attributes").begin_array();
    for (std::string_view rest = metric.attributes; !rest.empty();) {
      const size_t comma = rest.find(',');
      if (const std::string_view one = trim(rest.substr(0, comma)); !one.empty()) json.text(one);
      rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    }
    json.end_array().key("brief").text(metric.brief);
    json.key("sources").begin_array();
    for (const auto& [s, one] : has[index(metric.id)]) {
      json.begin_object().key("source").text(snapshot->sources[s].name);
      json.key("series").integer(static_cast<int64_t>(one.series));
      json.key("readable").integer(static_cast<int64_t>(one.readable));
      json.key("devices").begin_array();
      for (const std::string_view id : one.devices) json.text(id);
      json.end_array().end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().end_object();
  return api_json(std::move(body));
}

HttpResponse Api::latest(const HttpRequest& request) const {
  const auto parameters = QueryParameters::parse(request.query, std::array<std::string_view, 2>{"metric", "device"});
  if (!parameters) return api_error(parameters.error());
  const Result<SeriesFilter> filter = SeriesFilter::make(parameters->find("metric"), parameters->find("device"));
  if (!filter) return api_error(filter.error());
  const Recycled<Snapshot> snapshot = source_.snapshot();
  if (!snapshot) return api_error(503, "no data yet", "/-/ready says when there is");

  const Nanos now = source_.clock->monotonic();
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("time").number(api_time(snapshot->wall));
  json.key("series").begin_array();
  for (const SourceView& source : snapshot->sources) {
    if (source.catalog == nullptr || !source.frame) continue;
    const Frame& frame = *source.frame;
    for (size_t i = 0; i < source.catalog->series.size() && i < frame.states.size(); ++i) {
      const Series& series = source.catalog->series[i];
      if (!filter->takes(*source.catalog, series)) continue;
      json.begin_object();
      write_series(json, source.name, *source.catalog, series);
      json.key("value");
      if (frame.states[i] == State::ok)
        json.number(frame.values[i]);
      else
        json.null();
      json.key("state").text(to_string(frame.states[i]));
      const Nanos at = frame.read_at[static_cast<size_t>(series.tier)];
      json.key("age_seconds");
      const Nanos microseconds = std::max<Nanos>(0, now - at) / kMicrosecond;
      if (at != 0)
        json.number(static_cast<double>(microseconds) / 1e6);
      else
        json.null();
      json.end_object();
    }
  }
  json.end_array().end_object();
  return api_json(std::move(body));
}

HttpResponse Api::events(const HttpRequest& request) const {
  const auto parameters = QueryParameters::parse(request.query, std::array<std::string_view, 2>{"since", "device"});
  if (!parameters) return api_error(parameters.error());
  Nanos since = 0;
  if (const std::string* text = parameters->find("since")) {
    const Result<Nanos> time = parse_time(*text, source_.clock->wall());
    if (!time) return api_error(time.error());
    since = *time;
  }
  const std::string* device = parameters->find("device");
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("since").number(api_time(since)).key("events").begin_array();
  for (const EventLog::Entry& entry : source_.events()) {
    // One that went on until later is news too.
    if (std::max(entry.event.wall, entry.last) < since) continue;
    if (device != nullptr && !device->empty() && !glob_matches(*device, entry.event.device_id)) continue;
    write_event(json, entry);
  }
  json.end_array().end_object();
  return api_json(std::move(body));
}

HttpResponse Api::findings(const HttpRequest& request) const {
  const auto parameters = QueryParameters::parse(request.query, std::array<std::string_view, 1>{"device"});
  if (!parameters) return api_error(parameters.error());
  const std::string* device = parameters->find("device");
  return api_json(findings_document(source_.findings(), source_.clock->wall(),
                                    device != nullptr ? std::string_view(*device) : std::string_view()));
}

}  // namespace accelmon
