// /api/v1/read: Prometheus' remote read over the history.
//
// The labels are those of the page (encode/labels.h), and those of the request's query string, so that a series read
// from here and the same one scraped are one: /api/v1/read?job=accelmon&instance=node7:19400.
#include <algorithm>
#include <bit>
#include <map>

#include "agent/api.h"
#include "agent/api_json.h"
#include "agent/api_query.h"
#include "agent/label_match.h"
#include "encode/labels.h"
#include "encode/remote_read.h"

namespace accelmon {
namespace {

constexpr int64_t kMostMilliseconds = INT64_MAX / kMillisecond - 1;

// Prometheus' ends of time ("everything") do not fit into nanoseconds.
Nanos nanoseconds(int64_t milliseconds) {
  return std::clamp<int64_t>(milliseconds, 0, kMostMilliseconds) * kMillisecond;
}

using Labels = std::vector<std::pair<std::string, std::string>>;

bool matches(const std::vector<LabelMatch>& all, const Labels& labels) {
  return std::all_of(all.begin(), all.end(), [&](const LabelMatch& one) {
    const auto at = std::lower_bound(labels.begin(), labels.end(), one.name(),
                                     [](const auto& label, std::string_view name) { return label.first < name; });
    return one.matches(at != labels.end() && at->first == one.name() ? std::string_view(at->second)
                                                                     : std::string_view());
  });
}

// In coarse tiers a sample is a span. Whoever looks for extremes wants its extreme.
double value_for(const StorePoint& point, std::string_view function) {
  if (function == "max_over_time") return point.maximum;
  if (function == "min_over_time") return point.minimum;
  return point.mean;
}

// Samples of several sources of one series (the arbiter changes between them) come in one order, no instant twice.
void in_order(std::vector<ReadSample>& samples) {
  const auto earlier = [](const ReadSample& a, const ReadSample& b) { return a.time_ms < b.time_ms; };
  if (!std::is_sorted(samples.begin(), samples.end(), earlier))
    std::stable_sort(samples.begin(), samples.end(), earlier);
  samples.erase(std::unique(samples.begin(), samples.end(),
                            [](const ReadSample& a, const ReadSample& b) { return a.time_ms == b.time_ms; }),
                samples.end());
}

// PromQL shows a value for five minutes after its sample, unless this one follows.
const double kStale = std::bit_cast<double>(uint64_t{0x7ff0'0000'0000'0002});

// A series that was silent for three of its intervals was gone meanwhile, as it is from the page.
void mark_gaps(std::vector<ReadSample>& samples, int64_t end_ms) {
  if (samples.size() < 3) return;
  std::vector<int64_t> distances;
  distances.reserve(samples.size());
  for (size_t i = 1; i < samples.size(); ++i) distances.push_back(samples[i].time_ms - samples[i - 1].time_ms);
  const auto middle = distances.begin() + static_cast<std::ptrdiff_t>(distances.size() / 2);
  std::nth_element(distances.begin(), middle, distances.end());
  const int64_t usual = *middle;
  std::vector<ReadSample> marked;
  for (size_t i = 0; i < samples.size(); ++i) {
    const int64_t next = i + 1 < samples.size() ? samples[i + 1].time_ms : end_ms;
    const bool gap = next - samples[i].time_ms > 3 * usual + 1000;
    if (gap && marked.empty()) marked.assign(samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(i));
    if (gap || !marked.empty()) marked.push_back(samples[i]);
    if (gap) marked.push_back({samples[i].time_ms + usual, kStale});
  }
  if (!marked.empty()) samples = std::move(marked);
}

// `samples` counts those of the whole answer.
Result<ReadResult> read_one(const ReadQuery& query, const ConstantLabels& constant, HistoryView& history, Nanos now,
                            size_t& samples, const ApiWorker::Wanted& wanted) {
  std::vector<LabelMatch> matchers;
  for (const LabelMatcher& matcher : query.matchers) {
    Result<LabelMatch> one = LabelMatch::make(matcher);
    if (!one) return fail(one.error());
    matchers.push_back(std::move(*one));
  }
  const Nanos from = nanoseconds(query.start_ms);
  const Nanos to = nanoseconds(query.end_ms) + kMillisecond - 1;  // samples are told to the millisecond
  ReadResult out;
  if (query.start_ms > query.end_ms || query.end_ms < 0) return out;

  const std::vector<HistorySeries> all = history.list(from, to);
  std::map<Labels, std::vector<const HistorySeries*>> wished;
  size_t count = 0;
  for (const HistorySeries& one : all) {
    const Series& series = one.catalog->series[one.series];
    if (!is_exported(*one.catalog, series)) continue;
    const LabelSet own = labels_of(*one.catalog, series);
    Labels labels;
    for (const auto& [name, value] : sorted_labels(series.metric, own, constant)) labels.emplace_back(name, value);
    if (!matches(matchers, labels)) continue;
    wished[std::move(labels)].push_back(&one);
    ++count;
  }
  if (count == 0) return out;
  const size_t left = kMaxReadSamples - std::min(samples, kMaxReadSamples);
  const size_t share = left / count;
  if (share == 0)
    return fail(Code::exhausted, "the answer would have more than " + std::to_string(kMaxReadSamples) +
                                     " samples; ask for fewer series at once");
  for (const auto& [labels, sources] : wished) {
    ReadSeries series;
    for (const HistorySeries* one : sources) {
      if (!wanted()) return fail(Code::not_ready, "nobody waits any more");
      const Result<StoreRange> range = history.query(*one, from, to, share);
      if (!range) return fail(range.error());
      series.samples.reserve(series.samples.size() + range->points.size());
      for (const StorePoint& point : range->points)
        series.samples.push_back({point.wall / kMillisecond, value_for(point, query.function)});
    }
    if (series.samples.empty()) continue;
    in_order(series.samples);
    mark_gaps(series.samples, std::min(to, now) / kMillisecond);
    samples += series.samples.size();
    series.labels = labels;
    out.push_back(std::move(series));
  }
  return out;
}

HttpResponse answer(const ReadRequest& request, const ConstantLabels& constant, HistoryView history, Nanos now,
                    const ApiWorker::Wanted& wanted) {
  std::vector<ReadResult> results;
  size_t samples = 0;
  for (const ReadQuery& query : request.queries) {
    Result<ReadResult> one = read_one(query, constant, history, now, samples, wanted);
    if (!one) return api_error(one.error());
    results.push_back(std::move(*one));
  }
  auto body = std::make_shared<std::string>();
  encode_read_response(results, *body);
  HttpResponse response;
  response.content_type = "application/x-protobuf";
  response.content_encoding = "snappy";
  response.body = *body;
  response.owner = std::move(body);
  return response;
}

Result<ConstantLabels> labels_of_query(std::string_view query) {
  const Result<QueryParameters> parameters = QueryParameters::parse(query, {});
  if (!parameters) return fail(parameters.error());
  return constant_labels(parameters->all());
}

}  // namespace

HttpResponse Api::read(const HttpRequest& request) {
  Result<ConstantLabels> constant = labels_of_query(request.query);
  if (!constant) return api_error(constant.error());
  Result<ReadRequest> question = decode_read_request(request.body);
  if (!question) return api_error(question.error());
  if (!question->takes_samples)
    return api_error(400, "the answer is samples, and the request takes only streamed chunks",
                     "accept the response type SAMPLES as well");
  HistoryView history(source_.history(), source_.snapshot());
  return work([question = std::move(*question), constant = std::move(*constant), history = std::move(history),
               now = source_.clock->wall()](const ApiWorker::Wanted& wanted) {
    return answer(question, constant, history, now, wanted);
  });
}

}  // namespace accelmon
