// What one call of Sysman on one handle tells, as cells that series show.
//
// A Source is made at discovery for a handle that exists. read() makes its call and fills its cells; a call that fails
// leaves its state in all of them, and harms no other. Cells are referred to by number, in the device's array.
// Threads: the collector's. Cost of read(): the vendor's call; nothing is allocated.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "collectors/level_zero/ze_library.h"
#include "collectors/level_zero/ze_meters.h"
#include "model/catalog.h"

namespace accelmon::level_zero {

// What this process may see, since the driver answers some questions with a 0 instead of a refusal.
struct Rights {
  bool root = false;     // euid 0: telemetry (temperatures) is readable
  bool perfmon = false;  // CAP_PERFMON or CAP_SYS_ADMIN of the host: memory in use is not hidden
  bool ptrace = false;   // CAP_SYS_PTRACE of the host: processes of others are not left out
};

struct Reads {
  Library& ze;
  std::vector<Cell>& cells;
  Nanos now = 0;
  Nanos patience = kPatience;
};

class Source {
 public:
  Source(Handle handle, Tier its_tier) : wanted(its_tier), tier(its_tier), handle_(handle) {}
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  virtual ZeResult read(Reads& in) = 0;
  // The device was away.
  virtual void forget() {}

  bool owns(int i) const { return std::find(mine_.begin(), mine_.end(), i) != mine_.end(); }

  const Tier wanted;
  Tier tier;        // slower than wanted where the call takes too long
  CallId call = 0;  // the one that it makes

 protected:
  // A new cell of this source.
  int cell(std::vector<Cell>& cells) {
    cells.emplace_back();
    mine_.push_back(static_cast<int>(cells.size()) - 1);
    return mine_.back();
  }
  ZeResult failed(Reads& in, ZeResult code) const {
    for (const int i : mine_) in.cells[static_cast<size_t>(i)].absent(state_of(code));
    return code;
  }
  static Cell& at(Reads& in, int i) { return in.cells[static_cast<size_t>(i)]; }

  const Handle handle_;

 private:
  std::vector<int> mine_;
};

class EngineSource final : public Source {
 public:
  EngineSource(Handle handle, std::vector<Cell>& cells) : Source(handle, Tier::fast), share(cell(cells)) {}
  ZeResult read(Reads& in) override;
  void forget() override { meter_.forget(); }
  const int share;

 private:
  ActivityMeter meter_;
};

class MemorySource final : public Source {
 public:
  MemorySource(Handle handle, std::vector<Cell>& cells, uint64_t physical)
      : Source(handle, Tier::fast),
        size(cell(cells)),
        used(cell(cells)),
        free(cell(cells)),
        share(cell(cells)),
        health(cell(cells)),
        physical_(physical) {}
  ZeResult read(Reads& in) override;
  const int size, used, free, share, health;

 private:
  const uint64_t physical_;
};

class BandwidthSource final : public Source {
 public:
  BandwidthSource(Handle handle, std::vector<Cell>& cells)
      : Source(handle, Tier::fast),
        read_bytes(cell(cells)),
        written(cell(cells)),
        share(cell(cells)),
        limit(cell(cells)) {}
  ZeResult read(Reads& in) override;
  void forget() override { meter_.forget(); }
  // Every number was 0: so answer drivers that have no such counter for the board.
  bool all_zero() const { return all_zero_; }
  const int read_bytes, written, share, limit;

 private:
  RateMeter meter_;
  bool all_zero_ = true;
};

class TemperatureSource final : public Source {
 public:
  TemperatureSource(Handle handle, std::vector<Cell>& cells, const Rights& rights)
      : Source(handle, Tier::fast), celsius(cell(cells)), rights_(rights) {}
  ZeResult read(Reads& in) override;
  const int celsius;

 private:
  const Rights rights_;
};

class EnergySource final : public Source {
 public:
  EnergySource(Handle handle, std::vector<Cell>& cells, double most_watts)
      : Source(handle, Tier::fast), watts(cell(cells)), joules(cell(cells)), meter_(most_watts) {}
  ZeResult read(Reads& in) override;
  void forget() override { meter_.forget(); }
  const int watts, joules;

