// What runs once a second and at every scrape, for tests/hot_path.py, which counts its instructions under callgrind.
//
// Everything settles first; then each part asks callgrind to count from its begin to its end. The program says on its
// output how many samples went through each. It is compiled and linked as the program that users run, and touches no
// device and no file.
#include <valgrind/callgrind.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "agent/protocol.h"
#include "encode/exposition.h"
#include "encode/gzip.h"
#include "gpu_catalog.h"
#include "pipeline/pipeline.h"
#include "store/store.h"

namespace accelmon {
namespace {

constexpr int kGpus = 12;            // of 80 series each
constexpr uint64_t kSettling = 900;  // polls: rings and windows are full, so that what is new pushes out what is old
constexpr uint64_t kPolls = 60;      // that are counted: every tier is due as often as it should be
constexpr uint64_t kPages = 10;      // likewise, each of another poll
constexpr size_t kStoreBytes = 2u << 20;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "hot_path: %s\n", what);
  std::exit(1);
}

class Host {
 public:
  Host() : raw_(std::make_shared<const Catalog>(catalog_of(kGpus))), store_(kStoreBytes) {
    catalog_ = pipeline_.set_catalog(raw_);
    sent_.resize(raw_->series.size());
    sent_.generation = raw_->generation;
    sent_.wall = 1'700'000'000 * kSecond;
    sent_.monotonic = 1000 * kSecond;
  }

  // A collector's frame as bytes: about a third of the series move from poll to poll.
  void measure() {
    ++polls_;
    sent_.sequence = polls_;
    sent_.monotonic += kSecond;
    sent_.wall += kSecond;
    sent_.fresh = static_cast<uint8_t>(1 | (polls_ % 10 == 1 ? 2 : 0) | (polls_ % 60 == 1 ? 4 : 0));
    for (size_t tier = 0; tier < kTiers; ++tier)
      if ((sent_.fresh >> tier) & 1u) sent_.read_at[tier] = sent_.monotonic;
    for (size_t i = 0; i < raw_->series.size(); ++i) {
      const Series& series = raw_->series[i];
      const MetricInfo& metric = info(series.metric);
      const auto noise = static_cast<double>((polls_ * 7919 + i * 104729) % 1000);
      const bool moves = series.tier == Tier::fast && metric.kind != Kind::state && i % 2 == 0;
      sent_.set(i, metric.kind == Kind::counter   ? (moves ? static_cast<double>(polls_) * 0.75 : 1.0)
                   : metric.kind == Kind::state   ? static_cast<double>(polls_ / 300 % 2)
                   : !moves                       ? 0.5
                   : metric.unit == Unit::one     ? noise * 0.001
                   : metric.unit == Unit::celsius ? 50 + noise * 0.005
                                                  : noise * 0.005);
    }
  }

  // From the collector's frame to the history.
  void poll() {
    bytes_.clear();
    write_frame(bytes_, sent_);
    const auto [out, room] = reader_.space(bytes_.size());
    std::memcpy(out, bytes_.data(), bytes_.size());
    reader_.received(bytes_.size());
    MessageType type{};
    std::string_view body;
    require(reader_.next(type, body) == MessageReader::Next::message && read_frame(body, received_),
            "the frame does not come through the protocol");
    frame_ = frames_.take();
    pipeline_.process(received_, *frame_);
    store_.append("nvml", catalog_, *frame_);
  }

  void publish() {
    snapshot_.sources.resize(1);
    snapshot_.sources[0] = {"nvml", catalog_, frame_};
  }

  void render(ExpositionFormat format) { exposition_.render(snapshot_, format, page_); }
  void compress() { gzip_.compress(page_, compressed_); }

  size_t raw() const { return raw_->series.size(); }
  size_t samples() const {
    size_t lines = 0;
    for (size_t at = 0; at < page_.size(); at = page_.find('\n', at) + 1) lines += page_[at] != '#' ? 1 : 0;
    return lines;
  }
  // The history's oldest rows have left, and what was made is what it should be.
  bool settled() const {
    const Nanos all = static_cast<Nanos>(polls_ - 1) * kSecond;
    return pipeline_.implausible().empty() && store_.full_rate_span() < all && page_.size() > 100'000 &&
           compressed_.size() > 1000;
  }

 private:
  CatalogPtr raw_;
  CatalogPtr catalog_;
  Pipeline pipeline_{PipelineOptions{}};
  Store store_;
  Exposition exposition_;
  GzipEncoder gzip_;
  MessageReader reader_;
  Recycler<Frame> frames_;
  Recycled<Frame> frame_;
  Snapshot snapshot_;
  Frame sent_, received_;
  std::string bytes_, page_, compressed_;
  uint64_t polls_ = 0;
};

constexpr auto kText = ExpositionFormat::text_0_0_4;
constexpr auto kOpenMetrics = ExpositionFormat::openmetrics_1_0;

// Runs `what` and has callgrind write what it counted meanwhile, by the name of the part. Outside of callgrind these
// requests are a few instructions without effect.
template <class Work>
void counted(const char* part, const Work& what) {
  CALLGRIND_ZERO_STATS;
  what();
  CALLGRIND_DUMP_STATS_AT(part);
}

int run() {
  Host host;
  for (uint64_t i = 0; i < kSettling; ++i) {
    host.measure();
    host.poll();
  }
  host.publish();
  host.render(kOpenMetrics);
  host.render(kText);
  host.compress();
  for (uint64_t i = 0; i < kPolls; ++i) {
    host.measure();
    counted("poll", [&] { host.poll(); });
  }
  size_t samples = 0;
  for (uint64_t i = 0; i < kPages; ++i) {
    host.measure();
    host.poll();
    host.publish();
    counted("openmetrics", [&] { host.render(kOpenMetrics); });
    counted("text", [&] { host.render(kText); });
    counted("gzip", [&] { host.compress(); });
    samples += host.samples();
  }
  require(host.settled(), "nothing has settled: what is counted is not what runs every second");
  std::printf("poll %zu\ntext %zu\nopenmetrics %zu\ngzip %zu\n", host.raw() * kPolls, samples, samples, samples);
  return 0;
}

}  // namespace
}  // namespace accelmon

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "--built-by") return std::puts(ACCELMON_BUILT_BY) < 0 ? 1 : 0;
  return accelmon::run();
}
