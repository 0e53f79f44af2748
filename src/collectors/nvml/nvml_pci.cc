#include "collectors/nvml/nvml_pci.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/fd.h"
#include "base/text.h"

namespace accelmon::nvml {
namespace {

constexpr std::string_view kVendor = "0x10de";
constexpr size_t kMostListed = 4;

std::string devices_folder(const std::string& sysfs) {
  return sysfs + "/bus/pci/devices";
}

std::string small_file(const std::string& path) {
  const auto text = read_file(path, 4096);
  return text ? std::string(trim(*text)) : std::string();
}

std::string format(uint64_t domain, uint64_t bus, uint64_t device, uint64_t function) {
  char text[32];
  std::snprintf(text, sizeof text, "%04llx:%02llx:%02llx.%llx", static_cast<unsigned long long>(domain),
                static_cast<unsigned long long>(bus), static_cast<unsigned long long>(device),
                static_cast<unsigned long long>(function));
  return text;
}

// Display controllers: VGA 0x0300.., 3D 0x0302..; not the audio and USB functions of the same card.
bool is_display(std::string_view pci_class) {
  return pci_class.substr(0, 4) == "0x03";
}

std::string bound_driver(const std::string& folder) {
  char target[512];
  const ssize_t n = ::readlink((folder + "/driver").c_str(), target, sizeof target);
  if (n <= 0) return {};
  const std::string_view path(target, static_cast<size_t>(n));
  return std::string(path.substr(path.rfind('/') + 1));
}

}  // namespace

std::string pci_address(const PciInfo& info) {
  // The number of the function stands in the text alone.
  const std::string_view text(info.bus_id, ::strnlen(info.bus_id, sizeof info.bus_id));
  if (auto address = pci_address(text)) return *address;
  return format(info.domain, info.bus, info.device, 0);
}

std::optional<std::string> pci_address(std::string_view text) {
  const size_t dot = text.rfind('.');
  const size_t colon2 = text.rfind(':');
  if (dot == std::string_view::npos || colon2 == std::string_view::npos || colon2 == 0 || dot < colon2)
    return std::nullopt;
  const size_t colon1 = text.rfind(':', colon2 - 1);
  if (colon1 == std::string_view::npos) return std::nullopt;
  const auto domain = parse_u64(text.substr(0, colon1), 16);
  const auto bus = parse_u64(text.substr(colon1 + 1, colon2 - colon1 - 1), 16);
  const auto device = parse_u64(text.substr(colon2 + 1, dot - colon2 - 1), 16);
  const auto function = parse_u64(text.substr(dot + 1), 16);
  if (!domain || !bus || !device || !function) return std::nullopt;
  if (*domain > 0xffffffffu || *bus > 0xff || *device > 0x1f || *function > 7) return std::nullopt;
  return format(*domain, *bus, *device, *function);
}

std::vector<PciDevice> nvidia_pci_devices(const std::string& sysfs) {
  std::vector<PciDevice> found;
  const std::string folder = devices_folder(sysfs);
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  if (dir == nullptr) return found;
  while (const dirent* entry = ::readdir(dir.get())) {
    const auto address = pci_address(std::string_view(entry->d_name));
    if (!address) continue;
    const std::string path = folder + "/" + entry->d_name;
    if (small_file(path + "/vendor") != kVendor || !is_display(small_file(path + "/class"))) continue;
    found.push_back(PciDevice{*address, bound_driver(path)});
  }
  std::sort(found.begin(), found.end(), [](const PciDevice& a, const PciDevice& b) { return a.address < b.address; });
  return found;
}

std::string describe(const std::vector<PciDevice>& devices) {
  if (devices.empty()) return "no NVIDIA device on the PCI bus";
  const size_t n = devices.size();
  std::string text = std::to_string(n) + (n == 1 ? " NVIDIA device" : " NVIDIA devices") + " on the PCI bus (";
  for (size_t i = 0; i < std::min(n, kMostListed); ++i) {
    if (i > 0) text += ", ";
    text += devices[i].address;
  }
  if (n > kMostListed) text += " and " + std::to_string(n - kMostListed) + " more";
  text += n == 1 ? ") has" : ") have";

  const std::string& driver = devices.front().driver;
  const bool same =
      std::all_of(devices.begin(), devices.end(), [&](const PciDevice& device) { return device.driver == driver; });
  if (!same) return text + " different drivers";
  return text + (driver.empty() ? " no driver" : " the driver " + printable(driver, 32));
}

std::optional<int> numa_node(const std::string& sysfs, const std::string& address) {
  const auto node = parse_i64(small_file(devices_folder(sysfs) + "/" + address + "/numa_node"));
  if (!node || *node < 0 || *node > 1'000'000) return std::nullopt;
  return static_cast<int>(*node);
}

}  // namespace accelmon::nvml
