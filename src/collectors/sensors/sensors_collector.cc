#include "collectors/sensors/sensors_collector.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <set>

#include "base/fd.h"
#include "base/text.h"
#include "collectors/kernel_files.h"

namespace accelmon {
namespace {

// Descriptors are kept open; an agent's collector usually has 1024.
constexpr size_t kMostFiles = 512;
constexpr size_t kMostDevices = 256;
constexpr size_t kMostEntries = 256;  // hwmonN, thermal_zoneN, ...

constexpr std::string_view kAccelerators[] = {"amdgpu", "radeon", "nouveau", "nvidia", "xe", "i915", "habanalabs"};
constexpr std::string_view kProcessors[] = {"coretemp",    "k10temp",      "k8temp",      "zenpower",    "amd_energy",
                                            "cpu_thermal", "x86_pkg_temp", "cpu-thermal", "fam15h_power"};
constexpr std::string_view kMemories[] = {"jc42", "spd5118"};
constexpr std::string_view kDisks[] = {"nvme", "drivetemp"};

template <size_t N>
bool among(std::string_view name, const std::string_view (&names)[N]) {
  return std::any_of(std::begin(names), std::end(names), [&](std::string_view one) { return name == one; });
}

State state_of(int error) {
  switch (error) {
    case EAGAIN:
    case ENODATA:
      return State::not_ready;  // the chip has nothing at the moment: asleep, or measuring
    case EACCES:
    case EPERM:
      return State::no_permission;
    case EOPNOTSUPP:
      return State::unsupported;
    default:
      return State::error;
  }
}

// The last part of what a link points to: "0000:c1:00.0", "nvme0", "coretemp.1".
std::string target_of(const std::string& link) {
  char text[1024];
  const ssize_t n = ::readlink(link.c_str(), text, sizeof text);
  if (n <= 0 || static_cast<size_t>(n) == sizeof text) return {};
  const std::string_view path(text, static_cast<size_t>(n));
  return printable(path.substr(path.rfind('/') + 1), 100);
}

// Letters, digits, then nothing or '_' and the rest: "temp12_input" is temp, 12, input.
struct SensorName {
  std::string_view kind, number, rest;
};
SensorName split(std::string_view file) {
  size_t letters = 0, end = 0;
  while (letters < file.size() && file[letters] >= 'a' && file[letters] <= 'z') ++letters;
  for (end = letters; end < file.size() && file[end] >= '0' && file[end] <= '9';) ++end;
  if (end >= file.size() || file[end] != '_') return {};
  return {file.substr(0, letters), file.substr(letters, end - letters), file.substr(end + 1)};
}

class SensorsCollector : public Collector {
 public:
  explicit SensorsCollector(CollectorContext context)
      : context_(std::move(context)),
        sysfs_(context_.option("sysfs", "/sys")),
        each_core_(context_.option("each_core", "false") == "true"),
        looking_(context_.calls.add("sensors: discovery")) {
    while (sysfs_.ends_with('/')) sysfs_.pop_back();
  }
  ~SensorsCollector() override { release(); }

  Result<Catalog> discover() override {
    forget();
    Catalog catalog;
    CatalogBuilder out(catalog);
    for (size_t i = 0; i < folders_.size(); ++i) {
      if (folders_[i] == nullptr) folders_[i] = ::opendir((sysfs_ + kFolders[i]).c_str());
      fingerprints_[i] = folder_fingerprint(folders_[i]);
    }
    processor_sensed_ = false;
    for (const std::string& name : entries(kFolders[0], "hwmon")) add_chip(out, sysfs_ + kFolders[0] + "/" + name);
    for (const std::string& name : entries(kFolders[1], "thermal_zone"))
      add_zone(out, sysfs_ + kFolders[1] + "/" + name);
    for (const std::string& name : entries(kFolders[2], "intel-rapl")) add_meter(out, name);
    out.fact("sysfs", printable(sysfs_ + "/", kMaxTextBytes - 3));
    out.fact("sensors", std::to_string(sensors_.size() + meters_.size()) + " on " +
                            std::to_string(catalog.devices.size()) + " devices");
    if (left_out_ > 0)
      out.absent(MetricId::temperature, -1, State::unsupported,
                 "only the first " + std::to_string(kMostFiles) + " sensors are read; " + std::to_string(left_out_) +
                     " more are left out");
    series_ = catalog.series.size();
    if (catalog.devices.empty())
      return fail(Code::absent, "no sensor of the host is below " + printable(sysfs_, 100) +
                                    "/class (hwmon, thermal, powercap): a virtual machine has none; in a container, "
                                    "mount the host's /sys and set the sensors collector's option sysfs");
    return catalog;
  }

