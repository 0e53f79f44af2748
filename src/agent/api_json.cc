#include "agent/api_json.h"

#include "model/units.h"

namespace accelmon {

HttpResponse api_json(std::string body) {
  body += '\n';
  return HttpResponse::text(200, std::move(body), "application/json");
}

HttpResponse api_error(unsigned status, std::string_view error, std::string_view hint) {
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("error").text(error).key("hint").text(hint).end_object();
  body += '\n';
  HttpResponse response = HttpResponse::text(status, std::move(body), "application/json");
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

HttpResponse api_error(const Status& status) {
  const std::string_view text = status.message();
  const size_t cut = text.find("; ");
  const std::string_view hint = cut == std::string_view::npos
                                    ? std::string_view("docs/openapi.yaml describes every parameter")
                                    : text.substr(cut + 2);
  const unsigned code = status.code() == Code::invalid || status.code() == Code::exhausted ? 400
                        : status.code() == Code::not_ready                                 ? 503
                                                                                           : 500;
  return api_error(code, text.substr(0, cut), hint);
}

void write_series(JsonWriter& json, std::string_view source, const Catalog& catalog, const Series& series) {
  json.key("source").text(source);
  json.key("metric").text(info(series.metric).name);
  json.key("device");
  if (series.device >= 0 && static_cast<size_t>(series.device) < catalog.devices.size())
    json.text(catalog.devices[static_cast<size_t>(series.device)].id);
  else
    json.null();
  json.key("attributes").begin_object();
  for (const Attribute& attribute : series.attributes) json.key(info(attribute.id).key).text(attribute.value);
  json.end_object();
  json.key("unit").text(unit_text(info(series.metric).unit));
}

void write_points(JsonWriter& json, const StoreRange& range) {
  json.key("step_seconds").number(to_seconds(range.step));
  json.key("points").begin_array();
  for (const StorePoint& point : range.points) {
    json.begin_array().number(api_time(point.wall)).number(point.mean);
    if (range.step != 0) json.number(point.minimum).number(point.maximum);
    json.end_array();
  }
  json.end_array();
}

double api_time(Nanos wall) {
  const Nanos milliseconds = wall / kMillisecond;
  return static_cast<double>(milliseconds) / 1e3;
}

}  // namespace accelmon
