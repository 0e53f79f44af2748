// Snapshot -> Prometheus text 0.0.4, OpenMetrics 1.0, and (by encode/prometheus_protobuf.h) Prometheus' protobuf, in
// OpenTelemetry's vocabulary, DCGM's (encode/dcgm.h), or both.
//
// An Exposition prepares "name{labels} " once for each series when a catalog changes; rendering a snapshot then copies
// prefixes and numbers. Series whose state is not `ok` are left out (in OpenMetrics NaN must not stand for a missing
// value), and so is the header of a family without samples. All samples of a family stand together, over all sources;
// families stand in the order of metrics.def, and those that metrics.def calls LOCAL are left out.
//
// DCGM's families come behind the others. Its counters have names without _total, so in OpenMetrics, which knows no
// such counter, they are of type unknown.
//
// Labels are those of encode/labels.h, escaped. Of two series with the same labels the first source's stands.
// Threads: one at a time. Cost: about 35 ns a sample; no allocation once the buffers have grown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "encode/page_options.h"
#include "model/snapshot.h"

namespace accelmon {

enum class ExpositionFormat : uint8_t { text_0_0_4, openmetrics_1_0, protobuf };
inline constexpr size_t kExpositionFormats = 3;

// The Content-Type to answer with. OpenMetrics names the escaping of names that holds, as Prometheus 3 wants to be
// told.
std::string_view content_type(ExpositionFormat format);

// The format that an Accept header asks for: quality values, wildcards and specificity honoured; text 0.0.4 where there
// is no header, no match or a tie. `openmetrics-text` of version 1.0.0 or none is ours; a client that asks for 0.0.1
// gets text 0.0.4 where it takes that too (all scrapers do), and OpenMetrics 1.0.0 only where it takes nothing else of
// ours. Protobuf is for those who name it, with the parameters proto and encoding: no wildcard means it.
ExpositionFormat negotiate_format(std::string_view accept);
// Whether an Accept-Encoding header allows gzip ("gzip;q=0" does not).
bool accepts_gzip(std::string_view accept_encoding);

class ProtobufExposition;

class Exposition {
 public:
  explicit Exposition(PageOptions options = {});
  ~Exposition();
  Exposition(Exposition&&) noexcept;
  Exposition& operator=(Exposition&&) noexcept;

  // Replaces `page` (its capacity is kept) by the rendering of `snapshot`.
  void render(const Snapshot& snapshot, ExpositionFormat format, std::string& page);
  size_t bytes() const;                            // memory held by the prepared prefixes
  uint64_t prepared() const { return prepared_; }  // how often prefixes were, which leaves free memory behind

 private:
  struct Plan;
  PageOptions options_;
  std::unique_ptr<Plan> plan_;
  std::unique_ptr<ProtobufExposition> protobuf_;  // made when somebody asks for it
  uint64_t prepared_ = 0;
};

}  // namespace accelmon
