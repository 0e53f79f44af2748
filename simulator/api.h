// Declares what the library exports. The types of the functions that the collector loads come from nvml_abi.h, so a
// definition that differs from what the collector expects does not compile.
#pragma once

#include "library.h"

namespace accelmon::nvml {

#pragma GCC visibility push(default)
extern "C" {
#define ACCELMON_NVML_DECLARE(symbol, arguments) int symbol arguments;
ACCELMON_NVML_FUNCTIONS(ACCELMON_NVML_DECLARE)
#undef ACCELMON_NVML_DECLARE

// What other readers load besides.
const char* nvmlErrorString(int code);
int nvmlInit();
int nvmlInitWithFlags(U32 flags);
int nvmlSystemGetCudaDriverVersion_v2(int* out);
int nvmlDeviceGetCount(U32* out);
int nvmlDeviceGetHandleByIndex(U32 index, DeviceHandle* out);
int nvmlDeviceGetHandleByUUID(const char* uuid, DeviceHandle* out);
int nvmlDeviceGetHandleBySerial(const char* serial, DeviceHandle* out);
int nvmlDeviceGetHandleByPciBusId(const char* id, DeviceHandle* out);
int nvmlDeviceGetHandleByPciBusId_v2(const char* id, DeviceHandle* out);
int nvmlDeviceGetPciInfo(DeviceHandle device, PciInfo* out);
int nvmlDeviceGetPciInfo_v2(DeviceHandle device, PciInfo* out);
int nvmlDeviceGetBoardPartNumber(DeviceHandle device, char* out, U32 size);
int nvmlDeviceGetIndex(DeviceHandle device, U32* out);
int nvmlDeviceGetMinorNumber(DeviceHandle device, U32* out);
int nvmlDeviceGetBrand(DeviceHandle device, int* out);
int nvmlDeviceGetNumGpuCores(DeviceHandle device, U32* out);
int nvmlDeviceGetPersistenceMode(DeviceHandle device, int* out);
int nvmlDeviceGetComputeMode(DeviceHandle device, int* out);
int nvmlDeviceGetDisplayMode(DeviceHandle device, int* out);
int nvmlDeviceGetDisplayActive(DeviceHandle device, int* out);
int nvmlDeviceGetSamples(DeviceHandle device, int type, U64 last_seen, int* value_type, U32* count, Sample* out);
int nvmlDeviceGetProcessUtilization(DeviceHandle device, ProcessUtilizationSample* out, U32* count, U64 last_seen);
int nvmlDeviceGetProcessesUtilizationInfo(DeviceHandle device, ProcessesUtilizationInfo* list);
int nvmlDeviceGetComputeRunningProcesses(DeviceHandle device, U32* count, void* out);
int nvmlDeviceGetGraphicsRunningProcesses(DeviceHandle device, U32* count, void* out);
int nvmlDeviceGetMPSComputeRunningProcesses(DeviceHandle device, U32* count, void* out);
int nvmlDeviceGetMPSComputeRunningProcesses_v2(DeviceHandle device, U32* count, void* out);
int nvmlDeviceGetMPSComputeRunningProcesses_v3(DeviceHandle device, U32* count, void* out);
int nvmlDeviceGetPowerManagementMode(DeviceHandle device, int* out);
int nvmlDeviceGetApplicationsClock(DeviceHandle device, int domain, U32* out_mhz);
int nvmlDeviceGetPowerState(DeviceHandle device, int* out);
int nvmlDeviceGetViolationStatus(DeviceHandle device, int policy, ViolationTime* out);
int nvmlDeviceGetRetiredPages_v2(DeviceHandle device, int cause, U32* count, U64* addresses, U64* timestamps);
int nvmlDeviceGetPcieThroughput(DeviceHandle device, int counter, U32* out_kbps);
int nvmlDeviceGetNvLinkVersion(DeviceHandle device, U32 link, U32* out);
int nvmlDeviceGetNvLinkErrorCounter(DeviceHandle device, U32 link, int counter, U64* out);
int nvmlDeviceIsMigDeviceHandle(DeviceHandle device, U32* out);
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(DeviceHandle mig, DeviceHandle* out);
int nvmlDeviceGetAttributes(DeviceHandle mig, DeviceAttributes* out);
int nvmlDeviceGetGpuFabricInfoV(DeviceHandle device, void* out);
int nvmlEventSetWait(EventSetHandle set, EventData* out, U32 timeout_ms);
}
#pragma GCC visibility pop

using simulator::Call;
using simulator::copy_text;
using simulator::Device;
using simulator::device_call;
using simulator::Entry;
using simulator::Library;
using simulator::MigInstance;
using simulator::Process;
using simulator::Scenario;
using simulator::system_call;
using simulator::Takes;
using simulator::Wave;

// A call on a whole GPU that answers one number: `read` gives it, or an error code in `code`.
template <class Out, class Read>
int read_number(Call call, DeviceHandle device, Takes takes, Out* out, Read&& read) {
  return device_call(call, device, takes, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    int code = kSuccess;
    const double value = read(entry, code);
    if (code != kSuccess) return code;
    if constexpr (sizeof(Out) == sizeof(U64)) {
      *out = static_cast<Out>(entry.u64(value > 0 ? static_cast<U64>(value) : 0));
    } else {
      *out = static_cast<Out>(entry.u32(value));
    }
    return kSuccess;
  });
}

}  // namespace accelmon::nvml
