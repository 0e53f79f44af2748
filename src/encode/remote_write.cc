#include "encode/remote_write.h"

#include <algorithm>
#include <unordered_map>

#include "base/text.h"
#include "encode/protobuf.h"
#include "encode/series_book.h"
#include "encode/snappy.h"
#include "encode/symbols.h"

namespace accelmon {
namespace {

using protobuf::tag;

constexpr size_t kMaxSample = 2 + 9 + 2 * (1 + protobuf::kMaxVarint);
constexpr size_t kMaxSymbolRef = 5;

// MetricMetadata.MetricType, the same numbers in both versions.
uint64_t metadata_type(Kind kind) {
  constexpr uint64_t kCounter = 1, kGauge = 2, kInfo = 6;
  return kind == Kind::counter ? kCounter : kind == Kind::info ? kInfo : kGauge;
}

}  // namespace

std::string_view content_type(RemoteWriteVersion version) {
  return version == RemoteWriteVersion::v1 ? "application/x-protobuf"
                                           : "application/x-protobuf;proto=io.prometheus.write.v2.Request";
}

std::string_view protocol_version(RemoteWriteVersion version) {
  return version == RemoteWriteVersion::v1 ? "0.1.0" : "2.0.0";
}

struct RemoteWriteEncoder::State {
  struct Sample {
    uint64_t bits;  // of the value: a stale marker is a NaN that no arithmetic may touch
    int64_t time;   // ms
    int64_t start;  // ms; 0: unknown
  };
  struct Request {
    size_t begin = 0, end = 0;                  // its series in `series_bytes`
    size_t symbols_begin = 0, symbols_end = 0;  // 2.0: its table in `symbol_bytes`
    size_t samples = 0;
  };

  explicit State(RemoteWriteOptions chosen)
      : options(std::move(chosen)),
        book([this](SeriesBook::Plan& plan, SeriesBook::Entry& entry,
                    const LabelSet& labels) { prepare(plan, entry, labels); },
             kMillisecond) {
    options.max_samples = std::max<size_t>(options.max_samples, 1);
  }

  bool v2() const { return options.version == RemoteWriteVersion::v2; }
  void prepare(SeriesBook::Plan& plan, SeriesBook::Entry& entry, const LabelSet& labels);
  void collect(const SeriesBook::Group& group, const SeriesBook::Entry& entry);
  void write(const SeriesBook::Plan& plan, const SeriesBook::Entry& entry);
  size_t series_bound(const SeriesBook::Plan& plan, const SeriesBook::Entry& entry) const;
  void write_series(const SeriesBook::Plan& plan, const SeriesBook::Entry& entry, std::span<const Sample> some);
  void number_symbols(const SeriesBook::Plan& plan, const SeriesBook::Entry& entry);
  size_t request_bytes() const;
  void end_request();
  void write_metadata();

