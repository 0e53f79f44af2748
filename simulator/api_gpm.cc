// GPM: two snapshots of counters, and what lies between them. A snapshot here is the time at which it was taken; the
// means between two of them are exact, from the integrals.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>
#include <vector>

#include "links.h"

namespace accelmon::nvml {

namespace {

struct Snapshot {
  bool taken = false;
  unsigned device = 0;
  int instance = -1;  // of a MIG device
  double t = 0;
};

// Which sample handles are good. Freeing another one, or one twice, is refused instead of being believed.
class Samples {
 public:
  static Samples& get() {
    alignas(Samples) static unsigned char storage[sizeof(Samples)];
    static Samples* const samples = new (storage) Samples();
    return *samples;
  }
  GpmSampleHandle add() {
    const std::lock_guard lock(mutex_);
    all_.push_back(new Snapshot());
    return all_.back();
  }
  bool remove(GpmSampleHandle sample) {
    const std::lock_guard lock(mutex_);
    const auto found = std::find(all_.begin(), all_.end(), sample);
    if (found == all_.end()) return false;
    delete *found;
    all_.erase(found);
    if (all_.empty()) all_.shrink_to_fit();
    return true;
  }
  bool write(GpmSampleHandle sample, const Snapshot& snapshot) {
    const std::lock_guard lock(mutex_);
    const auto found = std::find(all_.begin(), all_.end(), sample);
    if (found == all_.end()) return false;
    **found = snapshot;
    return true;
  }
  bool read(GpmSampleHandle sample, Snapshot& snapshot) {
    const std::lock_guard lock(mutex_);
    const auto found = std::find(all_.begin(), all_.end(), sample);
    if (found == all_.end()) return false;
    snapshot = **found;
    return true;
  }

 private:
  std::mutex mutex_;
  std::vector<Snapshot*> all_;
};

constexpr double kMebibyte = 1048576;
// Two snapshots must lie this far apart: the counters behind them are no faster.
constexpr double kShortest = 0.1;

const Wave* share_of(const simulator::Activity& activity, U32 id) {
  switch (id) {
    case kGpmGraphics:
      return &activity.graphics;
    case kGpmSm:
      return &activity.sm;
    case kGpmSmOccupancy:
      return &activity.occupancy;
    case kGpmInteger:
      return &activity.integer;
    case kGpmAnyTensor:
      return &activity.tensor;
    case 7:
      return &activity.tensor;  // half-precision part of the tensor pipe: all that inference uses
    case kGpmDramBandwidth:
      return &activity.dram;
    case kGpmFp64:
      return &activity.fp64;
    case kGpmFp32:
      return &activity.fp32;
    case kGpmFp16:
      return &activity.fp16;
    default:
      return nullptr;
  }
}

// A rate per second of the whole device, in MiB/s.
std::optional<double> rate_of(const Entry& entry, U32 id, double from, double to) {
  const Device& d = entry.device();
  const auto mean = [&](const Wave& rate) { return rate.mean(from, to) / kMebibyte; };
  if (id == kGpmPcieTransmit) return mean(d.pcie_tx);
  if (id == kGpmPcieReceive) return mean(d.pcie_rx);
  if (d.nvlinks == 0) return std::nullopt;
  if (id == 60) return mean(d.nvlink_rx);
  if (id == 61) return mean(d.nvlink_tx);
  if (id >= 62 && id <= 97) {
    const U32 link = (id - 62) / 2;
    const Wave& rate = (id - 62) % 2 == 0 ? d.nvlink_rx : d.nvlink_tx;
    if (link >= d.nvlinks) return std::nullopt;
    return link_up(d, link) ? mean(rate) / links_up(d) : 0;
  }
  return std::nullopt;
}

void fill_metric(Entry& entry, const Snapshot& older, const Snapshot& newer, GpmMetric& metric) {
  const Device& d = entry.device();
  metric.value = std::numeric_limits<double>::quiet_NaN();
  metric.result = kNotSupported;
  const bool partition = older.instance >= 0;
  if (partition && static_cast<size_t>(older.instance) >= d.instances.size()) return;
  const auto& activity = partition ? d.instances[static_cast<size_t>(older.instance)].activity : d.activity;
  if (!activity) return;
  std::optional<double> value;
  if (const Wave* share = share_of(*activity, metric.id)) {
    value = share->mean(older.t, newer.t);
  } else if (!partition) {
    value = rate_of(entry, metric.id, older.t, newer.t);
    if (!value && metric.id == 30) value = d.decoder.mean(older.t, newer.t);
    if (!value && metric.id == 40 && d.jpeg) value = d.jpeg->mean(older.t, newer.t);
    if (!value && metric.id == 50 && d.ofa) value = d.ofa->mean(older.t, newer.t);
  }
  if (!value) return;
  metric.result = kSuccess;
  // Too close together: success, and nothing, as driver 580 says it of an H100.
  metric.value = entry.garbage ? 1e300 : newer.t - older.t >= kShortest ? *value : 0;
}

int take(Entry& entry, int instance, GpmSampleHandle sample) {
  Snapshot snapshot;
  snapshot.taken = true;
  snapshot.device = *entry.index;
  snapshot.instance = instance;
  snapshot.t = entry.t;
  return Samples::get().write(sample, snapshot) ? kSuccess : kInvalidArgument;
}

}  // namespace

int nvmlGpmQueryDeviceSupport(DeviceHandle device, GpmSupport* out) {
  return device_call(Call::nvmlGpmQueryDeviceSupport, device, Takes::gpu_or_mig, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    if (out->version != 1) return kArgumentVersionMismatch;
    const auto& activity = entry.instance < 0 ? entry.device().activity : entry.mig().activity;
    out->supported = activity ? 1 : 0;
    return kSuccess;
  });
}

