// The simulated kernel: the shape of its tree, and what a reader of its files meets under each fault.
//
// Kernel itself is asked here, in this process; the library that stands in for the C library's calls is run by the
// collectors' tests. Kernel reads its variables once, so that each test runs in a child.
#include "simulator/kernel/kernel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

namespace accelmon::simulator {
namespace {

namespace fs = std::filesystem;

const std::string kMachine = R"([scenario]
name = "test"
[[amd]]
name = "Card"
memory.total_mib = 1000
metrics = "1.3"
pci.addresses = ["0000:03:00.0"]
pci.device_id = 0x744c
pci.generation = 4
utilization.gpu = { kind = "ramp", low = 0, high = 100, start = 0, end = 1000000 }
memory.used_mib = { kind = "ramp", low = 0, high = 1000, start = 0, end = 100 }
)";

TEST(KernelTreeGlob, MatchesTheEndFromANamesBeginning) {
  EXPECT_TRUE(matches_end("temp1_input", "sys/devices/x/hwmon/hwmon3/temp1_input"));
  EXPECT_TRUE(matches_end("hwmon*/temp?_input", "sys/devices/x/hwmon/hwmon3/temp1_input"));
  EXPECT_TRUE(matches_end("*_count", "a/b/umc_err_count"));
  EXPECT_FALSE(matches_end("emp1_input", "x/temp1_input"));
  EXPECT_FALSE(matches_end("temp1", "x/temp1_input"));
}

TEST(KernelTree, LinksLeadToFiles) {
  const ParseOutcome outcome = parse_scenario(kMachine);
  ASSERT_TRUE(outcome.scenario) << outcome.error;
  const fs::path root = fs::path(testing::TempDir()) / ("accelmon-tree-" + std::to_string(::getpid()));
  fs::create_directories(root);
  const KernelTree tree(*outcome.scenario);
  EXPECT_FALSE(tree.lay_out(root, *outcome.scenario));
  for (const auto& [path, target] : tree.links()) {
    // What hangs on a driver's folder is the driver's, which is no file of the tree.
    if (target.find("drivers/") != std::string::npos || target.find("bus/pci") != std::string::npos) continue;
    EXPECT_TRUE(fs::exists(root / path)) << path << " -> " << target;
  }
  EXPECT_EQ(fs::read_symlink(root / "sys/bus/pci/devices/0000:03:00.0/driver").filename(), "amdgpu");
  EXPECT_TRUE(fs::exists(root / "sys/class/drm/card0/device/gpu_busy_percent"));
  EXPECT_TRUE(fs::exists(root / "sys/class/drm/renderD128/device/vendor"));
  fs::remove_all(root);
}

class KernelFaults : public testing::Test {
 protected:
  // `body` in a child, with a tree of its own and `faults` from the beginning.
  void in_child(const std::string& faults, const std::function<void()>& body) {
    fflush(nullptr);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const fs::path folder = fs::path(testing::TempDir()) / ("accelmon-faults-" + std::to_string(::getpid()));
      root_ = folder / "root";
      scenario_ = folder / "machine.toml";
      fs::create_directories(root_);
      write(faults);
      const ParseOutcome outcome = parse_scenario(kMachine);
      (void)KernelTree(*outcome.scenario).lay_out(root_, *outcome.scenario);
      ::setenv("ACCELMON_SIM_ROOT", root_.c_str(), 1);
      ::setenv("ACCELMON_SCENARIO", scenario_.c_str(), 1);
      body();
      fs::remove_all(folder);
      fflush(nullptr);
      ::_exit(testing::Test::HasFailure() ? 1 : 0);
    }
    ASSERT_EQ(::waitpid(child, &status_, 0), child);
  }
  void expect_fine() const { EXPECT_TRUE(WIFEXITED(status_) && WEXITSTATUS(status_) == 0) << "see above"; }

  void write(const std::string& faults) const {
    std::ofstream(scenario_ + ".new") << kMachine << faults;
    fs::rename(scenario_ + ".new", scenario_);
  }

