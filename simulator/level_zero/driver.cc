#include "driver.h"

#include <cmath>
#include <cstdlib>
#include <limits>

namespace accelmon::simulator::level_zero {

namespace {

constexpr uint32_t kMagic = 0x7a65u;

#ifndef ACCELMON_ZE_DRIVER
#define ACCELMON_ZE_DRIVER 0
#endif
constexpr unsigned kNumber = ACCELMON_ZE_DRIVER;

}  // namespace

uint64_t Entry::u64(double value) {
  if (sentinel) return ~0ull;
  if (garbage) {
    const uint64_t key = mix(garbage_key++);
    return key % 3 == 0 ? ~0ull : key >> (key % 40);
  }
  return value > 0 ? static_cast<uint64_t>(std::min(value, 1.8e19)) : 0;
}

double Entry::real(double value) {
  if (sentinel) return -1;
  if (!garbage) return value;
  switch (mix(garbage_key++) % 4) {
    case 0:
      return std::numeric_limits<double>::quiet_NaN();
    case 1:
      return -1e30;
    case 2:
      return std::numeric_limits<double>::infinity();
    default:
      return 1e12;
  }
}

int32_t Entry::i32(double value) {
  if (sentinel) return -1;
  if (garbage) return static_cast<int32_t>(mix(garbage_key++));
  return static_cast<int32_t>(std::clamp(value, -2147483648.0, 2147483647.0));
}

bool concerns(const Fault& fault, ZeCall call, std::optional<unsigned> device) {
  if (fault.vendor != Vendor::intel || !fault.file.empty()) return false;
  if (fault.device && fault.device != device) return false;
  return fault.ze_calls[static_cast<size_t>(call)];
}

Driver& Driver::get() {
  // Never destroyed: a thread may still be inside when the process exits. Its memory stays reachable through `driver`.
  static Driver* const driver = new Driver();
  return *driver;
}

Driver::Driver() : live_("level_zero_simulator") {}

void* Driver::handle(Kind kind, unsigned device, unsigned number) {
  const std::lock_guard lock(mutex_);
  Handle*& place = known_[{kind, device, number}];
  if (place == nullptr) {
    place = &handles_.emplace_back();
    place->magic = kMagic;
    place->kind = kind;
    place->device = device;
    place->number = number;
  }
  return place;
}

std::vector<unsigned> Driver::listed(const Scenario& scenario, double t) const {
  std::vector<unsigned> indices;
  for (unsigned i = 0; i < scenario.intel.size(); ++i) {
    const unsigned number = scenario.intel[i].level_zero_driver;
    if (number != kNumber && number != kIntelEveryDriver) continue;
    const bool gone = std::any_of(scenario.faults.begin(), scenario.faults.end(), [&](const Fault& fault) {
      return fault.kind == Fault::Kind::gone && concerns(fault, ZeCall::zesDeviceGetProperties, i) &&
             fault.occurrence(t);
    });
    if (!gone) indices.push_back(i);
  }
  return indices;
}

ze_result_t Driver::begin(ZeCall call, Entry& entry) {
  entry.call = call;
  entry.scenario = live_.get();
  entry.now = entry.t = live_.now();
  if (entry.scenario == nullptr) return ZE_RESULT_ERROR_UNINITIALIZED;
  entry.since = entry.scenario->loaded_at(entry.now, Vendor::intel);
  return entry.scenario->unloaded(entry.now, Vendor::intel) ? ZE_RESULT_ERROR_UNINITIALIZED : ZE_RESULT_SUCCESS;
}

ze_result_t Driver::initialize(ZeCall call) {
  Entry entry;
  if (const ze_result_t code = begin(call, entry); code != ZE_RESULT_SUCCESS) return code;
  if (const ze_result_t code = apply_faults(entry); code != ZE_RESULT_SUCCESS) return code;
  const std::vector<unsigned> devices = listed(*entry.scenario, entry.now);
  if (devices.empty()) return ZE_RESULT_ERROR_UNINITIALIZED;
  const bool legacy =
      std::any_of(devices.begin(), devices.end(), [&](unsigned i) { return entry.scenario->intel[i].legacy_only; });
  if (call == ZeCall::zesInit && legacy) return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
  if (call == ZeCall::zeInit) {
    // The old way shows Sysman only to those that asked for it before.
    const char* wanted = getenv("ZES_ENABLE_SYSMAN");
    if (wanted == nullptr || strcmp(wanted, "1") != 0) return ZE_RESULT_ERROR_UNINITIALIZED;
  }
  initialized_ = true;
  return ZE_RESULT_SUCCESS;
}

ze_result_t Driver::enter(ZeCall call, Entry& entry) {
  if (!initialized_) return ZE_RESULT_ERROR_UNINITIALIZED;
  if (const ze_result_t code = begin(call, entry); code != ZE_RESULT_SUCCESS) return code;
  return apply_faults(entry);
}

ze_result_t Driver::enter(ZeCall call, const void* handle, Kind kind, Entry& entry) {
  if (!initialized_) return ZE_RESULT_ERROR_UNINITIALIZED;
  if (handle == nullptr) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  const auto& object = *static_cast<const Handle*>(handle);
  if (object.magic != kMagic || object.kind != kind) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
  if (const ze_result_t code = begin(call, entry); code != ZE_RESULT_SUCCESS) return code;
  if (object.device >= entry.scenario->intel.size()) return ZE_RESULT_ERROR_DEVICE_LOST;
  entry.index = object.device;
  entry.number = object.number;
  if (const ze_result_t code = apply_faults(entry); code != ZE_RESULT_SUCCESS) return code;
  for (const std::string& pattern : entry.device().unsupported)
    if (match_ze_calls(pattern)[static_cast<size_t>(call)]) return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
  return ZE_RESULT_SUCCESS;
}

ze_result_t Driver::apply_faults(Entry& entry) {
  for (const Fault& fault : entry.scenario->faults) {
    const std::optional<double> began = fault.occurrence(entry.now);
    if (!began || !concerns(fault, entry.call, entry.index) ||
        !fault.drawn(entry.call, entry.index, draws_[static_cast<size_t>(entry.call)]))
      continue;
    switch (fault.kind) {
      case Fault::Kind::error:
        return static_cast<ze_result_t>(fault.ze_code);
      case Fault::Kind::hang:
        live_.hang(fault, [&](const Fault& other) { return concerns(other, entry.call, entry.index); });
        break;
      case Fault::Kind::slow:
        sleep_seconds(fault.milliseconds * 1e-3);
        break;
      case Fault::Kind::crash:
        abort();
      case Fault::Kind::memory:
        leak_memory();
        break;
      case Fault::Kind::garbage:
      case Fault::Kind::sentinel:
        entry.garbage = true;
        entry.sentinel = fault.kind == Fault::Kind::sentinel;
        entry.garbage_key = mix(fault.seed ^ mix(static_cast<uint64_t>(entry.now * 1e6)));
        break;
      case Fault::Kind::lost:
      case Fault::Kind::gone:
        if (entry.index) return ZE_RESULT_ERROR_DEVICE_LOST;
        break;
      case Fault::Kind::frozen:
        entry.t = *began;
        break;
      case Fault::Kind::backwards:
        entry.t = std::max(2 * *began - entry.now, entry.since);
        break;
      case Fault::Kind::driver_unloaded:
      case Fault::Kind::xid:
        break;
    }
  }
  return ZE_RESULT_SUCCESS;
}

std::vector<EngineGroup> engine_groups(const IntelDevice& device) {
  struct Single {
    IntelClass kind;
    zes_engine_group_t type;
    zes_engine_group_t group;
  };
  // A video engine shows itself twice, as decoder and encoder: the hardware does not tell them apart.
  static constexpr Single kSingles[] = {
      {IntelClass::compute, ZES_ENGINE_GROUP_COMPUTE_SINGLE, ZES_ENGINE_GROUP_COMPUTE_ALL},
      {IntelClass::render, ZES_ENGINE_GROUP_RENDER_SINGLE, ZES_ENGINE_GROUP_RENDER_ALL},
      {IntelClass::video_decode, ZES_ENGINE_GROUP_MEDIA_DECODE_SINGLE, ZES_ENGINE_GROUP_MEDIA_ALL},
      {IntelClass::video_decode, ZES_ENGINE_GROUP_MEDIA_ENCODE_SINGLE, ZES_ENGINE_GROUP_MEDIA_ALL},
      {IntelClass::copy, ZES_ENGINE_GROUP_COPY_SINGLE, ZES_ENGINE_GROUP_COPY_ALL},
      {IntelClass::video_enhance, ZES_ENGINE_GROUP_MEDIA_ENHANCEMENT_SINGLE, ZES_ENGINE_GROUP_MEDIA_ALL}};
  std::vector<EngineGroup> groups;
  for (unsigned tile = 0; tile < device.tiles.size(); ++tile) {
    const IntelTile& t = device.tiles[tile];
    for (const Single& single : kSingles)
      for (const IntelEngine& engine : t.engines)
        if (engine.kind == single.kind) groups.push_back(EngineGroup{single.type, tile, {&engine}});
    if (!device.group_engines) continue;
    for (const zes_engine_group_t type : {ZES_ENGINE_GROUP_COMPUTE_ALL, ZES_ENGINE_GROUP_RENDER_ALL,
                                          ZES_ENGINE_GROUP_MEDIA_ALL, ZES_ENGINE_GROUP_COPY_ALL}) {
      EngineGroup all{type, tile, {}};
      for (const IntelEngine& engine : t.engines)
        for (const Single& single : kSingles)
          if (engine.kind == single.kind && single.group == type && single.type != ZES_ENGINE_GROUP_MEDIA_ENCODE_SINGLE)
            all.of.push_back(&engine);
      if (!all.of.empty()) groups.push_back(std::move(all));
    }
  }
  return groups;
}

std::vector<Sensor> sensors(const IntelDevice& device) {
  std::vector<Sensor> all;
  for (unsigned tile = 0; tile < device.tiles.size(); ++tile) {
    if (device.tiles[tile].gpu_temperature) all.push_back(Sensor{ZES_TEMP_SENSORS_GPU, tile});
    if (device.tiles[tile].memory_temperature) all.push_back(Sensor{ZES_TEMP_SENSORS_MEMORY, tile});
  }
  return all;
}

std::vector<PowerDomain> power_domains(const IntelDevice& device) {
  std::vector<PowerDomain> all;
  if (!device.energy_base) return all;
  all.push_back(PowerDomain{ZES_POWER_DOMAIN_CARD, std::nullopt});
  if (device.package_power) all.push_back(PowerDomain{ZES_POWER_DOMAIN_PACKAGE, std::nullopt});
  for (unsigned tile = 0; tile < device.tiles.size(); ++tile)
    if (device.tiles[tile].power) all.push_back(PowerDomain{ZES_POWER_DOMAIN_STACK, tile});
  return all;
}

std::vector<Place> frequency_domains(const IntelDevice& device) {
  std::vector<Place> all;
  for (unsigned tile = 0; tile < device.tiles.size(); ++tile)
    for (unsigned i = 0; i < device.tiles[tile].frequencies.size(); ++i) all.emplace_back(tile, i);
  return all;
}

std::vector<Place> ports(const IntelDevice& device) {
  std::vector<Place> all;
  for (unsigned tile = 0; tile < device.tiles.size(); ++tile)
    for (unsigned i = 0; i < device.tiles[tile].ports.size(); ++i) all.emplace_back(tile, i);
  return all;
}

std::vector<Place> error_sets(const IntelDevice& device) {
  std::vector<Place> all;
  for (unsigned tile = 0; tile < device.tiles.size(); ++tile)
    for (const unsigned corrected : {1u, 0u})
      if (std::any_of(device.tiles[tile].ras.begin(), device.tiles[tile].ras.end(),
                      [&](const IntelRas& ras) { return ras.corrected == (corrected == 1); }))
        all.emplace_back(tile, corrected);
  return all;
}

}  // namespace accelmon::simulator::level_zero
