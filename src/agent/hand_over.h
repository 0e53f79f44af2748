// What of each published snapshot the history and the exporters are given: every poll of every source once.
//
// Threads: the agent's. Cost: a comparison a source and publication.
#pragma once

#include <vector>

#include "base/clock.h"
#include "model/snapshot.h"

namespace accelmon {

class HandOver {
 public:
  // Calls `each(source)` for what is new since the last call, as it is shown: where several sources read one device,
  // what the arbiter believes. A poll that has been handed on is not again when only the arbiter's view of it changes:
  // whoever keeps it would have its other readings twice. The last source is the agent itself, whose numbers change
  // with every publication: once in an `interval` of the polls is enough. A source that is silent is shown again and
  // again, and handed on once, with the time at which it ended.
  template <class Each>
  void pass(const Snapshot& shown, Nanos interval, const Each& each) {
    given_.resize(shown.sources.size());
    for (size_t i = 0; i < shown.sources.size(); ++i) {
      const SourceView& source = shown.sources[i];
      if (source.catalog == nullptr || !source.frame) continue;
      Nanos& last = given_[i];
      const bool own = i + 1 == shown.sources.size();
      if (own ? source.frame->monotonic - last < interval * 9 / 10 : source.frame->monotonic <= last) continue;
      last = source.frame->monotonic;
      each(source);
    }
  }

 private:
  std::vector<Nanos> given_;  // monotonic, by source
};

}  // namespace accelmon
