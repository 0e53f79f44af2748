// For tests: a Level Zero loader of version 1.5 or later in the little that a reader of Sysman needs, since Debian's is
// older and has no zesInit. It loads the first driver of ZE_ENABLE_ALT_DRIVERS, asks it for the tables that it has
// something in, and hands each call on. Like the real one it starts once.
#include <dlfcn.h>
#include <level_zero/ze_ddi.h>
#include <level_zero/zes_ddi.h>

#include <cstdlib>
#include <mutex>
#include <string>

namespace {

constexpr auto kVersion = static_cast<ze_api_version_t>(ZE_MAKE_VERSION(1, 5));

// Larger than the installed headers know them: see tables.cc.
struct SysmanGlobalTable {
  ze_result_t(ZE_APICALL* pfnInit)(uint32_t) = nullptr;
};
struct SysmanDriverTable {
  zes_driver_dditable_t base{};
  void* more[8] = {};
};
struct SysmanDeviceTable {
  zes_device_dditable_t base{};
  void* more[16] = {};
};
constexpr size_t kDriverGet = 2;
constexpr size_t kDeviceGet = 29;

struct Tables {
  SysmanGlobalTable sysman;
  ze_global_dditable_t global{};
  ze_driver_dditable_t core_driver{};
  ze_device_dditable_t core_device{};
  SysmanDriverTable driver;
  SysmanDeviceTable device;
  zes_engine_dditable_t engine{};
  zes_memory_dditable_t memory{};
  zes_temperature_dditable_t temperature{};
  zes_power_dditable_t power{};
  zes_frequency_dditable_t frequency{};
  zes_fan_dditable_t fan{};
  zes_ras_dditable_t ras{};
  zes_fabric_port_dditable_t port{};
  bool loaded = false;
};

template <class Table>
void fill(void* library, const char* name, Table* table) {
  using Get = ze_result_t(ZE_APICALL*)(ze_api_version_t, Table*);
  if (const auto get = reinterpret_cast<Get>(dlsym(library, name))) get(kVersion, table);
}

Tables load() {
  Tables t;
  const char* list = getenv("ZE_ENABLE_ALT_DRIVERS");
  const std::string first = list == nullptr ? std::string() : std::string(list).substr(0, std::string(list).find(','));
  void* const library = first.empty() ? nullptr : dlopen(first.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return t;
  fill(library, "zesGetGlobalProcAddrTable", &t.sysman);
  fill(library, "zeGetGlobalProcAddrTable", &t.global);
  fill(library, "zeGetDriverProcAddrTable", &t.core_driver);
  fill(library, "zeGetDeviceProcAddrTable", &t.core_device);
  fill(library, "zesGetDriverProcAddrTable", &t.driver.base);
  fill(library, "zesGetDeviceProcAddrTable", &t.device.base);
  fill(library, "zesGetEngineProcAddrTable", &t.engine);
  fill(library, "zesGetMemoryProcAddrTable", &t.memory);
  fill(library, "zesGetTemperatureProcAddrTable", &t.temperature);
  fill(library, "zesGetPowerProcAddrTable", &t.power);
  fill(library, "zesGetFrequencyProcAddrTable", &t.frequency);
  fill(library, "zesGetFanProcAddrTable", &t.fan);
  fill(library, "zesGetRasProcAddrTable", &t.ras);
  fill(library, "zesGetFabricPortProcAddrTable", &t.port);
  t.loaded = true;
  return t;
}

const Tables& tables() {
  static const Tables loaded = load();
  return loaded;
}

template <class F, class... Arguments>
ze_result_t hand_on(F* function, Arguments... arguments) {
  return function == nullptr ? ZE_RESULT_ERROR_UNSUPPORTED_FEATURE : function(arguments...);
}

template <class F>
F* at(const void* table, size_t place) {
  return reinterpret_cast<F*>(static_cast<void* const*>(table)[place]);
}

}  // namespace

extern "C" {

#define FUNCTION ZE_DLLEXPORT ze_result_t ZE_APICALL

FUNCTION zesInit(uint32_t flags) {
  if (!tables().loaded) return ZE_RESULT_ERROR_UNINITIALIZED;
  return hand_on(tables().sysman.pfnInit, flags);
}
FUNCTION zeInit(ze_init_flags_t flags) {
  if (!tables().loaded) return ZE_RESULT_ERROR_UNINITIALIZED;
  return hand_on(tables().global.pfnInit, flags);
}
FUNCTION zesDriverGet(uint32_t* count, zes_driver_handle_t* out) {
  return hand_on(at<ze_result_t(uint32_t*, zes_driver_handle_t*)>(&tables().driver, kDriverGet), count, out);
}
FUNCTION zesDeviceGet(zes_driver_handle_t driver, uint32_t* count, zes_device_handle_t* out) {
  using Get = ze_result_t(zes_driver_handle_t, uint32_t*, zes_device_handle_t*);
  return hand_on(at<Get>(&tables().device, kDeviceGet), driver, count, out);
}
FUNCTION zeDriverGet(uint32_t* count, ze_driver_handle_t* out) {
  return hand_on(tables().core_driver.pfnGet, count, out);
}
FUNCTION zeDeviceGet(ze_driver_handle_t driver, uint32_t* count, ze_device_handle_t* out) {
  return hand_on(tables().core_device.pfnGet, driver, count, out);
}

// NOLINTBEGIN(bugprone-macro-parentheses): types and names
#define HAND_ON(name, member, first, second) \
  FUNCTION name(first a, second b) {         \
    return hand_on(tables().member, a, b);   \
  }
#define HAND_ON_LIST(name, member, first, third)  \
  FUNCTION name(first a, uint32_t* b, third* c) { \
    return hand_on(tables().member, a, b, c);     \
  }
// NOLINTEND(bugprone-macro-parentheses)

HAND_ON(zesDeviceGetProperties, device.base.pfnGetProperties, zes_device_handle_t, zes_device_properties_t*)
HAND_ON(zesDeviceGetState, device.base.pfnGetState, zes_device_handle_t, zes_device_state_t*)
HAND_ON_LIST(zesDeviceProcessesGetState, device.base.pfnProcessesGetState, zes_device_handle_t, zes_process_state_t)
HAND_ON(zesDevicePciGetProperties, device.base.pfnPciGetProperties, zes_device_handle_t, zes_pci_properties_t*)
HAND_ON(zesDevicePciGetState, device.base.pfnPciGetState, zes_device_handle_t, zes_pci_state_t*)
HAND_ON(zesDevicePciGetStats, device.base.pfnPciGetStats, zes_device_handle_t, zes_pci_stats_t*)
HAND_ON(zesDeviceEccAvailable, device.base.pfnEccAvailable, zes_device_handle_t, ze_bool_t*)
HAND_ON(zesDeviceGetEccState, device.base.pfnGetEccState, zes_device_handle_t, zes_device_ecc_properties_t*)
HAND_ON_LIST(zesDeviceEnumEngineGroups, device.base.pfnEnumEngineGroups, zes_device_handle_t, zes_engine_handle_t)
HAND_ON_LIST(zesDeviceEnumMemoryModules, device.base.pfnEnumMemoryModules, zes_device_handle_t, zes_mem_handle_t)
HAND_ON_LIST(zesDeviceEnumTemperatureSensors, device.base.pfnEnumTemperatureSensors, zes_device_handle_t,
             zes_temp_handle_t)
HAND_ON_LIST(zesDeviceEnumPowerDomains, device.base.pfnEnumPowerDomains, zes_device_handle_t, zes_pwr_handle_t)
HAND_ON_LIST(zesDeviceEnumFrequencyDomains, device.base.pfnEnumFrequencyDomains, zes_device_handle_t, zes_freq_handle_t)
HAND_ON_LIST(zesDeviceEnumFans, device.base.pfnEnumFans, zes_device_handle_t, zes_fan_handle_t)
HAND_ON_LIST(zesDeviceEnumRasErrorSets, device.base.pfnEnumRasErrorSets, zes_device_handle_t, zes_ras_handle_t)
HAND_ON_LIST(zesDeviceEnumFabricPorts, device.base.pfnEnumFabricPorts, zes_device_handle_t, zes_fabric_port_handle_t)
HAND_ON(zesEngineGetProperties, engine.pfnGetProperties, zes_engine_handle_t, zes_engine_properties_t*)
HAND_ON(zesEngineGetActivity, engine.pfnGetActivity, zes_engine_handle_t, zes_engine_stats_t*)
HAND_ON(zesMemoryGetProperties, memory.pfnGetProperties, zes_mem_handle_t, zes_mem_properties_t*)
HAND_ON(zesMemoryGetState, memory.pfnGetState, zes_mem_handle_t, zes_mem_state_t*)
HAND_ON(zesMemoryGetBandwidth, memory.pfnGetBandwidth, zes_mem_handle_t, zes_mem_bandwidth_t*)
HAND_ON(zesTemperatureGetProperties, temperature.pfnGetProperties, zes_temp_handle_t, zes_temp_properties_t*)
HAND_ON(zesTemperatureGetState, temperature.pfnGetState, zes_temp_handle_t, double*)
HAND_ON(zesPowerGetProperties, power.pfnGetProperties, zes_pwr_handle_t, zes_power_properties_t*)
HAND_ON(zesPowerGetEnergyCounter, power.pfnGetEnergyCounter, zes_pwr_handle_t, zes_power_energy_counter_t*)
HAND_ON_LIST(zesPowerGetLimitsExt, power.pfnGetLimitsExt, zes_pwr_handle_t, zes_power_limit_ext_desc_t)
HAND_ON(zesFrequencyGetProperties, frequency.pfnGetProperties, zes_freq_handle_t, zes_freq_properties_t*)
HAND_ON(zesFrequencyGetState, frequency.pfnGetState, zes_freq_handle_t, zes_freq_state_t*)
HAND_ON(zesFanGetProperties, fan.pfnGetProperties, zes_fan_handle_t, zes_fan_properties_t*)
HAND_ON(zesRasGetProperties, ras.pfnGetProperties, zes_ras_handle_t, zes_ras_properties_t*)
HAND_ON(zesFabricPortGetProperties, port.pfnGetProperties, zes_fabric_port_handle_t, zes_fabric_port_properties_t*)
HAND_ON(zesFabricPortGetState, port.pfnGetState, zes_fabric_port_handle_t, zes_fabric_port_state_t*)
HAND_ON(zesFabricPortGetThroughput, port.pfnGetThroughput, zes_fabric_port_handle_t, zes_fabric_port_throughput_t*)

FUNCTION zesFanGetState(zes_fan_handle_t fan, zes_fan_speed_units_t units, int32_t* out) {
  return hand_on(tables().fan.pfnGetState, fan, units, out);
}
FUNCTION zesRasGetState(zes_ras_handle_t set, ze_bool_t clear, zes_ras_state_t* out) {
  return hand_on(tables().ras.pfnGetState, set, clear, out);
}
FUNCTION zesPowerGetLimits(zes_pwr_handle_t domain, zes_power_sustained_limit_t* sustained,
                           zes_power_burst_limit_t* burst, zes_power_peak_limit_t* peak) {
  return hand_on(tables().power.pfnGetLimits, domain, sustained, burst, peak);
}

}  // extern "C"
