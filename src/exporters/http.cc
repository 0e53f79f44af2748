#include "exporters/http.h"

#include <algorithm>

#include "base/fd.h"
#include "base/text.h"

namespace accelmon {
namespace {

std::string base64(std::string_view text) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < text.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += i + k > text.size() ? '=' : kDigits[group >> (18 - 6 * k) & 63u];
  }
  return out;
}

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
    headers.push_back("Authorization: Basic " + base64(username_ + ":" + password));
  }
  return {};
}

std::string HttpDestination::shown() const {
  const size_t begin = url_.find("://") + 3;
  const size_t end = std::min(url_.find_first_of("?#", begin), url_.size());
  const size_t host_end = std::min(url_.find('/', begin), end);
  const size_t at = url_.rfind('@', host_end);
  const size_t from = at != std::string::npos && at >= begin && at < host_end ? at + 1 : begin;
  return printable(url_.substr(0, begin) + url_.substr(from, end - from), 200);
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
  if (!path.empty()) request.url = url_.substr(0, url_.find('/', url_.find("://") + 3)) + path;
  request.headers = headers_;
  request.unix_socket = unix_socket_;
  request.timeout = timeout_;
  request.http2 = http2;
  if (Status status = authorize(request.headers); !status.ok()) {
    sent.verdict = Verdict::later;
    sent.message = status.message();
    return sent;
  }
  if (gzip) {
    if (!compressor_) compressor_ = std::make_unique<GzipEncoder>();
    compressor_->compress(body, compressed_);
    request.headers.emplace_back("Content-Encoding: gzip");
    body = compressed_;
  }
  request.body = body;
  sent.bytes = body.size();
  if (signer_) {
    if (Status status = signer_->sign(request); !status.ok()) {
      sent.verdict = Verdict::later;
      sent.message = status.message();
      return sent;
    }
  }
  Result<PushReply> answer = client_->send(request);
  if (!answer) {
    sent.verdict = Verdict::later;
    sent.message = answer.error().message();
    return sent;
  }
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
