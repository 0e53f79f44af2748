// Prometheus remote write, 2.0 where the receiver has it and 1.0 where it has not.
#include <algorithm>

#include "base/text.h"
#include "encode/remote_write.h"
#include "exporters/destinations.h"
#include "exporters/http.h"
#include "exporters/pieces.h"

namespace accelmon {
namespace {

// Prometheus ("out of order sample", "duplicate sample for timestamp"), Mimir ("err-mimir-sample-out-of-order",
// "err-mimir-sample-duplicate-timestamp") and Thanos ("out of order sample"). What is merely too old it need not have.
bool says_had(std::string_view body) {
  for (const std::string_view words :
       {"out of order", "out-of-order", "duplicate sample", "sample-duplicate-timestamp"})
    if (body.find(words) != std::string_view::npos) return true;
  return false;
}

class RemoteWriteDestination final : public Destination {
 public:
  RemoteWriteDestination(HttpDestination http, RemoteWriteOptions options)
      : http_(std::move(http)), options_(std::move(options)), pieces_(options_.max_samples) {
    speak(options_.version);
  }

  void may_have(bool may) override { may_have_ = may; }

  void begin(std::span<const FrameRun> batch) override {
    batch_ = batch;
    pieces_.begin(may_have_);
  }

  bool next() override {
    if (pieces_.advance()) cut();
    if (!encoder_->next(body_)) {
      if (!pieces_.go_back()) return false;
      pieces_.advance();
      cut();
      if (!encoder_->next(body_)) return false;
    }
    pieces_.took(encoder_->samples());
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
    // A single sample that it does not want costs the others nothing. What was taken before is not sent twice: a
    // receiver would find it out of order. Thanos answers 409 for samples that are.
    const bool sample = reply.status == 400 || reply.status == 409 || reply.status == 422;
    pieces_.judge(sent, sample                ? says_had(reply.body) ? Pieces::Fault::had : Pieces::Fault::sample
                        : reply.status == 413 ? Pieces::Fault::size
                                              : Pieces::Fault::none);
    return sent;
  }
  bool search() override { return pieces_.search(); }

  void commit() override {
    encoder_->commit();
    batch_ = {};
  }
  uint64_t late() const override { return encoder_->late(); }
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
    Sent sent;
    sent.verdict = Sent::Verdict::again;
    sent.samples = samples;
    sent.message = "the receiver " + std::string(why);
    sent.note = "remote write 1.0: " + sent.message;
    return sent;
  }
  // What of the batch is not done with.
  void cut() {
    encoder_->set_max_samples(pieces_.size());
    encoder_->begin(batch_, pieces_.done());
  }

  HttpDestination http_;
  RemoteWriteOptions options_;
  std::span<const FrameRun> batch_;
  Pieces pieces_;
  bool may_have_ = false;
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
