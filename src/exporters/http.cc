#include "exporters/http.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "base/fd.h"
#include "base/text.h"
#include "net/url.h"

namespace accelmon {
namespace {

constexpr size_t kMostSecrets = 64u << 10;  // bytes of a file
// Shorter words are in every answer by chance.
constexpr size_t kShortestSecret = 6;

// Where servers take what we send: Prometheus, VictoriaMetrics, Mimir, Cortex, Thanos, M3, Collectors, InfluxDB,
// Telegraf.
constexpr std::string_view kKnownPaths[] = {
    "",
    "/",
    "/api/prom/push",
    "/api/v1/otlp/v1/metrics",
    "/api/v1/prom/remote/write",
    "/api/v1/prom/write",
    "/api/v1/push",
    "/api/v1/receive",
    "/api/v1/write",
    "/api/v2/write",
    "/influx/api/v2/write",
    "/influx/write",
    "/opentelemetry/v1/metrics",
    "/otlp/v1/metrics",
    "/prometheus/api/v1/write",
    "/v1/metrics",
    "/write",
};

// Headers whose values are no secret of anybody.
constexpr std::string_view kOpenHeaders[] = {
    "content-type",  "content-encoding", "user-agent", "host",          "te",
    "grpc-encoding", "x-amz-target",     "x-amz-date", "x-scope-orgid", "x-prometheus-remote-write-version"};
// And likewise of a query; who has misspelled one of them should read it in the answer.
constexpr std::string_view kOpenParameters[] = {"bucket", "consistency", "db", "org", "orgID", "precision", "rp"};

bool is_one_of(std::string_view text, std::span<const std::string_view> known) {
  return std::find(known.begin(), known.end(), text) != known.end();
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

// The words of a text between any of `ends`.
void add_words(std::string_view text, std::string_view ends, std::vector<std::string>& out) {
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(ends), text.size());
    out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

void overwrite(std::string& text, std::string_view secret) {
  for (size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at + secret.size()))
    text.replace(at, secret.size(), secret.size(), '*');
}

// The first line of a file that holds one secret.
Result<std::string> secret_in(const std::string& path) {
  Result<std::string> text = read_file(path, kMostSecrets);
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

std::string shown_url(std::string_view url) {
  const UrlParts parts = split_url(url);
  return printable(url_origin(url) + (is_one_of(parts.path, kKnownPaths) ? std::string(parts.path) : "/..."), 200);
}

void hide_secrets(const PushRequest& request, std::vector<std::string> more, PushReply& reply) {
  for (const std::string& header : request.headers) {
    const size_t colon = std::min(header.find(':'), header.size());
    const std::string name = lower(trim(std::string_view(header).substr(0, colon)));
    if (is_one_of(name, kOpenHeaders)) continue;
    // "Token abc": the word alone too.
    const std::string_view value = trim(std::string_view(header).substr(std::min(colon + 1, header.size())));
    more.emplace_back(value);
    add_words(value, " ,;", more);
  }
  const UrlParts parts = split_url(request.url);
  std::vector<std::string> parameters;
  add_words(parts.query, "&", parameters);
  for (const std::string& one : parameters)
    if (const size_t equal = one.find('='); !is_one_of(std::string_view(one).substr(0, equal), kOpenParameters))
      more.emplace_back(one.substr(equal + 1));  // npos + 1 is 0
  if (!is_one_of(parts.path, kKnownPaths)) {
    more.emplace_back(parts.path);
    add_words(parts.path, "/", more);
  }
  if (parts.authority.size() > parts.host.size())
    add_words(parts.authority.substr(0, parts.authority.size() - parts.host.size() - 1), ":", more);
  for (const std::string& secret : more) {
    if (secret.size() < kShortestSecret) continue;
    overwrite(reply.body, secret);
    for (auto& [name, value] : reply.headers)
      if (name != "content-type" && name != "retry-after") overwrite(value, secret);
  }
}

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
  out.headers_file_ = settings.text("headers_file");
  if (!out.token_file_.empty() && !out.username_.empty())
    return fail(settings.wrong("bearer_token_file", "and username exclude each other"));
  std::vector<std::string> unused;
  std::string password;
  if (Status status = out.authorize(unused, password); !status.ok()) return fail(std::move(status));
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

Status HttpDestination::add_secret_headers(std::vector<std::string>& headers) const {
  const auto wrong = [&](Code code, const std::string& why) {
    return Status(code, "exporters." + name_ + ".headers_file: " + why);
  };
  const Result<std::string> text = read_file(headers_file_, kMostSecrets);
  if (!text) return wrong(text.error().code(), text.error().message());
  size_t number = 0, found = 0;
  for (std::string_view rest = *text; !rest.empty();) {
    ++number;
    const std::string_view line = trim(next_line(rest));
    if (line.empty()) continue;
    // A line is a secret: its number alone is told.
    const std::string where = headers_file_ + ": line " + std::to_string(number);
    if (!valid_header(line)) return wrong(Code::invalid, where + " is no header; write \"Name: value\"");
    if ((!token_file_.empty() || !username_.empty()) && lower(trim(line.substr(0, line.find(':')))) == "authorization")
      return wrong(Code::invalid, where + ", Authorization, and username or bearer_token_file exclude each other");
    headers.emplace_back(line);
    ++found;
  }
  return found == 0 ? wrong(Code::invalid, headers_file_ + " is empty") : Status();
}

Status HttpDestination::authorize(std::vector<std::string>& headers, std::string& password) const {
  if (!headers_file_.empty())
    if (Status status = add_secret_headers(headers); !status.ok()) return status;
  if (!token_file_.empty()) {
    const Result<std::string> token = secret_in(token_file_);
    if (!token) return {token.error().code(), "exporters." + name_ + ".bearer_token_file: " + token.error().message()};
    headers.push_back("Authorization: Bearer " + *token);
  } else if (!username_.empty()) {
    if (!password_file_.empty()) {
      Result<std::string> found = secret_in(password_file_);
      if (!found) return {found.error().code(), "exporters." + name_ + ".password_file: " + found.error().message()};
      password = std::move(*found);
    }
    headers.push_back("Authorization: Basic " + encode_base64(username_ + ":" + password));
  }
  return {};
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
  std::string password;
  if (const Status status = authorize(request.headers, password); !status.ok()) return Sent::not_now(status);
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
  if (reply.status / 100 != 2 || !reply.body.empty()) {
    request.url = url_;  // with all that it may hide, whatever was asked
    hide_secrets(request, {password}, reply);
  }
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
