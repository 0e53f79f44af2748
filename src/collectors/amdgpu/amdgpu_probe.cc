// Discovery of one device: every file that the driver may have for it, tried once.
#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/text.h"
#include "collectors/amdgpu/amdgpu_device.h"
#include "collectors/hw_state.h"

namespace accelmon::amdgpu {
namespace {

// Blocks that may have a RAS file: <block>_err_count.
constexpr const char* kRasBlocks[] = {"umc",       "sdma", "gfx",  "mmhub", "athub", "pcie_bif", "hdp",
                                      "xgmi_wafl", "df",   "smn",  "sem",   "mp0",   "mp1",      "fuse",
                                      "mca",       "vcn",  "jpeg", "ih",    "mpio"};

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

// The first folder "hwmonN" in the device's hwmon; empty: none.
std::string find_hwmon(const std::string& folder) {
  const std::unique_ptr<DIR, CloseFolder> all(::opendir((folder + "/hwmon").c_str()));
  std::string best;
  while (all) {
    const dirent* entry = ::readdir(all.get());
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name.starts_with("hwmon") && parse_u64(name.substr(5)) && (best.empty() || name < best)) best = name;
  }
  return best.empty() ? best : "hwmon/" + best;
}

std::string architecture_of(unsigned gfx_version) {
  if (gfx_version == 0) return {};
  char text[32];
  std::snprintf(text, sizeof text, "gfx%u%x%x", gfx_version / 10000, gfx_version / 100 % 100, gfx_version % 100);
  return text;
}

}  // namespace

Gpu::Gpu(Host& host, Found found, std::string index) : host_(host), found_(std::move(found)), parts_(1) {
  Device& device = parts_[0].device;
  device.type = DeviceType::gpu;
  device.vendor = "amd";
  device.index = std::move(index);
  parts_[0].nodes = found_.nodes;
  active_slots_.fill(-1);
  time_slots_.fill(-1);
  runtime_call_ = host_.calls.add("power/runtime_status");
  metrics_call_ = host_.calls.add("gpu_metrics");
  (void)runtime_status_.open(found_.folder + "/power/runtime_status");
  identify();
  info_slot_ = add(MetricId::device_info, Tier::rare);
  for (const char* status : kHwStates) {
    const int slot = add(MetricId::hw_status, Tier::fast, {{AttributeId::hw_state, status}});
    if (parts_[0].status < 0) parts_[0].status = slot;
  }
  asleep_slot_ = add(MetricId::gpu_asleep, Tier::fast);
}

std::string Gpu::text_of(const std::string& name) const {
  const Result<std::string> text = read_file(found_.folder + "/" + name, 4096);
  return text ? printable(trim(*text), 128) : std::string();
}

bool Gpu::exists(const std::string& name) const {
  return ::access((found_.folder + "/" + name).c_str(), F_OK) == 0;
}

// Only what the kernel has in memory: none of these wakes the device.
void Gpu::identify() {
  Device& device = parts_[0].device;
  const std::string unique = text_of("unique_id");
  const bool hexadecimal =
      unique.size() == 16 && unique.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  device.id = hexadecimal && unique.find_first_not_of('0') != std::string::npos ? "amd-" + unique : found_.address;
  device.model = text_of("product_name");
  if (device.model.empty()) {
    const std::string id = text_of("device");
    device.model = "AMD GPU " + (id.empty() ? found_.address : id);
  }
  const auto tell = [&](AttributeId id, std::string value) {
    if (!value.empty()) device.info.push_back(Attribute{id, std::move(value)});
  };
  tell(AttributeId::hw_serial_number, text_of("serial_number"));
  tell(AttributeId::hw_driver_version, host_.driver_version);
  tell(AttributeId::hw_firmware_version, text_of("vbios_version"));
  tell(AttributeId::pci_address, found_.address);
  const std::string node = text_of("numa_node");
  if (const auto number = parse_i64(node); number && *number >= 0) tell(AttributeId::numa_node, node);
  if (!found_.nodes.empty()) tell(AttributeId::architecture, architecture_of(found_.nodes[0].gfx_version));
  std::string profile = text_of("current_compute_partition");
  if (profile.empty() || profile == "SPX") return;
  const std::string memory = text_of("current_memory_partition");
  if (!memory.empty()) profile += "/" + memory;
  tell(AttributeId::partition_profile, profile);
}

