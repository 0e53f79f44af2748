// The history in memory: bounded rings of what the pipeline gave, at full rate and in coarser tiers.
//
// Half of the memory holds every poll; a quarter each holds min, mean and max over 10 s and over 1 min, for longer
// spans. How far back each reaches follows from the bound, the number of series and how much they move: with 8 GPUs,
// 1,128 series of which a third move at each poll, 2 MiB hold 10 minutes at full rate and 3 hours of minutes
// (store_bench).
//
// Rows of one source share one time column. Counters and byte counts are kept as double, other gauges as float and
// given back as the shortest decimal that is that float; infos and derived smoothed values (EMA, windows) are not kept,
// since the former never change and the latter can be computed again. A series keeps its column over changes of the
// catalog as long as its key stays; the column of a series that is gone stays until its last row has left.
//
// Memory is reserved once and used page by page: a young store is small, and it never exceeds its limit (of 8 KiB at
// least; more series than it has room for have no history). At most 32 sources with names of at most 64 bytes.
//
// Threads: append() by one thread; the reading methods from any (one lock, held for some 10 us by an append of 1,000
// series and for 10 to 100 us by a query).
// Cost: about 12 ns for each series and poll; no allocation between changes of the catalog.
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
  Nanos wall = 0;  // of the sample; in a coarse tier of the last poll in the span
  // At full rate all three are the sample. In a coarse tier they are those of the span's samples, each counting the
  // same; of a counter, or a gauge without an upper bound, all three are the last sample, so that growth is exact.
  double minimum = 0;
  double mean = 0;
  double maximum = 0;
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
