// Initialization, the system, and the way from an index or a name to a handle.

#include <strings.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "api.h"

namespace accelmon::nvml {

namespace {

// The devices that are counted, in order: those that are gone leave no gap.
int counted_to_index(const Entry& entry, U32 counted, unsigned& index) {
  U32 seen = 0;
  for (unsigned i = 0; i < entry.scenario->devices.size(); ++i) {
    if (entry.scenario->gone(i, entry.now)) continue;
    if (seen++ == counted) {
      index = i;
      return kSuccess;
    }
  }
  return kInvalidArgument;
}

int count_devices(Call call, U32* out) {
  return system_call(call, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    U32 count = 0;
    for (unsigned i = 0; i < entry.scenario->devices.size(); ++i) {
      if (!entry.scenario->gone(i, entry.now)) ++count;
    }
    *out = count;
    return kSuccess;
  });
}

int give_handle(Call call, unsigned index, DeviceHandle* out) {
  Entry entry;
  const int code = Library::get().enter_index(call, index, entry);
  if (code == kSuccess) *out = Library::get().handle(entry, index);
  return code;
}

int handle_by_index(Call call, U32 counted, DeviceHandle* out) {
  unsigned index = 0;
  Entry entry;
  int code = Library::get().check(call, entry);
  if (code == kSuccess) code = out ? counted_to_index(entry, counted, index) : kInvalidArgument;
  return code == kSuccess ? give_handle(call, index, out) : code;
}

// The device of which `is_it` says yes.
template <class IsIt>
int handle_by(Call call, const char* key, DeviceHandle* out, IsIt&& is_it) {
  Entry entry;
  const int code = Library::get().check(call, entry);
  if (code != kSuccess) return code;
  if (!key || !out) return kInvalidArgument;
  for (unsigned i = 0; i < entry.scenario->devices.size(); ++i) {
    if (!entry.scenario->gone(i, entry.now) && is_it(entry.scenario->devices[i])) return give_handle(call, i, out);
  }
  return kNotFound;
}

int handle_by_pci(Call call, const char* id, DeviceHandle* out) {
  unsigned domain = 0, bus = 0, slot = 0;
  // NOLINTBEGIN(cert-err34-c): so many digits fit
  if (id && sscanf(id, "%8x:%2x:%2x", &domain, &bus, &slot) != 3) {
    domain = 0;
    if (sscanf(id, "%2x:%2x", &bus, &slot) != 2) return kInvalidArgument;
  }
  // NOLINTEND(cert-err34-c)
  return handle_by(call, id, out, [&](const Device& device) {
    return device.pci_domain == domain && device.pci_bus == bus && device.pci_slot == slot;
  });
}

int cuda_version(Call call, int* out) {
  return system_call(call, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    *out = entry.scenario->cuda_version;
    return kSuccess;
  });
}

}  // namespace

const char* nvmlErrorString(int code) {
  switch (code) {
    case kSuccess:
      return "Success";
    case kUninitialized:
      return "Uninitialized";
    case kInvalidArgument:
      return "Invalid Argument";
    case kNotSupported:
      return "Not Supported";
    case kNoPermission:
      return "Insufficient Permissions";
    case kAlreadyInitialized:
      return "Already Initialized";
    case kNotFound:
      return "Not Found";
    case kInsufficientSize:
      return "Insufficient Size";
    case kInsufficientPower:
      return "Insufficient External Power";
    case kDriverNotLoaded:
      return "Driver Not Loaded";
    case kTimeout:
      return "Timeout";
    case kIrqIssue:
      return "Interrupt Request Issue";
    case kLibraryNotFound:
      return "NVML Shared Library Not Found";
    case kFunctionNotFound:
      return "Function Not Found";
    case kCorruptedInforom:
      return "Corrupted infoROM";
    case kGpuIsLost:
      return "GPU is lost";
    case kResetRequired:
      return "GPU requires reset";
    case kOperatingSystem:
      return "GPU access blocked by the operating system";
    case kLibRmVersionMismatch:
      return "Driver/library version mismatch";
    case kInUse:
      return "In use by another client";
    case kMemory:
      return "Insufficient Memory";
    case kNoData:
      return "No data";
    case kArgumentVersionMismatch:
      return "Argument version mismatch";
    case kDeprecated:
      return "Deprecated";
    case kNotReady:
      return "Not Ready";
    case kGpuNotFound:
      return "GPU not found";
    case kInvalidState:
      return "Invalid state";
    case kResetTypeNotSupported:
      return "Reset type not supported";
    case kUnknownError:
      return "Unknown Error";
    default:
      return "Unknown Error code";
  }
}