 private:
  EnergyMeter meter_;
};

// The sustained limit, by the newer of the two calls that works.
class LimitSource final : public Source {
 public:
  LimitSource(Handle handle, std::vector<Cell>& cells) : Source(handle, Tier::rare), watts(cell(cells)) {}
  ZeResult read(Reads& in) override;
  const int watts;

 private:
  static constexpr uint32_t kMost = 16;
  std::array<PowerLimitExt, kMost> limits_{};
};

// Reasons of throttling as the attribute `reason` has them, and the driver's bits for each.
struct ThrottleReason {
  const char* name;
  uint32_t bits;
};
inline constexpr ThrottleReason kThrottleReasons[] = {
    {"power_cap", kThrottleAveragePower | kThrottleBurstPower | kThrottlePower},
    {"current", kThrottleCurrent},
    {"thermal_hardware", kThrottleThermalLimit | kThrottleThermal},
    {"power_brake", kThrottlePsuAlert},
    {"application_clocks", kThrottleSoftwareRange},
    {"voltage", kThrottleVoltage},
    {"other", ~0x3ffu | kThrottleHardwareRange},
};
inline constexpr size_t kReasons = std::size(kThrottleReasons);

class FrequencySource final : public Source {
 public:
  FrequencySource(Handle handle, std::vector<Cell>& cells) : Source(handle, Tier::fast), hertz(cell(cells)) {
    for (int& reason : reasons) reason = cell(cells);
  }
  ZeResult read(Reads& in) override;
  const int hertz;
  std::array<int, kReasons> reasons{};
};

class FanSource final : public Source {
 public:
  FanSource(Handle handle, std::vector<Cell>& cells, int32_t most_rpm)
      : Source(handle, Tier::slow), rpm(cell(cells)), share(cell(cells)), most_rpm_(most_rpm) {}
  ZeResult read(Reads& in) override;
  const int rpm, share;

 private:
  const int32_t most_rpm_;
};

inline constexpr const char* kErrorBlocks[kRasCategories] = {"reset",       "programming", "driver", "compute",
                                                             "non_compute", "cache",       "display"};

class RasSource final : public Source {
 public:
  RasSource(Handle handle, std::vector<Cell>& cells) : Source(handle, Tier::slow) {
    for (int& count : counts) count = cell(cells);
  }
  ZeResult read(Reads& in) override;
  std::array<int, kRasCategories> counts{};
};

class PciStateSource final : public Source {
 public:
  PciStateSource(Handle device, std::vector<Cell>& cells)
      : Source(device, Tier::slow), generation(cell(cells)), width(cell(cells)), trouble(cell(cells)) {}
  ZeResult read(Reads& in) override;
  const int generation, width, trouble;
};

class PciStatsSource final : public Source {
 public:
  PciStatsSource(Handle device, std::vector<Cell>& cells)
      : Source(device, Tier::fast), received(cell(cells)), transmitted(cell(cells)), replays(cell(cells)) {}
  ZeResult read(Reads& in) override;
  const int received, transmitted, replays;
};

class PortStateSource final : public Source {
 public:
  PortStateSource(Handle port, std::vector<Cell>& cells)
      : Source(port, Tier::slow), up(cell(cells)), trouble(cell(cells)) {}
  ZeResult read(Reads& in) override;
  const int up, trouble;
};

class PortTrafficSource final : public Source {
 public:
  PortTrafficSource(Handle port, std::vector<Cell>& cells)
      : Source(port, Tier::fast), received(cell(cells)), transmitted(cell(cells)) {}
  ZeResult read(Reads& in) override;
  const int received, transmitted;
};

class DeviceStateSource final : public Source {
 public:
  DeviceStateSource(Handle device, std::vector<Cell>& cells)
      : Source(device, Tier::slow), wedged(cell(cells)), repair(cell(cells)) {}
  ZeResult read(Reads& in) override;
  const int wedged, repair;
};

class EccSource final : public Source {
 public:
  EccSource(Handle device, std::vector<Cell>& cells)
      : Source(device, Tier::rare), current(cell(cells)), pending(cell(cells)) {}
  ZeResult read(Reads& in) override;
  const int current, pending;
};

}  // namespace accelmon::level_zero
