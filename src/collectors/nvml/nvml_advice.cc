#include "collectors/nvml/nvml_advice.h"

#include "base/fd.h"
#include "base/text.h"
#include "collectors/nvml/nvml_pci.h"

namespace accelmon::nvml {

std::string kernel_driver_version(const std::string& procfs) {
  const auto text = read_file(procfs + "/driver/nvidia/version", 4096);
  if (!text) return {};
  // "NVRM version: NVIDIA UNIX x86_64 Kernel Module  590.48.01  ...": the first word that is digits and dots.
  std::string_view rest = *text;
  std::string_view line = next_line(rest);
  for (std::string_view word = next_word(line); !word.empty(); word = next_word(line))
    if (word.find('.') != std::string_view::npos && word.find_first_not_of("0123456789.") == std::string_view::npos)
      return std::string(word.substr(0, 32));
  return {};
}

Status no_library(const Status& why, const Surroundings& where) {
  if (why.code() != Code::absent) return why;
  const std::vector<PciDevice> devices = nvidia_pci_devices(where.sysfs);
  std::string text = why.message() + "; " + describe(devices);
  if (devices.empty()) return Status(Code::absent, std::move(text));
  const bool driven = !kernel_driver_version(where.procfs).empty();
  text += driven ? ": the kernel driver is loaded, so install its user-space library, or give the container the driver "
                   "capability `utility`"
                 : ": install the NVIDIA driver";
  return Status(Code::absent, std::move(text));
}

Status no_driver(int code, Library& library, const Surroundings& where) {
  const std::string& name = library.name();
  switch (code) {
    case kUninitialized:
    case kDriverNotLoaded: {
      const std::vector<PciDevice> devices = nvidia_pci_devices(where.sysfs);
      std::string text = "the NVIDIA driver is not loaded (" + name + " is installed); " + describe(devices);
      if (!devices.empty()) text += ": load it with `modprobe nvidia` and look for its messages in the kernel's log";
      return Status(Code::absent, std::move(text));
    }
    case kLibRmVersionMismatch: {
      const std::string kernel = kernel_driver_version(where.procfs);
      return Status(Code::unsupported, "the loaded NVIDIA kernel driver" +
                                           (kernel.empty() ? std::string() : " (" + kernel + ")") + " and " +
                                           library.path() +
                                           " are of different versions, as after an update of the driver: restart the "
                                           "host, or unload and load the nvidia modules");
    }
    case kNoPermission:
      return Status(Code::no_permission,
                    "the NVIDIA driver refuses access: this user cannot open /dev/nvidiactl or /dev/nvidia0; in a "
                    "container, hand the devices in; else look at their owner and mode");
    case kGpuNotFound:
      return no_device(where);
    default:
      return Status(Code::internal, "NVML does not start: " + library.error_text(code));
  }
}

Status no_device(const Surroundings& where) {
  const std::vector<PciDevice> devices = nvidia_pci_devices(where.sysfs);
  std::string text = "the NVIDIA driver is loaded and shows no device; " + describe(devices);
  if (!devices.empty())
    text +=
        ": in a container, ask for GPUs (NVIDIA_VISIBLE_DEVICES); else look for the driver's messages in the "
        "kernel's log";
  return Status(Code::absent, std::move(text));
}

}  // namespace accelmon::nvml
