#include <cmath>

#include "analysis/question.h"

namespace accelmon::analysis {
namespace {

constexpr Nanos kRecent = 3600 * kSecond;  // as a critical event

}  // namespace

// One error is one application that was stopped; those that endanger the device come with a critical event.
void ask_memory_errors(const Facts& facts, Findings& out) {
  for (const GrowthFact& one : facts.growth) {
    if (one.kind != "uncorrected_errors" || one.grown <= 0 || facts.wall - one.last_grew > kRecent) continue;
    Finding finding;
    finding.code = "uncorrected_errors";
    finding.severity = Severity::warning;
    finding.device_id = one.device_id;
    finding.subject = one.subject;
    const auto grown = std::llround(one.grown);
    finding.title = std::to_string(grown) + (grown == 1 ? " uncorrected memory error" : " uncorrected memory errors");
    finding.since = one.first_grew;
    finding.advice = "reset the GPU at the next drain; replace it if this repeats";
    finding.evidence = {number_of("grown", one.grown, "{error}"), number_of("hw.errors", one.total, "{error}")};
    out.push_back(std::move(finding));
  }
}

}  // namespace accelmon::analysis
