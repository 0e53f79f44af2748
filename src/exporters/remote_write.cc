// Prometheus remote write, 2.0 where the receiver has it and 1.0 where it has not.
#include <algorithm>

#include "base/text.h"
#include "encode/remote_write.h"
#include "exporters/destinations.h"
#include "exporters/http.h"

namespace accelmon {
namespace {

class RemoteWriteDestination final : public Destination {
 public:
  RemoteWriteDestination(HttpDestination http, RemoteWriteOptions options)
      : http_(std::move(http)), options_(std::move(options)), most_samples_(options_.max_samples) {
    speak(options_.version);
  }

  void begin(std::span<const FrameRun> batch) override {
    batch_ = batch;
    done_ = 0;
    splits_.clear();
    cut(most_samples_);
  }

  bool next() override {
    done_ += std::exchange(sent_, 0);
    // Behind the request that was refused its size is tried again.
    size_t size = 0;
    while (!splits_.empty() && done_ >= splits_.back().end) {
      size = splits_.back().size;
      splits_.pop_back();
    }
    if (size != 0) cut(size);
    if (!encoder_->next(body_)) return false;
    sent_ = encoder_->samples();
    return true;
  }

  Sent send() override {
    using Verdict = Sent::Verdict;
    PushReply reply;
    Sent sent = http_.post(body_, reply);
    sent.samples = encoder_->samples();
    if (reply.status == 0) return sent;
    if (options_.version == RemoteWriteVersion::v2) {
      if (reply.status == 415 || reply.status == 406) return fall_back("does not know remote write 2.0", sent.samples);
      if (sent.verdict == Verdict::delivered) {
        WrittenHeaders written;
        const auto put = [&](std::string_view name, std::optional<std::string_view>& out) {
          if (const std::string_view text = reply.header(name); !text.empty()) out = text;
        };
        put("x-prometheus-remote-write-samples-written", written.samples);
        put("x-prometheus-remote-write-histograms-written", written.histograms);
        put("x-prometheus-remote-write-exemplars-written", written.exemplars);
        const WriteAnswer answer = judge_written(written, sent.samples);
        if (answer.verdict == WriteVerdict::not_ours)
          return fall_back("took remote write 2.0 and stored nothing", sent.samples);
        if (answer.verdict == WriteVerdict::fewer) {
          sent.rejected = sent.samples - std::min<uint64_t>(answer.samples, sent.samples);
          sent.message = "the receiver stored " + std::to_string(answer.samples) + " of " +
                         std::to_string(sent.samples) + " samples";
        }
      }
    }
    // A single sample that it does not want costs the others nothing: what the request held is sent again in smaller
    // ones, until the one that is left out has that sample alone. What was taken before is not sent twice: a receiver
    // would find it out of order.
    if (sent.verdict == Verdict::refused && sent.samples > 1 &&
        (reply.status == 400 || reply.status == 413 || reply.status == 422)) {
      splits_.push_back({done_ + sent.samples, size_});
      sent_ = 0;
      cut(std::max<size_t>(1, sent.samples / kPieces));
      sent.verdict = Verdict::pieces;
    }
    return sent;
  }

  void commit() override {
    encoder_->commit();
    batch_ = {};
  }
  void interrupt() override { http_.interrupt(); }

 private:
  void speak(RemoteWriteVersion version) {
    options_.version = version;
    http_.set_header("Content-Type", content_type(version));
    http_.set_header("X-Prometheus-Remote-Write-Version", protocol_version(version));
    encoder_.emplace(options_);
  }
  Sent fall_back(std::string_view why, uint64_t samples) {
    speak(RemoteWriteVersion::v1);
    sent_ = 0;
    Sent sent;
    sent.verdict = Sent::Verdict::again;
    sent.samples = samples;
    sent.message = "the receiver " + std::string(why) + ": 1.0 from now on";
    return sent;
  }
  // What of the batch is not done with, in requests of `size` samples.
  void cut(size_t size) {
    size_ = size;
    encoder_->set_max_samples(size);
    encoder_->begin(batch_, done_);
  }

  static constexpr size_t kPieces = 8;
  struct Split {
    size_t end;   // of the request that was refused, in samples of the batch
    size_t size;  // what requests had then
  };

  HttpDestination http_;
  RemoteWriteOptions options_;
  const size_t most_samples_;
  std::span<const FrameRun> batch_;
  size_t done_ = 0;  // samples of the batch that were taken, or refused for good
  size_t sent_ = 0;  // of the request at hand
  size_t size_ = 0;
  std::vector<Split> splits_;
  std::optional<RemoteWriteEncoder> encoder_;
  std::string body_;
};

}  // namespace

Result<std::unique_ptr<Destination>> make_remote_write(const ExporterSettings& settings, const Identity& identity,
                                                       std::string& where) {
  const Result<std::string> version = settings.word("version", {"1.0", "2.0"});
  if (!version) return fail(version.error());
  Result<ConstantLabels> labels = settings.labels({{"job", "accelmon"}, {"instance", identity.hostname}});
  if (!labels) return fail(labels.error());
  RemoteWriteOptions options;
  options.version = *version == "2.0" ? RemoteWriteVersion::v2 : RemoteWriteVersion::v1;
  options.labels = std::move(*labels);
  options.max_samples = settings.number("max_samples", options.max_samples);
  Result<HttpDestination> http =
      HttpDestination::make(settings, identity, {"Content-Encoding: snappy"}, "http://127.0.0.1:9090/api/v1/write");
  if (!http) return fail(http.error());
  where = http->shown();
  return std::make_unique<RemoteWriteDestination>(std::move(*http), std::move(options));
}

}  // namespace accelmon
