// The catalog block of one device, and its polls.
#include <algorithm>
#include <utility>

#include "collectors/kernel_files.h"
#include "collectors/nvml/nvml_device.h"

namespace accelmon::nvml {

void DeviceReader::set_events(EventCounts* counts, int code) {
  event_counts_ = code == kSuccess ? counts : nullptr;
  if (code == kSuccess || parent_ != nullptr) return;
  absent(MetricId::events, state_of(code), reason_for(code, "this device does not report events through NVML"));
}

void DeviceReader::inherit(DeviceReader& earlier) {
  for (size_t tier = 0; tier < kTiers; ++tier) fields_[tier].inherit(earlier.fields_[tier]);
  gpm_totals_ = earlier.gpm_totals_;
  // With its samples, so that what ran between the last of them and now is counted.
  if (!is_part() && handle_ == earlier.handle_ && gpm_ != nullptr && earlier.gpm_ != nullptr)
    std::swap(gpm_, earlier.gpm_);
}

void DeviceReader::build(CatalogBuilder& builder, const Catalog& catalog, int parent) {
  if (gpm_slot_ >= 0) add_gpm_series();
  Device device = identity_;
  device.parent = parent;
  const int index = builder.add_device(std::move(device));
  base_ = static_cast<int>(catalog.series.size());
  for (const Series& series : series_) builder.add(series.metric, index, series.tier, series.attributes);
  const auto slot_of = [this](int dense) { return dense - base_; };

  shown_.clear();
  if (processes_ != nullptr) {
    for (const Process& process : processes_->processes()) {
      if (shown_.size() == kShownProcesses) break;
      std::vector<Attribute> attributes{{AttributeId::process_pid, std::to_string(process.pid)}};
      if (const std::string& name = host_.names.name(process.pid); !name.empty())
        attributes.push_back({AttributeId::process_name, name});
      attributes.push_back({AttributeId::process_kind, process.mode == kProcessesCompute ? "compute" : "graphics"});
      const int dense = builder.add(MetricId::process_memory, index, Tier::slow, std::move(attributes));
      shown_.push_back(Shown{process.pid, slot_of(dense)});
    }
  }

  event_slots_.clear();
  if (event_counts_ != nullptr) {
    for (const auto& [code, event] : *event_counts_) {
      const int dense = builder.add(
          MetricId::events, index, Tier::fast,
          {{AttributeId::event_code, code}, {AttributeId::severity, std::string(to_string(event.severity))}});
      event_slots_.emplace_back(&event, slot_of(dense));
    }
    event_codes_ = event_counts_->size();
  }
  block_ = static_cast<int>(catalog.series.size()) - base_;

  for (const Absence& absence : absences_) builder.absent(absence.metric, index, absence.state, absence.reason);
  if (!lost_reason_.empty() && (lost_ || handle_ == nullptr))
    builder.absent(MetricId::hw_status, index, lost_ ? State::error : State::no_permission, lost_reason_);
}

bool DeviceReader::shows(U32 pid) const {
  return std::any_of(shown_.begin(), shown_.end(), [pid](const Shown& shown) { return shown.pid == pid; });
}

void DeviceReader::publish(Frame& frame, int slot, const Reading& reading) const {
  if (slot < 0) return;
  const size_t i = static_cast<size_t>(base_ + slot);
  if (reading.code == kSuccess) {
    frame.set(i, reading.value);
  } else {
    frame.absent(i, state_of(reading.code));
  }
}

// Keeps in mind that a device or the library is gone. Returns whether to go on.
bool DeviceReader::note(int code) {
  if (code == kSuccess) return true;
  if (is_library_lost(code)) fatal_ = code;
  if (is_device_lost(code)) {
    lost_ = true;
    lost_code_ = code;
  }
  return fatal_ == 0 && !lost_;
}

bool DeviceReader::poll_items(Tier tier, Frame& frame) {
  std::array<Reading, kMostReadings> row;
  for (const Item& item : items_[static_cast<size_t>(tier)]) {
    item.read(Target{host_.nvml, handle_, item.argument}, row.data());
    if (!note(row[0].code)) return false;
    // The handle of a partition that was taken apart is refused.
    if (parent_ != nullptr && (row[0].code == kInvalidArgument || row[0].code == kNotFound)) suspect_ = true;
    for (int i = 0; i < item.count; ++i) {
      const auto n = static_cast<size_t>(i);
      publish(frame, item.slots[n], row[n]);
      if (item.health[n] != HealthInput::none && row[n].code == kSuccess) health_.set(item.health[n], row[n].value);
    }
  }
  return true;
}

bool DeviceReader::poll_fields(Tier tier, Frame& frame) {
  FieldBatch& batch = fields_[static_cast<size_t>(tier)];
  if (batch.size() == 0) return true;
  const Nanos now = host_.clock.monotonic();
  const int code = batch.read(host_.nvml, handle_);
  if (!note(code)) return false;
  Reading sum;
  for (size_t i = 0; i < batch.size(); ++i) {
    const FieldRequest& request = batch.request(i);
    const Reading reading = batch.reading(i, now);
    if (code == kSuccess) host_.nvml.count(reading.code);
    if (!note(reading.code)) return false;
    if (reading.code == kSuccess) health_.set(static_cast<HealthInput>(request.tag), reading.value);
    if (request.row == 1) {
      // A sum with a part that failed is no sum.
      if (!request.adds) {
        sum = reading;
      } else if (reading.code != kSuccess) {
        sum.code = reading.code;
      } else {
        sum.value += reading.value;
      }
      publish(frame, request.slot, sum);
      continue;
    }
    // A code: the one state that it names is 1. A code that we do not know names none.
    for (int state = 0; state < request.row; ++state)
      publish(frame, request.slot + state, Reading{reading.code, reading.value == state ? 1.0 : 0.0});
  }
  return true;
}

void DeviceReader::poll_spare_rows() {
  // Asked only of boards that have used spare rows: elsewhere it tells nothing, and some virtual ones log a kernel
  // warning each time.
  if (health_.get(HealthInput::rows_corrected) + health_.get(HealthInput::rows_uncorrected) == 0) return;
  RowRemapperHistogram banks{};
  if (host_.nvml.call<Symbol::nvmlDeviceGetRowRemapperHistogram>(handle_, &banks) == kSuccess)
    health_.set(HealthInput::banks_exhausted, banks.none);
}

// Of what host_.gpm holds. Returns whether some of these series will never have a value.
bool DeviceReader::publish_gpm(Frame& frame, size_t first, size_t count, Nanos window) {
  bool dropped = false;
  bool& known = gpm_known_[first == 0 ? 0 : 1];
  for (size_t i = first; i < first + count; ++i) {
    if (gpm_slots_[i] < 0) continue;
    Reading reading = host_.gpm.reading(i);
    host_.nvml.count(reading.code);
    if (kGpmSeries[i].bytes) {
      // A window that is not known would be missing for ever: the count begins anew, as counters may.
      gpm_totals_[i] = reading.code == kSuccess ? gpm_totals_[i] + reading.value * to_seconds(window) : 0;
      reading.value = gpm_totals_[i];
    }
    publish(frame, gpm_slots_[i], reading);
    if (!known && is_unsupported(reading.code) && !gpm_dropped_[i]) dropped = gpm_dropped_[i] = true;
  }
  known = true;
  return dropped;
}

// Returns whether it found that some of its series will never have a value.
bool DeviceReader::poll_gpm(Frame& frame) {
  const auto failed = [&](size_t first, size_t count) {
    note(gpm_->code());
    for (size_t i = first; i < first + count; ++i) publish(frame, gpm_slots_[i], Reading{gpm_->code(), 0});
    return false;
  };
  const GpmReader::Outcome outcome = gpm_->poll(host_.gpm, host_.clock.monotonic());
  if (outcome == GpmReader::Outcome::too_early) return false;
  if (outcome != GpmReader::Outcome::fresh) {
    if (outcome == GpmReader::Outcome::failed) gpm_totals_.fill(0);
    if (gpm_slow_due_) failed(kGpmFast, kGpmCount - kGpmFast);
    return failed(0, kGpmFast);
  }
  bool dropped = publish_gpm(frame, 0, kGpmFast, gpm_->window());
  if (!gpm_slow_due_) return dropped;
  gpm_slow_due_ = false;
  if (gpm_->poll_slow(host_.gpm) != GpmReader::Outcome::fresh) {
    failed(kGpmFast, kGpmCount - kGpmFast);
    return dropped;
  }
  return publish_gpm(frame, kGpmFast, kGpmCount - kGpmFast, 0) || dropped;
}

// Returns whether the processes are others than those in the catalog.
bool DeviceReader::poll_processes(Frame& frame) {
  processes_->read();
  bool complete = true;
  for (const ProcessMode mode : {kProcessesCompute, kProcessesGraphics}) {
    const ProcessReader::List& list = processes_->list(mode);
    if (process_count_slots_[mode] < 0) continue;
    if (!note(list.code)) return false;
    publish(frame, process_count_slots_[mode], Reading{list.code, static_cast<double>(list.count)});
    if (list.code != kSuccess || !list.complete) complete = false;
  }

  const std::vector<Process>& running = processes_->processes();
  size_t found = 0;
  for (const Shown& shown : shown_) {
    const auto process =
        std::find_if(running.begin(), running.end(), [&](const Process& one) { return one.pid == shown.pid; });
    if (process == running.end()) {
      // It has ended, or the list could not be read to where it stands.
      frame.absent(static_cast<size_t>(base_ + shown.slot), State::not_ready);
      continue;
    }
    ++found;
    publish(frame, shown.slot,
            process->memory ? Reading{kSuccess, static_cast<double>(*process->memory)} : Reading{kNotSupported, 0});
  }
  if (!complete) return false;
  // With as many as are shown at most, newcomers wait until one of those ends: the catalog does not change at each
  // poll.
  return found < shown_.size() || (shown_.size() < kShownProcesses && running.size() > shown_.size());
}

void DeviceReader::publish_status(Frame& frame) const {
  frame.set(static_cast<size_t>(base_ + info_slot_), 1);
  const bool unknown = handle_ == nullptr && !lost_;  // it may be well: we are not let near it
  const bool lost = lost_ || (parent_ != nullptr && parent_->lost_);
  const HwState status = health_.condition(lost);
  for (size_t i = 0; i < kHwStateCount; ++i) {
    const size_t place = static_cast<size_t>(base_ + status_slot_) + i;
    if (unknown) {
      frame.absent(place, State::no_permission);
    } else {
      frame.set(place, static_cast<HwState>(i) == status ? 1 : 0);
    }
  }
  for (const auto& [event, slot] : event_slots_) frame.set(static_cast<size_t>(base_ + slot), event->count);
}

// Everything that is read from the device.
void DeviceReader::publish_absent(Frame& frame, State state) const {
  for (int slot = 0; slot < block_; ++slot) frame.absent(static_cast<size_t>(base_ + slot), state);
}

bool DeviceReader::asleep() const {
  if (!runtime_status_.valid()) return false;
  return host_.nvml.calls().measure(host_.sleep_call, [&] { return is_suspended(runtime_status_); });
}

DeviceReader::Outcome DeviceReader::poll(const PollRequest& request, Frame& frame, std::vector<Event>& events) {
  Outcome outcome;
  const bool was_lost = lost_;
  const bool unreachable = handle_ == nullptr || !probed_ || (parent_ != nullptr && parent_->lost_);
  // A lost device seldom comes back; it is asked again now and then, since each question may take the driver long.
  if (unreachable || (was_lost && !request.is_due(Tier::slow))) {
    blank_ = true;
    publish_absent(frame, handle_ == nullptr && !lost_ ? State::no_permission : State::error);
    publish_status(frame);
    return outcome;
  }
  // Reading a GPU that the kernel has put to sleep would wake it, and change what is measured.
  if (asleep()) {
    blank_ = true;
    publish_absent(frame, State::not_ready);
    publish_status(frame);
    return outcome;
  }

  lost_ = false;
  const PollRequest due{static_cast<uint8_t>(was_lost || blank_ ? 0xff : request.due)};
  blank_ = false;
  bool going = true;
  for (const Tier tier : {Tier::fast, Tier::slow, Tier::rare}) {
    if (!going || !due.is_due(tier)) continue;
    going = poll_items(tier, frame) && poll_fields(tier, frame);
    if (!going) break;
    if (tier == Tier::fast && gpm_ != nullptr) {
      gpm_slow_due_ = gpm_slow_due_ || due.is_due(Tier::slow);
      if (poll_gpm(frame)) outcome.rediscover = true;
    }
    if (tier == Tier::slow) {
      poll_spare_rows();
      if (processes_ != nullptr && poll_processes(frame)) outcome.rediscover = true;
    }
    going = fatal_ == 0 && !lost_;
  }
  outcome.library_lost = fatal_ != 0;
  outcome.suspect = std::exchange(suspect_, false);
  if (lost_) {
    publish_absent(frame, State::error);
    if (!was_lost) tell_lost(events);
  } else if (was_lost && fatal_ == 0) {
    events.push_back(Event{host_.clock.wall(), Severity::info, identity_.id, "device_back",
                           "GPU " + identity_.index + " answers again"});
  }
  // Why it is lost stands in the catalog.
  outcome.rediscover = outcome.rediscover || lost_ != was_lost || event_codes_changed();
  publish_status(frame);
  return outcome;
}

void DeviceReader::tell_lost(std::vector<Event>& events) {
  lost_reason_ = host_.nvml.error_text(lost_code_);
  const std::string what = lost_code_ == kResetRequired ? " must be reset before it can be used: " : " is lost: ";
  events.push_back(Event{host_.clock.wall(), Severity::critical, identity_.id, "device_lost",
                         "GPU " + identity_.index + what + lost_reason_});
}

bool DeviceReader::event_codes_changed() const {
  return event_counts_ != nullptr && event_counts_->size() != event_codes_;
}

}  // namespace accelmon::nvml