  PollResult poll(const PollRequest& request, Frame& frame, std::vector<Event>&) override {
    if (frame.values.size() < series_) return PollResult::rediscover;
    bool changed = false;
    for (Sensor& sensor : sensors_)
      if (request.is_due(sensor.tier)) changed = read(sensor, frame) || changed;
    if (request.is_due(Tier::fast))
      for (Meter& meter : meters_) changed = read(meter, frame) || changed;
    if (request.is_due(Tier::rare))
      for (size_t i = 0; i < folders_.size(); ++i)
        changed = folder_fingerprint(folders_[i]) != fingerprints_[i] || changed;
    return changed ? PollResult::rediscover : PollResult::ok;
  }

  void release() override {
    forget();
    energies_.clear();
    for (DIR*& folder : folders_) {
      if (folder != nullptr) ::closedir(folder);
      folder = nullptr;
    }
  }

 private:
  struct Sensor {
    UniqueFd file, fault;  // fault: a file that reads 1 while the sensor is broken; often there is none
    CallId call = 0;
    double divisor = 1;
    Tier tier = Tier::slow;
    size_t series = 0;
  };
  // What an energy meter has counted, over wraps and over discoveries: a counter must not fall.
  struct Energy {
    int64_t raw = 0, range = 0;
    double joules = 0;
    Nanos at = 0;  // 0: not read yet
  };
  struct Meter {
    UniqueFd file;
    CallId call = 0;
    Energy* energy = nullptr;
    int energy_series = -1;  // -1: a part of a processor, whose energy is in the processor's
    size_t power_series = 0;
  };

  static constexpr std::array<const char*, 3> kFolders{"/class/hwmon", "/class/thermal", "/class/powercap"};

  void forget() {
    sensors_.clear();
    meters_.clear();
    ids_.clear();
    keys_.clear();
    processors_.clear();
    left_out_ = 0;
  }

  std::vector<std::string> entries(const std::string& folder, std::string_view prefix) {
    std::vector<std::string> names = files_of(sysfs_ + folder);
    std::erase_if(names, [&](const std::string& name) { return !name.starts_with(prefix); });
    if (names.size() > kMostEntries) names.resize(kMostEntries);
    return names;
  }

  // A device with an id that no other has; -1: there is no room.
  int add_device(CatalogBuilder& out, DeviceType type, std::string id, std::string model, const std::string& where) {
    if (ids_.size() >= kMostDevices) return -1;
    const std::string base = id;
    for (int n = 2; !ids_.insert(id).second; ++n) id = base + "#" + std::to_string(n);
    Device device{.type = type, .id = id, .model = std::move(model)};
    if (where.size() == 12 && where[4] == ':') device.info.push_back({AttributeId::pci_address, where});
    return out.add_device(std::move(device));
  }

  bool room() {
    const bool free = sensors_.size() + meters_.size() < kMostFiles;
    if (!free) ++left_out_;
    return free;
  }

  // Labels and names are the firmware's, which may use one twice; a catalog may not.
  bool is_new(MetricId metric, int device, const std::vector<Attribute>& attributes) {
    std::string key = std::to_string(index(metric)) + "/" + std::to_string(device);
    for (const Attribute& attribute : attributes) key += "/" + attribute.value;
    return keys_.insert(std::move(key)).second;
  }

