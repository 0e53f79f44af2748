#include "app/torchserve.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "base/text.h"

namespace accelmon {
namespace {

constexpr double kMebi = 1 << 20;
constexpr double kGibi = 1 << 30;

using Wanted = std::pair<std::string_view, std::string_view>;

struct Row {
  std::string_view name;
  std::string_view unit;
  std::string_view metric;
  Wanted choices[2];  // the attribute that tells the series from its sisters, likeliest first; empty: there is one
  double scale;
};

// The first three are TorchServe's own; the others are taken up by a metrics.yaml that has them. Ours of power is the
// momentary reading where there are two.
constexpr Row kRows[] = {
    {"GPUUtilization", "Percent", "hw.gpu.utilization", {{"hw.gpu.task", "general"}}, 100},
    {"GPUMemoryUtilization", "Percent", "hw.gpu.memory.utilization", {}, 100},
    {"GPUMemoryUsed", "Megabytes", "hw.gpu.memory.usage", {}, 1 / kMebi},
    {"GPUMemoryTotal", "Megabytes", "hw.gpu.memory.limit", {}, 1 / kMebi},
    {"GPUMemoryControllerUtilization", "Percent", "accelmon.gpu.memory.controller.utilization", {}, 100},
    {"GPUTemperature",
     "Celsius",
     "hw.temperature",
     {{"hw.sensor_location", "gpu"}, {"hw.sensor_location", "hotspot"}},
     1},
    {"GPUPowerUsage",
     "Watts",
     "hw.power",
     {{"accelmon.power.reading", "instant"}, {"accelmon.power.reading", "average"}},
     1},
    {"GPUClockSM", "Megahertz", "accelmon.gpu.clock.frequency", {{"domain", "sm"}, {"domain", "graphics"}}, 1e-6},
    {"GPUClockMemory", "Megahertz", "accelmon.gpu.clock.frequency", {{"domain", "memory"}}, 1e-6},
};
constexpr Row kThrottled{"GPUThrottled", "Count", "accelmon.gpu.throttle.active", {}, 1};

std::optional<double> value_of(const ReportDevice& device, const Row& row) {
  for (const Wanted& wanted : row.choices) {
    if (wanted.first.empty() && &wanted != row.choices) break;
    std::optional<double> found;
    if (row.metric == "hw.power")
      found = number(device.values, row.metric, {wanted, {"accelmon.power.scope", "gpu"}});
    else if (wanted.first.empty())
      found = number(device.values, row.metric);
    else
      found = number(device.values, row.metric, {wanted});
    if (found) return *found * row.scale;
  }
  return std::nullopt;
}

// 1 where the device is held down by anything but its having nothing to do or its being told to.
std::optional<double> throttled(const ReportDevice& device) {
  std::optional<double> found;
  for (const ReportValue& value : device.values) {
    if (value.metric != kThrottled.metric || !value.value) continue;
    const std::string_view reason = value.attribute("reason");
    if (reason == "idle" || reason == "application_clocks" || reason == "sync_boost" || reason == "display") continue;
    found = std::max(found.value_or(0), *value.value);
  }
  return found;
}

// Of what an expression of TorchServe may meet in a dimension: no separator, no control, no blank, ASCII.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 128)) {
    const bool good =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
    out += good ? c : '_';
  }
  return out;
}

class Lines {
 public:
  explicit Lines(const TorchServeInput& input)
      : end_("|#hostname:" + (input.hostname.empty() ? std::string("unknown") : plain(input.hostname)) + "," +
             std::to_string(input.epoch_seconds) + "\n") {}

  void add(std::string_view name, std::string_view unit, std::optional<double> value, std::string_view device = {}) {
    // No number of a real device is as long; its text would need an exponent with a sign that TorchServe refuses.
    if (!value || !std::isfinite(*value) || std::abs(*value) >= 1e18) return;
    char digits[64];
    const auto [end, error] = std::to_chars(digits, std::end(digits), *value, std::chars_format::fixed, 4);
    if (error != std::errc()) return;
    std::string_view number(digits, static_cast<size_t>(end - digits));
    while (number.ends_with('0') && number[number.size() - 2] != '.') number.remove_suffix(1);
    out_.append(name).append(".").append(unit).append(":").append(number).append("|#Level:Host");
    if (!device.empty()) out_.append(",DeviceId:").append(device);
    out_ += end_;
  }

  std::string take() { return std::move(out_); }

