#include "simulator/kernel/tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace accelmon::simulator {

namespace {

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

// 64 bytes of configuration space; all ones is what a device that has fallen off the bus answers.
std::string configuration_space(const PciFunction& f) {
  std::string bytes(64, '\0');
  const auto put16 = [&](size_t at, unsigned value) {
    bytes[at] = static_cast<char>(value & 0xff);
    bytes[at + 1] = static_cast<char>(value >> 8 & 0xff);
  };
  put16(0x00, f.vendor);
  put16(0x02, f.device);
  put16(0x04, 0x0406);  // memory space, bus master, no legacy interrupts
  put16(0x06, 0x0010);  // capabilities
  bytes[0x08] = static_cast<char>(f.revision);
  bytes[0x09] = static_cast<char>(f.class_code & 0xff);
  put16(0x0a, f.class_code >> 8);
  put16(0x2c, f.subsystem & 0xffff);
  put16(0x2e, f.subsystem >> 16);
  return bytes;
}

const char* speed_of(unsigned generation) {
  constexpr const char* kSpeeds[] = {"Unknown",        "2.5 GT/s PCIe",  "5.0 GT/s PCIe", "8.0 GT/s PCIe",
                                     "16.0 GT/s PCIe", "32.0 GT/s PCIe", "64.0 GT/s PCIe"};
  return kSpeeds[std::min<size_t>(generation, std::size(kSpeeds) - 1)];
}

bool matches(std::string_view glob, std::string_view text) {
  size_t g = 0, t = 0, star = std::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t]) && glob[g] != '*') {
      ++g, ++t;
    } else if (g < glob.size() && glob[g] == '*') {
      star = g++;
      mark = t;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

}  // namespace

bool matches_end(std::string_view glob, std::string_view text) {
  // At the beginning of a name, so that "power1_cap" is not the end of "my_power1_cap".
  for (size_t at = 0; at != std::string_view::npos;) {
    if (matches(glob, text.substr(at))) return true;
    const size_t slash = text.find('/', at);
    at = slash == std::string_view::npos ? slash : slash + 1;
  }
  return false;
}

std::string format(const char* pattern, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, pattern);
  const int length = vsnprintf(text, sizeof(text), pattern, arguments);
  va_end(arguments);
  return std::string(text, static_cast<size_t>(std::clamp(length, 0, static_cast<int>(sizeof(text)) - 1)));
}

KernelTree::KernelTree(const Scenario& scenario) {
  for (const char* path : {"sys/bus/pci/devices", "sys/bus/pci/drivers", "sys/class", "proc", "dev"}) directory(path);
  add_nvidia(*this, scenario);
  add_amd(*this, scenario);
  add_intel(*this, scenario);
}

void KernelTree::file(std::string path, std::optional<Owner> owner, Content content) {
  file(std::move(path), KernelFile{owner, std::move(content), false, false, {}});
}

void KernelTree::file(std::string path, KernelFile file) {
  files_.insert_or_assign(std::move(path), std::move(file));
}

void KernelTree::link(std::string path, std::string target) {
  links_.insert_or_assign(std::move(path), std::move(target));
}

void KernelTree::directory(std::string path) {
  directories_.push_back(std::move(path));
}

const KernelFile* KernelTree::find(std::string_view path) const {
  const auto found = files_.find(path);
  return found == files_.end() ? nullptr : &found->second;
}

std::string KernelTree::pci(const PciFunction& f, std::optional<Owner> owner) {
  std::string folder = "sys/devices/pci" + f.address.substr(0, f.address.find_last_of(':')) + "/" + f.address;
  const auto fixed = [&](const char* name, std::string text) {
    KernelFile one;
    one.owner = owner;
    one.of_bus = true;
    one.content = [text = std::move(text)](const Moment&) { return Bytes(text); };
    file(folder + "/" + name, std::move(one));
  };
  fixed("vendor", format("0x%04x\n", f.vendor));
  fixed("device", format("0x%04x\n", f.device));
  fixed("subsystem_vendor", format("0x%04x\n", f.subsystem & 0xffff));
  fixed("subsystem_device", format("0x%04x\n", f.subsystem >> 16));
  fixed("class", format("0x%06x\n", f.class_code));
  fixed("revision", format("0x%02x\n", f.revision));
  fixed("numa_node", format("%d\n", f.numa_node));
  fixed("config", configuration_space(f));
  if (f.generation_max > 0) {
    fixed("current_link_speed", format("%s\n", speed_of(f.generation)));
    fixed("max_link_speed", format("%s\n", speed_of(f.generation_max)));
    fixed("current_link_width", format("%u\n", f.width));
    fixed("max_link_width", format("%u\n", f.width_max));
  }
  std::string id =
      format("PCI_CLASS=%X\nPCI_ID=%04X:%04X\nPCI_SLOT_NAME=%s\n", f.class_code, f.vendor, f.device, f.address.c_str());
  fixed("uevent", (f.driver.empty() ? std::string() : "DRIVER=" + f.driver + "\n") + id);
  KernelFile power;
  power.owner = owner;
  power.of_bus = true;
  power.content = [asleep = f.asleep](const Moment& at) {
    return Bytes(asleep && asleep(at) ? "suspended\n" : "active\n");
  };
  file(folder + "/power/runtime_status", std::move(power));
  link("sys/bus/pci/devices/" + f.address, "../../../" + folder.substr(4));
  link(folder + "/subsystem", "../../../bus/pci");
  if (!f.driver.empty()) {
    link(folder + "/driver", "../../../bus/pci/drivers/" + f.driver);
    link("sys/bus/pci/drivers/" + f.driver + "/" + f.address, "../../../../" + folder.substr(4));
  }
  return folder;
}

