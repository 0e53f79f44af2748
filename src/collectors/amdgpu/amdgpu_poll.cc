// Readings of one device, and what is derived from them.
#include <algorithm>
#include <cerrno>
#include <cmath>

#include "base/text.h"
#include "collectors/amdgpu/amdgpu_device.h"
#include "collectors/hw_state.h"

namespace accelmon::amdgpu {
namespace {

constexpr int kPartShift = 24;
constexpr int kSlotMask = (1 << kPartShift) - 1;
constexpr double kWrap32 = 4294967296.0;

// How far a 32-bit counter went on; nothing when it began anew.
std::optional<double> advance32(double before, double now) {
  const double delta = now >= before ? now - before : now + kWrap32 - before;
  return delta < kWrap32 / 2 ? std::optional<double>(delta) : std::nullopt;
}

}  // namespace

// ---- files ----

// Whether the answer says that the device is gone.
bool Gpu::note(int error) {
  if (error == 0) return false;
  if (is_gone(error)) {
    lost_error_ = error;
    return lost_ = true;
  }
  const State state = state_of(error);
  // It fell asleep between two files; or it is being reset, which is no sleep.
  if (error == EPERM && !runtime_status_.valid()) asleep_ = true;
  if (error == EPERM && runtime_status_.valid() && suspended()) asleep_ = true;
  if (state != State::unsupported && error != EPERM) host_.calls.count_error(error_name(error));
  return false;
}

Gpu::Row Gpu::read(Item& item) {
  Row row;
  std::string_view text;
  const SysFile::Shape shape = item.parse == Parse::pages ? SysFile::Shape::chunks : SysFile::Shape::text;
  const int error = host_.calls.measure(item.call, [&] { return item.file.read(host_.buffer, text, shape); });
  if (error != 0) {
    note(error);
    row.state = state_of(error);
    return row;
  }
  switch (item.parse) {
    case Parse::number:
      row.values[0] = parse_number(text);
      break;
    case Parse::level:
      row.values[0] = parse_highest_level(text);
      break;
    case Parse::speed:
      row.values[0] = parse_link_speed(text);
      break;
    case Parse::ras: {
      const RasCounts counts = parse_ras(text);
      row.values = {counts.uncorrected, counts.corrected, counts.deferred};
      break;
    }
    case Parse::pages:
      if (const auto pages = parse_bad_pages(text))
        row.values = {pages->retired, pages->pending > 0 ? 1.0 : 0.0, pages->failed};
      break;
  }
  bool any = false;
  for (std::optional<double>& value : row.values) {
    if (!value) continue;
    if (!item.negative && *value < 0) {
      value.reset();
      row.state = State::implausible;
      continue;
    }
    *value *= item.scale;
    any = true;
  }
  if (!any && row.state == State::ok) {
    row.state = State::error;
    host_.calls.count_error("malformed");
  }
  return row;
}

// Reads and decodes gpu_metrics. 0, or the errno; what was decoded says metrics_code_.
int Gpu::load_metrics() {
  if (!metrics_file_.valid()) return metrics_error_ != 0 ? metrics_error_ : ENOENT;
  std::string_view text;
  const int error = host_.calls.measure(metrics_call_,
                                        [&] { return metrics_file_.read(host_.buffer, text, SysFile::Shape::chunks); });
  metrics_error_ = error;
  if (error != 0) {
    metrics_.clear();
    note(error);
    return error;
  }
  metrics_code_ = decode(std::as_bytes(std::span(text.data(), text.size())), metrics_);
  // A revision that was known a moment ago does not become an unknown one.
  if (metrics_code_ == Code::invalid || (probed_ && metrics_code_ != Code::ok)) host_.calls.count_error("malformed");
  return 0;
}

// A driver or firmware that hangs goes on giving the last table, whose numbers look like any others.
void Gpu::look_whether_frozen() {
  constexpr unsigned kStill = 3;  // as many intervals as make any reading stale
  frozen_ = nullptr;
  for (Stamp& stamp : stamps_) {
    const std::optional<double> now = metrics_.get(stamp.gauge);
    if (now && now == stamp.last) {
      ++stamp.still;
    } else {
      stamp.moves = stamp.moves || (now && stamp.last);
      stamp.still = 0;
      if (now) stamp.last = now;
    }
    if (stamp.moves && stamp.still >= kStill) frozen_ = &stamp;
  }
  if (frozen_ != nullptr) metrics_.clear();
}

// Of what gpu_metrics does not tell at the moment.
State Gpu::metrics_state() const {
  if (metrics_error_ != 0) return state_of(metrics_error_);
  return frozen_ != nullptr ? State::not_ready : State::error;
}

std::optional<double> Gpu::join(const Pick& pick) const {
  double sum = 0, most = 0;
  int count = 0;
  for (uint16_t i = 0; i < pick.count; ++i) {
    const std::optional<double> value = metrics_.get(pick.gauge, pick.first + i);
    if (!value) continue;
    sum += *value;
    most = count == 0 ? *value : std::max(most, *value);
    ++count;
  }
  if (count == 0) return std::nullopt;
  const double value = pick.join == Join::sum ? sum : pick.join == Join::most ? most : sum / count;
  return pick.generation ? generation_of(value) : value;
}

// True while it sleeps: nothing else may be read then. Costs no wake-up.
bool Gpu::suspended() {
  if (!runtime_status_.valid()) return false;
  char buffer[64];
  std::string_view text;
  const int error = host_.calls.measure(runtime_call_, [&] { return runtime_status_.read(buffer, text); });
  if (error != 0) {
    note(error);
    return false;
  }
  text = trim(text);
  return text == "suspended" || text == "suspending" || text == "resuming";
}

// ---- publishing ----

void Gpu::publish(Frame& frame, const Output& output, std::optional<double> value, State state) {
  if (output.input != Input::none) {
    known_[static_cast<size_t>(output.input)] = value.has_value();
    if (value) input(output.input) = *value;
  }
  if (output.slot < 0) return;
  const auto i = static_cast<size_t>(at(output.slot & kSlotMask, static_cast<size_t>(output.slot >> kPartShift)));
  if (value) {
    frame.set(i, *value);
  } else {
    frame.absent(i, state);
  }
}

void Gpu::publish_absent(Frame& frame, State state) {
  for (const Part& part : parts_)
    for (auto i = static_cast<size_t>(part.base); i < static_cast<size_t>(part.end); ++i) frame.absent(i, state);
  known_.fill(false);
  energy_raw_.reset();
  counts_.reset();
}

void Gpu::follow_energy() {
  const std::optional<double> raw = metrics_.get(Gauge::energy);
  if (!raw) return;
  if (!energy_raw_) {
    // Where the counter is as long as the board's life, so is the series.
    if (joules_ <= 0 || *raw > joules_) joules_ = *raw;
  } else if (*raw >= *energy_raw_) {
    joules_ += *raw - *energy_raw_;
  } else {
    const double wrapped = *raw + metrics_.energy_modulus() - *energy_raw_;
    // Going round once, or started anew by a reset of the board.
    joules_ = metrics_.energy_modulus() < 1e9 && wrapped < metrics_.energy_modulus() / 2 ? joules_ + wrapped : *raw;
  }
  energy_raw_ = raw;
}

// Residencies are counts of the firmware's cycles: their growth over that of the cycles is the share of time.
void Gpu::follow_residencies() {
  constexpr Gauge kResidencies[] = {Gauge::residency_prochot, Gauge::residency_power, Gauge::residency_socket_thermal,
                                    Gauge::residency_vr_thermal, Gauge::residency_hbm_thermal};
  const std::optional<double> cycles = metrics_.get(Gauge::cycles);
  if (!cycles) return;
  Counts now;
  now.cycles = *cycles;
  now.read_at = to_seconds(host_.clock.monotonic());
  now.time = metrics_.get(Gauge::time).value_or(now.read_at);
  for (size_t i = 0; i < now.residencies.size(); ++i) now.residencies[i] = metrics_.get(kResidencies[i]).value_or(0);
  if (!counts_) {
    counts_ = now;
    for (Held& held : held_) (void)held.grown(metrics_);
    return;
  }
  const std::optional<double> passed = advance32(counts_->cycles, now.cycles);
  if (passed && *passed == 0) return;  // the firmware's table is still the last one
  // The firmware's clock says between which two tables the counts grew, to a second; no more than has passed here.
  const double seconds = std::min(now.time - counts_->time, now.read_at - counts_->read_at + 1);
  if (passed && seconds > 0) {
    double shares[5] = {};
    for (size_t i = 0; i < 5; ++i) {
      const std::optional<double> grown = advance32(counts_->residencies[i], now.residencies[i]);
      shares[i] = grown ? std::min(*grown / *passed, 1.0) : 0;
    }
    for (Held& held : held_) {
      const double share = std::min(held.grown(metrics_).value_or(0) / *passed, 1.0);
      held.seconds += share * seconds;
      held.on = share > 0;
    }
    const double thermal = std::max({shares[2], shares[3], shares[4]});
    const double by_reason[kReasons] = {shares[1], 0, thermal, shares[0], 0, 0};
    for (size_t reason = 0; reason < kReasons; ++reason) {
      throttled_[reason] += by_reason[reason] * seconds;
      active_[reason] = by_reason[reason] > 0;
    }
  }
  counts_ = now;
}

void Gpu::publish_throttling(Frame& frame) {
  if (throttling_ == Throttling::none) return;
  bool known = true;
  if (throttling_ == Throttling::residencies) {
    known = metrics_.get(Gauge::cycles).has_value();
    follow_residencies();
  } else if (throttling_ == Throttling::bits) {
    const std::optional<uint64_t> bits = metrics_.bits(Gauge::throttlers);
    known = bits.has_value();
    const uint64_t set = bits.value_or(0);
    const uint64_t by_reason[kReasons] = {set & kThrottlePower,    set & kThrottleCurrent,     set & kThrottleThermal,
                                          set & kThrottleHardware, set & kThrottleReliability, set & ~kThrottleKnown};
    for (size_t i = 0; i < kReasons; ++i) active_[i] = by_reason[i] != 0;
  } else {
    const std::optional<uint64_t> word = metrics_.bits(Gauge::throttle_status);
    known = word.has_value();
    active_[kReasons - 1] = word.value_or(0) != 0;
  }
  if (!known) active_.fill(false);
  const State state = metrics_state();
  for (size_t i = 0; i < kReasons; ++i) {
    const auto value = [&](double number) { return known ? std::optional<double>(number) : std::nullopt; };
    publish(frame, Output{active_slots_[i]}, value(active_[i] ? 1 : 0), state);
    if (time_slots_[i] >= 0) publish(frame, Output{time_slots_[i]}, value(throttled_[i]), state);
  }
  for (const Held& held : held_) {
    const auto active = static_cast<size_t>(at(held.active, held.part));
    const auto time = static_cast<size_t>(at(held.time, held.part));
    if (known) {
      frame.set(active, held.on ? 1 : 0);
      frame.set(time, held.seconds);
    } else {
      frame.absent(active, state);
      frame.absent(time, state);
    }
  }
}

void Gpu::publish_derived(Frame& frame, const PollRequest& due) {
  if (!due.is_due(Tier::fast)) return;
  const bool memory = known(Input::memory_total) && known(Input::memory_used) && input(Input::memory_total) > 0;
  for (const Part& part : parts_)
    if (part.memory >= 0) frame.set(static_cast<size_t>(part.base + part.memory), *part.nodes[0].memory);
  const double total = input(Input::memory_total), used = input(Input::memory_used);
  // A used size beyond the total is for the gate to refuse; what follows from it is not made up.
  const State state = memory ? State::implausible : State::not_ready;
  publish(frame, Output{share_slot_}, memory && used <= total ? std::optional<double>(used / total) : std::nullopt,
          state);
  publish(frame, Output{free_slot_}, memory && used <= total ? std::optional<double>(total - used) : std::nullopt,
          state);
  constexpr Input kSensors[] = {Input::edge, Input::junction, Input::memory};
  for (size_t i = 0; i < std::size(kSensors); ++i)
    if (margins_[i].slot >= 0)
      publish(frame, Output{margins_[i].slot},
              known(kSensors[i]) ? std::optional<double>(*margins_[i].limit - input(kSensors[i])) : std::nullopt,
              State::not_ready);
  if (energy_slot_ >= 0) {
    follow_energy();
    publish(frame, Output{energy_slot_}, metrics_.get(Gauge::energy) ? std::optional<double>(joules_) : std::nullopt,
            metrics_state());
  }
}

void Gpu::publish_status(Frame& frame) {
  HwState condition = HwState::ok;
  const bool hot = throttling_ != Throttling::word && active_[3];
  if ((known(Input::pages_pending) && input(Input::pages_pending) > 0) || hot) condition = HwState::degraded;
  if (lost_ || (known(Input::pages_failed) && input(Input::pages_failed) > 0)) condition = HwState::failed;
  // A part is as sound as the board that it is of: nothing of this is told for each.
  for (const Part& part : parts_)
    for (size_t i = 0; i < kHwStateCount; ++i)
      frame.set(static_cast<size_t>(part.base + part.status) + i, static_cast<HwState>(i) == condition ? 1 : 0);
}

Gpu::Outcome Gpu::poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) {
  Outcome outcome;
  if (lost_) {
    if (!told_lost_) {
      told_lost_ = true;
      events.push_back(Event{host_.clock.wall(), Severity::critical, identity().id, "device_lost",
                             "GPU " + identity().index + " does not answer any more: " + describe(lost_error_)});
    }
    publish_absent(frame, State::error);
    // Who it is does not change by its being lost.
    for (const Part& part : parts_) frame.set(static_cast<size_t>(part.base), 1);
    publish_status(frame);
    outcome.suspect = true;
    return outcome;
  }
  asleep_ = suspended();
  if (!asleep_ && !probed_ && !lost_) {
    outcome.rediscover = true;
    publish_absent(frame, State::not_ready);
    frame.set(static_cast<size_t>(at(info_slot_)), 1);
    publish_status(frame);
    return outcome;
  }
  const PollRequest due{static_cast<uint8_t>(blank_ ? 0xff : request.due)};
  for (size_t tier = 0; tier < kTiers && !asleep_ && !lost_; ++tier) {
    if (!due.is_due(static_cast<Tier>(tier))) continue;
    for (Item& item : items_[tier]) {
      const Row row = read(item);
      if (asleep_ || lost_) break;
      for (size_t i = 0; i < item.outputs.size(); ++i)
        publish(frame, item.outputs[i], row.values[i], row.state == State::ok ? State::error : row.state);
    }
  }
  bool wanted = throttling_ != Throttling::none || energy_slot_ >= 0;
  for (size_t tier = 0; tier < kTiers; ++tier)
    wanted = (wanted && due.is_due(Tier::fast)) || (due.is_due(static_cast<Tier>(tier)) && !picks_[tier].empty());
  if (wanted && !asleep_ && !lost_) {
    const bool was_frozen = frozen_ != nullptr;
    if (load_metrics() == 0 && metrics_code_ == Code::ok) look_whether_frozen();
    // Why it has no readings stands in the catalog.
    outcome.rediscover = was_frozen != (frozen_ != nullptr);
    const State state = metrics_state();
    for (size_t tier = 0; tier < kTiers && !asleep_ && !lost_; ++tier) {
      if (!due.is_due(static_cast<Tier>(tier))) continue;
      for (const Pick& pick : picks_[tier]) publish(frame, pick.output, join(pick), state);
    }
    if (!asleep_ && !lost_ && due.is_due(Tier::fast)) publish_throttling(frame);
  }
  if (lost_) return poll(request, frame, events);
  if (asleep_) {
    publish_absent(frame, State::not_ready);
    blank_ = true;
  } else {
    publish_derived(frame, due);
    blank_ = false;
  }
  if (due.is_due(Tier::slow)) {
    find_processes();
    outcome.rediscover = processes_changed() || outcome.rediscover;
  }
  publish_processes(frame);
  for (const Part& part : parts_) frame.set(static_cast<size_t>(part.base), 1);  // info
  frame.set(static_cast<size_t>(at(asleep_slot_)), asleep_ ? 1 : 0);
  publish_status(frame);
  return outcome;
}

