// Prometheus remote read, the server's side: a ReadRequest in, a ReadResponse with samples out.
//
// Requests come from whoever reaches the port: sizes, counts and texts are bounded, and nothing here evaluates a
// matcher. Threads: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace accelmon {

enum class MatchType : uint8_t { equal, not_equal, regex, not_regex };

struct LabelMatcher {
  MatchType type = MatchType::equal;
  std::string name;
  std::string value;  // of regex and not_regex an anchored RE2 expression, not checked here
};

struct ReadQuery {
  int64_t start_ms = 0;  // both ends belong to it
  int64_t end_ms = 0;
  std::vector<LabelMatcher> matchers;  // all of them must hold; an absent label is the empty text
  // Hints: what the caller will do with the samples. Not binding; 0 and empty where it does not say.
  int64_t step_ms = 0;
  int64_t range_ms = 0;
  std::string function;
};

struct ReadRequest {
  std::vector<ReadQuery> queries;
  // Whether the caller takes plain samples; if not (it names streamed chunks alone) it must be refused.
  bool takes_samples = true;
};

inline constexpr size_t kMaxReadRequestBytes = 1 << 20;  // uncompressed
inline constexpr size_t kMaxReadQueries = 64;
inline constexpr size_t kMaxReadMatchers = 64;  // of a query
inline constexpr size_t kMaxMatcherBytes = 4096;

// `body` as it came: compressed with snappy. invalid: what is wrong with it; exhausted: a bound.
Result<ReadRequest> decode_read_request(std::string_view body);

struct ReadSample {
  int64_t time_ms = 0;
  double value = 0;
};
struct ReadSeries {
  std::vector<std::pair<std::string, std::string>> labels;  // sorted by name, with __name__
  std::vector<ReadSample> samples;                          // ascending
};
using ReadResult = std::vector<ReadSeries>;  // of one query

// Replaces `body` by the compressed ReadResponse (Content-Type application/x-protobuf, Content-Encoding snappy): one
// result for each query, in the order of the request. Texts must be valid UTF-8 (encode/labels.h).
void encode_read_response(std::span<const ReadResult> results, std::string& body);

}  // namespace accelmon
