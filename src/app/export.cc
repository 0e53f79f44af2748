// `accelmon export`: the history file as CSV, JSON lines or OpenMetrics, whether an agent writes to it or not.
//
// Each span of time comes from the finest tier that the file still has for it. Written as it is read, a window of one
// series at a time, so that memory stays bounded however long the history is.
#include <algorithm>
#include <array>
#include <map>

#include "agent/api_history.h"
#include "agent/api_json.h"
#include "agent/api_query.h"
#include "app/command.h"
#include "app/history_file.h"
#include "base/text.h"
#include "encode/labels.h"

namespace accelmon {
namespace {

constexpr size_t kWriteBytes = 256u << 10;  // gathered before it is written
constexpr Nanos kHour = 3600 * kSecond;

// A part of the time asked for that one tier answers, and how much of it is read at once.
struct Stretch {
  Nanos from;
  Nanos to;
  Nanos window;
};

enum class ExportFormat : uint8_t { csv, json, openmetrics };

class Export {
 public:
  Export(HistoryFile file, ExportFormat format) : file_(std::move(file)), format_(format) {}
  int run(const SeriesFilter& filter, Nanos from, Nanos to);

 private:
  Result<Nanos> reach(const HistorySeries& probe, Nanos step, Nanos from, Nanos to);
  Result<Nanos> first_row(Nanos from, Nanos to);
  Status find_stretches(const HistorySeries& probe, Nanos from, Nanos to);
  Status write_group(const std::vector<const HistorySeries*>& group, const std::string& prefix);
  void write_csv(const HistorySeries& one, const StoreRange& range);
  void write_json(const HistorySeries& one, const StoreRange& range);
  void write_openmetrics(const StoreRange& range, const std::string& prefix);
  bool flush(bool all);

