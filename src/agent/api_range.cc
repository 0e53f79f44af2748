// /api/v1/range: the history of the series that a filter takes.
#include <algorithm>
#include <array>

#include "agent/api.h"
#include "agent/api_json.h"
#include "agent/api_query.h"
#include "base/text.h"

namespace accelmon {
namespace {

constexpr size_t kDefaultPoints = 1000;
constexpr size_t kMostPoints = 50'000;

struct RangeQuestion {
  SeriesFilter filter;
  Nanos from = 0;
  Nanos to = 0;
  size_t max_points = kDefaultPoints;
};

Result<RangeQuestion> understand(std::string_view query, Nanos now) {
  static constexpr std::array<std::string_view, 5> kKnown{"metric", "device", "from", "to", "max_points"};
  const Result<QueryParameters> parameters = QueryParameters::parse(query, kKnown);
  if (!parameters) return fail(parameters.error());
  RangeQuestion out;
  const std::string* metric = parameters->find("metric");
  if (metric == nullptr || metric->empty())
    return fail(Code::invalid, "metric is missing; name one or several, for example metric=hw.power,hw.gpu.*");
  Result<SeriesFilter> filter = SeriesFilter::make(metric, parameters->find("device"));
  if (!filter) return fail(filter.error());
  out.filter = std::move(*filter);

  const std::string* to = parameters->find("to");
  const std::string* from = parameters->find("from");
  const Result<Nanos> end = parse_time(to != nullptr ? std::string_view(*to) : "now", now);
  if (!end) return fail(end.error());
  const Result<Nanos> begin = parse_time(from != nullptr ? std::string_view(*from) : "-1h", now);
  if (!begin) return fail(begin.error());
  if (*begin > *end)
    return fail(Code::invalid, "from (" + format_time(*begin) + ") is later than to (" + format_time(*end) +
                                   "); without from it is an hour ago, without to it is now");
  out.from = *begin;
  out.to = *end + kMillisecond - 1;  // points are told to the millisecond
  if (const std::string* points = parameters->find("max_points")) {
    const std::optional<uint64_t> number = parse_u64(*points);
    if (!number || *number < 1 || *number > kMostPoints)
      return fail(Code::invalid, "max_points '" + printable(*points, 40) + "' is not a number from 1 to " +
                                     std::to_string(kMostPoints) + "; it bounds the points of each series");
    out.max_points = static_cast<size_t>(*number);
  }
  return out;
}

HttpResponse answer(const RangeQuestion& question, HistoryView history, const ApiWorker::Wanted& wanted) {
  std::vector<HistorySeries> all = history.list(question.from, question.to);
  std::erase_if(all, [&](const HistorySeries& one) {
    return !question.filter.takes(*one.catalog, one.catalog->series[one.series]);
  });
  if (all.size() > kMaxRangeSeries)
    return api_error(400, std::to_string(all.size()) + " series fit, more than " + std::to_string(kMaxRangeSeries),
                     "name a metric or a device");
  std::string body;
  JsonWriter json(body);
  size_t points = 0;
  json.begin_object().key("from").number(api_time(question.from)).key("to").number(api_time(question.to));
  json.key("history").text(history.on_disk() ? "disk" : "memory");
  json.key("series").begin_array();
  for (const HistorySeries& one : all) {
    if (!wanted()) return api_error(503, "nobody waits any more", "");
    const Result<StoreRange> range = history.query(one, question.from, question.to, question.max_points);
    if (!range) return api_error(range.error());
    if (range->points.empty()) continue;
    points += range->points.size();
    if (points > kMaxRangePoints)
      return api_error(400, "the answer would have more than " + std::to_string(kMaxRangePoints) + " points",
                       "ask for fewer series, or give a smaller max_points");
    json.begin_object();
    write_series(json, one.source, *one.catalog, one.catalog->series[one.series]);
    write_points(json, *range);
    json.end_object();
  }
  json.end_array().end_object();
  HttpResponse response = api_json(std::move(body));
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

}  // namespace

HttpResponse Api::range(const HttpRequest& request) {
  Result<RangeQuestion> question = understand(request.query, source_.clock->wall());
  if (!question) return api_error(question.error());
  HistoryView history(source_.history(), source_.snapshot());
  return work([question = std::move(*question), history = std::move(history)](const ApiWorker::Wanted& wanted) {
    return answer(question, history, wanted);
  });
}

}  // namespace accelmon
