// Snapshot -> Prometheus' protobuf exposition: io.prometheus.client.MetricFamily messages, each behind its length.
//
// The same vocabularies, families, samples and labels in the same order as the text page (encode/exposition.h), which a
// scraper that asks for protobuf gets instead; infos and states are gauges, as there. Exposition::render() comes here
// by itself. Threads: one at a time. Cost: about 6 ns a sample; no allocation once the buffers have grown and while
// catalogs stay.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "encode/page_options.h"
#include "model/snapshot.h"

namespace accelmon {

class ProtobufExposition {
 public:
  explicit ProtobufExposition(PageOptions options = {});
  ~ProtobufExposition();
  ProtobufExposition(ProtobufExposition&&) noexcept;
  ProtobufExposition& operator=(ProtobufExposition&&) noexcept;

  // Replaces `page` (its capacity is kept) by the rendering of `snapshot`. Returns whether the families were prepared
  // anew for it.
  bool render(const Snapshot& snapshot, std::string& page);
  size_t bytes() const;  // memory held by what is prepared

 private:
  struct Plan;
  PageOptions options_;
  std::unique_ptr<Plan> plan_;
};

}  // namespace accelmon
