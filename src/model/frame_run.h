// Consecutive polls of one source over one catalog: what exporters hand to encoders, whether it is the latest poll or
// hours of them out of the history.
//
// A view: whoever makes a run owns the frames, for as long as the run is read. A batch is a span of runs, of several
// sources, ascending in time within each source; two runs of one source follow one another where its catalog changed.
// Threads: values.
#pragma once

#include <span>
#include <string_view>

#include "model/catalog.h"
#include "model/frame.h"

namespace accelmon {

struct FrameRun {
  std::string_view source;  // "nvml", "host", "agent"
  CatalogPtr catalog;       // lays out each of the frames
  std::span<const Frame* const> frames;
};

}  // namespace accelmon
