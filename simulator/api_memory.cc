// Memory, and who holds it.

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "api.h"

namespace accelmon::nvml {

namespace {

struct Fill {
  U64 total, reserved, used;
};

Fill memory_of(const Entry& entry) {
  const Scenario& scenario = *entry.scenario;
  if (entry.instance >= 0) {
    return {entry.mig().memory_total, 0,
            scenario.memory_used(*entry.index, static_cast<unsigned>(entry.instance), entry.t)};
  }
  const Device& d = entry.device();
  return {d.memory_total, d.memory_reserved, scenario.memory_used(*entry.index, entry.t)};
}

U32 pid_of(const Process& process) {
  return process.pid ? process.pid : static_cast<U32>(getpid());
}

// Whether `process` is in the list of the handle: that of a GPU has those of all its instances.
bool listed(const Entry& entry, const Process& process, U32 mode) {
  if (process.device != *entry.index || !process.alive(entry.t)) return false;
  if (entry.instance >= 0 && process.instance != entry.instance) return false;
  switch (process.kind) {
    case Process::Kind::compute:
      return mode == kProcessesCompute || mode == kProcessesAll;
    case Process::Kind::graphics:
      return mode == kProcessesGraphics || mode == kProcessesAll;
    case Process::Kind::mps:
      return mode == kProcessesMps || mode == kProcessesAll;
  }
  return false;
}

U32 count_listed(const Entry& entry, U32 mode) {
  const auto& all = entry.scenario->processes;
  return static_cast<U32>(
      std::count_if(all.begin(), all.end(), [&](const Process& process) { return listed(entry, process, mode); }));
}

ProcessDetail detail_of(Entry& entry, const Process& process) {
  ProcessDetail detail{};
  detail.pid = pid_of(process);
  detail.used_memory = entry.u64(static_cast<U64>(process.memory.value(entry.t)));
  detail.gpu_instance = detail.compute_instance = kNoValue32;
  if (process.instance >= 0) {
    const MigInstance& instance = entry.device().instances[static_cast<size_t>(process.instance)];
    detail.gpu_instance = instance.gpu_instance;
    detail.compute_instance = instance.compute_instance;
  }
  return detail;
}

// The lists of 16 (no suffix), 24 (_v2) and 24 or, with some drivers, 32 bytes an entry (_v3): each a prefix of the
// detail.
int list_processes(Call call, DeviceHandle device, U32 mode, size_t stride, U32* count, void* out) {
  return device_call(call, device, Takes::gpu_or_mig, [&](Entry& entry) -> int {
    if (!count) return kInvalidArgument;
    const U32 room = *count;
    *count = count_listed(entry, mode);
    if (*count == 0) return kSuccess;
    if (room < *count) return kInsufficientSize;
    if (!out) return kInvalidArgument;
    const size_t step = stride ? stride : entry.scenario->process_v3_stride;
    auto* at = static_cast<unsigned char*>(out);
    for (const Process& process : entry.scenario->processes) {
      if (!listed(entry, process, mode)) continue;
      const ProcessDetail detail = detail_of(entry, process);
      memcpy(at, &detail, step);
      at += step;
    }
    return kSuccess;
  });
}

constexpr size_t kByDriver = 0;

// Who used the device in the seconds up to now: one sample a second, on a grid of scenario time.
template <class Out>
int utilization_samples(Entry& entry, U64 last_seen, U32* count, Out* out) {
  if (entry.device().mig_enabled()) return kNotSupported;
  const double newest = std::floor(entry.t);
  const auto stamp = static_cast<U64>(Library::get().wall_us(newest));
  const auto used = [&](const Process& process) {
    if (process.device != *entry.index || !process.alive(newest) || stamp <= last_seen) return false;
    return process.sm.value(newest) + process.memory_share.value(newest) + process.encoder.value(newest) +
               process.decoder.value(newest) >=
           1;
  };
  const auto& all = entry.scenario->processes;
  const U32 room = *count;
  *count = static_cast<U32>(std::count_if(all.begin(), all.end(), used));
  if (*count == 0) return kNotFound;
  if (!out || room < *count) return kInsufficientSize;
  for (const Process& process : all) {
    if (!used(process)) continue;
    Out sample{};
    sample.pid = pid_of(process);
    sample.timestamp = stamp;
    sample.sm = entry.u32(std::floor(process.sm.value(newest)));
    sample.memory = entry.u32(std::floor(process.memory_share.value(newest)));
    sample.encoder = entry.u32(std::floor(process.encoder.value(newest)));
    sample.decoder = entry.u32(std::floor(process.decoder.value(newest)));
    *out++ = sample;
  }
  return kSuccess;
}

}  // namespace

int nvmlDeviceGetMemoryInfo(DeviceHandle device, Memory* out) {
  return device_call(Call::nvmlDeviceGetMemoryInfo, device, Takes::gpu_or_mig, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    const Fill fill = memory_of(entry);
    out->total = entry.u64(fill.total);
    out->used = entry.u64(fill.used + fill.reserved);
    out->free = entry.u64(fill.total - fill.used - fill.reserved);
    return kSuccess;
  });
}

