// Calls into the built library as a reader makes them: dlopen, dlsym, our own declarations of the interface. For tests.
#pragma once

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "collectors/nvml/nvml_abi.h"

namespace accelmon::simulator {
using namespace accelmon::nvml;  // NOLINT: this is what the test is about

inline int64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

inline const std::string kHead = R"([scenario]
name = "library_test"
driver_version = "590.48.01"
cuda_version = "13.1"
)";

inline const std::string kBoard = R"([[device]]
name = "Board"
serial = "0042"
architecture = "hopper"
compute_capability = "9.0"
pci.addresses = ["00000001:1B:00.0"]
pci.device_id = 0x233010DE
pci.generation = 5
pci.width = 16
memory.total_mib = 80000
memory.reserved_mib = 500
memory.base_mib = 20
utilization.gpu = 60
utilization.memory = 20
power.limit_w = 700
power.idle_w = 100
power.busy_w = 600
power.energy_base_j = 5
temperature.gpu_c = 51
ecc.enabled = true
gpm.graphics = 60
gpm.sm = { kind = "sawtooth", low = 0, high = 50, period = 1000 }
pcie.tx = 1e9
pcie.rx = 2e9
pcie.counters = true
pcie.throughput_ms = 0
nvlink.links = 4
nvlink.version = 4
nvlink.mbps = 26562
nvlink.down = [1]
nvlink.tx = 3072000000
)";

// The library with the scenario of a test, whose time 0 lies `age` seconds back.
class LibraryTest : public testing::Test {
 protected:
  void SetUp() override { path_ = testing::TempDir() + "simulator_test_" + std::to_string(getpid()) + ".toml"; }
  void TearDown() override {
    close();
    unlink(path_.c_str());
    unsetenv("ACCELMON_SCENARIO");
    unsetenv("ACCELMON_SIM_EPOCH_NS");
  }

  void write(const std::string& text) const {
    std::ofstream(path_ + ".new") << text;
    ASSERT_EQ(rename((path_ + ".new").c_str(), path_.c_str()), 0);
  }
  // Until the library must have noticed.
  static void wait_for_reload() { std::this_thread::sleep_for(std::chrono::milliseconds(130)); }

  void open(const std::string& text, double age = 0) {
    write(text);
    load(age);
    ASSERT_EQ(call<fn::nvmlInit_v2>("nvmlInit_v2")(), kSuccess);
  }
  void load(double age = 0) {
    setenv("ACCELMON_SCENARIO", path_.c_str(), 1);
    setenv("ACCELMON_SIM_EPOCH_NS", std::to_string(monotonic_ns() - static_cast<int64_t>(age * 1e9)).c_str(), 1);
    library_ = dlopen(ACCELMON_SIMULATOR, RTLD_LAZY | RTLD_LOCAL);
    ASSERT_TRUE(library_) << dlerror();
  }
  void close() {
    if (!library_) return;
    while (call<fn::nvmlShutdown>("nvmlShutdown")() == kSuccess) {
    }
    dlclose(library_);
    library_ = nullptr;
  }

  template <class F>
  F* call(const char* name) {
    auto* const found = reinterpret_cast<F*>(dlsym(library_, name));
    EXPECT_TRUE(found) << name;
    return found;
  }
#define CALL(name) call<fn::name>(#name)

  DeviceHandle device(U32 index = 0) {
    DeviceHandle handle = nullptr;
    EXPECT_EQ(CALL(nvmlDeviceGetHandleByIndex_v2)(index, &handle), kSuccess);
    return handle;
  }
  FieldValue field(DeviceHandle handle, U32 id, U32 scope = 0) {
    FieldValue value{};
    value.field_id = id;
    value.scope_id = scope;
    EXPECT_EQ(CALL(nvmlDeviceGetFieldValues)(handle, 1, &value), kSuccess);
    return value;
  }

  void* library_ = nullptr;
  std::string path_;
};

}  // namespace accelmon::simulator
