// Who uses the GPUs, as the kernel tells it: the DRM clients of all processes, from /proc/PID/fdinfo.
//
// Every open DRM file is a client with memory per region ("vram0") and busy time per kind of engine ("rcs"). A client
// that several descriptors or processes share is listed once, under the lowest process id that holds it. Counters that
// step back, which the kernel allows, hold their larger value.
// Processes of other users can be looked into with CAP_SYS_PTRACE alone; those that could not are counted, so that a
// reader knows what its sums are worth.
//
//   DrmClients clients(calls, clock, procfs, devfs);
//   clients.scan();                                    // two system calls a descriptor of all processes: slow tier
//   clients.processes("0000:4d:00.0", "vram", out);    // who holds how much of vram0, vram1, ...
//
// Threads: one. Cost: 8 us a descriptor of any process (20 ms for 90 processes with 2150 of them, on two slow cores);
// nothing is allocated once the number of clients has stopped growing.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/status.h"
#include "collectors/call_meter.h"

namespace accelmon {

// A short text without allocation. assign() refuses what does not fit: half a name is another name.
template <size_t N>
class ShortText {
 public:
  bool assign(std::string_view text) {
    if (text.size() > N) return false;
    std::memcpy(text_, text.data(), text.size());
    size_ = static_cast<uint8_t>(text.size());
    return true;
  }
  std::string_view view() const { return {text_, size_}; }
  bool empty() const { return size_ == 0; }
  bool operator==(std::string_view other) const { return view() == other; }

 private:
  static_assert(N < 256);
  char text_[N] = {};
  uint8_t size_ = 0;
};
using DrmName = ShortText<31>;

// Memory of one region; bytes. What the kernel does not tell is nothing, not zero.
struct DrmRegion {
  DrmName name;                      // i915: local0; xe: vram0; amdgpu: vram
  std::optional<uint64_t> resident;  // in the region now (older kernels call it drm-memory-)
  std::optional<uint64_t> total;     // with what is elsewhere at the moment
  std::optional<uint64_t> shared;    // of total: held by other clients too
};

// Busy time of one kind of engine, in the driver's own unit: nanoseconds, or cycles of `total`.
struct DrmEngine {
  DrmName name;           // i915: render; xe: rcs; amdgpu: gfx
  unsigned capacity = 1;  // engines of this kind
  std::optional<uint64_t> ns;
  std::optional<uint64_t> cycles, total_cycles;  // xe
  // The values of the scan before; nothing in a client's first scan.
  std::optional<uint64_t> ns_before, cycles_before, total_cycles_before;

  // The client's share of all engines of this kind between the last two scans, 0 to 1; nothing where it is not known.
  std::optional<double> share(Nanos elapsed) const;
};

inline constexpr size_t kMostDrmRegions = 12;
inline constexpr size_t kMostDrmEngines = 16;

// What one fdinfo says.
struct DrmFdinfo {
  DrmName driver;
  DrmName pdev;  // "0000:4d:00.0"; empty for devices that are not on PCI
  std::optional<uint64_t> client_id;
  size_t region_count = 0, engine_count = 0;
  DrmRegion regions[kMostDrmRegions];
  DrmEngine engines[kMostDrmEngines];

  std::span<const DrmRegion> all_regions() const { return {regions, region_count}; }
  std::span<const DrmEngine> all_engines() const { return {engines, engine_count}; }
  std::span<DrmEngine> all_engines() { return {engines, engine_count}; }
};

// The parser: pure, allocates nothing. False: the text is not of a DRM file (it names no driver). Keys that it does not
// know, units that it does not know and numbers that do not fit are left out.
bool parse_drm_fdinfo(std::string_view text, DrmFdinfo& out);

struct DrmClient {
  uint32_t pid = 0;        // the lowest of those that hold it
  ShortText<64> comm;      // the process's name; empty: it could not be read
  uint32_t named_pid = 0;  // whose name that is
  DrmFdinfo info;          // client_id is always there
};

struct DrmProcess {
  uint32_t pid = 0;
  std::string_view comm;  // valid until the next scan
  uint64_t memory = 0;    // resident in the regions asked for; bytes
};

class DrmClients {
 public:
  // `devfs`: in a tree that is not the kernel's own, where no character devices can be made, a descriptor that is a
  // link to something below its dri/ (or /dev/dri/) counts as a DRM file.
  DrmClients(CallMeter& calls, const Clock& clock, std::string procfs, std::string devfs,
             size_t most_clients = kMostClients);

