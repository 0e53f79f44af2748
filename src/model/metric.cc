#include "model/metric.h"

#include <array>

namespace accelmon {
namespace {

// ---- the tables ----

constexpr MetricInfo kMetrics[] = {
#define METRIC(id, name, kind, unit, minimum, maximum, rate, step, attributes, dcgm, scale, torchserve, brief) \
  {MetricId::id, name,       Kind::kind, Unit::unit, minimum,    maximum, rate,                                \
   step,         attributes, dcgm,       scale,      torchserve, brief},
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

constexpr AttributeInfo kAttributes[] = {
#define ATTRIBUTE(id, key, brief) {AttributeId::id, key, brief},
#include "model/attributes.def"
#undef ATTRIBUTE
};

#define METRIC(...)
#define NOTHING(...)

#define EMA(of, into) {MetricId::of, MetricId::into, 0},
#define WINDOW NOTHING
#define RATE NOTHING
#define INTEGRAL NOTHING
#define LOCAL NOTHING
constexpr Derivation kEma[] = {
#include "model/metrics.def"
};
#undef EMA
#undef WINDOW

#define EMA NOTHING
#define WINDOW(of, into, statistics) {MetricId::of, MetricId::into, statistics},
constexpr Derivation kWindow[] = {
#include "model/metrics.def"
};
#undef WINDOW
#undef RATE

#define WINDOW NOTHING
#define RATE(of, into) {MetricId::of, MetricId::into, 0},
constexpr Derivation kRate[] = {
#include "model/metrics.def"
};
#undef RATE
#undef INTEGRAL

#define RATE NOTHING
#define INTEGRAL(of, into) {MetricId::of, MetricId::into, 0},
constexpr Derivation kIntegral[] = {
#include "model/metrics.def"
};
#undef INTEGRAL
#undef LOCAL

#define INTEGRAL NOTHING
#define LOCAL(id) MetricId::id,
constexpr MetricId kLocal[] = {
#include "model/metrics.def"
};
#undef EMA
#undef WINDOW
#undef RATE
#undef INTEGRAL
#undef LOCAL
#undef METRIC
#undef NOTHING

// ---- Prometheus names, made at compile time ----

struct Name {
  char text[96] = {};
  size_t size = 0;
  constexpr void add(std::string_view more) {
    for (char c : more) text[size++] = c;
  }
  constexpr std::string_view view() const { return {text, size}; }
};

constexpr bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

constexpr Name dots_to_underscores(std::string_view name) {
  Name out;
  for (char c : name) out.text[out.size++] = c == '.' ? '_' : c;
  return out;
}

constexpr Name translate(const MetricInfo& metric) {
  Name out = dots_to_underscores(metric.name);
  std::string_view suffix = prometheus_unit(metric.unit);
  if (metric.kind == Kind::gauge && metric.unit == Unit::one) suffix = "ratio";
  if (!suffix.empty() && !ends_with(out.view(), suffix)) {
    out.add("_");
    out.add(suffix);
  }
  if (metric.kind == Kind::counter) out.add("_total");
  if (metric.kind != Kind::counter && ends_with(out.view(), "_count")) {
    // Reserved for histograms: say what is counted, in the plural.
    const std::string_view unit = unit_text(metric.unit);
    out.add("_");
    out.add(unit.substr(1, unit.size() - 2));
    out.add(ends_with(out.view(), "s") ? "es" : "s");
  }
  return out;
}

constexpr size_t kMetricCount = std::size(kMetrics);
constexpr size_t kAttributeCount = std::size(kAttributes);

constexpr auto kPrometheusNames = [] {
  std::array<Name, kMetricCount> names{};
  for (size_t i = 0; i < kMetricCount; ++i) names[i] = translate(kMetrics[i]);
  return names;
}();

constexpr auto kPrometheusLabels = [] {
  std::array<Name, kAttributeCount> names{};
  for (size_t i = 0; i < kAttributeCount; ++i) names[i] = dots_to_underscores(kAttributes[i].key);
  return names;
}();

// ---- the rules of the table ----

constexpr bool lower(char c) {
  return c >= 'a' && c <= 'z';
}
constexpr bool digit(char c) {
  return c >= '0' && c <= '9';
}

constexpr bool well_formed(std::string_view name) {
  if (name.empty() || !lower(name[0])) return false;
  char last = '.';
  for (char c : name) {
    if (!lower(c) && !digit(c) && c != '.' && c != '_') return false;
    if ((c == '.' || c == '_') && (last == '.' || last == '_')) return false;
    last = c;
  }
  return last != '.' && last != '_';
}

constexpr bool all_of_table(bool (*rule)(const MetricInfo&)) {
  for (const MetricInfo& metric : kMetrics)
    if (!rule(metric)) return false;
  return true;
}

constexpr bool known_attribute(std::string_view key) {
  for (const AttributeInfo& attribute : kAttributes)
    if (attribute.key == key) return true;
  return false;
}

constexpr bool attributes_known(const MetricInfo& metric) {
  std::string_view rest = metric.attributes;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    if (!known_attribute(rest.substr(0, comma))) return false;
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
  }
  return true;
}

constexpr bool names_unique() {
  for (size_t i = 0; i < kMetricCount; ++i)
    for (size_t j = i + 1; j < kMetricCount; ++j)
      if (kMetrics[i].name == kMetrics[j].name || kPrometheusNames[i].view() == kPrometheusNames[j].view())
        return false;
  for (size_t i = 0; i < kAttributeCount; ++i)
    for (size_t j = i + 1; j < kAttributeCount; ++j)
      if (kPrometheusLabels[i].view() == kPrometheusLabels[j].view()) return false;
  return true;
}

constexpr bool braced(Unit unit) {
  return unit_text(unit).front() == '{';
}

// A derived metric keeps what is measured: the same unit, except that a rate divides and an integral multiplies by
// time.
constexpr Unit rate_unit(Unit unit) {
  return unit == Unit::seconds ? Unit::one : unit == Unit::bytes ? Unit::bytes_per_second : Unit::one;
}
constexpr Unit integral_unit(Unit unit) {
  return unit == Unit::watts ? Unit::joules : Unit::seconds;
}

constexpr const MetricInfo& row(MetricId id) {
  return kMetrics[static_cast<size_t>(id)];
}

constexpr bool derivations_sound() {
  for (const Derivation& d : kEma)
    if (row(d.of).unit != row(d.into).unit || row(d.into).kind != Kind::gauge) return false;
  for (const Derivation& d : kWindow)
    if (row(d.of).unit != row(d.into).unit || row(d.into).kind != Kind::gauge || d.statistics == 0) return false;
  for (const Derivation& d : kRate)
    if (row(d.of).kind != Kind::counter || row(d.into).kind != Kind::gauge ||
        row(d.into).unit != rate_unit(row(d.of).unit))
      return false;
  for (const Derivation& d : kIntegral)
    if (row(d.into).kind != Kind::counter || row(d.into).unit != integral_unit(row(d.of).unit)) return false;
  return true;
}

static_assert(all_of_table([](const MetricInfo& m) { return well_formed(m.name); }),
              "a metric's name is lower-case words with dots or underscores between them");
static_assert(all_of_table([](const MetricInfo& m) {
                return m.name.substr(0, 3) == "hw." || m.name.substr(0, 7) == "system." ||
                       m.name.substr(0, 8) == "process." || m.name.substr(0, 9) == "accelmon.";
              }),
              "a name outside OpenTelemetry's conventions begins with accelmon.");
static_assert(all_of_table([](const MetricInfo& m) {
                return !(m.kind == Kind::gauge && m.unit == Unit::one) || (m.minimum >= 0 && m.maximum <= 2);
              }),
              "a gauge of unit 1 is a share and gets the suffix _ratio; a pure number has a braced unit");
static_assert(all_of_table([](const MetricInfo& m) {
                return (m.kind != Kind::state && m.kind != Kind::info) || m.unit == Unit::one;
              }),
              "states and infos have the unit 1");
static_assert(all_of_table([](const MetricInfo& m) {
                return m.kind != Kind::state || (m.minimum == 0 && m.maximum == 1 && !m.attributes.empty());
              }),
              "a state is 0 or 1 and says of what in an attribute");
static_assert(all_of_table([](const MetricInfo& m) { return m.kind != Kind::info || ends_with(m.name, ".info"); }),
              "an info metric's name ends in .info");
static_assert(all_of_table([](const MetricInfo& m) {
                return m.kind != Kind::counter ||
                       (m.minimum == 0 &&
                        (braced(m.unit) || m.unit == Unit::bytes || m.unit == Unit::seconds || m.unit == Unit::joules));
              }),
              "a counter counts things, bytes, seconds or joules, from zero");
static_assert(all_of_table([](const MetricInfo& m) { return m.minimum <= m.maximum && m.rate > 0 && m.step > 0; }),
              "bounds are in order, rate and step are positive");
static_assert(all_of_table([](const MetricInfo& m) {
                return !ends_with(m.name, ".total") && !ends_with(m.name, "_total") && !ends_with(m.name, ".ratio");
              }),
              "suffixes come from kind and unit, never from the name");
static_assert(all_of_table(attributes_known), "an attribute that attributes.def does not list");
static_assert(all_of_table([](const MetricInfo& m) { return m.brief.size() > 10 && m.brief.back() != '.'; }),
              "every metric says what it means, without a full stop");
static_assert(names_unique(), "two rows have the same name, or get the same one in Prometheus");
static_assert(derivations_sound(), "a derivation whose units or kinds do not fit");

}  // namespace

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::gauge:
      return "gauge";
    case Kind::counter:
      return "counter";
    case Kind::up_down_counter:
      return "up_down_counter";
    case Kind::state:
      return "state";
    case Kind::info:
      return "info";
  }
  return "";
}

