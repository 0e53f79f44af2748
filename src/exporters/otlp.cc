// OTLP: over HTTP as protobuf or JSON, and over gRPC.
#include "exporters/destinations.h"

#include <algorithm>
#include <limits>

#include "base/text.h"
#include "encode/gzip.h"
#include "encode/otlp.h"
#include "exporters/http.h"
#include "exporters/pieces.h"

namespace accelmon {
namespace {

constexpr std::string_view kGrpcPath = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

// gRPC's codes that mean "not now" (OTLP's specification); resource_exhausted (8) only where it says when.
bool retryable(uint64_t code) {
  return code == 1 || code == 4 || code == 10 || code == 11 || code == 14 || code == 15;
}
// Nobody is there who knows us: unimplemented, permission_denied, unauthenticated.
bool for_somebody_to_mend(uint64_t code) {
  return code == 12 || code == 7 || code == 16;
}

// What servers say of a message in a compression that they lack (C++ and Python, Go, Java, Rust, .NET).
bool speaks_of_compression(std::string_view message) {
  for (const std::string_view word : {"ompress", "ncoding"})
    if (message.find(word) != std::string_view::npos) return true;
  return false;
}

class OtlpDestination final : public Destination {
 public:
  enum class Transport : uint8_t { http, grpc, grpc_gzip };
  OtlpDestination(HttpDestination http, const OtlpOptions& options, Transport transport)
      : http_(std::move(http)), encoder_(options), form_(options.form), grpc_(transport != Transport::http) {
    if (transport == Transport::grpc_gzip) compress(true);
  }

  void begin(std::span<const FrameRun> batch) override {
    batch_ = batch;
    pieces_.begin();
    pieces_.advance();
    encode();
  }

  bool next() override {
    bool fresh = pieces_.advance() || pieces_.done() != 0;
    if (pieces_.done() >= encoder_.all_points()) {
      if (!pieces_.go_back()) return false;
      fresh = pieces_.advance();
    }
    if (fresh) encode();
    pieces_.took(encoder_.points());
    return true;
  }

  Sent send() override {
    PushReply reply;
    Sent sent = http_.post(grpc_ ? framed_ : body_, reply);
    sent.samples = encoder_.points();
    pieces_.judge(sent, grpc_ ? judge_grpc(reply, sent) : judge_http(reply, sent));
    return sent;
  }
  void commit() override {
    encoder_.commit();
    batch_ = {};
  }
  uint64_t late() const override { return encoder_.late(); }
  void interrupt() override { http_.interrupt(); }

 private:
  using Fault = Pieces::Fault;
  void encode() {
    body_ = encoder_.encode(batch_, pieces_.done(), pieces_.size());
    if (grpc_) frame();
  }

  // What was encoded as one message of gRPC: whether it is compressed, its length in network order, itself.
  void frame() {
    std::string_view message = body_;
    if (compressor_) {
      compressor_->compress(message, compressed_);
      message = compressed_;
    }
    framed_.clear();
    framed_.push_back(compressor_ ? '\1' : '\0');
    const auto size = static_cast<uint32_t>(message.size());
    for (const int shift : {24, 16, 8, 0}) framed_.push_back(static_cast<char>(size >> shift & 0xffu));
    framed_.append(message);
  }

  void compress(bool on) {
    compressor_ = on ? std::make_unique<GzipEncoder>() : nullptr;
    http_.set_header("grpc-encoding", on ? "gzip" : "identity");
  }

  Fault judge_http(const PushReply& reply, Sent& sent) const {
    using Verdict = Sent::Verdict;
    if (reply.status == 0) return Fault::none;
    // Of all that fails only what means "not now" may be sent again.
    if (sent.verdict == Verdict::failed) sent.verdict = Verdict::refused;
    // An answer is in the form that its own header says; ours where it says nothing.
    const std::string_view type = reply.header("content-type");
    const OtlpForm form = type.starts_with("application/json")         ? OtlpForm::json
                          : type.starts_with("application/x-protobuf") ? OtlpForm::protobuf
                                                                       : form_;
    if (sent.verdict == Sent::Verdict::delivered) {
      if (const Result<OtlpAnswer> answer = decode_otlp_answer(reply.body, form)) note(*answer, sent);
      return Fault::none;
    }
    if (const Result<RpcStatus> status = decode_rpc_status(reply.body, form); status && !status->message.empty()) {
      sent.message = "HTTP " + std::to_string(reply.status) + ": " + status->message;
      if (sent.retry_after == 0) sent.retry_after = status->retry_after.value_or(0);
    }
    return reply.status == 413 ? Fault::size : reply.status == 400 || reply.status == 422 ? Fault::sample : Fault::none;
  }

  static void note(const OtlpAnswer& answer, Sent& sent) {
    sent.rejected = static_cast<uint64_t>(std::max<int64_t>(answer.rejected_points, 0));
    if (sent.rejected > 0) sent.message = std::to_string(sent.rejected) + " points were rejected: " + answer.message;
  }

