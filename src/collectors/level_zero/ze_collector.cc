#include "collectors/level_zero/ze_collector.h"

#include <algorithm>
#include <cstdio>

#include "base/fd.h"
#include "base/text.h"
#include "collectors/level_zero/ze_device.h"
#include "collectors/level_zero/ze_rights.h"
#include "collectors/pci_bus.h"

namespace accelmon {
namespace {

using namespace level_zero;

constexpr size_t kMostGpus = 64;
constexpr unsigned kIntel = 0x8086;  // PCI's number of the vendor

template <size_t N>
std::string text_of(const char (&text)[N]) {
  const std::string_view all(text, N);
  return printable(trim(all.substr(0, all.find('\0'))), N);
}

// What drivers write where they know nothing.
std::string known(std::string text) {
  return text == "unknown" || text == "Unknown" ? std::string() : text;
}

std::string joined(const std::vector<std::string_view>& words) {
  constexpr size_t kRoom = 200;
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    if (text.size() + words[i].size() > kRoom) return text + " and " + std::to_string(words.size() - i) + " more";
    text += (i > 0 ? ", " : "") + std::string(words[i]);
  }
  return text;
}

class LevelZeroCollector final : public Collector {
 public:
  explicit LevelZeroCollector(CollectorContext context)
      : context_(std::move(context)),
        procfs_(context_.option("procfs", "/proc")),
        sysfs_(context_.option("sysfs", "/sys")) {}
  ~LevelZeroCollector() override { release(); }

  Result<Catalog> discover() override;
  PollResult poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) override;
  void release() override;

 private:
  Status open();
  Status enumerate();
  void add(Handle handle);
  std::string numa_node(const std::string& address) const;
  Catalog build();

  CollectorContext context_;
  const std::string procfs_, sysfs_;
  std::unique_ptr<Library> library_;
  std::unique_ptr<Host> host_;
  std::vector<std::unique_ptr<Gpu>> gpus_;
  size_t drivers_ = 0;
  std::vector<std::string> left_out_;  // devices that are in no catalog, and why
  bool first_poll_ = true;
  size_t series_ = 0;
};

Status LevelZeroCollector::open() {
  auto opened = Library::open(context_.option("library", ""), context_.calls);
  if (!opened) {
    if (opened.error().code() != Code::absent) return opened.error();
    if (pci_bus_lacks(sysfs_, kIntel)) return {Code::absent, "no Intel GPU is on the PCI bus"};
    return Status(Code::absent,
                  opened.error().message() +
                      ": Intel GPUs are read through Level Zero only where its loader and Intel's driver "
                      "for it are installed (packages libze1 and intel-level-zero-gpu or libze-intel-gpu1)");
  }
  library_ = std::move(*opened);
  const ZeResult code = library_->start();
  if (code == kSuccess) return {};
  const std::string path = library_->path();
  library_.reset();
  switch (code) {
    case kUninitialized:
      if (pci_bus_lacks(sysfs_, kIntel)) return {Code::absent, "no Intel GPU is on the PCI bus"};
      return Status(Code::absent, "Level Zero (" + path +
                                      ") finds no driver with a device: install Intel's (intel-level-zero-gpu or "
                                      "libze-intel-gpu1), and see that this user may open /dev/dri/renderD*");
    case kInsufficientPermissions:
      return Status(Code::no_permission,
                    "Level Zero refuses to start: let this user open /dev/dri/renderD* (group render)");
    default:
      return Status(Code::internal, "Level Zero (" + path + ") does not start: " + error_name(code));
  }
}

std::string LevelZeroCollector::numa_node(const std::string& address) const {
  const auto text = read_file(sysfs_ + "/bus/pci/devices/" + address + "/numa_node", 64);
  if (!text) return {};
  const auto node = parse_i64(trim(*text));
  return node && *node >= 0 ? std::to_string(*node) : std::string();
}

void LevelZeroCollector::add(Handle handle) {
  DeviceProperties properties;
  if (const ZeResult code = library_->call<Symbol::zesDeviceGetProperties>(handle, &properties); code != kSuccess) {
    left_out_.push_back("a device does not say what it is: " + error_name(code));
    return;
  }
  // The loader lists processors for neural networks as well.
  if (properties.type != kDeviceTypeGpu) {
    left_out_.push_back(text_of(properties.name) + " is no GPU");
    return;
  }
  PciProperties pci;
  if (const ZeResult code = library_->call<Symbol::zesDevicePciGetProperties>(handle, &pci); code != kSuccess) {
    left_out_.push_back("a device does not say where it is: " + error_name(code));
    return;
  }
  char address[40];
  snprintf(address, sizeof(address), "%04x:%02x:%02x.%x", pci.address.domain, pci.address.bus, pci.address.device,
           pci.address.function);
  // Two drivers may know one device: an old and a new package beside each other.
  for (const auto& gpu : gpus_) {
    if (gpu->identity().id != address) continue;
    left_out_.push_back(std::string(address) + " is shown by two drivers; the first one's is read");
    return;
  }
  Device device;
  device.type = DeviceType::gpu;
  device.id = address;
  device.index = std::to_string(gpus_.size());
  device.vendor = "intel";
  device.model = text_of(properties.name);
  if (device.model.empty()) device.model = known(text_of(properties.model_name));
  const auto note = [&](AttributeId id, std::string text) {
    if (!text.empty()) device.info.push_back(Attribute{id, std::move(text)});
  };
  note(AttributeId::hw_serial_number, known(text_of(properties.serial_number)));
  note(AttributeId::hw_driver_version, known(text_of(properties.driver_version)));
  note(AttributeId::pci_address, address);
  note(AttributeId::numa_node, numa_node(address));
  auto runtime_status = KeptFile::open(sysfs_ + "/bus/pci/devices/" + std::string(address) + "/power/runtime_status");
  gpus_.push_back(std::make_unique<Gpu>(*host_, handle, std::move(device), properties.subdevices,
                                        (properties.flags & kDeviceIntegrated) != 0,
                                        runtime_status ? std::move(*runtime_status) : KeptFile()));
}

