// The collector over files in the format of /dev/kmsg, and over a made-up device.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>

#include "base/counted_new_for_test.h"
#include "collectors/collector_rig_for_test.h"
#include "collectors/kernel_log/kernel_log_internal.h"

namespace accelmon::kernel_log {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// What the device answers to each read: a record, or an errno. Nothing left: EAGAIN.
struct Answer {
  std::string record;
  int error = 0;
};
std::deque<Answer> g_answers;
int g_open_error = 0;
Nanos g_suspended = 0;

int fake_open(const char*) {
  errno = g_open_error;
  return g_open_error != 0 ? -1 : ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}
ssize_t fake_read(int, void* out, size_t size) {
  if (g_answers.empty()) {
    errno = EAGAIN;
    return -1;
  }
  const Answer answer = std::move(g_answers.front());
  g_answers.pop_front();
  if (answer.error != 0) {
    errno = answer.error;
    return -1;
  }
  const size_t n = std::min(size, answer.record.size());
  std::memcpy(out, answer.record.data(), n);
  return static_cast<ssize_t>(n);
}

struct KernelLog : testing::Test, for_test::TemporaryTree, for_test::CollectorRig {
  KernelLog() : TemporaryTree("kmsg") {
    g_answers.clear();
    g_open_error = 0;
    g_suspended = 0;
    options = {{"procfs", (root / "proc").string()}, {"sysfs", (root / "sys").string()}};
    clock.advance(1000 * kSecond);
  }
  ~KernelLog() override { collector.reset(); }
  void write(const std::string& path, const std::string& text, bool append = false) {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path, append ? std::ios::app : std::ios::trunc) << text;
  }
  // A record of `at` seconds since boot; 0: now.
  std::string record(const std::string& text, uint64_t at = 0) {
    if (at == 0) at = static_cast<uint64_t>(clock.monotonic() / kSecond);
    return "3," + std::to_string(++sequence) + "," + std::to_string(at * 1'000'000) + ",-;" + text + "\n";
  }
  void says(const std::string& text, uint64_t at = 0) { g_answers.push_back({record(text, at), 0}); }

  Result<Catalog> discover(bool real = false) {
    if (collector == nullptr) {
      KernelLogSystem system;
      if (!real) system.kmsg = {&fake_open, &fake_read};
      system.suspended = [] { return g_suspended; };
      collector = make_collector(CollectorContext{calls, clock, options}, system);
    }
    return CollectorRig::discover();
  }
  PollResult poll() {
    events.clear();
    return collector->poll(PollRequest{7}, frame, events);
  }
  double count(const std::string& device, const std::string& code) const {
    for (size_t d = 0; d < catalog.devices.size(); ++d) {
      if (catalog.devices[d].id != device) continue;
      const int i = find_series(catalog, MetricId::events, static_cast<int>(d), {{AttributeId::event_code, code}});
      return i < 0 ? -1 : frame.values[static_cast<size_t>(i)];
    }
    return -2;
  }

  std::map<std::string, std::string, std::less<>> options;
  int sequence = 0;
};

constexpr const char* kXid79 = "NVRM: Xid (PCI:0000:18:00): 79, pid=1, GPU has fallen off the bus.";
constexpr const char* kXid31 = "NVRM: Xid (PCI:0000:18:00): 31, pid=1, MMU Fault";

TEST_F(KernelLog, AnEventIsToldAndCounted) {
  ASSERT_TRUE(discover());
  EXPECT_TRUE(catalog.devices.empty());
  EXPECT_EQ(poll(), PollResult::ok);
  says("usb 1-1: new device");
  says(kXid79);
  EXPECT_EQ(poll(), PollResult::rediscover);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].code, "xid:79");
  EXPECT_EQ(events[0].severity, Severity::critical);
  EXPECT_EQ(events[0].device_id, "0000:18:00.0");
  EXPECT_EQ(events[0].wall, clock.wall());
  ASSERT_TRUE(discover());
  ASSERT_EQ(catalog.devices.size(), 1u);
  EXPECT_EQ(catalog.devices[0].vendor, "nvidia");
  EXPECT_EQ(catalog.devices[0].type, DeviceType::gpu);
  EXPECT_THAT(catalog.devices[0].info, testing::ElementsAre(Attribute{AttributeId::pci_address, "0000:18:00.0"}));
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_TRUE(events.empty());
  EXPECT_EQ(count("0000:18:00.0", "xid:79"), 1);
  says(kXid79);
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(count("0000:18:00.0", "xid:79"), 2);
}

