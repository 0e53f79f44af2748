// Hosts without a driver, and libraries that are none: what a person is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "collectors/nvml/nvml_advice.h"
#include "collectors/nvml/nvml_collector.h"
#include "collectors/nvml/nvml_pci.h"

namespace accelmon {
namespace {

using nvml::PciDevice;
using testing::HasSubstr;
using testing::Not;

// A folder with the parts of /sys and /proc that are read here.
class Loading : public testing::Test {
 protected:
  Loading() {
    std::string pattern = testing::TempDir() + "accelmon_nvml_XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    std::filesystem::create_directories(sysfs() + "/bus/pci/devices");
    std::filesystem::create_directories(procfs());
  }
  ~Loading() override { std::filesystem::remove_all(root_); }

  std::string sysfs() const { return root_ + "/sys"; }
  std::string procfs() const { return root_ + "/proc"; }
  std::string file(const std::string& name, const std::string& text) {
    const std::string path = root_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
    return path;
  }
  void add_pci(const std::string& address, const std::string& vendor, const std::string& pci_class,
               const std::string& driver = "", const std::string& node = "-1") {
    const std::string at = "sys/bus/pci/devices/" + address + "/";
    file(at + "vendor", vendor + "\n");
    file(at + "class", pci_class + "\n");
    file(at + "numa_node", node + "\n");
    if (driver.empty()) return;
    std::filesystem::create_directories(sysfs() + "/bus/pci/drivers/" + driver);
    std::filesystem::create_directory_symlink("../../drivers/" + driver, root_ + "/" + at + "driver");
  }
  Status discover(const std::string& library) {
    CallMeter calls(real_clock());
    const auto collector =
        make_nvml_collector({calls, real_clock(), {{"library", library}, {"sysfs", sysfs()}, {"procfs", procfs()}}});
    const auto catalog = collector->discover();
    return catalog ? Status() : catalog.error();
  }

  std::string root_;
};

TEST_F(Loading, NoLibraryAndNoDevice) {
  const Status status = discover("libaccelmon-not-there.so.1");
  EXPECT_EQ(status.code(), Code::absent);
  EXPECT_EQ(status.message(), "libaccelmon-not-there.so.1 is not installed; no NVIDIA device on the PCI bus");
}

TEST_F(Loading, NoLibraryAndADeviceWithoutDriver) {
  add_pci("0000:83:00.0", "0x10de", "0x030200");
  const Status status = discover("libaccelmon-not-there.so.1");
  EXPECT_EQ(status.code(), Code::absent);
  EXPECT_THAT(status.message(), HasSubstr("1 NVIDIA device on the PCI bus (0000:83:00.0) has no driver: install the "
                                          "NVIDIA driver"));
}

TEST_F(Loading, NoLibraryThoughTheKernelDriverRuns) {
  add_pci("0000:83:00.0", "0x10de", "0x030200", "nvidia");
  file("proc/driver/nvidia/version",
       "NVRM version: NVIDIA UNIX x86_64 Kernel Module  590.48.01  Mon\nGCC version: 12\n");
  const Status status = discover("libaccelmon-not-there.so.1");
  EXPECT_THAT(status.message(), HasSubstr("has the driver nvidia: the kernel driver is loaded"));
  EXPECT_EQ(nvml::kernel_driver_version(procfs()), "590.48.01");
}

TEST_F(Loading, NeitherAProgramNorATextIsALibrary) {
  EXPECT_EQ(discover("/proc/self/exe").code(), Code::invalid);
  const std::string path = file("libnvidia-ml.so.1", "this is no library\n");
  const Status status = discover(path);
  EXPECT_EQ(status.code(), Code::invalid);
  EXPECT_THAT(status.message(), HasSubstr(path));
}

TEST_F(Loading, AnotherLibraryIsNotNvml) {
  const Status status = discover("libz.so.1");
  EXPECT_EQ(status.code(), Code::invalid);
  EXPECT_THAT(status.message(), HasSubstr("is not NVIDIA's management library"));
  EXPECT_THAT(status.message(), HasSubstr("nvmlInit_v2"));
}

TEST_F(Loading, PciDevicesOfNvidiaAlone) {
  add_pci("0000:00:02.0", "0x8086", "0x030000", "i915");
  add_pci("0000:83:00.0", "0x10de", "0x030200", "nvidia", "1");
  add_pci("0000:83:00.1", "0x10de", "0x040300", "snd_hda_intel");  // its sound
  add_pci("0000:03:00.0", "0x10de", "0x030000", "vfio-pci");
  const std::vector<PciDevice> devices = nvml::nvidia_pci_devices(sysfs());
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].address, "0000:03:00.0");
  EXPECT_EQ(devices[0].driver, "vfio-pci");
  EXPECT_EQ(devices[1].driver, "nvidia");
  EXPECT_EQ(nvml::describe(devices),
            "2 NVIDIA devices on the PCI bus (0000:03:00.0, 0000:83:00.0) have different drivers");
  EXPECT_EQ(nvml::numa_node(sysfs(), "0000:83:00.0"), 1);
  EXPECT_EQ(nvml::numa_node(sysfs(), "0000:03:00.0"), std::nullopt);
  EXPECT_EQ(nvml::numa_node(sysfs(), "0000:ff:00.0"), std::nullopt);
}

TEST_F(Loading, ManyDevicesAreCutShort) {
  for (const char* bus : {"01", "02", "03", "04", "05", "06"})
    add_pci(std::string("0000:") + bus + ":00.0", "0x10de", "0x030200", "nouveau");
  EXPECT_THAT(nvml::describe(nvml::nvidia_pci_devices(sysfs())), HasSubstr("and 2 more) have the driver nouveau"));
}

TEST(PciAddress, BothForms) {
  EXPECT_EQ(nvml::pci_address("00000000:83:00.0"), "0000:83:00.0");
  EXPECT_EQ(nvml::pci_address("0000:83:00.0"), "0000:83:00.0");
  EXPECT_EQ(nvml::pci_address("00010000:0A:1F.7"), "10000:0a:1f.7");
  for (const char* wrong : {"", ":", "83:00.0", "0000:83:00", "0000:8g:00.0", "0000:83:00.9", "0000:83:20.0",
                            "0000:183:00.0", "x.y:z", "0000:83.0:0", "..::", "100000000:83:00.0"})
    EXPECT_EQ(nvml::pci_address(std::string_view(wrong)), std::nullopt) << wrong;
}

TEST(PciAddress, FromNumbersWhereTheTextIsNone) {
  nvml::PciInfo info{};
  info.domain = 1;
  info.bus = 0x3b;
  info.device = 2;
  EXPECT_EQ(nvml::pci_address(info), "0001:3b:02.0");
  std::fill(std::begin(info.bus_id), std::end(info.bus_id), 'x');  // not even ended
  EXPECT_EQ(nvml::pci_address(info), "0001:3b:02.0");
}

TEST(KernelDriver, VersionWithoutAFile) {
  EXPECT_EQ(nvml::kernel_driver_version("/nonexistent"), "");
}

}  // namespace
}  // namespace accelmon
