// A slot against collector processes that misbehave. The processes are this very program, see main() below.
#include "agent/collector_slot.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <functional>

#include "agent/child_fds.h"
#include "base/valgrind_for_test.h"

namespace accelmon {
namespace {

// ---- the child ----

void send_bytes(const std::string& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::send(kCollectorSocketFd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (n <= 0) ::_exit(0);
    done += static_cast<size_t>(n);
  }
}

void nap(Nanos span) {
  const timespec pause{span / kSecond, span % kSecond};
  ::nanosleep(&pause, nullptr);
}

// Sleeps, and ends the process when the agent hangs up.
void nap_or_end(Nanos span) {
  pollfd watched{kCollectorSocketFd, POLLIN, 0};
  const Nanos until = real_clock().monotonic() + span;
  for (;;) {
    const Nanos left = until - real_clock().monotonic();
    if (left <= 0) return;
    const timespec wait{left / kSecond, left % kSecond};
    if (::ppoll(&watched, 1, &wait, nullptr) <= 0) continue;
    char bytes[4096];
    if (::recv(kCollectorSocketFd, bytes, sizeof bytes, MSG_DONTWAIT) == 0) ::_exit(0);
  }
}

Catalog child_catalog(int devices = 1) {
  Catalog catalog;
  catalog.generation = 1;
  CatalogBuilder build(catalog);
  for (int d = 0; d < devices; ++d) {
    const int device = build.add_device({.id = "GPU-" + std::to_string(d), .index = std::to_string(d), .vendor = "x"});
    build.add(MetricId::gpu_memory_usage, device);
  }
  return catalog;
}

void send_frame(uint64_t sequence, size_t series, uint64_t generation = 1, Nanos skew = 0) {
  Frame frame;
  frame.resize(series);
  for (size_t i = 0; i < series; ++i) frame.set(i, 1000.0 + static_cast<double>(sequence));
  frame.generation = generation;
  frame.sequence = sequence;
  frame.monotonic = real_clock().monotonic() + skew;
  frame.wall = real_clock().wall();
  frame.fresh = 7;
  frame.read_at = {frame.monotonic, frame.monotonic, frame.monotonic};
  std::string bytes;
  write_frame(bytes, frame);
  send_bytes(bytes);
}

void send_catalog(const Catalog& catalog) {
  std::string bytes;
  write_catalog(bytes, catalog);
  send_bytes(bytes);
}

[[noreturn]] void run_child(const std::string& name) {
  const char* const told = std::getenv("ACCELMON_TEST_CHILD");
  const std::string mode = told == nullptr ? "" : told;
  std::string bytes;
  if (mode == "mute") nap(600 * kSecond);
  if (mode == "wrong_name") {
    write_hello(bytes, "other");
    send_bytes(bytes);
    nap_or_end(600 * kSecond);
  }
  if (mode == "noise") {
    send_bytes(std::string(100, 'x'));
    nap_or_end(600 * kSecond);
  }
  write_hello(bytes, name);
  send_bytes(bytes);
  if (mode == "absent") {
    bytes.clear();
    write_notice(bytes, Status(Code::absent, "no such device here"));
    send_bytes(bytes);
    ::_exit(0);
  }
  if (mode == "abort") std::abort();
  if (mode == "bad_catalog") {
    Catalog catalog = child_catalog(2);
    catalog.devices[1].id = catalog.devices[0].id;
    send_catalog(catalog);
    nap_or_end(600 * kSecond);
  }
  if (mode == "frame_first") {
    send_frame(1, 1);
    nap_or_end(600 * kSecond);
  }
  send_catalog(child_catalog());
  if (mode == "wrong_size") send_frame(1, 2);
  if (mode == "wrong_generation") send_frame(1, 1, 9);
  if (mode == "from_the_future") send_frame(1, 1, 1, 3600 * kSecond);
  if (mode == "flood") {
    for (uint64_t i = 1;; ++i) send_frame(i, 1);
  }
  if (mode == "backwards") {
    send_frame(5, 1);
    send_frame(4, 1);
  }
  if (mode == "one_then_hang") {
    // Sits in a call, as a vendor library would, and does not listen.
    send_frame(1, 1);
    auto* heartbeat = static_cast<Heartbeat*>(
        ::mmap(nullptr, kHeartbeatBytes, PROT_READ | PROT_WRITE, MAP_SHARED, kCollectorHeartbeatFd, 0));
    CallMeter meter(real_clock(), heartbeat);
    meter.measure(meter.add("vendorHangs"), [] { nap(600 * kSecond); });
  }
  if (mode == "deaf") {
    for (uint64_t i = 1;; ++i) {
      send_frame(i, 1);
      nap(5 * kMillisecond);
    }
  }
  for (uint64_t i = 1; mode == "good"; ++i) {
    send_frame(i, 1);
    nap_or_end(5 * kMillisecond);
  }
  nap_or_end(600 * kSecond);
  ::_exit(0);
}

// ---- the tests ----

std::unique_ptr<Collector> never(CollectorContext) {  // NOLINT(performance-unnecessary-value-param): a slot's entry
  return nullptr;
}
constexpr CollectorEntry kEntry{"fake", "x", "a collector for tests", never};

class SlotTest : public ::testing::Test {
 protected:
  SlotTest() : slot_(kEntry, clock_) { set_log_level(LogLevel::error); }

