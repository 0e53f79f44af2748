// Frames over catalogs for the tests of encoders of pushes.
#pragma once

#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "encode/snapshot_for_test.h"
#include "model/frame_run.h"

namespace accelmon::for_test {

inline constexpr Nanos kBegin = 1'700'000'000 * kSecond;

// Holds what a batch looks at. Frames go to the newest run; their values are given in the order of the series.
class BatchMaker {
 public:
  BatchMaker& run(std::string source, CatalogPtr catalog) {
    runs_.push_back({std::move(source), std::move(catalog), {}});
    return *this;
  }
  // Values that are absent are NaN here; their state is `why`.
  BatchMaker& frame(Nanos wall, const std::vector<double>& values, State why = State::stale) {
    Run& run = runs_.back();
    Frame& frame = frames_.emplace_back();
    frame.generation = run.catalog->generation;
    frame.wall = wall;
    frame.resize(run.catalog->series.size());
    for (size_t i = 0; i < values.size(); ++i)
      if (values[i] == values[i])
        frame.set(i, values[i]);
      else
        frame.absent(i, why);
    run.frames.push_back(&frame);
    return *this;
  }
  Frame& last_frame() { return frames_.back(); }
  std::span<const FrameRun> batch() {
    views_.clear();
    for (const Run& run : runs_) views_.push_back({run.source, run.catalog, run.frames});
    return views_;
  }

 private:
  struct Run {
    std::string source;
    CatalogPtr catalog;
    std::vector<const Frame*> frames;
  };
  std::deque<Run> runs_;
  std::deque<Frame> frames_;
  std::vector<FrameRun> views_;
};

// The frames of a snapshot as a batch of one frame a source, at `wall`.
inline BatchMaker batch_of(const Snapshot& snapshot, Nanos wall) {
  BatchMaker make;
  for (const SourceView& source : snapshot.sources) {
    make.run(source.name, source.catalog);
    make.frame(wall, {});
    make.last_frame().values = source.frame->values;
    make.last_frame().states = source.frame->states;
  }
  return make;
}

// One GPU with a gauge, a counter, an up-down counter, a state and an info; generation and device as wished.
inline CatalogPtr five_kinds(uint64_t generation = 1, const std::string& id = "GPU-1") {
  auto catalog = std::make_shared<Catalog>();
  catalog->generation = generation;
  CatalogBuilder build(*catalog);
  const int gpu = build.add_device({.id = id, .index = "0", .vendor = "nvidia", .model = "H100"});
  build.add(MetricId::temperature, gpu, Tier::fast, {{AttributeId::sensor_location, "gpu"}});
  build.add(MetricId::energy, gpu);
  build.add(MetricId::gpu_memory_usage, gpu);
  build.add(MetricId::hw_status, gpu, Tier::fast, {{AttributeId::hw_state, "ok"}});
  build.add(MetricId::device_info, gpu);
  return catalog;
}
inline constexpr double kGone = std::numeric_limits<double>::quiet_NaN();

// One frame of each source, all of them of the instant `wall`. A view: the snapshot must live.
class Runs {
 public:
  Runs(const Snapshot& snapshot, Nanos wall) {
    frames_.reserve(snapshot.sources.size());
    for (const SourceView& source : snapshot.sources) {
      if (source.catalog == nullptr || !source.frame) continue;
      source.frame->wall = wall;
      frames_.push_back(&*source.frame);
      runs_.push_back({source.name, source.catalog, std::span<const Frame* const>(&frames_.back(), 1)});
    }
  }
  operator std::span<const FrameRun>() const { return runs_; }  // NOLINT(google-explicit-constructor)

 private:
  std::vector<const Frame*> frames_;
  std::vector<FrameRun> runs_;
};

}  // namespace accelmon::for_test
