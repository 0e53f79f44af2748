#include "collectors/presence/presence_collector.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/fd.h"
#include "base/text.h"
#include "collectors/hw_state.h"
#include "collectors/kernel_files.h"
#include "collectors/pci_bus.h"

namespace accelmon {
namespace {

constexpr size_t kMostDevices = 512;

enum class Reason : uint8_t { none, no_driver, driver_silent, passed_through, off_the_bus, gone };
constexpr const char* kReasons[] = {"no_driver", "driver_silent", "passed_through", "off_the_bus", "gone"};

bool passes_through(std::string_view driver) {
  return driver == "vfio-pci" || driver == "pci-stub" || driver == "xen-pciback" || driver == "pciback";
}

// One function, as it was when it was seen last.
struct Seen {
  PciFunction function;
  std::string driver_link;  // FOLDER/driver
  UniqueFd config;
  KeptFile runtime_status;
  Reason reason = Reason::none;
  size_t base = 0;  // of its series
};

class PresenceCollector final : public Collector {
 public:
  explicit PresenceCollector(CollectorContext context)
      : context_(std::move(context)),
        sysfs_(context_.option("sysfs", "/sys")),
        listing_call_(context_.calls.add("presence: PCI bus")),
        config_call_(context_.calls.add("PCI config")) {
    while (sysfs_.size() > 1 && sysfs_.ends_with('/')) sysfs_.pop_back();
  }
  ~PresenceCollector() override { release(); }

  Result<Catalog> discover() override {
    const PciListing listing = context_.calls.measure(listing_call_, [&] { return list_accelerators(sysfs_); });
    if (bus_ == nullptr) bus_ = ::opendir((sysfs_ + "/bus/pci/devices").c_str());
    fingerprint_ = folder_fingerprint(bus_);
    for (Seen& one : seen_) {
      one.config.reset();
      one.runtime_status = KeptFile();
    }
    left_out_ = 0;
    for (const PciFunction& function : listing.functions) take(function);
    std::sort(seen_.begin(), seen_.end(),
              [](const Seen& a, const Seen& b) { return a.function.address < b.function.address; });
    if (seen_.empty()) {
      return fail(Code::absent, listing.error != 0
                                    ? "the PCI bus cannot be seen below " + printable(sysfs_, 100) +
                                          ": in a container, mount the host's /sys and set the collector's option sysfs"
                                    : std::string("no accelerator is on the PCI bus"));
    }
    unreadable_ = listing.unreadable;
    Catalog catalog;
    CatalogBuilder builder(catalog);
    build(builder, catalog);
    builder.fact("sysfs", printable(sysfs_, 200));
    if (!listing.unreadable.empty())
      builder.fact("unreadable", std::to_string(listing.unreadable.size()) + " functions of the bus, " +
                                     listing.unreadable.front() + " first");
    if (left_out_ > 0) builder.fact("left out", std::to_string(left_out_) + " accelerators more than are shown");
    series_ = catalog.series.size();
    return catalog;
  }

  PollResult poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) override {
    if (frame.values.size() != series_ || seen_.empty()) return PollResult::rediscover;
    if (!request.is_due(Tier::slow)) return PollResult::ok;
    bool changed = context_.calls.measure(listing_call_, [&] { return folder_fingerprint(bus_) != fingerprint_; });
    for (Seen& one : seen_) {
      const Reason before = one.reason;
      changed = look(one) || changed;
      if (one.reason != before) {
        changed = true;
        tell(one, before, events);
      }
      publish(one, frame);
    }
    return changed ? PollResult::rediscover : PollResult::ok;
  }

  void release() override {
    if (bus_ != nullptr) ::closedir(bus_);
    bus_ = nullptr;
    for (Seen& one : seen_) {
      one.config.reset();
      one.runtime_status = KeptFile();
    }
    series_ = 0;
  }

 private:
  void take(const PciFunction& function) {
    auto known = std::find_if(seen_.begin(), seen_.end(),
                              [&](const Seen& one) { return one.function.address == function.address; });
    if (known == seen_.end()) {
      if (seen_.size() >= kMostDevices) {
        ++left_out_;
        return;
      }
      known = seen_.insert(known, Seen());
    }
    known->function = function;
    known->driver_link = function.folder + "/driver";
    known->config = UniqueFd(::open((function.folder + "/config").c_str(), O_RDONLY | O_CLOEXEC));
    if (auto file = KeptFile::open(function.folder + "/power/runtime_status")) known->runtime_status = std::move(*file);
  }