// ---- processes ----

// Those of KFD on the part's nodes and, on the device itself, clients of its DRM nodes. What both see is one process,
// with the larger of both memories.
void Gpu::collect(size_t part, std::vector<Process>& out) const {
  out.clear();
  const Part& of = parts_[part];
  const bool whole_with_parts = part == 0 && parts_.size() > 1;
  for (const KfdProcess& found : host_.kfd_processes) {
    const auto node =
        std::find_if(of.nodes.begin(), of.nodes.end(), [&](const KfdNode& one) { return one.gpu_id == found.gpu_id; });
    if (node == of.nodes.end() || whole_with_parts) continue;
    Process process{found.pid, true, found.memory, std::nullopt};
    if (found.compute_units && node->compute_units > 0) process.occupancy = *found.compute_units / node->compute_units;
    out.push_back(process);
  }
  if (part == 0 && host_.clients_known) {
    for (const DrmClient& client : host_.clients.clients()) {
      if (client.info.pdev.view() != found_.address) continue;
      double memory = 0;
      for (const DrmRegion& region : client.info.all_regions())
        if (is_drm_region(region.name.view(), "vram")) memory += static_cast<double>(region.resident.value_or(0));
      const auto known =
          std::find_if(out.begin(), out.end(), [&](const Process& one) { return one.pid == client.pid; });
      if (known == out.end()) {
        out.push_back(Process{client.pid, false, memory, std::nullopt});
      } else if (known->compute) {
        known->memory = std::max(known->memory.value_or(0), memory);
      } else {
        known->memory = known->memory.value_or(0) + memory;
      }
    }
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Process& a, const Process& b) { return a.memory.value_or(0) > b.memory.value_or(0); });
}

