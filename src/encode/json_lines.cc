#include "encode/json_lines.h"

#include <algorithm>

#include "base/text.h"
#include "encode/json.h"

namespace accelmon {
namespace {

constexpr int64_t kLastMillisecond = 253402300799999;  // of the year 9999

int64_t milliseconds_of(Nanos wall) {
  return std::clamp<int64_t>(wall / kMillisecond, 0, kLastMillisecond);
}

char* two(char* out, int64_t value) {
  *out++ = static_cast<char>('0' + value / 10);
  *out++ = static_cast<char>('0' + value % 10);
  return out;
}

}  // namespace

void append_rfc3339(std::string& out, Nanos wall) {
  const int64_t milliseconds = milliseconds_of(wall);
  const int64_t seconds = milliseconds / 1000;
  // Days to a date of the proleptic Gregorian calendar, in eras of 400 years that begin in March.
  const int64_t days = seconds / 86400 + 719468;
  const int64_t era = days / 146097;
  const int64_t day_of_era = days % 146097;
  const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_from_march = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  const int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  const int64_t year = era * 400 + year_of_era + (month <= 2 ? 1 : 0);
  char text[24];
  char* at = two(two(text, year / 100), year % 100);
  *at++ = '-';
  at = two(at, month);
  *at++ = '-';
  at = two(at, day);
  *at++ = 'T';
  at = two(at, seconds % 86400 / 3600);
  *at++ = ':';
  at = two(at, seconds % 3600 / 60);
  *at++ = ':';
  at = two(at, seconds % 60);
  *at++ = '.';
  *at++ = static_cast<char>('0' + milliseconds % 1000 / 100);
  at = two(at, milliseconds % 100);
  *at++ = 'Z';
  out.append(text, static_cast<size_t>(at - text));
}

JsonLinesEncoder::Plan JsonLinesEncoder::build(const FrameRun& run) const {
  const Catalog& catalog = *run.catalog;
  Plan plan;
  // By device, the host's own last; within one as in the catalog.
  std::vector<uint32_t> order;
  for (size_t i = 0; i < catalog.series.size(); ++i)
    if (is_exported(catalog, catalog.series[i])) order.push_back(static_cast<uint32_t>(i));
  const auto place = [&](uint32_t i) { return static_cast<uint32_t>(catalog.series[i].device); };  // -1 is the largest
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return place(a) < place(b); });

  for (size_t n = 0; n < order.size(); ++n) {
    const Series& series = catalog.series[order[n]];
    if (n == 0 || catalog.series[order[n - 1]].device != series.device) {
      const auto begin = static_cast<uint32_t>(plan.text.size());
      std::string head;
      JsonWriter json(head);
      json.begin_object().key("source").text(run.source);
      if (!options_.labels.empty()) {
        json.key("labels").begin_object();
        for (const auto& [name, value] : options_.labels) json.key(name).text(value);
        json.end_object();
      }
      if (series.device >= 0) {
        json.key("device").begin_object();
        Series bare;
        bare.metric = MetricId::uptime;  // any that brings no label of its own
        bare.device = series.device;
        const LabelSet labels = labels_of(catalog, bare);
        for (const Label& label : labels.labels()) json.key(info(label.id).key).text(label.value);
        json.end_object();
      }
      json.key("metrics").begin_array();
      plan.text.append(",").append(head, 1);  // the times stand before it
      plan.rows.push_back(
          {begin, static_cast<uint32_t>(plan.text.size()) - begin, static_cast<uint32_t>(plan.entries.size()), 0});
    }
    const auto begin = static_cast<uint32_t>(plan.text.size());
    const MetricInfo& metric = info(series.metric);
    const LabelSet labels = labels_of(catalog, series);
    std::string entry;
    JsonWriter json(entry);
    json.begin_object().key("name").text(metric.name).key("unit").text(unit_text(metric.unit));
    bool begun = false;
    for (const Label& label : labels.labels()) {
      // Those of the device stand at the row.
      if (series.device >= 0 && label.id <= AttributeId::hw_vendor) continue;
      if (!begun) json.key("attributes").begin_object();
      begun = true;
      json.key(info(label.id).key).text(label.value);
    }
    if (begun) json.end_object();
    json.key("value");
    plan.text += entry;
    plan.entries.push_back({order[n], begin, static_cast<uint32_t>(plan.text.size()) - begin, metric.kind});
    ++plan.rows.back().entries;
  }
  return plan;
}

size_t JsonLinesEncoder::encode(std::span<const FrameRun> batch, std::string& out) {
  size_t written = 0;
  for (const FrameRun& run : batch) {
    if (run.catalog == nullptr) continue;
    const Plan& plan = book_.of(run, [this](const FrameRun& one) { return build(one); });
    for (const Frame* frame : run.frames) {
      if (!fits(run, frame)) continue;
      for (const Row& row : plan.rows) {
        const size_t start = out.size();
        out += "{\"time\":\"";
        append_rfc3339(out, frame->wall);
        out += "\",\"timestamp\":";
        append_number(out, static_cast<double>(milliseconds_of(frame->wall)) / 1e3);
        out.append(plan.text, row.begin, row.size);
        bool any = false;
        for (uint32_t e = row.first; e < row.first + row.entries; ++e) {
          const Entry& entry = plan.entries[e];
          double value = 0;
          if (!sample(*frame, entry.series, entry.kind, value)) continue;
          if (any) out += ',';
          any = true;
          out.append(plan.text, entry.begin, entry.size);
          append_number(out, value);
          out += '}';
        }
        if (!any) {
          out.resize(start);
          continue;
        }
        out += "]}\n";
        ++written;
      }
    }
  }
  book_.tidy();
  return written;
}

}  // namespace accelmon
