// What CloudWatch's answer to PutMetricData means for the sender.
//
// Reads the JSON errors of its JSON protocols and the XML of its older one and of what stands before it. Every byte is
// suspect; the fuzz target feeds this. The text for the log never repeats what a signature was made of: AWS answers a
// wrong signature with the request as it saw it, token and all. Threads: pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace accelmon {

enum class CloudWatchVerdict : uint8_t {
  accepted,
  throttled,    // send it again, later and later
  unavailable,  // likewise: a fault of theirs
  keys,         // the keys have expired or are unknown: fetch new ones, then send it again
  clock,        // this host's clock is wrong: send it again once it is right
  denied,       // the keys may not do this: a person must act; not to be sent again soon
  too_large,    // halve it
  invalid,      // never send it again
};
std::string_view to_string(CloudWatchVerdict verdict);
inline bool may_be_sent_again(CloudWatchVerdict verdict) {
  return verdict == CloudWatchVerdict::throttled || verdict == CloudWatchVerdict::unavailable ||
         verdict == CloudWatchVerdict::keys || verdict == CloudWatchVerdict::clock;
}

struct CloudWatchAnswer {
  CloudWatchVerdict verdict = CloudWatchVerdict::invalid;
  std::string code;  // AWS' name of the error, "ThrottlingException"; empty: it has none
  std::string text;  // for the log, printable
};
// `error_type` is the header x-amzn-ErrorType, or empty.
CloudWatchAnswer read_cloudwatch_answer(unsigned status, std::string_view error_type, std::string_view body);

}  // namespace accelmon
