#include "collectors/intel_kernel/intel_sources.h"

#include <algorithm>
#include <cerrno>

namespace accelmon::intel_kernel {

int NumberSource::read(Reads& in) {
  int64_t number = 0;
  const int error = in.calls.measure(call, [&] { return file_.read(number); });
  if (error == 0) {
    in.at(cell_).set(static_cast<double>(number) * scale_);
  } else {
    in.at(cell_).absent(state_of(error));
  }
  return error;
}

void EnergyMeter::read(uint64_t microjoules, Nanos now) {
  watts_.absent(State::not_ready);
  if (!begun_) joules_ = static_cast<double>(microjoules) * 1e-6;
  if (begun_ && primed_ && microjoules >= raw_) {
    const double grown = static_cast<double>(microjoules - raw_) * 1e-6;
    const double watts = now > at_ ? grown / to_seconds(now - at_) : 0;
    // More than any board draws: the counter has come back from where it should not have been.
    if (now > at_ && watts <= kMostWatts) {
      watts_.set(watts);
      joules_ += grown;
    } else if (now <= at_) {
      return;
    }
  }
  begun_ = primed_ = true;
  raw_ = microjoules;
  at_ = now;
}

int EnergySource::read(Reads& in) {
  uint64_t microjoules = 0;
  const int error = in.calls.measure(call, [&] { return file_.read(microjoules); });
  if (error == 0) {
    meter_.read(microjoules, in.clock.monotonic());
    in.at(joules_).set(meter_.joules());
    in.at(watts_) = meter_.watts();
  } else {
    in.at(joules_).absent(state_of(error));
    in.at(watts_).absent(state_of(error));
  }
  return error;
}

int EngineSource::read(Reads& in) {
  Count busy, total;
  const int error = in.calls.measure(call, [&] {
    const int failed = read_count(busy_.get(), busy);
    return failed != 0 || !total_.valid() ? failed : read_count(total_.get(), total);
  });
  if (error != 0) {
    in.at(cell_).absent(state_of(error));
    meter_.forget();
    return error;
  }
  const auto share =
      meter_.read(busy.value, total_.valid() ? total.value : busy.enabled, in.clock.monotonic(), in.patience);
  if (share) {
    in.at(cell_).set(*share);
  } else {
    in.at(cell_).absent(State::not_ready);
  }
  return 0;
}

size_t reason_of(std::string_view name) {
  const auto is = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  // Limits of power over several spans, of the card, the package or the whole system.
  if (is({"pl1", "pl2", "psys_pl1", "psys_pl2", "psys_crit"})) return 0;
  if (is({"pl4", "vr_tdc", "iccmax", "p0_freq"})) return 1;
  // ratl: the running average of the temperature; prochot: the signal that something is too hot.
  if (is({"thermal", "prochot", "ratl", "vr_thermalert"}) || name.ends_with("_thermal")) return 2;
  if (is({"fastvmode", "voltage"})) return 3;
  return kReasonCount - 1;
}

bool ThrottleSource::has(size_t reason) const {
  if (reason == kReasonCount - 1 && status_.valid()) return true;
  return std::any_of(files_.begin(), files_.end(), [&](const auto& one) { return one.first == reason; });
}

bool ThrottleSource::owns(int cell) const {
  return std::find(cells_.begin(), cells_.end(), cell) != cells_.end();
}

int ThrottleSource::read(Reads& in) {
  std::array<int64_t, kReasonCount> active{};
  std::array<int, kReasonCount> errors{};
  int64_t any = 0;
  int failed = 0;
  in.calls.measure(call, [&] {
    if (status_.valid()) failed = status_.read(any);
    errors[kReasonCount - 1] = failed;
    // Nothing holds the clocks down: then no reason does, and the other files need not be asked.
    if (failed == 0 && status_.valid() && any == 0) return;
    for (const auto& [reason, file] : files_) {
      int64_t one = 0;
      if (const int error = file.read(one); error != 0) {
        errors[reason] = failed = error;
      } else if (one != 0) {
        active[reason] = 1;
      }
    }
  });
  const bool named = std::any_of(active.begin(), active.end(), [](int64_t one) { return one != 0; });
  const bool unnamed = any != 0 && !named && failed == 0;
  for (size_t i = 0; i < kReasonCount; ++i) {
    Cell& cell = in.at(cells_[i]);
    if (errors[i] != 0 && active[i] == 0) {
      cell.absent(state_of(errors[i]));
    } else {
      cell.set(active[i] != 0 || (unnamed && i == kReasonCount - 1) ? 1 : 0);
    }
  }
  return failed;
}

bool MemorySource::owns(int cell) const {
  return std::any_of(cells_.begin(), cells_.end(), [&](const Cells& c) {
    return cell == c.total || cell == c.used || cell == c.free || cell == c.share;
  });
}

int MemorySource::read(Reads& in) {
  const int error = in.calls.measure(call, [&] { return query_.ask(); });
  for (const Cells& cells : cells_) {
    const auto regions = query_.regions();
    const auto found = std::find_if(regions.begin(), regions.end(),
                                    [&](const MemoryRegion& region) { return region.tile == cells.tile; });
    if (error != 0 || found == regions.end()) {
      const State why = error != 0 ? state_of(error) : State::error;
      for (const int cell : {cells.total, cells.used, cells.free, cells.share}) in.at(cell).absent(why);
      continue;
    }
    const auto total = static_cast<double>(found->total), used = static_cast<double>(found->used);
    in.at(cells.total).set(total);
    if (!found->used_known) {
      for (const int cell : {cells.used, cells.free, cells.share}) in.at(cell).absent(State::no_permission);
      continue;
    }
    in.at(cells.used).set(used);
    in.at(cells.free).set(total - used);
    in.at(cells.share).set(used / total);
  }
  return error;
}

}  // namespace accelmon::intel_kernel
