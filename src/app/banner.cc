#include "app/banner.h"

#include <algorithm>

#include "app/layout.h"
#include "base/text.h"

namespace accelmon {
namespace {

struct Line {
  std::string vendor;
  std::string what;    // "8 x NVIDIA H100", "none"
  std::string detail;  // "driver 590.48.01", or why there is none
  std::string cost;    // "3.1 ms per poll"
};

// An address that can be opened in a browser: "0.0.0.0" cannot everywhere.
std::string url_of(const Report& report) {
  const std::string scheme = report.tls ? "https://" : "http://";
  const size_t colon = report.address.rfind(':');
  const std::string host = report.address.substr(0, colon);
  if ((host == "0.0.0.0" || host == "[::]") && !report.hostname.empty())
    return scheme + report.hostname + report.address.substr(colon) + "/";
  return scheme + report.address + "/";
}

std::string kernel(std::string_view release) {
  const size_t first = release.find('.');
  const size_t second = first == std::string_view::npos ? first : release.find_first_not_of("0123456789", first + 1);
  return "Linux " + std::string(release.substr(0, second));
}

std::string host_detail(const Report& report) {
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
  if (const auto cpus = number(report.host, "system.cpu.logical.count"); cpus && *cpus >= 0)
    add(plural(static_cast<size_t>(*cpus), "CPU", "CPUs"));
  if (const auto memory = number(report.host, "system.memory.limit")) add(format_size(*memory));
  if (const ReportValue* about = find_value(report.host, "accelmon.host.info"))
    if (const auto release = about->attribute("os.version"); !release.empty()) add(kernel(release));
  return out;
}

std::string devices_of(const Report& report, const ReportCollector& collector, size_t& count) {
  std::vector<std::pair<std::string, size_t>> models;
  size_t parts = 0;
  for (const ReportDevice& device : report.devices) {
    if (device.collector != collector.name) continue;
    if (device.partition()) {
      ++parts;
      continue;
    }
    ++count;
    const auto found =
        std::find_if(models.begin(), models.end(), [&](const auto& one) { return one.first == device.model; });
    if (found != models.end())
      ++found->second;
    else
      models.emplace_back(device.model, 1);
  }
  std::string out;
  for (const auto& [model, n] : models)
    out +=
        (out.empty() ? "" : ", ") + std::to_string(n) + " x " + (model.empty() ? std::string("unknown model") : model);
  if (parts != 0) out += " (" + plural(parts, "partition", "partitions") + ")";
  return out;
}

Line line_of(const Report& report, const ReportCollector& collector, size_t& devices) {
  Line line;
  line.vendor = collector.vendor;
  if (!collector.running()) {
    line.what = collector.state == "absent" ? "none" : collector.state == "backing_off" ? "failed" : collector.state;
    line.detail = collector.message;
    return line;
  }
  if (collector.duration) line.cost = short_time(*collector.duration) + " per poll";
  if (collector.is_host()) {
    line.what = report.hostname;
    line.detail = host_detail(report);
    return line;
  }
  size_t count = 0;
  line.what = devices_of(report, collector, count);
  devices += count;
  if (count == 0) line.what = line.what.empty() ? "no device" : line.what;
  for (const ReportDevice& device : report.devices)
    if (const auto driver = device.attribute("hw.driver_version");
        device.collector == collector.name && !driver.empty()) {
      line.detail = "driver " + std::string(driver);
      break;
    }
  return line;
}

// Whether who starts the agent wants to see it: what reads something, what may be ill, and of each vendor that has
// neither the first, which says why there is nothing.
bool tells(const Report& report, const ReportCollector& collector) {
  const auto shows = [&](const ReportCollector& one) {
    return one.is_host() || std::any_of(report.devices.begin(), report.devices.end(),
                                        [&](const ReportDevice& device) { return device.collector == one.name; });
  };
  if (shows(collector)) return true;
  if (collector.state != "absent") return !collector.running();
  const auto of_vendor = [&](const ReportCollector& one) { return one.vendor == collector.vendor; };
  const auto first = std::find_if(report.collectors.begin(), report.collectors.end(), of_vendor);
  const bool shown = std::any_of(report.collectors.begin(), report.collectors.end(),
                                 [&](const ReportCollector& one) { return of_vendor(one) && shows(one); });
  return !shown && &*first == &collector;
}

}  // namespace

std::string render_banner(const Report& report, std::string_view scenario, std::string_view command) {
  std::string out;
  if (report.address.empty())
    out = "accelmon serves " + report.socket + " alone   (no TCP address; Ctrl-C stops)\n\n";
  else
    out = "accelmon serves " + url_of(report) + "   (/metrics for Prometheus, Ctrl-C stops)\n\n";
  std::vector<Line> lines;
  size_t devices = 0;
  for (const ReportCollector& collector : report.collectors)
    if (tells(report, collector)) lines.push_back(line_of(report, collector, devices));
  size_t vendor = 8;
  size_t what = 10;
  size_t detail = 20;
  for (const Line& line : lines) {
    vendor = std::max(vendor, columns_of(line.vendor));
    what = std::max(what, columns_of(line.what));
    // A sentence may be as long as it likes; only what stands before a cost is aligned.
    if (!line.cost.empty()) detail = std::max(detail, columns_of(line.detail));
  }
  for (const Line& line : lines) {
    std::string text = "  " + left(line.vendor, vendor) + "   " + left(line.what, what) + "   ";
    text += line.cost.empty() ? line.detail : left(line.detail, detail) + "   " + line.cost;
    out += text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
  }
  if (!scenario.empty()) out += "\nThe accelerators are simulated: scenario " + printable(scenario, 100) + ".\n";
  // Not where a collector is stuck, silent or failing: there may be devices.
  const bool none = std::all_of(report.collectors.begin(), report.collectors.end(), [](const ReportCollector& one) {
    return one.is_host() || one.running() || one.state == "absent" || one.state == "disabled";
  });
  if (devices == 0 && none && scenario.empty())
    out += "\nNo accelerator here. To see what one looks like:  " + std::string(command) + " --simulate h100x8\n";
  return out;
}

}  // namespace accelmon
