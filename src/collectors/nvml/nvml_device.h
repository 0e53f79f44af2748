// One GPU, or one MIG instance of a GPU: what it is, what it can tell, and its readings.
//
// probe() asks the device once for everything that NVML knows; each answer becomes a series, or an absence with its
// reason. poll() then repeats those calls that were answered. The series lie in one block of the catalog, so that a
// reading's place is the block's base plus a slot.
// Threads: the collector's. Cost of a poll: its vendor calls; nothing is allocated.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "collectors/collector.h"
#include "collectors/nvml/nvml_fields.h"
#include "collectors/nvml/nvml_gpm.h"
#include "collectors/nvml/nvml_health.h"
#include "collectors/nvml/nvml_processes.h"
#include "collectors/nvml/nvml_readings.h"
#include "model/catalog.h"

namespace accelmon::nvml {

// What all devices of a loaded library share.
struct Host {
  Host(Library& library, const Clock& its_clock, std::string sys, std::string proc)
      : nvml(library),
        clock(its_clock),
        sysfs(std::move(sys)),
        names(library, std::move(proc)),
        sleep_call(library.calls().add("power/runtime_status")) {}

  Library& nvml;
  const Clock& clock;
  std::string sysfs;
  int interface = 0;         // see interface_version()
  Nanos interval = kSecond;  // of the fast tier
  bool each_link = false;    // a series for each NVLink, not one for all of a device
  std::string driver_version;
  std::string library_version;
  std::string cuda_version;
  GpmQuery gpm;
  ProcessNames names;
  CallId sleep_call;

  // What is read in the slow tier because the driver takes so long for it: the name of the metric and the longest time.
  std::map<std::string, Nanos> waiting;
  void waits(std::string metric, Nanos cost) {
    Nanos& longest = waiting[std::move(metric)];
    longest = std::max(longest, cost);
  }
};

// What a reading of the fast tier may cost if it may wait as well for the slow one: counters, which lose nothing, and
// what changes slowly. An H100 takes 3 ms for its energy meter, all of it processor time.
inline constexpr Nanos kFastBudget = 250 * kMicrosecond;

// Counts of the events of one device, by code. They outlive the readers, since a count that falls is a reset.
struct EventCount {
  Severity severity = Severity::info;
  double count = 0;
};
using EventCounts = std::map<std::string, EventCount>;

class DeviceReader {
 public:
  // `handle` nullptr: NVML counts the device and does not hand it out; `code` and `reason` say why.
  DeviceReader(Host& host, DeviceHandle handle, Device identity, std::string pci_address);
  void fail(int code, std::string reason);

  // As a part of another: `gpu_instance` is measured by GPM unless it is shared by several MIG devices.
  void make_part(DeviceReader& parent, int gpu_instance, bool shares_instance);

  // Asks for everything. Afterwards fatal() is the code of the library's end, or 0.
  void probe();
  int fatal() const { return fatal_; }

  // Appends the device and its series, processes and events included, to the catalog.
  void build(CatalogBuilder& builder, const Catalog& catalog, int parent);

  struct Outcome {
    bool library_lost = false;
    bool rediscover = false;  // other processes, or events of a new kind
    bool suspect = false;     // a partition's handle is refused: it may be another one now
  };
  Outcome poll(const PollRequest& request, Frame& frame, std::vector<Event>& events);

  void set_events(EventCounts* counts, int code);
  void inherit(DeviceReader& earlier);

  const Device& identity() const { return identity_; }
  const std::string& pci_address() const { return pci_address_; }
  DeviceHandle handle() const { return handle_; }
  bool lost() const { return lost_; }
  // Whether it was there to be asked for everything; if not, only another discovery can mend it.
  bool probed() const { return probed_; }
  bool mig_on() const { return health_.get(HealthInput::mig_current) != 0; }
  bool is_part() const { return parent_ != nullptr; }
  const DeviceReader* parent() const { return parent_; }
  U32 architecture() const { return architecture_; }
  bool has_gpm() const { return gpm_ != nullptr; }
  // Whether a process has a series here.
  bool shows(U32 pid) const;

