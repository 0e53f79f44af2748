#include "encode/cloudwatch_selection.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "base/text.h"
#include "encode/catalog_book.h"

namespace accelmon {
namespace {

constexpr size_t kMaxName = 255;
constexpr size_t kMaxValue = 1024;
constexpr size_t kMaxCounters = 100'000;
constexpr Nanos kOldest = 14 * 24 * 3600 * kSecond;
constexpr Nanos kNewest = 2 * 3600 * kSecond;

// CloudWatch takes ASCII with at least one visible character, and no control characters.
std::string ascii(std::string_view text, size_t most) {
  std::string out;
  for (const char c : text) {
    if (out.size() == most) break;
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f)
      out += c;
    else if ((byte & 0xc0) != 0x80)
      out += '?';
  }
  return trim(out).empty() ? "?" : out;
}

bool has(const Series& series, const Attribute& wanted) {
  return std::find(series.attributes.begin(), series.attributes.end(), wanted) != series.attributes.end();
}

bool names(const CloudWatchRule& rule, AttributeId id) {
  return std::any_of(rule.attributes.begin(), rule.attributes.end(),
                     [&](const Attribute& one) { return one.id == id; });
}

template <class Infos>
Status unknown(std::string_view what, std::string_view name, const Infos& known_infos) {
  std::vector<std::string_view> known;
  for (const auto& one : known_infos)
    if constexpr (requires { one.name; })
      known.push_back(one.name);
    else
      known.push_back(one.key);
  std::string text = std::string(what) + " '" + printable(name, 80) + "' is unknown";
  if (const auto near = nearest_word(name, known)) text += "; did you mean '" + std::string(*near) + "'?";
  return {Code::invalid, std::move(text)};
}

}  // namespace

Result<CloudWatchRule> parse_cloudwatch_rule(std::string_view text) {
  CloudWatchRule rule;
  text = trim(text);
  if (constexpr std::string_view kByHost = " by host"; text.ends_with(kByHost)) {
    rule.per_device = false;
    text = trim(text.substr(0, text.size() - kByHost.size()));
  }
  const size_t brace = std::min(text.find('{'), text.size());
  const std::string_view name = trim(text.substr(0, brace));
  const auto metric = find_metric(name);
  if (!metric) return fail(unknown("metric", name, all_metrics()));
  if (is_local(*metric) || info(*metric).kind == Kind::info)
    return fail(Code::invalid, std::string(name) + " is not a number for CloudWatch");
  rule.metric = *metric;
  if (brace == text.size()) return rule;
  if (!text.ends_with('}')) return fail(Code::invalid, "'" + printable(text, 200) + "' has no '}' at its end");
  std::string_view rest = text.substr(brace + 1, text.size() - brace - 2);
  while (!trim(rest).empty()) {
    const std::string_view one = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
    const size_t equals = one.find('=');
    if (equals == std::string_view::npos)
      return fail(Code::invalid, "'" + printable(trim(one), 80) + "' is no attribute=value");
    const std::string_view key = trim(one.substr(0, equals));
    const auto id = find_attribute(key);
    if (!id) return fail(unknown("attribute", key, all_attributes()));
    rule.attributes.push_back({*id, std::string(trim(one.substr(equals + 1)))});
  }
  return rule;
}

std::vector<CloudWatchRule> default_cloudwatch_rules() {
  return {
      {MetricId::gpu_utilization, {{AttributeId::gpu_task, "general"}}},
      {MetricId::gpu_memory_usage, {}},
      {MetricId::gpu_memory_utilization, {}},
      {MetricId::temperature, {{AttributeId::sensor_location, "gpu"}}},
      {MetricId::power, {{AttributeId::power_scope, "gpu"}, {AttributeId::power_reading, "instant"}}},
      {MetricId::errors, {{AttributeId::error_type, "uncorrected"}, {AttributeId::error_block, "dram"}}},
      {MetricId::cpu_utilization, {{AttributeId::cpu_mode, "idle"}}},
      {MetricId::memory_available, {}},
  };
}

Status validate(const CloudWatchOptions& options) {
  if (options.space.empty() || options.space.size() > kMaxName || ascii(options.space, kMaxName) != options.space)
    return {Code::invalid, "the namespace is empty, longer than 255 characters or not ASCII"};
  if (options.space.starts_with("AWS/")) return {Code::invalid, "a namespace that begins with AWS/ belongs to AWS"};
  if (options.space.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/#:") !=
      std::string::npos)
    return {Code::invalid, "a namespace has letters, digits and . - _ / # : alone"};
  if (options.period < kSecond || options.period > 3600 * kSecond || options.period % kSecond != 0)
    return {Code::invalid, "the period is whole seconds, 1s to 1h"};
  if (options.period > 60 * kSecond && options.period % (60 * kSecond) != 0)
    return {Code::invalid, "a period above a minute is whole minutes"};
  if (options.rules.empty()) return {Code::invalid, "no metric is named"};
  if (options.dimensions.size() > 20) return {Code::invalid, "more than 20 dimensions of one's own"};
  for (const auto& [name, value] : options.dimensions)
    if (ascii(name, kMaxName) != name || name.front() == ':' || value.empty())
      return {Code::invalid, "a dimension's name is ASCII, 1 to 255 characters, no ':' first; its value is not empty"};
  return {};
}