  RemoteWriteOptions options;
  SeriesBook book;
  std::unordered_map<std::string, uint32_t> plan_symbols;  // of the plan that is being built
  std::vector<Sample> samples;                             // of the series at hand
  protobuf::Buffer series_bytes, symbol_bytes;
  std::vector<Request> requests;
  Request open;
  SymbolTable symbols;
  uint64_t symbols_of = 0;     // counts requests: which one a plan's numbers belong to
  std::vector<uint32_t> refs;  // of the series at hand
  std::vector<bool> present;   // metrics with samples in this batch
  Nanos metadata_kept = 0, metadata_now = 0;
  size_t next = 0, sample_count = 0;
  size_t skip = 0;    // samples that are still to be left out
  std::string whole;  // 2.0: table and series side by side
};

// 1.0: the bytes of the labels. 2.0: numbers of texts of the plan, in `words`: of the labels, the help and the unit.
void RemoteWriteEncoder::State::prepare(SeriesBook::Plan& plan, SeriesBook::Entry& entry, const LabelSet& labels) {
  const auto sorted = sorted_labels(entry.metric, labels, options.labels);
  if (!v2()) {
    entry.at = static_cast<uint32_t>(plan.bytes.size());
    std::string label;
    for (const auto& [name, value] : sorted) {
      label.clear();
      protobuf::append_text(label, 1, name);
      protobuf::append_text(label, 2, value);
      protobuf::append_field(plan.bytes, 1, label);
    }
    entry.size = static_cast<uint32_t>(plan.bytes.size()) - entry.at;
    return;
  }
  if (plan.symbols.empty()) plan_symbols.clear();
  const auto word = [&](std::string_view text) {
    const auto [place, fresh] = plan_symbols.try_emplace(std::string(text), static_cast<uint32_t>(plan.symbols.size()));
    if (fresh) {
      plan.symbols.emplace_back(text);
      plan.refs.push_back(0);
    }
    plan.words.push_back(place->second);
  };
  entry.at = static_cast<uint32_t>(plan.words.size());
  for (const auto& [name, value] : sorted) {
    word(name);
    word(value);
  }
  word(info(entry.metric).brief);
  word(stated_unit(info(entry.metric)));
  entry.size = static_cast<uint32_t>(plan.words.size()) - entry.at;
}

void RemoteWriteEncoder::State::collect(const SeriesBook::Group& group, const SeriesBook::Entry& entry) {
  samples.clear();
  SeriesBook::Memory& memory = book.memory(entry);
  const Kind kind = info(entry.metric).kind;
  for (const Frame* frame : group.frames) {
    const SeriesBook::Seen seen = book.look(group, entry, *frame, memory);
    if (seen == SeriesBook::Seen::nothing) continue;
    const int64_t time = frame->wall / kMillisecond;
    if (seen == SeriesBook::Seen::gap) {
      if (options.stale_markers) samples.push_back({kStaleMarkerBits, time, 0});
      continue;
    }
    const double value = kind == Kind::info ? 1 : frame->values[entry.series];
    int64_t start = 0;
    if (kind == Kind::counter) {
      SeriesBook::count(memory, value, frame->wall);
      // Behind the sample before, or a receiver would put the start's zero where that one stands.
      if (v2() && memory.fell) start = memory.start / kMillisecond + 1;
      if (start >= time) start = 0;
    }
    samples.push_back({std::bit_cast<uint64_t>(value), time, start});
  }
}

size_t RemoteWriteEncoder::State::request_bytes() const {
  return series_bytes.size() - open.begin + (v2() ? symbols.bytes() + symbols.texts().size() * 3 : 0);
}

// No more than this is added to a request by the series, without samples.
size_t RemoteWriteEncoder::State::series_bound(const SeriesBook::Plan& plan, const SeriesBook::Entry& entry) const {
  if (!v2()) return entry.size + 1 + protobuf::kMaxVarint;
  size_t bound = 4 * (1 + protobuf::kMaxVarint);
  for (uint32_t i = 0; i < entry.size; ++i) bound += plan.symbols[plan.words[entry.at + i]].size() + 3 + kMaxSymbolRef;
  return bound;
}

void RemoteWriteEncoder::State::write(const SeriesBook::Plan& plan, const SeriesBook::Entry& entry) {
  std::span<const Sample> rest = samples;
  if (!rest.empty()) present[index(entry.metric)] = true;
  const size_t had = std::min(skip, rest.size());
  rest = rest.subspan(had);
  skip -= had;
  while (!rest.empty()) {
    size_t room = options.max_samples - open.samples;
    const size_t bytes = request_bytes() + kMaxSample;
    // Near the bound alone: what the series adds at most is not cheap to tell.
    if (bytes + rest.size() * kMaxSample + entry.size * (kMaxLabelBytes + 8) > options.max_bytes) {
      const size_t used = bytes + series_bound(plan, entry);
      room = used > options.max_bytes ? 0 : std::min(room, 1 + (options.max_bytes - used) / kMaxSample);
    }
    if (room == 0) {
      if (open.samples != 0) {
        end_request();
        continue;
      }
      room = 1;  // it is larger than a request may be, and there is no smaller piece
    }
    size_t count = std::min(room, rest.size());
    // Behind a clock that was set back the series stands once more: within one its samples ascend.
    const auto back = std::adjacent_find(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(count),
                                         [](const Sample& a, const Sample& b) { return b.time <= a.time; });
    if (back != rest.begin() + static_cast<std::ptrdiff_t>(count)) count = static_cast<size_t>(back - rest.begin()) + 1;
    write_series(plan, entry, rest.first(count));
    open.samples += count;
    rest = rest.subspan(count);
  }
}

// Fills `refs`: the series' texts by their numbers in this request.
void RemoteWriteEncoder::State::number_symbols(const SeriesBook::Plan& plan, const SeriesBook::Entry& entry) {
  constexpr uint32_t kNone = 0xffffffff;
  if (plan.refs_of != symbols_of) {
    std::fill(plan.refs.begin(), plan.refs.end(), kNone);
    plan.refs_of = symbols_of;
  }
  refs.clear();
  for (uint32_t i = 0; i < entry.size; ++i) {
    const uint32_t word = plan.words[entry.at + i];
    if (plan.refs[word] == kNone) plan.refs[word] = symbols.number(plan.symbols[word]);
    refs.push_back(plan.refs[word]);
  }
}

// 1.0: TimeSeries{labels 1, samples 2} in field 1. 2.0: {labels_refs 1, samples 2, metadata 5} in field 5.
void RemoteWriteEncoder::State::write_series(const SeriesBook::Plan& plan, const SeriesBook::Entry& entry,
                                             std::span<const Sample> some) {
  const auto number_size = [](uint64_t value) { return value == 0 ? 0 : 1 + protobuf::varint_size(value); };
  const auto sample_size = [&](const Sample& sample) {
    return (sample.bits != 0 ? 9 : 0) + number_size(static_cast<uint64_t>(sample.time)) +
           number_size(static_cast<uint64_t>(sample.start));
  };
  const auto put_number = [](char* at, uint32_t field, uint64_t value) {
    if (value == 0) return at;
    *at++ = tag(field, protobuf::kVarint);
    return protobuf::put_varint(at, value);
  };
  size_t labels = entry.size, help = 0, unit = 0, metadata = 0;
  const uint64_t type = metadata_type(info(entry.metric).kind);
  if (v2()) {
    number_symbols(plan, entry);
    labels = 0;
    for (size_t i = 0; i + 2 < refs.size(); ++i) labels += protobuf::varint_size(refs[i]);
    help = refs[refs.size() - 2];
    unit = refs[refs.size() - 1];
    metadata = number_size(type) + number_size(help) + number_size(unit);
  }
  size_t size = v2() ? protobuf::field_size(labels) + protobuf::field_size(metadata) : labels;
  for (const Sample& sample : some) size += protobuf::field_size(sample_size(sample));
  char* at = series_bytes.room(protobuf::field_size(size));
  *at++ = tag(v2() ? 5 : 1, protobuf::kBytes);
  at = protobuf::put_varint(at, size);
  if (v2()) {
    *at++ = tag(1, protobuf::kBytes);
    at = protobuf::put_varint(at, labels);
    for (size_t i = 0; i + 2 < refs.size(); ++i) at = protobuf::put_varint(at, refs[i]);
  } else {
    at = protobuf::put_bytes(at, plan.text(entry));
  }
  for (const Sample& sample : some) {
    *at++ = tag(2, protobuf::kBytes);
    at = protobuf::put_varint(at, sample_size(sample));
    if (sample.bits != 0) at = protobuf::put_fixed64(at, 1, sample.bits);
    at = put_number(at, 2, static_cast<uint64_t>(sample.time));
    at = put_number(at, 3, static_cast<uint64_t>(sample.start));
  }
  if (v2()) {
    *at++ = tag(5, protobuf::kBytes);
    at = protobuf::put_varint(at, metadata);
    at = put_number(at, 1, type);
    at = put_number(at, 3, help);
    at = put_number(at, 4, unit);
  }
  series_bytes.wrote(at);
}

void RemoteWriteEncoder::State::end_request() {
  open.end = series_bytes.size();
  if (open.end > open.begin) {
    if (v2()) {
      open.symbols_begin = symbol_bytes.size();
      for (const std::string_view text : symbols.texts())
        symbol_bytes.wrote(protobuf::put_field(symbol_bytes.room(protobuf::field_size(text.size())), 4, text));
      open.symbols_end = symbol_bytes.size();
    }
    requests.push_back(open);
    sample_count += open.samples;
  }
  open = Request();
  open.begin = series_bytes.size();
  ++symbols_of;
  symbols.clear();
}

// MetricMetadata{type 1, metric_family_name 2, help 4, unit 5} in field 3 of a request of its own.
void RemoteWriteEncoder::State::write_metadata() {
  for (const MetricInfo& metric : all_metrics()) {
    if (!present[index(metric.id)]) continue;
    const std::string_view name = prometheus_name(metric.id), unit = stated_unit(metric);
    const size_t size = 2 + protobuf::field_size(name.size()) + protobuf::field_size(metric.brief.size()) +
                        (unit.empty() ? 0 : protobuf::field_size(unit.size()));
    char* at = series_bytes.room(protobuf::field_size(size));
    *at++ = tag(3, protobuf::kBytes);
    at = protobuf::put_varint(at, size);
    *at++ = tag(1, protobuf::kVarint);
    *at++ = static_cast<char>(metadata_type(metric.kind));
    at = protobuf::put_field(at, 2, name);
    at = protobuf::put_field(at, 4, metric.brief);
    if (!unit.empty()) at = protobuf::put_field(at, 5, unit);
    series_bytes.wrote(at);
  }
  end_request();
}

RemoteWriteEncoder::RemoteWriteEncoder(RemoteWriteOptions options)
    : state_(std::make_unique<State>(std::move(options))) {}
RemoteWriteEncoder::~RemoteWriteEncoder() = default;
RemoteWriteEncoder::RemoteWriteEncoder(RemoteWriteEncoder&&) noexcept = default;
RemoteWriteEncoder& RemoteWriteEncoder::operator=(RemoteWriteEncoder&&) noexcept = default;

void RemoteWriteEncoder::set_max_samples(size_t most) {
  state_->options.max_samples = std::max<size_t>(most, 1);
}

void RemoteWriteEncoder::begin(std::span<const FrameRun> batch, size_t skip) {
  State& state = *state_;
  state.skip = skip;
  state.book.begin(batch);
  state.series_bytes.clear();
  state.symbol_bytes.clear();
  state.requests.clear();
  state.next = state.sample_count = 0;
  state.open = State::Request();
  ++state.symbols_of;
  state.symbols.clear();
  state.present.assign(all_metrics().size(), false);
  for (const MetricInfo& metric : all_metrics()) {
    for (const SeriesBook::Group& group : state.book.groups(metric.id))
      for (const SeriesBook::Entry& entry : group.entries) {
        state.collect(group, entry);
        state.write(*group.plan, entry);
      }
    for (const SeriesBook::Ended& ended : state.book.ended(metric.id)) {
      if (!state.options.stale_markers) continue;
      state.samples.clear();
      state.samples.push_back({kStaleMarkerBits, ended.time / kMillisecond, 0});
      state.write(*ended.plan, *ended.entry);
    }
  }
  state.end_request();
  state.metadata_now = state.metadata_kept;
  if (state.v2() || state.options.metadata_every == 0 || state.sample_count == 0) return;
  Nanos newest = 0;
  for (const FrameRun& run : batch)
    for (const Frame* frame : run.frames)
      if (frame != nullptr) newest = std::max(newest, frame->wall);
  const Nanos since = newest - state.metadata_kept;
  if (since >= 0 && since < state.options.metadata_every) return;  // below zero: the clock was set back
  state.metadata_now = newest;
  state.write_metadata();
}

bool RemoteWriteEncoder::next(std::string& body) {
  State& state = *state_;
  if (state.next == state.requests.size()) return false;
  const State::Request& request = state.requests[state.next++];
  const std::string_view series = state.series_bytes.view().substr(request.begin, request.end - request.begin);
  if (!state.v2()) {
    snappy_compress(series, body);
    return true;
  }
  state.whole.assign(state.symbol_bytes.view(), request.symbols_begin, request.symbols_end - request.symbols_begin);
  state.whole += series;
  snappy_compress(state.whole, body);
  return true;
}

void RemoteWriteEncoder::commit() {
  state_->book.commit();
  state_->metadata_kept = state_->metadata_now;
}
size_t RemoteWriteEncoder::samples() const {
  return state_->next == 0 ? 0 : state_->requests[state_->next - 1].samples;
}
size_t RemoteWriteEncoder::all_samples() const {
  return state_->sample_count;
}
uint64_t RemoteWriteEncoder::late() const {
  return state_->book.late();
}
size_t RemoteWriteEncoder::series() const {
  return state_->book.series();
}

WriteAnswer judge_written(const WrittenHeaders& headers, uint64_t sent) {
  const auto count = [](const std::optional<std::string_view>& header) {
    return header ? parse_u64(trim(*header)) : std::nullopt;
  };
  const std::optional<uint64_t> samples = count(headers.samples);
  if (!samples && !count(headers.histograms) && !count(headers.exemplars)) return {WriteVerdict::not_ours, 0};
  const uint64_t stored = samples.value_or(0);
  return {stored >= sent ? WriteVerdict::stored : WriteVerdict::fewer, stored};
}

}  // namespace accelmon
