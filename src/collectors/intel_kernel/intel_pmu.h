// The counters of i915 and xe: PMUs of the kernel's perf subsystem, without any library.
//
// Which counters there are and how they are encoded stands in the PMU's own files (events/, format/), which are read at
// run time. Opening a counter needs CAP_PERFMON, or kernel.perf_event_paranoid below 1.
// Threads: one. Cost of reading a counter: a system call; nothing is allocated.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/status.h"
#include "collectors/call_meter.h"

namespace accelmon::intel_kernel {

// "config:12-19": the bits of perf_event_attr.config that a term stands in.
struct BitRange {
  unsigned low = 0, high = 0;
  bool operator==(const BitRange&) const = default;
};
std::optional<BitRange> parse_format(std::string_view text);

using Formats = std::map<std::string, BitRange, std::less<>>;
// "event=0x02,gt=1" to the bits of config; nothing when a term is unknown or does not fit.
std::optional<uint64_t> encode_event(std::string_view text, const Formats& formats);

struct Count {
  uint64_t value = 0;
  uint64_t enabled = 0;  // nanoseconds for which it has counted
};

class Pmu {
 public:
  // Reads SYSFS/bus/event_source/devices/NAME. Errors: absent (there is none), and others.
  static Result<Pmu> open(const std::string& sysfs, const std::string& name, CallMeter& calls);

  const std::string& name() const { return name_; }
  // Names to texts, as events/ has them; without the .unit and .scale files.
  const std::map<std::string, std::string, std::less<>>& events() const { return events_; }
  bool has_event(std::string_view name) const { return events_.find(name) != events_.end(); }
  bool has_term(std::string_view name) const { return formats_.find(name) != formats_.end(); }
  // The event with further terms set; nothing when one is unknown or does not fit.
  std::optional<uint64_t> config(std::string_view event,
                                 std::initializer_list<std::pair<std::string_view, uint64_t>> terms = {}) const;
  // 0 and an open counter, or the errno.
  int count(uint64_t config, UniqueFd& out) const;

 private:
  std::string name_;
  uint32_t type_ = 0;
  int cpu_ = 0;
  Formats formats_;
  std::map<std::string, std::string, std::less<>> events_;
  CallMeter* calls_ = nullptr;
  CallId open_call_ = 0;
};

// 0, or the errno; ENODEV: the PMU is gone.
int read_count(int fd, Count& out);

// Share of time that an engine was busy, out of two readings: ticks of ticks (xe), or nanoseconds of time (i915).
// Counters of ticks move at the firmware's pace: one that has not moved repeats its last answer for `patience`.
class BusyMeter {
 public:
  // Nothing: not known now.
  std::optional<double> read(uint64_t busy, uint64_t time, Nanos now, Nanos patience = kPatience);
  void forget() { primed_ = false; }

  static constexpr Nanos kPatience = 3 * kSecond;  // of a collector that reads once a second

 private:
  bool primed_ = false;
  uint64_t busy_ = 0, time_ = 0;
  Nanos moved_ = 0;
  std::optional<double> last_;
};

}  // namespace accelmon::intel_kernel
