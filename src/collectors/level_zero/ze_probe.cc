// Discovery of one GPU: every handle that Sysman has for it, asked once.
#include "collectors/level_zero/ze_probe.h"

#include <algorithm>
#include <array>
#include <map>

namespace accelmon::level_zero {
namespace {

// What a board may draw for a moment beyond its limit.
constexpr double kAboveLimit = 3;
constexpr double kMilli = 0.001;
constexpr double kMega = 1e6;

const char* sensor_location(uint32_t type) {
  switch (type) {
    case kSensorGlobal:
      return "hotspot";  // the hottest of all sensors
    case kSensorGpu:
      return "gpu";
    case kSensorMemory:
      return "memory";
    case kSensorBoard:
      return "board";
    case kSensorVoltageRegulator:
      return "voltage_regulator";
    default:
      return nullptr;  // lowest temperatures
  }
}

const char* power_scope(uint32_t domain) {
  switch (domain) {
    case kPowerUnknown:  // drivers that do not say have the one of the card
    case kPowerCard:
    case kPowerStack:  // all of the tile, on whose device it stands
      return "gpu";
    case kPowerPackage:
      return "package";
    case kPowerMemory:
      return "memory";
    default:
      return nullptr;
  }
}

}  // namespace

// ---- tools ----

bool Gpu::fails(ZeResult code) {
  if (!is_device_lost(code)) return false;
  lost_ = true;
  lost_code_ = code;
  lost_reason_ = error_name(code);
  return true;
}

int Gpu::local(Bool on_subdevice, uint32_t subdevice) const {
  return on_subdevice != 0 && subdevice < tiles() ? static_cast<int>(subdevice) + 1 : 0;
}

int Gpu::constant(double value) {
  const int made = cell();
  at(made).set(value);
  return made;
}

void Gpu::absent(std::initializer_list<MetricId> metrics, ZeResult code, std::string_view why) {
  for (const MetricId metric : metrics) {
    const State state = code == kSuccess || code == kUninitialized ? State::unsupported : state_of(code);
    absent(metric, 0, state, reason_for(code, why));
  }
}

std::string Gpu::reason_for(ZeResult code, std::string_view why) const {
  const std::string name = code == kSuccess ? std::string() : " (" + error_name(code) + ")";
  if (code == kInsufficientPermissions) return "the driver refuses this to the user that asks" + name;
  if (code == kNoSymbol) return "the installed Level Zero loader is too old for this";
  return std::string(why) + name;
}

// ---- what there is ----

void Gpu::clear() {
  clear_cells();
  sources_.clear();
  memories_.clear();
  for (std::vector<int>* list : {&memory_health_, &wedged_, &repair_, &trouble_}) list->clear();
  has_processes_ = sees_engines_ = lost_ = false;
}

void Gpu::probe() {
  clear();
  asleep_ = suspended();
  if (asleep_) {
    absent(MetricId::gpu_utilization, 0, State::not_ready,
           "the device is suspended and is not woken; it is asked when it wakes up");
    add_status();
    return;
  }
  probe_engines();
  probe_memory();
  probe_temperatures();
  probe_power();
  probe_clocks();
  probe_fans();
  probe_errors();
  probe_pci();
  probe_ports();
  probe_state();
  probe_processes();
  probed_ = !lost_;
  if (lost_) {
    // Half of what it has would look like all of it.
    const std::string reason = lost_reason_;
    clear();
    lost_ = true;
    lost_reason_ = reason;
  }
  add_status();
}

void Gpu::probe_engines() {
  struct Single {
    uint32_t type;
    Handle handle;
    int device;
  };
  std::vector<Single> engines;
  const ZeResult code = each<EngineProperties, Symbol::zesDeviceEnumEngineGroups, Symbol::zesEngineGetProperties>(
      [&](Handle handle, const EngineProperties& engine, int device) {
        engines.push_back(Single{engine.type, handle, device});
      });
  if (lost_) return;
  const auto locals = static_cast<int>(devices_.size());
  std::vector<std::vector<int>> busy(devices_.size()), groups(devices_.size()), decoders(devices_.size()),
      encoders(devices_.size());
  std::map<std::pair<int, std::string_view>, int> numbers;
  const auto decodes = [&](int device) {
    return std::any_of(engines.begin(), engines.end(),
                       [&](const Single& one) { return one.device == device && one.type == kEngineMediaDecode; });
  };
  // In an order that gives the engines of a kind their numbers: decoders come before what enhances.
  constexpr struct {
    uint32_t type;
    const char* engine;  // null: no series of its own
    bool group;
  } kTypes[] = {
      {kEngineCompute, "compute", false},    {kEngineRender, "render", false},     {kEngineCopy, "copy", false},
      {kEngineMediaDecode, "media", false},  {kEngineMediaEncode, nullptr, false}, {kEngineMediaCodec, "media", false},
      {kEngineMediaEnhance, "media", false}, {kEngineComputeAll, "compute", true}, {kEngineRenderAll, "render", true},
      {kEngineCopyAll, "copy", true},        {kEngineMediaAll, "media", true},     {kEngineAll, nullptr, true},
  };
  for (const auto& type : kTypes) {
    for (const Single& one : engines) {
      if (one.type != type.type) continue;
      const auto* source = offer<EngineSource>(MetricId::gpu_engine_utilization, one.device,
                                               "the driver does not count this engine", one.handle);
      if (lost_) return;
      if (source == nullptr) continue;
      sees_engines_ = true;
      const auto at = static_cast<size_t>(one.device);
      if (type.type == kEngineCompute || type.type == kEngineRender) busy[at].push_back(source->share);
      if (type.type == kEngineComputeAll || type.type == kEngineRenderAll || type.type == kEngineAll)
        groups[at].push_back(source->share);
      if (type.type == kEngineMediaDecode) decoders[at].push_back(source->share);
      if (type.type == kEngineMediaEncode) encoders[at].push_back(source->share);
      // Where one engine does both it is shown twice; it is counted once.
      const bool only_encodes = type.type == kEngineMediaEncode && !decodes(one.device);
      const char* engine = only_encodes ? "media" : type.engine;
      if (engine == nullptr) continue;
      std::vector<Attribute> attributes{{AttributeId::engine, engine}};
      if (!type.group)
        attributes.push_back({AttributeId::engine_index, std::to_string(numbers[{one.device, engine}]++)});
      show(MetricId::gpu_engine_utilization, one.device, Tier::fast, std::move(attributes), source->share);
    }
  }
  // Busy is what the busiest engine is: a mean over engines would show a quarter where one of four does all the work.
  const auto offer_task = [&](const std::vector<std::vector<int>>& cells, const char* task) {
    std::vector<int> all;
    for (int device = locals - 1; device >= 0; --device) {
      const std::vector<int>& own = cells[static_cast<size_t>(device)];
      all.insert(all.end(), own.begin(), own.end());
      const std::vector<int>& parts = device == 0 ? all : own;
      if (!parts.empty())
        show(MetricId::gpu_utilization, device, Tier::fast, {{AttributeId::gpu_task, task}},
             aggregate(Op::most, parts));
    }
  };
  for (size_t i = 0; i < busy.size(); ++i)
    if (busy[i].empty()) busy[i] = groups[i];
  offer_task(busy, "general");
  offer_task(decoders, "decoder");
  offer_task(encoders, "encoder");
  if (has(MetricId::gpu_utilization, 0)) return;
  const char* why = code == kInsufficientPermissions
                        ? "the driver shows engines to root alone; the kernel's own counters need CAP_PERFMON only"
                        : "the driver shows no engines of this device";
  const State state = code == kInsufficientPermissions ? State::no_permission : State::unsupported;
  for (const MetricId metric : {MetricId::gpu_utilization, MetricId::gpu_engine_utilization})
    if (absences_.empty() || metric == MetricId::gpu_utilization) absent(metric, 0, state, why);
}

void Gpu::probe_memory() {
  constexpr MetricId kAll[] = {MetricId::gpu_memory_limit, MetricId::gpu_memory_usage, MetricId::gpu_memory_free,
                               MetricId::gpu_memory_utilization};
  std::vector<std::pair<const MemorySource*, int>> sources;
  bool shared = integrated_;
  const ZeResult code = each<MemoryProperties, Symbol::zesDeviceEnumMemoryModules, Symbol::zesMemoryGetProperties>(
      [&](Handle handle, const MemoryProperties& memory, int device) {
        // What drivers tell of the host's memory, its free part and what can be had of it, is no GPU memory.
        if (integrated_ || memory.location != kMemoryInDevice) {
          shared = true;
          return;
        }
        const auto* source = offer<MemorySource>(MetricId::gpu_memory_usage, device,
                                                 "the driver does not tell the memory in use", handle, memory.size);
        if (source == nullptr) return;
        sources.emplace_back(source, device);
        memories_.push_back(MemoryCells{source->used, source->free, source->share});
        memory_health_.push_back(source->health);
        const auto* traffic = offer<BandwidthSource>(MetricId::gpu_memory_io, device,
                                                     "the driver has no counters of memory traffic", handle);
        if (traffic == nullptr) return;
        if (traffic->all_zero()) {
          sources_.pop_back();
          absent(MetricId::gpu_memory_io, device, State::unsupported,
                 "the driver answers 0 for every counter of memory traffic: it has none for this board");
          return;
        }
        show(MetricId::gpu_memory_io, device, Tier::fast, {{AttributeId::direction, "read"}}, traffic->read_bytes);
        show(MetricId::gpu_memory_io, device, Tier::fast, {{AttributeId::direction, "write"}}, traffic->written);
        show(MetricId::gpu_memory_bandwidth_utilization, device, Tier::fast, {}, traffic->share);
        show(MetricId::gpu_memory_bandwidth_limit, device, Tier::rare, {}, traffic->limit);
      });
  if (lost_) return;
  hide_memory();
  for (const auto& [source, device] : sources) {
    const bool whole = device == 0 && tiles() == 0;
    show(MetricId::gpu_memory_limit, device, Tier::fast, {}, source->size);
    if (at(source->used).state == State::no_permission) {
      const std::string reason =
          "the driver answers that nothing is in use, which is what it tells those without CAP_PERFMON";
      for (const MetricId metric : {kAll[1], kAll[2], kAll[3]}) {
        absent(metric, device, State::no_permission, reason);
        if (!whole) absent(metric, 0, State::no_permission, reason);
      }
      continue;
    }
    show(MetricId::gpu_memory_usage, device, Tier::fast, {}, source->used);
    show(MetricId::gpu_memory_free, device, Tier::fast, {}, source->free);
    show(MetricId::gpu_memory_utilization, device, Tier::fast, {}, source->share);
  }
  if (tiles() > 0) {
    for (const MetricId metric : {MetricId::gpu_memory_limit, MetricId::gpu_memory_usage, MetricId::gpu_memory_free})
      add_up(metric, Op::sum, Tier::fast);
    // Tiles have the same size and bandwidth, so that the share of the whole is their mean.
    add_up(MetricId::gpu_memory_utilization, Op::mean, Tier::fast);
    add_up(MetricId::gpu_memory_bandwidth_utilization, Op::mean, Tier::fast);
    add_up(MetricId::gpu_memory_bandwidth_limit, Op::sum, Tier::rare);
    for (const char* direction : {"read", "write"})
      add_up(MetricId::gpu_memory_io, Op::sum, Tier::fast, {{AttributeId::direction, direction}});
  }
  if (!sources.empty()) return;
  for (const MetricId metric : kAll) {
    if (shared) {
      absent(metric, 0, State::unsupported, "an integrated GPU has no memory of its own: it uses the host's");
    } else {
      absent({metric}, code, "the driver shows no memory of this device");
    }
  }
}

void Gpu::probe_temperatures() {
  bool any = false;
  const ZeResult code =
      each<TemperatureProperties, Symbol::zesDeviceEnumTemperatureSensors, Symbol::zesTemperatureGetProperties>(
          [&](Handle handle, const TemperatureProperties& sensor, int device) {
            const char* location = sensor_location(sensor.type);
            if (location == nullptr) return;
            const auto* source = offer<TemperatureSource>(MetricId::temperature, device,
                                                          "the driver does not read this sensor", handle, host_.rights);
            if (source == nullptr) return;
            const Attribute where{AttributeId::sensor_location, location};
            if (!show(MetricId::temperature, device, Tier::fast, {where}, source->celsius)) return;
            any = true;
            // -1: the driver does not know it.
            if (!(sensor.most > 0 && sensor.most <= 200)) return;
            const int limit = cell();
            at(limit).set(sensor.most);
            show(MetricId::temperature_limit, device, Tier::rare, {where, {AttributeId::limit_type, "max"}}, limit);
            show_margin(device, where, sensor.most, source->celsius);
          });
  for (const char* location : {"gpu", "memory"}) {
    const std::vector<Attribute> where{{AttributeId::sensor_location, location}};
    add_up(MetricId::temperature, Op::most, Tier::fast, where);
    add_up(MetricId::temperature_margin, Op::least, Tier::fast, where);
  }
  if (!any && !lost_)
    absent({MetricId::temperature}, code,
           host_.rights.root ? "the driver shows no temperature of this device"
                             : "the driver shows no temperature; it shows them to root alone");
}

void Gpu::probe_power() {
  struct Domain {
    Handle handle;
    int device;
    uint32_t domain;
    PowerProperties properties;
  };
  std::vector<Domain> domains;
  std::vector<Handle> handles;
  const ZeResult code = host_.ze.list<Symbol::zesDeviceEnumPowerDomains>(handles, handle_);
  if (fails(code)) return;
  for (const Handle handle : handles) {
    if (handle == nullptr) continue;
    PowerExtProperties more;
    Domain domain{handle, 0, kPowerUnknown, {}};
    domain.properties.next = &more;
    if (fails(host_.ze.call<Symbol::zesPowerGetProperties>(handle, &domain.properties))) return;
    domain.properties.next = nullptr;
    domain.domain = more.domain;
    domain.device = local(domain.properties.on_subdevice, domain.properties.subdevice);
    domains.push_back(domain);
  }
  // The card's first: it is what hw.energy is of.
  std::stable_sort(domains.begin(), domains.end(), [](const Domain& a, const Domain& b) {
    const auto rank = [](const Domain& d) { return d.domain == kPowerCard ? 0 : d.domain == kPowerUnknown ? 1 : 2; };
    return rank(a) < rank(b);
  });
  // No part of a board draws more than the board.
  int32_t rated = 0;
  for (const Domain& domain : domains) rated = std::max(rated, domain.properties.default_limit);
  for (const Domain& domain : domains) {
    const char* scope = power_scope(domain.domain);
    if (scope == nullptr) continue;
    const double most =
        rated > 0 ? std::min(rated * kMilli * kAboveLimit, EnergyMeter::kMostWatts) : EnergyMeter::kMostWatts;
    const auto* source = offer<EnergySource>(MetricId::power, domain.device,
                                             "the driver has no energy counter to make power of", domain.handle, most);
    if (lost_) return;
    if (source != nullptr) {
      show(MetricId::power, domain.device, Tier::fast,
           {{AttributeId::power_scope, scope}, {AttributeId::power_reading, "average"}}, source->watts);
      if (domain.domain != kPowerMemory) show(MetricId::energy, domain.device, Tier::fast, {}, source->joules);
    }
    if (domain.domain != kPowerUnknown && domain.domain != kPowerCard && domain.domain != kPowerStack) continue;
    const std::pair<const char*, int32_t> fixed[] = {{"default", domain.properties.default_limit},
                                                     {"minimum", domain.properties.least_limit},
                                                     {"maximum", domain.properties.most_limit}};
    for (const auto& [limit, milliwatts] : fixed)
      if (milliwatts > 0)
        show(MetricId::power_limit, domain.device, Tier::rare, {{AttributeId::limit, limit}},
             constant(milliwatts * kMilli));
    if (const auto* limit = offer<LimitSource>(MetricId::power_limit, domain.device,
                                               "the driver does not tell the power limit", domain.handle))
      show(MetricId::power_limit, domain.device, Tier::rare, {{AttributeId::limit, "enforced"}}, limit->watts);
  }
  if (domains.empty())
    absent({MetricId::power, MetricId::energy, MetricId::power_limit}, code, "the driver shows no power domain");
}

void Gpu::probe_clocks() {
  const ZeResult code =
      each<FrequencyProperties, Symbol::zesDeviceEnumFrequencyDomains, Symbol::zesFrequencyGetProperties>(
          [&](Handle handle, const FrequencyProperties& clock, int device) {
            const char* domain = clock.type == kFrequencyGpu      ? "graphics"
                                 : clock.type == kFrequencyMemory ? "memory"
                                 : clock.type == kFrequencyMedia  ? "video"
                                                                  : nullptr;
            if (domain == nullptr) return;
            const auto* source = offer<FrequencySource>(MetricId::clock_frequency, device,
                                                        "the driver does not tell this clock", handle);
            if (source == nullptr) return;
            show(MetricId::clock_frequency, device, Tier::fast, {{AttributeId::clock_domain, domain}}, source->hertz);
            if (clock.most > 0)
              show(MetricId::clock_limit, device, Tier::rare, {{AttributeId::clock_domain, domain}},
                   constant(clock.most * kMega));
            if (clock.type != kFrequencyGpu) return;
            for (size_t i = 0; i < kReasons; ++i)
              show(MetricId::throttle_active, device, Tier::fast, {{AttributeId::reason, kThrottleReasons[i].name}},
                   source->reasons[i]);
          });
  for (const ThrottleReason& reason : kThrottleReasons)
    add_up(MetricId::throttle_active, Op::most, Tier::fast, {{AttributeId::reason, reason.name}});
  if (lost_) return;
  if (!has(MetricId::throttle_active, 0))
    absent({MetricId::clock_frequency, MetricId::throttle_active}, code, "the driver shows no clock of this device");
  else if (!has(MetricId::clock_frequency, 0))
    absent(MetricId::clock_frequency, 0, State::unsupported, "each tile has a clock of its own: see there");
}

void Gpu::probe_fans() {
  int number = 0;
  const ZeResult code = each<FanProperties, Symbol::zesDeviceEnumFans, Symbol::zesFanGetProperties>(
      [&](Handle handle, const FanProperties& fan, int device) {
        const auto* source =
            offer<FanSource>(MetricId::fan_speed, device, "the driver does not read this fan", handle, fan.most_rpm);
        if (source == nullptr) return;
        const std::vector<Attribute> name{{AttributeId::fan, std::to_string(number++)}};
        show(MetricId::fan_speed, device, Tier::slow, name, source->rpm);
        show(MetricId::fan_speed_ratio, device, Tier::slow, name, source->share);
      });
  if (number == 0 && !lost_)
    absent({MetricId::fan_speed, MetricId::fan_speed_ratio}, code, "the driver shows no fan of this device");
}

}  // namespace accelmon::level_zero
