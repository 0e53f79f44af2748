// For tests: the collector in a process of its own with the real loader (libze_loader.so.1), the simulated driver and a
// scenario.
//
// The loader starts once in a process and keeps what it found, so each test runs its body in a child: in_child() forks,
// and what the child expects in vain fails the test. What the child may not know of is that the parent never loads it.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "collectors/level_zero/ze_collector.h"
#include "model/catalog.h"

namespace accelmon {

class SimulatedLevelZero : public testing::Test {
 protected:
  SimulatedLevelZero()
      : procfs_(testing::TempDir() + "accelmon_ze_proc_" + std::to_string(::getpid())),
        path_(testing::TempDir() + "accelmon_ze_" + std::to_string(::getpid()) + ".toml") {
    set_rights(~0ull, 0);
  }
  ~SimulatedLevelZero() override {
    std::filesystem::remove(path_);
    std::filesystem::remove_all(procfs_);
  }

  static std::string folder() { return std::string(ACCELMON_BUILD_DIR) + "/lib/accelmon/simulator/"; }
  static std::string driver() { return folder() + "libaccelmon_ze.so"; }
  static std::string second_driver() { return folder() + "libaccelmon_ze_second.so"; }
  static std::string standin_loader() { return folder() + "libaccelmon_ze_loader.so"; }

