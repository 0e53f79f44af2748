// GPM: what the multiprocessors, their pipes and the memory did between two snapshots (Hopper and newer).
//
// The driver does arithmetic on two samples, which must lie more than 100 ms apart. One GpmReader holds the two samples
// of a device or of a MIG device's GPU instance and uses them alternately: each poll takes one and compares it with the
// one before.
// Threads: the collector's. Cost: two vendor calls a poll.
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
  const char* pipe;  // the attribute, where the metric has it
};
inline constexpr GpmSeries kGpmSeries[] = {
    {kGpmGraphics, MetricId::gpu_graphics_activity, nullptr},
    {kGpmSm, MetricId::gpu_sm_activity, nullptr},
    {kGpmSmOccupancy, MetricId::gpu_sm_occupancy, nullptr},
    {kGpmAnyTensor, MetricId::gpu_pipe_activity, "tensor"},
    {kGpmFp64, MetricId::gpu_pipe_activity, "fp64"},
    {kGpmFp32, MetricId::gpu_pipe_activity, "fp32"},
    {kGpmFp16, MetricId::gpu_pipe_activity, "fp16"},
    {kGpmInteger, MetricId::gpu_pipe_activity, "int"},
    {kGpmDramBandwidth, MetricId::gpu_memory_bandwidth_utilization, nullptr},
};
inline constexpr size_t kGpmCount = sizeof(kGpmSeries) / sizeof(kGpmSeries[0]);

// The argument of nvmlGpmMetricsGet. The library's own struct has grown from 98 to 333 entries without a new version,
// and only its documentation says that it touches no more than are asked for: room for all. One serves all devices.
class GpmQuery {
 public:
  GpmQuery();
  int run(Library& nvml, GpmSampleHandle older, GpmSampleHandle newer);
  // A share 0..1 of kGpmSeries[i], from the last run() that succeeded.
  Reading reading(size_t i) const;

 private:
  GpmMetricsGet* header() { return reinterpret_cast<GpmMetricsGet*>(memory_.data()); }
  GpmMetric* metrics() { return reinterpret_cast<GpmMetric*>(memory_.data() + sizeof(GpmMetricsGet) / 8); }
  const GpmMetric* metrics() const {
    return reinterpret_cast<const GpmMetric*>(memory_.data() + sizeof(GpmMetricsGet) / 8);
  }
  std::vector<uint64_t> memory_;  // words, for the alignment
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
    failed,     // code() says why
  };
  Outcome poll(GpmQuery& query, Nanos monotonic);
  int code() const { return code_; }

 private:
  int sample(GpmSampleHandle into);

  Library& nvml_;
  DeviceHandle device_;
  int instance_;
  std::array<GpmSampleHandle, 2> samples_{};
  size_t newest_ = 0;
  bool has_newest_ = false;
  Nanos newest_at_ = 0;
  int code_ = kNotReady;
};

}  // namespace accelmon::nvml
