// CloudWatch: PutMetricData, signed; and log events with embedded metrics for the CloudWatch agent.
#include <algorithm>
#include <optional>

#include "encode/cloudwatch.h"
#include "encode/cloudwatch_answer.h"
#include "encode/emf.h"
#include "exporters/aws.h"
#include "exporters/cloudwatch.h"
#include "exporters/destinations.h"
#include "exporters/http.h"
#include "exporters/rotating_file.h"
#include "exporters/wire.h"
#include "net/push_client.h"
#include "net/url.h"

namespace accelmon {
namespace {

Result<std::string> endpoint_of(const ExporterSettings& settings, const std::string& region) {
  std::string url = settings.text("url", "https://monitoring." + region + ".amazonaws.com/");
  if (!url.starts_with("https://") && !url.starts_with("http://"))
    return fail(settings.wrong("url", "begins with neither http:// nor https://"));
  const UrlParts parts = split_url(url);
  if (parts.authority.empty() || url.find_first_of("?#@") != std::string::npos)
    return fail(settings.wrong("url", "is no endpoint; write \"https://HOST/\""));
  return parts.path.empty() ? url + "/" : url;
}

size_t samples_of(std::span<const FrameRun> batch) {
  size_t frames = 0;
  for (const FrameRun& run : batch) frames += run.frames.size();
  return frames;
}

class CloudWatchDestination final : public Destination {
 public:
  CloudWatchDestination(std::unique_ptr<PushClient> client, std::unique_ptr<AwsSigner> signer,
                        CloudWatchOptions options, std::string endpoint, Nanos timeout)
      : client_(std::move(client)),
        signer_(std::move(signer)),
        encoder_(std::move(options)),
        endpoint_(std::move(endpoint)),
        timeout_(timeout) {}

  void begin(std::span<const FrameRun> batch) override {
    bodies_.clear();
    next_ = 0;
    data_ = encoder_.encode(batch, real_clock().wall(), bodies_);
  }
  bool next() override { return next_++ < bodies_.size(); }

  Sent send() override {
    using Verdict = Sent::Verdict;
    Sent sent;
    sent.samples = data_ / bodies_.size();
    const std::string& body = bodies_[next_ - 1];
    PushRequest request;
    request.url = endpoint_;
    request.timeout = timeout_;
    request.body = body;
    request.headers = {"Content-Type: " + std::string(kCloudWatchContentType),
                       "X-Amz-Target: " + std::string(kCloudWatchTarget)};
    if (const Status status = signer_->sign(request); !status.ok()) return Sent::not_now(status);
    Result<PushReply> reply = client_->send(request);
    if (!reply) return Sent::not_now(reply.error());
    // A signature that is refused comes back with all that was signed, the session's token among it.
    if (reply->status / 100 != 2) hide_secrets(request, {}, *reply);
    sent.bytes = body.size();
    const CloudWatchAnswer answer =
        read_cloudwatch_answer(reply->status, reply->header("x-amzn-errortype"), reply->body);
    if (answer.verdict == CloudWatchVerdict::accepted) return sent;
    sent.message = answer.text.empty() ? "HTTP " + std::to_string(reply->status) : answer.text;
    if (answer.verdict == CloudWatchVerdict::keys) signer_->invalidate();
    sent.verdict = may_be_sent_again(answer.verdict) || answer.verdict == CloudWatchVerdict::denied ? Verdict::later
                                                                                                    : Verdict::refused;
    return sent;
  }

  void commit() override { bodies_.clear(); }
  void interrupt() override { client_->interrupt(); }

 private:
  std::unique_ptr<PushClient> client_;
  std::unique_ptr<AwsSigner> signer_;
  CloudWatchEncoder encoder_;
  std::string endpoint_;
  Nanos timeout_;
  std::vector<std::string> bodies_;
  size_t next_ = 0;
  size_t data_ = 0;
};

class EmfDestination final : public Destination {
 public:
  EmfDestination(std::optional<Wire> wire, std::optional<RotatingFile> file, CloudWatchOptions options,
                 std::string log_group)
      : wire_(std::move(wire)), file_(std::move(file)), encoder_(std::move(options), std::move(log_group)) {}

