// GPM: what the multiprocessors, their pipes and the memory did between two snapshots (Hopper and newer).
//
// The driver does arithmetic on two samples, which must lie more than 100 ms apart; of samples that lie nearer it says
// zeros. One GpmReader holds the samples of a device or of a MIG device's GPU instance: each poll takes one and
// compares it with the one before. One metric, the activity of the graphics engine, costs the driver 1.4 ms of
// processor time where all others together cost 2 us (H100, driver 580: docs/gpu-measurements.md); it is asked for in
// the slow tier alone, between the newest sample and the one that stood at its last turn, so that no time is left out.
// Threads: the collector's. Cost: two vendor calls a poll, 0.3 ms.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "collectors/nvml/nvml_readings.h"
#include "model/metric.h"

namespace accelmon::nvml {

struct GpmSeries {
  GpmMetricId id;
  MetricId metric;
  const char* part;    // the attribute (pipe or direction), where the metric has it
  bool bytes = false;  // a rate in MiB/s of the whole device, summed up to bytes; else a share in percent
};
inline constexpr GpmSeries kGpmSeries[] = {
    {kGpmSm, MetricId::gpu_sm_activity, nullptr},
    {kGpmSmOccupancy, MetricId::gpu_sm_occupancy, nullptr},
    {kGpmAnyTensor, MetricId::gpu_pipe_activity, "tensor"},
    {kGpmFp64, MetricId::gpu_pipe_activity, "fp64"},
    {kGpmFp32, MetricId::gpu_pipe_activity, "fp32"},
    {kGpmFp16, MetricId::gpu_pipe_activity, "fp16"},
    {kGpmInteger, MetricId::gpu_pipe_activity, "int"},
    {kGpmDramBandwidth, MetricId::gpu_memory_bandwidth_utilization, nullptr},
    {kGpmPcieReceive, MetricId::gpu_io, "receive", true},
    {kGpmPcieTransmit, MetricId::gpu_io, "transmit", true},
    {kGpmGraphics, MetricId::gpu_graphics_activity, nullptr},
};
inline constexpr size_t kGpmCount = sizeof(kGpmSeries) / sizeof(kGpmSeries[0]);
inline constexpr size_t kGpmFast = kGpmCount - 1;  // those of the fast tier; the rest is the slow tier's

// The argument of nvmlGpmMetricsGet. The library's own struct has grown from 98 to 333 entries without a new version,
// and only its documentation says that it touches no more than are asked for: room for all. One serves all devices.
class GpmQuery {
 public:
  GpmQuery();
  // Asks for `count` of kGpmSeries from `first` on.
  int run(Library& nvml, GpmSampleHandle older, GpmSampleHandle newer, size_t first, size_t count);
  // A share 0..1, or bytes a second, of kGpmSeries[i], which was in the last run() that succeeded.
  Reading reading(size_t i) const;

 private:
  GpmMetricsGet* header() { return reinterpret_cast<GpmMetricsGet*>(memory_.data()); }
  GpmMetric* metrics() { return reinterpret_cast<GpmMetric*>(memory_.data() + sizeof(GpmMetricsGet) / 8); }
  const GpmMetric* metrics() const {
    return reinterpret_cast<const GpmMetric*>(memory_.data() + sizeof(GpmMetricsGet) / 8);
  }
  std::vector<uint64_t> memory_;  // words, for the alignment
  size_t first_ = 0;
};

class GpmReader {
 public:
  static constexpr Nanos kLeastInterval = 105 * kMillisecond;

  // `device`: whose instance or whole is measured. `instance`: of a MIG device, the GPU instance on `device`; else -1.
  // `nvml` must outlive the reader.
  GpmReader(Library& nvml, DeviceHandle device, int instance);
  ~GpmReader();
  GpmReader(const GpmReader&) = delete;
  GpmReader& operator=(const GpmReader&) = delete;

  // Allocates and takes the first sample. The code says whether the device can do it at all.
  int start(Nanos monotonic);

  enum class Outcome : uint8_t {
    fresh,      // `query` holds new readings
    too_early,  // less than the least interval since the last sample: keep what there is
    missed,     // no sample could be taken, code() says why: the next window spans this one too
    failed,     // code() says why: nothing will tell of this window
  };
  // Takes a sample; the fast series since the one before.
  Outcome poll(GpmQuery& query, Nanos monotonic);
  // The slow series, up to the newest sample, since the last poll_slow() that was fresh.
  Outcome poll_slow(GpmQuery& query);
  int code() const { return code_; }
  // Between the samples of the last fresh poll().
  Nanos window() const { return window_; }

 private:
  int sample(GpmSampleHandle into);

  Library& nvml_;
  DeviceHandle device_;
  int instance_;
  std::array<GpmSampleHandle, 3> samples_{};
  size_t newest_ = 0;
  size_t base_ = 0;  // of the slow series
  bool has_newest_ = false;
  Nanos newest_at_ = 0;
  Nanos window_ = 0;
  int code_ = kNotReady;
};

}  // namespace accelmon::nvml
