// The tables of functions that the loader asks a driver for. The old loader wants nearly all of them to be there, the
// newer ones only those that have something in them.
//
// A table is only written to as far as its members go in the version that the caller speaks: what came later lies
// beyond the end of an older caller's structure.
#include <level_zero/ze_ddi.h>
#include <level_zero/zes_ddi.h>
#include <level_zero/zet_ddi.h>

#include "api.h"

using namespace accelmon::simulator::level_zero;  // NOLINT: nothing but their addresses is taken here

namespace {

// Version 1.5 brought zesInit, and with it these; the headers that this is built with may be older.
constexpr auto kWithSysmanInit = static_cast<ze_api_version_t>(ZE_MAKE_VERSION(1, 5));
struct SysmanGlobalTable {
  ze_result_t(ZE_APICALL* pfnInit)(uint32_t);
};
struct SysmanDriverTable {
  void* listen[2];
  ze_result_t(ZE_APICALL* pfnGet)(uint32_t*, zes_driver_handle_t*);
};
// The members that every version has, of the 29 before pfnGet.
constexpr size_t kDeviceTableGet = 29;

template <class Table>
bool usable(ze_api_version_t version, const Table* table) {
  return table != nullptr && ZE_MAJOR_VERSION(version) == 1;
}

}  // namespace

