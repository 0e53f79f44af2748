// One AMD GPU: what it is, what its files can tell, and its readings; and its compute partitions.
//
// probe() opens the files that the driver has for the device and reads each once: what can be read, or may be later,
// becomes a series; what cannot, an absence with its reason. poll() reads the files of the due tiers again. A device
// that sleeps is not woken: its runtime status is read first, and nothing else while it is suspended.
// Series lie in one block of the catalog, first the device's, then its partitions'.
// Threads: the collector's. Cost of a poll: one pread a file; nothing is allocated.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/amdgpu/amdgpu_files.h"
#include "collectors/amdgpu/amdgpu_kfd.h"
#include "collectors/amdgpu/gpu_metrics.h"
#include "collectors/collector.h"
#include "collectors/drm_clients.h"
#include "model/catalog.h"

namespace accelmon::amdgpu {

inline constexpr size_t kShownProcesses = 64;  // the most series of processes for a device or partition

// What all devices share.
struct Host {
  Host(CallMeter& meter, const Clock& its_clock, std::string sys, std::string proc, const std::string& dev)
      : calls(meter),
        clock(its_clock),
        sysfs(std::move(sys)),
        procfs(std::move(proc)),
        kfd(meter, sysfs),
        clients(meter, its_clock, procfs, dev) {}

  CallMeter& calls;
  const Clock& clock;
  std::string sysfs, procfs;
  std::string driver_version;
  Kfd kfd;
  DrmClients clients;
  std::vector<char> buffer = std::vector<char>(kGpuMetricsMost + 1);
  // Of the last look at them, slow tier.
  std::vector<KfdProcess> kfd_processes;
  std::vector<uint32_t> kfd_nodes;  // of all devices
  int kfd_error = 0;
  bool clients_known = false;
};

// A device as the bus shows it.
struct Found {
  std::string address;  // "0000:c1:00.0"
  std::string folder;   // SYSFS/bus/pci/devices/ADDRESS
  std::vector<KfdNode> nodes;
  bool operator==(const Found& other) const { return address == other.address; }
};

class Gpu {
 public:
  Gpu(Host& host, Found found, std::string index);

  void probe();
  // Throttled seconds and energy go on where an earlier reader of the same device left off.
  void inherit(const Gpu& earlier);
  // Looks through the processes that the host has read last, and takes them for the next build().
  void find_processes();
  void build(CatalogBuilder& builder, const Catalog& catalog);

  struct Outcome {
    bool rediscover = false;  // other processes; or it is awake for the first time
    bool suspect = false;     // it may be gone
  };
  Outcome poll(const PollRequest& due, Frame& frame, std::vector<Event>& events);

  const Device& identity() const { return parts_[0].device; }
  const Found& found() const { return found_; }
  bool lost() const { return lost_; }
  // Asks one file of a device that was lost. It may have been reset since.
  bool answers_again();
  bool probed() const { return probed_; }
  const std::string& metrics_revision() const { return revision_; }

 private:
  // Inputs of what is derived from several files.
  enum class Input : uint8_t {
    none,
    memory_total,
    memory_used,
    edge,
    junction,
    memory,
    pages_pending,
    pages_failed,
    count_
  };
  struct Output {
    int slot = -1;
    Input input = Input::none;
  };
  enum class Parse : uint8_t { number, level, speed, ras, pages };
  struct Item {
    SysFile file;
    CallId call = 0;
    Parse parse = Parse::number;
    double scale = 1;
    bool negative = false;  // may be below zero
    std::array<Output, 3> outputs{};
  };
  enum class Join : uint8_t { mean, sum, most };
  // A number out of gpu_metrics: `count` instances from `first` on, made one.
  struct Pick {
    Gauge gauge = Gauge::time;
    uint16_t first = 0, count = 1;
    Join join = Join::mean;
    Output output{};
    bool generation = false;  // of a PCIe speed
  };
  struct Row {
    std::array<std::optional<double>, 3> values{};
    State state = State::ok;  // of those without a value
  };
  struct Wish {
    MetricId metric;
    std::vector<Attribute> attributes = {};
    Input input = Input::none;
  };
  struct Process {
    uint32_t pid = 0;
    bool compute = true;  // through KFD
    std::optional<double> memory, occupancy;
  };
  // The device itself is part 0; partitions follow.
  struct Part {
    Device device;
    std::vector<KfdNode> nodes;
    std::vector<Series> series;
    std::vector<Absence> absences;
    int base = 0, end = 0;  // of its series in the catalog
    int counts[2] = {-1, -1};
    std::vector<Process> processes;
    struct Shown {
      uint32_t pid;
      int memory, occupancy;  // slots; -1: none
    };
    std::vector<Shown> shown;
    int status = -1, memory = -1;  // slots: the first state of hw.status; the size of its memory
  };

