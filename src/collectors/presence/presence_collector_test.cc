#include "collectors/presence/presence_collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/counted_new_for_test.h"
#include "collectors/collector_rig_for_test.h"
#include "model/catalog.h"

namespace accelmon {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;

struct Presence : testing::Test, for_test::TemporaryTree, for_test::CollectorRig {
  Presence() : TemporaryTree("presence") {}
  ~Presence() override { collector.reset(); }
  fs::path folder(const std::string& address) const { return root / "bus/pci/devices" / address; }
  void plant(const std::string& address, const std::string& vendor, const std::string& device,
             const std::string& driver, const std::string& kind = "0x030200") {
    write(folder(address) / "vendor", vendor + "\n");
    write(folder(address) / "device", device + "\n");
    write(folder(address) / "class", kind + "\n");
    write(folder(address) / "config", std::string("\xde\x10\x30\x23", 4) + std::string(60, '\0'));
    bind(address, driver);
  }
  void bind(const std::string& address, const std::string& driver) {
    fs::remove(folder(address) / "driver");
    if (!driver.empty()) fs::create_symlink("../../../bus/pci/drivers/" + driver, folder(address) / "driver");
  }
  Result<Catalog> discover() {
    if (collector == nullptr) collector = make_presence_collector({calls, clock, {{"sysfs", root.string()}}});
    return CollectorRig::discover();
  }
  // The reason that is 1, which is the only one; and the status.
  std::string said(const std::string& id) const {
    std::string text;
    for (size_t i = 0; i < catalog.series.size(); ++i) {
      const Series& series = catalog.series[i];
      if (series.device != device(id) || series.attributes.empty()) continue;
      EXPECT_EQ(frame.states[i], State::ok);
      if (frame.values[i] != 0) text += (text.empty() ? "" : " ") + series.attributes[0].value;
    }
    return text;
  }
};

TEST_F(Presence, SaysWhyEachMayNotBeRead) {
  plant("0000:01:00.0", "0x10de", "0x2330", "nvidia");
  plant("0000:02:00.0", "0x10de", "0x2330", "");
  plant("0000:03:00.0", "0x1002", "0x74a1", "vfio-pci", "0x120000");
  plant("0000:04:00.0", "0x8086", "0xe20b", "xen-pciback", "0x038000");
  plant("0000:05:00.0", "0x10de", "0x2330", "nvidia");
  write(folder("0000:05:00.0") / "config", std::string(64, '\xff'));
  plant("0000:06:00.0", "0x1a03", "0x2000", "ast", "0x030000");
  write(folder("0000:01:00.0") / "numa_node", "1\n");
  write(root / "module/nvidia/version", "550.54\n");
  ASSERT_TRUE(discover()) << error.message();
  ASSERT_EQ(catalog.devices.size(), 5u);
  const Device& first = catalog.devices[0];
  EXPECT_EQ(first.type, DeviceType::gpu);
  EXPECT_EQ(first.vendor, "nvidia");
  EXPECT_EQ(first.model, "NVIDIA H100 SXM5 80GB");
  EXPECT_EQ(first.index, "0");
  EXPECT_THAT(first.info, Contains(Attribute{AttributeId::pci_address, "0000:01:00.0"}));
  EXPECT_THAT(first.info, Contains(Attribute{AttributeId::numa_node, "1"}));
  EXPECT_THAT(first.info, Contains(Attribute{AttributeId::hw_driver_version, "nvidia 550.54"}));
  EXPECT_EQ(catalog.devices[2].index, "0");  // of its own vendor
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(said("0000:01:00.0"), "driver_silent failed");
  EXPECT_EQ(said("0000:02:00.0"), "no_driver failed");
  EXPECT_EQ(said("0000:03:00.0"), "passed_through ok");
  EXPECT_EQ(said("0000:04:00.0"), "passed_through ok");
  EXPECT_EQ(said("0000:05:00.0"), "off_the_bus failed");
  EXPECT_TRUE(events.empty());
}

TEST_F(Presence, WhatLeavesIsRememberedAndWelcomedBack) {
  plant("0000:01:00.0", "0x10de", "0x2330", "nvidia");
  plant("0000:02:00.0", "0x10de", "0x2330", "nvidia");
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
  fs::rename(folder("0000:01:00.0"), root / "aside");
  EXPECT_EQ(poll(1), PollResult::ok);  // not at every tick
  EXPECT_EQ(poll(), PollResult::rediscover);
  EXPECT_EQ(said("0000:01:00.0"), "gone failed");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].code, "device_gone");
  ASSERT_TRUE(discover());
  ASSERT_EQ(catalog.devices.size(), 2u);
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(said("0000:01:00.0"), "gone failed");
  EXPECT_EQ(said("0000:02:00.0"), "driver_silent failed");
  collector->release();
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(said("0000:01:00.0"), "gone failed");
  fs::rename(root / "aside", folder("0000:01:00.0"));
  EXPECT_EQ(poll(), PollResult::rediscover);
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(said("0000:01:00.0"), "driver_silent failed");
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].code, "device_back");

  fs::remove_all(folder("0000:01:00.0"));
  fs::remove_all(folder("0000:02:00.0"));
  poll();
  ASSERT_TRUE(discover());  // nothing is left, and that is what it says
  poll();
  EXPECT_EQ(said("0000:02:00.0"), "gone failed");
}