TEST_F(KernelLog, HistoryIsCountedAndToldWithItsTime) {
  says(kXid31, 500);
  says(kXid79, 1000);
  ASSERT_TRUE(discover());
  poll();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].wall, clock.wall() - (clock.monotonic() - 500 * kSecond));
  EXPECT_EQ(count("0000:18:00.0", "xid:31"), 1);
  EXPECT_THAT(catalog.facts, testing::Contains(testing::Pair("history", HasSubstr("2 events"))));
  poll();
  EXPECT_TRUE(events.empty()) << "told once";
}

TEST_F(KernelLog, HistoryOfUnknownTimeIsLeftOut) {
  g_suspended = 3600 * kSecond;
  says(kXid31, 500);
  ASSERT_TRUE(discover());
  EXPECT_TRUE(catalog.devices.empty());
  EXPECT_THAT(catalog.facts, testing::Contains(testing::Pair("history", HasSubstr("1 are left out"))));
  poll();
  EXPECT_TRUE(events.empty());
  says(kXid31, 500);
  EXPECT_EQ(poll(), PollResult::rediscover) << "what comes now is of now";
  collector.reset();
  g_suspended = 0;
  says(kXid31, 5000);
  ASSERT_TRUE(discover());
  EXPECT_TRUE(catalog.devices.empty()) << "of the future: another clock";
}

TEST_F(KernelLog, DevicesHaveTheIdsOfTheOtherCollectors) {
  write("proc/driver/nvidia/gpus/0000:18:00.0/information",
        "Model: \t\t H100\nGPU UUID: \t GPU-aaaa-bbbb\nBus Type: PCIe\n");
  write("sys/bus/pci/devices/0000:83:00.0/unique_id", "1a2b3c4d5e6f7081\n");
  write("sys/bus/pci/devices/0000:84:00.0/unique_id", "0000000000000000\n");
  ASSERT_TRUE(discover());
  says(kXid79);
  says("NVRM: GPU at PCI:0000:19:00: GPU-1c6b5ab4-0000-1111-2222-333344445555");
  says("NVRM: Xid (PCI:0000:19:00): 48, pid=1");
  says("amdgpu 0000:83:00.0: amdgpu: GPU reset begin!");
  says("amdgpu 0000:84:00.0: amdgpu: GPU reset begin!");
  says("xe 0000:4d:00.0: [drm] GT0: reset started");
  says("nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 28006, Non-fatal, Link 46");
  EXPECT_EQ(poll(), PollResult::rediscover);
  std::vector<std::string> ids;
  for (const Event& event : events) ids.push_back(event.device_id);
  EXPECT_THAT(ids, testing::ElementsAre("GPU-aaaa-bbbb", "GPU-1c6b5ab4-0000-1111-2222-333344445555",
                                        "amd-1a2b3c4d5e6f7081", "0000:84:00.0", "0000:4d:00.0", "0000:c1:00.0"));
  ASSERT_TRUE(discover());
  poll();
  EXPECT_EQ(count("amd-1a2b3c4d5e6f7081", "amdgpu:reset_begin"), 1);
  EXPECT_EQ(count("0000:4d:00.0", "xe:gt_reset"), 1);
  EXPECT_EQ(count("0000:c1:00.0", "sxid:28006"), 1);
  for (const Device& device : catalog.devices)
    EXPECT_EQ(device.type == DeviceType::network, device.id == "0000:c1:00.0") << "a switch is no GPU";
}

TEST_F(KernelLog, OneIdAtTwoAddressesIsNotShownTwice) {
  write("sys/bus/pci/devices/0000:83:00.0/unique_id", "1\n");
  write("sys/bus/pci/devices/0000:84:00.0/unique_id", "1\n");
  ASSERT_TRUE(discover());
  says("amdgpu 0000:83:00.0: amdgpu: GPU reset begin!");
  says("amdgpu 0000:84:00.0: amdgpu: GPU reset begin!");
  poll();
  ASSERT_TRUE(discover());  // validates
  EXPECT_EQ(catalog.devices.size(), 2u);
}