  // ---- discovery (amdgpu_probe.cc) ----
  int add(MetricId metric, Tier tier, std::vector<Attribute> attributes = {}, size_t part = 0);
  void absent(MetricId metric, State state, std::string reason, size_t part = 0);
  bool offer(const std::string& name, Parse parse, double scale, Tier tier, std::vector<Wish> wishes,
             std::string_view why = {}, bool negative = false);
  bool pick(Gauge gauge, uint16_t first, uint16_t count, Join join, Tier tier, Wish wish, bool generation = false,
            size_t part = 0);
  bool exists(const std::string& name) const;
  std::string text_of(const std::string& name) const;
  void identify();
  int ask_one_file();  // 0, or errno
  void probe_metrics_file();
  void probe_activity();
  void probe_memory();
  void probe_temperatures();
  void probe_power();
  void probe_clocks();
  void probe_throttling();
  void probe_fans();
  void probe_bus();
  void probe_errors();
  void probe_links();
  void probe_partitions();
  void probe_part(size_t part, size_t count);
  void probe_held(size_t part, Gauge gauge, size_t first, size_t count, const char* reason);

  // ---- polling (amdgpu_poll.cc) ----
  Row read(Item& item);
  int load_metrics();
  void look_whether_frozen();
  void explain_frozen(CatalogBuilder& builder, int device, size_t part) const;
  State metrics_state() const;
  std::optional<double> join(const Pick& pick) const;
  void publish(Frame& frame, const Output& output, std::optional<double> value, State state);
  void publish_derived(Frame& frame, const PollRequest& due);
  void publish_throttling(Frame& frame);
  void publish_status(Frame& frame);
  void publish_processes(Frame& frame);
  void publish_absent(Frame& frame, State state);
  void follow_energy();
  void follow_residencies();
  bool processes_changed() const;
  void collect(size_t part, std::vector<Process>& out) const;
  bool note(int error);
  bool suspended();
  int at(int slot, size_t part = 0) const { return parts_[part].base + slot; }
  double& input(Input which) { return inputs_[static_cast<size_t>(which)]; }
  bool known(Input which) const { return known_[static_cast<size_t>(which)]; }

  Host& host_;
  Found found_;
  std::string hwmon_;
  std::vector<Part> parts_;
  bool probed_ = false;
  bool lost_ = false, told_lost_ = false;
  bool asleep_ = false;
  bool blank_ = true;  // its series hold nothing: all tiers are due at the next chance
  int lost_error_ = 0;

  SysFile runtime_status_;
  CallId runtime_call_ = 0;
  SysFile metrics_file_;
  CallId metrics_call_ = 0;
  int metrics_error_ = 0;  // errno of the last read
  Code metrics_code_ = Code::absent;
  GpuMetrics metrics_;
  std::string revision_;  // "1.8"; empty: not known
  // The clocks in gpu_metrics. One that has been seen to move and then stands still says that what stands beside it is
  // old; one that never moves says nothing.
  struct Stamp {
    Gauge gauge;
    std::optional<double> last;
    bool moves = false;
    unsigned still = 0;  // reads without a move
  };
  std::array<Stamp, 2> stamps_{Stamp{Gauge::time}, Stamp{Gauge::firmware_time}};
  const Stamp* frozen_ = nullptr;  // the one that stands still
  std::array<std::vector<Pick>, kTiers> picks_;
  std::array<std::vector<Item>, kTiers> items_;

  std::array<double, static_cast<size_t>(Input::count_)> inputs_{};
  std::array<bool, static_cast<size_t>(Input::count_)> known_{};
  // For edge, junction, memory: the temperature at which it slows down, and the slot of the margin to it.
  struct Margin {
    std::optional<double> limit;
    int slot = -1;
  };
  std::array<Margin, 3> margins_;
  int free_slot_ = -1, share_slot_ = -1, asleep_slot_ = -1, info_slot_ = -1;

  // Throttling: by the bits that mean the same everywhere, by residencies, or by one word that says only that it does.
  enum class Throttling : uint8_t { none, bits, residencies, word };
  Throttling throttling_ = Throttling::none;
  static constexpr size_t kReasons = 6;
  std::array<int, kReasons> active_slots_{}, time_slots_{};
  std::array<double, kReasons> throttled_{};  // seconds
  std::array<bool, kReasons> active_{};
  struct Counts {
    double cycles = 0, time = 0, read_at = 0;  // seconds: by the firmware, by this host
    std::array<double, 5> residencies{};
  };
  std::optional<Counts> counts_;
  // Clocks of a partition's dies that were held below what the host allows, for one reason.
  struct Held {
    size_t part = 0;
    Gauge gauge = Gauge::time;
    size_t first = 0, count = 0;  // its dies
    int active = -1, time = -1;   // slots
    double seconds = 0;
    bool on = false;
    std::array<std::optional<double>, kDiesMost> last{};
    std::optional<double> grown(const GpuMetrics& metrics);  // since the last call; of the die that was held longest
  };
  std::vector<Held> held_;
  int energy_slot_ = -1;
  double joules_ = 0;
  std::optional<double> energy_raw_;
};

// The reasons of throttling, in the order of the slots.
inline constexpr std::string_view kReasonNames[] = {"power_cap",        "current",     "thermal_software",
                                                    "thermal_hardware", "reliability", "other"};

}  // namespace accelmon::amdgpu
