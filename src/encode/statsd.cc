#include "encode/statsd.h"

#include <limits>
#include <unordered_set>

#include "base/text.h"
#include "encode/metric_path.h"

namespace accelmon {
namespace {

constexpr size_t kMaxCounters = 200'000;
constexpr size_t kMaxTag = 200;  // what Datadog keeps of "key:value"

void append_tag(std::string& out, std::string_view key, std::string_view value) {
  const size_t begin = out.size();
  out.append(key).append(":");
  for (const char c : value) out += c == ',' || c == '|' || c == '#' || static_cast<unsigned char>(c) < ' ' ? '_' : c;
  if (out.size() - begin <= kMaxTag) return;
  size_t end = begin + kMaxTag;
  while (end > begin && (static_cast<unsigned char>(out[end]) & 0xc0) == 0x80) --end;
  out.resize(end);
}

}  // namespace

void Datagrams::clear() {
  bytes_.clear();
  ends_.clear();
}

std::string_view Datagrams::operator[](size_t i) const {
  const size_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::string_view(bytes_).substr(begin, ends_[i] - begin);
}

uint32_t StatsdEncoder::counter_of(const FrameRun& run, const Series& series) {
  std::string key(run.source);
  key += '\0';
  key += series_key(*run.catalog, series);
  const auto [at, fresh] = counters_.emplace(std::move(key), static_cast<uint32_t>(last_.size()));
  if (fresh) last_.push_back(std::numeric_limits<double>::quiet_NaN());
  return at->second;
}

StatsdEncoder::Plan StatsdEncoder::build(const FrameRun& run) {
  const Catalog& catalog = *run.catalog;
  Plan plan;
  std::vector<std::string> paths;
  if (!options_.tags) paths = metric_paths(catalog, options_.prefix, options_.by_index);
  std::unordered_set<std::string> seen;
  for (size_t i = 0; i < catalog.series.size(); ++i) {
    const Series& series = catalog.series[i];
    if (!is_exported(catalog, series) || (!options_.tags && paths[i].empty())) continue;
    const Kind kind = info(series.metric).kind;
    std::string name = (options_.tags ? std::string(info(series.metric).name) : paths[i]) + ":";
    std::string tags;
    if (options_.tags) {
      const LabelSet labels = labels_of(catalog, series);
      const auto add = [&](std::string_view key, std::string_view value) {
        tags += tags.empty() ? "|#" : ",";
        append_tag(tags, key, value);
      };
      for (const Label& label : labels.labels()) add(info(label.id).key, label.value);
      for (const auto& [key, value] : options_.labels) add(key, value);
      if (!seen.insert(name + tags).second) continue;
    }
    Line line{.series = static_cast<uint32_t>(i), .kind = kind, .counter = 0};
    line.name = static_cast<uint32_t>(plan.text.size());
    line.name_size = static_cast<uint32_t>(name.size());
    plan.text += name;
    line.tags = static_cast<uint32_t>(plan.text.size());
    line.tags_size = static_cast<uint32_t>(tags.size());
    plan.text += tags;
    if (kind == Kind::counter) line.counter = counter_of(run, series);
    plan.lines.push_back(line);
  }
  return plan;
}

void StatsdEncoder::append(Datagrams& out) {
  if (line_.size() > options_.max_bytes) {
    ++too_long_;
    return;
  }
  const size_t begin = out.ends_.size() < 2 ? 0 : out.ends_[out.ends_.size() - 2];
  const bool fresh = out.ends_.empty() || out.bytes_.size() - begin + 1 + line_.size() > options_.max_bytes;
  if (fresh)
    out.ends_.push_back(0);
  else
    out.bytes_ += '\n';
  out.bytes_ += line_;
  out.ends_.back() = static_cast<uint32_t>(out.bytes_.size());
}

void StatsdEncoder::encode(std::span<const FrameRun> batch, Datagrams& out) {
  out.clear();
  for (size_t r = 0; r < batch.size(); ++r) {
    const FrameRun& run = batch[r];
    if (run.catalog == nullptr || run.frames.empty()) continue;
    // A later run of this source says more of now.
    bool last = true;
    for (size_t later = r + 1; later < batch.size() && last; ++later)
      last = batch[later].source != run.source || batch[later].frames.empty();
    const Frame* frame = run.frames.back();
    if (!last || !fits(run, frame)) continue;
    const Plan& plan = book_.of(run, [this](const FrameRun& one) { return build(one); });
    for (const Line& line : plan.lines) {
      double value = 0;
      if (!sample(*frame, line.series, line.kind, value)) continue;
      const std::string_view name(plan.text.data() + line.name, line.name_size);
      const std::string_view tags(plan.text.data() + line.tags, line.tags_size);
      line_.clear();
      if (line.kind == Kind::counter) {
        const double before = std::exchange(last_[line.counter], value);
        // Also where `before` is not a number: the first sight.
        if (!(value > before)) continue;
        line_ += name;
        append_number(line_, value - before);
        line_.append("|c").append(tags);
      } else {
        if (value < 0 && !options_.tags) line_.append(name).append("0|g\n");
        line_ += name;
        append_number(line_, value);
        line_.append("|g").append(tags);
      }
      append(out);
    }
  }
  book_.tidy();
  if (counters_.size() > kMaxCounters) {
    counters_.clear();
    last_.clear();
    book_ = {};
  }
}

}  // namespace accelmon