extern "C" {

ZE_DLLEXPORT ze_result_t ZE_APICALL zesGetGlobalProcAddrTable(ze_api_version_t version, SysmanGlobalTable* table) {
  if (!usable(version, table) || version < kWithSysmanInit) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  table->pfnInit = zes_init;
  return ZE_RESULT_SUCCESS;
}

ZE_DLLEXPORT ze_result_t ZE_APICALL zeGetGlobalProcAddrTable(ze_api_version_t version, ze_global_dditable_t* table) {
  if (!usable(version, table)) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  table->pfnInit = ze_init;
  return ZE_RESULT_SUCCESS;
}

ZE_DLLEXPORT ze_result_t ZE_APICALL zeGetDriverProcAddrTable(ze_api_version_t version, ze_driver_dditable_t* table) {
  if (!usable(version, table)) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  table->pfnGet = driver_get;
  table->pfnGetProperties = driver_get_properties;
  table->pfnGetExtensionProperties = driver_get_extensions;
  return ZE_RESULT_SUCCESS;
}

ZE_DLLEXPORT ze_result_t ZE_APICALL zeGetDeviceProcAddrTable(ze_api_version_t version, ze_device_dditable_t* table) {
  if (!usable(version, table)) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  table->pfnGet = device_get;
  table->pfnGetProperties = core_device_properties;
  return ZE_RESULT_SUCCESS;
}

ZE_DLLEXPORT ze_result_t ZE_APICALL zesGetDriverProcAddrTable(ze_api_version_t version, zes_driver_dditable_t* table) {
  if (!usable(version, table)) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  if (version >= kWithSysmanInit) reinterpret_cast<SysmanDriverTable*>(table)->pfnGet = sysman_driver_get;
  return ZE_RESULT_SUCCESS;
}

ZE_DLLEXPORT ze_result_t ZE_APICALL zesGetDeviceProcAddrTable(ze_api_version_t version, zes_device_dditable_t* table) {
  if (!usable(version, table)) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  table->pfnGetProperties = device_properties;
  table->pfnGetState = device_state;
  table->pfnProcessesGetState = device_processes;
  table->pfnPciGetProperties = pci_properties;
  table->pfnPciGetState = pci_state;
  table->pfnPciGetStats = pci_stats;
  table->pfnEnumEngineGroups = enum_engines;
  table->pfnEnumFabricPorts = enum_ports;
  table->pfnEnumFans = enum_fans;
  table->pfnEnumFrequencyDomains = enum_frequencies;
  table->pfnEnumMemoryModules = enum_memory;
  table->pfnEnumPowerDomains = enum_powers;
  table->pfnEnumRasErrorSets = enum_errors;
  table->pfnEnumTemperatureSensors = enum_temperatures;
  table->pfnEccAvailable = ecc_available;
  table->pfnGetEccState = ecc_state;
  if (version >= kWithSysmanInit) {
    const auto get = reinterpret_cast<void*>(sysman_device_get);
    memcpy(reinterpret_cast<void**>(table) + kDeviceTableGet, &get, sizeof(get));
  }
  return ZE_RESULT_SUCCESS;
}

ZE_DLLEXPORT ze_result_t ZE_APICALL zesGetEngineProcAddrTable(ze_api_version_t version, zes_engine_dditable_t* table) {
  if (!usable(version, table)) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  table->pfnGetProperties = engine_properties;
  table->pfnGetActivity = engine_activity;
  return ZE_RESULT_SUCCESS;
}

ZE_DLLEXPORT ze_result_t ZE_APICALL zesGetMemoryProcAddrTable(ze_api_version_t version, zes_memory_dditable_t* table) {
  if (!usable(version, table)) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  table->pfnGetProperties = memory_properties;
  table->pfnGetState = memory_state;
  table->pfnGetBandwidth = memory_bandwidth;
  return ZE_RESULT_SUCCESS;
}

ZE_DLLEXPORT ze_result_t ZE_APICALL zesGetTemperatureProcAddrTable(ze_api_version_t version,
                                                                   zes_temperature_dditable_t* table) {
  if (!usable(version, table)) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  table->pfnGetProperties = temperature_properties;
  table->pfnGetState = temperature_state;
  return ZE_RESULT_SUCCESS;
}

ZE_DLLEXPORT ze_result_t ZE_APICALL zesGetPowerProcAddrTable(ze_api_version_t version, zes_power_dditable_t* table) {
  if (!usable(version, table)) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  table->pfnGetProperties = power_properties;
  table->pfnGetEnergyCounter = energy_counter;
  table->pfnGetLimits = power_limits;
  table->pfnGetLimitsExt = power_limits_ext;
  return ZE_RESULT_SUCCESS;
}

ZE_DLLEXPORT ze_result_t ZE_APICALL zesGetFrequencyProcAddrTable(ze_api_version_t version,
                                                                 zes_frequency_dditable_t* table) {
  if (!usable(version, table)) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  table->pfnGetProperties = frequency_properties;
  table->pfnGetState = frequency_state;
  table->pfnGetThrottleTime = throttle_time;
  return ZE_RESULT_SUCCESS;
}

ZE_DLLEXPORT ze_result_t ZE_APICALL zesGetFanProcAddrTable(ze_api_version_t version, zes_fan_dditable_t* table) {
  if (!usable(version, table)) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  table->pfnGetProperties = fan_properties;
  table->pfnGetState = fan_state;
  return ZE_RESULT_SUCCESS;
}

ZE_DLLEXPORT ze_result_t ZE_APICALL zesGetRasProcAddrTable(ze_api_version_t version, zes_ras_dditable_t* table) {
  if (!usable(version, table)) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  table->pfnGetProperties = error_properties;
  table->pfnGetState = error_state;
  return ZE_RESULT_SUCCESS;
}

ZE_DLLEXPORT ze_result_t ZE_APICALL zesGetFabricPortProcAddrTable(ze_api_version_t version,
                                                                  zes_fabric_port_dditable_t* table) {
  if (!usable(version, table)) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  table->pfnGetProperties = port_properties;
  table->pfnGetState = port_state;
  table->pfnGetThroughput = port_throughput;
  return ZE_RESULT_SUCCESS;
}

// Without anything in them.
// NOLINTBEGIN(bugprone-macro-parentheses): a type
#define EMPTY_TABLE(name, table_type)                                                            \
  ZE_DLLEXPORT ze_result_t ZE_APICALL name##ProcAddrTable(ze_api_version_t, table_type* table) { \
    return table != nullptr ? ZE_RESULT_SUCCESS : ZE_RESULT_ERROR_INVALID_NULL_POINTER;          \
  }