// ---- tools ----

int Gpu::add(MetricId metric, Tier tier, std::vector<Attribute> attributes, size_t part) {
  std::vector<Series>& series = parts_[part].series;
  series.push_back(Series{metric, -1, tier, std::move(attributes)});
  return static_cast<int>(series.size()) - 1;
}

void Gpu::absent(MetricId metric, State state, std::string reason, size_t part) {
  Absence absence{metric, -1, state, std::move(reason)};
  std::vector<Absence>& all = parts_[part].absences;
  if (std::find(all.begin(), all.end(), absence) == all.end()) all.push_back(std::move(absence));
}

// Opens a file and reads it once. False: it cannot be read, and nothing else of the kind was found either; the reason
// stands with the first wish.
bool Gpu::offer(const std::string& name, Parse parse, double scale, Tier tier, std::vector<Wish> wishes,
                std::string_view why, bool negative) {
  Item item;
  // Not by the number of the hwmon folder, which differs from boot to boot.
  const size_t slash = name.find("/hwmon");
  item.call = host_.calls.add(slash == std::string::npos ? name : "hwmon/" + name.substr(name.rfind('/') + 1));
  item.parse = parse;
  item.scale = scale;
  item.negative = negative;
  int error = item.file.open(found_.folder + "/" + name);
  Row row;
  if (error == 0) {
    row = read(item);
  } else {
    row.state = state_of(error);
  }
  if (row.state == State::unsupported || error != 0) {
    for (const Wish& wish : wishes)
      absent(wish.metric, row.state,
             why.empty() ? describe(error != 0 ? error : EOPNOTSUPP) + ": " + name : std::string(why));
    return false;
  }
  tier = host_.calls.place(item.call, tier);
  bool any = false;
  for (size_t i = 0; i < wishes.size(); ++i) {
    item.outputs[i].input = wishes[i].input;
    // A file that was read and does not have the number never will.
    if (row.state == State::ok && !row.values[i]) continue;
    if (row.state != State::ok) absent(wishes[i].metric, row.state, "at discovery, " + name + " could not be read");
    item.outputs[i].slot = add(wishes[i].metric, tier, std::move(wishes[i].attributes));
    any = true;
  }
  if (any) items_[static_cast<size_t>(tier)].push_back(std::move(item));
  return any;
}

bool Gpu::pick(Gauge gauge, uint16_t first, uint16_t count, Join how, Tier tier, Wish wish, bool generation,
               size_t part) {
  if (metrics_code_ != Code::ok) return false;
  Pick one{gauge, first, count, how, {}, generation};
  if (!join(one)) return false;
  tier = host_.calls.place(metrics_call_, tier);
  one.output.input = wish.input;
  one.output.slot = add(wish.metric, tier, std::move(wish.attributes), part);
  // Slots of partitions are told apart when the series have their places: see build().
  one.output.slot |= static_cast<int>(part) << 24;
  picks_[static_cast<size_t>(tier)].push_back(one);
  return true;
}

// ---- what is asked ----

int Gpu::ask_one_file() {
  SysFile memory;
  const int error = memory.open(found_.folder + "/mem_info_vram_total");
  std::string_view text;
  return error != 0 ? error : memory.read(host_.buffer, text);
}

bool Gpu::answers_again() {
  return lost_ && ask_one_file() == 0;
}