 private:
  struct Output {
    MetricId metric;
    std::vector<Attribute> attributes = {};
    HealthInput health = HealthInput::none;
  };
  struct FieldOffer {
    FieldRequest request;
    Tier tier;
    Output output;
    std::string why;
    int type = -1;          // the only type of value that the field may have; -1: any
    bool may_wait = false;  // see kFastBudget
  };
  struct Item {
    Read read = nullptr;
    int argument = 0;
    int count = 0;
    std::array<int, kMostReadings> slots{};  // -1: no series
    std::array<HealthInput, kMostReadings> health{};
  };
  struct Shown {
    U32 pid;
    int slot;
  };

  // ---- discovery (nvml_probe.cc, nvml_probe_fields.cc) ----
  bool offer(std::initializer_list<Read> candidates, int argument, Tier tier, std::vector<Output> outputs,
             std::string_view why = {}, bool may_wait = false);
  std::vector<FieldNumber> offer_fields(std::vector<FieldOffer> offers);
  Reading peek(Read read, int argument = 0);
  bool fails(int code);
  int add(MetricId metric, Tier tier, std::vector<Attribute> attributes = {});
  void absent(MetricId metric, State state, std::string reason);
  std::string reason_for(int code, std::string_view why);
  bool has(MetricId metric) const;
  bool has_power_of_board() const;

  void probe_architecture();
  void probe_whole();
  void probe_part();
  void probe_memory();
  void probe_utilization();
  void probe_temperature();
  void probe_clocks();
  void probe_fans();
  void probe_ecc();
  void probe_bus();
  void probe_fields();
  void probe_pcie_bytes();
  void probe_power();
  void probe_nvlinks();
  void probe_processes();
  void start_gpm();
  void probe_gpm();
  void add_gpm_series();
  void probe_sleep();

  // ---- polling (nvml_poll.cc) ----
  void publish(Frame& frame, int slot, const Reading& reading) const;
  bool note(int code);
  bool poll_items(Tier tier, Frame& frame);
  bool poll_fields(Tier tier, Frame& frame);
  void poll_spare_rows();
  bool poll_gpm(Frame& frame);
  bool publish_gpm(Frame& frame, size_t first, size_t count, Nanos window);
  bool poll_processes(Frame& frame);
  void publish_status(Frame& frame) const;
  void publish_absent(Frame& frame, State state) const;
  void tell_lost(std::vector<Event>& events);
  bool event_codes_changed() const;
  bool asleep() const;

  Host& host_;
  DeviceHandle handle_;
  Device identity_;
  std::string pci_address_;
  DeviceReader* parent_ = nullptr;
  int gpu_instance_ = -1;
  bool shares_instance_ = false;

  U32 architecture_ = kArchitectureUnknown;
  bool lost_ = false;
  bool probed_ = false;  // all was asked; not so where it was lost before
  int lost_code_ = 0;
  std::string lost_reason_;
  int fatal_ = 0;
  Health health_;

  // Of the catalog: the series that stand for as long as the device does, then processes and events.
  std::vector<Series> series_;
  std::vector<Absence> absences_;
  int base_ = 0;
  int block_ = 0;  // series in the catalog, from base_
  int info_slot_ = -1;
  int status_slot_ = -1;

  std::array<std::vector<Item>, kTiers> items_;
  std::array<FieldBatch, kTiers> fields_;

  std::unique_ptr<GpmReader> gpm_;
  int gpm_slot_ = -1;  // the first of the GPM series, which are the last of series_
  std::array<int, kGpmCount> gpm_slots_{};
  std::array<bool, kGpmCount> gpm_dropped_{};
  std::array<double, kGpmCount> gpm_totals_{};  // of those that are rates and become counters
  std::array<bool, 2> gpm_known_{};             // of the fast ones and of the slow one
  bool gpm_slow_due_ = false;
  int gpm_code_ = kSuccess;  // of start_gpm()
  std::string gpm_why_;

  std::unique_ptr<ProcessReader> processes_;
  std::array<int, 2> process_count_slots_{-1, -1};
  std::vector<Shown> shown_;

  EventCounts* event_counts_ = nullptr;
  std::vector<std::pair<const EventCount*, int>> event_slots_;
  size_t event_codes_ = 0;

  KeptFile runtime_status_;  // open only where the device may be put to sleep
  bool suspect_ = false;
  bool blank_ = false;  // its series hold nothing: all tiers are due at the next chance
};

}  // namespace accelmon::nvml
