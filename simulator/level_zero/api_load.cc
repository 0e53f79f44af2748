// Engines, memory, clocks.
#include <cmath>

#include "api.h"

namespace accelmon::simulator::level_zero {

namespace {

// xe counts ticks of the GPU's own clock, i915 microseconds.
constexpr double kXeTicks = 19.2e6;
double clock_rate(const IntelDevice& device) {
  return device.driver == IntelDriver::xe ? kXeTicks : 1e6;
}

const IntelFrequency& at(const IntelDevice& device, const Place& place) {
  return device.tiles[place.first].frequencies[place.second];
}

}  // namespace

ze_result_t ZE_APICALL enum_engines(zes_device_handle_t device, uint32_t* count, zes_engine_handle_t* out) {
  return handled(ZeCall::zesDeviceEnumEngineGroups, device, Kind::device, count, [&](Entry& entry) {
    if (!entry.device().may.root) return ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS;
    return give_handles(entry, Kind::engine, engine_groups(entry.device()).size(), count, out);
  });
}

ze_result_t ZE_APICALL engine_properties(zes_engine_handle_t engine, zes_engine_properties_t* out) {
  return of_part(ZeCall::zesEngineGetProperties, engine, Kind::engine, out, engine_groups,
                 [&](Entry& entry, const EngineGroup& group) {
                   if (!is_typed(out, ZES_STRUCTURE_TYPE_ENGINE_PROPERTIES)) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
                   out->type = group.type;
                   set_place(entry, group.tile, out);
                   return ZE_RESULT_SUCCESS;
                 });
}

ze_result_t ZE_APICALL engine_activity(zes_engine_handle_t engine, zes_engine_stats_t* out) {
  return of_part(ZeCall::zesEngineGetActivity, engine, Kind::engine, out, engine_groups,
                 [&](Entry& entry, const EngineGroup& group) {
                   const IntelDevice& d = entry.device();
                   if (!d.may.perfmon) return ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS;
                   const double rate = clock_rate(d);
                   const double t = d.frozen_engines ? entry.since : entry.t;
                   double active = 0;
                   for (const IntelEngine* one : group.of) active += one->active_seconds(entry.since, t);
                   out->activeTime = entry.u64(active / static_cast<double>(group.of.size()) * rate);
                   out->timestamp = entry.u64((t - entry.since) * rate);
                   return ZE_RESULT_SUCCESS;
                 });
}

ze_result_t ZE_APICALL enum_memory(zes_device_handle_t device, uint32_t* count, zes_mem_handle_t* out) {
  return handled(ZeCall::zesDeviceEnumMemoryModules, device, Kind::device, count, [&](Entry& entry) {
    return give_handles(entry, Kind::memory, entry.device().tiles.size(), count, out);
  });
}

ze_result_t ZE_APICALL memory_properties(zes_mem_handle_t memory, zes_mem_properties_t* out) {
  return handled(ZeCall::zesMemoryGetProperties, memory, Kind::memory, out, [&](Entry& entry) {
    if (!is_typed(out, ZES_STRUCTURE_TYPE_MEM_PROPERTIES)) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
    const IntelDevice& d = entry.device();
    if (entry.number >= d.tiles.size()) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
    switch (d.memory_kind) {
      case IntelDevice::MemoryKind::hbm:
        out->type = ZES_MEM_TYPE_HBM;
        break;
      case IntelDevice::MemoryKind::gddr6:
        out->type = ZES_MEM_TYPE_GDDR6;
        break;
      case IntelDevice::MemoryKind::ddr:
        out->type = ZES_MEM_TYPE_DDR5;
        break;
    }
    set_place(entry, entry.number, out);
    out->location = d.integrated ? ZES_MEM_LOC_SYSTEM : ZES_MEM_LOC_DEVICE;
    out->physicalSize = d.integrated ? 0 : d.tiles[entry.number].memory_total;
    out->busWidth = d.memory_bus_width > 0 ? static_cast<int32_t>(d.memory_bus_width) : -1;
    out->numChannels = d.memory_channels > 0 ? static_cast<int32_t>(d.memory_channels) : -1;
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL memory_state(zes_mem_handle_t memory, zes_mem_state_t* out) {
  return handled(ZeCall::zesMemoryGetState, memory, Kind::memory, out, [&](Entry& entry) {
    const IntelDevice& d = entry.device();
    if (entry.number >= d.tiles.size()) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
    const IntelTile& tile = d.tiles[entry.number];
    // Without the right to see it the kernel counts nothing as used, and this is no error.
    const uint64_t used = d.may.perfmon ? d.memory_used(entry.number, entry.t) : 0;
    out->health = static_cast<zes_mem_health_t>(std::lround(tile.memory_health.value(entry.t)));
    out->size = entry.u64(static_cast<double>(tile.memory_total));
    out->free = entry.u64(static_cast<double>(tile.memory_total - used));
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL memory_bandwidth(zes_mem_handle_t memory, zes_mem_bandwidth_t* out) {
  return handled(ZeCall::zesMemoryGetBandwidth, memory, Kind::memory, out, [&](Entry& entry) {
    const IntelDevice& d = entry.device();
    if (entry.number >= d.tiles.size()) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
    if (d.memory_bandwidth <= 0) return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
    if (!d.may.root) return ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS;
    const IntelTile& tile = d.tiles[entry.number];
    out->readCounter = entry.u64(tile.memory_read.integral(entry.t) - tile.memory_read.integral(entry.since));
    out->writeCounter = entry.u64(tile.memory_write.integral(entry.t) - tile.memory_write.integral(entry.since));
    out->maxBandwidth = entry.u64(d.memory_bandwidth);
    out->timestamp = microseconds(entry.t);
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL enum_frequencies(zes_device_handle_t device, uint32_t* count, zes_freq_handle_t* out) {
  return handled(ZeCall::zesDeviceEnumFrequencyDomains, device, Kind::device, count, [&](Entry& entry) {
    return give_handles(entry, Kind::frequency, frequency_domains(entry.device()).size(), count, out);
  });
}

ze_result_t ZE_APICALL frequency_properties(zes_freq_handle_t domain, zes_freq_properties_t* out) {
  return of_part(ZeCall::zesFrequencyGetProperties, domain, Kind::frequency, out, frequency_domains,
                 [&](Entry& entry, const Place& place) {
                   if (!is_typed(out, ZES_STRUCTURE_TYPE_FREQ_PROPERTIES)) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
                   const IntelFrequency& f = at(entry.device(), place);
                   out->type = f.domain == IntelFrequency::Domain::gpu      ? ZES_FREQ_DOMAIN_GPU
                               : f.domain == IntelFrequency::Domain::memory ? ZES_FREQ_DOMAIN_MEMORY
                                                                            : static_cast<zes_freq_domain_t>(2);
                   set_place(entry, place.first, out);
                   out->canControl = 1;
                   out->isThrottleEventSupported = 0;
                   out->min = f.rpn;
                   out->max = f.rp0;
                   return ZE_RESULT_SUCCESS;
                 });
}

ze_result_t ZE_APICALL frequency_state(zes_freq_handle_t domain, zes_freq_state_t* out) {
  return of_part(ZeCall::zesFrequencyGetState, domain, Kind::frequency, out, frequency_domains,
                 [&](Entry& entry, const Place& place) {
                   if (!is_typed(out, ZES_STRUCTURE_TYPE_FREQ_STATE)) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
                   const IntelDevice& d = entry.device();
                   const IntelFrequency& f = at(d, place);
                   out->currentVoltage = f.voltage ? entry.real(*f.voltage) : -1;
                   out->request = entry.real(d.busy(entry.t) ? f.busy : f.idle);
                   out->tdp = f.rp0;
                   out->efficient = f.rpe;
                   out->actual = entry.real(d.frequency(f, entry.t));
                   out->throttleReasons = f.follows_throttling ? d.throttle_reasons(entry.t) : 0;
                   return ZE_RESULT_SUCCESS;
                 });
}

ze_result_t ZE_APICALL throttle_time(zes_freq_handle_t domain, zes_freq_throttle_time_t* out) {
  return of_part(ZeCall::zesFrequencyGetThrottleTime, domain, Kind::frequency, out, frequency_domains,
                 [&](Entry& entry, const Place&) {
                   const IntelDevice& d = entry.device();
                   if (!d.throttle_time) return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
                   out->throttleTime = entry.u64(d.throttled_seconds(entry.since, entry.t) * 1e6);
                   out->timestamp = microseconds(entry.t);
                   return ZE_RESULT_SUCCESS;
                 });
}

}  // namespace accelmon::simulator::level_zero
