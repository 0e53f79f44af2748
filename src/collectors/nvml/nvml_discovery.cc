#include "collectors/nvml/nvml_discovery.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"
#include "collectors/nvml/nvml_pci.h"

namespace accelmon::nvml {
namespace {

constexpr U32 kMostGpus = 256;
constexpr U32 kMostPartitions = 64;
constexpr const char* kVendor = "nvidia";

template <Symbol S, U32 Size>
std::string text_of(Library& nvml, DeviceHandle device) {
  char text[Size] = {};
  if (nvml.call<S>(device, &text[0], Size) != kSuccess) return {};
  text[Size - 1] = '\0';
  return printable(text, Size);
}

void add_info(Device& device, AttributeId id, std::string value) {
  if (value.empty() || value == "N/A" || value == "Unknown") return;
  device.info.push_back(Attribute{id, std::move(value)});
}

void add_host_info(Device& device, const Host& host, const std::string& pci) {
  add_info(device, AttributeId::hw_driver_version, host.driver_version);
  add_info(device, AttributeId::library_version, host.library_version);
  add_info(device, AttributeId::cuda_version, host.cuda_version);
  add_info(device, AttributeId::pci_address, pci);
  if (const auto node = numa_node(host.sysfs, pci)) add_info(device, AttributeId::numa_node, std::to_string(*node));
}

struct Gpu {
  DeviceHandle handle = nullptr;
  int code = kSuccess;
  Device identity;
  std::string pci;
};

// Names that devices already have; two of the same would break every table that is keyed by them.
class Ids {
 public:
  std::string unique(std::initializer_list<std::string> candidates) {
    for (const std::string& id : candidates)
      if (!id.empty() && taken_.insert(id).second) return id;
    for (int n = 2;; ++n) {
      std::string id = *(candidates.end() - 1) + "-" + std::to_string(n);
      if (taken_.insert(id).second) return id;
    }
  }

