// The agent's status document as plain structs: what status, doctor and serve show to people.
//
// Every text in a Report is printable: names from drivers and processes may hold anything, and what they hold must not
// reach a terminal. Unknown members of the document are passed over, missing ones get the defaults below, so that a
// command line and an agent of different versions understand each other.
// Threads: values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace accelmon {

struct ReportValue {
  std::string metric;
  std::vector<std::pair<std::string, std::string>> attributes;
  std::optional<double> value;  // only where state is "ok"
  std::string unit;
  std::string state;
  std::optional<double> age;  // seconds
  std::string source = {};    // the collector; empty: that of the device

  std::string_view attribute(std::string_view key) const;
};

struct ReportDevice {
  std::string id;
  std::string type;
  std::string index;
  std::string vendor;
  std::string model;
  std::string parent;  // id; empty: none
  std::string collector;
  std::vector<std::pair<std::string, std::string>> attributes;
  std::vector<ReportValue> values;

  std::string_view attribute(std::string_view key) const;
  bool partition() const { return type == "gpu_partition"; }
  // What tells it from its neighbours in few letters: its index; without one its PCI address, else the end of its id.
  std::string name() const;
  // The collector that `value` is from.
  std::string_view source(const ReportValue& value) const { return value.source.empty() ? collector : value.source; }
};

struct ReportAbsence {
  std::string metric;
  std::string device;  // id; empty: all of the collector
  std::string state;
  std::string reason;
};

struct ReportCall {
  std::string name;
  uint64_t calls = 0;
  double seconds = 0;
  double longest = 0;
};

struct ReportCollector {
  std::string name;
  std::string vendor;
  std::string brief;
  std::string state;
  std::string message;
  std::optional<int64_t> pid;
  std::optional<double> age;
  uint64_t frames = 0;
  std::optional<double> duration;
  std::optional<double> cpu_seconds;
  std::optional<double> resident_bytes;
  uint64_t restarts = 0;
  uint64_t missed_ticks = 0;
  uint64_t rejected = 0;
  uint64_t series = 0;
  std::string current_call;  // empty: in none
  double current_call_seconds = 0;
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<ReportAbsence> absences;
  std::vector<std::pair<std::string, uint64_t>> errors;
  std::vector<ReportCall> calls;
  std::vector<std::pair<std::string, uint64_t>> implausible;

  // The one of CPU, memory, disks and network: what belongs to no device is its.
  bool is_host() const { return name == "host"; }
  bool running() const { return state == "running"; }
};

struct ReportEvent {
  double wall = 0;
  std::string severity;
  std::string device;  // id; empty: the host or a collector
  std::string code;
  std::string message;
  std::string action = {};  // what the agent's catalogue says to do; empty or "none": nothing
};

struct ReportExporter {
  std::string name;
  std::string type;
  std::string where;
  std::string state;
  std::string message;
  std::string note;  // how it works other than it was told; empty: as it was told
  uint64_t samples = 0;
  uint64_t rejected = 0;
  uint64_t lost_polls = 0;
  uint64_t requests_ok = 0;
  uint64_t requests_failed = 0;
  uint64_t bytes = 0;
  uint64_t behind = 0;                 // polls
  std::optional<double> last_success;  // wall time, seconds
  std::optional<double> next_try;      // likewise; only while it waits

  bool ok() const { return state == "ok" || state == "starting"; }
};

struct ReportHistory {
  std::string path;  // of its file; empty: an agent that does not tell
  std::string state;
  std::string message;
  uint64_t bytes = 0;
  uint64_t written = 0;  // polls
  uint64_t dropped = 0;
  uint64_t waiting = 0;
  uint64_t damaged = 0;  // chunks

  bool ok() const { return state == "ok"; }
};

struct Report {
  std::string version;
  int64_t pid = 0;
  double uptime = 0;
  double now = 0;
  std::string hostname;
  std::string address;         // empty: no TCP
  bool tls = false;            // of the address
  bool authenticates = false;  // clients of the address show who they are
  std::string socket;
  bool simulated = false;
  double interval = 0;
  std::vector<ReportCollector> collectors;
  std::vector<ReportDevice> devices;
  std::vector<ReportValue> host;
  std::vector<ReportEvent> events;
  std::vector<ReportExporter> exporters;
  std::optional<ReportHistory> history;  // on disk; nullopt: there is none
  std::optional<uint64_t> findings;      // a warning or worse; nullopt: an agent that does not judge
  uint64_t scrapes = 0;
  std::optional<double> last_scrape_ago;
  uint64_t page_bytes = 0;

  // No agent runs; this command read the devices by itself.
  bool sampled = false;

  const ReportCollector* collector(std::string_view name) const;
  // What people call it: the vendor; its own name where the vendor has several.
  const std::string& label(const ReportCollector& collector) const;
};

// Errors: invalid where `json` is no status document.
Result<Report> parse_report(std::string_view json);

// The first value of `metric` whose attributes include the given ones; nullptr when there is none.
const ReportValue* find_value(const std::vector<ReportValue>& values, std::string_view metric,
                              std::initializer_list<std::pair<std::string_view, std::string_view>> attributes = {});
// The number, where it is known.
std::optional<double> number(const std::vector<ReportValue>& values, std::string_view metric,
                             std::initializer_list<std::pair<std::string_view, std::string_view>> attributes = {});

// Whether `event` is about the device, or the device that it is a part of: partitions fail with it.
bool concerns(const ReportEvent& event, const ReportDevice& device);

// Whether a device has failed or a collector is stuck: what makes `status` and `doctor` exit with 1.
bool needs_hands(const Report& report);

}  // namespace accelmon
