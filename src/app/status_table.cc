#include "app/status_table.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "app/exports.h"
#include "app/verdict.h"
#include "base/text.h"

namespace accelmon {
namespace {

constexpr size_t kGap = 2;
constexpr size_t kProcesses = 10;
constexpr size_t kEvents = 5;
// A state column narrower than this is broken too often to be read; the state then stands on lines of its own.
constexpr size_t kLeastState = 34;

enum Column : size_t { kIndex, kModel, kUtil, kMemory, kTemperature, kPower, kClock, kColumns };

struct Row {
  std::array<std::string, kColumns> cells;
  Verdict verdict;
};

std::string gib(double bytes) {
  return fixed(bytes / (1u << 30), 1);
}

std::string model_of(const ReportDevice& device) {
  const std::string_view profile = device.attribute("accelmon.gpu.partition.profile");
  if (device.partition() && !profile.empty())
    return (device.vendor == "nvidia" ? "MIG " : "partition ") + std::string(profile);
  return device.model.empty() ? "-" : device.model;
}

std::string memory_of(const ReportDevice& device) {
  const auto used = number(device.values, "hw.gpu.memory.usage");
  const auto limit = number(device.values, "hw.gpu.memory.limit");
  if (!used && !limit) return "-";
  std::string text = (used ? gib(*used) : "-") + " / " + (limit ? gib(*limit) : "-") + " GiB";
  if (used && limit && *limit > 0) text += right(fixed(*used / *limit * 100, 0) + "%", 5);
  return text;
}

std::string temperature_of(const ReportDevice& device) {
  const auto now = number(device.values, "hw.temperature", {{"hw.sensor_location", "gpu"}});
  // Boards that show the hottest spot alone: another quantity, so it is called by its name.
  const auto hotspot =
      now ? std::nullopt : number(device.values, "hw.temperature", {{"hw.sensor_location", "hotspot"}});
  const auto margin = number(device.values, "accelmon.temperature.margin");
  if (!now && !hotspot && !margin) return "-";
  std::string text = now ? fixed(*now, 0) + " C" : hotspot ? "hotspot " + fixed(*hotspot, 0) + " C" : "-";
  if (margin) text += " (" + right(fixed(*margin, 0), 2) + ")";
  return text;
}

std::string power_of(const ReportDevice& device) {
  auto now =
      number(device.values, "hw.power", {{"accelmon.power.scope", "gpu"}, {"accelmon.power.reading", "instant"}});
  if (!now) now = number(device.values, "hw.power", {{"accelmon.power.scope", "gpu"}});
  const auto limit = number(device.values, "accelmon.power.limit", {{"limit", "enforced"}});
  if (!now && !limit) return "-";
  return (now ? fixed(*now, 0) : "-") + " / " + (limit ? fixed(*limit, 0) : "-") + " W";
}

std::string clock_of(const ReportDevice& device) {
  auto clock = number(device.values, "accelmon.gpu.clock.frequency", {{"domain", "sm"}});
  if (!clock) clock = number(device.values, "accelmon.gpu.clock.frequency", {{"domain", "graphics"}});
  return clock ? fixed(*clock / 1e6, 0) : "-";
}

// Whether devices of two makers bear one number, so that the maker has to stand with it.
bool numbers_repeat(const Report& report) {
  for (const ReportDevice& device : report.devices)
    for (const ReportDevice& other : report.devices)
      if (device.index == other.index && device.vendor != other.vendor) return true;
  return false;
}

std::string index_of(const ReportDevice& device, bool with_vendor) {
  std::string text = device.index.empty() ? "-" : device.index;
  if (with_vendor && !device.vendor.empty()) text.insert(0, device.vendor + " ");
  return text;
}

Row row_of(const Report& report, const ReportDevice& device, bool with_vendor) {
  Row row;
  const auto utilization = number(device.values, "hw.gpu.utilization", {{"hw.gpu.task", "general"}});
  row.cells[kIndex] = index_of(device, with_vendor);
  row.cells[kModel] = model_of(device);
  row.cells[kUtil] = utilization ? fixed(*utilization * 100, 0) + " %" : "-";
  row.cells[kMemory] = memory_of(device);
  row.cells[kTemperature] = temperature_of(device);
  row.cells[kPower] = power_of(device);
  row.cells[kClock] = clock_of(device);
  row.verdict = judge(report, device);
  if (device.partition()) {
    // What belongs to the whole device says nothing about a part of it.
    row.cells[kIndex] = "  " + row.cells[kIndex];
    row.cells[kModel] = "  " + row.cells[kModel];
  }
  return row;
}

// Devices in their order, each followed by its parts.
std::vector<Row> rows_of(const Report& report) {
  std::vector<Row> rows;
  const bool with_vendor = numbers_repeat(report);
  const auto known = [&](const std::string& id) {
    return std::any_of(report.devices.begin(), report.devices.end(), [&](const auto& other) { return other.id == id; });
  };
  for (const ReportDevice& device : report.devices) {
    if (!device.parent.empty() && device.parent != device.id && known(device.parent)) continue;
    rows.push_back(row_of(report, device, with_vendor));
    for (const ReportDevice& part : report.devices)
      if (part.parent == device.id && part.id != device.id) rows.push_back(row_of(report, part, with_vendor));
  }
  return rows;
}

// "NVIDIA H100 80GB HBM3" -> "H100 80GB HBM3": the maker is the least of it where room is short.
std::string without_maker(std::string_view model) {
  for (const std::string_view maker : {"NVIDIA ", "AMD ", "Intel(R) ", "Intel "})
    if (model.starts_with(maker)) return std::string(model.substr(maker.size()));
  return std::string(model);
}

std::string without_blanks_around_slash(std::string text) {
  if (const size_t at = text.find(" / "); at != std::string::npos) text.replace(at, 3, "/");
  return text;
}

using Titles = std::array<std::string_view, kColumns>;
constexpr Titles kFull{"gpu", "model", "util", "mem used / total", "temp (margin)", "power / limit", "clock"};
constexpr Titles kCompact{"gpu", "model", "util", "mem, GiB", "temp", "power, W", "clock"};

void make_compact(std::vector<Row>& rows) {
  for (Row& row : rows) {
    const bool part = row.cells[kModel].starts_with("  ");
    row.cells[kModel] = (part ? "  " : "") + cut(without_maker(trim(row.cells[kModel])), part ? 12 : 14);
    std::string& memory = row.cells[kMemory];
    memory = without_blanks_around_slash(memory);
    if (const size_t unit = memory.find(" GiB"); unit != std::string::npos) memory.erase(unit, 4);
    std::string& power = row.cells[kPower];
    power = without_blanks_around_slash(power);
    if (power.ends_with(" W")) power.resize(power.size() - 2);
    if (std::string& heat = row.cells[kTemperature]; heat.starts_with("hotspot ")) heat.replace(0, 8, "hot ");
  }
}

std::array<size_t, kColumns> widths_of(const std::vector<Row>& rows, const Titles& titles) {
  std::array<size_t, kColumns> widths{};
  for (size_t c = 0; c < kColumns; ++c) {
    widths[c] = columns_of(titles[c]);
    for (const Row& row : rows) widths[c] = std::max(widths[c], columns_of(row.cells[c]));
  }
  return widths;
}

bool to_the_left(size_t column, std::string_view cell) {
  return column == kModel || (column == kIndex && cell.starts_with(" "));
}

std::string line_of(const std::array<std::string, kColumns>& cells, const std::array<size_t, kColumns>& widths) {
  std::string line = " ";
  for (size_t c = 0; c < kColumns; ++c) {
    if (c != 0) line.append(kGap, ' ');
    line += to_the_left(c, cells[c]) ? left(cells[c], widths[c]) : right(cells[c], widths[c]);
  }
  return line;
}

std::string render_table(std::vector<Row> rows, const View& view) {
  Titles titles = kFull;
  auto widths = widths_of(rows, titles);
  const auto total = [&] {
    size_t sum = 1 + kColumns * kGap;
    for (const size_t width : widths) sum += width;
    return sum;
  };
  size_t longest = 5;
  for (const Row& row : rows) longest = std::max(longest, columns_of(row.verdict.text));
  if (view.width != 0 && total() + std::min(longest, kLeastState) > view.width) {
    make_compact(rows);
    titles = kCompact;
    widths = widths_of(rows, titles);
  }
  const size_t begin = total();
  // How wide the state column is; 0: as wide as it likes.
  const bool limited = view.width != 0 && begin + longest > view.width;
  const size_t room = view.width > begin ? view.width - begin : 0;

  std::array<std::string, kColumns> head;
  for (size_t c = 0; c < kColumns; ++c) head[c] = titles[c];
  std::string out = line_of(head, widths) + "  state\n";
  for (const Row& row : rows) {
    std::string line = line_of(row.cells, widths);
    const Tint tint = row.verdict.level == Verdict::Level::failed      ? Tint::red
                      : row.verdict.level == Verdict::Level::attention ? Tint::yellow
                                                                       : Tint::none;
    if (!limited || columns_of(row.verdict.text) <= room) {
      out += line + "  " + tinted(row.verdict.text, tint, view) + "\n";
      continue;
    }
    if (room >= kLeastState) {
      bool first = true;
      for (const std::string& part : wrap(row.verdict.text, room)) {
        out += (first ? line + "  " : std::string(begin, ' ')) + tinted(part, tint, view) + "\n";
        first = false;
      }
      continue;
    }
    out += std::string(trim(line).empty() ? line : line.substr(0, line.find_last_not_of(' ') + 1)) + "\n";
    const size_t indent = 2 + widths[kIndex] + kGap - 1;
    for (const std::string& part : wrap(row.verdict.text, view.width > indent ? view.width - indent : 0))
      out += std::string(indent, ' ') + tinted(part, tint, view) + "\n";
  }
  return out;
}

std::string header(const Report& report) {
  const size_t whole = static_cast<size_t>(std::count_if(report.devices.begin(), report.devices.end(),
                                                         [](const ReportDevice& d) { return !d.partition(); }));
  const size_t parts = report.devices.size() - whole;
  std::string out = report.hostname.empty() ? "this host" : report.hostname;
  out += " · " + (whole == 0 ? std::string("no accelerator") : plural(whole, "accelerator", "accelerators"));
  if (parts != 0) out += ", " + plural(parts, "partition", "partitions");
  if (report.simulated) out += " (simulated)";
  // The oldest of what is shown, so that nothing looks fresher than it is. Devices without data say so themselves.
  // Without a device it is the host alone that is shown.
  std::optional<double> age, of_all;
  const bool host_alone = report.devices.empty() && report.collector("host") != nullptr;
  for (const ReportCollector& one : report.collectors) {
    const bool shown = report.devices.empty()
                           ? !host_alone || one.name == "host"
                           : std::any_of(report.devices.begin(), report.devices.end(),
                                         [&](const ReportDevice& device) { return device.collector == one.name; });
    if (!one.age || !shown) continue;
    of_all = std::max(of_all.value_or(0), *one.age);
    if (one.running()) age = std::max(age.value_or(0), *one.age);
  }
  if (!age) age = of_all;
  if (report.sampled)
    out += " · no agent running: sampled here";
  else
    out += age ? " · polled " + span_of_time(*age) + " ago" : std::string(" · not polled yet");
  if (!report.sampled && report.interval > 0) {
    const auto interval = static_cast<Nanos>(std::llround(std::clamp(report.interval, 0.0, 1e6) * 1e9));
    std::string every = format_duration(interval);
    every.insert(every.find_first_not_of("0123456789."), " ");
    out += ", every " + every;
  }
  return out + "\n";
}

std::string host_line(const Report& report) {
  std::string out;
  // Busy is what is neither idle nor waiting for a disk.
  std::optional<double> busy;
  for (const ReportValue& value : report.host) {
    if (value.metric != "system.cpu.utilization" || !value.value) continue;
    const std::string_view mode = value.attribute("cpu.mode");
    if (!busy) busy = 0;
    if (mode != "idle" && mode != "iowait") *busy += *value.value;
  }
  const auto limit = number(report.host, "system.memory.limit");
  const auto available = number(report.host, "system.memory.linux.available");
  const auto load = number(report.host, "accelmon.host.load.average", {{"load.window", "1m"}});
  if (!busy && !limit && !load) return out;
  out = " host  cpu " + (busy ? percent(std::min(*busy, 1.0)) : std::string("-"));
  out += "   memory ";
  if (limit && available) {
    const double used = std::max(*limit - *available, 0.0);
    out += gib(used) + " / " + gib(*limit) + " GiB  " + (*limit > 0 ? fixed(used / *limit * 100, 0) + "%" : "-");
  } else {
    out += "-";
  }
  out += "   load " + (load ? fixed(*load, 2) : std::string("-"));
  for (const std::string_view window : {"5m", "15m"})
    if (const auto more = number(report.host, "accelmon.host.load.average", {{"load.window", window}}))
      out += " " + fixed(*more, 2);
  return out + "\n";
}

std::string process_table(const Report& report) {
  struct Process {
    std::string pid;
    std::string name;
    std::string gpu;
    std::optional<double> bytes;
  };
  std::vector<Process> processes;
  const bool with_vendor = numbers_repeat(report);
  for (const ReportDevice& device : report.devices)
    for (const ReportValue& value : device.values)
      // Whether those of a source that is silent are still there is not known.
      if (value.metric == "accelmon.process.gpu.memory.usage" &&
          (value.value ||
           (report.collector(device.source(value)) != nullptr && report.collector(device.source(value))->running())))
        processes.push_back({std::string(value.attribute("process.pid")),
                             std::string(value.attribute("process.executable.name")), index_of(device, with_vendor),
                             value.value});
  if (processes.empty()) return "";
  std::stable_sort(processes.begin(), processes.end(),
                   [](const Process& a, const Process& b) { return a.bytes.value_or(-1) > b.bytes.value_or(-1); });
  const size_t shown = std::min(processes.size(), kProcesses);
  size_t pid = 3;
  size_t name = 7;
  size_t gpu = 3;
  for (size_t i = 0; i < shown; ++i) {
    pid = std::max(pid, columns_of(processes[i].pid));
    name = std::max(name, std::min<size_t>(columns_of(processes[i].name), 32));
    gpu = std::max(gpu, columns_of(processes[i].gpu));
  }
  std::string out =
      "\n " + right("pid", pid) + "  " + left("process", name) + "  " + right("gpu", gpu) + "      memory\n";
  for (size_t i = 0; i < shown; ++i) {
    const Process& one = processes[i];
    out += " " + right(one.pid.empty() ? "-" : one.pid, pid) + "  " +
           left(one.name.empty() ? "-" : cut(one.name, 32), name) + "  " + right(one.gpu, gpu) + "  " +
           right(one.bytes ? format_size(*one.bytes) : "-", 10) + "\n";
  }
  if (shown < processes.size()) out += " and " + std::to_string(processes.size() - shown) + " more\n";
  return out;
}

std::string event_list(const Report& report, const View& view) {
  std::vector<const ReportEvent*> events;
  for (const ReportEvent& event : report.events)
    if (event.severity != "info") events.push_back(&event);
  std::stable_sort(events.begin(), events.end(), [](const auto* a, const auto* b) { return a->wall > b->wall; });
  if (events.empty()) return "";
  const bool with_vendor = numbers_repeat(report);
  std::string out = "\n events\n";
  for (size_t i = 0; i < std::min(events.size(), kEvents); ++i) {
    const ReportEvent& event = *events[i];
    std::string where;
    for (const ReportDevice& device : report.devices)
      if (device.id == event.device)
        where = (with_vendor && !device.vendor.empty() ? device.vendor : "gpu") + " " + device.name();
    if (where.empty()) where = event.device.empty() ? "-" : event.device;
    const std::string begin =
        "  " + clock_time(event.wall) + "  " + left(event.severity, 8) + "  " + left(where, 6) + "  ";
    hanging(out, begin, event.message.empty() ? event.code : event.message, view.width);
  }
  if (events.size() > kEvents) out += "  and " + std::to_string(events.size() - kEvents) + " earlier\n";
  return out;
}

// Why there is no device: what each vendor's collector says.
std::string why_none(const Report& report, const View& view) {
  std::string out;
  size_t widest = 8;
  for (const ReportCollector& one : report.collectors)
    if (one.vendor != "host") widest = std::max(widest, columns_of(report.label(one)));
  for (const ReportCollector& one : report.collectors)
    if (one.vendor != "host")
      hanging(out, " " + left(report.label(one), widest) + "  ", one.message.empty() ? one.state : one.message,
              view.width);
  return out;
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

void csv_row(std::string& out, std::string_view device, std::string_view id, const ReportValue& value) {
  std::string attributes;
  for (const auto& [key, text] : value.attributes) attributes += (attributes.empty() ? "" : ";") + key + "=" + text;
  out += csv_field(device) + "," + csv_field(id) + "," + csv_field(value.metric) + "," + csv_field(attributes) + ",";
  if (value.value) append_number(out, *value.value);
  out += "," + csv_field(value.unit) + "," + csv_field(value.state) + ",";
  if (value.age) out += fixed(*value.age, 3);
  out += "\n";
}

}  // namespace

std::string render_status(const Report& report, const View& view) {
  std::string out = header(report);
  const std::vector<Row> rows = rows_of(report);
  const size_t attention = static_cast<size_t>(std::count_if(
      rows.begin(), rows.end(), [](const Row& row) { return row.verdict.level != Verdict::Level::fine; }));
  if (const std::string host = host_line(report); !host.empty()) out += "\n" + host;
  out += "\n" + (rows.empty() ? why_none(report, view) : render_table(rows, view));
  out += process_table(report) + event_list(report, view) + exports_in_trouble(report, view);
  if (report.findings) {
    if (*report.findings != 0)
      out += "\n " + plural(*report.findings, "thing needs", "things need") + " attention: accelmon findings\n";
    return out;
  }
  if (attention != 0) out += "\n " + plural(attention, "thing needs", "things need") + " attention: accelmon doctor\n";
  return out;
}

std::string render_csv(const Report& report) {
  std::string out = "device,hw_id,metric,attributes,value,unit,state,age_seconds\n";
  for (const ReportDevice& device : report.devices)
    for (const ReportValue& value : device.values) csv_row(out, device.index, device.id, value);
  for (const ReportValue& value : report.host) csv_row(out, "host", "", value);
  return out;
}

}  // namespace accelmon
