// Drivers, devices, processes, ECC.
#include <cstdio>

#include "api.h"

namespace accelmon::simulator::level_zero {

namespace {

void describe(const Entry& entry, ze_device_properties_t* out) {
  const IntelDevice& d = entry.device();
  out->type = ZE_DEVICE_TYPE_GPU;
  out->vendorId = 0x8086;
  out->deviceId = d.pci_device_id;
  out->flags = d.integrated ? ZE_DEVICE_PROPERTY_FLAG_INTEGRATED : 0;
  if (d.ecc) out->flags |= ZE_DEVICE_PROPERTY_FLAG_ECC;
  out->subdeviceId = 0;
  out->coreClockRate = 0;
  for (const IntelFrequency& f : d.tiles[0].frequencies)
    if (f.domain == IntelFrequency::Domain::gpu) out->coreClockRate = static_cast<uint32_t>(f.rp0);
  const uint64_t half = mix(0x8086u + *entry.index);
  memcpy(out->uuid.id, &half, sizeof(half));
  const uint64_t rest = uint64_t{d.pci_domain} << 32 | d.pci_bus << 8 | d.pci_slot;
  memcpy(out->uuid.id + sizeof(half), &rest, sizeof(rest));
  set_text(out->name, d.name);
}

template <class T>
ze_result_t give_devices(ZeCall call, const void* driver, uint32_t* count, T* out) {
  Driver& self = Driver::get();
  if (driver == nullptr) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  Entry entry;
  if (const ze_result_t code = self.enter(call, entry); code != ZE_RESULT_SUCCESS) return code;
  const std::vector<unsigned> devices = self.listed(*entry.scenario, entry.now);
  return give(static_cast<uint32_t>(devices.size()), count, out,
              [&](uint32_t i) { return reinterpret_cast<T>(self.handle(Kind::device, devices[i], 0)); });
}

template <class T>
ze_result_t give_driver(ZeCall call, uint32_t* count, T* out) {
  Entry entry;
  if (const ze_result_t code = Driver::get().enter(call, entry); code != ZE_RESULT_SUCCESS) return code;
  return give(1, count, out, [&](uint32_t) { return reinterpret_cast<T>(Driver::get().handle(Kind::driver, 0, 0)); });
}

}  // namespace

ze_result_t ZE_APICALL ze_init(ze_init_flags_t) {
  return Driver::get().initialize(ZeCall::zeInit);
}

ze_result_t ZE_APICALL zes_init(uint32_t) {
  return Driver::get().initialize(ZeCall::zesInit);
}

ze_result_t ZE_APICALL driver_get(uint32_t* count, ze_driver_handle_t* out) {
  return give_driver(ZeCall::zeDriverGet, count, out);
}

ze_result_t ZE_APICALL sysman_driver_get(uint32_t* count, zes_driver_handle_t* out) {
  return give_driver(ZeCall::zesDriverGet, count, out);
}

ze_result_t ZE_APICALL driver_get_properties(ze_driver_handle_t driver, ze_driver_properties_t* out) {
  if (driver == nullptr) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  if (out == nullptr) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  memset(&out->uuid, 0, sizeof(out->uuid));
  out->driverVersion = 1u << 24 | 14u << 16 | 37020u;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL driver_get_extensions(ze_driver_handle_t driver, uint32_t* count,
                                             ze_driver_extension_properties_t* out) {
  if (driver == nullptr) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  return give(0, count, out, [](uint32_t) { return ze_driver_extension_properties_t{}; });
}

ze_result_t ZE_APICALL device_get(ze_driver_handle_t driver, uint32_t* count, ze_device_handle_t* out) {
  return give_devices(ZeCall::zeDeviceGet, driver, count, out);
}

ze_result_t ZE_APICALL sysman_device_get(zes_driver_handle_t driver, uint32_t* count, zes_device_handle_t* out) {
  return give_devices(ZeCall::zesDeviceGet, driver, count, out);
}

ze_result_t ZE_APICALL core_device_properties(ze_device_handle_t device, ze_device_properties_t* out) {
  return handled(ZeCall::zesDeviceGetProperties, device, Kind::device, out, [&](Entry& entry) {
    describe(entry, out);
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL device_properties(zes_device_handle_t device, zes_device_properties_t* out) {
  return handled(ZeCall::zesDeviceGetProperties, device, Kind::device, out, [&](Entry& entry) {
    if (!is_typed(out, ZES_STRUCTURE_TYPE_DEVICE_PROPERTIES)) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
    const IntelDevice& d = entry.device();
    describe(entry, &out->core);
    out->numSubdevices = d.tiles.size() > 1 ? static_cast<uint32_t>(d.tiles.size()) : 0;
    set_text(out->serialNumber, d.serial.empty() ? "unknown" : d.serial);
    set_text(out->boardNumber, "unknown");
    set_text(out->brandName, "Intel(R) Corporation");
    set_text(out->modelName, d.name);
    set_text(out->vendorName, "Intel(R) Corporation");
    set_text(out->driverVersion, d.driver_version.empty() ? "unknown" : d.driver_version);
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL device_state(zes_device_handle_t device, zes_device_state_t* out) {
  return handled(ZeCall::zesDeviceGetState, device, Kind::device, out, [&](Entry& entry) {
    out->reset = entry.device().wedged.value(entry.t) >= 0.5 ? ZES_RESET_REASON_FLAG_WEDGED : 0;
    out->repaired = ZES_REPAIR_STATUS_UNSUPPORTED;
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL device_processes(zes_device_handle_t device, uint32_t* count, zes_process_state_t* out) {
  return handled(ZeCall::zesDeviceProcessesGetState, device, Kind::device, count, [&](Entry& entry) {
    const IntelDevice& d = entry.device();
    // The i915 driver of the kernel has no folder of clients.
    if (d.driver == IntelDriver::i915) return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
    std::vector<const IntelProcess*> running;
    // What cannot be looked at is left out, and nothing says so.
    for (const IntelProcess& process : d.processes)
      if (process.alive(entry.t) && d.may.ptrace) running.push_back(&process);
    const auto available = static_cast<uint32_t>(running.size());
    if (*count == 0 || out == nullptr) {
      *count = available;
      return ZE_RESULT_SUCCESS;
    }
    if (*count < available) {
      *count = available;
      return ZE_RESULT_ERROR_INVALID_SIZE;
    }
    *count = available;
    for (uint32_t i = 0; i < available; ++i) {
      out[i].processId = running[i]->pid;
      out[i].memSize = entry.u64(running[i]->memory.value(entry.t));
      out[i].sharedSize = entry.u64(running[i]->shared.value(entry.t));
      out[i].engines = 0;
      constexpr zes_engine_type_flag_t kFlags[kIntelClasses] = {ZES_ENGINE_TYPE_FLAG_RENDER, ZES_ENGINE_TYPE_FLAG_DMA,
                                                                ZES_ENGINE_TYPE_FLAG_MEDIA, ZES_ENGINE_TYPE_FLAG_MEDIA,
                                                                ZES_ENGINE_TYPE_FLAG_COMPUTE};
      for (size_t c = 0; c < kIntelClasses; ++c)
        if (running[i]->busy[c].value(entry.t) > 0) out[i].engines |= kFlags[c];
    }
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL ecc_available(zes_device_handle_t device, ze_bool_t* out) {
  return handled(ZeCall::zesDeviceEccAvailable, device, Kind::device, out, [&](Entry& entry) {
    *out = entry.device().ecc.has_value() ? 1 : 0;
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL ecc_state(zes_device_handle_t device, zes_device_ecc_properties_t* out) {
  return handled(ZeCall::zesDeviceGetEccState, device, Kind::device, out, [&](Entry& entry) {
    const std::optional<bool> on = entry.device().ecc;
    if (!on) return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
    out->currentState = *on ? ZES_DEVICE_ECC_STATE_ENABLED : ZES_DEVICE_ECC_STATE_DISABLED;
    out->pendingState = out->currentState;
    out->pendingAction = ZES_DEVICE_ACTION_NONE;
    return ZE_RESULT_SUCCESS;
  });
}

}  // namespace accelmon::simulator::level_zero