int nvmlDeviceGetMemoryInfo_v2(DeviceHandle device, MemoryV2* out) {
  return device_call(Call::nvmlDeviceGetMemoryInfo_v2, device, Takes::gpu_or_mig, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    if (out->version != version_word<MemoryV2>(2)) return kArgumentVersionMismatch;
    const Fill fill = memory_of(entry);
    out->total = entry.u64(fill.total);
    out->reserved = entry.u64(fill.reserved);
    out->used = entry.u64(fill.used + (entry.device().memory_v2_includes_reserved ? fill.reserved : 0));
    out->free = entry.u64(fill.total - fill.used - fill.reserved);
    return kSuccess;
  });
}

int nvmlDeviceGetBAR1MemoryInfo(DeviceHandle device, Bar1Memory* out) {
  return device_call(Call::nvmlDeviceGetBAR1MemoryInfo, device, Takes::gpu_or_mig, [&](Entry& entry) -> int {
    if (!out) return kInvalidArgument;
    const bool whole = entry.instance < 0;
    const U64 total = whole ? entry.device().bar1_total : entry.mig().bar1_total;
    if (total == 0) return kNotSupported;
    const U64 used = whole ? static_cast<U64>(entry.device().bar1_used.value(entry.t)) : 0;
    out->total = entry.u64(total);
    out->used = entry.u64(used);
    out->free = entry.u64(total - std::min(used, total));
    return kSuccess;
  });
}

#define ACCELMON_PROCESS_LIST(symbol, mode, stride)                        \
  int symbol(DeviceHandle device, U32* count, void* out) {                 \
    return list_processes(Call::symbol, device, mode, stride, count, out); \
  }
ACCELMON_PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses, kProcessesCompute, sizeof(ProcessInfoV1))
ACCELMON_PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v2, kProcessesCompute, sizeof(ProcessInfo))
ACCELMON_PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v3, kProcessesCompute, kByDriver)
ACCELMON_PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses, kProcessesGraphics, sizeof(ProcessInfoV1))
ACCELMON_PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, kProcessesGraphics, sizeof(ProcessInfo))
ACCELMON_PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, kProcessesGraphics, kByDriver)
ACCELMON_PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses, kProcessesMps, sizeof(ProcessInfoV1))
ACCELMON_PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, kProcessesMps, sizeof(ProcessInfo))
ACCELMON_PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, kProcessesMps, kByDriver)
#undef ACCELMON_PROCESS_LIST

int nvmlDeviceGetRunningProcessDetailList(DeviceHandle device, ProcessDetailList* list) {
  return device_call(Call::nvmlDeviceGetRunningProcessDetailList, device, Takes::gpu_or_mig, [&](Entry& entry) -> int {
    if (!list) return kInvalidArgument;
    if (list->version != version_word<ProcessDetailList>(1)) return kArgumentVersionMismatch;
    if (list->mode > kProcessesAll) return kInvalidArgument;
    const U32 room = list->count;
    list->count = count_listed(entry, list->mode);
    if (list->count == 0) return kSuccess;
    if (!list->processes || room < list->count) return kInsufficientSize;
    ProcessDetail* at = list->processes;
    for (const Process& process : entry.scenario->processes) {
      if (listed(entry, process, list->mode)) *at++ = detail_of(entry, process);
    }
    return kSuccess;
  });
}

int nvmlDeviceGetProcessUtilization(DeviceHandle device, ProcessUtilizationSample* out, U32* count, U64 last_seen) {
  return device_call(Call::nvmlDeviceGetProcessUtilization, device, Takes::gpu, [&](Entry& entry) -> int {
    return count ? utilization_samples(entry, last_seen, count, out) : kInvalidArgument;
  });
}

int nvmlDeviceGetProcessesUtilizationInfo(DeviceHandle device, ProcessesUtilizationInfo* list) {
  return device_call(Call::nvmlDeviceGetProcessesUtilizationInfo, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!list) return kInvalidArgument;
    if (list->version != version_word<ProcessesUtilizationInfo>(1)) return kArgumentVersionMismatch;
    return utilization_samples(entry, list->last_seen, &list->count, list->processes);
  });
}

}  // namespace accelmon::nvml
