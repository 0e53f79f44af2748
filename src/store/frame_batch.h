// Frames read back out of the history, with the catalogs that lay them out: what cursors and scans hand on.
//
// Owns everything that its runs show. Within a source frames ascend in the order in which they came.
// Threads: a value; moving it keeps the runs valid.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/recycler.h"
#include "model/frame_run.h"

namespace accelmon {

class FrameBatch {
 public:
  std::span<const FrameRun> runs() const { return runs_; }
  size_t frames() const { return frames_; }
  bool empty() const { return frames_ == 0; }
  // Polls that should have been among these and are gone: out of retention, dropped, or damaged.
  uint64_t lost() const { return lost_; }

 private:
  friend class BatchBuilder;
  std::vector<std::unique_ptr<Frame>> owned_;
  std::vector<Recycled<Frame>> shared_;  // of the polls that are not on the disk yet
  std::deque<std::string> names_;        // never moves its elements
  std::deque<std::vector<const Frame*>> frames_of_;
  std::vector<FrameRun> runs_;
  size_t frames_ = 0;
  uint64_t lost_ = 0;
};

// Puts a batch together. Runs come out by source, in the order in which sources first came.
class BatchBuilder {
 public:
  void add(std::string_view source, const CatalogPtr& catalog, uint64_t seq, std::unique_ptr<Frame> frame);
  void add(std::string_view source, const CatalogPtr& catalog, uint64_t seq, Recycled<Frame> frame);
  void lose(uint64_t rows) { batch_.lost_ += rows; }
  size_t frames() const { return rows_.size(); }
  uint64_t lost() const { return batch_.lost_; }
  FrameBatch finish();

 private:
  struct Row {
    uint32_t source;
    uint64_t seq;
    CatalogPtr catalog;
    const Frame* frame;
  };
  uint32_t source_of(std::string_view name);
  FrameBatch batch_;
  std::vector<Row> rows_;
};

}  // namespace accelmon