  // DRM nodes, by minor number, whose files the next scans leave alone: those of devices that are not to be woken.
  void leave_out(std::span<const unsigned> minors) { left_out_.assign(minors.begin(), minors.end()); }

  // Looks into all processes. Errors: `procfs` cannot be read; what is wrong with single processes is counted only.
  Status scan();

  // Sorted by (pdev, client id).
  std::span<const DrmClient> clients() const { return clients_; }
  // Between the last two scans; 0 after the first.
  Nanos elapsed() const { return elapsed_; }
  // Whether the last scan found other clients, or others who hold them, than the one before.
  bool changed() const { return changed_; }

  struct Counts {
    uint32_t processes = 0, descriptors = 0;
    uint32_t refused = 0;     // processes that may not be looked into
    uint32_t unreadable = 0;  // DRM files whose fdinfo was too long, not to be read, or without a client id
    bool cut = false;         // a bound was reached: there are more
  };
  const Counts& counts() const { return counts_; }

  // Memory per process in the regions named `region` or `region` and a number, the largest first; clients of one
  // process are added up. `out` is reused.
  void processes(std::string_view pdev, std::string_view region, std::vector<DrmProcess>& out) const;
  // The same, summed. What clients share is in it once for each; nothing when no client tells.
  std::optional<uint64_t> resident(std::string_view pdev, std::string_view region) const;
  // Share of time that the engines of this kind were busy for the clients that could be looked into; 0 without clients,
  // nothing when no client tells, as before the second scan.
  std::optional<double> utilization(std::string_view pdev, std::string_view engine) const;

  static constexpr size_t kMostProcesses = 1 << 16;
  static constexpr size_t kMostDescriptors = 1 << 20;
  static constexpr size_t kMostClients = 4096;
  static constexpr size_t kMostFdinfoBytes = 16384;

 private:
  template <class F>
  int list(int folder, std::vector<char>& buffer, F&& entry);
  void look_into(uint32_t pid);
  bool is_drm(int folder, const char* name) const;
  void read_client(uint32_t pid, uint32_t descriptor);
  void note(uint32_t pid);
  void read_comm(DrmClient& client);
  void settle();

  CallMeter& calls_;
  const Clock& clock_;
  const std::string procfs_, devfs_;
  const size_t most_clients_;
  std::vector<unsigned> left_out_;
  bool links_count_ = false;
  CallId walk_call_, fdinfo_call_;
  UniqueFd root_;
  uint64_t scans_ = 0;
  Nanos scanned_ = 0, elapsed_ = 0;
  bool changed_ = false;
  Counts counts_;
  uint32_t refused_pid_ = 0;  // the process that was counted last
  uint64_t fingerprint_ = 0;
  uint32_t own_pid_ = 0;  // a reader does not count itself
  std::vector<DrmClient> clients_, fresh_;
  std::vector<uint64_t> seen_;  // beside clients_: the scan that saw it last
  std::vector<char> processes_, descriptors_, text_;
  std::vector<uint32_t> drm_files_;  // of the process that is being looked into
  DrmFdinfo parsed_;
};

// Whether `name` is `region`, or that and a number: "vram", "vram0" for "vram".
bool is_drm_region(std::string_view name, std::string_view region);

}  // namespace accelmon
