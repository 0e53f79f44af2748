// The catalog block of one GPU, and its polls.
#include "collectors/intel_kernel/intel_gpu.h"

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "collectors/hw_state.h"

namespace accelmon::intel_kernel {
namespace {

constexpr size_t kShownProcesses = 64;            // the most series of processes for a device
constexpr size_t kPerDevice = kHwStateCount + 1;  // its status, and what names it

}  // namespace

Gpu::Gpu(Host& host, const PciFunction& function, Driver driver, unsigned index)
    : CellBlock("the driver cannot tell this of the device", "the kernel keeps this from the user that asks"),
      host_(host),
      function_(function),
      driver_(driver) {
  find_nodes();
  find_gts();
  Device device;
  device.type = DeviceType::gpu;
  device.id = function_.address;
  device.index = std::to_string(index);
  device.vendor = "intel";
  device.model = pci_model(function_.vendor, function_.device);
  if (const auto release = first_line(host_.procfs + "/sys/kernel/osrelease"); release && !release->empty())
    device.info.push_back({AttributeId::hw_driver_version, function_.driver + " of Linux " + *release});
  device.info.push_back({AttributeId::pci_address, function_.address});
  if (function_.numa_node >= 0) device.info.push_back({AttributeId::numa_node, std::to_string(function_.numa_node)});
  devices_.push_back(device);
  unsigned tiles = 0;
  for (const Gt& gt : gts_) tiles = std::max(tiles, gt.tile + 1);
  for (unsigned tile = 0; tiles > 1 && tile < tiles; ++tile) {
    Device part = device;
    part.type = DeviceType::gpu_partition;
    part.id += "/tile" + std::to_string(tile);
    part.index += ":" + std::to_string(tile);
    devices_.push_back(std::move(part));
  }
  if (auto file = KeptFile::open(function_.folder + "/power/runtime_status")) runtime_status_ = std::move(*file);
}

// Files that were opened before the driver let go of the device stay dead when it takes it up again.
bool Gpu::answers_anew() const {
  for (const Gt& gt : gts_) {
    NumberFile file;
    int64_t megahertz = 0;
    const char* name = driver_ == Driver::xe   ? "/act_freq"
                       : gt.frequency == card_ ? "/gt_act_freq_mhz"
                                               : "/rps_act_freq_mhz";
    if (file.open(gt.frequency + name) == 0 && file.read(megahertz) == 0) return true;
  }
  return false;
}

void Gpu::renumber(unsigned index) {
  const std::string text = std::to_string(index);
  devices_.front().index = text;
  for (size_t part = 1; part < devices_.size(); ++part) devices_[part].index = text + ":" + std::to_string(part - 1);
}

void Gpu::look_whether_asleep() {
  asleep_ = is_suspended(runtime_status_);
}

// Why the clients of this device may be more than those that were seen; empty: they are all there are.
std::string Gpu::clients_incomplete() const {
  if (!host_.scanned.ok()) return "the processes cannot be looked into: " + host_.scanned.message();
  const DrmClients::Counts& counts = host_.clients.counts();
  if (counts.refused > 0)
    return std::to_string(counts.refused) +
           " processes of other users cannot be looked into: that needs CAP_SYS_PTRACE";
  if (counts.cut) return "there are more processes or clients than are looked into";
  return {};
}

Tier Gpu::tier_of(int cell, Tier otherwise) const {
  const bool of_clients = std::any_of(client_engines_.begin(), client_engines_.end(),
                                      [&](const ClientEngine& engine) { return engine.cell == cell; });
  if (of_clients || (cell >= 0 && (cell == client_memory_.used || cell == client_memory_.share)))
    return host_.scan_tier;
  for (const auto& source : sources_)
    if (source->owns(cell)) return source->tier;
  for (const Aggregate& aggregate : aggregates_) {
    if (aggregate.cell != cell) continue;
    Tier slowest = otherwise;
    for (const int part : aggregate.parts) slowest = std::max(slowest, tier_of(part, otherwise));
    return slowest;
  }
  return otherwise;
}

void Gpu::place() {
  for (const auto& source : sources_) source->tier = host_.calls.place(source->call, source->wanted);
  for (Shown& one : shown_)
    if (one.cell >= 0) one.series.tier = tier_of(one.cell, one.series.tier);
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
  if (awake_) {
    host_.clients.processes(function_.address, driver_ == Driver::xe ? "vram" : "local", running_);
    process_count_slot_ = builder.add(MetricId::process_count, first, host_.scan_tier) - base_;
    for (const DrmProcess& process : running_) {
      if (!shows_memory_of_processes_ || process_slots_.size() == kShownProcesses) break;
      std::vector<Attribute> attributes{{AttributeId::process_pid, std::to_string(process.pid)}};
      if (!process.comm.empty()) attributes.push_back({AttributeId::process_name, std::string(process.comm)});
      const int dense = builder.add(MetricId::process_memory, first, host_.scan_tier, std::move(attributes));
      process_slots_.emplace_back(process.pid, dense - base_);
    }
  }
  block_ = static_cast<int>(catalog.series.size()) - base_;
  blank_ = true;
  build_absences(builder, first);
}

void Gpu::read_clients() {
  const std::string_view region = driver_ == Driver::xe ? "vram" : "local";
  host_.clients.processes(function_.address, region, running_);
  const bool whole = host_.scanned.ok() && host_.clients.counts().refused == 0 && !host_.clients.counts().cut;
  for (const ClientEngine& engine : client_engines_) {
    Cell& cell = at(engine.cell);
    cell.absent(whole ? State::not_ready : State::no_permission);
    for (const std::string_view name : engine.names) {
      const auto share = host_.clients.utilization(function_.address, name);
      if (whole && share) cell.set(cell.state == State::ok ? std::max(cell.value, *share) : *share);
    }
  }
  if (client_memory_.used < 0) return;
  Cell& used = at(client_memory_.used);
  Cell& share = at(client_memory_.share);
  const Cell& total = at(client_memory_.total);
  double sum = 0;
  for (const DrmProcess& process : running_) sum += static_cast<double>(process.memory);
  if (!whole || total.state != State::ok) {
    used.absent(whole ? total.state : State::no_permission);
    share = used;
  } else if (sum > total.value) {
    // What clients share is counted with each of them.
    used.absent(State::implausible);
    share = used;
  } else {
    used.set(sum);
    share.set(sum / total.value);
  }
}

// Returns whether the processes are others than those in the catalog.
bool Gpu::poll_processes(Frame& frame) {
  const bool whole = host_.scanned.ok() && host_.clients.counts().refused == 0 && !host_.clients.counts().cut;
  const auto place = [this](int slot) { return static_cast<size_t>(base_ + slot); };
  if (whole) {
    frame.set(place(process_count_slot_), static_cast<double>(running_.size()));
  } else {
    frame.absent(place(process_count_slot_), host_.scanned.ok() ? State::no_permission : State::error);
  }
  size_t found = 0;
  for (const auto& [pid, slot] : process_slots_) {
    const uint32_t wanted = pid;
    const auto process =
        std::find_if(running_.begin(), running_.end(), [&](const DrmProcess& one) { return one.pid == wanted; });
    if (process == running_.end()) {
      frame.absent(place(slot), host_.scanned.ok() ? State::not_ready : State::error);
    } else {
      frame.set(place(slot), static_cast<double>(process->memory));
      ++found;
    }
  }
  if (!host_.scanned.ok() || !shows_memory_of_processes_) return false;
  // With as many as are shown at most, newcomers wait until one of those ends.
  return found < process_slots_.size() ||
         (process_slots_.size() < kShownProcesses && running_.size() > process_slots_.size());
}

void Gpu::publish_absent(Frame& frame, State state) const {
  for (int slot = 0; slot < block_; ++slot) frame.absent(static_cast<size_t>(base_ + slot), state);
}

void Gpu::publish_status(Frame& frame) const {
  const HwState now = lost_ || broken_ ? HwState::failed : HwState::ok;
  size_t place = static_cast<size_t>(base_ + status_slot_);
  for (size_t device = 0; device < devices_.size(); ++device, place += kPerDevice) {
    for (size_t i = 0; i < kHwStateCount; ++i) frame.set(place + i, static_cast<HwState>(i) == now ? 1 : 0);
    frame.set(place + kHwStateCount, 1);
  }
  if (runtime_status_.valid()) frame.set(place, asleep_ ? 1 : 0);
}

Gpu::Outcome Gpu::poll(const PollRequest& request, bool scanned, Frame& frame, std::vector<Event>& events) {
  Outcome outcome;
  look_whether_asleep();
  if (asleep_ || !awake_) {
    // What it can tell is asked when it wakes up.
    outcome.rediscover = !asleep_ && !broken_;
    blank_ = resting_ = true;
    publish_absent(frame, State::not_ready);
    publish_status(frame);
    return outcome;
  }
  const bool was_lost = lost_;
  const PollRequest due{static_cast<uint8_t>(was_lost || blank_ ? 0xff : request.due)};
  if (was_lost || resting_)
    for (const auto& source : sources_) source->forget();
  blank_ = resting_ = false;
  Reads in{host_.calls, host_.clock, cells_, host_.patience};
  size_t answered = 0, gone = 0;
  for (const auto& source : sources_) {
    if (!due.is_due(source->tier)) continue;
    const int error = source->read(in);
    if (is_gone(error)) {
      ++gone;
    } else {
      ++answered;
    }
    if (error != 0 && state_of(error) != State::not_ready && state_of(error) != State::unsupported)
      host_.calls.count_error(errno_name(error));
  }
  if (answered + gone > 0) lost_ = answered == 0;
  if (lost_) {
    publish_absent(frame, State::error);
    if (was_lost && request.is_due(Tier::slow)) outcome.rediscover = reborn_ = answers_anew();
    if (!was_lost)
      events.push_back(Event{host_.clock.wall(), Severity::critical, function_.address, "device_lost",
                             "GPU " + devices_.front().index + " is lost: its driver has nothing of it any more"});
  } else {
    if (scanned) read_clients();
    compute_aggregates();
    publish(due, frame, base_);
    if (process_count_slot_ >= 0 && (scanned || due.is_due(host_.scan_tier)))
      outcome.rediscover = poll_processes(frame);
    if (was_lost) {
      outcome.rediscover = true;  // so that its slower tiers are due
      events.push_back(Event{host_.clock.wall(), Severity::info, function_.address, "device_back",
                             "GPU " + devices_.front().index + " answers again"});
    }
  }
  publish_status(frame);
  return outcome;
}

}  // namespace accelmon::intel_kernel