  void begin(std::span<const FrameRun> batch) override {
    text_.clear();
    encoder_.encode(batch, real_clock().wall(), text_);
    samples_ = samples_of(batch);
    rest_ = text_;
    pending_ = !text_.empty();
  }
  bool next() override { return std::exchange(pending_, false); }
  Sent send() override {
    Status status;
    if (file_) {
      status = file_->append(text_);
    } else if (!wire_->datagrams()) {
      status = wire_->send(text_);
    } else {
      // An event in each datagram; those that are gone are gone.
      while (!rest_.empty() && status.ok()) {
        const size_t end = std::min(rest_.find('\n') + 1, rest_.size());
        status = wire_->send(rest_.substr(0, end));
        if (status.ok()) rest_.remove_prefix(end);
      }
    }
    return Sent::unanswered(status, samples_, text_.size());
  }
  void commit() override {}
  void interrupt() override {
    if (wire_) wire_->interrupt();
    if (file_) file_->interrupt();
  }

 private:
  std::optional<Wire> wire_;
  std::optional<RotatingFile> file_;
  EmfEncoder encoder_;
  std::string text_;
  std::string_view rest_;
  uint64_t samples_ = 0;
  bool pending_ = false;
};

}  // namespace

Result<CloudWatchOptions> cloudwatch_options(const ExporterSettings& settings, const Identity& identity) {
  CloudWatchOptions options;
  options.space = settings.text("namespace", "accelmon");
  options.period = settings.duration("period", 60 * kSecond);
  options.device_by_index = settings.flag("by_index", false);
  if (const std::vector<std::string> rules = settings.list("rules"); !rules.empty()) {
    options.rules.clear();
    for (const std::string& text : rules) {
      Result<CloudWatchRule> rule = parse_cloudwatch_rule(text);
      if (!rule) return fail(settings.wrong("rules", "holds what is no rule: " + rule.error().message()));
      options.rules.push_back(std::move(*rule));
    }
  }
  auto dimensions = settings.pairs("labels");
  if (!dimensions) return fail(dimensions.error());
  if (dimensions->empty()) dimensions->emplace_back("Host", identity.hostname);
  options.dimensions = std::move(*dimensions);
  if (Status status = validate(options); !status.ok())
    return fail(Code::invalid, "exporters." + settings.name + ": " + status.message());
  return options;
}

Result<std::unique_ptr<Destination>> make_cloudwatch(const ExporterSettings& settings, const Identity& identity,
                                                     std::string& where) {
  Result<CloudWatchOptions> options = cloudwatch_options(settings, identity);
  if (!options) return fail(options.error());
  PushSecurity security;
  security.ca_file = settings.text("ca_file");
  Result<std::unique_ptr<PushClient>> client = PushClient::open(std::move(security));
  if (!client) return fail(client.error());
  Result<std::unique_ptr<AwsSigner>> signer = AwsSigner::make(settings, "monitoring", **client);
  if (!signer) return fail(signer.error());
  Result<std::string> endpoint = endpoint_of(settings, (*signer)->region());
  if (!endpoint) return fail(endpoint.error());
  where = shown_url(*endpoint);
  return std::make_unique<CloudWatchDestination>(std::move(*client), std::move(*signer), std::move(*options),
                                                 std::move(*endpoint), settings.duration("timeout", 10 * kSecond));
}

Result<std::unique_ptr<Destination>> make_emf(const ExporterSettings& settings, const Identity& identity,
                                              std::string& where) {
  Result<CloudWatchOptions> options = cloudwatch_options(settings, identity);
  if (!options) return fail(options.error());
  std::optional<Wire> wire;
  std::optional<RotatingFile> file;
  if (const std::string path = settings.text("path"); !path.empty()) {
    if (settings.has("address")) return fail(settings.wrong("address", "and path exclude each other"));
    where = path;
    file.emplace(path, settings.number("max_bytes", 64u << 20), static_cast<unsigned>(settings.number("keep", 4)),
                 settings.duration("timeout", 10 * kSecond));
  } else {
    where = settings.text("address", "127.0.0.1:25888");
    Result<Wire> parsed = Wire::parse(where, false, settings.duration("timeout", 10 * kSecond));
    if (!parsed) return fail(settings.wrong("address", parsed.error().message()));
    wire.emplace(std::move(*parsed));
  }
  return std::make_unique<EmfDestination>(std::move(wire), std::move(file), std::move(*options),
                                          settings.text("log_group"));
}

}  // namespace accelmon
