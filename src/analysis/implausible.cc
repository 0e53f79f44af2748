#include <cmath>

#include "analysis/question.h"

namespace accelmon::analysis {
namespace {

constexpr Nanos kRecent = 600 * kSecond;

}  // namespace

// Such samples are kept back, so nobody is misled: it is worth knowing, and no alarm.
void ask_implausible(const Facts& facts, Findings& out) {
  for (const GrowthFact& one : facts.growth) {
    if (one.kind != "implausible" || one.grown <= 0 || facts.wall - one.last_grew > kRecent) continue;
    Finding finding;
    finding.code = "implausible_readings";
    finding.severity = Severity::info;
    finding.subject = one.subject;
    finding.title = "the driver told " + std::to_string(std::llround(one.total)) +
                    " values that cannot be true; they are kept back";
    finding.since = one.first_grew;
    finding.advice = "accelmon doctor names the metrics; a newer driver may mend it";
    finding.evidence = {number_of("accelmon.collector.implausible", one.total, "{sample}")};
    out.push_back(std::move(finding));
  }
}

}  // namespace accelmon::analysis
