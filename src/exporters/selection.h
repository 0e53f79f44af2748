// Which of the polls, and which of their series, an exporter sends. Patterns are those of matches() in base/text.h,
// over OpenTelemetry's names of the metric table.
//
// Threads: one at a time. Cost: a copy of each frame that is kept, where series are left out; else pointers.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "base/text.h"
#include "model/frame_run.h"

namespace accelmon {

class Selection {
 public:
  // `only` empty: all. `step` 0: every poll, else the last one of each source in each `step` of wall time. Steps end
  // `behind` the grid: polls lie on it, and one that begins there belongs to what is sent a moment later.
  Selection(std::vector<std::string> only, std::vector<std::string> except, Nanos step, Nanos behind = 0)
      : only_(std::move(only)), except_(std::move(except)), step_(step), behind_(behind) {}

  // The view lives until the next call, and no longer than `batch`.
  std::span<const FrameRun> of(std::span<const FrameRun> batch);
  bool takes(MetricId metric) const;
  bool every_poll() const { return step_ == 0; }

 private:
  const std::vector<bool>& mask_of(const CatalogPtr& catalog);

  std::vector<std::string> only_, except_;
  Nanos step_, behind_;
  struct Mask {
    CatalogPtr catalog;
    std::vector<bool> taken;
    bool all = true;
  };
  std::vector<Mask> masks_;
  std::vector<std::unique_ptr<Frame>> copies_;
  std::vector<std::vector<const Frame*>> frames_;
  std::vector<FrameRun> runs_;
};

}  // namespace accelmon
