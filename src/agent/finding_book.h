// What needs attention now, kept over evaluations: since when each finding holds, and which counters grew.
//
// A finding that goes and comes again within a minute has not ended: it keeps its time. The same holds for counters:
// one that is first seen high has not grown; one that has not grown for an hour begins anew. Threads: used under the
// agent's lock. Cost: see analysis/question.h; evaluated at most once in poll.slow, and on request.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "analysis/question.h"
#include "encode/json.h"

namespace accelmon {

class FindingBook {
 public:
  static constexpr Nanos kGap = 60 * kSecond;
  static constexpr Nanos kQuiet = 3600 * kSecond;

  // A counter that the agent knows of; those of devices are taken from the readings.
  struct Counter {
    std::string kind;
    std::string device_id;
    std::string subject;
    double total = 0;
  };

  // Asks every question. `facts` without `growth` and `before`, which the book gives.
  void evaluate(analysis::Facts facts, const std::vector<Counter>& counters);
  // Of the last evaluation: the most severe first, then by device.
  const std::vector<Finding>& findings() const { return findings_; }
  Nanos evaluated_at() const { return evaluated_at_; }  // wall time; 0: never
  size_t count(Severity severity) const;

 private:
  struct Seen {
    Nanos since = 0;
    Nanos last = 0;
  };
  struct Grown {
    analysis::GrowthFact fact;
    double base = 0;
  };
  void grow(const Counter& counter, Nanos wall);

  using Key = std::tuple<std::string, std::string, std::string>;
  std::vector<Finding> findings_;
  std::map<Key, Seen> seen_;
  std::map<Key, Grown> grown_;
  Nanos evaluated_at_ = 0;
};

// As an element of "findings".
void write_finding(JsonWriter& json, const Finding& finding);
// The document of /api/v1/findings. `device_glob`: of the devices whose findings are wanted; empty: all.
std::string findings_document(const std::vector<Finding>& findings, Nanos wall, std::string_view device_glob = {});

}  // namespace accelmon