Status LevelZeroCollector::enumerate() {
  host_ =
      std::make_unique<Host>(Host{*library_, context_.clock, procfs_,
                                  own_rights(context_.option("own_procfs", "/proc")), context_.calls.add("pid/comm"),
                                  kPatientIntervals * context_.interval(), context_.calls.add("power/runtime_status")});
  left_out_.clear();
  const bool sysman = library_->by_zes_init();
  std::vector<Handle> drivers;
  const ZeResult code =
      sysman ? library_->list<Symbol::zesDriverGet>(drivers) : library_->list<Symbol::zeDriverGet>(drivers);
  if (code != kSuccess) return Status(Code::internal, "Level Zero lists no drivers: " + error_name(code));
  drivers_ = drivers.size();
  for (const Handle driver : drivers) {
    std::vector<Handle> devices;
    const ZeResult listed = sysman ? library_->list<Symbol::zesDeviceGet>(devices, driver)
                                   : library_->list<Symbol::zeDeviceGet>(devices, driver);
    if (listed != kSuccess) left_out_.push_back("a driver lists no devices: " + error_name(listed));
    for (const Handle device : devices)
      if (device != nullptr && gpus_.size() < kMostGpus) add(device);
  }
  if (!gpus_.empty()) return {};
  std::string text = "Level Zero (" + library_->path() + ") shows no GPU";
  for (const std::string& why : left_out_) text += "; " + why;
  return Status(Code::absent, printable(text, 400));
}

Result<Catalog> LevelZeroCollector::discover() {
  if (library_ == nullptr) {
    if (Status opened = open(); !opened.ok()) return fail(std::move(opened));
  }
  if (gpus_.empty()) {
    if (Status found = enumerate(); !found.ok()) {
      release();
      return fail(std::move(found));
    }
  }
  for (const auto& gpu : gpus_) {
    if (!gpu->probed()) gpu->probe();
    gpu->place();
  }
  return build();
}

Catalog LevelZeroCollector::build() {
  Catalog catalog;
  CatalogBuilder builder(catalog);
  for (const auto& gpu : gpus_) gpu->build(builder, catalog);
  const auto all = std::to_string(gpus_.size());
  builder.fact("library", printable(library_->path()));
  builder.fact("started by", library_->by_zes_init() ? "zesInit" : "zeInit with ZES_ENABLE_SYSMAN (the older way)");
  builder.fact("drivers", std::to_string(drivers_));
  builder.fact("devices", all + " GPUs");
  const auto seeing = std::count_if(gpus_.begin(), gpus_.end(), [](const auto& gpu) { return gpu->sees_engines(); });
  builder.fact("engines", std::to_string(seeing) + " of " + all + " GPUs show them");
  builder.fact("rights", std::string(host_->rights.root ? "root" : "not root") +
                             (host_->rights.perfmon ? ", CAP_PERFMON" : ", no CAP_PERFMON") +
                             (host_->rights.ptrace ? ", CAP_SYS_PTRACE" : ", no CAP_SYS_PTRACE"));
  builder.fact("missing symbols", joined(library_->missing_symbols()));
  for (const std::string& why : left_out_) builder.fact("left out", printable(why, 200));
  series_ = catalog.series.size();
  first_poll_ = true;
  return catalog;
}

PollResult LevelZeroCollector::poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) {
  if (library_ == nullptr) return PollResult::lost;
  if (frame.values.size() != series_ || frame.states.size() != series_) return PollResult::rediscover;
  // A new catalog has no earlier readings to repeat.
  const PollRequest due{static_cast<uint8_t>(first_poll_ ? 0xff : request.due)};
  first_poll_ = false;
  bool rediscover = false;
  for (const auto& gpu : gpus_) {
    const Gpu::Outcome outcome = gpu->poll(due, frame, events);
    if (outcome.library_lost) return PollResult::lost;
    rediscover = rediscover || outcome.rediscover;
  }
  return rediscover ? PollResult::rediscover : PollResult::ok;
}

void LevelZeroCollector::release() {
  gpus_.clear();
  host_.reset();
  library_.reset();
}

}  // namespace

std::unique_ptr<Collector> make_level_zero_collector(CollectorContext context) {
  return std::make_unique<LevelZeroCollector>(std::move(context));
}

}  // namespace accelmon
