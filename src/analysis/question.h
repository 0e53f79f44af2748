// Questions to a host: each is a pure function in a file of its own and a row of the table in questions.cc.
//
// A question sees the facts and adds what it found; the order does not matter. What is absent gives no finding. What it
// needs to know of the evaluation before, it is told: held() says whether it found the same then, so that a finding
// which came at a threshold leaves at a lower one.
// Threads: pure functions. Cost of analyse(): some ten microseconds a device; it allocates, so it is no matter of a
// poll.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/readings.h"
#include "model/finding.h"

namespace accelmon::analysis {

struct CollectorFact {
  std::string name;
  std::string state;  // as accelmon.collector.status has it
  std::string message;
  std::string call;  // in which it is now; empty: in none
  Nanos in_call = 0;
  uint64_t restarts = 0;
};

struct ExporterFact {
  std::string name;
  std::string where;
  std::string state;  // as accelmon.exporter.status has it
  std::string message;
  uint64_t behind = 0;     // polls that wait
  uint64_t lost = 0;       // polls that were gone before they could be sent
  Nanos last_success = 0;  // wall time; 0: never
};

struct HistoryFact {
  std::string state;  // as accelmon.history.status has it
  std::string message;
  uint64_t dropped = 0;
  uint64_t damaged = 0;  // chunks and files
};

// A counter that grew while the agent looked: see Growth.
struct GrowthFact {
  std::string kind;       // the question that it is of
  std::string device_id;  // or empty
  std::string subject;
  double total = 0;
  double grown = 0;      // since it stood still for long
  Nanos first_grew = 0;  // wall time
  Nanos last_grew = 0;   // wall time
};

struct Facts {
  const Readings& readings;
  Nanos wall = 0;
  Nanos watched = 0;  // for how long the agent has looked: a window that is younger says nothing of its whole length
  Nanos window = 60 * kSecond;      // of the trailing windows
  std::span<const Event> events{};  // oldest first; of a burst its root alone
  std::span<const CollectorFact> collectors{};
  std::span<const ExporterFact> exporters{};
  std::optional<HistoryFact> history{};
  std::optional<Nanos> certificate_expires{};  // wall time
  std::span<const GrowthFact> growth{};
  std::span<const Finding> before{};  // of the evaluation before

  bool held(std::string_view code, std::string_view device_id, std::string_view subject = {}) const;
};

using Findings = std::vector<Finding>;

struct Question {
  std::string_view asks;
  void (*ask)(const Facts& facts, Findings& out);
};
std::span<const Question> questions();

// Every question's findings: the most severe first, then by device and subject.
Findings analyse(const Facts& facts);

// ---- what questions share ----

Finding about(const DeviceReadings& device, std::string code, Severity severity, std::string title, std::string advice);
Evidence number_of(std::string name, double number, std::string unit);
Evidence text_of(std::string name, std::string text);
std::string percent_of(double share);  // "38 %"
std::string span_of(Nanos window);     // "minute", "30 s"
// The newest critical event of the device itself or of what it is a part of; nullptr: none.
const Event* critical_event_of(const Facts& facts, const DeviceReadings& device);

// "GPU 3: Xid 79: the GPU has fallen off the bus; restart the node": what happened, without the device that a finding
// names anyway, and what to do.
struct Told {
  std::string what;
  std::string advice;
};
Told told_of(const Event& event, const DeviceReadings* device);

// Words that the command line uses too, of values of attributes.
std::string_view throttle_word(std::string_view reason);  // empty: a state of a healthy device
std::string_view recovery_word(std::string_view action);  // empty: none asked for

// ---- the questions: see the table ----

void ask_failed(const Facts& facts, Findings& out);
void ask_unread(const Facts& facts, Findings& out);
void ask_degraded(const Facts& facts, Findings& out);
void ask_critical_events(const Facts& facts, Findings& out);
void ask_throttling(const Facts& facts, Findings& out);
void ask_temperature(const Facts& facts, Findings& out);
void ask_idle_memory(const Facts& facts, Findings& out);
void ask_pcie_link(const Facts& facts, Findings& out);
void ask_memory_errors(const Facts& facts, Findings& out);
void ask_collectors(const Facts& facts, Findings& out);
void ask_implausible(const Facts& facts, Findings& out);
void ask_exporters(const Facts& facts, Findings& out);
void ask_history(const Facts& facts, Findings& out);
void ask_certificate(const Facts& facts, Findings& out);

}  // namespace accelmon::analysis
