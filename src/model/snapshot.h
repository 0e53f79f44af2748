// The state of the world at an instant: the latest frame of every source, each over its own catalog.
//
// The agent publishes one after every change; encoders, the API and the command line read it. Sources are the
// collectors in the registry's order, and last the agent itself (its self-metrics).
// Threads: immutable once published.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/recycler.h"
#include "model/catalog.h"
#include "model/frame.h"

namespace accelmon {

struct SourceView {
  std::string name;       // "nvml", "host", "agent"
  CatalogPtr catalog;     // nullptr: the source has shown nothing yet
  Recycled<Frame> frame;  // empty: likewise. Its generation is the catalog's
};

struct Snapshot {
  uint64_t sequence = 0;  // grows with every publication
  Nanos wall = 0;
  Nanos monotonic = 0;
  std::vector<SourceView> sources;
};

}  // namespace accelmon