// NOLINTEND(bugprone-macro-parentheses)
EMPTY_TABLE(zeGetDeviceExp, ze_device_exp_dditable_t)
EMPTY_TABLE(zeGetContext, ze_context_dditable_t)
EMPTY_TABLE(zeGetCommandQueue, ze_command_queue_dditable_t)
EMPTY_TABLE(zeGetCommandList, ze_command_list_dditable_t)
EMPTY_TABLE(zeGetImage, ze_image_dditable_t)
EMPTY_TABLE(zeGetImageExp, ze_image_exp_dditable_t)
EMPTY_TABLE(zeGetFence, ze_fence_dditable_t)
EMPTY_TABLE(zeGetEventPool, ze_event_pool_dditable_t)
EMPTY_TABLE(zeGetEvent, ze_event_dditable_t)
EMPTY_TABLE(zeGetEventExp, ze_event_exp_dditable_t)
EMPTY_TABLE(zeGetModule, ze_module_dditable_t)
EMPTY_TABLE(zeGetModuleBuildLog, ze_module_build_log_dditable_t)
EMPTY_TABLE(zeGetKernel, ze_kernel_dditable_t)
EMPTY_TABLE(zeGetKernelExp, ze_kernel_exp_dditable_t)
EMPTY_TABLE(zeGetSampler, ze_sampler_dditable_t)
EMPTY_TABLE(zeGetPhysicalMem, ze_physical_mem_dditable_t)
EMPTY_TABLE(zeGetMem, ze_mem_dditable_t)
EMPTY_TABLE(zeGetVirtualMem, ze_virtual_mem_dditable_t)
EMPTY_TABLE(zeGetFabricVertexExp, ze_fabric_vertex_exp_dditable_t)
EMPTY_TABLE(zeGetFabricEdgeExp, ze_fabric_edge_exp_dditable_t)
EMPTY_TABLE(zesGetScheduler, zes_scheduler_dditable_t)
EMPTY_TABLE(zesGetPerformanceFactor, zes_performance_factor_dditable_t)
EMPTY_TABLE(zesGetStandby, zes_standby_dditable_t)
EMPTY_TABLE(zesGetFirmware, zes_firmware_dditable_t)
EMPTY_TABLE(zesGetPsu, zes_psu_dditable_t)
EMPTY_TABLE(zesGetLed, zes_led_dditable_t)
EMPTY_TABLE(zesGetDiagnostics, zes_diagnostics_dditable_t)
EMPTY_TABLE(zetGetDevice, zet_device_dditable_t)
EMPTY_TABLE(zetGetContext, zet_context_dditable_t)
EMPTY_TABLE(zetGetCommandList, zet_command_list_dditable_t)
EMPTY_TABLE(zetGetModule, zet_module_dditable_t)
EMPTY_TABLE(zetGetKernel, zet_kernel_dditable_t)
EMPTY_TABLE(zetGetMetricGroup, zet_metric_group_dditable_t)
EMPTY_TABLE(zetGetMetricGroupExp, zet_metric_group_exp_dditable_t)
EMPTY_TABLE(zetGetMetric, zet_metric_dditable_t)
EMPTY_TABLE(zetGetMetricStreamer, zet_metric_streamer_dditable_t)
EMPTY_TABLE(zetGetMetricQueryPool, zet_metric_query_pool_dditable_t)
EMPTY_TABLE(zetGetMetricQuery, zet_metric_query_dditable_t)
EMPTY_TABLE(zetGetTracerExp, zet_tracer_exp_dditable_t)
EMPTY_TABLE(zetGetDebug, zet_debug_dditable_t)
#undef EMPTY_TABLE

}  // extern "C"
