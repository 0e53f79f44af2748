#include "app/command.h"
#include "app/source.h"
#include "app/status_table.h"
#include "encode/exposition.h"

namespace accelmon {
namespace {

Result<std::string> metrics_page(const Source& source) {
  if (source.agent == nullptr) return ask(source.endpoints, "GET", "/metrics");
  std::string page;
  const Recycled<Snapshot> snapshot = source.agent->snapshot();
  if (!snapshot) return fail(Code::not_ready, "no collector has shown anything yet");
  Exposition().render(*snapshot, ExpositionFormat::text_0_0_4, page);
  return page;
}

}  // namespace

int run_status(const Arguments& arguments) {
  int code = kFine;
  const Result<Source> source = get_source(arguments, /*frames=*/2, code);
  if (!source) return complain(source.error().message(), code);
  code = needs_hands(source->report) ? kFailure : kFine;
  const std::string format = arguments.value("--format", "table");
  if (format == "json") return print(source->json, code);
  if (format == "csv") return print(render_csv(source->report), code);
  if (format == "prometheus") {
    const Result<std::string> page = metrics_page(*source);
    if (!page) return complain(page.error().message(), kFailure);
    return print(*page, code);
  }
  return print(render_status(source->report, terminal_view()), code);
}

}  // namespace accelmon
