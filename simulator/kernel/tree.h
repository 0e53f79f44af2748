// The files of /sys, /proc and /dev that the devices of a scenario have.
//
// A KernelTree is built from a Scenario: its shape once on disk (lay_out), its contents at each read (the preload
// library). Paths are relative to the root and canonical: "sys/devices/pci0000:c1/0000:c1:00.0/vendor"; links lead to
// them as the kernel's do. Vendors contribute in add_nvidia(), add_intel() and add_amd().
// Threads: immutable once built.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "simulator/scenario.h"

namespace accelmon::simulator {

// Whose file it is: what a fault's `vendor` and `device` are compared with.
struct Owner {
  Vendor vendor = Vendor::nvidia;
  unsigned device = 0;
};

// One reading: of which scenario, at which time.
struct Moment {
  const Scenario& scenario;
  double t = 0;      // scenario time that the reading is of: differs from now under frozen and backwards
  double since = 0;  // when the driver was loaded: where its counters begin
};

// What a file says. Bytes as they are: a text file ends with its newline. A negative errno in `error`: the read fails.
struct Bytes {
  std::string text;
  int error = 0;
  Bytes(std::string bytes) : text(std::move(bytes)) {}  // NOLINT(google-explicit-constructor)
  Bytes(const char* bytes) : text(bytes) {}             // NOLINT(google-explicit-constructor)
  static Bytes fail(int error_number) {
    Bytes bytes("");
    bytes.error = error_number;
    return bytes;
  }
};
using Content = std::function<Bytes(const Moment&)>;

struct KernelFile {
  std::optional<Owner> owner;
  Content content;
  // Kept by the PCI core: still there when the device has fallen off the bus or its driver is gone.
  bool of_bus = false;
  bool binary = false;  // how garbage looks
  // ioctl() on the opened file: 0 or more, or a negative errno. Empty: ENOTTY.
  std::function<int(const Moment&, unsigned long request, void* argument)> control;
};

// What the PCI core shows of a function.
struct PciFunction {
  std::string address;                             // "0000:c1:00.0"
  unsigned vendor = 0, device = 0, subsystem = 0;  // subsystem: (device << 16 | vendor), as a register holds it
  unsigned class_code = 0x030000;
  unsigned revision = 0;
  std::string driver;  // "amdgpu"; empty: none bound
  int numa_node = -1;
  unsigned generation = 0, generation_max = 0, width = 0, width_max = 0;  // of the PCIe link; 0: no files
  std::function<bool(const Moment&)> asleep;                              // empty: never
};

class KernelTree {
 public:
  explicit KernelTree(const Scenario& scenario);

  void file(std::string path, std::optional<Owner> owner, Content content);
  void file(std::string path, KernelFile file);
  // `target` is what readlink() answers.
  void link(std::string path, std::string target);
  void directory(std::string path);
  // Its folder in sys/devices, the files of the PCI core, the links from sys/bus/pci. Returns the folder's path.
  std::string pci(const PciFunction& function, std::optional<Owner> owner);
  // DRM nodes of a PCI function: sys/class/drm/cardN and renderDM with their links, dev/dri/*. Numbers count up over
  // all vendors. Returns the number of the card; its render node is 128 more.
  unsigned drm(const std::string& pci_folder, std::optional<Owner> owner);
  // A hwmon folder of a device: PCI_FOLDER/hwmon/hwmonN and the link from sys/class/hwmon; `name` file included.
  std::string hwmon(const std::string& pci_folder, const std::string& name, std::optional<Owner> owner);

  const std::map<std::string, KernelFile, std::less<>>& files() const { return files_; }
  const std::map<std::string, std::string, std::less<>>& links() const { return links_; }
  const KernelFile* find(std::string_view path) const;

  // Writes directories, links and files (as they are at time 0) below `root`. Answers what went wrong, if anything.
  std::optional<std::string> lay_out(const std::string& root, const Scenario& scenario) const;

 private:
  std::map<std::string, KernelFile, std::less<>> files_;
  std::map<std::string, std::string, std::less<>> links_;
  std::vector<std::string> directories_;
  unsigned cards_ = 0, hwmons_ = 0;
};

void add_nvidia(KernelTree& tree, const Scenario& scenario);
void add_intel(KernelTree& tree, const Scenario& scenario);
void add_amd(KernelTree& tree, const Scenario& scenario);

// Whether `text` ends with what `glob` describes (* any run of characters, ? one): "hwmon*/temp1_input".
bool matches_end(std::string_view glob, std::string_view text);

std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));

}  // namespace accelmon::simulator