TEST_F(Presence, FollowsDriversAndFallsFromTheBus) {
  plant("0000:01:00.0", "0x10de", "0x2330", "");
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
  bind("0000:01:00.0", "nvidia");
  EXPECT_EQ(poll(), PollResult::rediscover);
  EXPECT_EQ(said("0000:01:00.0"), "driver_silent failed");
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
  // Another driver for the same reason is news for those who read its name.
  bind("0000:01:00.0", "nouveau");
  EXPECT_EQ(poll(), PollResult::rediscover);
  ASSERT_TRUE(discover());
  EXPECT_THAT(catalog.devices[0].info, Contains(Attribute{AttributeId::hw_driver_version, "nouveau"}));
  EXPECT_EQ(poll(), PollResult::ok);
  write(folder("0000:01:00.0") / "config", std::string(64, '\xff'));
  EXPECT_EQ(poll(), PollResult::rediscover);
  EXPECT_EQ(said("0000:01:00.0"), "off_the_bus failed");
  EXPECT_EQ(events.back().code, "device_off_the_bus");
  EXPECT_EQ(events.size(), 1u);
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
}

// To read the registers of a device in its deepest sleep wakes it.
TEST_F(Presence, ASleepingDeviceIsNotAsked) {
  plant("0000:01:00.0", "0x10de", "0x2330", "nvidia");
  write(folder("0000:01:00.0") / "power/runtime_status", "suspended\n");
  write(folder("0000:01:00.0") / "config", std::string(64, '\xff'));
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(said("0000:01:00.0"), "driver_silent failed");
  for (const CallStats& call : calls.calls()) {
    if (call.name == "PCI config") {
      EXPECT_EQ(call.calls, 0u);
    }
  }
  write(folder("0000:01:00.0") / "power/runtime_status", "active\n");
  EXPECT_EQ(poll(), PollResult::rediscover);
  EXPECT_EQ(said("0000:01:00.0"), "off_the_bus failed");
}

TEST_F(Presence, AVendorThatCannotBeReadHasFallenOffTheBus) {
  plant("0000:01:00.0", "0x10de", "0x2330", "nvidia");
  plant("0000:02:00.0", "0x10de", "0x2330", "nvidia");
  ASSERT_TRUE(discover());
  poll();
  write(folder("0000:01:00.0") / "vendor", "0xffffffff0000\n");
  bind("0000:02:00.0", "");
  EXPECT_EQ(poll(), PollResult::rediscover);
  ASSERT_TRUE(discover());
  ASSERT_EQ(catalog.devices.size(), 2u);
  poll();
  EXPECT_EQ(said("0000:01:00.0"), "off_the_bus failed");
  EXPECT_EQ(said("0000:02:00.0"), "no_driver failed");
}

TEST_F(Presence, SaysWhenThereIsNothing) {
  EXPECT_FALSE(discover());
  EXPECT_EQ(error.code(), Code::absent);
  EXPECT_THAT(error.message(), HasSubstr("cannot be seen"));
  plant("0000:06:00.0", "0x1a03", "0x2000", "ast", "0x030000");
  EXPECT_FALSE(discover());
  EXPECT_EQ(error.code(), Code::absent);
  EXPECT_THAT(error.message(), HasSubstr("no accelerator"));
}

TEST_F(Presence, PollsAllocateNothing) {
  plant("0000:01:00.0", "0x10de", "0x2330", "nvidia");
  write(folder("0000:01:00.0") / "power/runtime_status", "active\n");
  plant("0000:02:00.0", "0x1002", "0x74a1", "vfio-pci", "0x120000");
  ASSERT_TRUE(discover());
  poll();
  const uint64_t before = counted_new::allocations;
  const PollResult result = poll();
  const uint64_t after = counted_new::allocations;
  EXPECT_EQ(result, PollResult::ok);
  EXPECT_EQ(after - before, 0u);
}

}  // namespace
}  // namespace accelmon
