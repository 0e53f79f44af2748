#include "agent/event_log.h"

#include <gtest/gtest.h>

namespace accelmon {
namespace {

constexpr Nanos kStart = 1'700'000'000 * kSecond;

struct EventLogTest : testing::Test {
  bool tell(std::string_view source, Nanos at, const std::string& device, const std::string& code, Nanos late = 0) {
    return log.add(source, Event{kStart + at, Severity::warning, device, code, code}, kStart + at + late);
  }
  const EventLog::Entry& entry(const std::string& code) const {
    for (const EventLog::Entry& one : log.entries())
      if (one.event.code == code) return one;
    ADD_FAILURE() << code << " is not there";
    static const EventLog::Entry none;
    return none;
  }
  EventLog log;
};

TEST_F(EventLogTest, TheRootIsTheFirstThatDoesNotFollowAnother) {
  EXPECT_TRUE(tell("nvml", 0, "GPU-1", "xid:94"));
  EXPECT_TRUE(entry("xid:94").root) << "alone it is all that is known";
  EXPECT_TRUE(tell("nvml", kSecond, "GPU-1", "xid:48"));
  EXPECT_TRUE(tell("nvml", 2 * kSecond, "GPU-1", "xid:45"));
  EXPECT_TRUE(tell("nvml", 100 * kSecond, "GPU-1", "xid:63"));
  EXPECT_FALSE(entry("xid:94").root);
  EXPECT_TRUE(entry("xid:48").root);
  EXPECT_FALSE(entry("xid:63").root);
  for (const auto& one : log.entries()) EXPECT_EQ(one.burst, entry("xid:48").burst);
}

TEST_F(EventLogTest, ThreeMinutesOfSilenceEndABurst) {
  tell("nvml", 0, "GPU-1", "xid:48");
  tell("nvml", 179 * kSecond, "GPU-1", "xid:63");
  tell("nvml", 179 * kSecond + 180 * kSecond, "GPU-1", "xid:79");
  tell("nvml", 179 * kSecond, "GPU-2", "xid:31");
  EXPECT_EQ(entry("xid:48").burst, entry("xid:63").burst);
  EXPECT_NE(entry("xid:48").burst, entry("xid:79").burst);
  EXPECT_TRUE(entry("xid:79").root);
  EXPECT_NE(entry("xid:31").burst, entry("xid:48").burst) << "another device";
}

TEST_F(EventLogTest, TwoSourcesOfOneXidAreOneEvent) {
  EXPECT_TRUE(tell("nvml", 0, "GPU-1", "xid:79"));
  EXPECT_FALSE(tell("kernel_log", 4 * kSecond, "GPU-1", "xid:79"));
  EXPECT_EQ(entry("xid:79").times, 1u);
  EXPECT_EQ(entry("xid:79").source, "nvml");
  EXPECT_TRUE(tell("kernel_log", 4 * kSecond, "GPU-2", "xid:79"));
  EXPECT_TRUE(tell("kernel_log", 4 * kSecond, "GPU-1", "xid:48"));
  EXPECT_TRUE(tell("kernel_log", 11 * kSecond, "GPU-1", "xid:79")) << "too late to be the same";
}

TEST_F(EventLogTest, RepeatsOfOneSourceAreCounted) {
  for (int i = 0; i < 4; ++i) tell("nvml", i * 3 * kSecond, "GPU-1", "xid:31");
  ASSERT_EQ(log.entries().size(), 1u);
  EXPECT_EQ(log.entries()[0].times, 4u);
}

TEST_F(EventLogTest, HistoryToldAgainIsNotCounted) {
  tell("kernel_log", 0, "0000:18:00.0", "xid:31", 3600 * kSecond);
  tell("kernel_log", 0, "0000:18:00.0", "xid:31", 7200 * kSecond);
  ASSERT_EQ(log.entries().size(), 1u);
  EXPECT_EQ(log.entries()[0].times, 1u);
}

TEST_F(EventLogTest, HistoryToldAgainMayHaveDrifted) {
  tell("kernel_log", 0, "GPU-1", "xid:31");
  EXPECT_FALSE(tell("kernel_log", 100 * kSecond, "GPU-1", "xid:31", 3600 * kSecond));
  EXPECT_TRUE(tell("kernel_log", 100 * kSecond, "GPU-1", "xid:31")) << "live it is another one";
}

TEST_F(EventLogTest, HistoryIsPutWhereItHappenedAndJoinsBursts) {
  tell("nvml", 0, "GPU-1", "xid:48");
  tell("nvml", 300 * kSecond, "GPU-1", "xid:79");
  EXPECT_NE(entry("xid:48").burst, entry("xid:79").burst);
  tell("kernel_log", 150 * kSecond, "GPU-1", "xid:119", 1000 * kSecond);
  EXPECT_EQ(log.entries()[1].event.code, "xid:119");
  EXPECT_EQ(entry("xid:48").burst, entry("xid:79").burst);
  EXPECT_TRUE(entry("xid:48").root);
  EXPECT_FALSE(entry("xid:79").root);
}

TEST_F(EventLogTest, AnAddressIsUnderstoodAsTheDeviceAtIt) {
  tell("kernel_log", 0, "0000:18:00.0", "xid:31");
  Catalog catalog;
  catalog.devices.push_back({.id = "GPU-1", .info = {{AttributeId::pci_address, "0000:18:00.0"}}});
  catalog.devices.push_back({.id = "MIG-1", .parent = 0, .info = {{AttributeId::pci_address, "0000:18:00.0"}}});
  log.learn(catalog);
  EXPECT_EQ(log.entries()[0].event.device_id, "GPU-1");
  EXPECT_FALSE(tell("nvml", kSecond, "GPU-1", "xid:31"));
  EXPECT_TRUE(tell("kernel_log", 2 * kSecond, "0000:18:00.0", "xid:79"));
  EXPECT_EQ(entry("xid:79").event.device_id, "GPU-1");
  EXPECT_EQ(entry("xid:79").burst, entry("xid:31").burst);
}

TEST_F(EventLogTest, IsBounded) {
  for (int i = 0; i < 1000; ++i) tell("nvml", i * 10 * kSecond, "GPU-1", "xid:31");
  EXPECT_EQ(log.entries().size(), EventLog::kKept);
  EXPECT_EQ(log.entries().back().event.wall, kStart + 9990 * kSecond);
  EXPECT_FALSE(tell("kernel_log", 0, "GPU-1", "xid:13", kSecond * 20000)) << "older than all that is kept";
  EXPECT_EQ(log.entries().size(), EventLog::kKept);
}

TEST_F(EventLogTest, ABurstWhoseRootIsForgottenHasAnother) {
  tell("nvml", 0, "GPU-1", "xid:48");
  tell("nvml", kSecond, "GPU-1", "xid:79");
  for (size_t i = 2; i < EventLog::kKept; ++i) tell("nvml", 2 * kSecond, "GPU-" + std::to_string(i), "xid:31");
  ASSERT_TRUE(entry("xid:48").root);
  ASSERT_FALSE(entry("xid:79").root);
  tell("nvml", 3 * kSecond, "GPU-x", "xid:31");
  ASSERT_EQ(log.entries().size(), EventLog::kKept);
  EXPECT_EQ(log.entries()[0].event.code, "xid:79");
  EXPECT_TRUE(log.entries()[0].root);
}

TEST_F(EventLogTest, ImpossibleTimesDoNoHarm) {
  log.add("x", Event{INT64_MIN, Severity::info, "GPU-1", "a", ""}, kStart);
  log.add("x", Event{INT64_MAX, Severity::info, "GPU-1", "a", ""}, kStart);
  log.add("x", Event{0, Severity::info, "", "b", ""}, kStart);
  ASSERT_EQ(log.entries().size(), 3u);
  EXPECT_NE(log.entries()[0].burst, log.entries()[2].burst);
  EXPECT_EQ(entry("b").burst, 0u) << "of no device";
}

}  // namespace
}  // namespace accelmon