int nvmlInit() {
  return Library::get().initialize(Call::nvmlInit);
}
int nvmlInit_v2() {
  return Library::get().initialize(Call::nvmlInit_v2);
}
int nvmlInitWithFlags(U32) {
  return Library::get().initialize(Call::nvmlInitWithFlags);
}
int nvmlShutdown() {
  return Library::get().shut_down();
}

int nvmlSystemGetDriverVersion(char* out, U32 size) {
  return system_call(Call::nvmlSystemGetDriverVersion,
                     [&](Entry& entry) { return copy_text(entry.scenario->driver_version, out, size); });
}

int nvmlSystemGetNVMLVersion(char* out, U32 size) {
  return system_call(Call::nvmlSystemGetNVMLVersion,
                     [&](Entry& entry) { return copy_text(entry.scenario->nvml_version, out, size); });
}

int nvmlSystemGetCudaDriverVersion(int* out) {
  return cuda_version(Call::nvmlSystemGetCudaDriverVersion, out);
}
int nvmlSystemGetCudaDriverVersion_v2(int* out) {
  return cuda_version(Call::nvmlSystemGetCudaDriverVersion_v2, out);
}

int nvmlSystemGetProcessName(U32 pid, char* out, U32 size) {
  return system_call(Call::nvmlSystemGetProcessName, [&](Entry& entry) -> int {
    if (!out || size == 0) return kInvalidArgument;
    for (const Process& process : entry.scenario->processes) {
      const U32 its = process.pid ? process.pid : static_cast<U32>(getpid());
      if (its != pid || !process.alive(entry.now)) continue;
      // This one is cut to fit rather than refused.
      const size_t length = std::min<size_t>(process.name.size(), size - 1);
      memcpy(out, process.name.data(), length);
      out[length] = '\0';
      return kSuccess;
    }
    return kNotFound;
  });
}

int nvmlDeviceGetCount(U32* out) {
  return count_devices(Call::nvmlDeviceGetCount, out);
}
int nvmlDeviceGetCount_v2(U32* out) {
  return count_devices(Call::nvmlDeviceGetCount_v2, out);
}

int nvmlDeviceGetHandleByIndex(U32 index, DeviceHandle* out) {
  return handle_by_index(Call::nvmlDeviceGetHandleByIndex, index, out);
}
int nvmlDeviceGetHandleByIndex_v2(U32 index, DeviceHandle* out) {
  return handle_by_index(Call::nvmlDeviceGetHandleByIndex_v2, index, out);
}

int nvmlDeviceGetHandleByUUID(const char* uuid, DeviceHandle* out) {
  constexpr Call kCall = Call::nvmlDeviceGetHandleByUUID;
  const int code = handle_by(kCall, uuid, out, [&](const Device& device) { return device.uuid == uuid; });
  if (code != kNotFound) return code;
  return system_call(kCall, [&](Entry& entry) -> int {
    for (unsigned i = 0; i < entry.scenario->devices.size(); ++i) {
      const Device& device = entry.scenario->devices[i];
      for (size_t j = 0; j < device.instances.size(); ++j) {
        if (device.instances[j].uuid != uuid) continue;
        *out = Library::get().handle(entry, i, static_cast<int>(j));
        return kSuccess;
      }
    }
    return kNotFound;
  });
}

int nvmlDeviceGetHandleBySerial(const char* serial, DeviceHandle* out) {
  return handle_by(Call::nvmlDeviceGetHandleBySerial, serial, out,
                   [&](const Device& device) { return device.serial && *device.serial == serial; });
}

int nvmlDeviceGetHandleByPciBusId(const char* id, DeviceHandle* out) {
  return handle_by_pci(Call::nvmlDeviceGetHandleByPciBusId, id, out);
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* id, DeviceHandle* out) {
  return handle_by_pci(Call::nvmlDeviceGetHandleByPciBusId_v2, id, out);
}

int nvmlDeviceGetIndex(DeviceHandle device, U32* out) {
  return device_call(Call::nvmlDeviceGetIndex, device, Takes::gpu_or_mig, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    if (entry.instance >= 0) {
      *out = static_cast<U32>(entry.instance);
      return kSuccess;
    }
    U32 index = 0;
    for (unsigned i = 0; i < *entry.index; ++i) {
      if (!entry.scenario->gone(i, entry.now)) ++index;
    }
    *out = index;
    return kSuccess;
  });
}

}  // namespace accelmon::nvml
