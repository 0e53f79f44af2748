#include "net/http_client.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12, instrumenting, suspects boost::optional in the parser
#endif

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <optional>

#include "base/fd.h"
#include "base/text.h"
#include "net/address.h"

namespace accelmon {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

constexpr size_t kMaxReplyHeader = 16384;
constexpr uint64_t kMaxReplyBody = 64u << 20;
constexpr size_t kMaxPending = 64u << 10;  // received and not yet understood
constexpr std::string_view kUnixPrefix = "unix:";

// The time that is left of a request.
class Deadline {
 public:
  explicit Deadline(Nanos timeout) : end_(real_clock().monotonic() + std::max<Nanos>(timeout, 0)) {}
  // Waits until the socket is ready for `events`. False when the time is over.
  bool wait(int fd, short events) const {
    for (;;) {
      const Nanos left = end_ - real_clock().monotonic();
      if (left <= 0) return false;
      pollfd one{fd, events, 0};
      const int ready =
          ::poll(&one, 1, static_cast<int>(std::min<Nanos>((left + kMillisecond - 1) / kMillisecond, 60'000)));
      if (ready > 0) return true;
      if (ready < 0 && errno != EINTR) return true;  // the following call says what is wrong
    }
  }

  // A moment's rest where there is nothing to wait for. False when the time is over.
  bool rest() const {
    ::poll(nullptr, 0, 5);
    return real_clock().monotonic() < end_;
  }

 private:
  Nanos end_;
};

struct Endpoint {
  std::vector<SocketAddress> addresses;
  std::string host;  // for the Host header
};

Result<Endpoint> parse_endpoint(const std::string& text) {
  Endpoint out;
  if (text.starts_with(kUnixPrefix)) {
    const Result<SocketAddress> address = unix_address(text.substr(kUnixPrefix.size()));
    if (!address) return fail(address.error());
    out.addresses.push_back(*address);
    out.host = "localhost";
    return out;
  }
  Result<HostPort> where = parse_host_port(text);
  if (!where) return fail(where.error());
  if (where->host.empty()) where->host = "localhost";
  Result<std::vector<SocketAddress>> addresses = resolve(*where);
  if (!addresses) return fail(addresses.error());
  out.addresses = std::move(*addresses);
  out.host = text.front() == ':' ? "localhost" + text : text;
  return out;
}

Status too_slow(const std::string& endpoint) {
  return Status(Code::timeout, endpoint + ": no answer in time");
}

Status refused(const std::string& endpoint, int error) {
  const Code code = error == ECONNREFUSED || error == ENOENT ? Code::absent
                    : error == EACCES || error == EPERM      ? Code::no_permission
                    : error == ETIMEDOUT                     ? Code::timeout
                                                             : Code::io;
  const std::string message = Status::from_errno(error, endpoint).message();
  return Status(code, code == Code::absent ? message + ": nobody listens there" : message);
}

Result<UniqueFd> connect_one(const SocketAddress& address, const std::string& endpoint, const Deadline& deadline) {
  UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail(refused(endpoint, errno));
  const int on = 1;
  if (address.storage.ss_family != AF_UNIX) ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  for (;;) {
    if (::connect(fd.get(), address.get(), address.size) == 0) return fd;
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EAGAIN) {  // a Unix socket whose queue is full: nothing tells when it has room
      if (!deadline.rest()) return fail(too_slow(endpoint));
      continue;
    }
    if (error != EINPROGRESS) return fail(refused(endpoint, error));
    break;
  }
  if (!deadline.wait(fd.get(), POLLOUT)) return fail(too_slow(endpoint));
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return fail(refused(endpoint, error));
  return fd;
}

Result<UniqueFd> connect_any(const Endpoint& endpoint, const std::string& name, const Deadline& deadline) {
  std::optional<Status> first;
  for (const SocketAddress& address : endpoint.addresses) {
    Result<UniqueFd> fd = connect_one(address, name, deadline);
    if (fd) return fd;
    if (!first) first = fd.error();
  }
  return fail(*first);
}

Status send_all(int fd, std::string_view bytes, const std::string& endpoint, const Deadline& deadline) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
      continue;
    }
    if (errno == EINTR) continue;
    // A server that refuses may have answered already: the answer is worth more than the error.
    if (errno == EPIPE || errno == ECONNRESET) return {};
    if (errno != EAGAIN && errno != EWOULDBLOCK) return Status::from_errno(errno, endpoint);
    if (!deadline.wait(fd, POLLOUT)) return too_slow(endpoint);
  }
  return {};
}

using Parser = http::response_parser<http::string_body>;

// "0\r\n\r\n", without which no chunked body ends. With less at hand the parser of Boost 1.74 may fail an assertion.
constexpr size_t kShortestChunk = 5;

