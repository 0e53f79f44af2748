#include "net/http_request.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12, instrumenting, suspects boost::optional in the parser
#endif

#include <algorithm>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>

namespace accelmon {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

bool split_target(std::string_view target, Target& out) {
  out = {};
  for (const char c : target)
    if (c <= ' ' || c >= 0x7f || c == '#') return false;
  for (const std::string_view scheme : {std::string_view("http://"), std::string_view("https://")}) {
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    const size_t end = target.find_first_of("/?");
    if (end == 0 || target.empty()) return false;
    out.authority = target.substr(0, end);
    target.remove_prefix(end == std::string_view::npos ? target.size() : end);
    if (target.empty() || target.front() == '?') {
      out.path = "/";
      out.query = target.empty() ? target : target.substr(1);
      return true;
    }
    break;
  }
  if (target.empty() || target.front() != '/') return false;
  const size_t mark = target.find('?');
  out.path = target.substr(0, mark);
  out.query = mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  return true;
}

struct RequestReader::Impl {
  using Parser = http::request_parser<http::string_body>;

  size_t max_body;
  std::string large_path;
  size_t large_body;
  std::optional<Parser> parser;
  bool header_seen = false;
  size_t consumed = 0;  // bytes of this request so far
  HttpRequest request;
  std::string accept, accept_encoding;  // where a client sent several lines of one header
  unsigned error_status = 0;
  std::string error_text;

  Step fail(unsigned status, std::string text) {
    error_status = status;
    error_text = std::move(text);
    error_text += '\n';
    return Step::bad;
  }

  std::string_view joined(http::field name, std::string& several) {
    const auto [first, last] = parser->get().equal_range(name);
    if (first == last) return {};
    if (std::next(first) == last) return view(first->value());
    several.clear();
    for (auto one = first; one != last; ++one) {
      if (one != first) several += ',';
      several += view(one->value());
    }
    return several;
  }

  // The header is complete: checks it and fills the request. Step::done stands for "nothing wrong".
  Step look_at_header() {
    const auto& message = parser->get();
    Target target;
    if (!split_target(view(message.target()), target))
      return fail(
          400, "bad request: the target is malformed; it begins with '/' and has no spaces, control characters or '#'");
    const size_t hosts = message.count(http::field::host);
    if (hosts > 1 || (hosts == 0 && message.version() >= 11))
      return fail(400, "bad request: HTTP/1.1 wants exactly one Host header");
    // Nobody sends us bodies of unknown length, and the parser of chunks is left out of reach: fed byte by byte, the
    // one of Boost 1.74 fails an assertion of its own.
    if (message.count(http::field::transfer_encoding) != 0)
      return fail(411, "send the request's body with a Content-Length");
    request = HttpRequest();
    request.method = view(message.method_string());
    request.path = target.path;
    request.query = target.query;
    request.accept = joined(http::field::accept, accept);
    request.accept_encoding = joined(http::field::accept_encoding, accept_encoding);
    request.scrape_timeout = view(message["X-Prometheus-Scrape-Timeout-Seconds"]);
    request.if_none_match = view(message[http::field::if_none_match]);
    request.host = view(message[http::field::host]);
    request.authority = target.authority;
    if (message.count(http::field::authorization) == 1)
      request.authorization = view(message[http::field::authorization]);
    // The parser's own bound is the larger one: it wants to know before it has seen the path.
    const auto length = parser->content_length();
    if (length && *length > (takes_large() ? large_body : max_body)) return body_too_large();
    return Step::done;
  }

  bool takes_large() const { return !large_path.empty() && request.path == large_path; }
  Step header_too_large() {
    return fail(431, "the request's header is larger than " + std::to_string(kMaxHeaderBytes) + " bytes");
  }
  Step body_too_large() {
    return fail(
        413, "the request's body is larger than " + std::to_string(takes_large() ? large_body : max_body) + " bytes");
  }
  Step explain(const beast::error_code& error) {
    if (error == http::error::header_limit) return header_too_large();
    if (error == http::error::body_limit) return body_too_large();
    return fail(400, "bad request: " + error.message());
  }

  // Beast bounds what it is given at once; a header that drips in line by line it would take for ever.
  bool header_is_small(size_t pending) const { return consumed + pending <= kMaxHeaderBytes; }
};

RequestReader::RequestReader(size_t max_body, std::string_view large_path, size_t large_body)
    : impl_(std::make_unique<Impl>()) {
  impl_->max_body = max_body;
  impl_->large_path = large_path;
  impl_->large_body = large_body;
  reset();
}
RequestReader::~RequestReader() = default;
RequestReader::RequestReader(RequestReader&&) noexcept = default;
RequestReader& RequestReader::operator=(RequestReader&&) noexcept = default;

void RequestReader::reset() {
  impl_->parser.emplace();
  impl_->parser->header_limit(kMaxHeaderBytes);
  impl_->parser->body_limit(std::max(impl_->max_body, impl_->large_body));
  impl_->request = HttpRequest();
  impl_->header_seen = false;
  impl_->consumed = 0;
  impl_->error_status = 0;
}

RequestReader::Step RequestReader::feed(std::string_view bytes, size_t& used) {
  Impl& impl = *impl_;
  used = 0;
  if (impl.error_status != 0) return Step::bad;
  while (!impl.parser->is_done()) {
    if (used == bytes.size()) return Step::more;
    beast::error_code error;
    const size_t taken = impl.parser->put(boost::asio::const_buffer(bytes.data() + used, bytes.size() - used), error);
    used += taken;
    impl.consumed += taken;
    const bool wants_more = error == http::error::need_more;
    if (error && !wants_more) return impl.explain(error);
    if (!impl.header_seen) {
      const bool complete = impl.parser->is_header_done();
      if (!impl.header_is_small(complete ? 0 : bytes.size() - used)) return impl.header_too_large();
      if (complete) {
        impl.header_seen = true;
        if (impl.look_at_header() == Step::bad) return Step::bad;
        if (!impl.parser->is_done()) return Step::header;
      }
    }
    if (wants_more) return Step::more;
  }
  impl.request.body = impl.parser->get().body();
  return Step::done;
}

const HttpRequest& RequestReader::request() const {
  return impl_->request;
}
bool RequestReader::keep_alive() const {
  return impl_->parser->get().keep_alive();
}
bool RequestReader::http_1_0() const {
  return impl_->parser->get().version() < 11;
}
bool RequestReader::expects_continue() const {
  return !http_1_0() && beast::iequals(impl_->parser->get()[http::field::expect], "100-continue");
}
unsigned RequestReader::error_status() const {
  return impl_->error_status;
}
const std::string& RequestReader::error_text() const {
  return impl_->error_text;
}

}  // namespace accelmon