void Gpu::find_processes() {
  for (size_t part = 0; part < parts_.size(); ++part) collect(part, parts_[part].processes);
}

bool Gpu::processes_changed() const {
  for (const Part& part : parts_) {
    if (std::min(part.processes.size(), kShownProcesses) != part.shown.size()) return true;
    for (size_t i = 0; i < part.shown.size(); ++i) {
      const auto same = [&](const Process& process) { return process.pid == part.shown[i].pid; };
      if (std::none_of(part.processes.begin(), part.processes.end(), same)) return true;
    }
  }
  return false;
}

void Gpu::publish_processes(Frame& frame) {
  for (const Part& part : parts_) {
    for (int kind = 0; kind < 2; ++kind) {
      if (part.counts[kind] < 0) continue;
      const auto i = static_cast<size_t>(part.counts[kind]);
      if (kind == 0 && host_.kfd_error != 0 && host_.kfd_error != ENOENT) {
        frame.absent(i, state_of(host_.kfd_error));
        continue;
      }
      frame.set(i, static_cast<double>(std::count_if(part.processes.begin(), part.processes.end(),
                                                     [&](const Process& one) { return one.compute == (kind == 0); })));
    }
    for (const Part::Shown& shown : part.shown) {
      const auto found = std::find_if(part.processes.begin(), part.processes.end(),
                                      [&](const Process& process) { return process.pid == shown.pid; });
      const bool there = found != part.processes.end();
      const auto put = [&](int slot, std::optional<double> value) {
        if (slot < 0) return;
        if (value)
          frame.set(static_cast<size_t>(slot), *value);
        else
          frame.absent(static_cast<size_t>(slot), State::not_ready);
      };
      put(shown.memory, there ? found->memory : std::nullopt);
      put(shown.occupancy, there ? found->occupancy : std::nullopt);
    }
  }
}