  static constexpr const char* kDevice = "sys/devices/pci0000:03/0000:03:00.0/";
  // Opens and registers as the preloaded library does. A negative errno where it fails.
  int open(const std::string& name) const {
    const std::string path = root_ + "/" + kDevice + name;
    Kernel& kernel = Kernel::get();
    if (!kernel.below_root(path.c_str())) return -ENOTDIR;
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    const int error = kernel.opened(fd);
    return error == 0 ? fd : -error;
  }
  static std::string read(int fd, off_t offset = 0) {
    char buffer[8192];
    const std::shared_ptr<OpenFile> file = Kernel::get().find(fd);
    if (!file) return "not ours";
    const ssize_t got = file->read(buffer, sizeof buffer, offset);
    return got < 0 ? "errno " + std::to_string(-got) : std::string(buffer, static_cast<size_t>(got));
  }

  std::string root_, scenario_;
  int status_ = 0;
};

std::string fault(const std::string& rest) {
  return "[[fault]]\nvendor = \"amd\"\n" + rest + "\n";
}

TEST_F(KernelFaults, AnswersAtTheTimeOfTheRead) {
  in_child("", [this] {
    const int fd = open("mem_info_vram_used");
    ASSERT_GE(fd, 0);
    const std::string first = read(fd);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const std::string second = read(fd);
    EXPECT_LT(std::stoull(first), std::stoull(second));
    // What goes on after offset 0 belongs to the reading before.
    EXPECT_EQ(read(fd, 3), second.substr(3));
    EXPECT_EQ(read(fd, 1000), "");
    Kernel::get().forget(fd);
    EXPECT_EQ(read(fd), "not ours");
    EXPECT_FALSE(Kernel::get().below_root("/sys/class/drm/card0"));
  });
  expect_fine();
}

TEST_F(KernelFaults, ErrorsAreErrnos) {
  in_child(fault("kind = \"error\"\ncode = \"EBUSY\"\nfile = \"gpu_busy_percent\"") +
               fault("kind = \"error\"\ncode = \"ENOENT\"\nfile = \"gpu_metrics\"") +
               fault("kind = \"error\"\ncode = \"EACCES\"\nfile = \"mem_info_vram_total\""),
           [this] {
             EXPECT_EQ(read(open("gpu_busy_percent")), "errno " + std::to_string(EBUSY));
             EXPECT_EQ(open("gpu_metrics"), -ENOENT);
             EXPECT_EQ(open("mem_info_vram_total"), -EACCES);
             EXPECT_GE(open("vendor"), 0);
           });
  expect_fine();
}

