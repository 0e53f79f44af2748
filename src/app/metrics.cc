// `accelmon metrics`: the vocabulary for people (docs/metrics.md) and for programs.
#include <algorithm>

#include "app/command.h"
#include "app/vocabulary.h"
#include "base/text.h"
#include "encode/json.h"
#include "model/metric.h"

namespace accelmon {
namespace {

struct Group {
  std::string_view title;
  std::string_view about;
};

constexpr Group kGroups[] = {
    {"Accelerators", "One series for each device, and for each value of the attributes listed."},
    {"Smoothed and windowed",
     "Derived from the accelerators' metrics: moving averages over real time, and statistics of the "
     "trailing window."},
    {"Processes on accelerators", "Who holds device memory."},
    {"The host", "Processors, memory, disks, file systems, network, pressure."},
    {"accelmon itself", "What the agent and its collectors do and cost."},
};

size_t group_of(const MetricInfo& metric) {
  const auto derived = [&](std::span<const Derivation> list) {
    return std::any_of(list.begin(), list.end(), [&](const Derivation& d) { return d.into == metric.id; });
  };
  if (derived(ema_derivations()) || derived(window_derivations())) return 1;
  const std::string_view name = metric.name;
  if (name.starts_with("accelmon.process.") || name == "accelmon.gpu.processes") return 2;
  if (name.starts_with("system.") || name.starts_with("accelmon.host.")) return 3;
  if (name.starts_with("accelmon.agent.") || name.starts_with("accelmon.collector.") ||
      name.starts_with("accelmon.build."))
    return 4;
  return 0;
}

// '|' ends a cell.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string code_list(std::string_view keys) {
  std::string out;
  while (!keys.empty()) {
    const size_t comma = std::min(keys.find(','), keys.size());
    out += (out.empty() ? "`" : ", `") + std::string(keys.substr(0, comma)) + "`";
    keys.remove_prefix(std::min(comma + 1, keys.size()));
  }
  return out;
}

std::string dcgm_name(const MetricInfo& metric) {
  return metric.dcgm.empty() ? std::string() : "`DCGM_FI_" + std::string(metric.dcgm) + "`";
}

}  // namespace

std::string vocabulary_markdown() {
  std::string out =
      "# Metrics\n\n"
      "<!-- Made by `accelmon metrics --format markdown` from src/model/metrics.def; change it there. -->\n\n"
      "Names are OpenTelemetry's where its conventions have the metric, and begin with `accelmon.` where they have "
      "none.\n"
      "The Prometheus name is the standard translation of it. Units are SI base units; a share is 0 to 1. What could "
      "not be\n"
      "read has no sample; `accelmon doctor` says why. Every series of a device also has `hw.id`, `hw.type`, `gpu` "
      "and\n"
      "`hw.vendor`. In Prometheus the dots of an attribute are underscores: `hw.id` is `hw_id`.\n\n"
      "Kinds: a *gauge* goes up and down; a *counter* only grows; an *up_down_counter* can be summed over devices; a "
      "*state* is\n"
      "0 or 1 for each value of its last attribute; an *info* is always 1 and says what it says in its attributes.\n";
  for (size_t g = 0; g < std::size(kGroups); ++g) {
    out += "\n## " + std::string(kGroups[g].title) + "\n\n" + std::string(kGroups[g].about) + "\n\n";
    out += "| name | in Prometheus | kind | unit | attributes | DCGM | meaning |\n|---|---|---|---|---|---|---|\n";
    for (const MetricInfo& metric : all_metrics()) {
      if (group_of(metric) != g) continue;
      out += "| `" + std::string(metric.name) + "` | `" + std::string(prometheus_name(metric.id)) + "` | " +
             std::string(to_string(metric.kind)) + " | `" + std::string(unit_text(metric.unit)) + "` | " +
             code_list(metric.attributes) + " | " + dcgm_name(metric) + " | " + cell(metric.brief) + " |\n";
    }
  }
  out += "\n## Attributes\n\n| attribute | label in Prometheus | what it says |\n|---|---|---|\n";
  for (const AttributeInfo& attribute : all_attributes())
    out += "| `" + std::string(attribute.key) + "` | `" + std::string(prometheus_label(attribute.id)) + "` | " +
           cell(attribute.brief) + " |\n";
  return out;
}

std::string vocabulary_json() {
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("metrics").begin_array();
  for (const MetricInfo& metric : all_metrics()) {
    json.begin_object().key("name").text(metric.name).key("prometheus").text(prometheus_name(metric.id));
    json.key("group").text(kGroups[group_of(metric)].title);
    json.key("kind").text(to_string(metric.kind)).key("unit").text(unit_text(metric.unit));
    json.key("attributes").begin_array();
    std::string_view keys = metric.attributes;
    while (!keys.empty()) {
      const size_t comma = std::min(keys.find(','), keys.size());
      json.text(keys.substr(0, comma));
      keys.remove_prefix(std::min(comma + 1, keys.size()));
    }
    json.end_array();
    // An infinite bound is none: null.
    json.key("minimum").number(metric.minimum).key("maximum").number(metric.maximum);
    json.key("dcgm");
    if (metric.dcgm.empty())
      json.null();
    else
      json.text("DCGM_FI_" + std::string(metric.dcgm));
    json.key("dcgm_scale");
    if (metric.dcgm.empty())
      json.null();
    else
      json.number(metric.dcgm_scale);
    json.key("torchserve");
    if (metric.torchserve.empty())
      json.null();
    else
      json.text(metric.torchserve);
    json.key("meaning").text(metric.brief).end_object();
  }
  json.end_array().key("attributes").begin_array();
  for (const AttributeInfo& attribute : all_attributes())
    json.begin_object()
        .key("name")
        .text(attribute.key)
        .key("prometheus")
        .text(prometheus_label(attribute.id))
        .key("meaning")
        .text(attribute.brief)
        .end_object();
  json.end_array().end_object();
  return out + "\n";
}

int run_metrics(const Arguments& arguments) {
  return print(arguments.value("--format", "markdown") == "json" ? vocabulary_json() : vocabulary_markdown());
}

}  // namespace accelmon
