// Discovery of what comes as field values: energy, times of throttling, bytes, links, power by scope.
#include <algorithm>
#include <array>
#include <cstdio>

#include "collectors/nvml/nvml_device.h"

namespace accelmon::nvml {
namespace {

using Use = FieldRequest::Use;

constexpr double kMilli = 0.001;
constexpr double kKib = 1024;
// The greatest rate of one link of NVLink 5, generously, each way.
constexpr double kMostLinkKib = 200e9 / kKib;
// Bytes a second of one lane of PCIe, by generation; the last for all that come.
constexpr double kPcieLane[] = {250e6, 500e6, 985e6, 1969e6, 3938e6, 7563e6, 15126e6};
constexpr double kPcieCounterWidth = 4294967296.0;
// Beyond any board that there is; a number that the driver gives is not trusted to bound a loop.
constexpr uint64_t kMostLinks = 64;

constexpr const char* kRecoveryStates[] = {"none", "gpu_reset", "node_reboot", "drain_p2p", "drain_and_reset"};

FieldRequest request(U32 id, double scale = 1, HealthInput health = HealthInput::none) {
  FieldRequest field;
  field.id = id;
  field.scale = scale;
  field.tag = static_cast<int>(health);
  return field;
}

FieldRequest scoped(U32 id, U32 scope, double scale = 1) {
  FieldRequest field = request(id, scale);
  field.scope = scope;
  return field;
}

FieldRequest wrapping(U32 id, U32 scope, double scale, double most) {
  FieldRequest field = scoped(id, scope, scale);
  field.use = Use::wrapping;
  field.most = most;
  return field;
}

// For ids of fields, "invalid argument" is how a driver says that it does not know one.
int field_code(int code) {
  return code == kInvalidArgument || code == kNotFound ? static_cast<int>(kNotSupported) : code;
}

}  // namespace

std::vector<FieldNumber> DeviceReader::offer_fields(std::vector<FieldOffer> offers) {
  std::vector<FieldNumber> numbers;
  if (fatal_ != 0 || lost_ || offers.empty()) return numbers;
  FieldBatch batch;
  for (const FieldOffer& offer : offers) batch.add(offer.request);
  if (fails(batch.read(host_.nvml, handle_))) return numbers;

  // Taken twice, for the first time may be the dearest.
  std::vector<Nanos> costs;
  for (size_t i = 0; i < offers.size(); ++i) costs.push_back(batch.latency(i));
  if (std::any_of(costs.begin(), costs.end(), [](Nanos cost) { return cost > kFastBudget; })) {
    if (fails(batch.read(host_.nvml, handle_))) return numbers;
    for (size_t i = 0; i < offers.size(); ++i) costs[i] = std::min(costs[i], batch.latency(i));
  }

  const CallId call = host_.nvml.calls().last();
  int summed_slot = -1;
  for (size_t i = 0; i < offers.size(); ++i) {
    FieldOffer& offer = offers[i];
    offer.tier = host_.nvml.calls().place(call, offer.tier);
    if (offer.may_wait && offer.tier == Tier::fast && costs[i] > kFastBudget) {
      offer.tier = Tier::slow;
      host_.waits(std::string(info(offer.output.metric).name), costs[i]);
    }
    FieldNumber number = batch.number(i);
    number.code = field_code(number.code);
    if (number.code == kSuccess && offer.type >= 0 && number.type != offer.type) number.code = kNotSupported;
    host_.nvml.count(number.code);
    if (fails(number.code)) return numbers;
    numbers.push_back(number);
    if (offer.request.adds) {
      if (is_unsupported(number.code)) continue;
      if (summed_slot >= 0) {
        // A part of the series before it: where that is, so is this.
        FieldRequest part = offer.request;
        part.slot = summed_slot;
        fields_[static_cast<size_t>(offer.tier)].add(part);
        continue;
      }
      // The first part that the device has begins the sum.
      offer.request.adds = false;
      std::erase_if(absences_, [&](const Absence& absence) {
        return absence.metric == offer.output.metric && absence.state == State::unsupported;
      });
    }
    summed_slot = -1;
    if (is_unsupported(number.code)) {
      absent(offer.output.metric, State::unsupported, reason_for(number.code, offer.why));
      continue;
    }
    if (number.code == kSuccess) {
      health_.set(static_cast<HealthInput>(offer.request.tag), number.value);
    } else if (state_of(number.code) != State::not_ready) {
      absent(offer.output.metric, state_of(number.code), reason_for(number.code, offer.why));
    }
    FieldRequest request = offer.request;
    if (offer.output.metric == MetricId::recovery_action) {
      request.row = static_cast<int>(std::size(kRecoveryStates));
      request.slot = static_cast<int>(series_.size());
      for (const char* state : kRecoveryStates) add(offer.output.metric, offer.tier, {{AttributeId::row_state, state}});
    } else {
      summed_slot = request.slot = add(offer.output.metric, offer.tier, std::move(offer.output.attributes));
    }
    fields_[static_cast<size_t>(offer.tier)].add(request);
  }
  return numbers;
}

bool DeviceReader::has_power_of_board() const {
  const Attribute board{AttributeId::power_scope, "gpu"};
  return std::any_of(series_.begin(), series_.end(), [&](const Series& series) {
    return series.metric == MetricId::power &&
           std::find(series.attributes.begin(), series.attributes.end(), board) != series.attributes.end();
  });
}

void DeviceReader::probe_fields() {
  const auto throttled = [](U32 id, const char* reason) {
    return FieldOffer{request(id, kSecondsPerReasonTick),
                      Tier::fast,
                      {MetricId::throttle_time, {{AttributeId::reason, reason}}},
                      "this board does not count the time of this reason",
                      kUnsignedLongLong,
                      true};
  };
  std::vector<FieldOffer> offers{
      {request(kFieldTotalEnergy, kMilli), Tier::fast, {MetricId::energy}, "this board has no energy meter", -1, true},
      {request(kFieldMemoryTemperature),
       Tier::fast,
       {MetricId::temperature, {{AttributeId::sensor_location, "memory"}}},
       "this board's memory has no temperature sensor"},
      {request(kFieldRecoveryAction, 1, HealthInput::recovery_action),
       Tier::slow,
       {MetricId::recovery_action},
       "this driver does not say what it needs to recover (needs 570 or newer)"},
      // The board limit is that of the current that the board's supply may deliver. Three more of these counters are
      // left out: low utilization is no limit, and the times below application and base clocks are sums over all
      // reasons, not reasons.
      throttled(kFieldPolicyPower, "power_cap"),
      throttled(kFieldPolicySyncBoost, "sync_boost"),
      throttled(kFieldPolicyBoardLimit, "current"),
      throttled(kFieldPolicyReliability, "reliability"),
  };
  if (architecture_ == kArchitectureUnknown || architecture_ < kAmpere) {
    const auto pages = [](U32 id, const char* state, HealthInput health) {
      return FieldOffer{request(id, 1, health),
                        Tier::slow,
                        {MetricId::memory_pages, {{AttributeId::row_state, state}}},
                        "this board does not retire pages of its memory"};
    };
    offers.push_back(pages(kFieldRetiredSingleBit, "retired_corrected", HealthInput::pages_corrected));
    offers.push_back(pages(kFieldRetiredDoubleBit, "retired_uncorrected", HealthInput::pages_uncorrected));
    offers.push_back(pages(kFieldRetiredPending, "pending", HealthInput::pages_pending));
  } else {
    absent(MetricId::memory_pages, State::unsupported, "Ampere and newer boards remap rows instead of retiring pages");
  }
  offers.push_back({request(kFieldPcieReplayRollover),
                    Tier::slow,
                    {MetricId::pcie_errors, {{AttributeId::error_type, "replay_rollover"}}},
                    "this driver or board does not count the rollovers of its PCIe link's replays"});
  // Three times have ids of their own, which have moved. Besides the version it takes the right type in all of them to
  // believe that they are times: what other versions keep at these places are switches of one word. Where they are, the
  // one of thermal_software is exact; the older counter of the thermal policy may hold the hardware's share as well.
  bool exact = false;
  for (const auto& ids : reason_time_fields(host_.interface)) {
    if (exact || fatal_ != 0 || lost_) break;
    FieldBatch batch;
    for (const U32 id : ids) batch.add(request(id));
    if (fails(batch.read(host_.nvml, handle_))) break;
    exact = true;
    for (size_t i = 0; i < ids.size(); ++i)
      exact = exact && batch.number(i).code == kSuccess && batch.number(i).type == kUnsignedLongLong;
    if (exact) {
      offers.push_back(throttled(ids[0], "thermal_software"));
      offers.push_back(throttled(ids[1], "thermal_hardware"));
      offers.push_back(throttled(ids[2], "power_brake"));
    }
  }
  if (!exact) offers.push_back(throttled(kFieldPolicyThermal, "thermal_software"));
  offer_fields(std::move(offers));

  if (!has(MetricId::energy)) {
    std::erase_if(absences_, [](const Absence& absence) { return absence.metric == MetricId::energy; });
    offer({read_energy}, 0, Tier::fast, {{MetricId::energy}}, "this board has no energy meter", true);
  }
}

// Where GPM measures the link, that is the better source: its rates are differences of wide counters.
void DeviceReader::probe_pcie_bytes() {
  if (gpm_ != nullptr || fatal_ != 0 || lost_) return;
  constexpr const char* kWhy = "this driver or board does not count the bytes of its PCIe link";
  const Reading generation = peek(read_pcie_generation_limit);
  const Reading width = peek(read_pcie_width_limit);
  double most = kPcieLane[std::size(kPcieLane) - 1] * 16;
  if (generation.code == kSuccess && width.code == kSuccess && generation.value >= 1 && width.value >= 1) {
    const size_t known = std::min(static_cast<size_t>(generation.value), std::size(kPcieLane));
    most = kPcieLane[known - 1] * std::min(width.value, 32.0);
  }
  FieldBatch batch;
  batch.add(request(kFieldPcieReceiveBytes));
  if (fails(batch.read(host_.nvml, handle_))) return;
  const double filled = kPcieCounterWidth / most;  // seconds
  if (batch.number(0).code == kSuccess && batch.number(0).type == kUnsignedInt &&
      to_seconds(host_.interval) >= filled) {
    char text[160];
    std::snprintf(text, sizeof text,
                  "this driver counts the bytes of the PCIe link in 32 bits, which this link can fill in %.2f s: an "
                  "interval shorter than that is needed",
                  filled);
    return absent(MetricId::gpu_io, State::unsupported, text);
  }
  const auto bytes = [&](U32 id, const char* direction) {
    return FieldOffer{
        wrapping(id, 0, 1, most), Tier::fast, {MetricId::gpu_io, {{AttributeId::io_direction, direction}}}, kWhy};
  };
  offer_fields({bytes(kFieldPcieReceiveBytes, "receive"), bytes(kFieldPcieTransmitBytes, "transmit")});
}

void DeviceReader::probe_power() {
  struct Scope {
    U32 scope;
    const char* name;
    const char* why;
  };
  const auto readings = [](const Scope& scope) {
    const auto one = [&](U32 id, const char* reading) {
      return FieldOffer{
          scoped(id, scope.scope, kMilli),
          Tier::fast,
          {MetricId::power, {{AttributeId::power_scope, scope.name}, {AttributeId::power_reading, reading}}},
          std::string(scope.why) + " (" + reading + ")"};
    };
    return std::vector<FieldOffer>{one(kFieldPowerAverage, "average"), one(kFieldPowerInstant, "instant")};
  };
  const auto board =
      offer_fields(readings({kPowerScopeGpu, "gpu", "this driver or board has no such reading of the board's power"}));
  // Drivers before the scopes came answer for the board whatever they are asked for.
  if (host_.interface >= 1204 && !board.empty() && board[0].code == kSuccess) {
    const Scope scopes[] = {{kPowerScopeModule, "module", "this board does not tell the power of its module"},
                            {kPowerScopeMemory, "memory", "this board does not tell the power of its memory"}};
    for (const Scope& scope : scopes) {
      offer_fields(readings(scope));
      // Neither reading: that is one thing to say.
      const auto of_scope = [&](const Absence& one) {
        return one.metric == MetricId::power && one.state == State::unsupported && one.reason.starts_with(scope.why);
      };
      if (std::count_if(absences_.begin(), absences_.end(), of_scope) != 2) continue;
      std::erase_if(absences_, of_scope);
      absent(MetricId::power, State::unsupported, scope.why);
    }
  } else {
    absent(MetricId::power, State::unsupported, "power of module and memory needs driver 550 or newer");
  }
  if (!has_power_of_board()) {
    // The one reading there is: an average over a second on Ampere and newer, but for GA100.
    int major = 0;
    int minor = 0;
    host_.nvml.call<Symbol::nvmlDeviceGetCudaComputeCapability>(handle_, &major, &minor);
    const bool ga100 = major == 8 && minor == 0;
    const bool average = architecture_ != kArchitectureUnknown && architecture_ >= kAmpere && !ga100;
    offer({read_power}, 0, Tier::fast,
          {{MetricId::power,
            {{AttributeId::power_scope, "gpu"}, {AttributeId::power_reading, average ? "average" : "instant"}}}},
          "this board has no power sensor");
  }

  constexpr const char* kFixed = "this board has no power limit that can be read";
  const auto limit = [](const char* which) { return Output{MetricId::power_limit, {{AttributeId::limit, which}}}; };
  offer({read_power_limit_enforced}, 0, Tier::rare, {limit("enforced")}, kFixed);
  offer({read_power_limit_requested}, 0, Tier::rare, {limit("requested")}, kFixed);
  offer({read_power_limit_default}, 0, Tier::rare, {limit("default")}, kFixed);
  offer({read_power_limit_bounds}, 0, Tier::rare, {limit("minimum"), limit("maximum")}, kFixed);
}

void DeviceReader::probe_nvlinks() {
  constexpr const char* kNoLinks = "this board has no NVLink";
  if (fatal_ != 0 || lost_) return;
  const auto none = [this](int code) {
    for (const MetricId metric : {MetricId::link_up, MetricId::link_io, MetricId::link_errors})
      absent(metric, state_of(code), reason_for(code, kNoLinks));
  };
  FieldBatch batch;
  batch.add(request(kFieldNvlinkCount));
  if (fails(batch.read(host_.nvml, handle_))) return;
  FieldNumber count = batch.number(0);
  count.code = field_code(count.code);
  host_.nvml.count(count.code);
  if (fails(count.code)) return;
  if (count.code != kSuccess) return none(count.code);
  if (count.integer == 0) return none(kNotSupported);

  const Attribute kind{AttributeId::link_kind, "nvlink"};
  const auto io = [&](U32 scope, const char* link) {
    const Attribute name{AttributeId::link, link};
    constexpr const char* kWhy = "this driver or board does not count the bytes of its NVLinks";
    return std::vector<FieldOffer>{{wrapping(kFieldNvlinkDataReceive, scope, kKib, kMostLinkKib),
                                    Tier::fast,
                                    {MetricId::link_io, {name, kind, {AttributeId::direction, "receive"}}},
                                    kWhy},
                                   {wrapping(kFieldNvlinkDataTransmit, scope, kKib, kMostLinkKib),
                                    Tier::fast,
                                    {MetricId::link_io, {name, kind, {AttributeId::direction, "transmit"}}},
                                    kWhy}};
  };
  const U32 links = static_cast<U32>(std::min(count.integer, kMostLinks));
  const struct {
    U32 id;
    const char* type;
  } errors[] = {
      {kFieldNvlinkErrorReplay, "replay"}, {kFieldNvlinkErrorRecovery, "recovery"}, {kFieldNvlinkErrorCrc, "crc"}};
  const auto error_offer = [&](U32 id, U32 link, const char* type, const std::string& name) {
    return FieldOffer{scoped(id, link),
                      Tier::slow,
                      {MetricId::link_errors, {{AttributeId::link, name}, kind, {AttributeId::error_type, type}}},
                      "this driver or board does not count the errors of its NVLinks so (Blackwell does not)"};
  };
  std::vector<FieldOffer> offers;
  if (host_.each_link) {
    for (U32 link = 0; link < links; ++link) {
      const std::string number = std::to_string(link);
      offer({read_nvlink_state}, static_cast<int>(link), Tier::rare,
            {{MetricId::link_up, {{AttributeId::link, number}, kind}}}, kNoLinks);
      for (FieldOffer& one : io(link, number.c_str())) offers.push_back(std::move(one));
      for (const auto& error : errors) offers.push_back(error_offer(error.id, link, error.type, number));
    }
    offer_fields(std::move(offers));
    // The sum over all links only where there is none for each: side by side they would be counted twice.
    if (!has(MetricId::link_io)) offer_fields(io(kAllNvlinks, "all"));
    return;
  }
  // One series for all links: eighteen of each on a board would be most of the page, and all of them zero or alike.
  offer({read_nvlink_states}, static_cast<int>(links), Tier::rare,
        {{MetricId::link_up, {{AttributeId::link, "all"}, kind}}}, kNoLinks);
  offer_fields(io(kAllNvlinks, "all"));
  const bool has_sum = has(MetricId::link_io);
  for (size_t direction = 0; !has_sum && direction < 2; ++direction) {
    for (U32 link = 0; link < links; ++link) {
      FieldOffer one = std::move(io(link, "all")[direction]);
      one.request.adds = link != 0;
      offers.push_back(std::move(one));
    }
  }
  for (const auto& error : errors) {
    for (U32 link = 0; link < links; ++link) {
      offers.push_back(error_offer(error.id, link, error.type, "all"));
      offers.back().request.adds = link != 0;
    }
  }
  offer_fields(std::move(offers));
}

}  // namespace accelmon::nvml
