// The functions of the simulated driver, as the tables of tables.cc hand them out.
#pragma once

#include <level_zero/ze_api.h>
#include <level_zero/zes_api.h>

#include "driver.h"

namespace accelmon::simulator::level_zero {

// ---- api_device.cc ----
ze_result_t ZE_APICALL ze_init(ze_init_flags_t flags);
ze_result_t ZE_APICALL zes_init(uint32_t flags);
ze_result_t ZE_APICALL driver_get(uint32_t* count, ze_driver_handle_t* out);
ze_result_t ZE_APICALL sysman_driver_get(uint32_t* count, zes_driver_handle_t* out);
ze_result_t ZE_APICALL driver_get_properties(ze_driver_handle_t driver, ze_driver_properties_t* out);
ze_result_t ZE_APICALL driver_get_extensions(ze_driver_handle_t driver, uint32_t* count,
                                             ze_driver_extension_properties_t* out);
ze_result_t ZE_APICALL device_get(ze_driver_handle_t driver, uint32_t* count, ze_device_handle_t* out);
ze_result_t ZE_APICALL sysman_device_get(zes_driver_handle_t driver, uint32_t* count, zes_device_handle_t* out);
ze_result_t ZE_APICALL core_device_properties(ze_device_handle_t device, ze_device_properties_t* out);
ze_result_t ZE_APICALL device_properties(zes_device_handle_t device, zes_device_properties_t* out);
ze_result_t ZE_APICALL device_state(zes_device_handle_t device, zes_device_state_t* out);
ze_result_t ZE_APICALL device_processes(zes_device_handle_t device, uint32_t* count, zes_process_state_t* out);
ze_result_t ZE_APICALL ecc_available(zes_device_handle_t device, ze_bool_t* out);
ze_result_t ZE_APICALL ecc_state(zes_device_handle_t device, zes_device_ecc_properties_t* out);

// ---- api_load.cc ----
ze_result_t ZE_APICALL enum_engines(zes_device_handle_t device, uint32_t* count, zes_engine_handle_t* out);
ze_result_t ZE_APICALL engine_properties(zes_engine_handle_t engine, zes_engine_properties_t* out);
ze_result_t ZE_APICALL engine_activity(zes_engine_handle_t engine, zes_engine_stats_t* out);
ze_result_t ZE_APICALL enum_memory(zes_device_handle_t device, uint32_t* count, zes_mem_handle_t* out);
ze_result_t ZE_APICALL memory_properties(zes_mem_handle_t memory, zes_mem_properties_t* out);
ze_result_t ZE_APICALL memory_state(zes_mem_handle_t memory, zes_mem_state_t* out);
ze_result_t ZE_APICALL memory_bandwidth(zes_mem_handle_t memory, zes_mem_bandwidth_t* out);
ze_result_t ZE_APICALL enum_frequencies(zes_device_handle_t device, uint32_t* count, zes_freq_handle_t* out);
ze_result_t ZE_APICALL frequency_properties(zes_freq_handle_t domain, zes_freq_properties_t* out);
ze_result_t ZE_APICALL frequency_state(zes_freq_handle_t domain, zes_freq_state_t* out);
ze_result_t ZE_APICALL throttle_time(zes_freq_handle_t domain, zes_freq_throttle_time_t* out);

// ---- api_power.cc ----
ze_result_t ZE_APICALL enum_temperatures(zes_device_handle_t device, uint32_t* count, zes_temp_handle_t* out);
ze_result_t ZE_APICALL temperature_properties(zes_temp_handle_t sensor, zes_temp_properties_t* out);
ze_result_t ZE_APICALL temperature_state(zes_temp_handle_t sensor, double* out);
ze_result_t ZE_APICALL enum_powers(zes_device_handle_t device, uint32_t* count, zes_pwr_handle_t* out);
ze_result_t ZE_APICALL power_properties(zes_pwr_handle_t domain, zes_power_properties_t* out);
ze_result_t ZE_APICALL energy_counter(zes_pwr_handle_t domain, zes_power_energy_counter_t* out);
ze_result_t ZE_APICALL power_limits(zes_pwr_handle_t domain, zes_power_sustained_limit_t* sustained,
                                    zes_power_burst_limit_t* burst, zes_power_peak_limit_t* peak);
ze_result_t ZE_APICALL power_limits_ext(zes_pwr_handle_t domain, uint32_t* count, zes_power_limit_ext_desc_t* out);
ze_result_t ZE_APICALL enum_fans(zes_device_handle_t device, uint32_t* count, zes_fan_handle_t* out);
ze_result_t ZE_APICALL fan_properties(zes_fan_handle_t fan, zes_fan_properties_t* out);
ze_result_t ZE_APICALL fan_state(zes_fan_handle_t fan, zes_fan_speed_units_t units, int32_t* out);

// ---- api_health.cc ----
ze_result_t ZE_APICALL enum_errors(zes_device_handle_t device, uint32_t* count, zes_ras_handle_t* out);
ze_result_t ZE_APICALL error_properties(zes_ras_handle_t set, zes_ras_properties_t* out);
ze_result_t ZE_APICALL error_state(zes_ras_handle_t set, ze_bool_t clear, zes_ras_state_t* out);
ze_result_t ZE_APICALL pci_properties(zes_device_handle_t device, zes_pci_properties_t* out);
ze_result_t ZE_APICALL pci_state(zes_device_handle_t device, zes_pci_state_t* out);
ze_result_t ZE_APICALL pci_stats(zes_device_handle_t device, zes_pci_stats_t* out);
ze_result_t ZE_APICALL enum_ports(zes_device_handle_t device, uint32_t* count, zes_fabric_port_handle_t* out);
ze_result_t ZE_APICALL port_properties(zes_fabric_port_handle_t port, zes_fabric_port_properties_t* out);
ze_result_t ZE_APICALL port_state(zes_fabric_port_handle_t port, zes_fabric_port_state_t* out);
ze_result_t ZE_APICALL port_throughput(zes_fabric_port_handle_t port, zes_fabric_port_throughput_t* out);

// Runs `body` as the function `call` on a handle of that kind: ze_result_t body(Entry&).
template <class Body>
ze_result_t handled(ZeCall call, const void* handle, Kind kind, const void* out, Body&& body) {
  if (out == nullptr) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  Entry entry;
  const ze_result_t code = Driver::get().enter(call, handle, kind, entry);
  return code == ZE_RESULT_SUCCESS ? body(entry) : code;
}

// The same for what names the `number`th of `parts(device)`.
template <class Parts, class Body>
ze_result_t of_part(ZeCall call, const void* handle, Kind kind, const void* out, Parts&& parts, Body&& body) {
  return handled(call, handle, kind, out, [&](Entry& entry) {
    const auto all = parts(entry.device());
    return entry.number < all.size() ? body(entry, all[entry.number]) : ZE_RESULT_ERROR_INVALID_ARGUMENT;
  });
}

// "On subdevice", which only devices with several tiles speak of.
template <class Properties>
void set_place(const Entry& entry, std::optional<unsigned> tile, Properties* out) {
  const bool several = entry.device().tiles.size() > 1;
  out->onSubdevice = several && tile ? 1 : 0;
  out->subdeviceId = several ? tile.value_or(0) : 0;
}

// Whether the caller said what its structure is; a driver reads such fields.
template <class T>
bool is_typed(const T* out, zes_structure_type_t type) {
  return out->stype == type;
}

inline uint64_t microseconds(double t) {
  return static_cast<uint64_t>(t * 1e6);
}

}  // namespace accelmon::simulator::level_zero
