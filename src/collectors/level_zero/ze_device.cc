// The catalog block of one GPU, and its polls.
#include "collectors/level_zero/ze_device.h"

#include <algorithm>

#include "base/fd.h"
#include "base/text.h"
#include "collectors/kernel_files.h"

namespace accelmon::level_zero {
namespace {

constexpr size_t kShownProcesses = 64;  // the most series of processes for a device
constexpr size_t kMostProcesses = 16384;
constexpr size_t kPerDevice = kHwStateCount + 1;  // its status, and what names it

}  // namespace

Gpu::Gpu(Host& host, Handle handle, Device identity, uint32_t tiles, bool integrated, KeptFile runtime_status)
    : CellBlock("the driver has no such value for this device",
                "the driver keeps this value from users without the right to see it"),
      host_(host),
      handle_(handle),
      integrated_(integrated),
      runtime_status_(std::move(runtime_status)) {
  constexpr uint32_t kMostTiles = 16;
  devices_.push_back(std::move(identity));
  const Device whole = devices_.front();
  for (uint32_t tile = 0; tiles > 1 && tile < std::min(tiles, kMostTiles); ++tile) {
    Device part = whole;
    part.type = DeviceType::gpu_partition;
    part.id += "/tile" + std::to_string(tile);
    part.index += ":" + std::to_string(tile);
    std::erase_if(part.info, [](const Attribute& one) { return one.id == AttributeId::hw_serial_number; });
    devices_.push_back(std::move(part));
  }
}

Tier Gpu::tier_of(int cell, Tier otherwise) const {
  for (const auto& source : sources_)
    if (source->owns(cell)) return source->tier;
  for (const Aggregate& aggregate : aggregates_) {
    if (aggregate.cell != cell) continue;
    Tier slowest = Tier::fast;
    for (const int part : aggregate.parts) slowest = std::max(slowest, tier_of(part, Tier::fast));
    return slowest;
  }
  return otherwise;
}

void Gpu::place() {
  CallMeter& calls = host_.ze.calls();
  for (const auto& source : sources_) source->tier = calls.place(source->call, source->wanted);
  if (has_processes_) process_tier_ = calls.place(process_call_, Tier::slow);
  for (Shown& one : shown_) one.series.tier = tier_of(one.cell, one.series.tier);
}

void Gpu::build(CatalogBuilder& builder, const Catalog& catalog) {
  const int first = static_cast<int>(catalog.devices.size());
  for (size_t i = 0; i < devices_.size(); ++i) {
    Device device = devices_[i];
    device.parent = i == 0 ? -1 : first;
    builder.add_device(std::move(device));
  }
  base_ = static_cast<int>(catalog.series.size());
  build_series(builder, first);

  process_slots_.clear();
  process_count_slot_ = -1;
  if (has_processes_) {
    process_count_slot_ = builder.add(MetricId::process_count, first, process_tier_) - base_;
    for (const Running& process : running_) {
      if (process_slots_.size() == kShownProcesses) break;
      std::vector<Attribute> attributes{{AttributeId::process_pid, std::to_string(process.pid)}};
      const auto comm = host_.ze.calls().measure(
          host_.comm_call, [&] { return read_file(host_.procfs + "/" + std::to_string(process.pid) + "/comm", 256); });
      if (comm) attributes.push_back({AttributeId::process_name, printable(trim(*comm), 64)});
      const int dense = builder.add(MetricId::process_memory, first, process_tier_, std::move(attributes));
      process_slots_.emplace_back(process.pid, dense - base_);
    }
  }
  block_ = static_cast<int>(catalog.series.size()) - base_;
  build_absences(builder, first);
  if (lost_ && !lost_reason_.empty()) builder.absent(MetricId::hw_status, first, State::error, lost_reason_);
}

// Keeps in mind that the device or the driver is gone. Returns whether to go on.
bool Gpu::note(ZeResult code) {
  if (code == kUninitialized) fatal_ = true;
  if (is_device_lost(code)) {
    lost_ = true;
    lost_code_ = code;
  }
  return !fatal_ && !lost_;
}

ZeResult Gpu::read_processes() {
  auto count = static_cast<uint32_t>(process_room_.size());
  for (ProcessState& state : process_room_) state = ProcessState();
  processes_code_ = host_.ze.call<Symbol::zesDeviceProcessesGetState>(handle_, &count, process_room_.data());
  running_.clear();
  if (processes_code_ == kInvalidSize) {
    // There are more than we had room for: the next time there is.
    process_room_.resize(
        std::min<size_t>(std::max<size_t>(size_t{count} * 2, process_room_.size() * 2), kMostProcesses));
    running_.reserve(process_room_.size());
    return processes_code_;
  }
  if (processes_code_ != kSuccess) return processes_code_;
  running_.reserve(process_room_.size());
  for (size_t i = 0; i < std::min<size_t>(count, process_room_.size()); ++i) {
    const ProcessState& state = process_room_[i];
    const auto known =
        std::find_if(running_.begin(), running_.end(), [&](const Running& one) { return one.pid == state.pid; });
    if (known == running_.end()) {
      running_.push_back(Running{state.pid, state.memory});
    } else {
      known->memory += state.memory;
    }
  }
  std::sort(running_.begin(), running_.end(), [](const Running& a, const Running& b) {
    return a.memory != b.memory ? a.memory > b.memory : a.pid < b.pid;
  });
  return processes_code_;
}

// Returns whether the processes are others than those in the catalog.
bool Gpu::poll_processes(Frame& frame) {
  const ZeResult code = read_processes();
  if (!note(code)) return false;
  const auto place = [this](int slot) { return static_cast<size_t>(base_ + slot); };
  const State state = code == kInvalidSize ? State::not_ready : state_of(code);
  if (code == kSuccess) {
    frame.set(place(process_count_slot_), static_cast<double>(running_.size()));
  } else {
    frame.absent(place(process_count_slot_), state);
  }
  size_t found = 0;
  for (const auto& [pid, slot] : process_slots_) {
    const uint32_t wanted = pid;
    const auto process =
        std::find_if(running_.begin(), running_.end(), [&](const Running& one) { return one.pid == wanted; });
    if (process == running_.end()) {
      frame.absent(place(slot), code == kSuccess ? State::not_ready : state);
    } else {
      frame.set(place(slot), static_cast<double>(process->memory));
      ++found;
    }
  }
  if (code != kSuccess) return false;
  // With as many as are shown at most, newcomers wait until one of those ends.
  return found < process_slots_.size() ||
         (process_slots_.size() < kShownProcesses && running_.size() > process_slots_.size());
}

// Nothing in use anywhere: not even what the driver itself needs. So it looks to those who may not see it.
void Gpu::hide_memory() {
  if (host_.rights.perfmon) return;
  for (const MemoryCells& memory : memories_) {
    const Cell& used = at(memory.used);
    if (used.state != State::ok || used.value != 0) return;
  }
  for (const MemoryCells& memory : memories_)
    for (const int i : {memory.used, memory.free, memory.share}) at(i).absent(State::no_permission);
}

// Everything that is read from the device.
void Gpu::publish_absent(Frame& frame, State state) const {
  for (int slot = 0; slot < block_; ++slot) frame.absent(static_cast<size_t>(base_ + slot), state);
}

bool Gpu::suspended() const {
  return runtime_status_.valid() &&
         host_.ze.calls().measure(host_.sleep_call, [&] { return is_suspended(runtime_status_); });
}

HwState Gpu::condition() const {
  const auto value = [this](int cell) {
    const Cell& one = at(cell);
    return one.state == State::ok ? one.value : 0;
  };
  const auto any = [&](const std::vector<int>& cells, double least) {
    return std::any_of(cells.begin(), cells.end(), [&](int cell) { return value(cell) >= least; });
  };
  if (lost_ || any(wedged_, 1)) return HwState::failed;
  if (any(memory_health_, kMemoryCritical) || any(repair_, 1)) return HwState::predicted_failure;
  if (any(memory_health_, kMemoryDegraded) || any(trouble_, 1)) return HwState::degraded;
  return HwState::ok;
}

void Gpu::publish_status(Frame& frame) const {
  const HwState now = condition();
  for (size_t device = 0; device < devices_.size(); ++device) {
    const size_t first = static_cast<size_t>(base_ + status_slot_) + device * kPerDevice;
    for (size_t i = 0; i < kHwStateCount; ++i) frame.set(first + i, static_cast<HwState>(i) == now ? 1 : 0);
    frame.set(first + kHwStateCount, 1);
  }
  if (runtime_status_.valid())
    frame.set(static_cast<size_t>(base_ + status_slot_) + devices_.size() * kPerDevice, asleep_ ? 1 : 0);
}

Gpu::Outcome Gpu::poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) {
  Outcome outcome;
  asleep_ = suspended();
  if (asleep_ || (!probed_ && !lost_)) {
    // What it can tell is asked when it wakes up.
    outcome.rediscover = !asleep_;
    blank_ = rested_ = true;
    publish_absent(frame, State::not_ready);
    publish_status(frame);
    return outcome;
  }
  const bool was_lost = lost_;
  // A lost device seldom comes back; it is asked again now and then, since each question may take the driver long.
  if (!probed_ || (was_lost && !request.is_due(Tier::slow))) {
    blank_ = true;
    publish_absent(frame, State::error);
    publish_status(frame);
    // One that was lost while it was asked for what it can tell is asked again from the start.
    PciState link;
    if (!probed_ && request.is_due(Tier::rare))
      outcome.rediscover = !is_device_lost(host_.ze.call<Symbol::zesDevicePciGetState>(handle_, &link));
    return outcome;
  }
  lost_ = false;
  const PollRequest due{static_cast<uint8_t>(was_lost || blank_ ? 0xff : request.due)};
  if (was_lost || rested_)
    for (const auto& source : sources_) source->forget();
  blank_ = rested_ = false;
  Reads in{host_.ze, cells_, host_.clock.monotonic(), host_.patience};
  bool going = true;
  for (const auto& source : sources_) {
    if (!due.is_due(source->tier)) continue;
    going = note(source->read(in));
    if (!going) break;
  }
  if (going) {
    hide_memory();
    compute_aggregates();
    publish(due, frame, base_);
    if (has_processes_ && due.is_due(process_tier_)) outcome.rediscover = poll_processes(frame);
  }
  outcome.library_lost = fatal_;
  if (lost_) {
    publish_absent(frame, State::error);
    if (!was_lost) {
      lost_reason_ = error_name(lost_code_);
      const std::string what =
          lost_code_ == kDeviceRequiresReset ? " must be reset before it can be used: " : " is lost: ";
      events.push_back(Event{host_.clock.wall(), Severity::critical, identity().id, "device_lost",
                             "GPU " + identity().index + what + lost_reason_});
    }
  } else if (was_lost && !fatal_) {
    events.push_back(Event{host_.clock.wall(), Severity::info, identity().id, "device_back",
                           "GPU " + identity().index + " answers again"});
  }
  // Why it is lost stands in the catalog.
  outcome.rediscover = outcome.rediscover || lost_ != was_lost;
  publish_status(frame);
  return outcome;
}

}  // namespace accelmon::level_zero