// ---- the catalog ----

void Gpu::explain_frozen(CatalogBuilder& builder, int device, size_t part) const {
  const std::string why = std::string("gpu_metrics stands still: the ") +
                          (frozen_->gauge == Gauge::time ? "driver's" : "firmware's") +
                          " timestamp in it, which moved before, has not moved for three readings";
  std::vector<MetricId> told;
  const auto tell = [&](MetricId metric) {
    if (std::find(told.begin(), told.end(), metric) != told.end()) return;
    told.push_back(metric);
    builder.absent(metric, device, State::not_ready, why);
  };
  for (const std::vector<Pick>& picks : picks_)
    for (const Pick& pick : picks)
      if (static_cast<size_t>(pick.output.slot >> kPartShift) == part)
        tell(parts_[part].series[static_cast<size_t>(pick.output.slot & kSlotMask)].metric);
  for (const Held& held : held_)
    if (held.part == part) tell(MetricId::throttle_active);
  if (part != 0) return;
  if (energy_slot_ >= 0) tell(MetricId::energy);
  if (throttling_ != Throttling::none) tell(MetricId::throttle_active);
}

void Gpu::inherit(const Gpu& earlier) {
  throttled_ = earlier.throttled_;
  for (Held& held : held_)
    for (const Held& before : earlier.held_)
      if (before.part == held.part && before.gauge == held.gauge && before.first == held.first)
        held.seconds = before.seconds;
  joules_ = earlier.joules_;
  told_lost_ = earlier.told_lost_ && lost_;
  stamps_ = earlier.stamps_;
}