std::string_view to_string(Statistic one) {
  switch (one) {
    case kMin:
      return "min";
    case kMean:
      return "mean";
    case kMax:
      return "max";
    case kP95:
      return "p95";
  }
  return "";
}

std::span<const MetricInfo> all_metrics() {
  return kMetrics;
}
std::span<const AttributeInfo> all_attributes() {
  return kAttributes;
}
const MetricInfo& info(MetricId id) {
  return kMetrics[static_cast<size_t>(id)];
}
const AttributeInfo& info(AttributeId id) {
  return kAttributes[static_cast<size_t>(id)];
}

std::optional<MetricId> find_metric(std::string_view otel_name) {
  for (const MetricInfo& metric : kMetrics)
    if (metric.name == otel_name) return metric.id;
  return std::nullopt;
}

std::optional<AttributeId> find_attribute(std::string_view otel_key) {
  for (const AttributeInfo& attribute : kAttributes)
    if (attribute.key == otel_key) return attribute.id;
  return std::nullopt;
}

std::string_view prometheus_name(MetricId id) {
  return kPrometheusNames[static_cast<size_t>(id)].view();
}
std::string_view prometheus_label(AttributeId id) {
  return kPrometheusLabels[static_cast<size_t>(id)].view();
}

bool is_local(MetricId id) {
  for (MetricId local : kLocal)
    if (local == id) return true;
  return false;
}

std::span<const Derivation> ema_derivations() {
  return kEma;
}
std::span<const Derivation> window_derivations() {
  return kWindow;
}
std::span<const Derivation> rate_derivations() {
  return kRate;
}
std::span<const Derivation> integral_derivations() {
  return kIntegral;
}

}  // namespace accelmon