 private:
  std::string end_;
  std::string out_;
};

bool is_visible(const ReportDevice& device, const Report& report, const VisibleDevices& visible) {
  const std::optional<std::string>* list = device.vendor == "nvidia"  ? &visible.nvidia
                                           : device.vendor == "intel" ? &visible.intel
                                           : device.vendor == "amd"   ? &visible.amd
                                                                      : nullptr;
  if (list == nullptr || !*list) return true;
  std::string_view rest = **list;
  while (!rest.empty()) {
    const std::string_view word = trim(rest.substr(0, rest.find(',')));
    rest.remove_prefix(std::min(rest.find(','), rest.size() - 1) + 1);
    // What stands behind a device that does not exist is not seen either.
    if (word.empty() || word == "-1") return false;
    const auto named = [&](const ReportDevice& one) {
      return word == one.index || (word.size() >= 8 && one.id.starts_with(word));
    };
    if (named(device)) return true;
    for (const ReportDevice& part : report.devices)
      if (part.parent == device.id && word.starts_with("MIG-") && named(part)) return true;
  }
  return false;
}

}  // namespace

std::vector<TorchServeGauge> torchserve_device_gauges() {
  std::vector<TorchServeGauge> gauges;
  for (const Row& row : kRows) gauges.push_back({row.name, row.unit, row.metric});
  gauges.push_back({kThrottled.name, kThrottled.unit, kThrottled.metric});
  return gauges;
}

std::vector<int32_t> parse_torchserve_pids(std::string_view line) {
  std::vector<int32_t> pids;
  line = line.substr(0, line.find('\n'));
  while (!line.empty() && pids.size() < kMaxTorchServePids) {
    const size_t comma = std::min(line.find(','), line.size());
    const std::optional<uint64_t> pid = parse_u64(trim(line.substr(0, comma)));
    if (pid && *pid > 0 && *pid <= INT32_MAX) pids.push_back(static_cast<int32_t>(*pid));
    line.remove_prefix(std::min(comma + 1, line.size()));
  }
  return pids;
}

std::string torchserve_text(const TorchServeInput& input) {
  Lines lines(input);
  size_t devices = 0;
  std::set<std::string> names;
  for (size_t i = 0; input.report != nullptr && i < input.report->devices.size(); ++i) {
    const ReportDevice& device = input.report->devices[i];
    // A part's memory is its device's as well, and TorchServe counts devices.
    if (device.type != "gpu" || !is_visible(device, *input.report, input.visible)) continue;
    if (input.most_devices && devices >= *input.most_devices) break;
    ++devices;
    // Two vendors may both have a device 0: then the second goes by its id.
    std::string name = plain(device.index.empty() ? device.id : device.index);
    if (!names.insert(name).second) names.insert(name = plain(device.id));
    for (const Row& row : kRows) lines.add(row.name, row.unit, value_of(device, row), name);
    lines.add(kThrottled.name, kThrottled.unit, throttled(device), name);
  }

  const HostGlance& host = input.host;
  const auto scaled = [](std::optional<double> value, double by) {
    return value ? std::optional<double>(*value / by) : std::nullopt;
  };
  const auto share = [](std::optional<double> part, std::optional<double> whole) {
    return part && whole && *whole > 0 ? std::optional<double>(*part / *whole * 100) : std::nullopt;
  };
  lines.add("CPUUtilization", "Percent", scaled(host.cpu, 0.01));
  lines.add("DiskAvailable", "Gigabytes", scaled(host.disk_available, kGibi));
  lines.add("DiskUsage", "Gigabytes", scaled(host.disk_used, kGibi));
  // Of what a user can fill: what is kept for root is neither.
  if (host.disk_used && host.disk_available)
    lines.add("DiskUtilization", "Percent", share(host.disk_used, *host.disk_used + *host.disk_available));
  lines.add("MemoryAvailable", "Megabytes", scaled(host.memory_available, kMebi));
  lines.add("MemoryUsed", "Megabytes", scaled(host.memory_used, kMebi));
  if (host.memory_total && host.memory_available)
    lines.add("MemoryUtilization", "Percent", share(*host.memory_total - *host.memory_available, host.memory_total));

  std::string text = lines.take() + "\n";
  for (const auto& [pid, bytes] : input.workers) text += std::to_string(pid) + ":" + std::to_string(bytes) + "\n";
  return text;
}

}  // namespace accelmon
