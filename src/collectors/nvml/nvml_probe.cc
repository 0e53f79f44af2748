// Discovery of one device: every question that NVML answers, asked once.
#include <algorithm>

#include "collectors/nvml/nvml_device.h"

namespace accelmon::nvml {
namespace {

constexpr struct {
  int domain;
  const char* name;
} kDomains[] = {{kClockGraphics, "graphics"}, {kClockSm, "sm"}, {kClockMemory, "memory"}, {kClockVideo, "video"}};

constexpr U32 kMostFans = 16;
// Thresholds are absolute temperatures on some boards and margins to them on others, and the call does not say which.
// No board slows down below this.
constexpr double kLeastAbsoluteLimit = 50;

const char* architecture_name(U32 architecture) {
  switch (architecture) {
    case kKepler:
      return "Kepler";
    case kMaxwell:
      return "Maxwell";
    case kPascal:
      return "Pascal";
    case kVolta:
      return "Volta";
    case kTuring:
      return "Turing";
    case kAmpere:
      return "Ampere";
    case kAda:
      return "Ada Lovelace";
    case kHopper:
      return "Hopper";
    case kBlackwell:
      return "Blackwell";
    case kRubin:
      return "Rubin";
    default:
      return nullptr;
  }
}

constexpr const char* kWhileMig = "not readable while MIG is on: its partitions have readings of their own";

}  // namespace

DeviceReader::DeviceReader(Host& host, DeviceHandle handle, Device identity, std::string pci_address)
    : host_(host), handle_(handle), identity_(std::move(identity)), pci_address_(std::move(pci_address)) {
  gpm_slots_.fill(-1);
  info_slot_ = add(MetricId::device_info, Tier::rare);
  for (const char* status : kHwStates) {
    const int slot = add(MetricId::hw_status, Tier::fast, {{AttributeId::hw_state, status}});
    if (status_slot_ < 0) status_slot_ = slot;
  }
}

void DeviceReader::fail(int code, std::string reason) {
  lost_ = code != kNoPermission;
  lost_code_ = code;
  lost_reason_ = std::move(reason);
}

void DeviceReader::make_part(DeviceReader& parent, int gpu_instance, bool shares_instance) {
  parent_ = &parent;
  gpu_instance_ = gpu_instance;
  shares_instance_ = shares_instance;
  architecture_ = parent.architecture_;
}

void DeviceReader::probe() {
  if (handle_ == nullptr) return;
  if (parent_ != nullptr) {
    probe_part();
  } else {
    probe_architecture();
    probe_whole();
  }
  probed_ = !lost_ && fatal_ == 0;
}

void DeviceReader::probe_architecture() {
  U32 architecture = kArchitectureUnknown;
  if (host_.nvml.call<Symbol::nvmlDeviceGetArchitecture>(handle_, &architecture) != kSuccess) return;
  architecture_ = architecture;
  if (const char* name = architecture_name(architecture))
    identity_.info.push_back(Attribute{AttributeId::architecture, name});
}

void DeviceReader::probe_whole() {
  offer({read_mig_mode}, 0, Tier::rare,
        {{MetricId::mig_enabled, {{AttributeId::which, "current"}}, HealthInput::mig_current},
         {MetricId::mig_enabled, {{AttributeId::which, "pending"}}}},
        "this board cannot be partitioned (MIG)");
  probe_utilization();
  probe_memory();
  probe_temperature();
  probe_clocks();
  probe_fans();
  probe_ecc();
  probe_bus();
  start_gpm();
  probe_fields();
  probe_pcie_bytes();
  probe_power();
  probe_nvlinks();
  probe_processes();
  probe_sleep();
  probe_gpm();  // last: see gpm_slot_
}

void DeviceReader::probe_part() {
  probe_memory();
  probe_ecc();
  probe_processes();
  absent(MetricId::gpu_utilization, State::unsupported,
         "NVML has no utilization of MIG partitions: see accelmon.gpu.graphics.activity and accelmon.gpu.sm.activity");
  start_gpm();
  for (const MetricId metric : {MetricId::temperature, MetricId::power, MetricId::energy, MetricId::clock_frequency})
    absent(metric, State::unsupported, "is measured for the whole GPU: see the parent device");
  probe_gpm();
}

// ---- tools ----

int DeviceReader::add(MetricId metric, Tier tier, std::vector<Attribute> attributes) {
  series_.push_back(Series{metric, -1, tier, std::move(attributes)});
  return static_cast<int>(series_.size()) - 1;
}

void DeviceReader::absent(MetricId metric, State state, std::string reason) {
  Absence absence{metric, -1, state, std::move(reason)};
  if (std::find(absences_.begin(), absences_.end(), absence) == absences_.end())
    absences_.push_back(std::move(absence));
}

bool DeviceReader::has(MetricId metric) const {
  return std::any_of(series_.begin(), series_.end(), [&](const Series& series) { return series.metric == metric; });
}

std::string DeviceReader::reason_for(int code, std::string_view why) {
  switch (state_of(code)) {
    case State::unsupported:
    case State::ok:
      if (code == kFunctionNotFound) return "the installed driver is too old for it: its library lacks the call";
      return why.empty() ? host_.nvml.error_text(code) : std::string(why);
    case State::no_permission:
      return "the driver refuses it to this user: " + host_.nvml.error_text(code);
    default:
      return "at discovery: " + host_.nvml.error_text(code);
  }
}

// The device or the library is gone: no further questions.
bool DeviceReader::fails(int code) {
  if (is_library_lost(code)) fatal_ = code;
  if (is_device_lost(code) && !lost_) fail(code, "at discovery: " + host_.nvml.error_text(code));
  return fatal_ != 0 || lost_;
}

Reading DeviceReader::peek(Read read, int argument) {
  std::array<Reading, kMostReadings> row{};
  if (fatal_ != 0 || lost_) return Reading{kGpuIsLost, 0};
  read(Target{host_.nvml, handle_, argument}, row.data());
  fails(row[0].code);
  return row[0];
}

bool DeviceReader::offer(std::initializer_list<Read> candidates, int argument, Tier tier, std::vector<Output> outputs,
                         std::string_view why, bool may_wait) {
  if (fatal_ != 0 || lost_) return false;
  std::array<Reading, kMostReadings> row{};
  Item item;
  int code = kFunctionNotFound;
  for (const Read read : candidates) {
    row.fill(Reading{});
    read(Target{host_.nvml, handle_, argument}, row.data());
    if (fails(row[0].code)) return false;
    // A call that is missing says less about the device than one that it refuses.
    if (row[0].code != kFunctionNotFound) code = row[0].code;
    item.read = read;
    if (!is_unsupported(row[0].code)) break;
  }

  tier = host_.nvml.calls().place(host_.nvml.calls().last(), tier);
  if (may_wait && tier == Tier::fast && row[0].code == kSuccess) {
    Nanos cost = kFastBudget + 1;
    for (int tries = 0; tries < 2 && cost > kFastBudget && row[0].code == kSuccess; ++tries) {
      const Nanos began = host_.clock.monotonic();
      item.read(Target{host_.nvml, handle_, argument}, row.data());
      cost = host_.clock.monotonic() - began;
      if (fails(row[0].code)) return false;
    }
    if (cost > kFastBudget) {
      tier = Tier::slow;
      host_.waits(std::string(info(outputs[0].metric).name), cost);
    }
  }
  item.argument = argument;
  item.count = static_cast<int>(outputs.size());
  item.slots.fill(-1);
  bool any = false;
  for (size_t i = 0; i < outputs.size(); ++i) {
    Output& output = outputs[i];
    const int own = row[i].code;
    item.health[i] = output.health;
    if (is_unsupported(own)) {
      absent(output.metric, State::unsupported, reason_for(is_unsupported(row[0].code) ? code : own, why));
      continue;
    }
    if (own == kSuccess) {
      health_.set(output.health, row[i].value);
    } else if (state_of(own) != State::not_ready) {
      // It may be read later, so that it has a series; until then the reason stands here.
      absent(output.metric, state_of(own), reason_for(own, why));
    }
    item.slots[i] = add(output.metric, tier, std::move(output.attributes));
    any = true;
  }
  if (any) items_[static_cast<size_t>(tier)].push_back(item);
  return any;
}

// ---- what is asked ----

void DeviceReader::probe_utilization() {
  const std::string_view why = mig_on() ? kWhileMig : std::string_view();
  offer({read_utilization}, 0, Tier::fast,
        {{MetricId::gpu_utilization, {{AttributeId::gpu_task, "general"}}},
         {MetricId::gpu_memory_controller_utilization}},
        why);
  offer({read_encoder}, 0, Tier::fast, {{MetricId::gpu_utilization, {{AttributeId::gpu_task, "encoder"}}}},
        mig_on() ? kWhileMig : "this device has no video encoder that can be read");
  offer({read_decoder}, 0, Tier::fast, {{MetricId::gpu_utilization, {{AttributeId::gpu_task, "decoder"}}}},
        mig_on() ? kWhileMig : "this device has no video decoder that can be read");
  offer({read_jpeg}, 0, Tier::fast, {{MetricId::gpu_engine_utilization, {{AttributeId::engine, "jpeg"}}}},
        mig_on() ? kWhileMig : "this device has no JPEG engine that can be read");
  offer({read_ofa}, 0, Tier::fast, {{MetricId::gpu_engine_utilization, {{AttributeId::engine, "ofa"}}}},
        mig_on() ? kWhileMig : "this device has no optical flow engine that can be read");
}

void DeviceReader::probe_memory() {
  offer({read_memory, read_memory_old}, 0, Tier::fast,
        {{MetricId::gpu_memory_limit},
         {MetricId::gpu_memory_usage},
         {MetricId::gpu_memory_free},
         {MetricId::gpu_memory_utilization},
         {MetricId::gpu_memory_reserved}},
        "this device has no memory of its own that the driver counts");
  offer({read_bar1}, 0, Tier::slow, {{MetricId::gpu_bar_usage}, {MetricId::gpu_bar_limit}});
}

void DeviceReader::probe_temperature() {
  const Attribute gpu{AttributeId::sensor_location, "gpu"};
  const Attribute memory{AttributeId::sensor_location, "memory"};
  const bool has_margin = offer({read_margin}, 0, Tier::fast, {{MetricId::temperature_margin, {gpu}}}, {}, true);
  // The board's own margin is better than a difference of ours, which is the last resort.
  const Reading slowdown = peek(read_threshold, kThresholdSlowdown);
  const bool known = slowdown.code == kSuccess && slowdown.value >= kLeastAbsoluteLimit;
  if (!has_margin && known) {
    std::erase_if(absences_, [](const Absence& absence) { return absence.metric == MetricId::temperature_margin; });
    offer({read_temperature, read_temperature_old}, static_cast<int>(slowdown.value), Tier::fast,
          {{MetricId::temperature, {gpu}}, {MetricId::temperature_margin, {gpu}}});
  } else {
    offer({read_temperature, read_temperature_old}, 0, Tier::fast, {{MetricId::temperature, {gpu}}});
  }

  const struct {
    int threshold;
    const char* type;
    Attribute where;
  } limits[] = {{kThresholdSlowdown, "high.degraded", gpu},
                {kThresholdShutdown, "high.critical", gpu},
                {kThresholdGpuMax, "max", gpu},
                {kThresholdMemoryMax, "max", memory}};
  for (const auto& limit : limits) {
    const Reading reading = peek(read_threshold, limit.threshold);
    if (reading.code == kSuccess && reading.value < kLeastAbsoluteLimit) {
      absent(MetricId::temperature_limit, State::unsupported,
             std::string(limit.type) + " of " + limit.where.value + " is no absolute temperature on this board: see " +
                 "accelmon.temperature.margin");
      continue;
    }
    offer({read_threshold}, limit.threshold, Tier::rare,
          {{MetricId::temperature_limit, {limit.where, {AttributeId::limit_type, limit.type}}}},
          has_margin ? std::string("this board states its limits as margins to them: see accelmon.temperature.margin")
                     : "this board states no " + std::string(limit.type) + " for its " + limit.where.value);
  }
}

void DeviceReader::probe_clocks() {
  for (const auto& domain : kDomains) {
    const std::vector<Attribute> attributes{{AttributeId::clock_domain, domain.name}};
    offer({read_clock}, domain.domain, Tier::fast, {{MetricId::clock_frequency, attributes}});
    offer({read_clock_limit}, domain.domain, Tier::rare, {{MetricId::clock_limit, attributes}});
  }
  offer({read_performance_state}, 0, Tier::fast, {{MetricId::performance_state}});

  std::vector<Output> reasons;
  for (const Reason& reason : kReasons) {
    HealthInput health = HealthInput::none;
    if (reason.bit == kReasonHardwareSlowdown) health = HealthInput::hardware_slowdown;
    if (reason.bit == kReasonPowerBrake) health = HealthInput::power_brake;
    reasons.push_back(Output{MetricId::throttle_active, {{AttributeId::reason, reason.name}}, health});
  }
  offer({read_reasons, read_reasons_old}, 0, Tier::fast, std::move(reasons));

  // A reason that the board never gives would stand at 0 for ever, which is not the same as not being throttled.
  U64 supported = 0;
  int code = host_.nvml.call<Symbol::nvmlDeviceGetSupportedClocksEventReasons>(handle_, &supported);
  if (is_unsupported(code))
    code = host_.nvml.call<Symbol::nvmlDeviceGetSupportedClocksThrottleReasons>(handle_, &supported);
  if (code != kSuccess || supported == 0 || items_[0].empty()) return;
  Item& item = items_[0].back();
  if (item.count != static_cast<int>(kReasonCount)) return;
  // They are the newest series: those that stay move up.
  const size_t first = series_.size() - kReasonCount;
  std::vector<Series> all(series_.begin() + static_cast<std::ptrdiff_t>(first), series_.end());
  series_.resize(first);
  for (size_t i = 0; i < kReasonCount; ++i) {
    item.slots[i] = -1;
    if ((supported & kReasons[i].bit) != 0) {
      series_.push_back(std::move(all[i]));
      item.slots[i] = static_cast<int>(series_.size()) - 1;
    } else {
      absent(MetricId::throttle_active, State::unsupported,
             std::string("this board does not report the reason ") + kReasons[i].name);
    }
  }
}

void DeviceReader::probe_fans() {
  constexpr const char* kNoFan = "this board has no fan";
  U32 fans = 0;
  int code = host_.nvml.call<Symbol::nvmlDeviceGetNumFans>(handle_, &fans);
  if (fails(code)) return;
  if (code == kFunctionNotFound) {
    code = kSuccess;
    fans = 1;  // if it has any; the older call for the first one says so
  }
  if (code != kSuccess || fans == 0) {
    const int verdict = code == kSuccess ? static_cast<int>(kNotSupported) : code;
    for (const MetricId metric : {MetricId::fan_speed_ratio, MetricId::fan_speed})
      absent(metric, state_of(verdict), reason_for(verdict, kNoFan));
    return;
  }
  for (U32 fan = 0; fan < std::min(fans, kMostFans); ++fan) {
    const std::vector<Attribute> attributes{{AttributeId::fan, std::to_string(fan)}};
    if (fan == 0) {
      offer({read_fan_ratio, read_fan_ratio_old}, 0, Tier::slow, {{MetricId::fan_speed_ratio, attributes}}, kNoFan);
    } else {
      offer({read_fan_ratio}, static_cast<int>(fan), Tier::slow, {{MetricId::fan_speed_ratio, attributes}}, kNoFan);
    }
    offer({read_fan_rpm}, static_cast<int>(fan), Tier::slow, {{MetricId::fan_speed, attributes}},
          "the fan does not tell its speed in rpm");
  }
}

void DeviceReader::probe_ecc() {
  constexpr const char* kNoEcc = "this device's memory has no error correction, or it is off";
  if (parent_ == nullptr) {
    offer({read_ecc_mode}, 0, Tier::slow,
          {{MetricId::ecc_enabled, {{AttributeId::which, "current"}}},
           {MetricId::ecc_enabled, {{AttributeId::which, "pending"}}}},
          kNoEcc);
  }
  for (const int counter : {kEccVolatile, kEccAggregate}) {
    const MetricId metric = counter == kEccVolatile ? MetricId::errors : MetricId::errors_lifetime;
    for (const int error : {kEccCorrected, kEccUncorrected}) {
      const Attribute type{AttributeId::error_type, error == kEccCorrected ? "corrected" : "uncorrected"};
      const int sram = ecc_argument(error, counter, kLocationSram);
      const int dram = ecc_argument(error, counter, kLocationDram);
      const int total = ecc_argument(error, counter);
      const bool has_sram = !is_unsupported(peek(read_ecc_errors, sram).code);
      const bool has_dram = !is_unsupported(peek(read_ecc_errors, dram).code);
      const bool has_total = !is_unsupported(peek(read_ecc_errors_total, total).code);
      // Blocks and their total must not stand side by side, or whoever adds them up counts twice; and one block alone
      // would hide what the others suffered.
      if (has_total && !(has_sram && has_dram)) {
        offer({read_ecc_errors_total}, total, Tier::slow, {{metric, {type, {AttributeId::error_block, "total"}}}});
        continue;
      }
      if (!has_sram && !has_dram) {
        absent(metric, State::unsupported, kNoEcc);
        continue;
      }
      if (has_sram) offer({read_ecc_errors}, sram, Tier::slow, {{metric, {type, {AttributeId::error_block, "sram"}}}});
      if (has_dram) offer({read_ecc_errors}, dram, Tier::slow, {{metric, {type, {AttributeId::error_block, "dram"}}}});
    }
  }
  if (parent_ != nullptr) return;
  const bool old = architecture_ != kArchitectureUnknown && architecture_ < kAmpere;
  const char* why = old        ? "needs Ampere or newer: older boards retire pages instead"
                    : mig_on() ? kWhileMig
                               : "this board does not remap rows of its memory";
  const auto rows = [](const char* state, HealthInput health) {
    return Output{MetricId::memory_rows, {{AttributeId::row_state, state}}, health};
  };
  offer({read_remapped_rows}, 0, Tier::slow,
        {rows("remapped_corrected", HealthInput::rows_corrected),
         rows("remapped_uncorrected", HealthInput::rows_uncorrected), rows("pending", HealthInput::remap_pending),
         rows("failed", HealthInput::remap_failed)},
        why);
}

void DeviceReader::probe_bus() {
  const std::vector<Attribute> current{{AttributeId::which, "current"}};
  const std::vector<Attribute> maximum{{AttributeId::which, "maximum"}};
  constexpr const char* kNoPcie = "this device has no PCIe link that can be read";
  offer({read_pcie_generation}, 0, Tier::rare, {{MetricId::pcie_generation, current}}, kNoPcie);
  offer({read_pcie_generation_limit}, 0, Tier::rare, {{MetricId::pcie_generation, maximum}}, kNoPcie);
  offer({read_pcie_width}, 0, Tier::rare, {{MetricId::pcie_width, current}}, kNoPcie);
  offer({read_pcie_width_limit}, 0, Tier::rare, {{MetricId::pcie_width, maximum}}, kNoPcie);
  offer({read_pcie_replays}, 0, Tier::slow, {{MetricId::pcie_replays}}, kNoPcie);
}

void DeviceReader::probe_processes() {
  if (fatal_ != 0 || lost_) return;
  if (parent_ == nullptr && mig_on()) {
    for (const MetricId metric : {MetricId::process_count, MetricId::process_memory})
      absent(metric, State::unsupported, "MIG is on: processes belong to its partitions");
    return;
  }
  processes_ = std::make_unique<ProcessReader>(host_.nvml, handle_);
  if (fails(processes_->probe())) return;
  for (const ProcessMode mode : {kProcessesCompute, kProcessesGraphics}) {
    const int code = processes_->list(mode).code;
    const char* kind = mode == kProcessesCompute ? "compute" : "graphics";
    if (code != kSuccess) {
      const std::string reason = reason_for(code, std::string("this device does not list its ") + kind + " processes");
      absent(MetricId::process_count, state_of(code), reason);
      if (mode == kProcessesCompute) absent(MetricId::process_memory, state_of(code), reason);
    }
    if (is_unsupported(code)) continue;
    process_count_slots_[mode] = add(MetricId::process_count, Tier::slow, {{AttributeId::process_kind, kind}});
  }
  if (process_count_slots_[0] < 0 && process_count_slots_[1] < 0) processes_.reset();
}

void DeviceReader::start_gpm() {
  if (fatal_ != 0 || lost_) return;
  gpm_code_ = kNotSupported;
  if (architecture_ != kArchitectureUnknown && architecture_ < kHopper) {
    gpm_why_ = "needs Hopper or newer";
    return;
  }
  if (shares_instance_) {
    gpm_why_ = "several partitions share this GPU instance, and only the instance as a whole is measured";
    return;
  }

  DeviceReader& whole = parent_ != nullptr ? *parent_ : *this;
  GpmSupport support;
  int code = host_.nvml.call<Symbol::nvmlGpmQueryDeviceSupport>(whole.handle_, &support);
  if (fails(code)) return;
  if (code == kSuccess && support.supported == 0) code = kNotSupported;
  if (code == kSuccess) {
    gpm_ = std::make_unique<GpmReader>(host_.nvml, whole.handle_, parent_ != nullptr ? gpu_instance_ : -1);
    code = gpm_->start(host_.clock.monotonic());
    if (fails(code)) return;
  }
  gpm_code_ = code;
  if (code == kSuccess) return;
  if (is_unsupported(code)) gpm_.reset();
  gpm_why_ = reason_for(code, gpm_ != nullptr ? std::string_view()
                              : mig_on() && parent_ == nullptr
                                  ? kWhileMig
                                  : "this device has no performance monitoring through NVML (GPM)");
}

void DeviceReader::probe_gpm() {
  if (fatal_ != 0 || lost_) return;
  if (gpm_code_ != kSuccess)
    for (const GpmSeries& series : kGpmSeries)
      if (!series.bytes) absent(series.metric, state_of(gpm_code_), gpm_why_);
  if (gpm_ == nullptr) return;
  gpm_slot_ = static_cast<int>(series_.size());
  add_gpm_series();
}

void DeviceReader::add_gpm_series() {
  series_.resize(static_cast<size_t>(gpm_slot_));
  for (size_t i = 0; i < kGpmCount; ++i) {
    const GpmSeries& series = kGpmSeries[i];
    gpm_slots_[i] = -1;
    if (series.bytes && parent_ != nullptr) continue;  // the link is the whole GPU's
    if (gpm_dropped_[i]) {
      absent(series.metric, State::unsupported,
             series.part != nullptr && !series.bytes
                 ? std::string("this device does not measure the pipe ") + series.part
                 : std::string("this device does not measure it"));
      continue;
    }
    std::vector<Attribute> attributes;
    if (series.part != nullptr)
      attributes.push_back({series.bytes ? AttributeId::io_direction : AttributeId::pipe, series.part});
    gpm_slots_[i] = add(series.metric, i < kGpmFast ? Tier::fast : Tier::slow, std::move(attributes));
  }
}

void DeviceReader::probe_sleep() {
  const std::string power = host_.sysfs + "/bus/pci/devices/" + pci_address_ + "/power/";
  const auto control = read_file(power + "control", 64);
  if (!control || control->rfind("auto", 0) != 0) return;
  if (auto file = KeptFile::open(power + "runtime_status")) runtime_status_ = std::move(*file);
}

}  // namespace accelmon::nvml
