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

  void begin(std::span<const FrameRun> batch) override { encoder_->begin(batch); }
  bool next() override { return encoder_->next(body_); }

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
    // A single sample that it does not want costs the others nothing: the batch is sent again in smaller pieces, of
    // which only the one with that sample is left out. What it has already it takes twice without harm.
    if (sent.verdict == Verdict::refused && sent.samples > 1 &&
        (reply.status == 400 || reply.status == 413 || reply.status == 422)) {
      options_.max_samples = std::max<size_t>(1, std::min<size_t>(options_.max_samples, sent.samples) / 8);
      renew();
      sent.verdict = Verdict::again;
      small_ = true;
    }
    return sent;
  }

  void commit() override {
    encoder_->commit();
    if (!small_) return;
    small_ = false;
    options_.max_samples = most_samples_;
    renew();
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
    Sent sent;
    sent.verdict = Sent::Verdict::again;
    sent.samples = samples;
    sent.message = "the receiver " + std::string(why) + ": 1.0 from now on";
    return sent;
  }
  // The same knowledge in requests of another size.
  void renew() { encoder_->set_max_samples(options_.max_samples); }

  HttpDestination http_;
  RemoteWriteOptions options_;
  const size_t most_samples_;
  bool small_ = false;
  std::optional<RemoteWriteEncoder> encoder_;
  std::string body_;
};

}  // namespace

Result<std::unique_ptr<Destination>> make_remote_write(const ExporterSettings& settings, const Identity& identity,
                                                       std::string& where) {
  const Result<std::string> version = settings.word("version", {"1.0", "2.0"});
  if (!version) return fail(version.error());
  auto labels = settings.pairs("labels");
  if (!labels) return fail(labels.error());
  for (const auto& [name, value] :
       {std::pair<std::string, std::string>{"job", "accelmon"}, {"instance", identity.hostname}})
    if (std::none_of(labels->begin(), labels->end(),
                     [&, &wanted = name](const auto& one) { return one.first == wanted; }))
      labels->emplace_back(name, value);
  Result<ConstantLabels> constant = constant_labels(std::move(*labels));
  if (!constant) return fail(settings.wrong("labels", constant.error().message()));
  RemoteWriteOptions options;
  options.version = *version == "2.0" ? RemoteWriteVersion::v2 : RemoteWriteVersion::v1;
  options.labels = std::move(*constant);
  options.max_samples = settings.number("max_samples", options.max_samples);
  Result<HttpDestination> http =
      HttpDestination::make(settings, identity, {"Content-Encoding: snappy"}, "http://127.0.0.1:9090/api/v1/write");
  if (!http) return fail(http.error());
  where = http->shown();
  return std::make_unique<RemoteWriteDestination>(std::move(*http), std::move(options));
}

}  // namespace accelmon