  void start(const std::string& mode, Nanos interval = 20 * kMillisecond) {
    config_.poll.interval = interval;
    config_.poll.slow = config_.poll.rare = 10 * interval;
    config_.poll.hang = 500 * kMillisecond;
    slot_.configure(config_, {"/proc/self/exe", {{"ACCELMON_TEST_CHILD", mode, {}}}, kill_});
  }

  // Serves the slot until `done` or until ten seconds have passed.
  bool until(const std::function<bool()>& done, Nanos limit = 10 * kSecond) {
    const Nanos deadline = real_clock().monotonic() + limit;
    while (real_clock().monotonic() < deadline) {
      slot_.service();
      if (done()) return true;
      nap(kMillisecond);
    }
    return false;
  }

  // The real time, and what a test puts on top of it.
  class AheadClock : public Clock {
   public:
    Nanos monotonic() const override { return real_clock().monotonic() + ahead; }
    Nanos wall() const override { return real_clock().wall() + ahead; }
    Nanos ahead = 0;
  };

  Config config_;
  int (*kill_)(pid_t, int) = ::kill;
  AheadClock clock_;
  CollectorSlot slot_;
};

TEST_F(SlotTest, RunsAndShowsFrames) {
  start("good");
  ASSERT_TRUE(until([&] { return slot_.frames() >= 5; }));
  EXPECT_EQ(slot_.state(), SlotState::running);
  const SourceView view = slot_.view();
  ASSERT_NE(view.catalog, nullptr);
  EXPECT_EQ(view.catalog->generation, view.frame->generation);
  EXPECT_EQ(view.frame->values.size(), view.catalog->series.size());
  EXPECT_EQ(view.frame->states.at(0), State::ok);
  EXPECT_EQ(slot_.rejected(), 0u);
}

TEST_F(SlotTest, AbsenceIsSaidAndAskedAgainLater) {
  start("absent");
  ASSERT_TRUE(until([&] { return slot_.state() == SlotState::absent; }));
  EXPECT_EQ(slot_.message(), "no such device here");
  EXPECT_TRUE(slot_.reported());
  EXPECT_EQ(slot_.pid(), -1);
  EXPECT_GT(slot_.next_deadline(), real_clock().monotonic() + kSecond);
  EXPECT_EQ(slot_.view().catalog, nullptr);
}

TEST_F(SlotTest, ACrashIsFollowedByANewStart) {
  start("abort");
  ASSERT_TRUE(until([&] { return slot_.restarts() >= 1; }));
  EXPECT_TRUE(until([&] { return slot_.message().find("signal 6 (SIGABRT)") != std::string::npos; }));
}

TEST_F(SlotTest, AHangIsNamedItsSeriesGoStaleAndItIsKilled) {
  start("one_then_hang");
  ASSERT_TRUE(until([&] { return slot_.frames() == 1; }));
  ASSERT_TRUE(until([&] { return slot_.state() == SlotState::silent; }));
  EXPECT_EQ(slot_.view().frame->states.at(0), State::stale);
  EXPECT_NE(slot_.message().find("in vendorHangs"), std::string::npos) << slot_.message();
  ASSERT_TRUE(until([&] { return slot_.state() == SlotState::backing_off; }));
  EXPECT_NE(slot_.message().find("was killed"), std::string::npos) << slot_.message();
  EXPECT_NE(slot_.message().find("vendorHangs"), std::string::npos) << slot_.message();
  const auto events = slot_.take_events();
  EXPECT_TRUE(std::any_of(events.begin(), events.end(), [](const Event& e) { return e.code == "collector_silent"; }));
}

// What sits in the kernel survives being killed. It is told, left behind, and nothing is started beside it.
TEST_F(SlotTest, WhatCannotBeKilledIsReportedAndLeftAlone) {
  kill_ = [](pid_t, int) { return 0; };
  start("one_then_hang");
  ASSERT_TRUE(until([&] { return slot_.frames() == 1; }));
  const pid_t pid = slot_.pid();
  ASSERT_TRUE(until([&] { return slot_.message().find("was killed") != std::string::npos; }));
  clock_.ahead += 6 * kSecond;
  ASSERT_TRUE(until([&] { return slot_.state() == SlotState::stuck; }));
  EXPECT_NE(slot_.message().find("vendorHangs"), std::string::npos) << slot_.message();
  const auto events = slot_.take_events();
  EXPECT_TRUE(std::any_of(events.begin(), events.end(), [](const Event& e) { return e.code == "collector_stuck"; }));
  clock_.ahead += 3600 * kSecond;
  EXPECT_FALSE(until([&] { return slot_.pid() != pid; }, 200 * kMillisecond));
  // The driver lets it go after all: a new one starts.
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  EXPECT_TRUE(until([&] { return slot_.pid() != pid; }));
  clock_.ahead += 3600 * kSecond;
  EXPECT_TRUE(until([&] { return slot_.pid() > 0 && slot_.pid() != pid && slot_.state() != SlotState::stuck; }));
  ::kill(slot_.pid(), SIGKILL);
}

TEST_F(SlotTest, ReleaseStopsItUntilResume) {
  start("good");
  ASSERT_TRUE(until([&] { return slot_.frames() >= 2; }));
  slot_.release();
  EXPECT_EQ(slot_.view().frame->states.at(0), State::stale);
  ASSERT_TRUE(until([&] { return slot_.pid() < 0; }));
  EXPECT_EQ(slot_.state(), SlotState::released);
  EXPECT_FALSE(until([&] { return slot_.pid() > 0; }, 200 * kMillisecond));
  slot_.resume();
  const uint64_t before = slot_.frames();
  EXPECT_TRUE(until([&] { return slot_.frames() > before; }));
}

TEST_F(SlotTest, AProcessThatDoesNotListenIsKilledAtTheStop) {
  start("deaf");
  ASSERT_TRUE(until([&] { return slot_.frames() >= 2; }));
  const pid_t pid = slot_.pid();
  slot_.begin_stop();
  ASSERT_TRUE(until([&] { return slot_.stopped(); }));
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(SlotTest, SwitchedOffByTheConfiguration) {
  start("good");
  ASSERT_TRUE(until([&] { return slot_.frames() >= 2; }));
  config_.collectors["fake"].enabled = false;
  start("good");
  EXPECT_EQ(slot_.state(), SlotState::disabled);
  EXPECT_EQ(slot_.view().frame->states.at(0), State::stale);
  EXPECT_TRUE(until([&] { return slot_.pid() < 0; }));
  config_.collectors["fake"].enabled = true;
  start("good");
  const uint64_t before = slot_.frames();
  EXPECT_TRUE(until([&] { return slot_.frames() > before; }));
}

TEST_F(SlotTest, AChangedIntervalStartsItAgain) {
  start("good");
  ASSERT_TRUE(until([&] { return slot_.frames() >= 2; }));
  const pid_t pid = slot_.pid();
  start("good", 30 * kMillisecond);
  EXPECT_TRUE(until([&] { return slot_.pid() > 0 && slot_.pid() != pid && slot_.state() == SlotState::running; }));
}

TEST_F(SlotTest, AProgramThatCannotBeStarted) {
  if (under_valgrind()) GTEST_SKIP() << "it does not tell";
  config_.poll.interval = 20 * kMillisecond;
  slot_.configure(config_, {"/nonexistent/accelmon", {}});
  slot_.service();
  EXPECT_EQ(slot_.state(), SlotState::backing_off);
  EXPECT_NE(slot_.message().find("/nonexistent/accelmon"), std::string::npos) << slot_.message();
}

// What a hostile or broken collector may send: each is refused, counted, and the process is replaced.
class HostileTest : public SlotTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(HostileTest, IsRefusedAndReplaced) {
  start(GetParam());
  ASSERT_TRUE(until([&] { return slot_.rejected() >= 1; })) << slot_.message();
  EXPECT_TRUE(until([&] { return slot_.pid() < 0; }));
  EXPECT_EQ(slot_.state(), SlotState::backing_off);
  EXPECT_TRUE(until([&] { return slot_.rejected() >= 2; }));
}

INSTANTIATE_TEST_SUITE_P(Collector, HostileTest,
                         ::testing::Values("noise", "wrong_name", "bad_catalog", "frame_first", "wrong_size",
                                           "wrong_generation", "from_the_future", "backwards", "flood"),
                         [](const auto& test) { return std::string(test.param); });

TEST_F(SlotTest, NoDescriptorOrProcessIsLeftOverManyRounds) {
  const auto descriptors = [] {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
  };
  start("good");
  ASSERT_TRUE(until([&] { return slot_.frames() >= 1; }));
  const auto before = descriptors();
  for (int round = 0; round < 25; ++round) {
    slot_.release();
    ASSERT_TRUE(until([&] { return slot_.pid() < 0; }));
    slot_.resume();
    const uint64_t frames = slot_.frames();
    ASSERT_TRUE(until([&] { return slot_.frames() > frames; }));
  }
  EXPECT_EQ(descriptors(), before);
}

}  // namespace
}  // namespace accelmon

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "collect") == 0) accelmon::run_child(argv[2]);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