void Gpu::probe() {
  asleep_ = suspended();
  if (asleep_) {
    parts_[0].absences.clear();
    absent(MetricId::gpu_utilization, State::not_ready,
           "the device is suspended and is not woken; it is asked when it wakes up");
    return;
  }
  hwmon_ = find_hwmon(found_.folder);
  if (!hwmon_.empty() && text_of(hwmon_ + "/name").empty()) hwmon_.clear();
  const int answer = ask_one_file();
  if (is_gone(answer) || (answer == ENOENT && hwmon_.empty())) {
    lost_ = true;
    lost_error_ = answer;
    absent(MetricId::hw_status, State::error, "at discovery: " + describe(answer));
    return;
  }
  if (answer == EPERM || answer == EBUSY) {
    // It fell asleep meanwhile, or is being reset: what it can tell is found out when it answers.
    absent(MetricId::gpu_utilization, State::not_ready, describe(answer));
    return;
  }
  probe_metrics_file();
  probe_activity();
  probe_memory();
  probe_temperatures();
  probe_power();
  probe_clocks();
  probe_throttling();
  probe_fans();
  probe_bus();
  probe_errors();
  probe_links();
  probe_partitions();
  // A second source made up for what the first lacks.
  const std::vector<Series>& series = parts_[0].series;
  std::erase_if(parts_[0].absences, [&](const Absence& absence) {
    return absence.state == State::unsupported && absence.metric != MetricId::throttle_active &&
           std::any_of(series.begin(), series.end(), [&](const Series& one) { return one.metric == absence.metric; });
  });
  probed_ = true;
}

void Gpu::probe_metrics_file() {
  metrics_error_ = metrics_file_.open(found_.folder + "/gpu_metrics");
  if (metrics_error_ == 0) metrics_error_ = load_metrics();
  if (metrics_error_ == 0 && metrics_code_ == Code::ok)
    revision_ = std::to_string(metrics_.format) + "." + std::to_string(metrics_.content);
  // In reset: what it can tell is found out when it answers.
  if (metrics_error_ != 0 && state_of(metrics_error_) != State::unsupported) metrics_code_ = Code::io;
}

void Gpu::probe_activity() {
  const Wish general{MetricId::gpu_utilization, {{AttributeId::gpu_task, "general"}}};
  // The file is in percent on every chip; gpu_metrics is not.
  const bool believable = metrics_.get(Gauge::activity_graphics).value_or(2) <= 1;
  if (!exists("gpu_busy_percent") && believable) {
    pick(Gauge::activity_graphics, 0, 1, Join::mean, Tier::fast, general);
  } else if (!offer("gpu_busy_percent", Parse::number, 0.01, Tier::fast, {general}) && believable) {
    pick(Gauge::activity_graphics, 0, 1, Join::mean, Tier::fast, general);
  }
  const Wish memory{MetricId::gpu_memory_controller_utilization};
  if (!offer("mem_busy_percent", Parse::number, 0.01, Tier::fast, {memory}) &&
      metrics_.get(Gauge::activity_memory).value_or(2) <= 1)
    pick(Gauge::activity_memory, 0, 1, Join::mean, Tier::fast, memory);

  const Wish media{MetricId::gpu_engine_utilization, {{AttributeId::engine, "media"}}};
  const Wish jpeg{MetricId::gpu_engine_utilization, {{AttributeId::engine, "jpeg"}}};
  if (!pick(Gauge::activity_vcn, 0, 4, Join::mean, Tier::fast, media) &&
      !pick(Gauge::partition_vcn, 0, static_cast<uint16_t>(instances(Gauge::partition_vcn)), Join::mean, Tier::fast,
            media) &&
      !(metrics_.get(Gauge::activity_media).value_or(2) <= 1 &&
        pick(Gauge::activity_media, 0, 1, Join::mean, Tier::fast, media)))
    offer("vcn_busy_percent", Parse::number, 0.01, Tier::fast, {media});
  if (!pick(Gauge::activity_jpeg, 0, kJpegMost, Join::mean, Tier::fast, jpeg))
    pick(Gauge::partition_jpeg, 0, static_cast<uint16_t>(instances(Gauge::partition_jpeg)), Join::mean, Tier::fast,
         jpeg);
}

