#include "analysis/question.h"

namespace accelmon::analysis {
namespace {

// The longest pause between two tries is a minute: a far end that was restarted has been asked again by then.
constexpr Nanos kPatience = 120 * kSecond;

}  // namespace

void ask_exporters(const Facts& facts, Findings& out) {
  for (const ExporterFact& one : facts.exporters) {
    Finding finding;
    finding.severity = Severity::warning;
    finding.subject = one.name;
    if (one.state == "failed") {
      finding.code = "exporter_failed";
      finding.title = "the exporter cannot work";
      finding.advice = "mend its settings, then systemctl reload accelmon";
    } else if (one.state == "refused") {
      finding.code = "exporter_refused";
      finding.title = "the far end refuses what it is sent for good";
      finding.advice = "its answer says what it wants; what it refused is lost";
    } else if (one.state == "waiting" &&
               (one.last_success != 0 ? facts.wall - one.last_success : facts.watched) > kPatience) {
      finding.code = "exporter_behind";
      finding.title = "the far end takes nothing";
      finding.advice = facts.history ? "what is polled meanwhile is sent afterwards"
                                     : "without store.path only the last minutes are kept for it";
    } else {
      continue;
    }
    if (!one.message.empty()) finding.title += ": " + one.message;
    finding.evidence = {text_of("accelmon.exporter.status", one.state),
                        number_of("accelmon.exporter.behind", static_cast<double>(one.behind), "{poll}"),
                        number_of("accelmon.exporter.lost", static_cast<double>(one.lost), "{poll}")};
    out.push_back(std::move(finding));
  }
}

}  // namespace accelmon::analysis
