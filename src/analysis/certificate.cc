#include "analysis/question.h"

namespace accelmon::analysis {
namespace {

constexpr Nanos kDay = 86400 * kSecond;
// Certificates of 90 days are renewed 30 days before their end, those of 6 days at 2 to 3: what is left after that is
// late, and what has two days is a warning whatever it was issued for.
constexpr Nanos kLate = 14 * kDay;
constexpr Nanos kSoon = 2 * kDay;

}  // namespace

void ask_certificate(const Facts& facts, Findings& out) {
  if (!facts.certificate_expires) return;
  const Nanos left = *facts.certificate_expires - facts.wall;
  if (left > kLate) return;
  Finding finding;
  finding.code = left <= 0 ? "certificate_expired" : "certificate_expires";
  finding.severity = left <= 0 ? Severity::critical : left <= kSoon ? Severity::warning : Severity::info;
  finding.subject = "http";
  finding.title = left <= 0 ? std::string("the listener's certificate has expired")
                            : "the listener's certificate expires in " +
                                  (left >= 2 * kDay ? std::to_string(left / kDay) + " days"
                                                    : std::to_string(left / (3600 * kSecond)) + " h");
  finding.advice = "renew it; the agent reads the files again at systemctl reload accelmon";
  finding.evidence = {number_of("left", to_seconds(left), "s")};
  out.push_back(std::move(finding));
}

}  // namespace accelmon::analysis