void Gpu::probe_memory() {
  const bool total = offer("mem_info_vram_total", Parse::number, 1, Tier::rare,
                           {{MetricId::gpu_memory_limit, {}, Input::memory_total}});
  const bool used =
      offer("mem_info_vram_used", Parse::number, 1, Tier::fast, {{MetricId::gpu_memory_usage, {}, Input::memory_used}});
  if (total && used) {
    share_slot_ = add(MetricId::gpu_memory_utilization, Tier::fast);
    free_slot_ = add(MetricId::gpu_memory_free, Tier::fast);
  }
  offer("mem_info_vis_vram_total", Parse::number, 1, Tier::rare, {{MetricId::gpu_bar_limit}});
  offer("mem_info_vis_vram_used", Parse::number, 1, Tier::slow, {{MetricId::gpu_bar_usage}});
  if (metrics_.get(Gauge::bandwidth_limit).value_or(0) > 0)
    pick(Gauge::bandwidth_limit, 0, 1, Join::mean, Tier::rare, {MetricId::gpu_memory_bandwidth_limit});
  offer("mem_info_gtt_used", Parse::number, 1, Tier::slow, {{MetricId::gpu_gtt_usage}});
}

void Gpu::probe_temperatures() {
  const struct {
    std::string_view label;
    const char* location;
    Input input;
    Gauge gauge;
  } sensors[] = {{"edge", "gpu", Input::edge, Gauge::temperature_edge},
                 {"junction", "hotspot", Input::junction, Gauge::temperature_hotspot},
                 {"mem", "memory", Input::memory, Gauge::temperature_memory}};
  bool found[3] = {};
  for (int number = 1; number <= 3 && !hwmon_.empty(); ++number) {
    const std::string at = hwmon_ + "/temp" + std::to_string(number);
    if (!exists(at + "_input")) continue;
    // Chips without labels have one sensor, that of the edge.
    std::string label = text_of(at + "_label");
    if (label.empty() && number == 1) label = "edge";
    for (size_t i = 0; i < std::size(sensors); ++i) {
      if (label != sensors[i].label || found[i]) continue;
      const Attribute where{AttributeId::sensor_location, sensors[i].location};
      found[i] = offer(at + "_input", Parse::number, 1e-3, Tier::fast,
                       {{MetricId::temperature, {where}, sensors[i].input}}, {}, true);
      if (!found[i]) continue;
      // Limits are fixed: they are read here and now too, for the margin.
      if (const auto limit = parse_number(text_of(at + "_crit")); limit && *limit > 0)
        margins_[i].limit = *limit * 1e-3;
      if (exists(at + "_crit"))
        offer(at + "_crit", Parse::number, 1e-3, Tier::rare,
              {{MetricId::temperature_limit, {where, {AttributeId::limit_type, "high.degraded"}}}});
      if (exists(at + "_emergency"))
        offer(at + "_emergency", Parse::number, 1e-3, Tier::rare,
              {{MetricId::temperature_limit, {where, {AttributeId::limit_type, "high.critical"}}}});
      if (margins_[i].limit) margins_[i].slot = add(MetricId::temperature_margin, Tier::fast, {where});
    }
  }
  for (size_t i = 0; i < std::size(sensors); ++i)
    if (!found[i])
      found[i] = pick(sensors[i].gauge, 0, 1, Join::mean, Tier::fast,
                      {MetricId::temperature, {{AttributeId::sensor_location, sensors[i].location}}, sensors[i].input});
  const struct {
    Gauge gauge;
    const char* location;
    uint16_t count = 1;
  } more[] = {{Gauge::temperature_vr_graphics, "vr_graphics"},
              {Gauge::temperature_vr_soc, "vr_soc"},
              {Gauge::temperature_vr_memory, "vr_memory"},
              {Gauge::temperature_soc, "soc"},
              {Gauge::temperature_skin, "skin"},
              {Gauge::temperature_hbm, "hbm", 4}};
  for (const auto& one : more)
    pick(one.gauge, 0, one.count, Join::most, Tier::fast,
         {MetricId::temperature, {{AttributeId::sensor_location, one.location}}});
  if (!found[0] && !found[1] && !found[2])
    absent(MetricId::temperature, State::unsupported, "the driver shows no temperature of this device");
}

