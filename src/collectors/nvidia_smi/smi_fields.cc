#include "collectors/nvidia_smi/smi_fields.h"

namespace accelmon::nvidia_smi {
namespace {

using A = AttributeId;
using D = Dimension;
using M = MetricId;

constexpr const char* kOthers[] = {
    "uuid",          "index",  "name",        "pci.bus_id", "driver_version",
    "vbios_version", "serial", "compute_cap", "power.draw", "gpu_recovery_action",
};

#define THROTTLE(suffix, why)                                                                           \
  {                                                                                                     \
    "clocks_event_reasons." suffix, "clocks_throttle_reasons." suffix, D::yes_no, M::throttle_active, { \
      { A::reason, why }                                                                                \
    }                                                                                                   \
  }
#define THROTTLE_TIME(suffix, why)                                                    \
  {                                                                                   \
    "clocks_event_reasons_counters." suffix, nullptr, D::seconds, M::throttle_time, { \
      { A::reason, why }                                                              \
    }                                                                                 \
  }
#define ECC(type, which, into, block)                                   \
  {                                                                     \
    "ecc.errors." type "." which "." block, nullptr, D::number, into, { \
      {A::error_type, type}, {                                          \
        A::error_block, block                                           \
      }                                                                 \
    }                                                                   \
  }

constexpr Field kFields[] = {
    {"utilization.gpu", nullptr, D::ratio, M::gpu_utilization, {{A::gpu_task, "general"}}},
    {"utilization.encoder", nullptr, D::ratio, M::gpu_utilization, {{A::gpu_task, "encoder"}}},
    {"utilization.decoder", nullptr, D::ratio, M::gpu_utilization, {{A::gpu_task, "decoder"}}},
    {"utilization.jpeg", nullptr, D::ratio, M::gpu_engine_utilization, {{A::engine, "jpeg"}}},
    {"utilization.ofa", nullptr, D::ratio, M::gpu_engine_utilization, {{A::engine, "ofa"}}},
    {"utilization.memory", nullptr, D::ratio, M::gpu_memory_controller_utilization, {}},
    {"memory.total", nullptr, D::bytes, M::gpu_memory_limit, {}},
    {"memory.used", nullptr, D::bytes, M::gpu_memory_usage, {}},
    {"memory.free", nullptr, D::bytes, M::gpu_memory_free, {}},
    {"memory.reserved", nullptr, D::bytes, M::gpu_memory_reserved, {}},
    {"temperature.gpu", nullptr, D::celsius, M::temperature, {{A::sensor_location, "gpu"}}},
    {"temperature.memory", nullptr, D::celsius, M::temperature, {{A::sensor_location, "memory"}}},
    {"temperature.gpu.tlimit", nullptr, D::celsius, M::temperature_margin, {{A::sensor_location, "gpu"}}},
    {"fan.speed", nullptr, D::ratio, M::fan_speed_ratio, {{A::fan, "0"}}},
    {"power.draw.instant", nullptr, D::watts, M::power, {{A::power_scope, "gpu"}, {A::power_reading, "instant"}}},
    {"power.draw.average", nullptr, D::watts, M::power, {{A::power_scope, "gpu"}, {A::power_reading, "average"}}},
    {"module.power.draw.instant",
     nullptr,
     D::watts,
     M::power,
     {{A::power_scope, "module"}, {A::power_reading, "instant"}}},
    {"module.power.draw.average",
     nullptr,
     D::watts,
     M::power,
     {{A::power_scope, "module"}, {A::power_reading, "average"}}},
    {"enforced.power.limit", nullptr, D::watts, M::power_limit, {{A::limit, "enforced"}}},
    {"power.limit", nullptr, D::watts, M::power_limit, {{A::limit, "requested"}}},
    {"power.default_limit", nullptr, D::watts, M::power_limit, {{A::limit, "default"}}},
    {"power.min_limit", nullptr, D::watts, M::power_limit, {{A::limit, "minimum"}}},
    {"power.max_limit", nullptr, D::watts, M::power_limit, {{A::limit, "maximum"}}},
    {"clocks.current.graphics", nullptr, D::hertz, M::clock_frequency, {{A::clock_domain, "graphics"}}},
    {"clocks.current.sm", nullptr, D::hertz, M::clock_frequency, {{A::clock_domain, "sm"}}},
    {"clocks.current.memory", nullptr, D::hertz, M::clock_frequency, {{A::clock_domain, "memory"}}},
    {"clocks.current.video", nullptr, D::hertz, M::clock_frequency, {{A::clock_domain, "video"}}},
    {"clocks.max.graphics", nullptr, D::hertz, M::clock_limit, {{A::clock_domain, "graphics"}}},
    {"clocks.max.sm", nullptr, D::hertz, M::clock_limit, {{A::clock_domain, "sm"}}},
    {"clocks.max.memory", nullptr, D::hertz, M::clock_limit, {{A::clock_domain, "memory"}}},
    {"pstate", nullptr, D::pstate, M::performance_state, {}},
    THROTTLE("gpu_idle", "idle"),
    THROTTLE("applications_clocks_setting", "application_clocks"),
    THROTTLE("sw_power_cap", "power_cap"),
    THROTTLE("hw_slowdown", "hardware_slowdown"),
    THROTTLE("hw_thermal_slowdown", "thermal_hardware"),
    THROTTLE("hw_power_brake_slowdown", "power_brake"),
    THROTTLE("sw_thermal_slowdown", "thermal_software"),
    THROTTLE("sync_boost", "sync_boost"),
    THROTTLE_TIME("sw_power_cap", "power_cap"),
    THROTTLE_TIME("hw_thermal_slowdown", "thermal_hardware"),
    THROTTLE_TIME("hw_power_brake_slowdown", "power_brake"),
    THROTTLE_TIME("sw_thermal_slowdown", "thermal_software"),
    THROTTLE_TIME("sync_boost", "sync_boost"),
    {"pcie.link.gen.current", nullptr, D::number, M::pcie_generation, {{A::which, "current"}}},
    {"pcie.link.gen.max", nullptr, D::number, M::pcie_generation, {{A::which, "maximum"}}},
    {"pcie.link.width.current", nullptr, D::number, M::pcie_width, {{A::which, "current"}}},
    {"pcie.link.width.max", nullptr, D::number, M::pcie_width, {{A::which, "maximum"}}},
    {"ecc.mode.current", nullptr, D::yes_no, M::ecc_enabled, {{A::which, "current"}}},
    {"ecc.mode.pending", nullptr, D::yes_no, M::ecc_enabled, {{A::which, "pending"}}},
    ECC("corrected", "volatile", M::errors, "total"),
    ECC("corrected", "volatile", M::errors, "sram"),
    ECC("corrected", "volatile", M::errors, "dram"),
    ECC("uncorrected", "volatile", M::errors, "total"),
    ECC("uncorrected", "volatile", M::errors, "sram"),
    ECC("uncorrected", "volatile", M::errors, "dram"),
    ECC("corrected", "aggregate", M::errors_lifetime, "total"),
    ECC("uncorrected", "aggregate", M::errors_lifetime, "total"),
    {"remapped_rows.correctable", nullptr, D::number, M::memory_rows, {{A::row_state, "remapped_corrected"}}},
    {"remapped_rows.uncorrectable", nullptr, D::number, M::memory_rows, {{A::row_state, "remapped_uncorrected"}}},
    {"remapped_rows.pending", nullptr, D::yes_no, M::memory_rows, {{A::row_state, "pending"}}},
    {"remapped_rows.failure", nullptr, D::yes_no, M::memory_rows, {{A::row_state, "failed"}}},
    {"retired_pages.single_bit_ecc.count", nullptr, D::number, M::memory_pages, {{A::row_state, "retired_corrected"}}},
    {"retired_pages.double_bit.count", nullptr, D::number, M::memory_pages, {{A::row_state, "retired_uncorrected"}}},
    {"retired_pages.pending", nullptr, D::yes_no, M::memory_pages, {{A::row_state, "pending"}}},
    {"mig.mode.current", nullptr, D::yes_no, M::mig_enabled, {{A::which, "current"}}},
    {"mig.mode.pending", nullptr, D::yes_no, M::mig_enabled, {{A::which, "pending"}}},
};

#undef THROTTLE
#undef THROTTLE_TIME
#undef ECC

}  // namespace

std::span<const Field> metric_fields() {
  return kFields;
}

std::span<const char* const> other_fields() {
  return kOthers;
}

}  // namespace accelmon::nvidia_smi
