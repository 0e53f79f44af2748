#include "collectors/amdgpu/amdgpu_collector.h"

#include <dirent.h>

#include <algorithm>

#include "base/text.h"
#include "collectors/amdgpu/amdgpu_device.h"
#include "collectors/kernel_files.h"
#include "collectors/pci_bus.h"

namespace accelmon {
namespace {

using namespace amdgpu;

constexpr unsigned kAmd = 0x1002;

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

class AmdgpuCollector final : public Collector {
 public:
  explicit AmdgpuCollector(CollectorContext context)
      : context_(std::move(context)),
        host_(std::make_unique<Host>(context_.calls, context_.clock, context_.option("sysfs", "/sys"),
                                     context_.option("procfs", "/proc"), context_.option("devfs", "/dev"))),
        kfd_generation_call_(context_.calls.add("kfd/topology/generation_id")) {}

  Result<Catalog> discover() override;
  PollResult poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) override;
  void release() override {
    folder_.reset();
    kfd_generation_.close();
    gpus_.clear();
    enumerate_due_ = true;
  }

 private:
  struct Bus {
    std::vector<Found> ours;
    std::vector<unsigned> strangers;  // minor numbers of other drivers' DRM nodes
    std::string others;               // AMD GPUs with another driver or none: "0000:c1:00.0 (vfio-pci)"
    int error = 0;
  };
  Bus list() const;
  Status enumerate();
  void look_at_processes();
  bool partitioned_anew();