void Gpu::probe_power() {
  const auto wish = [](const char* reading) {
    return Wish{MetricId::power, {{AttributeId::power_scope, "gpu"}, {AttributeId::power_reading, reading}}};
  };
  bool known = pick(Gauge::power_instant, 0, 1, Join::mean, Tier::fast, wish("instant")) ||
               pick(Gauge::power_average, 0, 1, Join::mean, Tier::fast, wish("average"));
  if (!known && exists(hwmon_ + "/power1_input"))
    known = offer(hwmon_ + "/power1_input", Parse::number, 1e-6, Tier::fast, {wish("instant")});
  if (!known && exists(hwmon_ + "/power1_average"))
    known = offer(hwmon_ + "/power1_average", Parse::number, 1e-6, Tier::fast, {wish("average")});
  if (!known) absent(MetricId::power, State::unsupported, "the driver shows no power of this device");

  const struct {
    const char* file;
    const char* limit;
  } limits[] = {{"/power1_cap", "enforced"},
                {"/power1_cap_default", "default"},
                {"/power1_cap_min", "minimum"},
                {"/power1_cap_max", "maximum"}};
  for (const auto& one : limits)
    if (exists(hwmon_ + one.file))
      offer(hwmon_ + one.file, Parse::number, 1e-6, Tier::rare,
            {{MetricId::power_limit, {{AttributeId::limit, one.limit}}}});

  // Before 1.4 the unit of the meter is told for the compute boards alone.
  const std::string device_class = text_of("class");
  const bool compute_board = device_class.starts_with("0x12") || device_class.starts_with("0x0380");
  const bool unit_known = metrics_.format == 1 && (metrics_.content >= 4 || compute_board);
  if (metrics_code_ == Code::ok && metrics_.get(Gauge::energy) && unit_known) {
    energy_slot_ = add(MetricId::energy, Tier::fast);
  } else {
    absent(MetricId::energy, State::unsupported,
           metrics_code_ == Code::ok && metrics_.get(Gauge::energy)
               ? "the unit of this board's meter is not documented: energy is integrated from power instead"
               : "this device has no energy meter that can be read: energy is integrated from power instead");
  }
}

void Gpu::probe_clocks() {
  const auto wish = [](const char* domain) {
    return Wish{MetricId::clock_frequency, {{AttributeId::clock_domain, domain}}};
  };
  const auto limit = [](const char* domain) {
    return Wish{MetricId::clock_limit, {{AttributeId::clock_domain, domain}}};
  };
  // Several dies have a clock each.
  if (!pick(Gauge::clock_graphics, 0, 8, Join::mean, Tier::fast, wish("graphics")))
    offer(hwmon_ + "/freq1_input", Parse::number, 1, Tier::fast, {wish("graphics")});
  if (!pick(Gauge::clock_memory, 0, 1, Join::mean, Tier::fast, wish("memory")))
    offer(hwmon_ + "/freq2_input", Parse::number, 1, Tier::fast, {wish("memory")});
  pick(Gauge::clock_video, 0, 4, Join::mean, Tier::fast, wish("video"));
  offer("pp_dpm_sclk", Parse::level, 1, Tier::rare, {limit("graphics")});
  offer("pp_dpm_mclk", Parse::level, 1, Tier::rare, {limit("memory")});
  const struct {
    Gauge gauge;
    const char* location;
  } voltages[] = {
      {Gauge::voltage_graphics, "graphics"}, {Gauge::voltage_soc, "soc"}, {Gauge::voltage_memory, "memory"}};
  bool graphics = false;
  for (const auto& one : voltages) {
    const bool there = pick(one.gauge, 0, 1, Join::mean, Tier::slow,
                            {MetricId::voltage, {{AttributeId::sensor_location, one.location}}});
    graphics = graphics || (there && one.gauge == Gauge::voltage_graphics);
  }
  if (!graphics && exists(hwmon_ + "/in0_input"))
    offer(hwmon_ + "/in0_input", Parse::number, 1e-3, Tier::slow,
          {{MetricId::voltage, {{AttributeId::sensor_location, "graphics"}}}});
}

