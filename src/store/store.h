// The history in memory: bounded rings of what the pipeline gave, at full rate and in coarser tiers.
//
// Half of the memory holds every poll; the other half holds min, mean and max over 10 s and 1 min for longer spans. How
// far back each reaches follows from the bound and the number of series. Rows of one source share one time column.
// Counters are kept as double, gauges as float; derived smoothed values (EMA, windows) are not kept, since they can be
// computed again. A series keeps its column over changes of the catalog as long as its key stays.
// Threads: append() by one thread; the reading methods from any (a lock, held for microseconds).
// Cost: one store per series and poll; no allocation between changes of the catalog.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/catalog.h"
#include "model/frame.h"

namespace accelmon {

struct StorePoint {
  Nanos wall = 0;
  double minimum = 0;
  double mean = 0;
  double maximum = 0;  // at full rate all three are the sample
};

struct StoreRange {
  Nanos step = 0;                  // of the tier that answered; 0: full rate
  std::vector<StorePoint> points;  // ascending; absent samples have no point
};

class Store {
 public:
  explicit Store(size_t limit_bytes);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  void append(std::string_view source, const CatalogPtr& catalog, const Frame& frame);

  // The samples of one series (its series_key) in [from, to], from the finest tier that reaches back to `from` and
  // gives at most `max_points`, else from the coarsest.
  StoreRange query(std::string_view source, std::string_view key, Nanos from, Nanos to, size_t max_points) const;

  size_t bytes() const;  // memory held
  size_t limit() const;
  Nanos full_rate_span() const;  // between the oldest and newest full-rate row, the longest of all sources

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace accelmon