  // Adds the series of one file, or the reason why there is none.
  bool add(CatalogBuilder& out, MetricId metric, int device, Tier tier, std::vector<Attribute> attributes,
           const std::string& path, double divisor, CallId call, const std::string& fault = {}) {
    if (!is_new(metric, device, attributes) || !room()) return false;
    UniqueFd file = open(path);
    if (!file.valid()) {
      out.absent(metric, device, state_of(errno), printable(Status::from_errno(errno, path).message(), 250));
      return false;
    }
    Sensor sensor{std::move(file), UniqueFd(), call, divisor, tier, 0};
    if (!fault.empty()) sensor.fault = open(fault);
    sensor.series = static_cast<size_t>(out.add(metric, device, tier, std::move(attributes)));
    sensors_.push_back(std::move(sensor));
    return true;
  }

  std::string line(const std::string& path) {
    const Result<std::string> text = context_.calls.measure(looking_, [&] { return read_file(path, 4096); });
    return text ? printable(trim(*text), 100) : std::string();
  }
  std::vector<std::string> files_of(const std::string& folder) {
    return context_.calls.measure(looking_, [&] { return names_in(folder); });
  }
  UniqueFd open(const std::string& path) {
    return UniqueFd(context_.calls.measure(looking_, [&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
  }

  DeviceType type_of(const std::string& name, const std::string& folder) {
    if (among(name, kProcessors)) return DeviceType::cpu;
    if (among(name, kMemories)) return DeviceType::memory;
    if (among(name, kDisks)) return DeviceType::physical_disk;
    return line(folder + "/device/class").starts_with("0x02") ? DeviceType::network : DeviceType::enclosure;
  }

  bool accelerator(const std::string& name, const std::string& folder) {
    const std::string pci_class = line(folder + "/device/class");
    return among(name, kAccelerators) || pci_class.starts_with("0x03") || pci_class.starts_with("0x12");
  }

  void add_chip(CatalogBuilder& out, const std::string& folder) {
    const std::string name = line(folder + "/name");
    if (name.empty() || accelerator(name, folder)) return;
    const std::vector<std::string> files = files_of(folder);
    const auto has = [&](const std::string& file) {
      return std::find(files.begin(), files.end(), file) != files.end();
    };
    const std::string where = target_of(folder + "/device");
    const std::string model = line(folder + "/device/model");
    const DeviceType type = type_of(name, folder);
    const CallId call = context_.calls.add("hwmon " + name);
    int device = -1;
    std::set<std::string> labels;  // of this chip, by kind
    for (const std::string& file : files) {
      const SensorName sensor = split(file);
      const bool average = sensor.kind == "power" && sensor.rest == "average";
      if (sensor.rest != "input" && !average) continue;
      const std::string stem = std::string(sensor.kind) + std::string(sensor.number);
      if (sensor.kind != "temp" && sensor.kind != "fan" && sensor.kind != "in" && sensor.kind != "power") continue;
      std::string label = line(folder + "/" + stem + "_label");
      if (label.empty()) label = stem;
      if (type == DeviceType::cpu && sensor.kind == "temp") {
        processor_sensed_ = true;
        if (label.starts_with("Core ") && !each_core_) continue;
      }
      if (!labels.insert(std::string(sensor.kind) + "/" + std::string(sensor.rest) + "/" + label).second)
        label += " " + stem;
      if (device < 0) {
        const std::string id = where.empty() || where.starts_with(name) ? where : name + "-" + where;
        device = add_device(out, type, id.empty() ? name : id, model.empty() ? name : model, where);
        if (device < 0) return;
      }
      const std::string path = folder + "/" + file;
      const std::string fault = has(stem + "_fault") ? folder + "/" + stem + "_fault" : std::string();
      const Attribute location{AttributeId::sensor_location, label};
      if (sensor.kind == "fan") {
        add(out, MetricId::fan_speed, device, Tier::slow, {{AttributeId::fan, std::string(sensor.number)}}, path, 1,
            call, fault);
      } else if (sensor.kind == "in") {
        add(out, MetricId::voltage, device, Tier::slow, {location}, path, 1e3, call);
      } else if (sensor.kind == "power") {
        add(out, MetricId::power, device, Tier::slow,
            {{AttributeId::power_scope, label}, {AttributeId::power_reading, average ? "average" : "instant"}}, path,
            1e6, call);
      } else if (add(out, MetricId::temperature, device, Tier::slow, {location}, path, 1e3, call, fault)) {
        add_limits(
            out, device, location,
            [&](const char* limit) {
              return has(stem + "_" + limit) ? folder + "/" + stem + "_" + limit : std::string();
            },
            call);
      }
    }
  }

  template <class PathOf>
  void add_limits(CatalogBuilder& out, int device, const Attribute& location, PathOf path_of, CallId call) {
    for (const auto& [file, type] :
         {std::pair{"max", "high.degraded"}, {"crit", "high.critical"}, {"emergency", "max"}}) {
      const std::string path = path_of(file);
      // Chips say "no limit" with zero, with less than nothing or with the largest number that they can hold.
      const auto value = path.empty() ? std::nullopt : parse_i64(line(path));
      if (!value || *value <= 0 || *value > 200'000) continue;
      add(out, MetricId::temperature_limit, device, Tier::rare, {location, {AttributeId::limit_type, type}}, path, 1e3,
          call);
    }
  }

  void add_zone(CatalogBuilder& out, const std::string& folder) {
    const std::string type = line(folder + "/type");
    if (type.empty() || (type == "x86_pkg_temp" && processor_sensed_)) return;
    // A zone with a hwmon chip of its own has been read there.
    const std::vector<std::string> files = files_of(folder);
    if (std::any_of(files.begin(), files.end(), [](const std::string& f) { return f.starts_with("hwmon"); })) return;
    if (std::find(files.begin(), files.end(), "temp") == files.end()) return;
    const int device = add_device(out, among(type, kProcessors) ? DeviceType::cpu : DeviceType::enclosure,
                                  "thermal-" + type, type, "");
    if (device < 0) return;
    add(out, MetricId::temperature, device, Tier::slow, {{AttributeId::sensor_location, type}}, folder + "/temp", 1e3,
        context_.calls.add("thermal " + type));
  }

  // "intel-rapl:0" is a processor (package-0), "intel-rapl:0:1" a part of it. The memory's meter is no part of the
  // processor's; the others are, so that they have power only. AMD's processors come under the same name.
  void add_meter(CatalogBuilder& out, const std::string& entry) {
    const std::string folder = sysfs_ + kFolders[2] + "/" + entry;
    const std::string name = line(folder + "/name");
    // The control itself has no meter; the one in memory-mapped registers is the same as the other.
    if (name.empty() || entry.find(':') == std::string::npos || entry.starts_with("intel-rapl-mmio")) return;
    const size_t last = entry.rfind(':');
    const bool part = last != entry.find(':');
    const std::string control = entry.substr(0, last);
    const std::string of = part ? line(sysfs_ + kFolders[2] + "/" + control + "/name") : std::string();
    const bool memory = name == "dram";
    std::string scope = memory ? "memory" : name.starts_with("package") ? "package" : name;
    int device = -1;
    if (part && !memory) {
      const auto parent = processors_.find(control);
      if (parent == processors_.end()) return;
      device = parent->second;
    } else {
      const DeviceType type = memory               ? DeviceType::memory
                              : scope == "package" ? DeviceType::cpu
                                                   : DeviceType::enclosure;
      device = add_device(out, type, "rapl-" + (part ? of + "-" : std::string()) + name, "RAPL " + name, "");
      if (device < 0) return;
      if (!part) processors_[entry] = device;
    }
    std::vector<Attribute> power{{AttributeId::power_scope, scope}, {AttributeId::power_reading, "average"}};
    if (!is_new(MetricId::power, device, power) || !room()) return;
    const std::string path = folder + "/energy_uj";
    UniqueFd file = open(path);
    if (!file.valid()) {
      const bool refused = errno == EACCES || errno == EPERM;
      const std::string reason = refused
                                     ? "energy_uj of " + name +
                                           " is readable by root alone (it gave secrets away): run the collector as "
                                           "root or with CAP_DAC_READ_SEARCH"
                                     : Status::from_errno(errno, path).message();
      for (const MetricId metric : {MetricId::energy, MetricId::power})
        out.absent(metric, device, state_of(errno), printable(reason, 250));
      return;
    }
    const auto range = parse_i64(line(folder + "/max_energy_range_uj"));
    Meter meter{std::move(file), context_.calls.add("powercap " + name), &energies_[entry + name], -1, 0};
    meter.energy->range = range.value_or(0);
    if (!part || memory) meter.energy_series = out.add(MetricId::energy, device, Tier::fast);
    meter.power_series = static_cast<size_t>(out.add(MetricId::power, device, Tier::fast, std::move(power)));
    meters_.push_back(std::move(meter));
  }

  // Both return whether what was there at discovery is gone.
  bool read(Sensor& sensor, Frame& frame) {
    int64_t value = 0, fault = 0;
    int error = context_.calls.measure(sensor.call, [&] {
      const int failed = sensor.fault.valid() ? read_number(sensor.fault.get(), fault) : 0;
      return failed != 0 ? failed : read_number(sensor.file.get(), value);
    });
    if (error == 0 && fault != 0) error = EIO;
    if (error == 0) {
      frame.set(sensor.series, static_cast<double>(value) / sensor.divisor);
      return false;
    }
    frame.absent(sensor.series, state_of(error));
    return failed(error);
  }

  bool read(Meter& meter, Frame& frame) {
    int64_t raw = 0;
    int error = context_.calls.measure(meter.call, [&] { return read_number(meter.file.get(), raw); });
    const Nanos now = context_.clock.monotonic();
    if (error == 0 && raw < 0) error = EBADMSG;
    Energy& energy = *meter.energy;
    if (error != 0) {
      if (meter.energy_series >= 0) frame.absent(static_cast<size_t>(meter.energy_series), state_of(error));
      frame.absent(meter.power_series, state_of(error));
      return failed(error);
    }
    frame.absent(meter.power_series, State::not_ready);
    if (energy.at == 0) {
      energy.joules = static_cast<double>(raw) * 1e-6;
    } else {
      // Once around between two polls is what can be told from a step back; without a range it is a new start.
      const bool wrapped = raw < energy.raw;
      const bool known = !wrapped || energy.range > energy.raw - raw;
      const int64_t grown = !wrapped ? raw - energy.raw : known ? energy.range - energy.raw + raw : raw;
      energy.joules += static_cast<double>(grown) * 1e-6;
      if (now > energy.at && known)
        frame.set(meter.power_series, static_cast<double>(grown) * 1e-6 / to_seconds(now - energy.at));
    }
    energy.raw = raw;
    energy.at = now;
    if (meter.energy_series >= 0) frame.set(static_cast<size_t>(meter.energy_series), energy.joules);
    return false;
  }

  bool failed(int error) {
    if (error != EAGAIN && error != ENODATA && error != EOPNOTSUPP) context_.calls.count_error(errno_name(error));
    return error == ENODEV || error == ENOENT || error == ENXIO;
  }

  CollectorContext context_;
  std::string sysfs_;
  bool each_core_;
  CallId looking_;
  std::array<DIR*, kFolders.size()> folders_{};
  std::array<uint64_t, kFolders.size()> fingerprints_{};
  std::vector<Sensor> sensors_;
  std::vector<Meter> meters_;
  std::map<std::string, Energy> energies_;
  std::map<std::string, int> processors_;  // entry of powercap -> its device
  std::set<std::string> ids_, keys_;
  bool processor_sensed_ = false;
  size_t left_out_ = 0, series_ = 0;
};

}  // namespace

std::unique_ptr<Collector> make_sensors_collector(CollectorContext context) {
  return std::make_unique<SensorsCollector>(std::move(context));
}

}  // namespace accelmon
