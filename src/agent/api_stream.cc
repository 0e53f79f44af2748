// /api/v1/stream: server-sent events, one for each poll of a source whose series fit.
//
// Events are made in the HTTP server's thread of the newest snapshot, when the reader has taken the last one: the agent
// never waits for a reader, keeps nothing for it, and a reader that is late misses polls but sees no old ones.
#include <array>

#include "agent/api.h"
#include "agent/api_json.h"
#include "agent/api_query.h"

namespace accelmon {
namespace {

constexpr Nanos kOwnPace = 900 * kMillisecond;  // the agent's own numbers change with every publication

size_t count_series(const Snapshot& snapshot, const SeriesFilter& filter) {
  size_t count = 0;
  for (const SourceView& source : snapshot.sources)
    if (source.catalog != nullptr)
      for (const Series& series : source.catalog->series) count += filter.takes(*source.catalog, series) ? 1 : 0;
  return count;
}

class EventStream final : public HttpStream {
 public:
  EventStream(std::function<Recycled<Snapshot>()> snapshot, SeriesFilter filter,
              std::shared_ptr<std::atomic<size_t>> open)
      : snapshot_(std::move(snapshot)), filter_(std::move(filter)), open_(std::move(open)) {
    open_->fetch_add(1);
  }
  ~EventStream() override { open_->fetch_sub(1); }

  bool next(std::string& out) override {
    const Recycled<Snapshot> snapshot = snapshot_();
    if (!snapshot) return true;
    seen_.resize(snapshot->sources.size());
    for (size_t i = 0; i < seen_.size(); ++i) {
      const SourceView& source = snapshot->sources[i];
      if (source.catalog == nullptr || !source.frame) continue;
      const Frame& frame = *source.frame;
      const bool own = i + 1 == seen_.size();
      Seen& seen = seen_[i];
      // A source that is silent is shown again and again, and told of once.
      const bool fresh = own ? frame.monotonic >= seen.monotonic + kOwnPace || seen.monotonic == 0
                             : frame.monotonic != seen.monotonic || frame.generation != seen.generation;
      if (!fresh) continue;
      seen = {frame.monotonic, frame.generation};
      if (source.catalog != seen_catalog(i)) choose(i, source.catalog);
      if (chosen_[i].series.empty()) continue;
      if (chosen_[i].series.size() > kMaxStreamSeries) {
        out += "event: error\ndata: {\"error\":\"too many series by now\",\"hint\":\"narrow metric or device\"}\n\n";
        return false;
      }
      write(out, *snapshot, source, chosen_[i].series);
    }
    return true;
  }

  void heartbeat(std::string& out) override { out += ": heartbeat\n\n"; }

 private:
  struct Seen {
    Nanos monotonic = 0;
    uint64_t generation = 0;
  };
  struct Chosen {
    CatalogPtr catalog;
    std::vector<uint32_t> series;
  };

  CatalogPtr seen_catalog(size_t i) {
    if (chosen_.size() <= i) chosen_.resize(i + 1);
    return chosen_[i].catalog;
  }
  void choose(size_t i, const CatalogPtr& catalog) {
    chosen_[i] = {catalog, {}};
    for (uint32_t s = 0; s < catalog->series.size(); ++s)
      if (filter_.takes(*catalog, catalog->series[s])) chosen_[i].series.push_back(s);
  }

  static void write(std::string& out, const Snapshot& snapshot, const SourceView& source,
                    const std::vector<uint32_t>& which) {
    const Frame& frame = *source.frame;
    out += "id: " + std::to_string(snapshot.sequence) + "\nevent: values\ndata: ";
    JsonWriter json(out);
    json.begin_object().key("time").number(api_time(frame.wall)).key("source").text(source.name);
    json.key("series").begin_array();
    for (const uint32_t s : which) {
      if (s >= frame.states.size()) continue;
      json.begin_object();
      write_series(json, source.name, *source.catalog, source.catalog->series[s]);
      json.key("value");
      if (frame.states[s] == State::ok)
        json.number(frame.values[s]);
      else
        json.null();
      json.key("state").text(to_string(frame.states[s])).end_object();
    }
    json.end_array().end_object();
    out += "\n\n";  // JSON of ours has no line break in it
  }

  std::function<Recycled<Snapshot>()> snapshot_;
  SeriesFilter filter_;
  std::shared_ptr<std::atomic<size_t>> open_;
  std::vector<Seen> seen_;
  std::vector<Chosen> chosen_;
};

}  // namespace

HttpResponse Api::stream(const HttpRequest& request) {
  const auto parameters = QueryParameters::parse(request.query, std::array<std::string_view, 2>{"metric", "device"});
  if (!parameters) return api_error(parameters.error());
  const std::string* metric = parameters->find("metric");
  if (metric == nullptr || metric->empty())
    return api_error(400, "metric is missing", "name one or several, for example metric=hw.power,hw.gpu.*");
  Result<SeriesFilter> filter = SeriesFilter::make(metric, parameters->find("device"));
  if (!filter) return api_error(filter.error());
  if (const Recycled<Snapshot> snapshot = source_.snapshot()) {
    const size_t series = count_series(*snapshot, *filter);
    if (series > kMaxStreamSeries)
      return api_error(400, std::to_string(series) + " series fit, more than " + std::to_string(kMaxStreamSeries),
                       "name a metric or a device");
  }
  if (streams_->load() >= kMaxStreams)
    return api_error(503, std::to_string(kMaxStreams) + " streams are open", "close one, or ask /api/v1/latest");
  HttpResponse response;
  response.content_type = "text/event-stream";
  response.headers.emplace_back("Cache-Control", "no-store");
  if (request.method == "GET")
    response.stream = std::make_shared<EventStream>(source_.snapshot, std::move(*filter), streams_);
  return response;
}

}  // namespace accelmon