// Reads one response, waiting for what is missing. Responses of 1xx are none.
class ReplyReader {
 public:
  ReplyReader(int fd, const std::string& endpoint, const Deadline& deadline)
      : fd_(fd), endpoint_(endpoint), deadline_(deadline) {}

  Result<HttpReply> read(bool head_only) {
    for (int informational = 0; informational < 8; ++informational) {
      Parser parser;
      parser.header_limit(kMaxReplyHeader);
      parser.body_limit(kMaxReplyBody);
      if (head_only) parser.skip(true);
      if (Status status = fill(parser); !status.ok()) return fail(std::move(status));
      if (parser.get().result_int() / 100 == 1) continue;
      HttpReply reply;
      reply.status = parser.get().result_int();
      const auto type = parser.get()[http::field::content_type];
      reply.content_type.assign(type.data(), type.size());
      reply.body = std::move(parser.get().body());
      return reply;
    }
    return fail(Code::invalid, endpoint_ + ": the answer does not come to its end");
  }

 private:
  Status not_http(const std::string& why) const {
    return Status(Code::invalid, endpoint_ + ": the answer is not HTTP: " + why);
  }

  static bool in_chunks(const Parser& parser) { return parser.is_header_done() && parser.chunked(); }

  Status fill(Parser& parser) {
    size_t header_bytes = 0;
    while (!parser.is_done()) {
      if (in_.size() >= (in_chunks(parser) ? kShortestChunk : 1)) {
        error_code error;
        const bool in_header = !parser.is_header_done();
        const size_t used = parser.put(boost::asio::const_buffer(in_.data(), in_.size()), error);
        in_.erase(0, used);
        if (in_header && (header_bytes += used) + (parser.is_header_done() ? 0 : in_.size()) > 2 * kMaxReplyHeader)
          return not_http("its header has no end");
        if (error == http::error::body_limit)
          return Status(Code::exhausted, endpoint_ + ": the answer is larger than " + format_size(kMaxReplyBody));
        if (error && error != http::error::need_more) return not_http(error.message());
        if (!error) continue;
        if (in_.size() > kMaxPending) return not_http("a line has no end");
      }
      Result<bool> more = receive();
      if (!more) return more.error();
      if (*more) continue;
      if (!parser.got_some()) return Status(Code::invalid, endpoint_ + ": the connection was closed without an answer");
      error_code error;
      parser.put_eof(error);
      if (error) return Status(Code::io, endpoint_ + ": the answer was cut off");
    }
    return {};
  }

  // False at the end of the stream.
  Result<bool> receive() {
    char chunk[16384];
    for (;;) {
      const ssize_t n = ::recv(fd_, chunk, sizeof chunk, 0);
      if (n > 0) {
        in_.append(chunk, static_cast<size_t>(n));
        return true;
      }
      if (n == 0) return false;
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) return fail(Status::from_errno(errno, endpoint_));
      if (!deadline_.wait(fd_, POLLIN)) return fail(too_slow(endpoint_));
    }
  }

  int fd_;
  const std::string& endpoint_;
  const Deadline& deadline_;
  std::string in_;
};

bool fits_a_request_line(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

Result<HttpReply> request_and_reply(std::string_view method, const std::string& endpoint, std::string_view target,
                                    Nanos timeout) {
  if (!fits_a_request_line(method) || !fits_a_request_line(target))
    return fail(Code::invalid, "not a request: " + printable(method, 20) + " " + printable(target, 80));
  const Result<Endpoint> where = parse_endpoint(endpoint);
  if (!where) return fail(where.error());
  const Deadline deadline(timeout);
  const Result<UniqueFd> fd = connect_any(*where, endpoint, deadline);
  if (!fd) return fail(fd.error());

  std::string request(method);
  request += ' ';
  request += target;
  request += " HTTP/1.1\r\nHost: ";
  request += where->host;
  request += "\r\nUser-Agent: accelmon/" ACCELMON_VERSION "\r\nAccept: */*\r\nConnection: close\r\n";
  if (method == "POST") request += "Content-Length: 0\r\n";
  request += "\r\n";
  if (Status status = send_all(fd->get(), request, endpoint, deadline); !status.ok()) return fail(std::move(status));
  return ReplyReader(fd->get(), endpoint, deadline).read(method == "HEAD");
}

}  // namespace

Result<HttpReply> http_request(std::string_view method, const std::string& endpoint, std::string_view target,
                               Nanos timeout) {
  try {
    return request_and_reply(method, endpoint, target, timeout);
  } catch (const std::exception& error) {  // no memory for the body
    return fail(Code::exhausted, endpoint + ": " + error.what());
  }
}

}  // namespace accelmon