unsigned KernelTree::drm(const std::string& pci_folder, std::optional<Owner> owner) {
  const unsigned card = cards_++;
  const std::string back = "../../../" + pci_folder.substr(pci_folder.rfind('/') + 1);
  for (const bool render : {false, true}) {
    const unsigned minor = render ? 128 + card : card;
    const std::string name = render ? format("renderD%u", minor) : format("card%u", minor);
    const std::string folder = pci_folder + "/drm/" + name;
    file(folder + "/dev", owner, [minor](const Moment&) { return Bytes(format("226:%u\n", minor)); });
    link(folder + "/device", back);
    link("sys/class/drm/" + name, "../../" + folder.substr(4));
    link(format("sys/dev/char/226:%u", minor), "../../" + folder.substr(4));
    file("dev/dri/" + name, owner, [](const Moment&) { return Bytes(""); });
  }
  return card;
}

std::string KernelTree::hwmon(const std::string& pci_folder, const std::string& name, std::optional<Owner> owner) {
  const unsigned number = hwmons_++;
  std::string folder = pci_folder + format("/hwmon/hwmon%u", number);
  file(folder + "/name", owner, [name](const Moment&) { return Bytes(name + "\n"); });
  link(folder + "/device", "../../../" + pci_folder.substr(pci_folder.rfind('/') + 1));
  link(format("sys/class/hwmon/hwmon%u", number), "../../" + folder.substr(4));
  return folder;
}

namespace {

bool make_folders(const std::string& path) {
  if (path.empty() || ::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return true;
  return errno == ENOENT && make_folders(folder_of(path)) && (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST);
}

bool write_whole(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  return ::close(fd) == 0 && written;
}

}  // namespace

std::optional<std::string> KernelTree::lay_out(const std::string& root, const Scenario& scenario) const {
  const auto failed = [&](const std::string& path) { return "cannot make " + path + ": " + strerror(errno); };
  const auto below = [&](const std::string& path) { return root + "/" + path; };
  for (const std::string& path : directories_)
    if (!make_folders(below(path))) return failed(below(path));
  for (const auto& [path, file] : files_) {
    const Moment start{scenario, 0, 0};
    if (!make_folders(folder_of(below(path))) || !write_whole(below(path), file.content(start).text))
      return failed(below(path));
  }
  for (const auto& [path, target] : links_) {
    if (!make_folders(folder_of(below(path)))) return failed(below(path));
    if (::symlink(target.c_str(), below(path).c_str()) != 0 && errno != EEXIST) return failed(below(path));
  }
  return std::nullopt;
}

// NVIDIA's devices stand on the bus; all else about them comes from their library.
void add_nvidia(KernelTree& tree, const Scenario& scenario) {
  for (unsigned i = 0; i < scenario.devices.size(); ++i) {
    const Device& d = scenario.devices[i];
    PciFunction f;
    f.address = format("%04x:%02x:%02x.0", d.pci_domain, d.pci_bus, d.pci_slot);
    // The register has the device above the vendor, as NVML's pciDeviceId has it.
    f.vendor = 0x10de;
    f.device = d.pci_device_id > 0xffff ? d.pci_device_id >> 16 : d.pci_device_id;
    f.subsystem = d.pci_subsystem_id;
    f.class_code = d.display ? 0x030000 : 0x030200;
    f.driver = "nvidia";
    f.generation = f.generation_max = d.pcie_gen_max;
    f.width = d.pcie_width;
    f.width_max = d.pcie_width_max;
    tree.pci(f, Owner{Vendor::nvidia, i});
  }
}

}  // namespace accelmon::simulator
