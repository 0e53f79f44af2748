// The rows that are not on the disk yet, in the order in which they came: the queue to the writer, and the end of the
// history for whoever reads it.
//
// Bounded in rows and bytes; when it is full the oldest row goes and is counted. Frames are recycled, so between
// changes of catalogs nothing is allocated once as many rows have waited as ever do. Threads: any (one short lock).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/recycler.h"
#include "model/catalog.h"
#include "model/frame.h"

namespace accelmon::store {

// How a source's frames become rows of the history: which of their series are kept.
struct Layout {
  std::string source;
  CatalogPtr original;         // what frames come with
  CatalogPtr catalog;          // without smoothed values and windows
  std::vector<uint32_t> from;  // index into the original of each series
  std::vector<double> steps;   // the driver's resolution of each series
  // The writer's alone: the catalog as it lies on the disk.
  mutable std::string packed;
  mutable uint64_t hash = 0;
};
using LayoutPtr = std::shared_ptr<const Layout>;

LayoutPtr make_layout(std::string_view source, const CatalogPtr& catalog);

struct TailRow {
  uint64_t seq = 0;
  Recycled<Frame> frame;  // over layout->catalog
  LayoutPtr layout;
};

class Tail {
 public:
  explicit Tail(uint64_t limit_bytes);

  // True: so much waits that the writer should not wait for its hour.
  bool append(std::string_view source, const CatalogPtr& catalog, const Frame& frame);

  // Rows with numbers in (after, after + limit], oldest first; false: the row after `after` is no longer here, or
  // `after` lies before the first.
  bool copy(uint64_t after, size_t limit, std::vector<TailRow>& out) const;
  // All of them.
  void copy(std::vector<TailRow>& out) const;
  // The number of the oldest row here; of the next one to come when there is none.
  uint64_t first_seq() const;
  uint64_t next_seq() const;

  // Rows up to `seq` are on the disk; `count` of them were written, whether they were dropped meanwhile or not.
  void written(uint64_t seq, uint64_t count);
  // The first file came after rows did: all numbers grow by `by`.
  void renumber(uint64_t by);

  struct Counts {
    uint64_t waiting = 0;
    uint64_t waiting_bytes = 0;
    uint64_t dropped = 0;
  };
  Counts counts() const;

 private:
  struct Source {
    std::string name;
    LayoutPtr layout;
    Recycler<Frame> frames;
  };
  void pop();
  TailRow& at(size_t i) { return ring_[(head_ + i) % ring_.size()]; }
  const TailRow& at(size_t i) const { return ring_[(head_ + i) % ring_.size()]; }

  const uint64_t limit_bytes_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Source>> sources_;  // touched by append() alone
  std::vector<TailRow> ring_;
  size_t head_ = 0;
  size_t size_ = 0;
  uint64_t bytes_ = 0;
  uint64_t next_ = 1;
  uint64_t dropped_ = 0;
};

}  // namespace accelmon::store
