#include "store/frame_batch.h"

#include <algorithm>

namespace accelmon {

uint32_t BatchBuilder::source_of(std::string_view name) {
  uint32_t i = 0;
  for (const std::string& known : batch_.names_) {
    if (known == name) return i;
    ++i;
  }
  batch_.names_.emplace_back(name);
  return i;
}

void BatchBuilder::add(std::string_view source, const CatalogPtr& catalog, uint64_t seq, std::unique_ptr<Frame> frame) {
  frame->generation = catalog->generation;
  rows_.push_back({source_of(source), seq, catalog, frame.get()});
  batch_.owned_.push_back(std::move(frame));
}

void BatchBuilder::add(std::string_view source, const CatalogPtr& catalog, uint64_t seq, Recycled<Frame> frame) {
  rows_.push_back({source_of(source), seq, catalog, frame.get()});
  batch_.shared_.push_back(std::move(frame));
}

FrameBatch BatchBuilder::finish() {
  std::stable_sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) {
    return a.source != b.source ? a.source < b.source : a.seq < b.seq;
  });
  for (size_t i = 0; i < rows_.size();) {
    std::vector<const Frame*>& frames = batch_.frames_of_.emplace_back();
    size_t end = i;
    for (; end < rows_.size() && rows_[end].source == rows_[i].source && rows_[end].catalog == rows_[i].catalog; ++end)
      frames.push_back(rows_[end].frame);
    batch_.runs_.push_back({batch_.names_[rows_[i].source], rows_[i].catalog, frames});
    i = end;
  }
  batch_.frames_ = rows_.size();
  rows_.clear();
  return std::move(batch_);
}

}  // namespace accelmon
