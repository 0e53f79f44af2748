// What one file or counter of a device tells, as cells that series show.
//
// read() reads once and fills its cells; one that fails leaves its state in them and harms no other. Cells are referred
// to by number in the device's array.
// Threads: one. Cost of read(): one system call, or one a file; nothing is allocated.
#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "collectors/call_meter.h"
#include "collectors/cell_block.h"
#include "collectors/intel_kernel/intel_files.h"
#include "collectors/intel_kernel/intel_memory.h"
#include "collectors/intel_kernel/intel_pmu.h"

namespace accelmon::intel_kernel {

struct Reads {
  CallMeter& calls;
  const Clock& clock;
  std::vector<Cell>& cells;
  Nanos patience = BusyMeter::kPatience;
  Cell& at(int cell) { return cells[static_cast<size_t>(cell)]; }
};

class Source {
 public:
  Source(CallId with, Tier like) : call(with), wanted(like), tier(like) {}
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  // 0, or the errno of what failed.
  virtual int read(Reads& in) = 0;
  // The device was away: what comes next is not to be compared with what was before.
  virtual void forget() {}
  virtual bool owns(int cell) const = 0;

  const CallId call;
  const Tier wanted;
  Tier tier;
};

// A number that is shown as it is, in another unit.
class NumberSource final : public Source {
 public:
  NumberSource(CallId with, Tier like, NumberFile file, double scale, int cell)
      : Source(with, like), cell_(cell), file_(std::move(file)), scale_(scale) {}
  int read(Reads& in) override;
  bool owns(int cell) const override { return cell == cell_; }

 private:
  const int cell_;
  const NumberFile file_;
  const double scale_;
};

// What an energy meter has counted, over resets, glitches and discoveries: a counter must not fall.
class EnergyMeter {
 public:
  void read(uint64_t microjoules, Nanos now);
  void forget() { primed_ = false; }
  double joules() const { return joules_; }
  const Cell& watts() const { return watts_; }

  static constexpr double kMostWatts = 5000;

 private:
  bool begun_ = false, primed_ = false;
  uint64_t raw_ = 0;
  Nanos at_ = 0;
  double joules_ = 0;
  Cell watts_;
};

class EnergySource final : public Source {
 public:
  EnergySource(CallId with, Tier like, NumberFile file, EnergyMeter& meter, int joules, int watts)
      : Source(with, like), joules_(joules), watts_(watts), file_(std::move(file)), meter_(meter) {}
  int read(Reads& in) override;
  void forget() override { meter_.forget(); }
  bool owns(int cell) const override { return cell == joules_ || cell == watts_; }

 private:
  const int joules_, watts_;
  const NumberFile file_;
  EnergyMeter& meter_;
};

// `total` is open for counters of ticks; else busy time is compared with the time for which the counter has run.
class EngineSource final : public Source {
 public:
  EngineSource(CallId with, Tier like, UniqueFd busy, UniqueFd total, int cell)
      : Source(with, like), cell_(cell), busy_(std::move(busy)), total_(std::move(total)) {}
  int read(Reads& in) override;
  void forget() override { meter_.forget(); }
  bool owns(int cell) const override { return cell == cell_; }

 private:
  const int cell_;
  const UniqueFd busy_, total_;
  BusyMeter meter_;
};

// Reasons of throttling as the attribute `reason` has them, and which of the driver's names mean each.
inline constexpr const char* kReasons[] = {"power_cap", "current", "thermal_hardware", "voltage", "other"};
inline constexpr size_t kReasonCount = std::size(kReasons);
// "pl1", "vr_tdc", ...: what stands after reason_ in the file's name.
size_t reason_of(std::string_view name);

class ThrottleSource final : public Source {
 public:
  // `status` may be closed: drivers have it to say that there is any reason, also one without a file.
  ThrottleSource(CallId with, Tier like, NumberFile status, std::array<int, kReasonCount> cells)
      : Source(with, like), cells_(cells), status_(std::move(status)) {}
  void add(size_t reason, NumberFile file) { files_.emplace_back(reason, std::move(file)); }
  bool has(size_t reason) const;
  int read(Reads& in) override;
  bool owns(int cell) const override;

 private:
  const std::array<int, kReasonCount> cells_;
  const NumberFile status_;
  std::vector<std::pair<size_t, NumberFile>> files_;
};

class MemorySource final : public Source {
 public:
  struct Cells {
    unsigned tile;
    int total, used, free, share;
  };
  MemorySource(CallId with, Tier like, MemoryQuery query, std::vector<Cells> cells)
      : Source(with, like), query_(std::move(query)), cells_(std::move(cells)) {}
  int read(Reads& in) override;
  bool owns(int cell) const override;

 private:
  MemoryQuery query_;
  const std::vector<Cells> cells_;
};

}  // namespace accelmon::intel_kernel
