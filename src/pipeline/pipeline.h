// What turns a collector's frames into the frames that leave the agent: gate, derive, smooth, window.
//
// One Pipeline for each source. set_catalog() makes the catalog that leaves: the collector's series at the same
// indices, followed by the derived ones (metrics.def: RATE, INTEGRAL, EMA, WINDOW, and hw.status). process() is then a
// loop over arrays.
//   Gate      a value outside its metric's bounds, or that changed faster than the metric can, becomes
//             `implausible` and is counted; a jump is believed when the next sample bears it out. A counter that goes
//             back is held for one sample in the same way: a real reset passes one poll later, a glitch never leaves.
//   Rates     growth over real elapsed time; `not_ready` at first, after a reset, after a gap, and when the clock
//             stands still.
//   Integrals a gauge or state times real elapsed time, only for devices whose collector does not give the counter
//             itself; a gap of more than three intervals adds nothing. Totals go on when a device comes back.
//   EMA       alpha = 1 - exp(-dt / tau) with the real dt, so a late or lost poll bends nothing.
//   Windows   min, time-weighted mean, max and p95 over the trailing window, at most once a second.
//   Status    the worst that a device's other series show, for devices whose collector does not tell.
// Each is described where it is made: gate.h, derive.h, ema.h, window.h, health.h; what is derived, in plan.h.
//
// All of it goes by the monotonic clock; the wall clock is only handed on. Series of a tier that was not read repeat
// their value; when the tier was last read longer than three of its intervals ago they are `stale`, and so is what
// derives from them. State survives a change of catalog for every series whose key stays.
//
// Threads: one at a time. Cost: about 1 us per 100 series a frame, most of it windows; no allocation between changes of
// the catalog, once the frame that is filled has its size.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "model/catalog.h"
#include "model/frame.h"

namespace accelmon {

struct PipelineOptions {
  Nanos interval = kSecond;  // between polls of the fast tier
  Nanos slow = 10 * kSecond;
  Nanos rare = 60 * kSecond;
  std::vector<Nanos> ema{10 * kSecond, 60 * kSecond};
  Nanos window = 60 * kSecond;
};

class Pipeline {
 public:
  explicit Pipeline(PipelineOptions options);
  ~Pipeline();
  Pipeline(Pipeline&&) noexcept;
  Pipeline& operator=(Pipeline&&) noexcept;

  // `raw` is the collector's catalog, already validated. Returns the catalog of the frames that process() makes; its
  // generation is raw's.
  CatalogPtr set_catalog(const CatalogPtr& raw);

  // `raw` is laid out by the last set catalog (same generation, same number of series: the caller checks). Fills `out`.
  void process(const Frame& raw, Frame& out);

  // Samples that the gate kept back, by metric, since the start.
  const std::vector<std::pair<MetricId, uint64_t>>& implausible() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace accelmon
