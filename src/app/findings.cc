#include "app/findings.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/source.h"
#include "base/text.h"

namespace accelmon {
namespace {

using Json = nlohmann::json;

std::string text(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && found != object.end() && found->is_string()
             ? printable(found->get_ref<const std::string&>(), 400)
             : std::string();
}

double number_of(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && found != object.end() && found->is_number() ? found->get<double>() : 0;
}

}  // namespace

Result<ShownFindings> render_findings(std::string_view document, const View& view) {
  const Json json = Json::parse(document, nullptr, /*allow_exceptions=*/false);
  const auto list = json.is_object() ? json.find("findings") : json.end();
  if (!json.is_object() || list == json.end() || !list->is_array())
    return fail(Code::invalid, "the answer is no list of findings of accelmon");
  const double now = number_of(json, "time");
  ShownFindings out;
  if (list->empty()) {
    out.text = "nothing needs attention\n";
    return out;
  }
  size_t width = 0;
  for (const Json& one : *list) width = std::max(width, columns_of(text(one, "subject")));
  for (const Json& one : *list) {
    const std::string severity = text(one, "severity");
    const bool attention = severity == "warning" || severity == "critical";
    out.attention = out.attention || attention;
    std::string line = text(one, "title");
    if (const double since = number_of(one, "since"); since > 0 && now >= since)
      line += " (" + span_of_time(now - since) + ", since " + clock_time(since) + ")";
    const std::string begin = left(severity, 8) + "  " + left(text(one, "subject"), width) + "  ";
    hanging(out.text, begin, line, view.width);
    hanging(out.text, std::string(columns_of(begin), ' ') + "-> ", text(one, "advice"), view.width);
  }
  return out;
}

int run_findings(const Arguments& arguments) {
  int code = kFine;
  const Result<Source> source = get_source(arguments, /*frames=*/2, code);
  if (!source) return complain(source.error().message(), code);
  const Result<std::string> document = source->agent != nullptr ? Result<std::string>(source->agent->findings_json())
                                                                : ask(source->endpoints, "GET", "/api/v1/findings");
  if (!document) return complain(document.error().message(), kFailure);
  const Result<ShownFindings> shown = render_findings(*document, terminal_view());
  if (!shown) return complain(shown.error().message(), kFailure);
  code = shown->attention ? kFailure : kFine;
  if (arguments.value("--format", "text") == "json") return print(*document, code);
  const std::string note =
      source->agent != nullptr ? "no agent running: sampled here, so nothing is known of the last minute\n\n" : "";
  return print(note + shown->text, code);
}

}  // namespace accelmon