TEST_F(KernelLog, OverrunsAreCountedAndReadingGoesOn) {
  ASSERT_TRUE(discover());
  g_answers.push_back({"", EPIPE});
  says(kXid79);
  EXPECT_EQ(poll(), PollResult::rediscover);
  EXPECT_EQ(events.size(), 1u);
  EXPECT_EQ(calls.errors().at("EPIPE"), 1u);
  g_answers.push_back({"", EIO});
  EXPECT_EQ(poll(), PollResult::lost);
  EXPECT_EQ(calls.errors().at("EIO"), 1u);
}

TEST_F(KernelLog, RefusalsSayWhatHelps) {
  g_open_error = EPERM;
  Result<Catalog> found = discover();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::no_permission);
  EXPECT_THAT(found.error().message(), HasSubstr("CAP_SYSLOG"));
  g_open_error = ENOENT;
  found = discover();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::absent);
  g_open_error = 0;
  g_answers.push_back({"", EPERM});
  found = discover();
  ASSERT_FALSE(found) << "some kernels open and then refuse to be read";
  EXPECT_EQ(found.error().code(), Code::no_permission);
  EXPECT_TRUE(discover());
}

TEST_F(KernelLog, AFloodIsBounded) {
  ASSERT_TRUE(discover());
  for (int i = 0; i < 3000; ++i) says(kXid31);
  EXPECT_EQ(poll(), PollResult::rediscover);
  EXPECT_EQ(events.size(), 100u);
  EXPECT_EQ(calls.errors().at("events not told"), 1900u);
  EXPECT_EQ(g_answers.size(), 1000u) << "the rest waits";
  ASSERT_TRUE(discover());
  poll();
  EXPECT_EQ(count("0000:18:00.0", "xid:31"), 3000);
  for (int i = 0; i < 1000; ++i) says("NVRM: Xid (PCI:0000:18:00): " + std::to_string(1000 + i) + ", x");
  for (int i = 0; i < 600; ++i) {
    char line[80];
    std::snprintf(line, sizeof line, "NVRM: Xid (PCI:%04x:18:00): 31, x", i);
    says(line);
  }
  poll();
  ASSERT_TRUE(discover());
  EXPECT_LE(catalog.devices.size(), 256u);
  EXPECT_LE(catalog.series.size(), 256u + 64u);
}

TEST_F(KernelLog, GarbageIsCountedAndSkipped) {
  ASSERT_TRUE(discover());
  g_answers.push_back({std::string("no record\n\0\xff\n", 13), 0});
  g_answers.push_back({"3,1,1,-;" + std::string(16 * 1024 - 8, 'x'), 0});
  g_answers.push_back({std::string(100, 'y') + "\n", 0});
  says(kXid79);
  poll();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(calls.errors().at("parse"), 2u);
  EXPECT_EQ(calls.errors().at("too long"), 1u);
}

TEST_F(KernelLog, AFileInItsFormatIsFollowed) {
  options["path"] = (root / "kmsg").string();
  write("kmsg", record("first") + " DEVICE=+pci:0000:01:00.0\n" + record(kXid31, 10) + record("half"));
  ASSERT_TRUE(discover(true));
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(events.size(), 1u);
  const std::string line = record(kXid79);
  write("kmsg", line.substr(0, 30), true);
  EXPECT_EQ(poll(), PollResult::ok) << "half a line is none";
  write("kmsg", line.substr(30), true);
  EXPECT_EQ(poll(), PollResult::rediscover);
  EXPECT_EQ(events.size(), 1u);
  EXPECT_EQ(calls.errors().count("parse"), 0u);
}

TEST_F(KernelLog, ReleaseClosesAndForgets) {
  says(kXid31, 500);
  ASSERT_TRUE(discover());
  collector->release();
  says(kXid31, 500);
  ASSERT_TRUE(discover());
  poll();
  EXPECT_EQ(count("0000:18:00.0", "xid:31"), 1) << "read anew from the ring, not added";
}

TEST_F(KernelLog, APollWithoutNewsAllocatesNothing) {
  says(kXid31, 500);
  options["path"] = (root / "kmsg").string();
  write("kmsg", record(kXid31, 10));
  ASSERT_TRUE(discover(true));
  poll();
  write("kmsg", record("usb 1-1: nothing of interest"), true);
  const uint64_t before = counted_new::allocations;
  const PollResult result = collector->poll(PollRequest{1}, frame, events);
  EXPECT_EQ(counted_new::allocations - before, 0u);
  EXPECT_EQ(result, PollResult::ok);
}

}  // namespace
}  // namespace accelmon::kernel_log
