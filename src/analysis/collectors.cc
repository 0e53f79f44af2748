#include "analysis/question.h"

namespace accelmon::analysis {
namespace {

// A driver may need many seconds to begin with boards; one that hung before is not waited for so long.
constexpr Nanos kLongStart = 30 * kSecond;
constexpr Nanos kLongRestart = 5 * kSecond;

bool hangs_at_start(const CollectorFact& one) {
  return one.state == "starting" && !one.call.empty() && one.in_call >= (one.restarts > 0 ? kLongRestart : kLongStart);
}

}  // namespace

void ask_collectors(const Facts& facts, Findings& out) {
  for (const CollectorFact& one : facts.collectors) {
    Finding finding;
    finding.subject = one.name;
    if (one.state == "stuck") {
      finding.code = "collector_stuck";
      finding.severity = Severity::critical;
      finding.title = "the collector sits in the kernel and cannot be killed";
      finding.advice = "see dmesg; only its driver, or a reboot, lets it go";
    } else if (one.state == "silent" || hangs_at_start(one)) {
      finding.code = "collector_silent";
      finding.severity = Severity::warning;
      finding.title = "the collector shows nothing";
      finding.advice = "its process is ended and started anew after poll.hang; see dmesg if that repeats";
    } else if (one.state == "backing_off" ||
               // On its way up it has not shown that it stays there.
               (one.state == "starting" && one.restarts > 0 && facts.held("collector_failing", "", one.name))) {
      finding.code = "collector_failing";
      finding.severity = Severity::warning;
      finding.title = "the collector ended and is started again";
      finding.advice = "accelmon doctor says what it read and which calls failed";
    } else {
      continue;
    }
    if (!one.call.empty()) {
      finding.title += "; it is in " + one.call;
      finding.evidence.push_back(text_of("call", one.call));
      finding.evidence.push_back(number_of("in_call", to_seconds(one.in_call), "s"));
    } else if (!one.message.empty()) {
      finding.title += ": " + one.message;
    }
    finding.evidence.push_back(text_of("accelmon.collector.status", one.state));
    finding.evidence.push_back(
        number_of("accelmon.collector.restarts", static_cast<double>(one.restarts), "{restart}"));
    out.push_back(std::move(finding));
  }
}

}  // namespace accelmon::analysis
