// InfluxDB's line protocol over HTTP.
#include <algorithm>
#include <limits>
#include <numeric>

#include "base/text.h"
#include "encode/influx.h"
#include "exporters/destinations.h"
#include "exporters/http.h"
#include "exporters/pieces.h"

namespace accelmon {
namespace {

class InfluxDestination final : public Destination {
 public:
  InfluxDestination(HttpDestination http, InfluxOptions options)
      : http_(std::move(http)), encoder_(std::move(options)) {}

  void begin(std::span<const FrameRun> batch) override {
    text_.clear();
    lines_.clear();
    encoder_.encode(batch, text_, &lines_);
    pieces_.begin();
  }

  bool next() override {
    pieces_.advance();
    if (pieces_.done() >= lines_.size()) {
      if (!pieces_.go_back()) return false;
      pieces_.advance();
    }
    first_ = pieces_.done();
    count_ = std::min(pieces_.size(), lines_.size() - first_);
    pieces_.took(count_);
    return true;
  }

  Sent send() override {
    PushReply reply;
    const size_t begin = first_ == 0 ? 0 : lines_[first_ - 1].end;
    Sent sent = http_.post(std::string_view(text_).substr(begin, lines_[first_ + count_ - 1].end - begin), reply);
    sent.samples = samples(first_, count_);
    // InfluxDB stores what it can of a batch and answers 400 for the rest.
    if (reply.status == 400 && reply.body.find("partial write") != std::string::npos) {
      sent.verdict = Sent::Verdict::delivered;
      const size_t at = reply.body.find("dropped=");
      sent.rejected = at == std::string::npos
                          ? 1
                          : parse_u64(std::string_view(reply.body)
                                          .substr(at + 8, reply.body.find_first_not_of("0123456789", at + 8) - at - 8))
                                .value_or(1);
    }
    pieces_.judge(sent, reply.status == 400 || reply.status == 422 ? Pieces::Fault::sample
                        : reply.status == 413                      ? Pieces::Fault::size
                                                                   : Pieces::Fault::none);
    // Pieces counts lines; those that were passed over stand right before this request.
    sent.left_out = samples(first_ - sent.left_out, sent.left_out);
    return sent;
  }
  bool search() override { return pieces_.search(); }
  void commit() override {}
  void interrupt() override { http_.interrupt(); }

 private:
  uint64_t samples(size_t first, size_t count) const {
    const auto begin = lines_.begin() + static_cast<std::ptrdiff_t>(first);
    return std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(count), uint64_t{0},
                           [](uint64_t sum, const InfluxLine& line) { return sum + line.fields; });
  }

  HttpDestination http_;
  InfluxEncoder encoder_;
  std::string text_;
  std::vector<InfluxLine> lines_;
  Pieces pieces_{std::numeric_limits<size_t>::max()};
  size_t first_ = 0, count_ = 0;  // lines of the request at hand
};

}  // namespace

Result<std::unique_ptr<Destination>> make_influx(const ExporterSettings& settings, const Identity& identity,
                                                 std::string& where) {
  const auto labels = settings.labels({{"host", identity.hostname}});
  if (!labels) return fail(labels.error());
  InfluxOptions options;
  options.measurement = settings.text("measurement", "accelmon");
  options.labels = *labels;
  Result<HttpDestination> http = HttpDestination::make(settings, identity, {"Content-Type: text/plain; charset=utf-8"},
                                                       "http://127.0.0.1:8086/write?db=accelmon");
  if (!http) return fail(http.error());
  http->gzip = settings.flag("gzip", true);
  where = http->shown();
  return std::make_unique<InfluxDestination>(std::move(*http), std::move(options));
}

}  // namespace accelmon