TEST_F(KernelFaults, AHangEndsWhenTheFileIsMended) {
  in_child(fault("kind = \"hang\"\nfile = \"gpu_busy_percent\""), [this] {
    const int fd = open("gpu_busy_percent");
    ASSERT_GE(fd, 0);
    std::atomic<bool> done{false};
    std::thread reader([&] {
      EXPECT_EQ(read(fd).back(), '\n');
      done = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_FALSE(done);
    // It holds up nobody else.
    EXPECT_EQ(read(open("mem_info_vram_total")), "1048576000\n");
    write("");
    reader.join();
  });
  expect_fine();
}

TEST_F(KernelFaults, FrozenStandsAndBackwardsFalls) {
  in_child(fault("kind = \"frozen\"\nfrom = 0"), [this] {
    const int fd = open("mem_info_vram_used");
    const std::string first = read(fd);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(read(fd), first);
  });
  expect_fine();
  in_child("", [this] {
    const int fd = open("mem_info_vram_used");
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const uint64_t before = std::stoull(read(fd));
    write(fault("kind = \"backwards\"\nfrom = 0.25"));
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    EXPECT_LT(std::stoull(read(fd)), before);
  });
  expect_fine();
}

TEST_F(KernelFaults, LostLeavesTheBusAndGoneTakesItAway) {
  in_child(fault("kind = \"lost\"\ndevice = 0"), [this] {
    EXPECT_EQ(read(open("vendor")), "0x1002\n");
    EXPECT_EQ(read(open("config")), std::string(64, '\xff'));
    EXPECT_EQ(read(open("gpu_busy_percent")), "errno " + std::to_string(ENODEV));
  });
  expect_fine();
  in_child(fault("kind = \"gone\"\ndevice = 0"), [this] {
    EXPECT_EQ(open("vendor"), -ENOENT);
    EXPECT_EQ(open("gpu_busy_percent"), -ENOENT);
  });
  expect_fine();
  in_child(fault("kind = \"driver_unloaded\""), [this] {
    EXPECT_EQ(read(open("vendor")), "0x1002\n");
    EXPECT_EQ(open("gpu_busy_percent"), -ENOENT);
  });
  expect_fine();
}

TEST_F(KernelFaults, GarbageAndACrash) {
  in_child(fault("kind = \"garbage\"\nfile = \"gpu_metrics\""), [this] {
    const int fd = open("gpu_metrics");
    const std::string first = read(fd);
    EXPECT_EQ(first.size(), 120u);
    EXPECT_NE(read(fd), first);
  });
  expect_fine();
  in_child(fault("kind = \"crash\"\nfile = \"gpu_busy_percent\""), [this] { (void)read(open("gpu_busy_percent")); });
  EXPECT_TRUE(WIFSIGNALED(status_) && WTERMSIG(status_) == SIGABRT);
}

TEST_F(KernelFaults, AFileOfADriverThatHasGoneStaysGone) {
  in_child("[[fault]]\nvendor = \"amd\"\nkind = \"driver_unloaded\"\nfrom = 0.2\nuntil = 0.3\n", [this] {
    const int fd = open("mem_info_vram_total");
    EXPECT_EQ(read(fd), "1048576000\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    EXPECT_EQ(read(fd), "errno " + std::to_string(ENODEV));
    EXPECT_EQ(read(open("mem_info_vram_total")), "1048576000\n") << "that of the driver that came";
  });
  expect_fine();
}

TEST_F(KernelFaults, ASentinelIsAllOnesBehindTheHeader) {
  in_child(fault("kind = \"sentinel\""), [this] {
    const std::string table = read(open("gpu_metrics"));
    EXPECT_EQ(table.size(), 120u);
    EXPECT_EQ(table.substr(0, 2), std::string("\x78\0", 2));  // its size, the header's first word
    EXPECT_EQ(table.find_first_not_of('\xff', 4), std::string::npos);
    EXPECT_EQ(read(open("gpu_busy_percent")), "4294967295\n");
  });
  expect_fine();
}

TEST_F(KernelFaults, OtherVendorsFaultsAreNotOurs) {
  in_child("[[fault]]\nkind = \"error\"\n[[fault]]\nvendor = \"intel\"\nkind = \"gone\"\n",
           [this] { EXPECT_EQ(read(open("mem_info_vram_total")), "1048576000\n"); });
  expect_fine();
}

TEST(Scenario, AmdDevicesAndFaultsAreChecked) {
  EXPECT_TRUE(parse_scenario(kMachine).scenario);
  EXPECT_NE(parse_scenario(kMachine + "colour = \"red\"\n").error.find("colour"), std::string::npos);
  EXPECT_NE(parse_scenario(kMachine + "xgmi.links = 9\n").error.find("xgmi.links"), std::string::npos);
  EXPECT_NE(parse_scenario(kMachine + fault("kind = \"gone\"\ndevice = 1")).error.find("device"), std::string::npos);
  EXPECT_NE(parse_scenario(kMachine + fault("kind = \"error\"\ncode = \"EWHAT\"")).error.find("EWHAT"),
            std::string::npos);
  EXPECT_NE(parse_scenario("[scenario]\nname = \"x\"\n[[amd]]\nname = \"y\"\nmemory.total_mib = 1\nmetrics = \"7.7\"\n")
                .error.find("metrics"),
            std::string::npos);
}

}  // namespace
}  // namespace accelmon::simulator
