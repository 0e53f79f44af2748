#include "encode/influx.h"

#include <map>

#include "base/text.h"

namespace accelmon {
namespace {

constexpr double kIntegerEnd = 9223372036854775808.0;  // 2^63

void append_escaped(std::string& out, std::string_view text, bool tag) {
  for (const char c : text) {
    if (c == '\n' || c == '\r' || c == '\t') {
      out += "\\ ";
      continue;
    }
    if (c == '\\') {
      out += '/';
      continue;
    }
    if (c == ',' || c == ' ' || (tag && c == '=')) out += '\\';
    out += c;
  }
}

}  // namespace

bool influx_integer(const MetricInfo& metric) {
  if (metric.kind == Kind::state || metric.kind == Kind::info) return true;
  if (metric.unit == Unit::bytes) return true;
  // Counted things, but for the load, which the kernel averages.
  return metric.step >= 1 && unit_text(metric.unit).starts_with('{') && metric.unit != Unit::load;
}

InfluxEncoder::Plan InfluxEncoder::build(const FrameRun& run) const {
  const Catalog& catalog = *run.catalog;
  // In the order in which their first series stands.
  std::map<std::string, size_t> known;
  std::vector<std::pair<std::string, std::vector<uint32_t>>> groups;
  for (size_t i = 0; i < catalog.series.size(); ++i) {
    const Series& series = catalog.series[i];
    if (!is_exported(catalog, series)) continue;
    std::string head;
    append_escaped(head, options_.measurement, false);
    const LabelSet labels = labels_of(catalog, series);
    for (const auto& [name, value] : sorted_labels(series.metric, labels, options_.labels)) {
      if (name == "__name__") continue;
      head += ',';
      append_escaped(head, name, true);
      head += '=';
      append_escaped(head, value, true);
    }
    const auto [at, fresh] = known.emplace(head, groups.size());
    if (fresh) groups.emplace_back(std::move(head), std::vector<uint32_t>());
    groups[at->second].second.push_back(static_cast<uint32_t>(i));
  }
  Plan plan;
  const auto keep = [&](std::string_view text) {
    const auto begin = static_cast<uint32_t>(plan.text.size());
    plan.text += text;
    return begin;
  };
  for (const auto& [head, members] : groups) {
    Line line{keep(head), static_cast<uint32_t>(head.size()) + 1, static_cast<uint32_t>(plan.fields.size()),
              static_cast<uint32_t>(members.size())};
    plan.text += ' ';
    for (const uint32_t i : members) {
      const MetricInfo& metric = info(catalog.series[i].metric);
      const std::string name = std::string(prometheus_name(metric.id)) + "=";
      plan.fields.push_back({i, keep(name), static_cast<uint32_t>(name.size()), metric.kind, influx_integer(metric)});
    }
    plan.lines.push_back(line);
  }
  return plan;
}

size_t InfluxEncoder::encode(std::span<const FrameRun> batch, std::string& out, std::vector<InfluxLine>* lines) {
  size_t written = 0;
  for (const FrameRun& run : batch) {
    if (run.catalog == nullptr) continue;
    const Plan& plan = book_.of(run, [this](const FrameRun& one) { return build(one); });
    for (const Frame* frame : run.frames) {
      if (!fits(run, frame)) continue;
      for (const Line& line : plan.lines) {
        const size_t start = out.size();
        out.append(plan.text, line.begin, line.size);
        uint32_t fields = 0;
        for (uint32_t f = line.first; f < line.first + line.fields; ++f) {
          const Field& field = plan.fields[f];
          double value = 0;
          if (!sample(*frame, field.series, field.kind, value)) continue;
          if (field.integer && !(std::abs(value) < kIntegerEnd)) continue;
          if (fields++ != 0) out += ',';
          out.append(plan.text, field.begin, field.size);
          if (field.integer) {
            append_number(out, static_cast<int64_t>(std::llround(value)));
            out += 'i';
          } else {
            append_number(out, value);
          }
        }
        if (fields == 0) {
          out.resize(start);
          continue;
        }
        out += ' ';
        append_number(out, static_cast<int64_t>(frame->wall));
        out += '\n';
        ++written;
        if (lines != nullptr) lines->push_back({out.size(), fields});
      }
    }
  }
  book_.tidy();
  return written;
}

}  // namespace accelmon