  void build(CatalogBuilder& builder, const Catalog& catalog) {
    std::map<unsigned, unsigned> numbers;
    for (Seen& one : seen_) {
      const PciFunction& f = one.function;
      Device device;
      device.type = DeviceType::gpu;
      device.id = f.address;
      device.index = std::to_string(numbers[f.vendor]++);
      device.vendor = pci_vendor(f.vendor);
      device.model = pci_model(f.vendor, f.device);
      if (!f.driver.empty()) {
        const auto version = read_file(sysfs_ + "/module/" + f.driver + "/version", 4096);
        device.info.push_back({AttributeId::hw_driver_version,
                               f.driver + (version ? " " + printable(trim(*version), 64) : std::string())});
      }
      device.info.push_back({AttributeId::pci_address, f.address});
      if (f.numa_node >= 0) device.info.push_back({AttributeId::numa_node, std::to_string(f.numa_node)});
      const int index = builder.add_device(std::move(device));
      one.base = catalog.series.size();
      for (const char* reason : kReasons)
        builder.add(MetricId::device_unread, index, Tier::slow, {{AttributeId::reason, reason}});
      for (const char* status : kHwStates)
        builder.add(MetricId::hw_status, index, Tier::slow, {{AttributeId::hw_state, status}});
      builder.add(MetricId::device_info, index, Tier::slow);
      // So that a change is told once and not again after the discovery that it leads to.
      if (one.reason == Reason::none) look(one);
      if (one.reason != Reason::driver_silent)
        builder.absent(MetricId::gpu_utilization, index, State::unsupported, why(one));
    }
  }

  static std::string why(const Seen& one) {
    switch (one.reason) {
      case Reason::no_driver:
        return "no driver is bound to the device: load or install the vendor's";
      case Reason::passed_through:
        return "the device is kept for a virtual machine by " + one.function.driver;
      case Reason::off_the_bus:
        return "the device does not answer on the bus: its configuration space reads as ones. It needs a reset or "
               "power "
               "cycle";
      case Reason::gone:
        return "the device was on the bus when the agent started, and has left it";
      default:
        return "a driver is bound";
    }
  }

  bool asleep(const Seen& one) const { return is_suspended(one.runtime_status); }

  // A function that is not there answers every read of its registers with ones.
  bool answers(const Seen& one) {
    std::array<unsigned char, 4> head{};
    ssize_t n = 0;
    do n = context_.calls.measure(config_call_, [&] { return ::pread(one.config.get(), head.data(), head.size(), 0); });
    while (n < 0 && errno == EINTR);
    if (n < 0) context_.calls.count_error(errno == EIO ? "EIO" : "config");
    if (n != static_cast<ssize_t>(head.size())) return n < 0 && (errno == EACCES || errno == EPERM);
    return std::any_of(head.begin(), head.end(), [](unsigned char byte) { return byte != 0xff; });
  }

  // Finds the reason anew. Returns whether the driver is another one than in the catalog.
  bool look(Seen& one) {
    char target[512];
    const ssize_t n = ::readlink(one.driver_link.c_str(), target, sizeof target);
    std::string_view driver;
    if (n > 0 && static_cast<size_t>(n) < sizeof target) {
      driver = std::string_view(target, static_cast<size_t>(n));
      driver.remove_prefix(driver.rfind('/') + 1);
    }
    const bool unreadable =
        std::find(unreadable_.begin(), unreadable_.end(), one.function.address) != unreadable_.end();
    if (::access(one.function.folder.c_str(), F_OK) != 0) {
      one.reason = Reason::gone;
      return false;
    }
    if (unreadable || (one.config.valid() && !asleep(one) && !answers(one))) {
      one.reason = Reason::off_the_bus;
    } else if (driver.empty()) {
      one.reason = Reason::no_driver;
    } else {
      one.reason = passes_through(driver) ? Reason::passed_through : Reason::driver_silent;
    }
    return driver != one.function.driver;
  }

  void tell(const Seen& one, Reason before, std::vector<Event>& events) const {
    const std::string& id = one.function.address;
    const std::string name = pci_model(one.function.vendor, one.function.device) + " at " + id;
    if (one.reason == Reason::gone) {
      events.push_back({context_.clock.wall(), Severity::critical, id, "device_gone", name + " has left the PCI bus"});
    } else if (one.reason == Reason::off_the_bus) {
      events.push_back({context_.clock.wall(), Severity::critical, id, "device_off_the_bus",
                        name + " does not answer on the PCI bus any more"});
    } else if (before == Reason::gone || before == Reason::off_the_bus) {
      events.push_back({context_.clock.wall(), Severity::info, id, "device_back", name + " is on the PCI bus again"});
    }
  }

  static void publish(const Seen& one, Frame& frame) {
    for (size_t i = 0; i < std::size(kReasons); ++i)
      frame.set(one.base + i, static_cast<size_t>(one.reason) == i + 1 ? 1 : 0);
    const HwState status = one.reason == Reason::passed_through ? HwState::ok : HwState::failed;
    size_t at = one.base + std::size(kReasons);
    for (size_t i = 0; i < kHwStateCount; ++i) frame.set(at + i, static_cast<HwState>(i) == status ? 1 : 0);
    frame.set(at + kHwStateCount, 1);
  }

  CollectorContext context_;
  std::string sysfs_;
  const CallId listing_call_, config_call_;
  DIR* bus_ = nullptr;
  uint64_t fingerprint_ = 0;
  std::vector<Seen> seen_;
  std::vector<std::string> unreadable_;
  size_t series_ = 0;
  size_t left_out_ = 0;
};

}  // namespace

std::unique_ptr<Collector> make_presence_collector(CollectorContext context) {
  return std::make_unique<PresenceCollector>(std::move(context));
}

}  // namespace accelmon
