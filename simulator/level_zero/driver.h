// The simulated Level Zero driver: which scenario it shows, its handles, and what precedes every call.
//
// One shared object is one driver of the loader's; a build of it has a number, and shows the devices of the scenario
// that belong to that number. Handles are pointers to objects of ours, since newer loaders look at a handle's first
// bytes; they are made when they are first handed out and stay good, and name by number what the scenario has then.
// Threads: any number; a lock is never held while a call waits.
#pragma once

#include <level_zero/ze_api.h>
#include <level_zero/zes_api.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "live_scenario.h"
#include "scenario.h"

namespace accelmon::simulator::level_zero {

enum class Kind : uint32_t { driver, device, engine, memory, temperature, power, frequency, fan, ras, port };

struct Handle {
  unsigned char padding[128] = {};
  uint32_t magic = 0;
  Kind kind{};
  unsigned device = 0;  // in Scenario::intel
  unsigned number = 0;  // among those of its kind on the device
};

// One call under way: what it may look at, and how its numbers go out.
struct Entry {
  std::shared_ptr<const Scenario> scenario;
  ZeCall call{};
  std::optional<unsigned> index;  // of the device
  unsigned number = 0;
  double now = 0;    // scenario time
  double t = 0;      // the time that readings are of: differs from `now` under frozen and backwards
  double since = 0;  // when the kernel's driver was loaded: where its counters begin
  bool garbage = false;
  bool sentinel = false;  // a garbage of all ones
  uint64_t garbage_key = 0;

  const IntelDevice& device() const { return scenario->intel[*index]; }
  // Readings pass through these: under a garbage fault they come out wild.
  uint64_t u64(double value);
  double real(double value);
  int32_t i32(double value);
};

class Driver {
 public:
  static Driver& get();

  // zeInit and zesInit: fails where the scenario has no device for this driver.
  ze_result_t initialize(ZeCall call);
  // Found no reason against it: success, and the call goes on with `entry`.
  ze_result_t enter(ZeCall call, Entry& entry);
  ze_result_t enter(ZeCall call, const void* handle, Kind kind, Entry& entry);

  void* handle(Kind kind, unsigned device, unsigned number);
  // Indices of the devices that this driver lists at t.
  std::vector<unsigned> listed(const Scenario& scenario, double t) const;
  double now() const { return live_.now(); }

 private:
  Driver();
  ze_result_t begin(ZeCall call, Entry& entry);
  ze_result_t apply_faults(Entry& entry);

  LiveScenario live_;
  std::atomic<bool> initialized_{false};
  std::mutex mutex_;
  std::deque<Handle> handles_;  // never moves what it holds
  std::map<std::tuple<Kind, unsigned, unsigned>, Handle*> known_;
  std::atomic<uint32_t> draws_[kZeCallCount] = {};
};

// Whether a fault is about this call of the Level Zero driver on this device.
bool concerns(const Fault& fault, ZeCall call, std::optional<unsigned> device);

// "Count, then fill" as the whole interface has it.
template <class T, class Make>
ze_result_t give(uint32_t available, uint32_t* count, T* out, Make&& make) {
  if (count == nullptr) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  if (*count == 0 || out == nullptr) {
    *count = available;
    return ZE_RESULT_SUCCESS;
  }
  *count = std::min(*count, available);
  for (uint32_t i = 0; i < *count; ++i) out[i] = make(i);
  return ZE_RESULT_SUCCESS;
}

// Lists the handles of the `available` parts of one kind.
template <class T>
ze_result_t give_handles(const Entry& entry, Kind kind, size_t available, uint32_t* count, T* out) {
  return give(static_cast<uint32_t>(available), count, out,
              [&](uint32_t i) { return reinterpret_cast<T>(Driver::get().handle(kind, *entry.index, i)); });
}

template <size_t N>
void set_text(char (&out)[N], const std::string& text) {
  const size_t length = std::min(text.size(), N - 1);
  memcpy(out, text.data(), length);
  memset(out + length, 0, N - length);
}

// The parts of a device in the order of their handles.
struct EngineGroup {
  zes_engine_group_t type{};
  std::optional<unsigned> tile;        // none: of the whole device
  std::vector<const IntelEngine*> of;  // its value is their mean
};
std::vector<EngineGroup> engine_groups(const IntelDevice& device);

struct Sensor {
  zes_temp_sensors_t type{};
  unsigned tile = 0;
};
std::vector<Sensor> sensors(const IntelDevice& device);

struct PowerDomain {
  zes_power_domain_t domain{};
  std::optional<unsigned> tile;
};
std::vector<PowerDomain> power_domains(const IntelDevice& device);

// What stands on the tiles, as {tile, number on it}.
using Place = std::pair<unsigned, unsigned>;
std::vector<Place> frequency_domains(const IntelDevice& device);
std::vector<Place> ports(const IntelDevice& device);
// {tile, 1: corrected, 0: uncorrected}
std::vector<Place> error_sets(const IntelDevice& device);

}  // namespace accelmon::simulator::level_zero
