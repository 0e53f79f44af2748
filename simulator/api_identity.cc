// What a device is: names, numbers, its place in the machine. And MIG instances, which are devices too.

#include <cstdio>
#include <cstring>

#include "api.h"

namespace accelmon::nvml {

namespace {

int text_of(Call call, DeviceHandle device, char* out, U32 size, const std::optional<std::string> Device::*member) {
  return device_call(call, device, Takes::gpu, [&](Entry& entry) -> int {
    const std::optional<std::string>& text = entry.device().*member;
    return text ? copy_text(*text, out, size) : kNotSupported;
  });
}

int pci_info(Call call, DeviceHandle device, PciInfo* out) {
  return device_call(call, device, Takes::gpu_or_mig, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    const Device& d = entry.device();
    memset(out, 0, sizeof(*out));
    snprintf(out->bus_id_legacy, sizeof(out->bus_id_legacy), "%04X:%02X:%02X.0", d.pci_domain & 0xffff, d.pci_bus,
             d.pci_slot);
    snprintf(out->bus_id, sizeof(out->bus_id), "%08X:%02X:%02X.0", d.pci_domain, d.pci_bus, d.pci_slot);
    out->domain = d.pci_domain;
    out->bus = d.pci_bus;
    out->device = d.pci_slot;
    out->device_id = d.pci_device_id;
    out->subsystem_id = d.pci_subsystem_id;
    return kSuccess;
  });
}

template <class Out, class Get>
int fact(Call call, DeviceHandle device, Out* out, Get&& get) {
  return device_call(call, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    *out = static_cast<Out>(get(entry.device()));
    return kSuccess;
  });
}

int attributes(Call call, DeviceHandle mig, DeviceAttributes* out) {
  return device_call(call, mig, Takes::mig, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    const MigInstance& instance = entry.mig();
    *out = DeviceAttributes{instance.multiprocessors, instance.copy_engines,   instance.decoders,
                            instance.encoders,        instance.jpeg_engines,   instance.ofa_engines,
                            instance.gpu_slices,      instance.compute_slices, instance.memory_total >> 20};
    return kSuccess;
  });
}

}  // namespace

int nvmlDeviceGetName(DeviceHandle device, char* out, U32 size) {
  return device_call(Call::nvmlDeviceGetName, device, Takes::gpu_or_mig, [&](Entry& entry) {
    const std::string& name = entry.device().name;
    return copy_text(entry.instance < 0 ? name : name + " MIG " + entry.mig().profile, out, size);
  });
}

int nvmlDeviceGetUUID(DeviceHandle device, char* out, U32 size) {
  return device_call(Call::nvmlDeviceGetUUID, device, Takes::gpu_or_mig, [&](Entry& entry) {
    return copy_text(entry.instance < 0 ? entry.device().uuid : entry.mig().uuid, out, size);
  });
}

int nvmlDeviceGetSerial(DeviceHandle device, char* out, U32 size) {
  return text_of(Call::nvmlDeviceGetSerial, device, out, size, &Device::serial);
}

int nvmlDeviceGetBoardPartNumber(DeviceHandle device, char* out, U32 size) {
  return text_of(Call::nvmlDeviceGetBoardPartNumber, device, out, size, &Device::board_part);
}

int nvmlDeviceGetVbiosVersion(DeviceHandle device, char* out, U32 size) {
  return device_call(Call::nvmlDeviceGetVbiosVersion, device, Takes::gpu,
                     [&](Entry& entry) { return copy_text(entry.device().vbios, out, size); });
}

int nvmlDeviceGetPciInfo(DeviceHandle device, PciInfo* out) {
  return pci_info(Call::nvmlDeviceGetPciInfo, device, out);
}
int nvmlDeviceGetPciInfo_v2(DeviceHandle device, PciInfo* out) {
  return pci_info(Call::nvmlDeviceGetPciInfo_v2, device, out);
}
int nvmlDeviceGetPciInfo_v3(DeviceHandle device, PciInfo* out) {
  return pci_info(Call::nvmlDeviceGetPciInfo_v3, device, out);
}

int nvmlDeviceGetMinorNumber(DeviceHandle device, U32* out) {
  return device_call(Call::nvmlDeviceGetMinorNumber, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    *out = *entry.index;
    return kSuccess;
  });
}

int nvmlDeviceGetArchitecture(DeviceHandle device, U32* out) {
  return fact(Call::nvmlDeviceGetArchitecture, device, out, [](const Device& d) { return d.architecture; });
}

int nvmlDeviceGetBrand(DeviceHandle device, int* out) {
  return fact(Call::nvmlDeviceGetBrand, device, out, [](const Device& d) { return d.brand; });
}

int nvmlDeviceGetCudaComputeCapability(DeviceHandle device, int* major, int* minor) {
  return device_call(Call::nvmlDeviceGetCudaComputeCapability, device, Takes::gpu_or_mig, [&](Entry& entry) -> int {
    if (!major || !minor) return kInvalidArgument;
    *major = entry.device().compute_major;
    *minor = entry.device().compute_minor;
    return kSuccess;
  });
}