  Fault judge_grpc(const PushReply& reply, Sent& sent) {
    using Verdict = Sent::Verdict;
    if (reply.status == 0) return Fault::none;  // not reached
    const std::string_view code_text = reply.header("grpc-status");
    const auto code = parse_u64(code_text);
    if (!code) {
      if (sent.verdict == Verdict::delivered) {
        sent.verdict = Verdict::later;
        sent.message = "the answer has no grpc-status: is this a gRPC server?";
      }
      return Fault::none;
    }
    if (*code == 0) {
      sent.verdict = Verdict::delivered;
      sent.message.clear();
      // One message behind five bytes.
      if (reply.body.size() > 5 && reply.body[0] == '\0')
        if (const Result<OtlpAnswer> answer =
                decode_otlp_answer(std::string_view(reply.body).substr(5), OtlpForm::protobuf))
          note(*answer, sent);
      return Fault::none;
    }
    sent.message = "gRPC status " + std::to_string(*code) + ": " + printable(reply.header("grpc-message"), 200);
    if (*code == 12 && compressor_ && speaks_of_compression(reply.header("grpc-message"))) {
      compress(false);
      frame();
      sent.verdict = Verdict::later;
      sent.note = "not compressed: the receiver takes no gzip";
      return Fault::none;
    }
    std::optional<Nanos> after;
    const std::string_view details = reply.header("grpc-status-details-bin");
    if (std::string bytes; !details.empty() && decode_base64(details, bytes))
      if (const Result<RpcStatus> status = decode_rpc_status(bytes, OtlpForm::protobuf)) after = status->retry_after;
    sent.retry_after = std::max(sent.retry_after, after.value_or(0));
    const bool not_now = retryable(*code) || for_somebody_to_mend(*code) || (*code == 8 && after);
    sent.verdict = not_now ? Verdict::later : Verdict::refused;
    // A server says resource_exhausted as well of a message above its bound ("received message larger than max").
    return *code == 3 ? Fault::sample
           : *code == 8 && reply.header("grpc-message").find("larger than max") != reply.header("grpc-message").npos
               ? Fault::size
               : Fault::none;
  }

  HttpDestination http_;
  OtlpEncoder encoder_;
  OtlpForm form_;
  bool grpc_;
  std::span<const FrameRun> batch_;
  Pieces pieces_{std::numeric_limits<size_t>::max()};
  std::string_view body_;
  std::string framed_, compressed_;          // gRPC
  std::unique_ptr<GzipEncoder> compressor_;  // nullptr: messages are not compressed
};

}  // namespace

Result<std::unique_ptr<Destination>> make_otlp(const ExporterSettings& settings, const Identity& identity,
                                               std::string& where) {
  const Result<std::string> protocol = settings.word("protocol", {"http/protobuf", "http/json", "grpc"});
  if (!protocol) return fail(protocol.error());
  const Result<std::string> temporality = settings.word("temporality", {"cumulative", "delta"});
  if (!temporality) return fail(temporality.error());
  const auto resource = settings.pairs("labels");
  if (!resource) return fail(resource.error());
  const bool grpc = *protocol == "grpc";
  OtlpOptions options;
  options.form = *protocol == "http/json" ? OtlpForm::json : OtlpForm::protobuf;
  options.temporality = *temporality == "delta" ? OtlpTemporality::delta : OtlpTemporality::cumulative;
  options.resource = {{"service.name", "accelmon"},          {"service.instance.id", identity.hostname},
                      {"service.version", identity.version}, {"host.name", identity.hostname},
                      {"host.id", identity.host_id},         {"os.type", "linux"}};
  for (const auto& [key, value] : *resource) {
    const auto known = std::find_if(options.resource.begin(), options.resource.end(),
                                    [&, &wanted = key](const auto& one) { return one.first == wanted; });
    if (known != options.resource.end())
      known->second = value;
    else
      options.resource.emplace_back(key, value);
  }
  std::vector<std::string> headers{"Content-Type: " +
                                   (grpc ? std::string("application/grpc") : std::string(content_type(options.form)))};
  if (grpc) headers.emplace_back("TE: trailers");
  Result<HttpDestination> http = HttpDestination::make(
      settings, identity, std::move(headers), grpc ? "http://127.0.0.1:4317" : "http://127.0.0.1:4318/v1/metrics");
  if (!http) return fail(http.error());
  const bool gzip = settings.flag("gzip", true);
  http->gzip = gzip && !grpc;
  http->http2 = grpc;
  if (settings.flag("aws", false)) {
    if (grpc) return fail(settings.wrong("aws", "goes with http/protobuf and http/json alone"));
    if (Status status = http->sign_for(settings, "monitoring"); !status.ok()) return fail(std::move(status));
  }
  if (grpc) http->path = kGrpcPath;
  where = http->shown();
  using Transport = OtlpDestination::Transport;
  return std::make_unique<OtlpDestination>(std::move(*http), options,
                                           !grpc  ? Transport::http
                                           : gzip ? Transport::grpc_gzip
                                                  : Transport::grpc);
}

}  // namespace accelmon
