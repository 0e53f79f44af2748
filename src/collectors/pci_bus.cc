#include "collectors/pci_bus.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/fd.h"
#include "base/text.h"
#include "collectors/kernel_files.h"

namespace accelmon {
namespace {

constexpr size_t kMostFunctions = 65536;
constexpr size_t kMostFound = 512;

struct Maker {
  unsigned id;
  std::string_view name;
  bool displays;  // its display controllers are GPUs
};
// Huawei and Amazon make the display chips of their servers too.
constexpr Maker kMakers[] = {
    {0x10de, "nvidia", true},  {0x1002, "amd", true},      {0x8086, "intel", true},        {0x1da3, "habana", true},
    {0x1ae0, "google", false}, {0x1d0f, "amazon", false},  {0x19e5, "huawei", false},      {0x1e36, "enflame", true},
    {0x9999, "metax", true},   {0x1e3e, "iluvatar", true}, {0x1e52, "tenstorrent", false},
};

struct Product {
  unsigned vendor, device;
  std::string_view name;
  bool by_number = false;  // an accelerator whatever its class says
};
constexpr Product kProducts[] = {
    {0x10de, 0x1db4, "NVIDIA V100 PCIe 16GB"},
    {0x10de, 0x1db6, "NVIDIA V100 PCIe 32GB"},
    {0x10de, 0x1eb8, "NVIDIA T4"},
    {0x10de, 0x20b0, "NVIDIA A100 SXM4 40GB"},
    {0x10de, 0x20b2, "NVIDIA A100 SXM4 80GB"},
    {0x10de, 0x20b5, "NVIDIA A100 PCIe 80GB"},
    {0x10de, 0x20f1, "NVIDIA A100 PCIe 40GB"},
    {0x10de, 0x2235, "NVIDIA A40"},
    {0x10de, 0x2236, "NVIDIA A10"},
    {0x10de, 0x2330, "NVIDIA H100 SXM5 80GB"},
    {0x10de, 0x2331, "NVIDIA H100 PCIe"},
    {0x10de, 0x2335, "NVIDIA H200 SXM 141GB"},
    {0x10de, 0x233b, "NVIDIA H200 NVL"},
    {0x10de, 0x26b5, "NVIDIA L40"},
    {0x10de, 0x26b9, "NVIDIA L40S"},
    {0x10de, 0x27b8, "NVIDIA L4"},
    {0x10de, 0x2684, "NVIDIA GeForce RTX 4090"},
    {0x10de, 0x2901, "NVIDIA B200"},
    {0x1002, 0x7408, "AMD Instinct MI250X"},
    {0x1002, 0x740c, "AMD Instinct MI250X/MI250"},
    {0x1002, 0x740f, "AMD Instinct MI210"},
    {0x1002, 0x738c, "AMD Instinct MI100"},
    {0x1002, 0x74a0, "AMD Instinct MI300A"},
    {0x1002, 0x74a1, "AMD Instinct MI300X"},
    {0x1002, 0x74a5, "AMD Instinct MI325X"},
    {0x1002, 0x75a0, "AMD Instinct MI350X"},
    {0x1002, 0x75a3, "AMD Instinct MI355X"},
    {0x8086, 0x0bd5, "Intel Data Center GPU Max 1550"},
    {0x8086, 0x0bda, "Intel Data Center GPU Max 1100"},
    {0x8086, 0x56c0, "Intel Data Center GPU Flex 170"},
    {0x8086, 0x56c1, "Intel Data Center GPU Flex 140"},
    {0x8086, 0x56a0, "Intel Arc A770"},
    {0x8086, 0x56a1, "Intel Arc A750"},
    {0x8086, 0x56a2, "Intel Arc A580"},
    {0x8086, 0x56a5, "Intel Arc A380"},
    {0x8086, 0xe20b, "Intel Arc B580"},
    {0x8086, 0xe20c, "Intel Arc B570"},
    {0x8086, 0xe211, "Intel Arc Pro B60"},
    {0x8086, 0xe212, "Intel Arc Pro B50"},
    {0x1da3, 0x1000, "Intel Gaudi"},
    {0x1da3, 0x1010, "Intel Gaudi (secured)"},
    {0x1da3, 0x1020, "Intel Gaudi 2"},
    {0x1da3, 0x1060, "Intel Gaudi 3"},
    {0x1ae0, 0x0027, "Google TPU v2 or v3", true},
    {0x1ae0, 0x005e, "Google TPU v4", true},
    {0x1ae0, 0x0062, "Google TPU v5p", true},
    {0x1ae0, 0x0063, "Google TPU v5e", true},
    {0x1ae0, 0x006f, "Google TPU v6e", true},
    {0x1d0f, 0x7064, "AWS Inferentia", true},
    {0x1d0f, 0x7164, "AWS Trainium", true},
    {0x1d0f, 0x7264, "AWS Inferentia2", true},
    {0x1d0f, 0x7364, "AWS Trainium2", true},
    {0x19e5, 0xd100, "Huawei Ascend 310"},
    {0x19e5, 0xd500, "Huawei Ascend 310P"},
    {0x19e5, 0xd801, "Huawei Ascend 910"},
    {0x19e5, 0xd802, "Huawei Ascend 910B"},
};

const Maker* maker_of(unsigned vendor) {
  const auto* found =
      std::find_if(std::begin(kMakers), std::end(kMakers), [&](const Maker& m) { return m.id == vendor; });
  return found == std::end(kMakers) ? nullptr : found;
}

const Product* product_of(unsigned vendor, unsigned device) {
  const auto* found = std::find_if(std::begin(kProducts), std::end(kProducts),
                                   [&](const Product& p) { return p.vendor == vendor && p.device == device; });
  return found == std::end(kProducts) ? nullptr : found;
}

// "0x10de\n"
std::optional<unsigned> hexadecimal(const std::string& path) {
  const auto text = read_file(path, 4096);
  if (!text) return std::nullopt;
  std::string_view digits = trim(*text);
  if (!digits.starts_with("0x")) return std::nullopt;
  digits.remove_prefix(2);
  const auto number = parse_u64(digits, 16);
  if (!number || *number > 0xffffffffu) return std::nullopt;
  return static_cast<unsigned>(*number);
}

bool is_accelerator(const Maker& maker, const PciFunction& f) {
  const Product* const product = product_of(f.vendor, f.device);
  if (product != nullptr && product->by_number) return true;
  switch (f.class_code >> 8) {
    case 0x0300:  // VGA
    case 0x0302:  // 3D
    case 0x0380:  // other display
      return maker.displays;
    case 0x1200:  // processing accelerator
      return true;
    default:
      return false;
  }
}

std::string link_target(const std::string& path) {
  char target[512];
  const ssize_t n = ::readlink(path.c_str(), target, sizeof target);
  if (n <= 0 || static_cast<size_t>(n) == sizeof target) return {};
  const std::string_view text(target, static_cast<size_t>(n));
  return printable(text.substr(text.rfind('/') + 1), 64);
}

}  // namespace

std::vector<unsigned> drm_minors(const std::string& folder) {
  std::vector<unsigned> minors;
  for (const std::string& name : names_in(folder + "/drm")) {
    for (const std::string_view kind : {"card", "renderD"}) {
      // "card0-DP-1" is a connector.
      const auto number = name.starts_with(kind) ? parse_u64(name.substr(kind.size())) : std::nullopt;
      if (number && *number <= UINT32_MAX) minors.push_back(static_cast<unsigned>(*number));
    }
  }
  return minors;
}

bool is_pci_address(std::string_view text) {
  // Domains may have more than four digits.
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon < 4 || colon > 8 || text.size() != colon + 8) return false;
  if (text[colon + 3] != ':' || text[colon + 6] != '.') return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool digit = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
    const bool mark = i == colon || i == colon + 3 || i == colon + 6;
    if (digit == mark) return false;
  }
  return true;
}

