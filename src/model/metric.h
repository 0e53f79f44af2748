// The metric table as code sees it: MetricId, AttributeId and constant descriptions of each.
//
// Everything here is constant data made from metrics.def and attributes.def at compile time; a row that breaks a rule
// (a unit that does not fit its kind, a name used twice, a counter with a bound below zero) does not compile, see the
// static_asserts in metric.cc. Threads: all of it is immutable. Cost of a look-up: an array access.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "model/units.h"

namespace accelmon {

enum class MetricId : uint16_t {
#define METRIC(id, ...) id,
#define EMA(...)
#define WINDOW(...)
#define RATE(...)
#define INTEGRAL(...)
#define LOCAL(...)
#include "model/metrics.def"
#undef METRIC
#undef EMA
#undef WINDOW
#undef RATE
#undef INTEGRAL
#undef LOCAL
};

enum class AttributeId : uint8_t {
#define ATTRIBUTE(id, ...) id,
#include "model/attributes.def"
#undef ATTRIBUTE
};

enum class Kind : uint8_t { gauge, counter, up_down_counter, state, info };
std::string_view to_string(Kind kind);

inline constexpr double kAny = std::numeric_limits<double>::infinity();

struct MetricInfo {
  MetricId id;
  std::string_view name;  // OpenTelemetry
  Kind kind;
  Unit unit;
  double minimum;
  double maximum;
  double rate;  // largest change per second
  double step;
  std::string_view attributes;  // comma-separated keys
  std::string_view dcgm;        // classic DCGM field without "DCGM_FI_"; may hold one '*'; empty: none
  double dcgm_scale;            // our unit times this is DCGM's
  std::string_view torchserve;  // of the gauge that TorchServe is told; may hold one '*'; empty: none
  std::string_view brief;
};

struct AttributeInfo {
  AttributeId id;
  std::string_view key;  // OpenTelemetry
  std::string_view brief;
};

std::span<const MetricInfo> all_metrics();
std::span<const AttributeInfo> all_attributes();
const MetricInfo& info(MetricId id);
const AttributeInfo& info(AttributeId id);
inline size_t index(MetricId id) {
  return static_cast<size_t>(id);
}

std::optional<MetricId> find_metric(std::string_view otel_name);
std::optional<AttributeId> find_attribute(std::string_view otel_key);

// The standard translation: dots to underscores, the unit's word, `_ratio` for gauges of unit 1, `_total` for counters,
// `_info` kept for infos. "hw.gpu.utilization" -> "hw_gpu_utilization_ratio". One exception: a name that would end in
// `_count`, which Prometheus reserves for histograms, gets what it counts as well ("system_process_count_processes").
// The text lives for ever.
std::string_view prometheus_name(MetricId id);
// "hw.id" -> "hw_id".
std::string_view prometheus_label(AttributeId id);

// Whether the metric stays off the page of metrics: see LOCAL in metrics.def.
bool is_local(MetricId id);

// ---- what the pipeline derives ----

enum Statistic : uint8_t { kMin = 1, kMean = 2, kMax = 4, kP95 = 8 };
std::string_view to_string(Statistic one);

struct Derivation {
  MetricId of;
  MetricId into;
  uint8_t statistics;  // WINDOW only
};

std::span<const Derivation> ema_derivations();
std::span<const Derivation> window_derivations();
std::span<const Derivation> rate_derivations();
std::span<const Derivation> integral_derivations();

}  // namespace accelmon
