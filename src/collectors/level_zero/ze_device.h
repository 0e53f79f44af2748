// One Intel GPU with its tiles: what it can tell, its series, and its readings.
//
// probe() asks for every handle of the device once, makes a Source of each that answers, and an absence of each that
// does not. poll() repeats the calls of the sources. A tile is a device of its own (gpu_partition); what is known for
// tiles alone stands with them, and added up with the GPU where that means something. The series lie in one block of
// the catalog. A device that the kernel has suspended is asked nothing, so that it sleeps on.
// Threads: the collector's. Cost of a poll: its vendor calls; nothing is allocated.
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "collectors/cell_block.h"
#include "collectors/collector.h"
#include "collectors/hw_state.h"
#include "collectors/level_zero/ze_sources.h"
#include "model/catalog.h"

namespace accelmon::level_zero {

// What all devices share.
struct Host {
  Library& ze;
  const Clock& clock;
  std::string procfs;
  Rights rights;
  CallId comm_call;
  Nanos patience;  // with counters that do not move
  CallId sleep_call;
};

class Gpu : private CellBlock {
 public:
  // `runtime_status`: the kernel's file of that name; closed where it has none.
  Gpu(Host& host, Handle handle, Device identity, uint32_t tiles, bool integrated, KeptFile runtime_status);

  // Asks for everything, unless the device sleeps. Where the device is lost meanwhile: probed() is false, and only
  // another probe can mend it.
  void probe();
  bool probed() const { return probed_; }

  void build(CatalogBuilder& builder, const Catalog& catalog);
  // Asks the call meter anew how often each call may be made; before build().
  void place();

  struct Outcome {
    bool library_lost = false;
    bool rediscover = false;
  };
  Outcome poll(const PollRequest& request, Frame& frame, std::vector<Event>& events);

  const Device& identity() const { return devices_.front(); }
  size_t tiles() const { return devices_.size() - 1; }
  bool lost() const { return lost_; }
  bool sees_engines() const { return sees_engines_; }

 private:
  struct Running {
    uint32_t pid;
    uint64_t memory;
  };

  // ---- discovery (ze_probe.cc, ze_probe_links.cc) ----
  void clear();
  bool fails(ZeResult code);
  int local(Bool on_subdevice, uint32_t subdevice) const;
  template <class S, class... More>
  S* offer(MetricId metric, int device, std::string_view why, Handle handle, More&&... more);
  template <class Properties, Symbol kList, Symbol kProperties, class Take>
  ZeResult each(Take&& take);
  int constant(double value);
  using CellBlock::absent;
  void absent(std::initializer_list<MetricId> metrics, ZeResult code, std::string_view why);
  std::string reason_for(ZeResult code, std::string_view why) const;

  void probe_engines();
  void probe_memory();
  void probe_temperatures();
  void probe_power();
  void probe_clocks();
  void probe_fans();
  void probe_errors();
  void probe_pci();
  void probe_ports();
  void probe_state();
  void probe_processes();
  void add_status();

  // ---- polling (ze_device.cc) ----
  bool note(ZeResult code);
  ZeResult read_processes();
  Tier tier_of(int cell, Tier otherwise) const;
  bool poll_processes(Frame& frame);
  void hide_memory();
  bool suspended() const;
  void publish_absent(Frame& frame, State state) const;
  void publish_status(Frame& frame) const;
  HwState condition() const;

  Host& host_;
  const Handle handle_;
  const bool integrated_;
  std::vector<Device> devices_;  // the GPU, then its tiles
  KeptFile runtime_status_;

  std::vector<std::unique_ptr<Source>> sources_;

  struct MemoryCells {
    int used, free, share;
  };
  std::vector<MemoryCells> memories_;  // whose use may be hidden
  std::vector<int> memory_health_, wedged_, repair_, trouble_;
  bool sees_engines_ = false;

  bool has_processes_ = false;
  Tier process_tier_ = Tier::slow;
  CallId process_call_ = 0;
  std::vector<ProcessState> process_room_;
  std::vector<Running> running_;  // largest first
  ZeResult processes_code_ = kNotReady;
  std::vector<std::pair<uint32_t, int>> process_slots_;  // pid, slot
  int process_count_slot_ = -1;

  int base_ = 0;   // of its block in the catalog
  int block_ = 0;  // series in it
  int status_slot_ = 0;
  bool probed_ = false;
  bool lost_ = false;
  bool fatal_ = false;
  bool asleep_ = false;
  bool rested_ = false;  // it slept at the last poll
  bool blank_ = false;   // its series hold nothing: all tiers are due at the next chance
  ZeResult lost_code_ = kSuccess;
  std::string lost_reason_;
};

}  // namespace accelmon::level_zero
