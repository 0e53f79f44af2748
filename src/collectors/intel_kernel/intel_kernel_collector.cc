#include "collectors/intel_kernel/intel_kernel_collector.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.h"
#include "collectors/intel_kernel/intel_gpu.h"
#include "collectors/kernel_files.h"
#include "collectors/pci_bus.h"

namespace accelmon {
namespace {

using namespace intel_kernel;

constexpr unsigned kIntel = 0x8086;
constexpr size_t kMostGpus = 64;

std::optional<Driver> driver_of(std::string_view name) {
  if (name == "xe") return Driver::xe;
  if (name == "i915") return Driver::i915;
  return std::nullopt;
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

class IntelKernelCollector final : public Collector {
 public:
  explicit IntelKernelCollector(CollectorContext context)
      : context_(std::move(context)),
        sysfs_(without_slash(context_.option("sysfs", "/sys"))),
        procfs_(without_slash(context_.option("procfs", "/proc"))),
        devfs_(without_slash(context_.option("devfs", "/dev"))),
        looking_(context_.calls.add("intel_kernel: discovery")),
        walking_(context_.calls.add("/proc/PID/fd")) {
    make_host();
  }
  ~IntelKernelCollector() override { release(); }

  Result<Catalog> discover() override;
  PollResult poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) override;
  void release() override;

 private:
  void make_host() {
    clients_ = std::make_unique<DrmClients>(context_.calls, context_.clock, procfs_, devfs_);
    host_.emplace(Host{context_.calls,
                       context_.clock,
                       sysfs_,
                       devfs_,
                       procfs_,
                       context_.option("counters", "true") != "false",
                       *clients_,
                       Status(),
                       {},
                       looking_,
                       kPatientIntervals * context_.interval()});
  }
  void scan();
  Catalog build();
  bool drivers_changed();

  static constexpr std::array<const char*, 2> kDrivers{"xe", "i915"};

  CollectorContext context_;
  const std::string sysfs_, procfs_, devfs_;
  const CallId looking_, walking_;
  std::unique_ptr<DrmClients> clients_;
  std::optional<Host> host_;
  std::vector<std::unique_ptr<Gpu>> gpus_;
  std::vector<unsigned> sleeping_;  // minor numbers
  std::array<std::string, kDrivers.size()> paths_;
  std::array<DIR*, kDrivers.size()> folders_{};
  std::array<uint64_t, kDrivers.size()> fingerprints_{};
  size_t series_ = 0;
  size_t left_out_ = 0;
};

bool IntelKernelCollector::drivers_changed() {
  return context_.calls.measure(looking_, [&] {
    for (size_t i = 0; i < kDrivers.size(); ++i) {
      if (folders_[i] == nullptr && ::access(paths_[i].c_str(), F_OK) == 0) return true;
      if (folder_fingerprint(folders_[i]) != fingerprints_[i]) return true;
    }
    return false;
  });
}

// A sleeping device's clients are left alone: to ask for their busy time would wake it.
void IntelKernelCollector::scan() {
  sleeping_.clear();
  for (const auto& gpu : gpus_)
    if (gpu->asleep()) sleeping_.insert(sleeping_.end(), gpu->minors().begin(), gpu->minors().end());
  clients_->leave_out(sleeping_);
  host_->scanned = clients_->scan();
}

Result<Catalog> IntelKernelCollector::discover() {
  const PciListing listing = context_.calls.measure(looking_, [&] { return list_accelerators(sysfs_); });
  for (size_t i = 0; i < kDrivers.size(); ++i) {
    if (folders_[i] != nullptr) ::closedir(folders_[i]);
    paths_[i] = sysfs_ + "/bus/pci/drivers/" + kDrivers[i];
    folders_[i] = ::opendir(paths_[i].c_str());
    fingerprints_[i] = folder_fingerprint(folders_[i]);
  }
  std::vector<std::unique_ptr<Gpu>> earlier = std::move(gpus_);
  gpus_.clear();
  std::vector<Gpu*> fresh;
  size_t strangers = 0;
  left_out_ = 0;
  for (const PciFunction& function : listing.functions) {
    if (function.vendor != kIntel) continue;
    const auto driver = driver_of(function.driver);
    if (!driver) {
      ++strangers;
      continue;
    }
    if (gpus_.size() >= kMostGpus) {
      ++left_out_;
      continue;
    }
    const auto index = static_cast<unsigned>(gpus_.size());
    const auto known = std::find_if(earlier.begin(), earlier.end(), [&](const auto& gpu) {
      return gpu != nullptr && gpu->function() == function && !gpu->wants_probe();
    });
    if (known != earlier.end()) {
      gpus_.push_back(std::move(*known));
      gpus_.back()->renumber(index);
    } else {
      gpus_.push_back(std::make_unique<Gpu>(*host_, function, *driver, index));
      gpus_.back()->look_whether_asleep();
      fresh.push_back(gpus_.back().get());
    }
  }
  if (gpus_.empty()) {
    std::string why = listing.error != 0 ? "the PCI bus cannot be seen below " + printable(sysfs_, 100)
                      : strangers > 0    ? std::to_string(strangers) +
                                            " Intel GPUs are on the PCI bus, and none has the "
                                            "driver xe or i915"
                                      : "no Intel GPU is on the PCI bus";
    return fail(Code::absent, why + "; in a container, mount the host's /sys and set the collector's option sysfs");
  }
  scan();
  for (Gpu* const gpu : fresh) gpu->probe();
  return build();
}

Catalog IntelKernelCollector::build() {
  Catalog catalog;
  CatalogBuilder builder(catalog);
  host_->scan_tier = context_.calls.place(walking_, Tier::slow);
  for (const auto& gpu : gpus_) {
    gpu->place();
    gpu->build(builder, catalog);
  }
  const DrmClients::Counts& counts = clients_->counts();
  builder.fact("sysfs", printable(sysfs_, 200));
  const size_t clients = clients_->clients().size();
  builder.fact("processes",
               std::to_string(counts.processes) + " looked into" +
                   (counts.refused > 0 ? ", " + std::to_string(counts.refused) + " refused" : std::string()) + "; " +
                   std::to_string(clients) + (clients == 1 ? " client of a GPU" : " clients of GPUs"));
  const auto awake = std::count_if(gpus_.begin(), gpus_.end(), [](const auto& gpu) { return gpu->kept_awake(); });
  if (awake > 0)
    builder.fact("kept awake", (awake == 1 ? std::string("1 GPU") : std::to_string(awake) + " GPUs") +
                                   " of the driver xe by open engine counters; counters = false in "
                                   "[collectors.intel_kernel] lets such GPUs sleep when idle");
  if (left_out_ > 0) builder.fact("left out", std::to_string(left_out_) + " GPUs: there are more than are read");
  series_ = catalog.series.size();
  return catalog;
}

PollResult IntelKernelCollector::poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) {
  if (frame.values.size() != series_ || gpus_.empty()) return PollResult::rediscover;
  const bool scanned = request.is_due(host_->scan_tier);
  if (scanned) scan();
  bool changed = request.is_due(Tier::slow) && drivers_changed();
  for (const auto& gpu : gpus_) changed = gpu->poll(request, scanned, frame, events).rediscover || changed;
  return changed ? PollResult::rediscover : PollResult::ok;
}

void IntelKernelCollector::release() {
  gpus_.clear();
  for (DIR*& folder : folders_) {
    if (folder != nullptr) ::closedir(folder);
    folder = nullptr;
  }
  make_host();
}

}  // namespace

std::unique_ptr<Collector> make_intel_kernel_collector(CollectorContext context) {
  return std::make_unique<IntelKernelCollector>(std::move(context));
}

}  // namespace accelmon
