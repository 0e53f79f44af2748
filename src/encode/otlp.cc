#include "encode/otlp.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "encode/json.h"
#include "encode/protobuf.h"
#include "encode/series_book.h"

namespace accelmon {
namespace {

using protobuf::tag;

constexpr std::string_view kScope = "accelmon";
constexpr uint64_t kDelta = 1, kCumulative = 2;  // AggregationTemporality
constexpr size_t kMaxJsonPoint = 160;            // of a point without its attributes

// process.pid is a number in the conventions, everything else that we have is text.
bool is_integer(AttributeId id, std::string_view value) {
  if (id != AttributeId::process_pid) return false;
  const std::optional<int64_t> number = parse_i64(value);
  return number && *number >= 0 && std::to_string(*number) == value;
}

// KeyValue{key 1, value 2 {string_value 1 | int_value 3}}.
void append_attribute(std::string& out, uint32_t field, std::string_view key, std::string_view value, bool integer) {
  std::string any;
  if (integer) {
    any += tag(3, protobuf::kVarint);
    protobuf::append_varint(any, static_cast<uint64_t>(*parse_i64(value)));
  } else {
    protobuf::append_field(any, 1, value);  // of a oneof: an empty text is one too
  }
  std::string both;
  protobuf::append_text(both, 1, key);
  protobuf::append_field(both, 2, any);
  protobuf::append_field(out, field, both);
}

void write_attribute(JsonWriter& json, std::string_view key, std::string_view value, bool integer) {
  json.begin_object().key("key").text(key).key("value").begin_object();
  json.key(integer ? "intValue" : "stringValue").text(value).end_object().end_object();
}

char* put_text(char* out, std::string_view text) {
  return protobuf::put_bytes(out, text);
}

char* put_time(char* out, Nanos time) {  // a 64-bit number is a text in JSON
  *out++ = '"';
  char digits[20];
  char* digit = digits + sizeof(digits);
  auto rest = static_cast<uint64_t>(time);
  do {
    *--digit = static_cast<char>('0' + rest % 10);
    rest /= 10;
  } while (rest != 0);
  out = put_text(out, std::string_view(digit, static_cast<size_t>(digits + sizeof(digits) - digit)));
  *out++ = '"';
  return out;
}

}  // namespace

std::string_view content_type(OtlpForm form) {
  return form == OtlpForm::json ? "application/json" : "application/x-protobuf";
}

struct OtlpEncoder::State {
  struct Point {
    std::string_view attributes;  // ready
    Nanos time = 0, start = 0;
    double value = 0;
    bool ended = false;
  };
  struct Metric {
    std::string head, tail;  // around the points
    bool sum = false, delta = false;
  };

  explicit State(OtlpOptions chosen)
      : options(std::move(chosen)),
        book([this](SeriesBook::Plan& plan, SeriesBook::Entry& entry,
                    const LabelSet& labels) { prepare(plan, entry, labels); },
             1) {
    prepare_envelope();
    for (const MetricInfo& metric : all_metrics()) prepare_metric(metric);
  }

  void prepare(SeriesBook::Plan& plan, SeriesBook::Entry& entry, const LabelSet& labels) const;
  void prepare_envelope();
  void prepare_metric(const MetricInfo& metric);
  void collect(const MetricInfo& metric);
  void write_protobuf(const Metric& metric);
  void write_json(const Metric& metric);
  std::string_view finish();