  CollectorContext context_;
  std::unique_ptr<Host> host_;
  std::vector<std::unique_ptr<Gpu>> gpus_;
  std::unique_ptr<DIR, CloseFolder> folder_;  // of the bus
  uint64_t fingerprint_ = 0;
  SysFile kfd_generation_;
  CallId kfd_generation_call_;
  std::optional<double> generation_;  // of KFD's nodes
  bool enumerate_due_ = true;
  bool first_poll_ = true;
  uint64_t places_ = 0;
  size_t series_ = 0;
};

AmdgpuCollector::Bus AmdgpuCollector::list() const {
  const PciListing listing = list_accelerators(host_->sysfs);
  Bus bus;
  bus.error = listing.error;
  for (const PciFunction& function : listing.functions) {
    if (function.driver != "amdgpu")
      for (const unsigned minor : drm_minors(function.folder)) bus.strangers.push_back(minor);
    if (function.vendor != kAmd) continue;
    if (function.driver == "amdgpu") {
      bus.ours.push_back(Found{function.address, function.folder, {}});
    } else {
      bus.others += (bus.others.empty() ? "" : ", ") + function.address + " (" +
                    (function.driver.empty() ? "no driver" : function.driver) + ")";
    }
  }
  return bus;
}

Status AmdgpuCollector::enumerate() {
  if (!folder_) folder_.reset(::opendir((host_->sysfs + "/bus/pci/devices").c_str()));
  fingerprint_ = folder_fingerprint(folder_.get());
  Bus bus = list();
  // To read the clients of another maker's device may wake it: i915 and xe do for their busy time.
  host_->clients.leave_out(bus.strangers);
  if (bus.error != 0) return Status::from_errno(bus.error, "cannot list " + host_->sysfs + "/bus/pci/devices");
  if (bus.ours.empty()) {
    if (bus.others.empty()) return {Code::absent, "no AMD GPU on the PCI bus"};
    return {Code::absent, "no AMD GPU with the driver amdgpu: " + printable(bus.others) +
                              ". Load the module amdgpu, or leave it so if the device is passed through"};
  }
  const Result<std::string> version = read_file(host_->sysfs + "/module/amdgpu/version", 256);
  host_->driver_version = version ? printable(trim(*version), 64) : std::string();
  kfd_generation_.close();
  (void)kfd_generation_.open(kfd_generation_file(host_->sysfs));
  generation_.reset();
  (void)partitioned_anew();
  host_->kfd_nodes.clear();
  for (KfdNode& node : read_kfd_nodes(host_->sysfs)) {
    host_->kfd_nodes.push_back(node.gpu_id);
    for (Found& found : bus.ours)
      if (found.address == node.address) found.nodes.push_back(node);
  }
  std::vector<std::unique_ptr<Gpu>> gpus;
  for (size_t i = 0; i < bus.ours.size(); ++i) {
    auto gpu = std::make_unique<Gpu>(*host_, std::move(bus.ours[i]), std::to_string(i));
    gpu->probe();
    for (auto& earlier : gpus_) {
      if (!earlier) continue;
      if (earlier->identity().id == gpu->identity().id) gpu->inherit(*earlier);
      // A board that does not answer cannot say who it is: it stays who it was, with what it had counted.
      if (gpu->lost() && earlier->lost() && earlier->found() == gpu->found()) {
        gpu = std::move(earlier);
        break;
      }
    }
    gpus.push_back(std::move(gpu));
  }
  if (std::all_of(gpus.begin(), gpus.end(), [](const auto& gpu) { return gpu->lost(); })) {
    return {Code::absent, "the driver amdgpu has " + std::to_string(gpus.size()) +
                              " GPUs and answers for none of them; the kernel's log says why (dmesg | grep amdgpu)"};
  }
  gpus_ = std::move(gpus);
  enumerate_due_ = false;
  places_ = context_.calls.places();
  return {};
}

// Whether KFD has other nodes than when it was asked last. A board that is cut anew has other partitions and keeps its
// place on the bus.
bool AmdgpuCollector::partitioned_anew() {
  if (!kfd_generation_.valid()) return false;
  char buffer[64];
  std::string_view text;
  const int error = context_.calls.measure(kfd_generation_call_, [&] { return kfd_generation_.read(buffer, text); });
  const std::optional<double> now = error == 0 ? parse_number(text) : std::nullopt;
  if (!now) return false;
  const bool other = generation_ && *generation_ != *now;
  generation_ = now;
  return other;
}

void AmdgpuCollector::look_at_processes() {
  host_->kfd_error = host_->kfd.scan(host_->kfd_nodes, host_->kfd_processes);
  host_->clients_known = host_->clients.scan().ok();
}

Result<Catalog> AmdgpuCollector::discover() {
  if (enumerate_due_ || places_ != context_.calls.places()) {
    if (Status status = enumerate(); !status.ok()) {
      gpus_.clear();
      return fail(std::move(status));
    }
  }
  look_at_processes();
  Catalog catalog;
  CatalogBuilder builder(catalog);
  std::string revisions;
  for (const auto& gpu : gpus_) {
    gpu->find_processes();
    gpu->build(builder, catalog);
    const std::string revision = gpu->metrics_revision();
    revisions += (revisions.empty() ? "" : ", ") + (revision.empty() ? std::string("none") : revision);
  }
  builder.fact("driver", "amdgpu" + (host_->driver_version.empty() ? "" : " " + host_->driver_version));
  builder.fact("gpu_metrics", printable(revisions, 200));
  builder.fact("KFD (ROCm)", host_->kfd_nodes.empty()
                                 ? std::string("absent: processes of ROCm are not seen")
                                 : std::to_string(host_->kfd_nodes.size()) + " nodes" +
                                       (host_->kfd_error != 0 ? "; processes: " + describe(host_->kfd_error) : ""));
  const DrmClients::Counts& seen = host_->clients.counts();
  if (seen.refused > 0)
    builder.fact("processes that may not be looked into", std::to_string(seen.refused) + "; CAP_SYS_PTRACE lets us");
  series_ = catalog.series.size();
  first_poll_ = true;
  return catalog;
}

PollResult AmdgpuCollector::poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) {
  if (gpus_.empty()) return PollResult::lost;
  if (frame.values.size() != series_ || frame.states.size() != series_) return PollResult::rediscover;
  const PollRequest due{static_cast<uint8_t>(first_poll_ ? 0xff : request.due)};
  if (due.is_due(Tier::slow) && !first_poll_) look_at_processes();
  bool rediscover = false, suspect = false;
  for (const auto& gpu : gpus_) {
    const Gpu::Outcome outcome = gpu->poll(due, frame, events);
    if (outcome.rediscover && !gpu->probed()) enumerate_due_ = true;
    rediscover = rediscover || outcome.rediscover;
    suspect = suspect || outcome.suspect;
  }
  // A driver that is bound to a device leaves the bus as it is: that is looked for with the rare tier.
  if (!first_poll_ && (due.is_due(Tier::rare) ||
                       (due.is_due(Tier::slow) && (suspect || folder_fingerprint(folder_.get()) != fingerprint_)))) {
    const Bus bus = list();
    host_->clients.leave_out(bus.strangers);
    fingerprint_ = folder_fingerprint(folder_.get());
    const bool same = bus.error == 0 && std::equal(bus.ours.begin(), bus.ours.end(), gpus_.begin(), gpus_.end(),
                                                   [](const Found& a, const auto& b) { return a == b->found(); });
    if (bus.error == 0 && bus.ours.empty()) return PollResult::lost;
    if (!same) enumerate_due_ = true;
    // A device that was lost and is still there may have come back, from a reset.
    if (due.is_due(Tier::rare) && suspect) enumerate_due_ = true;
    for (const auto& gpu : gpus_)
      if (gpu->answers_again()) enumerate_due_ = true;
  }
  if (!first_poll_ && due.is_due(Tier::slow) && partitioned_anew()) enumerate_due_ = true;
  first_poll_ = false;
  return rediscover || enumerate_due_ ? PollResult::rediscover : PollResult::ok;
}

}  // namespace

std::unique_ptr<Collector> make_amdgpu_collector(CollectorContext context) {
  return std::make_unique<AmdgpuCollector>(std::move(context));
}

}  // namespace accelmon
