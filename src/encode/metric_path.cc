#include "encode/metric_path.h"

#include <unordered_set>

#include "encode/labels.h"

namespace accelmon {
namespace {

constexpr size_t kMaxWord = 200;

std::string path_of(const Catalog& catalog, const Series& series, std::string_view prefix, bool by_index, bool keys) {
  std::string path(prefix);
  if (!path.empty()) path += '.';
  if (series.device >= 0) {
    const Device& device = catalog.devices[static_cast<size_t>(series.device)];
    path += path_word(to_string(device.type));
    path += '.';
    // Two makers may both have a device 0.
    path += by_index && !device.index.empty() ? path_word(device.vendor + "-" + device.index) : path_word(device.id);
  } else {
    path += "host";
  }
  path += '.';
  path += prometheus_name(series.metric);
  for (const Attribute& attribute : series.attributes) {
    if (static_cast<size_t>(attribute.id) >= all_attributes().size() || attribute.value.empty()) continue;
    path += '.';
    if (keys) path.append(prometheus_label(attribute.id)).append("-");
    path += path_word(attribute.value);
  }
  return path;
}

}  // namespace

std::string path_word(std::string_view text) {
  std::string word;
  for (size_t i = 0; i < text.size() && word.size() < kMaxWord; ++i) {
    const char c = text[i];
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_')
      word += c;
    else if ((static_cast<unsigned char>(c) & 0xc0) != 0x80)  // one for each character, however many bytes it has
      word += '_';
  }
  return word.empty() ? "_" : word;
}

std::vector<std::string> metric_paths(const Catalog& catalog, std::string_view prefix, bool by_index) {
  std::vector<std::string> paths(catalog.series.size());
  std::unordered_set<std::string> seen;
  for (size_t i = 0; i < paths.size(); ++i) {
    const Series& series = catalog.series[i];
    if (!is_exported(catalog, series) || info(series.metric).kind == Kind::info) continue;
    std::string path = path_of(catalog, series, prefix, by_index, false);
    if (!seen.insert(path).second) {
      path = path_of(catalog, series, prefix, by_index, true);
      // Still the same one: it would overwrite the other's numbers.
      if (!seen.insert(path).second) continue;
    }
    paths[i] = std::move(path);
  }
  return paths;
}

}  // namespace accelmon
