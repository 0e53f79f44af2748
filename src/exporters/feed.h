// Where exporters take their frames from: the history on disk, or, without one, a bounded queue in memory.
//
// Each exporter has a cursor of its own: what one has taken the others still get. Threads: a Feed is filled by one
// thread; cursors are used by one thread each.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/recycler.h"
#include "base/status.h"
#include "store/disk_store.h"
#include "store/frame_batch.h"

namespace accelmon {

class FeedCursor {
 public:
  virtual ~FeedCursor() = default;
  // The next polls, at most `most` of them; empty when there are none.
  virtual Result<FrameBatch> read(size_t most) = 0;
  // What has been read is done with.
  virtual Status commit() = 0;
  virtual uint64_t behind() const = 0;  // polls that wait
};

// The last polls of all sources, at most `limit_bytes` of them. What falls out before a cursor has read it is counted
// in the batch. Holds the agent's own frames by reference: nothing is copied.
class MemoryFeed {
 public:
  explicit MemoryFeed(size_t limit_bytes) : core_(std::make_shared<Core>()) { core_->limit = limit_bytes; }
  void append(std::string_view source, const CatalogPtr& catalog, const Recycled<Frame>& frame);
  std::unique_ptr<FeedCursor> open() const;  // begins at now
  size_t bytes() const;

 private:
  struct Row {
    std::string source;
    CatalogPtr catalog;
    Recycled<Frame> frame;
    size_t bytes;
  };
  struct Core {
    mutable std::mutex mutex;
    size_t limit = 0;
    size_t bytes = 0;
    uint64_t first = 0;  // number of the oldest row
    std::deque<Row> rows;
  };
  class Cursor;
  std::shared_ptr<Core> core_;
};

// A cursor of the history on disk, by the exporter's name.
Result<std::unique_ptr<FeedCursor>> open_disk_cursor(DiskStore& store, const std::string& name);

}  // namespace accelmon
