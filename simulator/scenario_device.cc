// One device of a scenario: identity, limits, load, links, health.

#include <algorithm>
#include <cstdio>

#include "reading.h"

namespace accelmon::simulator {

namespace {

constexpr double kWattsMost = 1e5;
constexpr double kMegahertzMost = 1e5;

constexpr Named kArchitectures[] = {{"kepler", 2}, {"maxwell", 3}, {"pascal", 4}, {"volta", 5},      {"turing", 6},
                                    {"ampere", 7}, {"ada", 8},     {"hopper", 9}, {"blackwell", 10}, {"rubin", 13}};

constexpr Named kReasons[] = {
    {"idle", 0x1},        {"application_clocks", 0x2}, {"power_cap", 0x4},         {"hardware_slowdown", 0x8},
    {"sync_boost", 0x10}, {"thermal_software", 0x20},  {"thermal_hardware", 0x40}, {"power_brake", 0x80},
    {"display", 0x100}};

constexpr Named kBrands[] = {{"unknown", 0}, {"quadro", 1},      {"tesla", 2},   {"geforce", 5},
                             {"titan", 6},   {"nvidia_rtx", 13}, {"nvidia", 14}, {"geforce_rtx", 15}};

std::string make_uuid(std::string_view prefix, uint64_t seed) {
  const uint64_t a = mix(seed);
  const uint64_t b = mix(a ^ 0x5bd1e995u);
  char text[64];
  snprintf(text, sizeof(text), "%.*s-%08x-%04x-%04x-%04x-%012llx", static_cast<int>(prefix.size()), prefix.data(),
           static_cast<unsigned>(a >> 32), static_cast<unsigned>(a >> 16) & 0xffff, static_cast<unsigned>(a) & 0xffff,
           static_cast<unsigned>(b >> 48), static_cast<unsigned long long>(b & 0xffffffffffff));
  return text;
}

uint64_t hash_text(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

// "00000000:1B:00.0", the domain with four or eight digits.
bool parse_pci(const std::string& text, Device& device) {
  unsigned domain = 0, bus = 0, slot = 0, function = 0;
  char rest = 0;
  // NOLINTNEXTLINE(cert-err34-c): widths bound the numbers, and the count of fields tells
  const int fields = sscanf(text.c_str(), "%8x:%2x:%2x.%1x%c", &domain, &bus, &slot, &function, &rest);
  if (fields != 4 || slot > 0x1f || function != 0) return false;
  device.pci_domain = domain;
  device.pci_bus = bus;
  device.pci_slot = slot;
  return true;
}

class DeviceParser {
 public:
  DeviceParser(const DevicePlace& place, FirstError& error) : place_(place), error_(error) {}

  Device read(Reader& reader) {
    Device d;
    read_identity(reader, d);
    read_load(reader, d);
    read_memory(reader, d);
    read_power(reader, d);
    read_temperature(reader, d);
    read_clocks(reader, d);
    read_links(reader, d);
    read_health(reader, d);
    read_mig(reader, d);
    d.unsupported = read_calls(reader, "unsupported");
    d.unsupported_fields = reader.numbers("unsupported_fields", 512);
    shift(d, place_.phase, place_.index);
    return d;
  }

 private:
  void read_identity(Reader& reader, Device& d) {
    const unsigned index = place_.index;
    const bool shared = place_.copies > 1;
    d.name = need_text(reader, "name", 95);
    const std::optional<std::string> uuid = reader.text("uuid", 80);
    d.uuid = uuid ? *uuid : make_uuid("GPU", hash_text(place_.scenario) + index);
    if (uuid && shared) reader.fail(reader.find("uuid"), "several devices cannot share one uuid");
    d.vbios = reader.text("vbios", 31).value_or("");
    // A number: the first device's; the others count on.
    if (const Node* serial = reader.find("serial")) {
      if (serial->is(Node::Kind::text)) {
        d.serial = reader.text("serial", 29);
        if (shared) reader.fail(serial, "several devices cannot share one serial");
      } else if (const auto first = reader.integer("serial", 0, INT64_C(9999999999999))) {
        char text[32];
        snprintf(text, sizeof(text), "%013lld", static_cast<long long>(*first + index));
        d.serial = text;
      }
    }
    d.board_part = reader.text("board_part", 79);
    d.architecture = static_cast<unsigned>(read_named(reader, "architecture", kArchitectures).value_or(-1));
    d.brand = read_named(reader, "brand", kBrands).value_or(0);
    if (const auto capability = reader.text("compute_capability")) {
      char rest = 0;
      // NOLINTNEXTLINE(cert-err34-c): widths bound the numbers, and the count of fields tells
      if (sscanf(capability->c_str(), "%3d.%2d%c", &d.compute_major, &d.compute_minor, &rest) != 2) {
        reader.fail(reader.find("compute_capability"), "\"compute_capability\" must look like \"9.0\"");
      }
    }
    d.cores = read_whole(reader, "cores", 1 << 20);
    d.persistence = reader.flag("persistence").value_or(true);
    d.display = reader.flag("display").value_or(false);
    read_pci(reader, d);
  }

  void read_pci(Reader& reader, Device& d) {
    const unsigned copy = place_.copy;
    d.pci_bus = 0x10 + 2 * place_.index;
    const std::vector<std::string> addresses = reader.texts("pci.addresses");
    const std::string address = copy < addresses.size() ? addresses[copy] : std::string();
    if (!address.empty() && !parse_pci(address, d)) {
      reader.fail(reader.find("pci.addresses"),
                  "an address looks like \"00000000:1B:00.0\", not " + Reader::quoted(address));
    }
    d.pci_device_id = read_whole(reader, "pci.device_id", 0xffffffff);
    d.pci_subsystem_id = read_whole(reader, "pci.subsystem_id", 0xffffffff);
    d.pcie_gen_max = read_whole(reader, "pci.generation", 10);
    d.pcie_gen_busy = d.pcie_gen_max;
    d.pcie_gen_idle = read_whole(reader, "pci.generation_idle", 10, d.pcie_gen_max);
    d.pcie_width_max = read_whole(reader, "pci.width", 32);
    d.pcie_width = read_whole(reader, "pci.width_current", 32, d.pcie_width_max);
  }

  void read_load(Reader& reader, Device& d) {
    reader.set_gpu(nullptr);
    d.gpu = read_wave(reader, "utilization.gpu", 0, 100);
    gpu_ = d.gpu;
    reader.set_gpu(&gpu_);
    d.memory = read_wave(reader, "utilization.memory", 0, 100);
    d.encoder = read_wave(reader, "utilization.encoder", 0, 100);
    d.decoder = read_wave(reader, "utilization.decoder", 0, 100);
    d.jpeg = reader.wave("utilization.jpeg", 0, 100);
    d.ofa = reader.wave("utilization.ofa", 0, 100);
    d.sample_period_us = read_whole(reader, "utilization.sample_period_us", 10000000, 166666);
    d.activity = read_activity(reader, "gpm");
  }

  std::optional<Activity> read_activity(Reader& reader, const std::string& group) {
    const std::pair<const char*, Wave Activity::*> shares[] = {
        {"graphics", &Activity::graphics}, {"sm", &Activity::sm},     {"occupancy", &Activity::occupancy},
        {"tensor", &Activity::tensor},     {"dram", &Activity::dram}, {"integer", &Activity::integer},
        {"fp64", &Activity::fp64},         {"fp32", &Activity::fp32}, {"fp16", &Activity::fp16}};
    if (!reader.has(group)) return std::nullopt;
    Activity activity;
    for (const auto& [key, member] : shares) activity.*member = read_wave(reader, group + "." + key, 0, 100);
    return activity;
  }

  void read_memory(Reader& reader, Device& d) {
    d.memory_total = mebibytes(need_number(reader, "memory.total_mib", 1, kMemoryMost));
    d.memory_reserved = mebibytes(reader.number("memory.reserved_mib", 0, kMemoryMost).value_or(0));
    if (d.memory_reserved > d.memory_total) reader.fail(nullptr, "more memory is reserved than there is");
    const double most = static_cast<double>(d.memory_total - std::min(d.memory_reserved, d.memory_total)) / kMiB;
    d.memory_base = read_wave(reader, "memory.base_mib", 0, most, kMiB);
    d.memory_used = reader.wave("memory.used_mib", 0, most, kMiB);
    d.memory_v2_includes_reserved = reader.flag("memory.v2_used_includes_reserved").value_or(false);
    d.bar1_total = mebibytes(reader.number("memory.bar1_mib", 0, kMemoryMost).value_or(0));
    d.bar1_used = read_wave(reader, "memory.bar1_used_mib", 0, static_cast<double>(d.bar1_total) / kMiB, kMiB);
  }

  static uint64_t mebibytes(double value) { return static_cast<uint64_t>(value * kMiB); }

  // Power follows utilization between idle_w and busy_w, or is a function of its own; throttling takes away from it.
  void read_power(Reader& reader, Device& d) {
    d.power_limit = need_number(reader, "power.limit_w", 1, kWattsMost);
    d.power_default = reader.number("power.default_w", 1, kWattsMost).value_or(d.power_limit);
    d.power_requested = reader.number("power.requested_w", 1, kWattsMost).value_or(d.power_limit);
    d.power_min = reader.number("power.min_w", 1, kWattsMost).value_or(d.power_limit);
    d.power_max = reader.number("power.max_w", 1, kWattsMost).value_or(d.power_limit);
    d.power = read_draw(reader, "power.draw_w", d.gpu, kWattsMost);
    for (const Node* table : reader.tables("throttle", 16)) read_throttle(*table, d);
    const auto [least, most] = d.power.bounds();
    if (least < 0) reader.fail(nullptr, "throttling may take more power away than is drawn");
    if (most > 2 * kWattsMost) reader.fail(nullptr, "power may exceed 200 kW");
    d.memory_power = reader.wave("power.memory_w", 0, kWattsMost);
    d.power_average_only = reader.flag("power.average_only").value_or(false);
    d.power_usage_instant = reader.flag("power.usage_instant").value_or(false);
    d.energy_base = reader.number("power.energy_base_j", 0, 1e15);
  }

  void read_throttle(const Node& table, Device& d) {
    Reader reader("throttle", {&table}, error_);
    Throttle throttle;
    throttle.reason = static_cast<uint64_t>(read_named(reader, "reason", kReasons).value_or(0));
    if (throttle.reason == 0) reader.fail(&table, "needs \"reason\"");
    throttle.active = read_wave(reader, "active", 0, 1);
    if (!throttle.active.is_switch())
      reader.fail(&table, "\"active\" must be one square, steps or constant of 0 and 1");
    throttle.clock_share = reader.number("clock_share", 0, 1).value_or(1);
    const double drop = reader.number("power_drop_w", 0, kWattsMost).value_or(0);
    if (drop > 0) d.power.add(throttle.active, -drop);
    d.throttles.push_back(std::move(throttle));
    reader.refuse_unknown();
  }

  void read_temperature(Reader& reader, Device& d) {
    d.ambient = reader.number("temperature.ambient_c", -40, 150).value_or(25);
    d.kelvin_per_watt = reader.number("temperature.per_watt", 0, 10).value_or(0);
    d.lag = reader.number("temperature.lag_s", 0, 1e6).value_or(30);
    d.temperature = reader.wave("temperature.gpu_c", -40, 150);
    d.memory_temperature_offset = reader.number("temperature.memory_ambient_c", -40, 150);
    d.memory_kelvin_per_watt = reader.number("temperature.memory_per_watt", 0, 10);
    const auto degrees = [&](std::string_view path) -> std::optional<int> {
      const auto value = reader.integer(path, -100, 200);
      return value ? std::optional<int>(static_cast<int>(*value)) : std::nullopt;
    };
    d.shutdown = degrees("temperature.shutdown_c");
    d.slowdown = degrees("temperature.slowdown_c");
    d.gpu_max = degrees("temperature.gpu_max_c");
    d.memory_max = degrees("temperature.memory_max_c");
    d.tlimit_shutdown = degrees("temperature.margin.shutdown_c");
    d.tlimit_slowdown = degrees("temperature.margin.slowdown_c");
    d.tlimit_memory_max = degrees("temperature.margin.memory_max_c");
    d.tlimit_gpu_max = degrees("temperature.margin.gpu_max_c");
    d.margin_zero = reader.number("temperature.margin.zero_c", -40, 200);
    d.fans = read_whole(reader, "fan.count", 16);
    d.fan_percent = read_wave(reader, "fan.percent", 0, 100);
    d.fan_max_rpm = reader.number("fan.max_rpm", 0, 50000).value_or(0);
  }

  void read_clocks(Reader& reader, Device& d) {
    const char* const domains[] = {"graphics", "sm", "memory", "video"};
    for (int i = 0; i < 4; ++i) {
      const std::string path = std::string("clock.") + domains[i];
      // The SM clock is the graphics clock unless the file says otherwise.
      const bool follows = i == 1;
      d.clock_max[i] = reader.number(path + ".max_mhz", 0, kMegahertzMost).value_or(follows ? d.clock_max[0] : 0);
      d.clock_busy[i] =
          reader.number(path + ".busy_mhz", 0, kMegahertzMost).value_or(follows ? d.clock_busy[0] : d.clock_max[i]);
      d.clock_idle[i] =
          reader.number(path + ".idle_mhz", 0, kMegahertzMost).value_or(follows ? d.clock_idle[0] : d.clock_max[i]);
    }
    d.pstate_idle = static_cast<int>(read_whole(reader, "clock.pstate_idle", 15));
    d.pstate_busy = static_cast<int>(read_whole(reader, "clock.pstate_busy", 15));
    d.reasons_supported = static_cast<uint64_t>(reader.integer("clock.reasons_supported", 0, 0x1ff).value_or(0x1ff));
  }

  void read_links(Reader& reader, Device& d) {
    d.pcie_tx = read_wave(reader, "pcie.tx", 0, kRateMost);
    d.pcie_rx = read_wave(reader, "pcie.rx", 0, kRateMost);
    d.pcie_replays = read_wave(reader, "pcie.replays", 0, kCountMost);
    d.pcie_counters = reader.flag("pcie.counters").value_or(false);
    d.pcie_counter_bits = read_whole(reader, "pcie.counter_bits", 64, 64);
    if (d.pcie_counter_bits < 8) reader.fail(reader.find("pcie.counter_bits"), "\"pcie.counter_bits\" must be 8 to 64");
    d.pcie_throughput_ms = reader.number("pcie.throughput_ms", 0, 1e4).value_or(20);
    d.nvlinks = read_whole(reader, "nvlink.links", kNvlinksMost);
    for (const unsigned link : reader.numbers("nvlink.down", kNvlinksMost)) {
      if (link >= d.nvlinks) reader.fail(reader.find("nvlink.down"), "there is no link " + std::to_string(link));
      d.nvlinks_down |= uint64_t{1} << (link % 64);
    }
    d.nvlink_version = read_whole(reader, "nvlink.version", 16);
    d.nvlink_mbps = read_whole(reader, "nvlink.mbps", 10000000);
    d.nvlink_tx = read_wave(reader, "nvlink.tx", 0, kRateMost);
    d.nvlink_rx = read_wave(reader, "nvlink.rx", 0, kRateMost);
    d.nvlink_replays = read_wave(reader, "nvlink.replays", 0, kCountMost);
    d.nvlink_recoveries = read_wave(reader, "nvlink.recoveries", 0, kCountMost);
    d.nvlink_crc = read_wave(reader, "nvlink.crc", 0, kCountMost);
  }

  void read_health(Reader& reader, Device& d) {
    d.ecc = reader.flag("ecc.enabled");
    d.ecc_sram_corrected = read_wave(reader, "ecc.sram_corrected", 0, kCountMost);
    d.ecc_sram_uncorrected = read_wave(reader, "ecc.sram_uncorrected", 0, kCountMost);
    d.ecc_dram_corrected = read_wave(reader, "ecc.dram_corrected", 0, kCountMost);
    d.ecc_dram_uncorrected = read_wave(reader, "ecc.dram_uncorrected", 0, kCountMost);
    d.ecc_aggregate_corrected = reader.number("ecc.earlier_corrected", 0, kCountMost).value_or(0);
    d.ecc_aggregate_uncorrected = reader.number("ecc.earlier_uncorrected", 0, kCountMost).value_or(0);

    d.remapped_rows = reader.has("rows");
    d.rows_corrected = read_wave(reader, "rows.corrected", 0, 1e6);
    d.rows_uncorrected = read_wave(reader, "rows.uncorrected", 0, 1e6);
    d.rows_pending = read_wave(reader, "rows.pending", 0, 1);
    d.rows_failure = read_wave(reader, "rows.failure", 0, 1);
    const std::vector<unsigned> histogram = reader.numbers("rows.histogram", 5);
    std::copy(histogram.begin(), histogram.end(), d.row_histogram);

    d.retired_pages = reader.has("pages");
    d.pages_single = read_wave(reader, "pages.single_bit", 0, 64);
    d.pages_double = read_wave(reader, "pages.double_bit", 0, 64);
    d.pages_pending = read_wave(reader, "pages.pending", 0, 1);
    d.recovery_action = reader.wave("recovery_action", 0, 4);

    if (reader.has("fabric")) {
      Device::Fabric fabric;
      fabric.state = static_cast<unsigned char>(read_whole(reader, "fabric.state", 3));
      fabric.status = static_cast<int>(read_whole(reader, "fabric.status", 999));
      fabric.clique = read_whole(reader, "fabric.clique", 0xffffffff);
      fabric.health = read_whole(reader, "fabric.health", 0xffffffff);
      const uint64_t seed = hash_text(place_.scenario) ^ 0xfab;
      for (size_t i = 0; i < sizeof(fabric.cluster); ++i) {
        fabric.cluster[i] = static_cast<unsigned char>(mix(seed + i));
      }
      d.fabric = fabric;
    }
  }

  void read_mig(Reader& reader, Device& d) {
    const unsigned index = place_.index;
    d.mig = reader.flag("mig.enabled");
    d.mig_most = read_whole(reader, "mig.most", kMigMost);
    for (const Node* table : reader.tables("mig.instance", kMigMost)) {
      Reader one("device " + std::to_string(index) + ", mig.instance " + std::to_string(d.instances.size()), {table},
                 error_);
      one.set_gpu(&gpu_);
      MigInstance i;
      i.profile = need_text(one, "profile", 40);
      const std::optional<std::string> uuid = one.text("uuid", 80);
      i.uuid =
          uuid ? *uuid : make_uuid("MIG", hash_text(place_.scenario + i.profile) + index * 64 + d.instances.size());
      i.gpu_instance = read_whole(one, "gpu_instance", 0xfffffffe);
      i.compute_instance = read_whole(one, "compute_instance", 0xfffffffe);
      i.gpu_slices = read_whole(one, "gpu_slices", 64);
      i.compute_slices = read_whole(one, "compute_slices", 64, i.gpu_slices);
      i.multiprocessors = read_whole(one, "multiprocessors", 1024);
      i.copy_engines = read_whole(one, "copy_engines", 64);
      i.decoders = read_whole(one, "decoders", 64);
      i.encoders = read_whole(one, "encoders", 64);
      i.jpeg_engines = read_whole(one, "jpeg_engines", 64);
      i.ofa_engines = read_whole(one, "ofa_engines", 64);
      i.memory_total = mebibytes(need_number(one, "memory_mib", 1, kMemoryMost));
      i.bar1_total = mebibytes(one.number("bar1_mib", 0, kMemoryMost).value_or(0));
      i.memory_base = read_wave(one, "base_mib", 0, static_cast<double>(i.memory_total) / kMiB, kMiB);
      i.activity = read_activity(one, "gpm");
      one.refuse_unknown();
      d.instances.push_back(std::move(i));
    }
    if (!d.instances.empty() && !d.mig_enabled()) reader.fail(nullptr, "has instances though mig.enabled is not true");
  }

  // Moves everything of one device by the same time, so that what belongs together stays together.
  static void shift(Device& d, double seconds, unsigned index) {
    const auto move = [&](Wave& wave) { wave.shift(seconds, index); };
    const auto move_activity = [&](std::optional<Activity>& activity) {
      if (!activity) return;
      for (Wave* wave : {&activity->graphics, &activity->sm, &activity->occupancy, &activity->tensor, &activity->dram,
                         &activity->integer, &activity->fp64, &activity->fp32, &activity->fp16}) {
        move(*wave);
      }
    };
    for (Wave* wave : {&d.memory_base, &d.bar1_used, &d.gpu, &d.memory, &d.encoder, &d.decoder, &d.power,
                       &d.fan_percent, &d.pcie_tx, &d.pcie_rx, &d.nvlink_tx, &d.nvlink_rx}) {
      move(*wave);
    }
    for (std::optional<Wave>* wave : {&d.memory_used, &d.jpeg, &d.ofa, &d.memory_power, &d.temperature}) {
      if (*wave) move(**wave);
    }
    for (Throttle& throttle : d.throttles) move(throttle.active);
    move_activity(d.activity);
    for (MigInstance& instance : d.instances) {
      move(instance.memory_base);
      move_activity(instance.activity);
    }
  }

  const DevicePlace& place_;
  FirstError& error_;
  Wave gpu_;
};

}  // namespace

CallSet read_calls(Reader& reader, std::string_view path) {
  CallSet all;
  std::vector<const Node*> nodes;
  const std::vector<std::string> names = reader.texts(path, &nodes);
  for (size_t i = 0; i < names.size(); ++i) {
    const CallSet calls = match_calls(names[i]);
    if (calls.none()) reader.fail(nodes[i], "there is no call " + Reader::quoted(names[i]));
    all |= calls;
  }
  return all;
}

std::string need_text(Reader& reader, std::string_view path, size_t longest) {
  const std::optional<std::string> text = reader.text(path, longest);
  if (!text || text->empty()) reader.fail(nullptr, "needs " + Reader::quoted(path));
  return text.value_or("");
}

double need_number(Reader& reader, std::string_view path, double low, double high) {
  const std::optional<double> value = reader.number(path, low, high);
  if (!value) reader.fail(nullptr, "needs " + Reader::quoted(path));
  return value.value_or(low);
}

Wave read_wave(Reader& reader, std::string_view path, double low, double high, double unit) {
  return reader.wave(path, low, high, unit).value_or(Wave());
}

Wave read_draw(Reader& reader, std::string_view path, const Wave& gpu, double most) {
  const double idle = reader.number("power.idle_w", 0, most).value_or(0);
  const double busy = reader.number("power.busy_w", 0, most).value_or(idle);
  if (const auto draw = reader.wave(path, 0, most)) return *draw;
  Wave power(idle);
  power.add(gpu, (busy - idle) / 100);
  return power;
}

void read_pci_address(Reader& reader, unsigned copy, const char* example, unsigned& domain, unsigned& bus,
                      unsigned& slot) {
  const std::vector<std::string> addresses = reader.texts("pci.addresses");
  if (copy >= addresses.size()) return;
  const std::string& text = addresses[copy];
  unsigned function = 0;
  char rest = 0;
  // NOLINTNEXTLINE(cert-err34-c): widths bound the numbers, and the count of fields tells
  const int fields = sscanf(text.c_str(), "%8x:%2x:%2x.%1x%c", &domain, &bus, &slot, &function, &rest);
  if (fields != 4 || slot > 0x1f || function != 0 || domain > 0xffff)
    reader.fail(reader.find("pci.addresses"),
                "an address looks like " + Reader::quoted(example) + ", not " + Reader::quoted(text));
}

unsigned read_whole(Reader& reader, std::string_view path, int64_t most, unsigned fallback) {
  return static_cast<unsigned>(reader.integer(path, 0, most).value_or(fallback));
}

Device read_device(Reader& reader, const DevicePlace& place, FirstError& error) {
  return DeviceParser(place, error).read(reader);
}

}  // namespace accelmon::simulator