void Gpu::probe_throttling() {
  const auto show = [&](std::string_view name, bool counted) {
    for (size_t i = 0; i < kReasons; ++i) {
      if (kReasonNames[i] != name) continue;
      const Attribute reason{AttributeId::reason, std::string(name)};
      active_slots_[i] = add(MetricId::throttle_active, Tier::fast, {reason});
      if (counted) time_slots_[i] = add(MetricId::throttle_time, Tier::fast, {reason});
    }
  };
  if (metrics_code_ == Code::ok && metrics_.get(Gauge::cycles) && metrics_.get(Gauge::residency_power)) {
    throttling_ = Throttling::residencies;
    for (const char* name : {"power_cap", "thermal_software", "thermal_hardware"}) show(name, true);
    follow_residencies();
  } else if (metrics_code_ == Code::ok && metrics_.bits(Gauge::throttlers)) {
    throttling_ = Throttling::bits;
    for (const std::string_view name : kReasonNames) show(name, false);
  } else if (metrics_code_ == Code::ok && metrics_.bits(Gauge::throttle_status)) {
    throttling_ = Throttling::word;
    show("other", false);
    absent(
        MetricId::throttle_active, State::unsupported,
        "revision " + metrics_revision() +
            " of gpu_metrics says only that clocks are held down, in bits that differ from chip to chip: reason other");
  } else {
    std::string why =
        metrics_error_ != 0 ? describe(metrics_error_) + ": gpu_metrics" : "gpu_metrics says nothing of it";
    if (metrics_error_ == 0 && metrics_code_ == Code::ok && metrics_.format == 3)
      why = "revision " + metrics_revision() + " of gpu_metrics counts throttling in fields that are not read";
    if (metrics_error_ == 0 && metrics_code_ == Code::unsupported) why = "this revision of gpu_metrics is not known";
    if (metrics_error_ == 0 && metrics_code_ == Code::invalid)
      why = "the size of gpu_metrics is not that of its revision: a newer or damaged driver";
    absent(MetricId::throttle_active, State::unsupported, std::move(why));
  }
}

void Gpu::probe_fans() {
  bool any = false;
  for (int fan = 1; fan <= 4 && !hwmon_.empty(); ++fan) {
    const std::string number = std::to_string(fan);
    const Attribute which{AttributeId::fan, std::to_string(fan - 1)};
    if (exists(hwmon_ + "/fan" + number + "_input"))
      any |= offer(hwmon_ + "/fan" + number + "_input", Parse::number, 1, Tier::slow, {{MetricId::fan_speed, {which}}});
    if (exists(hwmon_ + "/pwm" + number))
      any |=
          offer(hwmon_ + "/pwm" + number, Parse::number, 1.0 / 255, Tier::slow, {{MetricId::fan_speed_ratio, {which}}});
  }
  if (!any) absent(MetricId::fan_speed, State::unsupported, "this board has no fan of its own");
}

