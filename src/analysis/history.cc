#include "analysis/question.h"

namespace accelmon::analysis {

void ask_history(const Facts& facts, Findings& out) {
  if (!facts.history) return;
  const HistoryFact& history = *facts.history;
  const auto add = [&](const char* code, Severity severity, std::string title, std::string advice) {
    Finding finding;
    finding.code = code;
    finding.severity = severity;
    finding.subject = "history";
    finding.title = std::move(title);
    if (!history.message.empty()) finding.title += ": " + history.message;
    finding.advice = std::move(advice);
    finding.evidence = {text_of("accelmon.history.status", history.state),
                        number_of("accelmon.history.dropped", static_cast<double>(history.dropped), "{poll}")};
    out.push_back(std::move(finding));
  };
  if (history.state == "disk_full")
    add("history_disk_full", Severity::warning, "the history's disk is full", "make room, or lower store.disk");
  else if (history.state == "error")
    add("history_error", Severity::warning, "the history cannot be written", "mend what is told");
  else if (history.state == "behind")
    add("history_behind", Severity::warning, "the history's disk is slower than the polls come",
        "a faster disk, or a longer poll.interval");
  if (history.damaged != 0) {
    add("history_damaged", Severity::warning, "parts of the history were damaged and are left out",
        "check the disk (smartctl); what is damaged was set aside and a new file begun where needed");
    out.back().evidence.push_back(number_of("damaged", static_cast<double>(history.damaged), "1"));
  }
}

}  // namespace accelmon::analysis
