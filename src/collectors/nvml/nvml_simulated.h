// For tests: the collector in this process with the simulated libnvidia-ml.so.1 and a scenario of its own.
#pragma once

#include <dirent.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "collectors/nvml/nvml_collector.h"
#include "model/catalog.h"

namespace accelmon {

class Simulated : public testing::Test {
 protected:
  Simulated() {
    // One path for the process: the library reads the variable when it is loaded, and the file again when it changes.
    static const std::string path = testing::TempDir() + "accelmon_nvml_" + std::to_string(::getpid()) + ".toml";
    scenario_path_ = path;
    ::setenv("ACCELMON_SCENARIO", path.c_str(), 1);
    make_collector();
  }
  ~Simulated() override {
    collector.reset();
    std::filesystem::remove(scenario_path_);
  }

  void SetUp() override {
    if (!std::filesystem::exists(library_path())) GTEST_SKIP() << library_path() << " is not built";
  }

  static std::string library_path() {
    return std::string(ACCELMON_BUILD_DIR) + "/lib/accelmon/simulator/libnvidia-ml.so.1";
  }

  void make_collector(Heartbeat* heartbeat = nullptr, const Clock& clock = real_clock(),
                      const std::string& each_nvlink = "true", Nanos interval = kSecond) {
    collector.reset();
    calls = std::make_unique<CallMeter>(clock, heartbeat);
    collector = make_nvml_collector({*calls,
                                     clock,
                                     {{"library", library_path()},
                                      {"sysfs", sysfs},
                                      {"procfs", "/nonexistent"},
                                      {"each_nvlink", each_nvlink},
                                      {"interval_ns", std::to_string(interval)}}});
  }

  // The scenario of that name, with `more` at its end (faults, processes).
  void write_scenario(const std::string& name, const std::string& more = "") {
    std::ifstream in(std::string(ACCELMON_SOURCE_DIR) + "/simulator/scenarios/" + name + ".toml");
    std::ostringstream text;
    text << in.rdbuf();
    ASSERT_FALSE(text.str().empty()) << "no scenario " << name;
    write_text(text.str() + "\n" + more);
  }
  void write_text(const std::string& text) {
    const std::string next = scenario_path_ + ".next";
    std::ofstream(next) << text;
    std::filesystem::rename(next, scenario_path_);
    // A library that is loaded looks for changes ten times a second.
    if (is_mapped()) std::this_thread::sleep_for(std::chrono::milliseconds(150));
  }

  bool start(const std::string& name, const std::string& more = "") {
    write_scenario(name, more);
    return discover();
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
  static void pause() { std::this_thread::sleep_for(std::chrono::milliseconds(120)); }
  void poll_twice() {
    poll();
    pause();
    poll();
  }
  // Polls until the collector wants another catalog, and makes it. Bounded.
  bool poll_until_rediscovered(unsigned due = 7) {
    for (int i = 0; i < 100; ++i) {
      if (poll(due) == PollResult::rediscover) return discover();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }

  int find(MetricId metric, int device, std::vector<Attribute> attributes = {}) const {
    return find_series(catalog, metric, device, std::move(attributes));
  }
  State state(MetricId metric, int device, std::vector<Attribute> attributes = {}) const {
    const int i = find(metric, device, std::move(attributes));
    EXPECT_GE(i, 0) << info(metric).name << " has no series";
    return i < 0 ? State::unsupported : frame.states[static_cast<size_t>(i)];
  }
  double value(MetricId metric, int device, std::vector<Attribute> attributes = {}) const {
    const int i = find(metric, device, std::move(attributes));
    EXPECT_GE(i, 0) << info(metric).name << " has no series";
    if (i < 0) return -1;
    EXPECT_EQ(frame.states[static_cast<size_t>(i)], State::ok) << info(metric).name;
    return frame.values[static_cast<size_t>(i)];
  }
  int count(MetricId metric, int device, const std::vector<Attribute>& attributes = {}) const {
    int n = 0;
    for (const Series& series : catalog.series) {
      if (series.metric != metric || series.device != device) continue;
      bool all = true;
      for (const Attribute& wanted : attributes) {
        bool one = false;
        for (const Attribute& has : series.attributes) one = one || has == wanted;
        all = all && one;
      }
      n += all ? 1 : 0;
    }
    return n;
  }
  std::string why_absent(MetricId metric, int device) const {
    std::string reasons;
    for (const Absence& absence : catalog.absences)
      if (absence.metric == metric && absence.device == device) reasons += absence.reason + "\n";
    return reasons;
  }
  std::string info_of(int device, AttributeId id) const {
    for (const Attribute& attribute : catalog.devices[static_cast<size_t>(device)].info)
      if (attribute.id == id) return attribute.value;
    return {};
  }
  std::string fact(const std::string& name) const {
    for (const auto& [key, text] : catalog.facts)
      if (key == name) return text;
    return "no such fact";
  }
  int events_with(const std::string& code) const {
    int n = 0;
    for (const Event& event : events) n += event.code == code ? 1 : 0;
    return n;
  }
  uint64_t vendor_calls() const {
    uint64_t n = 0;
    for (const CallStats& call : calls->calls()) n += call.calls;
    return n;
  }
  static bool is_mapped() {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);)
      if (line.find("libnvidia-ml") != std::string::npos) return true;
    return false;
  }
  static int threads() {
    int n = 0;
    DIR* dir = ::opendir("/proc/self/task");
    while (const dirent* entry = ::readdir(dir)) n += entry->d_name[0] != '.' ? 1 : 0;
    ::closedir(dir);
    return n;
  }

  std::string sysfs = "/nonexistent";
  std::unique_ptr<CallMeter> calls;
  std::unique_ptr<Collector> collector;
  Catalog catalog;
  Frame frame;
  std::vector<Event> events;
  Status error;

 private:
  std::string scenario_path_;
};

}  // namespace accelmon
