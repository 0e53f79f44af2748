// The history as the API and the command line ask for it: on disk where there is one, else in memory.
//
// Threads: a value for one thread at a time; what it points at is safe for many.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/snapshot.h"
#include "store/disk_store.h"
#include "store/store.h"

namespace accelmon {

struct HistoryPlaces {
  const DiskStore* disk = nullptr;  // nullptr: none is kept
  const Store* memory = nullptr;
};

class HistoryView {
 public:
  // `now` lists the series of the history in memory, which does not list its own.
  HistoryView(HistoryPlaces places, Recycled<Snapshot> now) : places_(places), now_(std::move(now)) {}

  // Series with rows in [from, to], by source and key. Where the file cannot be read, memory answers from then on.
  std::vector<HistorySeries> list(Nanos from, Nanos to);
  // As Store::query. Never more than `max_points`: what even the coarsest tier has more of is merged further.
  Result<StoreRange> query(const HistorySeries& series, Nanos from, Nanos to, size_t max_points) const;
  bool on_disk() const { return places_.disk != nullptr; }

 private:
  HistoryPlaces places_;
  Recycled<Snapshot> now_;
};

// Whether a metric is told by its last value rather than by a mean: counters, and gauges without an upper bound, as the
// stores have it.
bool told_by_last(MetricId metric);

// Merges neighbours until there are at most `max_points`.
void thin(StoreRange& range, MetricId metric, size_t max_points);

}  // namespace accelmon