 private:
  std::set<std::string> taken_;
};

std::string fallback_id(U32 index) {
  return "nvidia-index-" + std::to_string(index);
}

void identify(Host& host, Gpu& gpu, U32 index, Ids& ids) {
  Library& nvml = host.nvml;
  PciInfo pci{};
  if (nvml.call<Symbol::nvmlDeviceGetPciInfo_v3>(gpu.handle, &pci) == kSuccess) gpu.pci = pci_address(pci);
  Device& device = gpu.identity;
  device.vendor = kVendor;
  device.index = std::to_string(index);
  device.id =
      ids.unique({text_of<Symbol::nvmlDeviceGetUUID, kUuidBytes>(nvml, gpu.handle), gpu.pci, fallback_id(index)});
  device.model = text_of<Symbol::nvmlDeviceGetName, kNameBytes>(nvml, gpu.handle);
  add_info(device, AttributeId::hw_serial_number, text_of<Symbol::nvmlDeviceGetSerial, kSerialBytes>(nvml, gpu.handle));
  add_info(device, AttributeId::hw_firmware_version,
           text_of<Symbol::nvmlDeviceGetVbiosVersion, kVbiosBytes>(nvml, gpu.handle));
  add_host_info(device, host, gpu.pci);
}

// Names a GPU that NVML counts and does not hand out: by what was at this index before, else by the one address on the
// bus that no other GPU has, if only one is missing.
void identify_missing(Host& host, std::vector<Gpu>& gpus, U32 index, const std::vector<KnownGpu>& known, Ids& ids) {
  Gpu& gpu = gpus[index];
  std::string before;
  const auto listed = std::count_if(known.begin(), known.end(), [](const KnownGpu& one) { return one.listed; });
  if (static_cast<size_t>(listed) == gpus.size()) {
    gpu.identity = known[index].identity;
    gpu.pci = known[index].pci_address;
    before = gpu.identity.id;
  } else {
    const auto missing = std::count_if(gpus.begin(), gpus.end(), [](const Gpu& one) { return one.handle == nullptr; });
    std::vector<PciDevice> unseen = nvidia_pci_devices(host.sysfs);
    std::erase_if(unseen, [&](const PciDevice& on_bus) {
      return std::any_of(gpus.begin(), gpus.end(), [&](const Gpu& one) { return one.pci == on_bus.address; });
    });
    if (missing == 1 && unseen.size() == 1) gpu.pci = unseen.front().address;
  }
  if (before.empty()) add_host_info(gpu.identity, host, gpu.pci);
  gpu.identity.vendor = kVendor;
  gpu.identity.index = std::to_string(index);
  gpu.identity.id = ids.unique({before, gpu.pci, fallback_id(index)});
}

// Those that were here before, that the driver still holds, and that NVML does not count any more: they fell off the
// bus. Devices that were handed to another driver, or taken out, are not among them.
void add_vanished(Host& host, const std::vector<Gpu>& gpus, const std::vector<KnownGpu>& known, Ids& ids,
                  std::vector<std::unique_ptr<DeviceReader>>& readers) {
  std::vector<PciDevice> on_bus;
  for (const KnownGpu& before : known) {
    const bool here = std::any_of(gpus.begin(), gpus.end(), [&](const Gpu& gpu) {
      return gpu.identity.id == before.identity.id || (!gpu.pci.empty() && gpu.pci == before.pci_address);
    });
    if (here) continue;
    if (on_bus.empty()) on_bus = nvidia_pci_devices(host.sysfs);
    const bool held = std::any_of(on_bus.begin(), on_bus.end(), [&](const PciDevice& device) {
      return device.address == before.pci_address && device.driver == kVendor;
    });
    if (!held) continue;
    Device identity = before.identity;
    identity.id = ids.unique({identity.id});
    identity.index.clear();  // those behind it have moved up
    auto reader = std::make_unique<DeviceReader>(host, nullptr, std::move(identity), before.pci_address);
    reader->fail(kGpuNotFound, "the driver holds its PCI device and no longer lists the GPU, which was here before");
    readers.push_back(std::move(reader));
  }
}

struct Partition {
  DeviceHandle handle = nullptr;
  U32 slot = 0;
  U32 gpu_instance = kNoValue32;
};

std::vector<Partition> partitions(Library& nvml, DeviceHandle gpu) {
  std::vector<Partition> found;
  U32 most = 0;
  if (nvml.call<Symbol::nvmlDeviceGetMaxMigDeviceCount>(gpu, &most) != kSuccess) return found;
  for (U32 slot = 0; slot < std::min(most, kMostPartitions); ++slot) {
    Partition part;
    part.slot = slot;
    if (nvml.call<Symbol::nvmlDeviceGetMigDeviceHandleByIndex>(gpu, slot, &part.handle) != kSuccess) continue;
    if (part.handle == nullptr) continue;
    if (nvml.call<Symbol::nvmlDeviceGetGpuInstanceId>(part.handle, &part.gpu_instance) != kSuccess)
      part.gpu_instance = kNoValue32;
    found.push_back(part);
  }
  return found;
}

void add_partitions(Host& host, DeviceReader& gpu, Ids& ids, std::vector<std::unique_ptr<DeviceReader>>& readers) {
  const std::vector<Partition> parts = partitions(host.nvml, gpu.handle());
  for (const Partition& part : parts) {
    Device device;
    device.type = DeviceType::gpu_partition;
    device.vendor = kVendor;
    device.index = gpu.identity().index + ":" + std::to_string(part.slot);
    device.id = ids.unique({text_of<Symbol::nvmlDeviceGetUUID, kUuidBytes>(host.nvml, part.handle),
                            gpu.identity().id + "-mig-" + std::to_string(part.slot)});
    device.model = text_of<Symbol::nvmlDeviceGetName, kNameBytes>(host.nvml, part.handle);
    if (device.model.empty()) device.model = gpu.identity().model;
    DeviceAttributes attributes{};
    const bool sized = host.nvml.call<Symbol::nvmlDeviceGetAttributes_v2>(part.handle, &attributes) == kSuccess;
    for (const Attribute& inherited : gpu.identity().info)
      if (inherited.id != AttributeId::hw_serial_number) device.info.push_back(inherited);
    add_info(device, AttributeId::partition_profile, partition_profile(device.model, sized ? &attributes : nullptr));

    const bool known = part.gpu_instance != kNoValue32;
    if (known) add_info(device, AttributeId::partition_id, std::to_string(part.gpu_instance));
    const auto sharing = std::count_if(parts.begin(), parts.end(),
                                       [&](const Partition& other) { return other.gpu_instance == part.gpu_instance; });
    auto reader = std::make_unique<DeviceReader>(host, part.handle, std::move(device), gpu.pci_address());
    reader->make_part(gpu, known ? static_cast<int>(part.gpu_instance) : -1, !known || sharing > 1);
    readers.push_back(std::move(reader));
  }
}

}  // namespace

std::string partition_profile(std::string_view model, const DeviceAttributes* attributes) {
  constexpr std::string_view kMark = " MIG ";
  if (const size_t at = model.rfind(kMark); at != std::string_view::npos)
    return std::string(trim(model.substr(at + kMark.size())));
  if (attributes == nullptr || attributes->gpu_instance_slices == 0) return {};
  const U32 gpu = attributes->gpu_instance_slices;
  const U32 compute = attributes->compute_instance_slices;
  // Profiles are named after whole gigabytes, which a partition's memory falls a little short of.
  const auto gigabytes = static_cast<U64>(std::ceil(static_cast<double>(attributes->memory_mib) / 1024));
  std::string profile;
  if (compute != 0 && compute != gpu) profile = std::to_string(compute) + "c.";
  return profile + std::to_string(gpu) + "g." + std::to_string(gigabytes) + "gb";
}

bool same_partitions(Library& nvml, DeviceHandle gpu, std::span<const std::unique_ptr<DeviceReader>> parts) {
  U32 most = 0;
  if (nvml.call<Symbol::nvmlDeviceGetMaxMigDeviceCount>(gpu, &most) != kSuccess) return parts.empty();
  size_t seen = 0;
  for (U32 slot = 0; slot < std::min(most, kMostPartitions); ++slot) {
    DeviceHandle part = nullptr;
    if (nvml.call<Symbol::nvmlDeviceGetMigDeviceHandleByIndex>(gpu, slot, &part) != kSuccess || part == nullptr)
      continue;
    if (seen == parts.size()) return false;
    char id[kUuidBytes] = "";
    const int code = nvml.call<Symbol::nvmlDeviceGetUUID>(part, &id[0], kUuidBytes);
    id[kUuidBytes - 1] = '\0';
    if (code == kSuccess && id[0] != '\0' && parts[seen]->identity().id != id) return false;
    ++seen;
  }
  return seen == parts.size();
}

tl::expected<Enumeration, int> enumerate(Host& host, const std::vector<KnownGpu>& known) {
  Enumeration result;
  const int counted = host.nvml.call<Symbol::nvmlDeviceGetCount_v2>(&result.count);
  if (counted != kSuccess) return tl::unexpected<int>(counted);

  std::vector<Gpu> gpus(std::min(result.count, kMostGpus));
  Ids ids;
  for (U32 index = 0; index < gpus.size(); ++index) {
    Gpu& gpu = gpus[index];
    gpu.code = host.nvml.call<Symbol::nvmlDeviceGetHandleByIndex_v2>(index, &gpu.handle);
    if (is_library_lost(gpu.code)) return tl::unexpected<int>(gpu.code);
    if (gpu.code == kSuccess && gpu.handle == nullptr) gpu.code = kUnknownError;
    if (gpu.code != kSuccess) gpu.handle = nullptr;
    if (gpu.handle != nullptr) identify(host, gpu, index, ids);
  }
  for (U32 index = 0; index < gpus.size(); ++index)
    if (gpus[index].handle == nullptr) identify_missing(host, gpus, index, known, ids);

  for (const Gpu& gpu : gpus) {
    const std::string& index = gpu.identity.index;
    auto reader = std::make_unique<DeviceReader>(host, gpu.handle, gpu.identity, gpu.pci);
    DeviceReader& whole = *reader;
    result.readers.push_back(std::move(reader));
    if (gpu.handle == nullptr) {
      whole.fail(gpu.code, "NVML counts GPU " + index + " and does not hand it out: " + host.nvml.error_text(gpu.code));
      continue;
    }
    whole.probe();
    if (whole.fatal() != 0) return tl::unexpected<int>(whole.fatal());
    if (whole.lost() || !whole.mig_on()) continue;
    const size_t first = result.readers.size();
    add_partitions(host, whole, ids, result.readers);
    for (size_t i = first; i < result.readers.size(); ++i) {
      result.readers[i]->probe();
      if (result.readers[i]->fatal() != 0) return tl::unexpected<int>(result.readers[i]->fatal());
    }
  }
  add_vanished(host, gpus, known, ids, result.readers);
  return result;
}

}  // namespace accelmon::nvml
