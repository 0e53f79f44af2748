// A catalog like that of a host with data-centre GPUs, for benchmarks: 80 raw series for each GPU.
#pragma once

#include <string>
#include <vector>

#include "model/catalog.h"

namespace accelmon {

inline Catalog catalog_of(int gpus) {
  Catalog catalog;
  catalog.generation = 1;
  CatalogBuilder build(catalog);
  for (int i = 0; i < gpus; ++i) {
    const int gpu =
        build.add_device({.id = "GPU-" + std::to_string(i), .index = std::to_string(i), .vendor = "nvidia"});
    const auto each = [&](MetricId metric, AttributeId key, const std::vector<const char*>& values,
                          Tier tier = Tier::fast) {
      for (const char* value : values) build.add(metric, gpu, tier, {{key, value}});
    };
    each(MetricId::gpu_utilization, AttributeId::gpu_task, {"general", "encoder", "decoder"});
    for (const MetricId metric :
         {MetricId::gpu_sm_activity, MetricId::gpu_sm_occupancy, MetricId::gpu_memory_bandwidth_utilization,
          MetricId::gpu_memory_controller_utilization, MetricId::gpu_memory_usage, MetricId::gpu_memory_utilization,
          MetricId::gpu_memory_free, MetricId::gpu_memory_reserved, MetricId::gpu_memory_limit, MetricId::gpu_bar_usage,
          MetricId::energy, MetricId::pcie_replays, MetricId::performance_state})
      build.add(metric, gpu);
    each(MetricId::gpu_pipe_activity, AttributeId::pipe, {"tensor", "fp64", "fp32", "fp16", "int"});
    each(MetricId::temperature, AttributeId::sensor_location, {"gpu", "memory"});
    each(MetricId::clock_frequency, AttributeId::clock_domain, {"graphics", "sm", "memory", "video"});
    each(MetricId::clock_limit, AttributeId::clock_domain, {"graphics", "sm", "memory", "video"}, Tier::rare);
    each(MetricId::throttle_active, AttributeId::reason,
         {"idle", "application_clocks", "power_cap", "power_brake", "thermal_software", "thermal_hardware",
          "hardware_slowdown", "sync_boost", "display", "other"});
    each(MetricId::throttle_time, AttributeId::reason, {"power_cap", "thermal_software", "reliability"});
    each(MetricId::gpu_io, AttributeId::io_direction, {"receive", "transmit"});
    each(MetricId::link_io, AttributeId::direction, {"receive", "transmit"});
    for (const char* reading : {"instant", "average"})
      build.add(MetricId::power, gpu, Tier::fast,
                {{AttributeId::power_scope, "gpu"}, {AttributeId::power_reading, reading}});
    each(MetricId::power_limit, AttributeId::limit, {"enforced", "default", "requested", "minimum", "maximum"},
         Tier::rare);
    each(MetricId::memory_rows, AttributeId::row_state,
         {"remapped_corrected", "remapped_uncorrected", "pending", "failed"}, Tier::slow);
    each(MetricId::errors, AttributeId::error_type, {"corrected", "uncorrected"}, Tier::slow);
    each(MetricId::errors_lifetime, AttributeId::error_type, {"corrected", "uncorrected"}, Tier::slow);
    each(MetricId::fan_speed_ratio, AttributeId::fan, {"0", "1"}, Tier::slow);
    each(MetricId::pcie_generation, AttributeId::which, {"current", "maximum"}, Tier::slow);
    each(MetricId::pcie_width, AttributeId::which, {"current", "maximum"}, Tier::slow);
    each(MetricId::process_memory, AttributeId::process_pid,
         {"101", "102", "103", "104", "105", "106", "107", "108", "109", "110", "111"}, Tier::slow);
  }
  return catalog;
}

}  // namespace accelmon