  OtlpOptions options;
  std::string front, scope, back;  // JSON: what stands before and behind the metrics; protobuf: see finish()
  std::vector<Metric> metrics;     // by MetricId
  SeriesBook book;
  std::vector<Point> points;  // of the metric at hand
  protobuf::Buffer out;
  size_t room_in_front = 0;  // protobuf: for what is written last
  size_t point_count = 0, all_points = 0;
};

void OtlpEncoder::State::prepare(SeriesBook::Plan& plan, SeriesBook::Entry& entry, const LabelSet& labels) const {
  entry.at = static_cast<uint32_t>(plan.bytes.size());
  if (options.form == OtlpForm::json) {
    JsonWriter json(plan.bytes);
    plan.bytes += "{\"attributes\":";
    json.begin_array();
    for (const Label& label : labels.labels())
      write_attribute(json, info(label.id).key, label.value, is_integer(label.id, label.value));
    json.end_array();
  } else {
    for (const Label& label : labels.labels())
      append_attribute(plan.bytes, 7, info(label.id).key, label.value, is_integer(label.id, label.value));
  }
  entry.size = static_cast<uint32_t>(plan.bytes.size()) - entry.at;
}

void OtlpEncoder::State::prepare_envelope() {
  if (options.form == OtlpForm::json) {
    JsonWriter json(front);
    json.begin_object().key("resourceMetrics").begin_array().begin_object();
    json.key("resource").begin_object().key("attributes").begin_array();
    for (const auto& [key, value] : options.resource)
      if (const std::string clean = label_value(value); !clean.empty()) write_attribute(json, key, clean, false);
    json.end_array().end_object();
    json.key("scopeMetrics").begin_array().begin_object();
    json.key("scope").begin_object().key("name").text(kScope).key("version").text(options.version).end_object();
    json.key("metrics").begin_array();
    back = "]";
    if (!options.schema_url.empty()) {
      back += ",\"schemaUrl\":";
      JsonWriter(back).text(options.schema_url);
    }
    back += "}]}]}";
    return;
  }
  std::string resource;
  for (const auto& [key, value] : options.resource)
    if (const std::string clean = label_value(value); !clean.empty())
      append_attribute(resource, 1, label_value(key), clean, false);
  protobuf::append_field(front, 1, resource);
  std::string name;
  protobuf::append_text(name, 1, kScope);
  protobuf::append_text(name, 2, label_value(options.version));
  protobuf::append_field(scope, 1, name);
  protobuf::append_text(back, 3, label_value(options.schema_url));
  room_in_front = front.size() + scope.size() + 2 * (1 + protobuf::kMaxVarint);
}

void OtlpEncoder::State::prepare_metric(const MetricInfo& metric) {
  Metric& made = metrics.emplace_back();
  made.sum = metric.kind != Kind::gauge;
  made.delta = metric.kind == Kind::counter && options.temporality == OtlpTemporality::delta;
  const uint64_t temporality = made.delta ? kDelta : kCumulative;
  const std::string_view brief = options.descriptions ? metric.brief : std::string_view();
  if (options.form == OtlpForm::json) {
    JsonWriter json(made.head);
    json.begin_object().key("name").text(metric.name);
    if (!brief.empty()) json.key("description").text(brief);
    json.key("unit").text(unit_text(metric.unit)).key(made.sum ? "sum" : "gauge").begin_object();
    json.key("dataPoints").begin_array();
    made.tail = "]";
    if (made.sum) {
      made.tail += ",\"aggregationTemporality\":";
      append_number(made.tail, temporality);
      if (metric.kind == Kind::counter) made.tail += ",\"isMonotonic\":true";
    }
    made.tail += "}}";
    return;
  }
  protobuf::append_text(made.head, 1, metric.name);
  protobuf::append_text(made.head, 2, brief);
  protobuf::append_text(made.head, 3, unit_text(metric.unit));
  if (!made.sum) return;
  protobuf::append_number(made.tail, 2, temporality);
  protobuf::append_number(made.tail, 3, metric.kind == Kind::counter);
}

// The points of one metric in this batch, in `points`.
void OtlpEncoder::State::collect(const MetricInfo& metric) {
  points.clear();
  const Metric& form = metrics[index(metric.id)];
  for (const SeriesBook::Group& group : book.groups(metric.id)) {
    for (const SeriesBook::Entry& entry : group.entries) {
      SeriesBook::Memory& memory = book.memory(entry);
      const std::string_view attributes = group.plan->text(entry);
      for (const Frame* frame : group.frames) {
        const SeriesBook::Seen seen = book.look(group, entry, *frame, memory);
        if (seen == SeriesBook::Seen::nothing) continue;
        if (seen == SeriesBook::Seen::gap) {
          if (options.ends && !form.delta)
            points.push_back({attributes, frame->wall, form.sum ? memory.start : 0, 0, true});
          continue;
        }
        const double value = frame->values[entry.series];
        if (!form.sum) {
          points.push_back({attributes, frame->wall, 0, value});
        } else if (metric.kind != Kind::counter) {
          if (!memory.counted) memory.start = frame->wall;
          memory.counted = true;
          points.push_back({attributes, frame->wall, memory.start, metric.kind == Kind::info ? 1 : value});
        } else {
          const SeriesBook::Growth growth = SeriesBook::count(memory, value, frame->wall);
          if (!form.delta)
            points.push_back({attributes, frame->wall, memory.start, value});
          else if (!growth.first && !growth.fell)
            points.push_back({attributes, frame->wall, growth.since, growth.by});
        }
      }
    }
  }
  for (const SeriesBook::Ended& ended : book.ended(metric.id))
    if (options.ends && !form.delta)
      points.push_back(
          {ended.plan->text(*ended.entry), ended.time, form.sum ? book.memory(*ended.entry).start : 0, 0, true});
}

// Metric{name, description, unit, gauge 5 | sum 7 {data_points 1 ..}} as field 2 of its scope.
void OtlpEncoder::State::write_protobuf(const Metric& metric) {
  // NumberDataPoint{start 2, time 3, as_double 4, attributes 7, flags 8}
  const auto size_of = [](const Point& point) {
    return (point.start != 0 ? 9u : 0u) + (point.time != 0 ? 9u : 0u) + (point.ended ? 2u : 9u) +
           point.attributes.size();
  };
  size_t data = metric.tail.size();
  for (const Point& point : points) data += protobuf::field_size(size_of(point));
  const size_t whole = metric.head.size() + protobuf::field_size(data);
  char* at = out.room(protobuf::field_size(whole));
  *at++ = tag(2, protobuf::kBytes);
  at = protobuf::put_varint(at, whole);
  at = put_text(at, metric.head);
  *at++ = tag(metric.sum ? 7 : 5, protobuf::kBytes);
  at = protobuf::put_varint(at, data);
  for (const Point& point : points) {
    *at++ = tag(1, protobuf::kBytes);
    at = protobuf::put_varint(at, size_of(point));
    if (point.start != 0) at = protobuf::put_fixed64(at, 2, point.start);
    if (point.time != 0) at = protobuf::put_fixed64(at, 3, point.time);
    if (!point.ended) at = protobuf::put_fixed64(at, 4, point.value);
    at = put_text(at, point.attributes);
    if (point.ended) {
      *at++ = tag(8, protobuf::kVarint);
      *at++ = 1;
    }
  }
  out.wrote(put_text(at, metric.tail));
}

void OtlpEncoder::State::write_json(const Metric& metric) {
  if (point_count != 0) out.append(",");
  out.append(metric.head);
  for (const Point& point : points) {
    char* at = out.room(point.attributes.size() + kMaxJsonPoint);
    if (&point != points.data()) *at++ = ',';
    at = put_text(at, point.attributes);
    if (point.start != 0) at = put_time(put_text(at, ",\"startTimeUnixNano\":"), point.start);
    at = put_time(put_text(at, ",\"timeUnixNano\":"), point.time);
    if (point.ended) {
      at = put_text(at, ",\"flags\":1");
    } else {
      at = put_text(at, ",\"asDouble\":");
      if (std::isinf(point.value))
        at = put_text(at, point.value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
      else
        at = write_number(at, point.value);
    }
    *at++ = '}';
    out.wrote(at);
  }
  out.append(metric.tail);
}

// The request's beginning holds the lengths of all that follows, so it is written last, into the room before.
std::string_view OtlpEncoder::State::finish() {
  if (options.form == OtlpForm::json) {
    out.append(back);
    return out.view();
  }
  out.append(back);
  const size_t scope_size = scope.size() + out.size() - room_in_front;
  const size_t resource_size = front.size() + protobuf::field_size(scope_size);
  const size_t head =
      1 + protobuf::varint_size(resource_size) + front.size() + 1 + protobuf::varint_size(scope_size) + scope.size();
  char* const begin = out.data() + room_in_front - head;
  char* at = begin;
  *at++ = tag(1, protobuf::kBytes);
  at = protobuf::put_varint(at, resource_size);
  at = put_text(at, front);
  *at++ = tag(2, protobuf::kBytes);
  at = protobuf::put_varint(at, scope_size);
  put_text(at, scope);
  return {begin, out.size() - room_in_front + head};
}

OtlpEncoder::OtlpEncoder(OtlpOptions options) : state_(std::make_unique<State>(std::move(options))) {}
OtlpEncoder::~OtlpEncoder() = default;
OtlpEncoder::OtlpEncoder(OtlpEncoder&&) noexcept = default;
OtlpEncoder& OtlpEncoder::operator=(OtlpEncoder&&) noexcept = default;

std::string_view OtlpEncoder::encode(std::span<const FrameRun> batch, size_t skip, size_t most) {
  State& state = *state_;
  state.book.begin(batch);
  state.out.clear();
  state.point_count = state.all_points = 0;
  if (state.options.form == OtlpForm::json)
    state.out.append(state.front);
  else
    state.out.wrote(state.out.room(state.room_in_front) + state.room_in_front);
  for (const MetricInfo& metric : all_metrics()) {
    state.collect(metric);
    const size_t before = state.all_points, size = state.points.size();
    state.all_points += size;
    if (before < skip || state.all_points - skip > most) {
      const size_t first = std::min(size, skip - std::min(skip, before));
      const size_t done = before + first - skip;  // below zero: nothing is left
      const size_t left = before + first < skip || done >= most ? 0 : std::min(size - first, most - done);
      std::copy_n(state.points.begin() + static_cast<std::ptrdiff_t>(first), left, state.points.begin());
      state.points.resize(left);
    }
    if (state.points.empty()) continue;
    const State::Metric& form = state.metrics[index(metric.id)];
    if (state.options.form == OtlpForm::json)
      state.write_json(form);
    else
      state.write_protobuf(form);
    state.point_count += state.points.size();
  }
  return state.point_count == 0 ? std::string_view() : state.finish();
}

void OtlpEncoder::commit() {
  state_->book.commit();
}
size_t OtlpEncoder::points() const {
  return state_->point_count;
}
size_t OtlpEncoder::all_points() const {
  return state_->all_points;
}
uint64_t OtlpEncoder::late() const {
  return state_->book.late();
}
size_t OtlpEncoder::series() const {
  return state_->book.series();
}

}  // namespace accelmon
