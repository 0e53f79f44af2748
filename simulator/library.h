// The state of the simulated library: which scenario it shows, how often it was initialized, which handles are good.
//
// Everything else follows from the scenario and the time. Once shut down it holds no memory, so that the library can be
// closed and opened again. Threads: any number; a lock is held for moments only, never
// while a call waits, so a call that hangs holds up nobody else (the real library may; see Fault::hang for that).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "collectors/nvml/nvml_abi.h"
#include "live_scenario.h"
#include "scenario.h"

namespace accelmon::simulator {

// One call under way: what it may look at, and how its numbers go out.
struct Entry {
  std::shared_ptr<const Scenario> scenario;
  Call call{};
  double now = 0;                 // scenario time
  double t = 0;                   // the time that readings are of: differs from `now` under frozen and backwards
  double since = 0;               // when the driver was loaded: where its counters begin
  std::optional<unsigned> index;  // of the device
  int instance = -1;              // of the MIG instance, where the handle is one
  bool garbage = false;
  bool sentinel = false;  // a garbage of all ones
  uint64_t garbage_key = 0;

  const Device& device() const { return scenario->devices[*index]; }
  const MigInstance& mig() const { return device().instances[static_cast<size_t>(instance)]; }

  // Readings pass through these: under a garbage fault they come out wild.
  nvml::U32 u32(double value);
  nvml::U64 u64(uint64_t value);
};

// Which handles a call takes.
enum class Takes { gpu, gpu_or_mig, mig };

class Library {
 public:
  static Library& get();

  int initialize(Call call);
  int shut_down();

  // What precedes every call: initialized? scenario? faults? Answers kSuccess, and the call goes on with `entry`, or
  // the code that it must return.
  int enter(Call call, Entry& entry);
  int enter(Call call, nvml::DeviceHandle handle, Takes takes, Entry& entry);
  // Without the faults: for calls that must find their device first, and then enter_index().
  int check(Call call, Entry& entry);
  // The same as enter() for a device that is not named by a handle yet.
  int enter_index(Call call, unsigned index, Entry& entry);
  // Faults of one field of nvmlDeviceGetFieldValues.
  int enter_field(const Entry& call, unsigned field, Entry& entry);

  nvml::DeviceHandle handle(const Entry& entry, unsigned device, int instance = -1) const;
  // Microseconds since the epoch at scenario time t, as the driver stamps its samples.
  int64_t wall_us(double t) const;
  double now() const { return live_.now(); }
  const char* scenario_path() const { return live_.path(); }
  // Rereads the file if it has changed; null: there is no good one.
  std::shared_ptr<const Scenario> scenario() { return live_.get(); }
  bool initialized() const;
  bool ready(double t, const Scenario& scenario) const;  // initialized, with a driver that has stayed since

 private:
  Library();
  int apply_faults(Entry& entry, std::optional<unsigned> field);

  LiveScenario live_;
  int64_t wall_offset_ns_ = 0;

  mutable std::mutex mutex_;
  unsigned references_ = 0;
  double initialized_at_ = 0;
  mutable bool poisoned_ = false;  // the driver went away since: only shutting down and initializing again helps
  std::atomic<uint16_t> generation_{1};

  std::atomic<uint32_t> draws_[kCallCount] = {};
};

// Runs `body` as the NVML function `call`: int body(Entry&).
template <class Body>
int system_call(Call call, Body&& body) {
  Entry entry;
  const int code = Library::get().enter(call, entry);
  return code == nvml::kSuccess ? body(entry) : code;
}

template <class Body>
int device_call(Call call, nvml::DeviceHandle handle, Takes takes, Body&& body) {
  Entry entry;
  const int code = Library::get().enter(call, handle, takes, entry);
  return code == nvml::kSuccess ? body(entry) : code;
}

// Copies `text` as NVML does: NUL-terminated, or kInsufficientSize and nothing.
int copy_text(const std::string& text, char* out, nvml::U32 size);

}  // namespace accelmon::simulator