bool pci_bus_lacks(const std::string& sysfs, unsigned vendor) {
  const PciListing listing = list_accelerators(sysfs);
  return listing.error == 0 && listing.unreadable.empty() &&
         std::none_of(listing.functions.begin(), listing.functions.end(),
                      [vendor](const PciFunction& function) { return function.vendor == vendor; });
}

std::string_view pci_vendor(unsigned vendor) {
  const Maker* const maker = maker_of(vendor);
  return maker == nullptr ? std::string_view() : maker->name;
}

std::string pci_model(unsigned vendor, unsigned device) {
  if (const Product* const product = product_of(vendor, device)) return std::string(product->name);
  char text[32];
  std::snprintf(text, sizeof text, "%04x:%04x", vendor, device);
  return text;
}

PciListing list_accelerators(const std::string& sysfs) {
  PciListing out;
  const std::string folder = sysfs + "/bus/pci/devices";
  std::vector<std::string> addresses;
  DIR* const dir = ::opendir(folder.c_str());
  if (dir == nullptr) {
    out.error = errno;
    return out;
  }
  while (addresses.size() < kMostFunctions) {
    const dirent* const entry = ::readdir(dir);
    if (entry == nullptr) break;
    if (is_pci_address(entry->d_name)) addresses.emplace_back(entry->d_name);
  }
  ::closedir(dir);
  std::sort(addresses.begin(), addresses.end());
  for (const std::string& address : addresses) {
    PciFunction f;
    f.address = address;
    f.folder = folder + "/" + address;
    const auto vendor = hexadecimal(f.folder + "/vendor");
    const Maker* const maker = vendor ? maker_of(*vendor) : nullptr;
    if (vendor && maker == nullptr) continue;
    const auto device = hexadecimal(f.folder + "/device");
    const auto class_code = hexadecimal(f.folder + "/class");
    if (!vendor || !device || !class_code) {
      if (out.unreadable.size() < kMostFound) out.unreadable.push_back(address);
      continue;
    }
    f.vendor = *vendor;
    f.device = *device;
    f.class_code = *class_code;
    if (!is_accelerator(*maker, f) || ::access((f.folder + "/physfn").c_str(), F_OK) == 0) continue;
    f.driver = link_target(f.folder + "/driver");
    const auto node = read_file(f.folder + "/numa_node", 64);
    const auto number = node ? parse_i64(trim(*node)) : std::nullopt;
    if (number && *number >= 0 && *number < 1'000'000) f.numa_node = static_cast<int>(*number);
    if (out.functions.size() < kMostFound) out.functions.push_back(std::move(f));
  }
  return out;
}

}  // namespace accelmon