  HistoryFile file_;
  ExportFormat format_;
  std::vector<Stretch> stretches_;
  std::string out_;
  bool broken_ = false;  // standard output takes no more
};

void append_cell(std::string& out, std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

void append_label(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += "=\"";
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  out += '"';
}

// "name{labels} " and, for a family that begins, its head.
std::string openmetrics_prefix(const HistorySeries& one) {
  const Series& series = one.catalog->series[one.series];
  std::string out(prometheus_name(series.metric));
  const LabelSet labels = labels_of(*one.catalog, series);
  char before = '{';
  for (const Label& label : labels.labels()) {
    out += before;
    append_label(out, prometheus_label(label.id), label.value);
    before = ',';
  }
  if (before == ',') out += '}';
  out += ' ';
  return out;
}

void append_family(std::string& out, const MetricInfo& metric) {
  std::string_view family = prometheus_name(metric.id);
  std::string_view type = "gauge";
  if (metric.kind == Kind::counter) {
    family = without_suffix(family, "_total");
    type = "counter";
  } else if (metric.kind == Kind::info) {
    family = without_suffix(family, "_info");
    type = "info";
  }
  out += "# TYPE " + std::string(family) + ' ' + std::string(type) + '\n';
  if (const std::string_view unit = stated_unit(metric); !unit.empty())
    out += "# UNIT " + std::string(family) + ' ' + std::string(unit) + '\n';
  out += "# HELP " + std::string(family) + ' ';
  for (const char c : metric.brief) {
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  out += '\n';
}

// The earliest time from which the file answers in steps of at most `step`; `to` where it nowhere does.
Result<Nanos> Export::reach(const HistorySeries& probe, Nanos step, Nanos from, Nanos to) {
  const auto fine = [&](Nanos at) -> Result<bool> {
    const Result<StoreRange> range = file_.query(probe.source, probe.key, at, at, SIZE_MAX);
    if (!range) return fail(range.error());
    return range->step <= step;
  };
  Result<bool> now = fine(from);
  if (!now) return fail(now.error());
  if (*now) return from;
  while (to - from > kSecond) {
    const Nanos middle = from + (to - from) / 2;
    now = fine(middle);
    if (!now) return fail(now.error());
    (*now ? to : from) = middle;
  }
  return to;
}

// To within a second before the first row: who asks for everything asks for decades that hold nothing.
Result<Nanos> Export::first_row(Nanos from, Nanos to) {
  while (to - from > kSecond) {
    const Nanos middle = from + (to - from) / 2;
    const Result<std::vector<HistorySeries>> some = file_.list(from, middle);
    if (!some) return fail(some.error());
    (some->empty() ? from : to) = middle;
  }
  return from;
}

Status Export::find_stretches(const HistorySeries& probe, Nanos from, Nanos to) {
  const Result<Nanos> first = first_row(from, to);
  if (!first) return first.error();
  from = *first;
  const Result<Nanos> every_poll = reach(probe, 0, from, to);
  if (!every_poll) return every_poll.error();
  const Result<Nanos> ten_seconds = reach(probe, 10 * kSecond, from, *every_poll);
  if (!ten_seconds) return ten_seconds.error();
  if (from < *ten_seconds) stretches_.push_back({from, *ten_seconds - 1, 30 * 24 * kHour});
  if (*ten_seconds < *every_poll) stretches_.push_back({*ten_seconds, *every_poll - 1, 72 * kHour});
  stretches_.push_back({*every_poll, to, 6 * kHour});
  return {};
}

void Export::write_csv(const HistorySeries& one, const StoreRange& range) {
  const Series& series = one.catalog->series[one.series];
  std::string head;
  append_cell(head, one.source);
  head += ',';
  append_cell(head, info(series.metric).name);
  head += ',';
  if (series.device >= 0) append_cell(head, one.catalog->devices[static_cast<size_t>(series.device)].id);
  head += ',';
  std::string attributes;
  for (const Attribute& attribute : series.attributes)
    attributes += (attributes.empty() ? "" : ";") + std::string(info(attribute.id).key) + '=' + attribute.value;
  append_cell(head, attributes);
  head += ',';
  append_cell(head, unit_text(info(series.metric).unit));
  head += ',';
  for (const StorePoint& point : range.points) {
    out_ += format_time(point.wall);
    out_ += ',';
    out_ += head;
    append_number(out_, point.mean);
    out_ += ',';
    if (range.step != 0) append_number(out_, point.minimum);
    out_ += ',';
    if (range.step != 0) append_number(out_, point.maximum);
    out_ += ',';
    append_number(out_, to_seconds(range.step));
    out_ += '\n';
  }
}

void Export::write_json(const HistorySeries& one, const StoreRange& range) {
  JsonWriter json(out_);
  json.begin_object();
  write_series(json, one.source, *one.catalog, one.catalog->series[one.series]);
  write_points(json, range);
  json.end_object();
  out_ += '\n';
}

void Export::write_openmetrics(const StoreRange& range, const std::string& prefix) {
  for (const StorePoint& point : range.points) {
    out_ += prefix;
    append_number(out_, point.mean);
    out_ += ' ';
    append_number(out_, static_cast<int64_t>(point.wall / kSecond));
    const auto milliseconds = static_cast<int>(point.wall % kSecond / kMillisecond);
    out_ += '.';
    out_ += static_cast<char>('0' + milliseconds / 100);
    out_ += static_cast<char>('0' + milliseconds / 10 % 10);
    out_ += static_cast<char>('0' + milliseconds % 10);
    out_ += '\n';
  }
}

bool Export::flush(bool all) {
  if (!all && out_.size() < kWriteBytes) return !broken_;
  if (!broken_ && !out_.empty() && print(out_) != kFine) broken_ = true;
  out_.clear();
  return !broken_;
}

// The series of a group are one series to OpenMetrics, told by several sources.
Status Export::write_group(const std::vector<const HistorySeries*>& group, const std::string& prefix) {
  for (const Stretch& stretch : stretches_) {
    for (Nanos from = stretch.from; from <= stretch.to;) {
      const Nanos to = stretch.to - from < stretch.window ? stretch.to : from + stretch.window - 1;
      StoreRange merged;
      for (const HistorySeries* one : group) {
        Result<StoreRange> range = file_.query(one->source, one->key, from, to, SIZE_MAX);
        if (!range) return range.error();
        if (range->points.empty()) continue;
        if (format_ == ExportFormat::csv) {
          write_csv(*one, *range);
        } else if (format_ == ExportFormat::json) {
          write_json(*one, *range);
        } else {
          merged.points.insert(merged.points.end(), range->points.begin(), range->points.end());
        }
      }
      if (!merged.points.empty()) {
        // Milliseconds are all that the format's readers keep, and no instant may come twice.
        const auto earlier = [](const StorePoint& a, const StorePoint& b) { return a.wall < b.wall; };
        std::stable_sort(merged.points.begin(), merged.points.end(), earlier);
        const auto same = [](const StorePoint& a, const StorePoint& b) {
          return a.wall / kMillisecond == b.wall / kMillisecond;
        };
        merged.points.erase(std::unique(merged.points.begin(), merged.points.end(), same), merged.points.end());
        write_openmetrics(merged, prefix);
      }
      if (!flush(false)) return Status(Code::io, "");
      from = to + 1;
    }
  }
  return {};
}

int Export::run(const SeriesFilter& filter, Nanos from, Nanos to) {
  Result<std::vector<HistorySeries>> all = file_.list(from, to);
  if (!all) return complain(all.error().message(), kFailure);
  std::erase_if(*all,
                [&](const HistorySeries& one) { return !filter.takes(*one.catalog, one.catalog->series[one.series]); });
  if (!all->empty())
    if (const Status status = find_stretches(all->front(), from, to); !status.ok())
      return complain(status.message(), kFailure);

  // Families as in the table, series in the order of their labels.
  std::map<std::pair<size_t, std::string>, std::vector<const HistorySeries*>> groups;
  for (const HistorySeries& one : *all) {
    std::string name = format_ == ExportFormat::openmetrics ? openmetrics_prefix(one) : one.key + '\n' + one.source;
    groups[{index(one.catalog->series[one.series].metric), std::move(name)}].push_back(&one);
  }
  if (format_ == ExportFormat::csv)
    out_ = "time,source,metric,device,attributes,unit,value,minimum,maximum,step_seconds\n";
  size_t family = SIZE_MAX;
  for (const auto& [name, group] : groups) {
    if (format_ == ExportFormat::openmetrics && std::exchange(family, name.first) != name.first)
      append_family(out_, all_metrics()[name.first]);
    if (const Status status = write_group(group, name.second); !status.ok())
      return broken_ ? kFailure : complain(status.message(), kFailure);
  }
  if (format_ == ExportFormat::openmetrics) out_ += "# EOF\n";
  return flush(true) ? kFine : kFailure;
}

}  // namespace

int run_export(const Arguments& arguments) {
  const Nanos now = real_clock().wall();
  const Result<Nanos> from = parse_time(arguments.value("--from", "0"), now);
  if (!from) return complain("--from: " + from.error().message(), kWrongUse);
  const Result<Nanos> to = parse_time(arguments.value("--to", "now"), now);
  if (!to) return complain("--to: " + to.error().message(), kWrongUse);
  if (*from > *to) return complain("--from is later than --to", kWrongUse);
  // A wall clock may have been set back by a little since the last row; nothing comes from further ahead.
  const Nanos end = std::min(*to, now + kHour) + kMillisecond - 1;
  const std::string metrics = arguments.value("--metric"), devices = arguments.value("--device");
  const Result<SeriesFilter> filter = SeriesFilter::make(&metrics, &devices);
  if (!filter) return complain(filter.error().message(), kWrongUse);

  int code = kFailure;
  Result<HistoryFile> file = open_history(arguments, code);
  if (!file) return complain(file.error().message(), code);
  const std::string format = arguments.value("--format", "csv");
  return Export(std::move(*file), format == "json"          ? ExportFormat::json
                                  : format == "openmetrics" ? ExportFormat::openmetrics
                                                            : ExportFormat::csv)
      .run(*filter, std::min(*from, end), end);
}

}  // namespace accelmon
