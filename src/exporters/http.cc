#include "exporters/http.h"

#include <algorithm>

#include "base/fd.h"
#include "base/text.h"
#include "net/url.h"

namespace accelmon {
namespace {

// The first line of a file that holds one secret.
Result<std::string> secret_in(const std::string& path) {
  Result<std::string> text = read_file(path, 64u << 10);
  if (!text) return fail(text.error());
  const std::string_view line = trim(std::string_view(*text).substr(0, text->find('\n')));
  if (line.empty()) return fail(Code::invalid, path + " is empty");
  return std::string(line);
}

bool valid_header(std::string_view header) {
  return header.find(':') != std::string_view::npos && header.find(':') != 0 &&
         std::none_of(header.begin(), header.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

}  // namespace

Result<HttpDestination> HttpDestination::make(const ExporterSettings& settings, const Identity& identity,
                                              std::vector<std::string> defaults, std::string_view example_url) {
  HttpDestination out;
  out.name_ = settings.name;
  Result<std::string> url = settings.needed("url", example_url);
  if (!url) return fail(url.error());
  if (!url->starts_with("http://") && !url->starts_with("https://"))
    return fail(settings.wrong("url", "begins with neither http:// nor https://"));
  out.url_ = std::move(*url);
  out.unix_socket_ = settings.text("unix_socket");
  out.headers_ = std::move(defaults);
  out.headers_.push_back("User-Agent: accelmon/" + identity.version);
  for (const std::string& header : settings.list("headers")) {
    if (!valid_header(header)) return fail(settings.wrong("headers", "holds what is no header; write \"Name: value\""));
    out.headers_.push_back(header);
  }
  out.timeout_ = settings.duration("timeout", 10 * kSecond);
  out.username_ = settings.text("username");
  out.password_file_ = settings.text("password_file");
  out.token_file_ = settings.text("bearer_token_file");
  if (!out.token_file_.empty() && !out.username_.empty())
    return fail(settings.wrong("bearer_token_file", "and username exclude each other"));
  std::vector<std::string> unused;
  if (Status status = out.authorize(unused); !status.ok()) return fail(std::move(status));
  PushSecurity security;
  security.ca_file = settings.text("ca_file");
  security.cert_file = settings.text("cert_file");
  security.key_file = settings.text("key_file");
  security.verify = settings.flag("verify", true);
  Result<std::unique_ptr<PushClient>> client = PushClient::open(std::move(security));
  if (!client) return fail(client.error());
  out.client_ = std::move(*client);
  return out;
}

Status HttpDestination::authorize(std::vector<std::string>& headers) const {
  if (!token_file_.empty()) {
    const Result<std::string> token = secret_in(token_file_);
    if (!token) return {token.error().code(), "exporters." + name_ + ".bearer_token_file: " + token.error().message()};
    headers.push_back("Authorization: Bearer " + *token);
  } else if (!username_.empty()) {
    std::string password;
    if (!password_file_.empty()) {
      Result<std::string> found = secret_in(password_file_);
      if (!found) return {found.error().code(), "exporters." + name_ + ".password_file: " + found.error().message()};
      password = std::move(*found);
    }
    headers.push_back("Authorization: Basic " + encode_base64(username_ + ":" + password));
  }
  return {};
}

std::string HttpDestination::shown() const {
  const UrlParts parts = split_url(url_);
  return printable(std::string(parts.scheme) + std::string(parts.host) + std::string(parts.path), 200);
}

Status HttpDestination::sign_for(const ExporterSettings& settings, std::string service) {
  Result<std::unique_ptr<AwsSigner>> signer = AwsSigner::make(settings, std::move(service), *client_);
  if (!signer) return signer.error();
  signer_ = std::move(*signer);
  return {};
}

void HttpDestination::set_header(std::string_view name, std::string_view value) {
  const std::string begin = std::string(name) + ":";
  std::erase_if(headers_, [&](const std::string& one) { return one.starts_with(begin); });
  headers_.push_back(begin + " " + std::string(value));
}

Sent HttpDestination::post(std::string_view body, PushReply& reply) {
  using Verdict = Sent::Verdict;
  Sent sent;
  PushRequest request;
  request.url = url_;
  if (!path.empty()) {
    const UrlParts parts = split_url(url_);
    request.url = std::string(parts.scheme) + std::string(parts.authority) + path;
  }
  request.headers = headers_;
  request.unix_socket = unix_socket_;
  request.timeout = timeout_;
  request.http2 = http2;
  if (const Status status = authorize(request.headers); !status.ok()) return Sent::not_now(status);
  if (gzip) {
    if (!compressor_) compressor_ = std::make_unique<GzipEncoder>();
    compressor_->compress(body, compressed_);
    request.headers.emplace_back("Content-Encoding: gzip");
    body = compressed_;
  }
  request.body = body;
  sent.bytes = body.size();
  if (signer_)
    if (const Status status = signer_->sign(request); !status.ok()) return Sent::not_now(status);
  Result<PushReply> answer = client_->send(request);
  if (!answer) return Sent::not_now(answer.error());
  reply = std::move(*answer);
  const unsigned status = reply.status;
  if (status / 100 == 2) return sent;
  sent.message = "HTTP " + std::to_string(status);
  if (const std::string said = printable(trim(std::string_view(reply.body).substr(0, 400)), 200); !said.empty())
    sent.message += ": " + said;
  if (signer_ && (status == 401 || status == 403)) signer_->invalidate();  // they may have expired
  parse_retry_after(reply.header("retry-after"), real_clock().wall(), sent.retry_after);
  switch (status) {
    case 408:  // too slow
    case 425:
    case 429:  // too often
    case 502:
    case 503:
    case 504:
    // Nobody is there yet, or nobody who knows us: somebody will mend it, and nothing is lost until then.
    case 401:
    case 403:
    case 404:
    case 405:
    case 407:
      sent.verdict = Verdict::later;
      break;
    default:
      // A redirection is not followed, so that credentials go where the user sends them.
      sent.verdict = status / 100 == 5 ? Verdict::failed : status / 100 == 3 ? Verdict::later : Verdict::refused;
      if (status / 100 == 3) sent.message += "; it redirects to another place: write that one as the url";
      break;
  }
  return sent;
}

}  // namespace accelmon
