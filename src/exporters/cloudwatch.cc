// CloudWatch: PutMetricData, signed; and log events with embedded metrics for the CloudWatch agent.
#include <algorithm>
#include <cstdlib>

#include "base/fd.h"
#include "base/text.h"
#include "encode/cloudwatch.h"
#include "encode/cloudwatch_answer.h"
#include "encode/emf.h"
#include "exporters/destinations.h"
#include "exporters/wire.h"
#include "net/aws_credentials.h"
#include "net/push_client.h"

namespace accelmon {
namespace {

constexpr size_t kMostFile = 1u << 20;

AwsWorld real_world(PushClient& client) {
  AwsWorld world;
  world.variable = [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  world.file = [](const std::string& path) { return read_file(path, kMostFile); };
  world.http = [&client](const AwsHttpCall& call) -> Result<AwsHttpReply> {
    PushRequest request;
    request.url = call.url;
    request.method = call.method;
    request.body = call.body;
    request.timeout = 2 * kSecond;
    for (const auto& [name, value] : call.headers) request.headers.push_back(name + ": " + value);
    Result<PushReply> reply = client.send(request);
    if (!reply) return fail(reply.error());
    return AwsHttpReply{reply->status, std::move(reply->body)};
  };
  return world;
}

struct Endpoint {
  std::string url, host, path = "/";
};

// Of "https://host:port/path": what is signed is what is sent.
Result<Endpoint> endpoint_of(const ExporterSettings& settings, const std::string& region) {
  Endpoint out;
  out.url = settings.text("url", "https://monitoring." + region + ".amazonaws.com/");
  const size_t scheme = out.url.find("://");
  if (!out.url.starts_with("https://") && !out.url.starts_with("http://"))
    return fail(settings.wrong("url", "begins with neither http:// nor https://"));
  const size_t end = std::min(out.url.find('/', scheme + 3), out.url.size());
  out.host = out.url.substr(scheme + 3, end - scheme - 3);
  if (out.host.empty() || out.url.find_first_of("?#@") != std::string::npos)
    return fail(settings.wrong("url", "is no endpoint; write \"https://HOST/\""));
  if (end < out.url.size())
    out.path = out.url.substr(end);
  else
    out.url += '/';
  return out;
}

Result<CloudWatchOptions> options_of(const ExporterSettings& settings, const Identity& identity) {
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

size_t samples_of(std::span<const FrameRun> batch) {
  size_t frames = 0;
  for (const FrameRun& run : batch) frames += run.frames.size();
  return frames;
}

class CloudWatchDestination final : public Destination {
 public:
  CloudWatchDestination(std::unique_ptr<PushClient> client, CloudWatchOptions options, Endpoint endpoint,
                        std::string region, std::string profile, Nanos timeout)
      : client_(std::move(client)),
        chain_(real_world(*client_), std::move(profile), region),
        encoder_(std::move(options)),
        endpoint_(std::move(endpoint)),
        region_(std::move(region)),
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
    const Nanos wall = real_clock().wall();
    const Result<AwsCredentials> credentials = chain_.get(wall);
    if (!credentials) {
      sent.verdict = Verdict::later;
      sent.message = "no credentials: " + credentials.error().message();
      return sent;
    }
    SigV4Request to_sign;
    to_sign.path = endpoint_.path;
    to_sign.headers = {{"Host", endpoint_.host},
                       {"Content-Type", std::string(kCloudWatchContentType)},
                       {"X-Amz-Target", std::string(kCloudWatchTarget)}};
    to_sign.body = body;
    PushRequest request;
    request.url = endpoint_.url;
    request.timeout = timeout_;
    request.body = body;
    for (const auto& [name, value] : to_sign.headers) request.headers.push_back(name + ": " + value);
    SigV4Scope scope;
    scope.region = region_;
    scope.service = "monitoring";
    scope.wall = wall;
    for (const auto& [name, value] : sigv4_sign(to_sign, *credentials, scope))
      request.headers.push_back(name + ": " + value);
    const Result<PushReply> reply = client_->send(request);
    if (!reply) {
      sent.verdict = Verdict::later;
      sent.message = reply.error().message();
      return sent;
    }
    sent.bytes = body.size();
    const CloudWatchAnswer answer =
        read_cloudwatch_answer(reply->status, reply->header("x-amzn-errortype"), reply->body);
    if (answer.verdict == CloudWatchVerdict::accepted) return sent;
    sent.message = answer.text.empty() ? "HTTP " + std::to_string(reply->status) : answer.text;
    if (answer.verdict == CloudWatchVerdict::keys) chain_.invalidate();
    sent.verdict = may_be_sent_again(answer.verdict) || answer.verdict == CloudWatchVerdict::denied ? Verdict::later
                                                                                                    : Verdict::refused;
    return sent;
  }

  void commit() override { bodies_.clear(); }
  void interrupt() override { client_->interrupt(); }

 private:
  std::unique_ptr<PushClient> client_;
  AwsCredentialChain chain_;
  CloudWatchEncoder encoder_;
  Endpoint endpoint_;
  std::string region_;
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
    Sent sent;
    sent.samples = samples_;
    sent.bytes = text_.size();
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
    if (!status.ok()) {
      sent.verdict = Sent::Verdict::later;
      sent.message = status.message();
    }
    return sent;
  }
  void commit() override {}
  void interrupt() override {
    if (wire_) wire_->interrupt();
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

Result<std::unique_ptr<Destination>> make_cloudwatch(const ExporterSettings& settings, const Identity& identity,
                                                     std::string& where) {
  Result<CloudWatchOptions> options = options_of(settings, identity);
  if (!options) return fail(options.error());
  if (Status status = sigv4_available(); !status.ok()) return fail(std::move(status));
  PushSecurity security;
  security.ca_file = settings.text("ca_file");
  Result<std::unique_ptr<PushClient>> client = PushClient::open(std::move(security));
  if (!client) return fail(client.error());
  const std::string profile = settings.text("profile");
  const AwsWorld world = real_world(**client);
  const std::string region = settings.text("region", aws_region(world, profile));
  if (region.empty())
    return fail(
        settings.wrong("region", "is needed, for example \"eu-central-1\": neither AWS_REGION nor a profile says it"));
  Result<Endpoint> endpoint = endpoint_of(settings, region);
  if (!endpoint) return fail(endpoint.error());
  where = endpoint->url;
  return std::make_unique<CloudWatchDestination>(std::move(*client), std::move(*options), std::move(*endpoint), region,
                                                 profile, settings.duration("timeout", 10 * kSecond));
}

Result<std::unique_ptr<Destination>> make_emf(const ExporterSettings& settings, const Identity& identity,
                                              std::string& where) {
  Result<CloudWatchOptions> options = options_of(settings, identity);
  if (!options) return fail(options.error());
  std::optional<Wire> wire;
  std::optional<RotatingFile> file;
  if (const std::string path = settings.text("path"); !path.empty()) {
    if (settings.has("address")) return fail(settings.wrong("address", "and path exclude each other"));
    where = path;
    file.emplace(path, settings.number("max_bytes", 64u << 20), static_cast<unsigned>(settings.number("keep", 4)));
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