void Gpu::probe_bus() {
  const auto wish = [](MetricId metric, const char* which) { return Wish{metric, {{AttributeId::which, which}}}; };
  // Boards with a bridge of their own show the link behind it in sysfs; the firmware knows the slot's.
  if (!pick(Gauge::pcie_speed, 0, 1, Join::mean, Tier::rare, wish(MetricId::pcie_generation, "current"), true))
    offer("current_link_speed", Parse::speed, 1, Tier::rare, {wish(MetricId::pcie_generation, "current")});
  offer("max_link_speed", Parse::speed, 1, Tier::rare, {wish(MetricId::pcie_generation, "maximum")});
  if (!pick(Gauge::pcie_width, 0, 1, Join::mean, Tier::rare, wish(MetricId::pcie_width, "current")))
    offer("current_link_width", Parse::number, 1, Tier::rare, {wish(MetricId::pcie_width, "current")});
  offer("max_link_width", Parse::number, 1, Tier::rare, {wish(MetricId::pcie_width, "maximum")});
  if (!offer("pcie_replay_count", Parse::number, 1, Tier::slow, {{MetricId::pcie_replays}}))
    pick(Gauge::pcie_replays, 0, 1, Join::mean, Tier::slow, {MetricId::pcie_replays});
  const struct {
    Gauge gauge;
    const char* type;
  } troubles[] = {{Gauge::pcie_recoveries, "recovery"},
                  {Gauge::pcie_rollovers, "replay_rollover"},
                  {Gauge::pcie_naks_sent, "nak_sent"},
                  {Gauge::pcie_naks_received, "nak_received"}};
  for (const auto& one : troubles)
    pick(one.gauge, 0, 1, Join::mean, Tier::slow, {MetricId::pcie_errors, {{AttributeId::error_type, one.type}}});
  absent(MetricId::gpu_io, State::unsupported,
         "the driver's measurement of PCIe bytes (pcie_bw) holds up its reader for a second, and is not read");
}

void Gpu::probe_errors() {
  bool any = false;
  for (const char* block : kRasBlocks) {
    const std::string name = "ras/" + std::string(block) + "_err_count";
    if (!exists(name)) continue;
    const auto wish = [&](const char* type) {
      return Wish{MetricId::errors, {{AttributeId::error_type, type}, {AttributeId::error_block, block}}};
    };
    any |= offer(name, Parse::ras, 1, Tier::slow, {wish("uncorrected"), wish("corrected"), wish("deferred")});
  }
  if (!any) absent(MetricId::errors, State::unsupported, "the driver counts no memory errors (RAS) of this board");
  if (exists("ras/gpu_vram_bad_pages"))
    offer("ras/gpu_vram_bad_pages", Parse::pages, 1, Tier::slow,
          {{MetricId::memory_pages, {{AttributeId::row_state, "retired"}}},
           {MetricId::memory_pages, {{AttributeId::row_state, "pending"}}, Input::pages_pending},
           {MetricId::memory_pages, {{AttributeId::row_state, "failed"}}, Input::pages_failed}});
  else
    absent(MetricId::memory_pages, State::unsupported, "the driver keeps no list of bad pages for this board");
}

void Gpu::probe_links() {
  const Attribute all{AttributeId::link, "all"}, kind{AttributeId::link_kind, "xgmi"};
  const bool any = pick(Gauge::xgmi_read, 0, 8, Join::sum, Tier::fast,
                        {MetricId::link_io, {all, kind, {AttributeId::direction, "receive"}}});
  pick(Gauge::xgmi_write, 0, 8, Join::sum, Tier::fast,
       {MetricId::link_io, {all, kind, {AttributeId::direction, "transmit"}}});
  for (uint16_t link = 0; link < 8; ++link)
    pick(Gauge::xgmi_up, link, 1, Join::mean, Tier::rare,
         {MetricId::link_up, {{AttributeId::link, std::to_string(link)}, kind}});
  if (!any) absent(MetricId::link_io, State::unsupported, "gpu_metrics shows no XGMI link of this device");
  if (exists("xgmi_error"))
    absent(MetricId::link_errors, State::unsupported,
           "the driver forgets an XGMI error as soon as somebody reads of it (xgmi_error): it is left to whoever asks");
}

}  // namespace accelmon::amdgpu
