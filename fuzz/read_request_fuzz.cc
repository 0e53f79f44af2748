// Bytes of a hostile caller of remote read through snappy and the request's decoder. With an even first byte the rest
// is compressed first, so that the protobuf behind it is reached.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "encode/remote_read.h"
#include "encode/snappy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace accelmon;
  const auto require = [](bool good) {
    if (!good) std::abort();
  };
  if (size < 1) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string body(rest);
  if (data[0] % 2 == 0) snappy_compress(rest, body);
  const Result<ReadRequest> request = decode_read_request(body);
  if (!request) {
    require(!request.error().message().empty());
    return 0;
  }
  require(request->queries.size() <= kMaxReadQueries);
  for (const ReadQuery& query : request->queries) {
    require(query.matchers.size() <= kMaxReadMatchers && query.function.size() <= kMaxMatcherBytes);
    for (const LabelMatcher& matcher : query.matchers)
      require(!matcher.name.empty() && matcher.name.size() <= kMaxMatcherBytes &&
              matcher.value.size() <= kMaxMatcherBytes && matcher.type <= MatchType::not_regex);
  }
  return 0;
}
