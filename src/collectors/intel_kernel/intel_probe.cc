// Discovery of one GPU: nodes, memory, clocks, sensors, processes.
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <limits>

#include "base/text.h"
#include "collectors/hw_state.h"
#include "collectors/intel_kernel/intel_gpu.h"

namespace accelmon::intel_kernel {
namespace {

constexpr size_t kMostGts = 64;
constexpr size_t kMostTiles = 16;
constexpr double kMega = 1e6;
constexpr double kMilli = 1e-3;
constexpr double kMicro = 1e-6;

// "temp2_input": temp, 2, input.
struct SensorName {
  std::string_view kind, stem, rest;
  unsigned number = 0;
};
SensorName split(std::string_view file) {
  const size_t digits = file.find_first_of("0123456789");
  const size_t line = file.find('_');
  if (digits == std::string_view::npos || line == std::string_view::npos || line <= digits) return {};
  const auto number = parse_u64(file.substr(digits, line - digits));
  if (!number || *number > 255) return {};
  return {file.substr(0, digits), file.substr(0, line), file.substr(line + 1), static_cast<unsigned>(*number)};
}

std::string label_of(const std::string& folder, std::string_view stem) {
  return first_line(folder + "/" + std::string(stem) + "_label").value_or("");
}

// As the driver labels what it measures, and before it did so by number.
std::string location_of(const std::string& label, std::string_view kind, unsigned number, Driver driver) {
  if (label == "pkg" || label == "package") return "gpu";
  if (label == "vram") return "memory";
  if (!label.empty()) return label;
  if (kind == "in") return "gpu";
  if (driver == Driver::i915) return number == 1 ? "gpu" : "temp" + std::to_string(number);
  return number == 2 ? "gpu" : number == 3 ? "memory" : "temp" + std::to_string(number);
}

}  // namespace

// ---- tools ----

template <class S, class... More>
S* Gpu::add_source(More&&... more) {
  auto source = std::make_unique<S>(std::forward<More>(more)...);
  S* const made = source.get();
  sources_.push_back(std::move(source));
  Reads in{host_.calls, host_.clock, cells_};
  (void)made->read(in);  // what it cannot tell is in its cells
  return made;
}

bool Gpu::show_number(MetricId metric, int device, Tier tier, std::vector<Attribute> attributes,
                      const std::string& path, double scale, CallId call) {
  NumberFile file;
  if (const int error = file.open(path); error != 0) {
    if (error != ENOENT) absent(metric, device, state_of(error), Status::from_errno(error, path).message());
    return false;
  }
  const int value = cell();
  add_source<NumberSource>(call, tier, std::move(file), scale, value);
  return show(metric, device, tier, std::move(attributes), value);
}

void Gpu::absent(std::initializer_list<MetricId> metrics, State state, const std::string& reason) {
  for (const MetricId metric : metrics) absent(metric, 0, state, reason);
}

// ---- what there is ----

void Gpu::find_nodes() {
  for (const std::string& name : names_in(function_.folder + "/drm")) {
    if (const auto card = number_after(name, "card")) {
      minors_.push_back(*card);
      if (card_.empty()) card_ = function_.folder + "/drm/" + name;
    } else if (const auto render = number_after(name, "renderD")) {
      minors_.push_back(*render);
      if (node_.empty()) node_ = host_.devfs + "/dri/" + name;
    }
  }
}

void Gpu::find_gts() {
  if (driver_ == Driver::xe) {
    for (const std::string& name : names_in(function_.folder)) {
      const auto tile = number_after(name, "tile");
      if (!tile || *tile >= kMostTiles) continue;
      bool first = true;
      for (const std::string& inner : names_in(function_.folder + "/" + name)) {
        const auto number = number_after(inner, "gt");
        if (!number || gts_.size() >= kMostGts) continue;
        const std::string folder = function_.folder + "/" + name + "/" + inner;
        const std::string idle = first_line(folder + "/gtidle/name").value_or("");
        Gt gt{*number, *tile, idle.empty() ? !first : idle.ends_with("-mc"), folder + "/freq0", ""};
        gt.throttle = exists(gt.frequency + "/throttle") ? gt.frequency + "/throttle" : folder + "/throttle";
        gts_.push_back(std::move(gt));
        first = false;
      }
    }
  } else {
    for (const std::string& name : names_in(card_ + "/gt")) {
      const auto number = number_after(name, "gt");
      if (!number || gts_.size() >= kMostGts) continue;
      const std::string folder = card_ + "/gt/" + name;
      gts_.push_back(Gt{*number, 0, *number > 0, folder, folder});
    }
    if (gts_.empty() && !card_.empty()) gts_.push_back(Gt{0, 0, false, card_, ""});
  }
}

void Gpu::probe() {
  look_whether_asleep();
  broken_ = exists(function_.folder + "/survivability_mode");
  if (asleep_) {
    const std::string reason = "the kernel has suspended the device, and it is not woken to be read";
    for (const MetricId metric : {MetricId::gpu_utilization, MetricId::gpu_memory_usage, MetricId::power,
                                  MetricId::temperature, MetricId::clock_frequency})
      absent(metric, 0, State::not_ready, reason);
  } else if (broken_) {
    absent(MetricId::hw_status, 0, State::error,
           "the driver has the device in survivability mode: its firmware must be written anew");
  } else {
    awake_ = true;
    probe_engines();
    probe_memory();
    probe_clocks();
    probe_throttling();
    probe_hwmon();
    probe_processes();
  }
  add_status();
}

// ---- memory ----

uint64_t Gpu::memory_size_of_files(unsigned tile) const {
  const auto text =
      first_line(function_.folder + "/tile" + std::to_string(tile) + "/physical_vram_size_bytes").value_or("");
  return parse_u64(text).value_or(0);
}

void Gpu::show_memory(const std::vector<MemorySource::Cells>& cells, Tier tier) {
  for (const MemorySource::Cells& one : cells) {
    const int device = device_of_tile(one.tile);
    show(MetricId::gpu_memory_limit, device, tier, {}, one.total);
    if (at(one.used).state == State::no_permission) continue;
    show(MetricId::gpu_memory_usage, device, tier, {}, one.used);
    show(MetricId::gpu_memory_free, device, tier, {}, one.free);
    show(MetricId::gpu_memory_utilization, device, tier, {}, one.share);
  }
  for (const MetricId metric : {MetricId::gpu_memory_limit, MetricId::gpu_memory_usage, MetricId::gpu_memory_free})
    add_up(metric, Op::sum, tier);
  // Tiles have the same size, so that the share of the whole is their mean.
  add_up(MetricId::gpu_memory_utilization, Op::mean, tier);
}

void Gpu::probe_memory() {
  const CallId call = host_.calls.add("memory region query");
  MemoryQuery query;
  int error = node_.empty() ? ENOENT : host_.calls.measure(host_.looking, [&] { return query.open(node_, driver_); });
  if (error == 0) error = host_.calls.measure(call, [&] { return query.ask(); });
  std::string why;
  if (error == 0) {
    std::vector<MemorySource::Cells> cells;
    bool known = true;
    for (const MemoryRegion& region : query.regions()) {
      if (tiles() > 0 && region.tile >= tiles()) continue;
      if (tiles() == 0 && !cells.empty()) continue;
      const int total = cell(), used = cell(), free = cell(), share = cell();
      cells.push_back({region.tile, total, used, free, share});
      known = known && region.used_known;
    }
    if (cells.empty()) {
      integrated_ = true;
    } else {
      add_source<MemorySource>(call, Tier::fast, std::move(query), cells);
      show_memory(cells, Tier::fast);
      if (known) return;
      why = "the driver answers that nothing is in use, which is what it tells those without CAP_PERFMON";
    }
  } else {
    why = is_forbidden(error)
              ? node_ + " may not be opened: the memory in use is told to the group render with CAP_PERFMON"
          : error == ENOENT ? "the device has no render node" + (node_.empty() ? "" : " " + node_)
                            : "the driver does not answer the query of its memory: " + std::string(errno_name(error));
    for (unsigned tile = 0; tile < std::max<size_t>(tiles(), 1); ++tile) {
      const uint64_t size = memory_size_of_files(tile);
      if (size == 0) continue;
      const int total = cell();
      at(total).set(static_cast<double>(size));
      show(MetricId::gpu_memory_limit, device_of_tile(tile), Tier::rare, {}, total);
    }
    add_up(MetricId::gpu_memory_limit, Op::sum, Tier::rare);
    if (!has(MetricId::gpu_memory_limit, 0))
      absent(MetricId::gpu_memory_limit, 0, is_forbidden(error) ? State::no_permission : State::unsupported, why);
  }
  if (integrated_) {
    absent({MetricId::gpu_memory_limit, MetricId::gpu_memory_usage, MetricId::gpu_memory_free,
            MetricId::gpu_memory_utilization},
           State::unsupported, "an integrated GPU has no memory of its own: it uses the host's");
    return;
  }
  show_memory_of_clients(why);
}

// The processes' memory added up stands in for what the driver does not tell, where all processes can be seen.
void Gpu::show_memory_of_clients(const std::string& why) {
  const std::string missing = clients_incomplete();
  if (!missing.empty() || !has(MetricId::gpu_memory_limit, 0)) {
    const std::string reason = missing.empty() ? why : why + "; and " + missing;
    for (const MetricId metric :
         {MetricId::gpu_memory_usage, MetricId::gpu_memory_free, MetricId::gpu_memory_utilization})
      absent(metric, 0, State::no_permission, reason);
    return;
  }
  absent(MetricId::gpu_memory_free, 0, State::no_permission, why);
  const auto limit = std::find_if(shown_.begin(), shown_.end(), [](const Shown& one) {
    return one.series.metric == MetricId::gpu_memory_limit && one.series.device == 0;
  });
  client_memory_ = {0, limit->cell, cell(), -1, cell()};
  show(MetricId::gpu_memory_usage, 0, Tier::slow, {}, client_memory_.used);
  show(MetricId::gpu_memory_utilization, 0, Tier::slow, {}, client_memory_.share);
}

// ---- clocks ----

void Gpu::probe_clocks() {
  const CallId call = host_.calls.add("sysfs frequency");
  const bool xe = driver_ == Driver::xe;
  for (const Gt& gt : gts_) {
    const int device = device_of_tile(gt.tile);
    const std::vector<Attribute> domain{{AttributeId::clock_domain, gt.media ? "video" : "graphics"}};
    const bool old = !xe && gt.frequency == card_;
    const std::string now = gt.frequency + (xe ? "/act_freq" : old ? "/gt_act_freq_mhz" : "/rps_act_freq_mhz");
    const std::string most = gt.frequency + (xe ? "/rp0_freq" : old ? "/gt_RP0_freq_mhz" : "/rps_RP0_freq_mhz");
    show_number(MetricId::clock_frequency, device, Tier::fast, domain, now, kMega, call);
    show_number(MetricId::clock_limit, device, Tier::rare, domain, most, kMega, call);
  }
  if (has(MetricId::clock_frequency, 0)) return;
  absent(MetricId::clock_frequency, 0, State::unsupported,
         tiles() > 0 ? "each tile has a clock of its own: see there" : "the driver shows no clock of this device");
}

void Gpu::probe_throttling() {
  const CallId call = host_.calls.add("sysfs throttle");
  const std::string prefix = driver_ == Driver::xe ? "reason_" : "throttle_reason_";
  for (const Gt& gt : gts_) {
    if (gt.media || gt.throttle.empty()) continue;
    std::array<int, kReasonCount> cells{};
    for (int& one : cells) one = cell();
    NumberFile status;
    const std::string any = driver_ == Driver::xe ? "status" : "throttle_reason_status";
    (void)status.open(gt.throttle + "/" + any);  // older drivers have none
    auto source = std::make_unique<ThrottleSource>(call, Tier::fast, std::move(status), cells);
    for (const std::string& name : names_in(gt.throttle)) {
      if (!name.starts_with(prefix) || name == any) continue;
      NumberFile file;
      if (file.open(gt.throttle + "/" + name) == 0)
        source->add(reason_of(std::string_view(name).substr(prefix.size())), std::move(file));
    }
    ThrottleSource* const made = source.get();
    sources_.push_back(std::move(source));
    Reads in{host_.calls, host_.clock, cells_};
    (void)made->read(in);
    for (size_t i = 0; i < kReasonCount; ++i)
      if (made->has(i))
        show(MetricId::throttle_active, device_of_tile(gt.tile), Tier::fast, {{AttributeId::reason, kReasons[i]}},
             cells[i]);
  }
  for (const char* reason : kReasons)
    add_up(MetricId::throttle_active, Op::most, Tier::fast, {{AttributeId::reason, reason}});
  if (!has(MetricId::throttle_active, 0))
    absent(MetricId::throttle_active, 0, State::unsupported, "the driver shows no reasons of throttling");
}

// ---- hwmon ----

void Gpu::probe_hwmon() {
  const std::string base = function_.folder + "/hwmon";
  for (const std::string& name : names_in(base)) {
    const std::string folder = base + "/" + name;
    const std::string of = first_line(folder + "/name").value_or("");
    if (of == "xe" || of == "i915") {
      probe_hwmon_folder(folder, 0);
    } else if (const auto tile = number_after(of, "i915_gt"); tile && tiles() > 0 && *tile < tiles()) {
      probe_hwmon_folder(folder, device_of_tile(*tile));
    }
  }
  if (!has(MetricId::power, 0))
    absent({MetricId::power, MetricId::energy}, State::unsupported,
           "the driver shows no energy counter of this device (hwmon); integrated GPUs have none");
  if (!has(MetricId::power_limit, 0))
    absent(MetricId::power_limit, 0, State::unsupported, "no power limit is set, or the driver shows none");
  if (!has(MetricId::temperature, 0))
    absent(MetricId::temperature, 0, State::unsupported,
           "the driver shows no temperature; xe does for discrete GPUs since Linux 6.15");
  if (!has(MetricId::fan_speed, 0))
    absent(MetricId::fan_speed, 0, State::unsupported,
           "the driver shows no fan; xe does since Linux 6.16, for boards that have one of their own");
}

void Gpu::probe_hwmon_folder(const std::string& folder, int device) {
  const std::vector<std::string> files = names_in(folder);
  probe_energy(folder, files, device);
  if (device == 0) probe_limits(folder, device);
  probe_sensors(folder, files, device);
}

void Gpu::probe_energy(const std::string& folder, const std::vector<std::string>& files, int device) {
  const CallId call = host_.calls.add("hwmon energy");
  // The card's first: it is what hw.energy is of.
  for (const bool of_card : {true, false}) {
    for (const std::string& name : files) {
      const SensorName sensor = split(name);
      if (sensor.kind != "energy" || sensor.rest != "input") continue;
      const std::string label = label_of(folder, sensor.stem);
      const bool package = label == "pkg" || label == "package" || (label.empty() && sensor.number == 2);
      if (package == of_card) continue;
      if (!package && !label.empty() && label != "card") continue;
      NumberFile file;
      if (const int error = file.open(folder + "/" + name); error != 0) {
        absent({MetricId::power, MetricId::energy}, state_of(error),
               Status::from_errno(error, folder + "/" + name).message());
        continue;
      }
      const int joules = cell(), watts = cell();
      const std::string key = function_.address + "/" + std::to_string(device) + "/" + std::string(sensor.stem);
      add_source<EnergySource>(call, Tier::fast, std::move(file), host_.meters[key], joules, watts);
      show(MetricId::power, device, Tier::fast,
           {{AttributeId::power_scope, package ? "package" : "gpu"}, {AttributeId::power_reading, "average"}}, watts);
      if (!has(MetricId::energy, device)) show(MetricId::energy, device, Tier::fast, {}, joules);
    }
  }
}

void Gpu::probe_limits(const std::string& folder, int device) {
  const CallId call = host_.calls.add("hwmon limits");
  // Of the card: its first channel. The driver says "no limit" with 0.
  const std::string label = label_of(folder, "power1");
  if (!label.empty() && label != "card") return;
  for (const auto& [file, limit] : {std::pair{"power1_max", "enforced"}, {"power1_rated_max", "default"}}) {
    const std::string path = folder + "/" + file;
    const auto now = first_line(path);
    if (!now || parse_i64(*now).value_or(0) <= 0) continue;
    show_number(MetricId::power_limit, device, Tier::rare, {{AttributeId::limit, limit}}, path, kMicro, call);
  }
}

void Gpu::probe_sensors(const std::string& folder, const std::vector<std::string>& files, int device) {
  const CallId call = host_.calls.add("hwmon sensors"), slow = host_.calls.add("hwmon fans and voltages");
  for (const std::string& name : files) {
    const SensorName sensor = split(name);
    if (sensor.rest != "input") continue;
    const std::string path = folder + "/" + name;
    const std::string location = location_of(label_of(folder, sensor.stem), sensor.kind, sensor.number, driver_);
    if (sensor.kind == "fan" && sensor.number > 0) {
      // Numbered from 0, as Sysman numbers them.
      show_number(MetricId::fan_speed, device, Tier::slow, {{AttributeId::fan, std::to_string(sensor.number - 1)}},
                  path, 1, slow);
    } else if (sensor.kind == "in") {
      show_number(MetricId::voltage, device, Tier::slow, {{AttributeId::sensor_location, location}}, path, kMilli,
                  slow);
    } else if (sensor.kind == "temp") {
      const Attribute where{AttributeId::sensor_location, location};
      if (!show_number(MetricId::temperature, device, Tier::fast, {where}, path, kMilli, call)) continue;
      const int temperature = shown_.back().cell;
      double lowest = std::numeric_limits<double>::infinity();
      for (const auto& [rest, type] :
           {std::pair{"max", "high.degraded"}, {"crit", "high.critical"}, {"emergency", "max"}}) {
        const std::string limit = folder + "/" + std::string(sensor.stem) + "_" + rest;
        const auto text = first_line(limit);
        const auto value = text ? parse_i64(*text) : std::nullopt;
        if (!value || *value <= 0 || *value > 200'000) continue;
        lowest = std::min(lowest, static_cast<double>(*value) * kMilli);
        show_number(MetricId::temperature_limit, device, Tier::rare, {where, {AttributeId::limit_type, type}}, limit,
                    kMilli, call);
      }
      // Limits are fixed, so they are read here and now too.
      if (std::isfinite(lowest)) show_margin(device, where, lowest, temperature);
    }
  }
}

// ---- processes ----

void Gpu::probe_processes() {
  shows_memory_of_processes_ = !integrated_;
  if (const std::string missing = clients_incomplete(); !missing.empty()) {
    absent(MetricId::process_count, 0, State::no_permission, missing);
    absent(MetricId::process_memory, 0, State::no_permission, missing);
  }
  if (integrated_)
    absent(MetricId::process_memory, 0, State::unsupported,
           "an integrated GPU has no memory of its own that processes could hold");
}

void Gpu::add_status() {
  status_slot_ = static_cast<int>(shown_.size());
  for (int device = 0; device < static_cast<int>(devices_.size()); ++device) {
    for (const char* state : kHwStates)
      shown_.push_back(Shown{Series{MetricId::hw_status, device, Tier::fast, {{AttributeId::hw_state, state}}}, -1});
    shown_.push_back(Shown{Series{MetricId::device_info, device, Tier::fast, {}}, -1});
  }
  if (runtime_status_.valid()) shown_.push_back(Shown{Series{MetricId::gpu_asleep, 0, Tier::fast, {}}, -1});
}

}  // namespace accelmon::intel_kernel
