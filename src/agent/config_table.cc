#include "agent/config_table.h"

#include <algorithm>

#include "base/text.h"

namespace accelmon {
namespace config_table {
namespace {

// ---- the table ----

constexpr uint64_t kMinute = 60ull * kSecond;
constexpr uint64_t kHour = 60 * kMinute;
constexpr uint64_t kKiB = 1024;
constexpr uint64_t kTiB = 1ull << 40;
constexpr size_t kMaxEma = 8;
constexpr size_t kMaxSocketPath = 107;  // sun_path without its final NUL

// Grouped by section, in the order of the documentation.
const Key kKeys[] = {
    {"listen.address", Type::address, [](Config& c) -> Slot { return &c.listen.address; }, 0, 0, "",
     "Where `/metrics`, the API and the pages are served: `HOST:PORT`, `[IPV6]:PORT`, port 0 for any free one. Empty: "
     "no TCP, only the local socket"},
    {"listen.socket", Type::path, [](Config& c) -> Slot { return &c.listen.socket; }, 0, kMaxSocketPath,
     "`$RUNTIME_DIRECTORY/accelmon.sock`, else `/run/accelmon/accelmon.sock` for root, else "
     "`$XDG_RUNTIME_DIR/accelmon.sock`, else `/tmp/accelmon-UID.sock`",
     "The local control socket: `accelmon status`, `doctor` and `release` speak over it"},
    {"listen.max_connections", Type::count, [](Config& c) -> Slot { return &c.listen.max_connections; }, 1, 4096, "",
     "Connections open at once. At the bound the longest idle one is closed to make room"},
    {"listen.idle_timeout", Type::duration, [](Config& c) -> Slot { return &c.listen.idle_timeout; }, kSecond, kHour,
     "", "How long a kept-alive connection may wait for its next request"},
    {"listen.request_timeout", Type::duration, [](Config& c) -> Slot { return &c.listen.request_timeout; },
     100 * kMillisecond, 10 * kMinute, "", "How long a request may take to arrive whole"},
    {"poll.interval", Type::duration, [](Config& c) -> Slot { return &c.poll.interval; }, 10 * kMillisecond, kHour, "",
     "How often everything cheap is read: utilization, memory, power, temperature, clocks, throttling"},
    {"poll.slow", Type::duration, [](Config& c) -> Slot { return &c.poll.slow; }, 10 * kMillisecond, 24 * kHour, "",
     "How often what costs more is read: processes, fans, ECC counters. At least `poll.interval`; raised to it when "
     "not set"},
    {"poll.rare", Type::duration, [](Config& c) -> Slot { return &c.poll.rare; }, 10 * kMillisecond, 24 * kHour, "",
     "How often what hardly changes is read: limits, link widths. At least `poll.interval`; raised to it when not set"},
    {"poll.hang", Type::duration, [](Config& c) -> Slot { return &c.poll.hang; }, 500 * kMillisecond, kHour, "",
     "A collector that has not answered for so long is killed and started again; at least ten of its intervals. Its "
     "series are gone from `/metrics` after three"},
    {"smoothing.ema", Type::durations, [](Config& c) -> Slot { return &c.smoothing.ema; }, 10 * kMillisecond,
     24 * kHour, "",
     "Time constants of the smoothed (`.ema`) series, 0 to 8 of them, each giving one series more. `[]`: none"},
    {"smoothing.window", Type::duration, [](Config& c) -> Slot { return &c.smoothing.window; }, 2 * kSecond, kHour, "",
     "Length of the trailing window of the `.window` series (min, mean, max, p95)"},
    {"store.memory", Type::size, [](Config& c) -> Slot { return &c.store.memory; }, 256 * kKiB, kTiB, "",
     "Memory that the history may hold. The oldest of it makes room for the newest"},
    {"exposition.gzip", Type::boolean, [](Config& c) -> Slot { return &c.exposition.gzip; }, 0, 1, "",
     "Compress pages for clients that accept it. Costs a little CPU for each scrape, saves nine tenths of the bytes"},
    {"log.level", Type::level, [](Config& c) -> Slot { return &c.log_level; }, 0, 0, "",
     "What is logged on standard error: `error`, `warn`, `info` or `debug`; each includes those before it"},
    {"collectors.nvml.enabled", Type::boolean, [](Config& c) -> Slot { return &c.collectors["nvml"].enabled; }, 0, 1,
     "", "Whether NVIDIA devices are read, through NVML"},
    {"collectors.nvml.library", Type::text, nullptr, 0, 4096,
     "`libnvidia-ml.so.1`, then where containers and WSL put it",
     "The NVML library: a name for the loader's search path, or an absolute path"},
    {"collectors.nvml.procfs", Type::path, nullptr, 0, 4096, "`/proc`",
     "Where the host's `/proc` is mounted; needed in a container, for the names of processes on the devices"},
    {"collectors.nvml.sysfs", Type::path, nullptr, 0, 4096, "`/sys`",
     "Where the host's `/sys` is mounted; for the PCI bus and NUMA nodes"},
    {"collectors.nvml.each_nvlink", Type::boolean, nullptr, 0, 1, "`false`",
     "Whether each NVLink has series of its own (bytes, errors, up) instead of one for all of a device. Eighteen links "
     "on "
     "eight boards are 900 series"},
    {"collectors.level_zero.enabled", Type::boolean,
     [](Config& c) -> Slot { return &c.collectors["level_zero"].enabled; }, 0, 1, "",
     "Whether Intel GPUs are read through Level Zero, beside the kernel's files: memory traffic, PCIe bytes, errors, "
     "links between GPUs"},
    {"collectors.level_zero.library", Type::text, nullptr, 0, 4096, "`libze_loader.so.1`",
     "The Level Zero loader: a name for the loader's search path, or an absolute path"},
    {"collectors.level_zero.procfs", Type::path, nullptr, 0, 4096, "`/proc`",
     "Where the host's `/proc` is mounted; for the names of processes on the devices"},
    {"collectors.level_zero.sysfs", Type::path, nullptr, 0, 4096, "`/sys`",
     "Where the host's `/sys` is mounted; for NUMA nodes"},
    {"collectors.nvidia_smi.enabled", Type::boolean,
     [](Config& c) -> Slot { return &c.collectors["nvidia_smi"].enabled; }, 0, 1, "",
     "Whether NVIDIA devices are read through the program nvidia-smi where NVML cannot be loaded"},
    {"collectors.nvidia_smi.library", Type::text, nullptr, 0, 4096, "`libnvidia-ml.so.1`, then where it usually lies",
     "The NVML library whose presence makes this collector needless"},
    {"collectors.nvidia_smi.program", Type::text, nullptr, 0, 4096, "`nvidia-smi`",
     "The program: a name that is looked for in `PATH`, or an absolute path"},
    {"collectors.nvidia_smi.min_interval", Type::duration, nullptr, kSecond, kHour, "`5s`",
     "Shortest time between two runs of the program, however short `poll.slow` is"},
    {"collectors.nvidia_smi.timeout", Type::duration, nullptr, 100 * kMillisecond, kMinute, "`10s`",
     "After this the program is killed and its readings are errors"},
    {"collectors.amdgpu.enabled", Type::boolean, [](Config& c) -> Slot { return &c.collectors["amdgpu"].enabled; }, 0,
     1, "", "Whether AMD GPUs are read, from the files of the drivers amdgpu and KFD"},
    {"collectors.amdgpu.sysfs", Type::path, nullptr, 0, 4096, "`/sys`", "Where the host's `/sys` is mounted"},
    {"collectors.amdgpu.procfs", Type::path, nullptr, 0, 4096, "`/proc`",
     "Where the host's `/proc` is mounted; for processes on the devices and their names"},
    {"collectors.amdgpu.devfs", Type::path, nullptr, 0, 4096, "`/dev`",
     "Where the host's `/dev` is mounted; for the device nodes that processes hold open"},
    {"collectors.kernel_log.enabled", Type::boolean,
     [](Config& c) -> Slot { return &c.collectors["kernel_log"].enabled; }, 0, 1, "",
     "Whether the kernel's log is watched for errors of accelerators"},
    {"collectors.kernel_log.path", Type::path, nullptr, 0, 4096, "`/dev/kmsg`",
     "The log, or a file in its format. Needs `CAP_SYSLOG` where `kernel.dmesg_restrict` is set"},
    {"collectors.kernel_log.procfs", Type::path, nullptr, 0, 4096, "`/proc`",
     "Where the host's `/proc` is mounted; for the UUIDs of NVIDIA's devices"},
    {"collectors.kernel_log.sysfs", Type::path, nullptr, 0, 4096, "`/sys`",
     "Where the host's `/sys` is mounted; for the ids of AMD's devices"},
    {"collectors.intel_kernel.enabled", Type::boolean,
     [](Config& c) -> Slot { return &c.collectors["intel_kernel"].enabled; }, 0, 1, "",
     "Whether Intel GPUs are read from the files and counters of the drivers xe and i915; needs no library"},
    {"collectors.intel_kernel.sysfs", Type::path, nullptr, 0, 4096, "`/sys`", "Where the host's `/sys` is mounted"},
    {"collectors.intel_kernel.procfs", Type::path, nullptr, 0, 4096, "`/proc`",
     "Where the host's `/proc` is mounted; for processes on the devices and their names"},
    {"collectors.intel_kernel.devfs", Type::path, nullptr, 0, 4096, "`/dev`",
     "Where the host's `/dev` is mounted; for the render nodes that tell the memory in use"},
    {"collectors.intel_kernel.counters", Type::boolean, nullptr, 0, 1, "`true`",
     "Whether the engines' perf counters are read. While those of `xe` are open the kernel does not suspend an idle "
     "device"},
    {"collectors.presence.enabled", Type::boolean, [](Config& c) -> Slot { return &c.collectors["presence"].enabled; },
     0, 1, "", "Whether accelerators on the PCI bus that nobody reads are shown, with the reason"},
    {"collectors.presence.sysfs", Type::path, nullptr, 0, 4096, "`/sys`", "Where the host's `/sys` is mounted"},
    {"collectors.host.enabled", Type::boolean, [](Config& c) -> Slot { return &c.collectors["host"].enabled; }, 0, 1,
     "", "Whether the host itself is read: processors, memory, disks, network, pressure"},
    {"collectors.host.procfs", Type::path, nullptr, 0, 4096, "`/proc`", "Where the host's `/proc` is mounted"},
    {"collectors.host.sysfs", Type::path, nullptr, 0, 4096, "`/sys`", "Where the host's `/sys` is mounted"},
    {"collectors.host.rootfs", Type::path, nullptr, 0, 4096, "`/`",
     "Where the host's root file system is mounted; for the space on its file systems"},
    {"collectors.host.network_exclude", Type::text, nullptr, 0, 4096,
     "`veth,docker,cali,cni,br-,lxc,vnet,tap,eni,gke,azv`",
     "Network interfaces whose names begin with one of these, separated by commas, are not read"},
    {"collectors.sensors.enabled", Type::boolean, [](Config& c) -> Slot { return &c.collectors["sensors"].enabled; }, 0,
     1, "", "Whether the host's own sensors are read: temperatures, fans, voltages, processors' power"},
    {"collectors.sensors.sysfs", Type::path, nullptr, 0, 4096, "`/sys`", "Where the host's `/sys` is mounted"},
    {"collectors.sensors.each_core", Type::boolean, nullptr, 0, 1, "`false`",
     "Whether each processor core has a temperature of its own, beside that of the whole processor"},
};

std::string_view last_word(std::string_view path) {
  return path.substr(path.rfind('.') + 1);
}

// "collectors.nvml.library" -> "nvml"
std::string_view collector_of(std::string_view path) {
  const size_t begin = path.find('.') + 1;
  return path.substr(begin, path.find('.', begin) - begin);
}

std::string show_bound(Type type, uint64_t bound) {
  if (type == Type::duration || type == Type::durations) return quoted(format_duration(static_cast<Nanos>(bound)));
  if (type != Type::size) return std::to_string(bound);
  for (const auto& [unit, suffix] :
       {std::pair<uint64_t, const char*>{kTiB, "TiB"}, {1u << 30, "GiB"}, {1u << 20, "MiB"}, {kKiB, "KiB"}})
    if (bound != 0 && bound % unit == 0) return quoted(std::to_string(bound / unit) + suffix);
  return quoted(std::to_string(bound) + "B");
}

// What to write instead of something that is no such value.
std::string_view wanted(Type type) {
  switch (type) {
    case Type::duration:
      return "write a duration, for example \"1s\" or \"250ms\"";
    case Type::durations:
      return "write a list of durations, for example [\"10s\", \"60s\"]";
    case Type::size:
      return "write a size, for example \"2MiB\"";
    case Type::count:
      return "write a whole number, for example 64";
    case Type::boolean:
      return "write true or false";
    case Type::text:
      return "write a text in quotes, for example \"libnvidia-ml.so.1\"";
    case Type::path:
      return "write an absolute path in quotes, for example \"/host/proc\"";
    case Type::address:
      return "write an address in quotes, for example \"127.0.0.1:19400\"";
    case Type::level:
      return "write \"error\", \"warn\", \"info\" or \"debug\"";
  }
  return "";
}

// ---- one value ----

// The functions below return what is wrong, to be put behind "KEY = VALUE "; nothing when all is well.
using Complaint = std::optional<std::string>;

Complaint wrong_form(const Key& key, const Written& value) {
  return "is " + std::string(value.what) + "; " + std::string(wanted(key.type));
}

Complaint out_of_bounds(const Key& key, uint64_t value) {
  if (value < key.minimum)
    return "is too small; the least is " + show_bound(key.type, key.minimum) + ", the most " +
           show_bound(key.type, key.maximum);
  if (value > key.maximum)
    return "is too large; the most is " + show_bound(key.type, key.maximum) + ", the least " +
           show_bound(key.type, key.minimum);
  return {};
}

// base/text begins its complaints with the quoted text, which stands before ours already.
std::string without_echo(const std::string& message, std::string_view text) {
  const std::string echo = quoted(printable(text, 40)) + " ";
  return message.starts_with(echo) ? message.substr(echo.size()) : message;
}

Complaint read_duration(const Key& key, const Written& value, Nanos& out) {
  if (value.form == Written::Form::integer)
    return "has no unit; write " + quoted(value.shown() + "ms") + " or " + quoted(value.shown() + "s");
  if (value.form != Written::Form::text) return wrong_form(key, value);
  const Result<Nanos> parsed = parse_duration(value.text);
  if (!parsed) return without_echo(parsed.error().message(), value.text);
  out = *parsed;
  return out_of_bounds(key, static_cast<uint64_t>(out));
}

Complaint read_durations(const Key& key, const Written& value, std::vector<Nanos>& out) {
  if (value.form != Written::Form::list) return wrong_form(key, value);
  if (value.list.size() > kMaxEma)
    return "has " + std::to_string(value.list.size()) + " elements; the most is " + std::to_string(kMaxEma);
  for (const Written& element : value.list) {
    Nanos one = 0;
    if (Complaint complaint = read_duration(key, element, one)) {
      if (element.form != Written::Form::text && element.form != Written::Form::integer)
        return "holds " + std::string(element.what) + "; " + std::string(wanted(key.type));
      return "holds " + element.shown() + ", which " + *complaint;
    }
    if (std::find(out.begin(), out.end(), one) != out.end()) return "holds " + element.shown() + " twice";
    out.push_back(one);
  }
  return {};
}

Complaint read_size(const Key& key, const Written& value, uint64_t& out) {
  if (value.form == Written::Form::integer)
    return "has no unit; write " + quoted(value.shown() + "KiB") + " or " + quoted(value.shown() + "MiB");
  if (value.form != Written::Form::text) return wrong_form(key, value);
  const Result<uint64_t> parsed = parse_size(value.text);
  if (!parsed) return without_echo(parsed.error().message(), value.text);
  out = *parsed;
  return out_of_bounds(key, out);
}

Complaint read_count(const Key& key, const Written& value, uint32_t& out) {
  if (value.form != Written::Form::integer) return wrong_form(key, value);
  if (Complaint complaint = out_of_bounds(key, value.integer < 0 ? 0 : static_cast<uint64_t>(value.integer)))
    return complaint;
  out = static_cast<uint32_t>(value.integer);
  return {};
}

Complaint check_address(std::string_view text) {
  const std::string write =
      "write HOST:PORT, for example \"127.0.0.1:19400\", or \"0.0.0.0:19400\" for every interface";
  if (text.size() > 300) return "is too long; " + write;
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return "has no port; " + write;
  const std::string_view host = text.substr(0, colon);
  if (host.empty()) return "has no host; " + write;
  if (host.front() == '[' ? host.back() != ']' || host.size() < 4 : host.find(':') != std::string_view::npos)
    return "is not an address; an IPv6 address stands in brackets, for example \"[::1]:19400\"";
  if (host.find_first_of(" \t\r\n/") != std::string_view::npos) return "is not an address; " + write;
  const auto port = parse_u64(text.substr(colon + 1));
  if (!port || *port > 65535) return "has no valid port (0 to 65535); " + write;
  return {};
}

Complaint read_text(const Key& key, const Written& value, std::string& out) {
  if (value.form != Written::Form::text) return wrong_form(key, value);
  const std::string& text = value.text;
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
    return "holds a control character; " + std::string(wanted(key.type));
  if (key.type == Type::address) {
    if (!text.empty()) {
      if (Complaint complaint = check_address(text)) return complaint;
    }
  } else if (text.size() > key.maximum) {
    return "is too long; the most is " + std::to_string(key.maximum) + " bytes";
  }
  if (key.type == Type::path && !text.empty() && text.front() != '/')
    return "is not an absolute path; " + std::string(wanted(key.type));
  out = text;
  return {};
}

Complaint read_level(const Written& value, LogLevel& out, const Key& key) {
  static constexpr std::string_view kLevels[] = {"error", "warn", "info", "debug"};
  if (value.form != Written::Form::text) return wrong_form(key, value);
  if (parse_log_level(value.text, out)) return {};
  std::string complaint = "is not a level; " + std::string(wanted(key.type));
  if (const auto near = nearest_word(value.text, kLevels))
    complaint = "is unknown; did you mean " + quoted(*near) + "?";
  return complaint;
}

std::string show_default(const Key& key) {
  if (!key.absent_default.empty()) return std::string(key.absent_default);
  Config config = default_config();
  struct {
    std::string operator()(std::monostate) const { return ""; }
    std::string operator()(const bool* v) const { return *v ? "true" : "false"; }
    std::string operator()(const uint32_t* v) const { return std::to_string(*v); }
    std::string operator()(const Nanos* v) const { return quoted(format_duration(*v)); }
    std::string operator()(const uint64_t* v) const { return show_bound(Type::size, *v); }
    std::string operator()(const std::string* v) const { return quoted(*v); }
    std::string operator()(const LogLevel* v) const { return quoted(to_string(*v)); }
    std::string operator()(const std::vector<Nanos>* v) const {
      std::string text = "[";
      for (const Nanos one : *v) text += (text.size() == 1 ? "" : ", ") + quoted(format_duration(one));
      return text + "]";
    }
  } show;
  return "`" + std::visit(show, key.slot(config)) + "`";
}

std::string_view type_name(Type type) {
  switch (type) {
    case Type::duration:
      return "duration";
    case Type::durations:
      return "list of durations";
    case Type::size:
      return "size";
    case Type::count:
      return "integer";
    case Type::boolean:
      return "boolean";
    case Type::text:
      return "text";
    case Type::path:
      return "path";
    case Type::address:
      return "address";
    case Type::level:
      return "word";
  }
  return "";
}

}  // namespace

const Key* find_key(std::string_view path) {
  for (const Key& key : kKeys)
    if (key.path == path) return &key;
  return nullptr;
}

bool is_section(std::string_view path) {
  return std::any_of(std::begin(kKeys), std::end(kKeys), [&](const Key& key) {
    return key.path.size() > path.size() && key.path.starts_with(path) && key.path[path.size()] == '.';
  });
}

std::string quoted(std::string_view text) {
  return '"' + std::string(text) + '"';
}

std::string Written::shown() const {
  switch (form) {
    case Form::text:
      return quoted(printable(text, 60));
    case Form::integer:
      return std::to_string(integer);
    case Form::boolean:
      return boolean ? "true" : "false";
    default:
      return std::string(what);
  }
}

Complaint assign(Config& config, const Key& key, const Written& value) {
  if (key.slot == nullptr) {
    std::string text;
    if (key.type == Type::boolean) {
      if (value.form != Written::Form::boolean) return wrong_form(key, value);
      text = value.boolean ? "true" : "false";
    } else if (key.type == Type::duration) {
      Nanos span = 0;
      if (Complaint complaint = read_duration(key, value, span)) return complaint;
      text = format_duration(span);
    } else if (Complaint complaint = read_text(key, value, text)) {
      return complaint;
    }
    auto& options = config.collectors[std::string(collector_of(key.path))].options;
    const std::string name(last_word(key.path));
    if (text.empty())
      options.erase(name);  // an empty text is the default
    else
      options[name] = std::move(text);
    return {};
  }
  const Slot slot = key.slot(config);
  Complaint complaint;
  // Read aside first: a bad value leaves the configuration as it was.
  const auto read = [&](auto* target, auto&& reader) {
    std::remove_reference_t<decltype(*target)> aside{};
    complaint = reader(aside);
    if (!complaint) *target = std::move(aside);
  };
  switch (key.type) {
    case Type::duration:
      read(std::get<Nanos*>(slot), [&](Nanos& out) { return read_duration(key, value, out); });
      break;
    case Type::durations:
      read(std::get<std::vector<Nanos>*>(slot),
           [&](std::vector<Nanos>& out) { return read_durations(key, value, out); });
      break;
    case Type::size:
      read(std::get<uint64_t*>(slot), [&](uint64_t& out) { return read_size(key, value, out); });
      break;
    case Type::count:
      read(std::get<uint32_t*>(slot), [&](uint32_t& out) { return read_count(key, value, out); });
      break;
    case Type::boolean:
      if (value.form != Written::Form::boolean) return wrong_form(key, value);
      *std::get<bool*>(slot) = value.boolean;
      break;
    case Type::text:
    case Type::path:
    case Type::address:
      read(std::get<std::string*>(slot), [&](std::string& out) { return read_text(key, value, out); });
      break;
    case Type::level:
      read(std::get<LogLevel*>(slot), [&](LogLevel& out) { return read_level(value, out, key); });
      break;
  }
  return complaint;
}

std::string unknown_key(std::string_view path, bool section) {
  const auto bracket = [&](std::string_view name) { return section ? "[" + std::string(name) + "]" : quoted(name); };
  std::string text = section ? "unknown section " : "unknown key ";
  text += section ? "[" + printable(path, 100) + "]" : quoted(printable(path, 100));
  std::vector<std::string_view> known;
  for (const Key& key : kKeys) {
    if (!section) {
      known.push_back(key.path);
      continue;
    }
    for (size_t dot = key.path.find('.'); dot != std::string_view::npos; dot = key.path.find('.', dot + 1))
      known.push_back(key.path.substr(0, dot));
  }
  if (const auto near = nearest_word(path, known)) return text + "; did you mean " + bracket(*near) + "?";
  if (path.starts_with("collectors.") && path.size() > 11) {
    std::string names;
    for (const Key& key : kKeys)
      if (key.path.starts_with("collectors.") && last_word(key.path) == "enabled")
        names += (names.empty() ? "" : ", ") + std::string(collector_of(key.path));
    const std::string_view name = collector_of(path);
    if (!is_section("collectors." + std::string(name))) return text + "; the collectors are " + names;
  }
  if (!section) {
    // The right word in the wrong section.
    const Key* only = nullptr;
    size_t count = 0;
    for (const Key& key : kKeys) {
      if (last_word(key.path) != last_word(path)) continue;
      only = &key;
      ++count;
    }
    if (count == 1) return text + "; did you mean " + quoted(only->path) + "?";
  }
  const size_t dot = path.rfind('.');
  const std::string_view parent = dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
  std::string here;
  for (const Key& key : kKeys) {
    if (parent.empty() || !key.path.starts_with(parent) || key.path[parent.size()] != '.') continue;
    if (key.path.find('.', parent.size() + 1) != std::string_view::npos) continue;
    here += (here.empty() ? "" : ", ") + std::string(last_word(key.path));
  }
  if (!here.empty()) return text + "; [" + std::string(parent) + "] knows " + here;
  return text + "; the sections are listen, poll, smoothing, store, exposition, log and collectors.NAME";
}

}  // namespace config_table

using namespace config_table;

Config default_config() {
  Config config;
  for (const Key& key : kKeys)
    if (key.path.starts_with("collectors.")) config.collectors.try_emplace(std::string(collector_of(key.path)));
  return config;
}

Status set_config_value(Config& config, std::string_view path, std::string_view text) {
  const Key* key = find_key(path);
  if (key == nullptr) return Status(Code::invalid, unknown_key(path, false));
  Written value;
  value.form = Written::Form::text;
  value.what = "a text";
  value.text = text;
  if (key->type == Type::boolean && (text == "true" || text == "false")) {
    value.form = Written::Form::boolean;
    value.boolean = text == "true";
  } else if (key->type == Type::count) {
    if (const auto number = parse_i64(text)) {
      value.form = Written::Form::integer;
      value.integer = *number;
    }
  } else if (key->type == Type::durations) {
    value.form = Written::Form::list;
    value.what = "a list";
    for (std::string_view rest = text; !rest.empty();) {
      const size_t comma = rest.find(',');
      Written element;
      element.form = Written::Form::text;
      element.what = "a text";
      element.text = trim(rest.substr(0, comma));
      value.list.push_back(std::move(element));
      rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    }
  }
  if (const Complaint wrong = assign(config, *key, value))
    return Status(Code::invalid, quoted(printable(text, 60)) + " " + *wrong);
  if (key->path == "poll.interval") {
    config.poll.slow = std::max(config.poll.slow, config.poll.interval);
    config.poll.rare = std::max(config.poll.rare, config.poll.interval);
  }
  return {};
}

std::string configuration_markdown() {
  std::string out =
      "# Configuration\n\n"
      "<!-- Made by `accelmon config --markdown` from the table in src/agent/config_table.cc; change it there. -->\n\n"
      "`accelmon serve --config FILE` reads a TOML file; without `--config` it reads `/etc/accelmon/accelmon.toml` "
      "where\n"
      "that exists. Every key has a default, so no file is needed. What the command line says wins over the file.\n"
      "`accelmon config check FILE` checks a file without using it. `SIGHUP` makes a running agent read its file "
      "again; a\n"
      "file with an error changes nothing, and the error is logged with its line and column.\n\n"
      "Durations have a unit: `\"250ms\"`, `\"1s\"`, `\"10m\"`, `\"24h\"`. Sizes too: `\"512KiB\"`, `\"2MiB\"`, "
      "`\"1GiB\"`.\n"
      "An unknown key is an error: a misspelt one would otherwise do nothing, silently.\n";
  std::string_view section;
  for (const Key& key : kKeys) {
    const std::string_view its = key.path.substr(0, key.path.rfind('.'));
    if (its != section) {
      section = its;
      out += "\n## `[" + std::string(section) +
             "]`\n\n| key | type | default | bounds | meaning |\n|---|---|---|---|---|\n";
    }
    std::string bounds;
    if (key.type == Type::duration || key.type == Type::durations || key.type == Type::size || key.type == Type::count)
      bounds = "`" + show_bound(key.type, key.minimum) + "` to `" + show_bound(key.type, key.maximum) + "`";
    out += "| `" + std::string(last_word(key.path)) + "` | " + std::string(type_name(key.type)) + " | " +
           show_default(key) + " | " + bounds + " | " + std::string(key.meaning) + " |\n";
  }
  out += "\n## Example\n\n```toml\n";
  Config config = default_config();
  section = {};
  for (const Key& key : kKeys) {
    if (!key.absent_default.empty()) continue;
    const std::string_view its = key.path.substr(0, key.path.rfind('.'));
    if (its != section) out += std::string(section.empty() ? "" : "\n") + "[" + std::string(its) + "]\n";
    section = its;
    const std::string value = show_default(key);
    out += std::string(last_word(key.path)) + " = " + value.substr(1, value.size() - 2) + "\n";
  }
  return out + "```\n\nThese are the defaults.\n";
}

}  // namespace accelmon
