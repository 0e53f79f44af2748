// One Intel GPU with its tiles, as the kernel's files show it: what it can tell, its series, and its readings.
//
// probe() looks once for everything and makes a Source of each thing that is there, and an absence with its reason of
// each that is not. A tile is a device of its own (gpu_partition) where there is more than one. A device that the
// kernel has suspended is not woken: what would wake it is looked for when it is awake. Threads: the collector's. Cost
// of a poll: its reads; nothing is allocated.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "collectors/cell_block.h"
#include "collectors/collector.h"
#include "collectors/drm_clients.h"
#include "collectors/intel_kernel/intel_sources.h"
#include "collectors/pci_bus.h"
#include "model/catalog.h"

namespace accelmon::intel_kernel {

// What all devices share.
struct Host {
  CallMeter& calls;
  const Clock& clock;
  std::string sysfs, devfs, procfs;
  bool counters = true;  // use the PMUs
  DrmClients& clients;
  Status scanned;                             // of the last scan of the clients
  std::map<std::string, EnergyMeter> meters;  // by address and channel; outlive the devices' objects
  CallId looking;
  Nanos patience;               // with counters that do not move
  Tier scan_tier = Tier::slow;  // in which the clients are looked for
};

class Gpu : private CellBlock {
 public:
  Gpu(Host& host, const PciFunction& function, Driver driver, unsigned index);

  void probe();
  void place();
  void build(CatalogBuilder& builder, const Catalog& catalog);

  struct Outcome {
    bool rediscover = false;
  };
  Outcome poll(const PollRequest& request, bool scanned, Frame& frame, std::vector<Event>& events);
  const PciFunction& function() const { return function_; }
  bool asleep() const { return asleep_; }
  // Its engines' counters are open, and so the kernel does not suspend it.
  bool kept_awake() const { return kept_awake_; }
  // It slept when it was probed, and does no more; or its driver has let go of it and taken it up again.
  bool wants_probe() const { return reborn_ || (!awake_ && !asleep_ && !broken_); }
  // Its place in the order of all.
  void renumber(unsigned index);
  // Minor numbers of its DRM nodes.
  const std::vector<unsigned>& minors() const { return minors_; }
  // Reads whether the kernel has suspended it.
  void look_whether_asleep();

 private:
  struct Gt {
    unsigned number = 0, tile = 0;
    bool media = false;  // a GT of its own for the media engines
    std::string frequency, throttle;
  };
  struct Engine {
    std::string kind;  // compute, ...
    unsigned order = 0, gt = 0, instance = 0;
    int device = 0;
    UniqueFd busy, total;
  };

  // ---- discovery (intel_probe.cc, intel_probe_engines.cc) ----
  template <class S, class... More>
  S* add_source(More&&... more);
  bool show_number(MetricId metric, int device, Tier tier, std::vector<Attribute> attributes, const std::string& path,
                   double scale, CallId call);
  using CellBlock::absent;
  void absent(std::initializer_list<MetricId> metrics, State state, const std::string& reason);
  int device_of_tile(unsigned tile) const { return tiles() > 0 ? static_cast<int>(tile) + 1 : 0; }
  size_t tiles() const { return devices_.size() - 1; }

  void find_nodes();
  void find_gts();
  void probe_engines();
  int probe_xe_engines(const Pmu& pmu, std::vector<Engine>& out);
  int probe_i915_engines(const Pmu& pmu, std::vector<Engine>& out);
  void show_engines(std::vector<Engine> engines);
  void show_engines_of_clients(State state, const std::string& why);
  void probe_memory();
  void show_memory(const std::vector<MemorySource::Cells>& cells, Tier tier);
  void show_memory_of_clients(const std::string& why);
  uint64_t memory_size_of_files(unsigned tile) const;
  void probe_clocks();
  void probe_throttling();
  void probe_hwmon();
  void probe_hwmon_folder(const std::string& folder, int device);
  void probe_energy(const std::string& folder, const std::vector<std::string>& files, int device);
  void probe_limits(const std::string& folder, int device);
  void probe_sensors(const std::string& folder, const std::vector<std::string>& files, int device);
  void probe_processes();
  void add_status();

  // ---- polling (intel_gpu.cc) ----
  std::string clients_incomplete() const;
  void read_clients();
  bool answers_anew() const;
  bool poll_processes(Frame& frame);
  void publish_absent(Frame& frame, State state) const;
  void publish_status(Frame& frame) const;
  Tier tier_of(int cell, Tier otherwise) const;

  Host& host_;
  const PciFunction function_;
  const Driver driver_;
  std::vector<Device> devices_;  // the GPU, then its tiles
  std::string card_;             // SYSFS/class/drm/cardN, for i915
  std::string node_;             // DEVFS/dri/renderDN
  std::vector<unsigned> minors_;
  std::vector<Gt> gts_;

  std::vector<std::unique_ptr<Source>> sources_;

  // What the clients tell where the kernel does not tell the whole: cells that a scan fills.
  struct ClientEngine {
    std::vector<std::string_view> names;  // as the driver calls this kind
    int cell;
  };
  std::vector<ClientEngine> client_engines_;
  MemorySource::Cells client_memory_{0, -1, -1, -1, -1};
  std::vector<DrmProcess> running_;  // largest first
  std::vector<std::pair<uint32_t, int>> process_slots_;
  int process_count_slot_ = -1;
  bool shows_memory_of_processes_ = false;

  int base_ = 0, block_ = 0, status_slot_ = 0;
  KeptFile runtime_status_;
  bool asleep_ = false;
  bool kept_awake_ = false;
  bool awake_ = false;       // it was so when it was probed
  bool integrated_ = false;  // no memory of its own
  bool broken_ = false;      // its firmware cannot start: only a new one can mend it
  bool lost_ = false, reborn_ = false;
  bool resting_ = false;  // it was asleep at the last poll
  bool blank_ = true;     // its series hold nothing: all tiers are due at the next chance
};

}  // namespace accelmon::intel_kernel