  static bool loader_installed() {
    // In a child, since loading it is what must not happen here.
    const pid_t child = ::fork();
    if (child == 0) ::_exit(::dlopen("libze_loader.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr ? 0 : 1);
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  // Runs `body` with the installed loader, or the stand-in that knows zesInit.
  void in_child(const std::function<void()>& body) {
    if (!std::filesystem::exists(driver())) GTEST_SKIP() << driver() << " is not built: install libze-dev";
    if (loader.empty() && !loader_installed()) GTEST_SKIP() << "libze_loader.so.1 is not installed: install libze1";
    fflush(nullptr);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::setenv("ACCELMON_SCENARIO", path_.c_str(), 1);
      ::setenv("ZE_ENABLE_ALT_DRIVERS", drivers.empty() ? driver().c_str() : drivers.c_str(), 1);
      ::unsetenv("ZES_ENABLE_SYSMAN");
      make_collector();
      body();
      collector.reset();
      fflush(nullptr);
      // _exit, since the loader's destructors are not what is tested.
      ::_exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status)) << "ended by signal " << (WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    EXPECT_EQ(WEXITSTATUS(status), 0) << "see what the child expected, above";
  }

  // What the process is told that it may do: capabilities, and its user.
  void set_rights(uint64_t capabilities, unsigned uid) {
    std::filesystem::create_directories(procfs_ + "/self");
    std::ofstream status(procfs_ + "/self/status");
    status << "Name:\ttest\nUid:\t" << uid << "\t" << uid << "\t" << uid << "\t" << uid << "\nCapEff:\t" << std::hex
           << capabilities << "\n";
    std::ofstream(procfs_ + "/self/uid_map") << "         0          0 4294967295\n";
  }
  void set_name(unsigned pid, const std::string& name) {
    std::filesystem::create_directories(procfs_ + "/" + std::to_string(pid));
    std::ofstream(procfs_ + "/" + std::to_string(pid) + "/comm") << name << "\n";
  }

  void write_scenario(const std::string& name, const std::string& more = "") {
    std::ifstream in(std::string(ACCELMON_SOURCE_DIR) + "/simulator/scenarios/" + name + ".toml");
    std::ostringstream text;
    text << in.rdbuf();
    ASSERT_FALSE(text.str().empty()) << "no scenario " << name;
    write_text(text.str() + "\n" + more);
  }
  void write_text(const std::string& text) {
    const std::string next = path_ + ".next";
    std::ofstream(next) << text;
    std::filesystem::rename(next, path_);
    // The driver looks for changes ten times a second.
    if (collector) std::this_thread::sleep_for(std::chrono::milliseconds(150));
  }

  void make_collector(Heartbeat* heartbeat = nullptr) {
    collector.reset();
    calls = std::make_unique<CallMeter>(real_clock(), heartbeat);
    collector = make_level_zero_collector(
        {*calls, real_clock(), {{"library", loader}, {"procfs", procfs_}, {"own_procfs", procfs_}, {"sysfs", sysfs}}});
  }
  bool discover() {
    auto found = collector->discover();
    if (!found) {
      error = found.error();
      return false;
    }
    catalog = std::move(*found);
    const Status valid = validate(catalog);
    EXPECT_TRUE(valid.ok()) << valid.message();
    frame = Frame();
    frame.resize(catalog.series.size());
    return true;
  }
  PollResult poll(unsigned due = 7) { return collector->poll({static_cast<uint8_t>(due)}, frame, events); }
  static void pause(int milliseconds = 150) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }
  void poll_twice() {
    poll();
    pause();
    poll();
  }

  int device(const std::string& id) const {
    for (size_t i = 0; i < catalog.devices.size(); ++i)
      if (catalog.devices[i].id == id) return static_cast<int>(i);
    ADD_FAILURE() << "no device " << id;
    return -1;
  }
  int find(MetricId metric, int on, std::vector<Attribute> attributes = {}) const {
    return find_series(catalog, metric, on, std::move(attributes));
  }
  State state(MetricId metric, int on, std::vector<Attribute> attributes = {}) const {
    const int i = find(metric, on, std::move(attributes));
    EXPECT_GE(i, 0) << info(metric).name << " has no series";
    return i < 0 ? State::unsupported : frame.states[static_cast<size_t>(i)];
  }
  double value(MetricId metric, int on, std::vector<Attribute> attributes = {}) const {
    const int i = find(metric, on, std::move(attributes));
    EXPECT_GE(i, 0) << info(metric).name << " has no series";
    if (i < 0) return -1;
    EXPECT_EQ(frame.states[static_cast<size_t>(i)], State::ok) << info(metric).name;
    return frame.values[static_cast<size_t>(i)];
  }
  int count(MetricId metric, int on) const {
    int n = 0;
    for (const Series& series : catalog.series) n += series.metric == metric && series.device == on ? 1 : 0;
    return n;
  }
  // States with which a metric is absent, and why.
  std::string why_absent(MetricId metric, int on) const {
    std::string reasons;
    for (const Absence& absence : catalog.absences)
      if (absence.metric == metric && absence.device == on)
        reasons += std::string(to_string(absence.state)) + ": " + absence.reason + "\n";
    return reasons;
  }
  std::string fact(const std::string& name) const {
    for (const auto& [key, text] : catalog.facts)
      if (key == name) return text;
    return "no such fact";
  }
  std::string info_of(int on, AttributeId id) const {
    for (const Attribute& attribute : catalog.devices[static_cast<size_t>(on)].info)
      if (attribute.id == id) return attribute.value;
    return {};
  }
  int events_with(const std::string& code) const {
    int n = 0;
    for (const Event& event : events) n += event.code == code ? 1 : 0;
    return n;
  }

  std::string sysfs = "/nonexistent";
  std::string loader;   // empty: the installed one
  std::string drivers;  // empty: the simulated one
  std::unique_ptr<CallMeter> calls;
  std::unique_ptr<Collector> collector;
  Catalog catalog;
  Frame frame;
  std::vector<Event> events;
  Status error;

  std::string procfs_;

 private:
  std::string path_;
};

inline const std::string kIntelHead = "[scenario]\nname = \"test\"\n";

// A small board whose numbers are easy to say.
inline std::string intel_board(const std::string& more = "") {
  return "[[intel]]\nname = \"Board\"\npci.addresses = [\"0000:4d:00.0\"]\ndriver = \"xe\"\n"
         "memory.total_mib = 16384\nutilization.gpu = 40\n" +
         more;
}

inline Attribute general() {
  return {AttributeId::gpu_task, "general"};
}
inline std::vector<Attribute> engine(const std::string& kind, const std::string& number) {
  return {{AttributeId::engine, kind}, {AttributeId::engine_index, number}};
}
inline Attribute location(const std::string& where) {
  return {AttributeId::sensor_location, where};
}

}  // namespace accelmon