int nvmlDeviceGetNumGpuCores(DeviceHandle device, U32* out) {
  return fact(Call::nvmlDeviceGetNumGpuCores, device, out, [](const Device& d) { return d.cores; });
}

int nvmlDeviceGetPersistenceMode(DeviceHandle device, int* out) {
  return fact(Call::nvmlDeviceGetPersistenceMode, device, out, [](const Device& d) { return d.persistence; });
}

int nvmlDeviceGetComputeMode(DeviceHandle device, int* out) {
  return fact(Call::nvmlDeviceGetComputeMode, device, out, [](const Device&) { return 0; });
}

int nvmlDeviceGetDisplayMode(DeviceHandle device, int* out) {
  return fact(Call::nvmlDeviceGetDisplayMode, device, out, [](const Device& d) { return d.display; });
}

int nvmlDeviceGetDisplayActive(DeviceHandle device, int* out) {
  return fact(Call::nvmlDeviceGetDisplayActive, device, out, [](const Device& d) { return d.display; });
}

int nvmlDeviceGetGpuFabricInfoV(DeviceHandle device, void* out) {
  return device_call(Call::nvmlDeviceGetGpuFabricInfoV, device, Takes::gpu, [&](Entry& entry) -> int {
    // Version 2 of the layout: version word, cluster's UUID, status, clique, state, health.
    struct FabricInfo {
      U32 version;
      unsigned char cluster[16];
      int status;
      U32 clique;
      unsigned char state;
      U32 health;
    };
    static_assert(sizeof(FabricInfo) == 36 && version_word<FabricInfo>(2) == 0x02000024);
    if (!out) return kInvalidArgument;
    FabricInfo info{};
    memcpy(&info.version, out, sizeof(info.version));
    if (info.version != version_word<FabricInfo>(2)) return kArgumentVersionMismatch;
    if (!entry.device().fabric) return kNotSupported;
    const Device::Fabric& fabric = *entry.device().fabric;
    memcpy(info.cluster, fabric.cluster, sizeof(info.cluster));
    info.status = fabric.status;
    info.clique = fabric.clique;
    info.state = fabric.state;
    info.health = fabric.health;
    memcpy(out, &info, sizeof(info));
    return kSuccess;
  });
}

// ---- MIG -----------------------------------------------------------------------------------------------------------

int nvmlDeviceGetMigMode(DeviceHandle device, U32* current, U32* pending) {
  return device_call(Call::nvmlDeviceGetMigMode, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!current || !pending) return kInvalidArgument;
    if (!entry.device().mig) return kNotSupported;
    *current = *pending = entry.device().mig_enabled() ? 1 : 0;
    return kSuccess;
  });
}

int nvmlDeviceGetMaxMigDeviceCount(DeviceHandle device, U32* out) {
  return fact(Call::nvmlDeviceGetMaxMigDeviceCount, device, out,
              [](const Device& d) { return d.mig ? d.mig_most : 0; });
}

int nvmlDeviceGetMigDeviceHandleByIndex(DeviceHandle device, U32 index, DeviceHandle* out) {
  return device_call(Call::nvmlDeviceGetMigDeviceHandleByIndex, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    const Device& d = entry.device();
    if (!d.mig_enabled()) return kNotSupported;
    if (index >= d.mig_most) return kInvalidArgument;
    if (index >= d.instances.size()) return kNotFound;
    *out = Library::get().handle(entry, *entry.index, static_cast<int>(index));
    return kSuccess;
  });
}

int nvmlDeviceIsMigDeviceHandle(DeviceHandle device, U32* out) {
  return device_call(Call::nvmlDeviceIsMigDeviceHandle, device, Takes::gpu_or_mig, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    *out = entry.instance >= 0 ? 1 : 0;
    return kSuccess;
  });
}

int nvmlDeviceGetGpuInstanceId(DeviceHandle mig, U32* out) {
  return device_call(Call::nvmlDeviceGetGpuInstanceId, mig, Takes::mig, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    *out = entry.mig().gpu_instance;
    return kSuccess;
  });
}

int nvmlDeviceGetComputeInstanceId(DeviceHandle mig, U32* out) {
  return device_call(Call::nvmlDeviceGetComputeInstanceId, mig, Takes::mig, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    *out = entry.mig().compute_instance;
    return kSuccess;
  });
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(DeviceHandle mig, DeviceHandle* out) {
  return device_call(Call::nvmlDeviceGetDeviceHandleFromMigDeviceHandle, mig, Takes::mig, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    *out = Library::get().handle(entry, *entry.index);
    return kSuccess;
  });
}

int nvmlDeviceGetAttributes(DeviceHandle mig, DeviceAttributes* out) {
  return attributes(Call::nvmlDeviceGetAttributes, mig, out);
}
int nvmlDeviceGetAttributes_v2(DeviceHandle mig, DeviceAttributes* out) {
  return attributes(Call::nvmlDeviceGetAttributes_v2, mig, out);
}

}  // namespace accelmon::nvml