void Gpu::build(CatalogBuilder& builder, const Catalog& catalog) {
  const int first = static_cast<int>(catalog.devices.size());
  for (size_t number = 0; number < parts_.size(); ++number) {
    Part& part = parts_[number];
    part.device.parent = number == 0 ? -1 : first;
    const int device = builder.add_device(part.device);
    part.base = static_cast<int>(catalog.series.size());
    for (const Series& series : part.series) builder.add(series.metric, device, series.tier, series.attributes);
    for (const Absence& absence : part.absences) builder.absent(absence.metric, device, absence.state, absence.reason);
    if (frozen_ != nullptr) explain_frozen(builder, device, number);
    part.shown.clear();
    part.counts[0] = part.counts[1] = -1;
    part.end = static_cast<int>(catalog.series.size());
    if (!probed_) continue;
    const bool computes = !part.nodes.empty() && !(number == 0 && parts_.size() > 1);
    const auto kind = [](bool compute) {
      return Attribute{AttributeId::process_kind, compute ? "compute" : "graphics"};
    };
    if (computes) part.counts[0] = builder.add(MetricId::process_count, device, Tier::slow, {kind(true)});
    if (number == 0 && host_.clients_known)
      part.counts[1] = builder.add(MetricId::process_count, device, Tier::slow, {kind(false)});
    for (const Process& process : part.processes) {
      if (part.shown.size() >= kShownProcesses) break;
      const Result<std::string> comm = read_file(host_.procfs + "/" + std::to_string(process.pid) + "/comm", 256);
      const std::vector<Attribute> attributes{
          {AttributeId::process_pid, std::to_string(process.pid)},
          {AttributeId::process_name, comm ? printable(trim(*comm), 64) : std::string()},
          kind(process.compute)};
      Part::Shown shown{process.pid, builder.add(MetricId::process_memory, device, Tier::slow, attributes), -1};
      if (process.occupancy) shown.occupancy = builder.add(MetricId::process_occupancy, device, Tier::slow, attributes);
      part.shown.push_back(shown);
    }
    part.end = static_cast<int>(catalog.series.size());
  }
  if (asleep_ || !probed_) blank_ = true;
}

}  // namespace accelmon::amdgpu
