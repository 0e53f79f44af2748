#include "exporters/settings.h"

#include <algorithm>

#include "base/text.h"

namespace accelmon {

std::string ExporterSettings::text(std::string_view key, std::string_view fallback) const {
  const auto found = options.find(key);
  return found == options.end() ? std::string(fallback) : found->second;
}

bool ExporterSettings::flag(std::string_view key, bool fallback) const {
  const auto found = options.find(key);
  return found == options.end() ? fallback : found->second == "true";
}

Nanos ExporterSettings::duration(std::string_view key, Nanos fallback) const {
  const auto found = options.find(key);
  if (found == options.end()) return fallback;
  const Result<Nanos> span = parse_duration(found->second);
  return span ? *span : fallback;
}

uint64_t ExporterSettings::number(std::string_view key, uint64_t fallback) const {
  const auto found = options.find(key);
  return found == options.end() ? fallback : parse_u64(found->second).value_or(fallback);
}

std::vector<std::string> ExporterSettings::list(std::string_view key) const {
  std::vector<std::string> out;
  std::string all = text(key);
  for (std::string_view rest = all; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    if (end > 0) out.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out;
}

Result<std::vector<std::pair<std::string, std::string>>> ExporterSettings::pairs(std::string_view key) const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const std::string& one : list(key)) {
    const size_t equal = one.find('=');
    if (equal == std::string::npos || equal == 0)
      return fail(wrong(key, "holds \"" + printable(one, 60) + "\"; write \"name=value\""));
    out.emplace_back(trim(std::string_view(one).substr(0, equal)), trim(std::string_view(one).substr(equal + 1)));
  }
  return out;
}

Result<ConstantLabels> ExporterSettings::labels(ConstantLabels defaults) const {
  auto all = pairs("labels");
  if (!all) return fail(all.error());
  for (auto& standard : defaults)
    if (std::none_of(all->begin(), all->end(), [&](const auto& one) { return one.first == standard.first; }))
      all->push_back(std::move(standard));
  Result<ConstantLabels> checked = constant_labels(std::move(*all));
  if (!checked) return fail(wrong("labels", checked.error().message()));
  return checked;
}

Result<std::string> ExporterSettings::word(std::string_view key, std::vector<std::string_view> words) const {
  const std::string value = text(key, words.front());
  if (std::find(words.begin(), words.end(), value) != words.end()) return value;
  std::string known;
  for (const std::string_view one : words) known += (known.empty() ? "\"" : ", \"") + std::string(one) + "\"";
  return fail(wrong(key, "= \"" + printable(value, 60) + "\" is unknown; write one of " + known));
}

Result<std::string> ExporterSettings::needed(std::string_view key, std::string_view example) const {
  std::string value = text(key);
  if (value.empty()) return fail(wrong(key, "is needed, for example \"" + std::string(example) + "\""));
  return value;
}

Status ExporterSettings::wrong(std::string_view key, std::string_view why) const {
  return {Code::invalid, "exporters." + name + "." + std::string(key) + " " + std::string(why)};
}

}  // namespace accelmon
