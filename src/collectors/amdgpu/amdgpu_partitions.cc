// What is told of a board's compute partitions, each by itself.
#include <algorithm>

#include "collectors/amdgpu/amdgpu_device.h"
#include "collectors/hw_state.h"

namespace accelmon::amdgpu {
namespace {

constexpr const char* kWhole = "is measured for the whole GPU: see the parent device";

}  // namespace

void Gpu::probe_partitions() {
  const std::string mode = text_of("current_compute_partition");
  const auto told = static_cast<size_t>(std::clamp(metrics_.get(Gauge::partitions).value_or(1), 1.0, 64.0));
  const size_t count = found_.nodes.size() > 1 ? found_.nodes.size() : told;
  if (mode == "SPX" || count <= 1 || count > kPartitionsMost * 8) return;
  const Device whole = parts_[0].device;
  parts_.resize(1 + count);
  for (size_t i = 0; i < count; ++i) {
    Part& part = parts_[1 + i];
    part.device.type = DeviceType::gpu_partition;
    part.device.vendor = "amd";
    part.device.id = whole.id + "/partition" + std::to_string(i);
    part.device.index = whole.index + ":" + std::to_string(i);
    part.device.model = whole.model;
    for (const Attribute& attribute : whole.info)
      if (attribute.id == AttributeId::pci_address || attribute.id == AttributeId::partition_profile ||
          attribute.id == AttributeId::numa_node)
        part.device.info.push_back(attribute);
    if (i < found_.nodes.size()) part.nodes = {found_.nodes[i]};
    probe_part(1 + i, count);
  }
}

// What is told of a partition by itself. Its dies are the board's, which the partitions share out evenly and in order.
void Gpu::probe_part(size_t part, size_t count) {
  const size_t i = part - 1;
  add(MetricId::device_info, Tier::rare, {}, part);
  for (const char* status : kHwStates) {
    const int slot = add(MetricId::hw_status, Tier::fast, {{AttributeId::hw_state, status}}, part);
    if (parts_[part].status < 0) parts_[part].status = slot;
  }
  const std::vector<KfdNode>& nodes = parts_[part].nodes;
  if (!nodes.empty() && nodes[0].memory)
    parts_[part].memory = add(MetricId::gpu_memory_limit, Tier::rare, {}, part);
  else
    absent(MetricId::gpu_memory_limit, State::unsupported,
           nodes.empty() ? "the kernel shows no KFD node of this partition, which would tell the size of its memory"
                         : "the partition's KFD node does not tell the size of its memory",
           part);

  const Wish general{MetricId::gpu_utilization, {{AttributeId::gpu_task, "general"}}};
  const Wish media{MetricId::gpu_engine_utilization, {{AttributeId::engine, "media"}}};
  const auto known = [&](Gauge gauge) {
    size_t dies = 0;
    while (dies < instances(gauge) && metrics_.get(gauge, dies)) ++dies;
    return dies;
  };
  // Of a gauge that counts the dies of the whole board: this partition's. 0: they are not told, or do not share out.
  const auto share = [&](Gauge gauge) { return known(gauge) % count == 0 ? known(gauge) / count : 0; };
  bool busy = false;
  if (i < kPartitionsMost) {
    busy = pick(Gauge::partition_activity, static_cast<uint16_t>(i * kDiesMost), kDiesMost, Join::mean, Tier::fast,
                general, false, part);
    pick(Gauge::partition_vcn, static_cast<uint16_t>(i * 4), 4, Join::mean, Tier::fast, media, false, part);
    pick(Gauge::partition_jpeg, static_cast<uint16_t>(i * kJpegMost), kJpegMost, Join::mean, Tier::fast,
         {MetricId::gpu_engine_utilization, {{AttributeId::engine, "jpeg"}}}, false, part);
    probe_held(part, Gauge::partition_held_power, i * kDiesMost, kDiesMost, "power_cap");
    probe_held(part, Gauge::partition_held_thermal, i * kDiesMost, kDiesMost, "thermal_software");
  }
  if (const size_t dies = share(Gauge::activity_die); !busy && dies > 0)
    busy = pick(Gauge::activity_die, static_cast<uint16_t>(i * dies), static_cast<uint16_t>(dies), Join::mean,
                Tier::fast, general, false, part);
  if (const size_t dies = share(Gauge::clock_graphics); dies > 0)
    pick(Gauge::clock_graphics, static_cast<uint16_t>(i * dies), static_cast<uint16_t>(dies), Join::mean, Tier::fast,
         {MetricId::clock_frequency, {{AttributeId::clock_domain, "graphics"}}}, false, part);
  if (const size_t dies = share(Gauge::die_held_power); dies > 0)
    probe_held(part, Gauge::die_held_power, i * dies, dies, "power_cap");
  if (const size_t dies = share(Gauge::die_held_thermal); dies > 0)
    probe_held(part, Gauge::die_held_thermal, i * dies, dies, "thermal_software");
  if (!busy)
    absent(MetricId::gpu_utilization, State::unsupported, "gpu_metrics does not tell it for each partition", part);
  for (const MetricId metric : {MetricId::temperature, MetricId::power, MetricId::energy})
    absent(metric, State::unsupported, kWhole, part);
  absent(MetricId::gpu_memory_usage, State::unsupported,
         "the driver tells it for the whole GPU alone: see the parent device, and what each process holds here", part);
}

// A partition's share of throttling, in the cycles that the board's residencies are counted in.
void Gpu::probe_held(size_t part, Gauge gauge, size_t first, size_t count, const char* reason) {
  if (throttling_ != Throttling::residencies) return;
  Held held;
  held.part = part;
  held.gauge = gauge;
  held.first = first;
  held.count = std::min(count, kDiesMost);
  (void)held.grown(metrics_);
  if (std::none_of(held.last.begin(), held.last.end(), [](const auto& one) { return one.has_value(); })) return;
  const Attribute why{AttributeId::reason, reason};
  held.active = add(MetricId::throttle_active, Tier::fast, {why}, part);
  held.time = add(MetricId::throttle_time, Tier::fast, {why}, part);
  held_.push_back(held);
}

std::optional<double> Gpu::Held::grown(const GpuMetrics& metrics) {
  std::optional<double> most;
  for (size_t die = 0; die < count; ++die) {
    const std::optional<double> now = metrics.get(gauge, first + die);
    if (now && last[die] && *now >= *last[die]) most = std::max(most.value_or(0), *now - *last[die]);
    last[die] = now;
  }
  return most;
}

}  // namespace accelmon::amdgpu
