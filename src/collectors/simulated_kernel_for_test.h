// For tests: a collector under the simulated kernel, in a process of its own.
//
// The kernel's library has to be there when a process starts. So a fixture derives from SimulatedKernel, whose tests
// are skipped when they run directly, and a parameterized test calls run_under_simulated_kernel() with the name of
// each: it starts this program again with the library, for that test alone.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "collectors/collector_rig_for_test.h"

namespace accelmon::for_test {

inline const std::string kSimulatorFolder = ACCELMON_BUILD_DIR "/lib/accelmon/simulator/";

class SimulatedKernel : public testing::Test, protected CollectorRig {
 protected:
  using Make = std::unique_ptr<Collector> (*)(CollectorContext);
  explicit SimulatedKernel(Make make) : CollectorRig(real_clock()), make_(make) {}

  void SetUp() override {
    root_ = environment("ACCELMON_SIM_ROOT");
    scenario_ = environment("ACCELMON_SCENARIO");
    if (root_.empty()) GTEST_SKIP() << "run_under_simulated_kernel() runs it";
  }

  // A machine of these tables of a scenario, or one that is shipped.
  void machine(const std::string& devices) { begin("[scenario]\nname = \"test\"\n" + devices); }
  void shipped(const std::string& name) {
    std::ifstream in(std::string(ACCELMON_SOURCE_DIR "/simulator/scenarios/") + name + ".toml");
    std::stringstream text;
    text << in.rdbuf();
    begin(text.str());
  }

  // Faults come and go by writing the file again; the kernel looks at it every 100 ms.
  void write(const std::string& faults) {
    std::ofstream(scenario_ + ".new") << devices_ << faults;
    std::filesystem::rename(scenario_ + ".new", scenario_);
    pause(150);
  }
  static void pause(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

  std::string root_, devices_;

 private:
  static std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
  }
  void begin(const std::string& devices) {
    devices_ = devices;
    write("");
    const std::string command =
        "LD_PRELOAD= ASAN_OPTIONS= '" + kSimulatorFolder + "lay-out-tree' '" + scenario_ + "' '" + root_ + "'";
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    collector = make_(CollectorContext{
        calls, real_clock(), {{"sysfs", root_ + "/sys"}, {"procfs", root_ + "/proc"}, {"devfs", root_ + "/dev"}}});
  }

  const Make make_;
  std::string scenario_;
};

// `test`: "Fixture.Name".
inline void run_under_simulated_kernel(const std::string& test) {
  const std::string library = kSimulatorFolder + "libaccelmon-kernel.so";
  if (!std::filesystem::exists(library)) GTEST_SKIP() << library << " is not built";
  const TemporaryTree folder("simulated");
  std::filesystem::create_directories(folder.root / "root");
  char self[4096];
  const ssize_t n = ::readlink("/proc/self/exe", self, sizeof self);
  ASSERT_GT(n, 0);
  const std::string command =
      "cd / && LD_PRELOAD='" + library + "' ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0 ACCELMON_SIM_ROOT='" +
      (folder.root / "root").string() + "' ACCELMON_SCENARIO='" + (folder.root / "machine.toml").string() + "' exec '" +
      std::string(self, static_cast<size_t>(n)) + "' --gtest_filter='" + test + "' 2>&1";
  FILE* const pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string said;
  char buffer[4096];
  for (size_t got = 0; (got = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;) said.append(buffer, got);
  const int status = ::pclose(pipe);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << said;
  EXPECT_NE(said.find("[  PASSED  ] 1 test"), std::string::npos) << said;
}

}  // namespace accelmon::for_test
