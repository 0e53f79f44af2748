#include "encode/graphite.h"

#include <unordered_set>

#include "base/text.h"
#include "encode/metric_path.h"

namespace accelmon {
namespace {

// carbon splits a line at white space and the tags at ';'; a value that begins with '~' it refuses. What cannot be said
// becomes '_'.
std::string tag_value(std::string_view value) {
  std::string out;
  for (const char c : value) out += c == ';' || static_cast<unsigned char>(c) <= ' ' ? '_' : c;
  // The wide blanks of Unicode are white space to carbon as well.
  for (const std::string_view wide :
       {"\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007",
        "\u2008", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"})
    for (size_t at = out.find(wide); at != std::string::npos; at = out.find(wide, at))
      out.replace(at, wide.size(), "_");
  if (out.starts_with('~')) out[0] = '_';
  return out;
}

}  // namespace

GraphiteEncoder::Plan GraphiteEncoder::build(const FrameRun& run) const {
  const Catalog& catalog = *run.catalog;
  Plan plan;
  const auto add = [&](size_t i, const std::string& path) {
    const auto begin = static_cast<uint32_t>(plan.text.size());
    plan.text.append(path).append(" ");
    plan.lines.push_back({static_cast<uint32_t>(i), begin, static_cast<uint32_t>(plan.text.size()) - begin,
                          info(catalog.series[i].metric).kind});
  };
  if (!options_.tags) {
    const std::vector<std::string> paths = metric_paths(catalog, options_.prefix, options_.by_index);
    for (size_t i = 0; i < paths.size(); ++i)
      if (!paths[i].empty()) add(i, paths[i]);
    return plan;
  }
  std::unordered_set<std::string> seen;
  for (size_t i = 0; i < catalog.series.size(); ++i) {
    const Series& series = catalog.series[i];
    if (!is_exported(catalog, series)) continue;
    const LabelSet labels = labels_of(catalog, series);
    std::string path(prometheus_name(series.metric));
    for (const auto& [name, value] : sorted_labels(series.metric, labels, options_.labels))
      if (name != "__name__") path.append(";").append(name).append("=").append(tag_value(value));
    if (seen.insert(path).second) add(i, path);
  }
  return plan;
}

size_t GraphiteEncoder::encode(std::span<const FrameRun> batch, std::string& out) {
  size_t written = 0;
  for (const FrameRun& run : batch) {
    if (run.catalog == nullptr) continue;
    const Plan& plan = book_.of(run, [this](const FrameRun& one) { return build(one); });
    for (size_t f = 0; f < run.frames.size(); ++f) {
      if (!fits(run, run.frames[f])) continue;
      const Frame& frame = *run.frames[f];
      const int64_t seconds = frame.wall / kSecond;
      if (f + 1 < run.frames.size() && fits(run, run.frames[f + 1]) && run.frames[f + 1]->wall / kSecond == seconds)
        continue;
      for (const Line& line : plan.lines) {
        double value = 0;
        if (!sample(frame, line.series, line.kind, value)) continue;
        out.append(plan.text, line.begin, line.size);
        append_number(out, value);
        out += ' ';
        append_number(out, seconds);
        out += '\n';
        ++written;
      }
    }
  }
  book_.tidy();
  return written;
}

}  // namespace accelmon
