#include "exporters/selection.h"

#include <algorithm>

namespace accelmon {

namespace {
constexpr size_t kMostMasks = 32;  // sources, and catalogs that are on their way out
}

bool Selection::takes(MetricId metric) const {
  const std::string_view name = info(metric).name;
  const auto any = [&](const std::vector<std::string>& patterns) {
    return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& one) { return matches(one, name); });
  };
  return (only_.empty() || any(only_)) && !any(except_);
}

const std::vector<bool>& Selection::mask_of(const CatalogPtr& catalog) {
  for (Mask& mask : masks_)
    if (mask.catalog == catalog) return mask.taken;
  if (masks_.size() >= kMostMasks) masks_.erase(masks_.begin());
  Mask& mask = masks_.emplace_back();
  mask.catalog = catalog;
  bool all = true;
  for (const Series& series : catalog->series) {
    mask.taken.push_back(takes(series.metric));
    all = all && mask.taken.back();
  }
  if (all) mask.taken.clear();  // nothing to leave out
  return mask.taken;
}

std::span<const FrameRun> Selection::of(std::span<const FrameRun> batch) {
  copies_.clear();
  frames_.clear();
  runs_.clear();
  frames_.reserve(batch.size());
  for (size_t r = 0; r < batch.size(); ++r) {
    const FrameRun& run = batch[r];
    const std::vector<bool>& mask = mask_of(run.catalog);
    std::vector<const Frame*>& kept = frames_.emplace_back();
    for (size_t i = 0; i < run.frames.size(); ++i) {
      const Frame* frame = run.frames[i];
      if (step_ > 0) {
        // The next poll of the same source, which may be in a run of another catalog.
        const Frame* next = i + 1 < run.frames.size() ? run.frames[i + 1] : nullptr;
        for (size_t later = r + 1; next == nullptr && later < batch.size(); ++later)
          if (batch[later].source == run.source && !batch[later].frames.empty()) next = batch[later].frames.front();
        if (next != nullptr && (next->wall - behind_) / step_ == (frame->wall - behind_) / step_) continue;
      }
      if (!mask.empty()) {
        auto copy = std::make_unique<Frame>(*frame);
        for (size_t s = 0; s < mask.size() && s < copy->states.size(); ++s)
          if (!mask[s]) copy->absent(s, State::unsupported);
        frame = copy.get();
        copies_.push_back(std::move(copy));
      }
      kept.push_back(frame);
    }
    if (!kept.empty()) runs_.push_back(FrameRun{run.source, run.catalog, kept});
  }
  return runs_;
}

}  // namespace accelmon
