// Query strings, times, globs and regular expressions of strangers.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/api_query.h"
#include "agent/label_match.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace accelmon;
  const auto require = [](bool good) {
    if (!good) std::abort();
  };
  if (size > 8192) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<QueryParameters> parameters = QueryParameters::parse(text, {});
  if (!parameters) {
    require(!parameters.error().message().empty());
  } else {
    require(parameters->all().size() <= kMaxParameters);
    for (const auto& [name, value] : parameters->all()) {
      for (const char c : value) require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
      (void)SeriesFilter::make(&name, &value);
      if (const Result<Nanos> time = parse_time(value, 1'764'000'000 * kSecond)) {
        require(*time >= 0);
        require(parse_time(format_time(*time), 0).value() == *time / kMillisecond * kMillisecond);
      }
    }
  }
  const size_t half = size / 2;
  (void)glob_matches(text.substr(0, half), text.substr(half));
  if (half <= 512)
    if (const auto match = LabelMatch::make({MatchType::regex, "x", std::string(text.substr(0, half))}))
      (void)match->matches(text.substr(half, 256));
  return 0;
}