int nvmlGpmSampleAlloc(GpmSampleHandle* out) {
  return system_call(Call::nvmlGpmSampleAlloc, [&](Entry&) -> int {
    if (!out) return kInvalidArgument;
    *out = Samples::get().add();
    return kSuccess;
  });
}

int nvmlGpmSampleFree(GpmSampleHandle sample) {
  return system_call(Call::nvmlGpmSampleFree,
                     [&](Entry&) -> int { return Samples::get().remove(sample) ? kSuccess : kInvalidArgument; });
}

int nvmlGpmSampleGet(DeviceHandle device, GpmSampleHandle sample) {
  return device_call(Call::nvmlGpmSampleGet, device, Takes::gpu, [&](Entry& entry) -> int {
    // Of a partitioned GPU the parts can be sampled, the whole cannot.
    if (!entry.device().activity || entry.device().mig_enabled()) return kNotSupported;
    return take(entry, -1, sample);
  });
}

int nvmlGpmMigSampleGet(DeviceHandle parent, U32 gpu_instance, GpmSampleHandle sample) {
  return device_call(Call::nvmlGpmMigSampleGet, parent, Takes::gpu, [&](Entry& entry) -> int {
    const Device& d = entry.device();
    if (!d.mig_enabled()) return kNotSupported;
    for (size_t i = 0; i < d.instances.size(); ++i) {
      if (d.instances[i].gpu_instance != gpu_instance) continue;
      return d.instances[i].activity ? take(entry, static_cast<int>(i), sample) : kNotSupported;
    }
    return kNotFound;
  });
}

int nvmlGpmMetricsGet(void* metrics) {
  return system_call(Call::nvmlGpmMetricsGet, [&](Entry& entry) -> int {
    auto* const head = static_cast<GpmMetricsGet*>(metrics);
    if (!head) return kInvalidArgument;
    if (head->version != 1) return kArgumentVersionMismatch;
    if (head->count > kGpmMetricsMost) return kInvalidArgument;
    Snapshot older, newer;
    const bool known = Samples::get().read(head->sample1, older) && Samples::get().read(head->sample2, newer);
    if (!known || !older.taken || !newer.taken) return kInvalidArgument;
    if (older.device != newer.device || older.instance != newer.instance || newer.t < older.t) return kInvalidArgument;
    if (older.device >= entry.scenario->devices.size()) return kGpuIsLost;
    entry.index = older.device;
    auto* const first = reinterpret_cast<GpmMetric*>(head + 1);
    for (U32 i = 0; i < head->count; ++i) fill_metric(entry, older, newer, first[i]);
    return kSuccess;
  });
}

}  // namespace accelmon::nvml