CloudWatchUnit cloudwatch_unit(const MetricInfo& metric) {
  if (metric.kind == Kind::state || metric.unit == Unit::state) return {"None", 1};
  switch (metric.unit) {
    case Unit::one:
      return {"Percent", 100};
    case Unit::bytes:
      return {"Bytes", 1};
    case Unit::bytes_per_second:
      return {"Bytes/Second", 1};
    case Unit::seconds:
      return {"Seconds", 1};
    case Unit::joules:
    case Unit::watts:
    case Unit::hertz:
    case Unit::celsius:
    case Unit::rpm:
    case Unit::volts:
    case Unit::load:
    case Unit::generation:
      return {"None", 1};
    default:
      return {"Count", 1};
  }
}

bool CloudWatchSelection::select(const Catalog& catalog, const Series& series, size_t& rule,
                                 CloudWatchDimensions& out) const {
  for (size_t r = 0; r < options_.rules.size(); ++r) {
    const CloudWatchRule& one = options_.rules[r];
    if (one.metric != series.metric ||
        !std::all_of(one.attributes.begin(), one.attributes.end(), [&](const Attribute& a) { return has(series, a); }))
      continue;
    rule = r;
    out.clear();
    const auto add = [&](std::string_view name, std::string_view value) {
      const bool known = std::any_of(out.begin(), out.end(), [&](const auto& have) { return have.first == name; });
      if (!known && out.size() < kMaxCloudWatchDimensions)
        out.emplace_back(ascii(name, kMaxName), ascii(value, kMaxValue));
    };
    for (const auto& [name, value] : options_.dimensions) add(name, value);
    if (series.device >= 0 && one.per_device) {
      const Device& device = catalog.devices[static_cast<size_t>(series.device)];
      // Two makers may both have a device 0.
      add("Device", options_.device_by_index && !device.index.empty() ? device.vendor + "-" + device.index : device.id);
    }
    for (const Attribute& attribute : series.attributes)
      if (!names(one, attribute.id) && !attribute.value.empty()) add(info(attribute.id).key, attribute.value);
    return true;
  }
  return false;
}

std::vector<CloudWatchDatum> CloudWatchSelection::gather(std::span<const FrameRun> batch, Nanos now) {
  sets_.clear();
  std::map<std::tuple<Nanos, size_t, size_t>, CloudWatchDatum> data;
  CloudWatchDimensions dimensions;
  for (const FrameRun& run : batch) {
    if (run.catalog == nullptr) continue;
    const Catalog& catalog = *run.catalog;
    for (size_t i = 0; i < catalog.series.size(); ++i) {
      const Series& series = catalog.series[i];
      size_t rule = 0;
      if (!is_exported(catalog, series) || !select(catalog, series, rule, dimensions)) continue;
      const auto set = sets_.emplace(std::pair(rule, dimensions), sets_.size()).first;
      const MetricInfo& metric = info(series.metric);
      const double scale = cloudwatch_unit(metric).scale;
      double* before = nullptr;
      if (metric.kind == Kind::counter)
        before = &counters_.emplace(std::string(run.source) + '\0' + series_key(catalog, series), -1).first->second;
      for (const Frame* frame : run.frames) {
        double value = 0;
        if (!fits(run, frame) || !sample(*frame, i, metric.kind, value)) continue;
        if (before != nullptr) {
          const double last = std::exchange(*before, value);
          // First sight, or it began anew.
          if (last < 0 || value < last) continue;
          value -= last;
        }
        if (frame->wall < now - kOldest || frame->wall > now + kNewest) continue;
        const Nanos start = frame->wall - frame->wall % options_.period;
        CloudWatchDatum& datum = data[{start, rule, set->second}];
        datum.metric = series.metric;
        datum.dimensions = &set->first.second;
        datum.start = start;
        value *= scale;
        if (before == nullptr) {
          ++datum.values[value];
        } else if (datum.values.empty()) {
          datum.values[value] = 1;
        } else {
          // Growth adds up over the period, and over the devices where those are together.
          const double sum = datum.values.begin()->first + value;
          datum.values.clear();
          datum.values[sum] = 1;
        }
      }
    }
  }
  if (counters_.size() > kMaxCounters) counters_.clear();
  std::vector<CloudWatchDatum> out;
  out.reserve(data.size());
  for (auto& [key, datum] : data) out.push_back(std::move(datum));
  return out;
}

size_t CloudWatchSelection::metrics(std::span<const FrameRun> batch) const {
  std::set<std::pair<size_t, CloudWatchDimensions>> sets;
  CloudWatchDimensions dimensions;
  for (const FrameRun& run : batch) {
    if (run.catalog == nullptr) continue;
    for (const Series& series : run.catalog->series) {
      size_t rule = 0;
      if (is_exported(*run.catalog, series) && select(*run.catalog, series, rule, dimensions))
        sets.emplace(rule, dimensions);
    }
  }
  return sets.size();
}

}  // namespace accelmon
