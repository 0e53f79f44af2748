#include "net/http_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "net/http_response.h"

namespace accelmon {
namespace {

constexpr size_t kReadBytes = 2048;         // room offered to a read
constexpr size_t kKeptBuffer = 4096;        // an idle connection keeps no larger buffer
constexpr size_t kKeptPiece = 64u << 10;    // a stream keeps no larger one
constexpr size_t kDrainBytes = 256u << 10;  // what a refused client may still send before it is cut off
constexpr auto kDrainTime = std::chrono::seconds(2);
constexpr size_t kRecordBytes = 16u << 10;  // the largest record of TLS

TimePoint now() {
  return std::chrono::steady_clock::now();
}

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

}  // namespace

HttpConnection::HttpConnection(const HttpServerOptions& options, const Peer& peer, std::unique_ptr<TlsSession> tls)
    : options_(options),
      peer_(peer),
      tls_(std::move(tls)),
      reader_(options.max_body, options.post_path, options.post_max_body) {
  idle_since_ = now();
  if (tls_ != nullptr) {
    // Records leave as they are made: the last one of a page must not wait for the acknowledgement of those before it.
    const int on = 1;
    (void)::setsockopt(peer_.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    enter(Phase::handshaking, idle_since_ + std::chrono::nanoseconds(options.request_timeout));
    return;
  }
  enter(Phase::idle, idle_since_ + std::chrono::nanoseconds(options.idle_timeout));
}

void HttpConnection::enter(Phase phase, TimePoint deadline) {
  const bool before = awaits();
  phase_ = phase;
  deadline_ = deadline;
  if (awaits() != before) awaiting(!before);
}

void HttpConnection::start() {
  if (peer_.refused && tls_ != nullptr)
    close();  // a handshake to say no would be too much honour
  else if (peer_.refused)
    refuse(503, "too many connections are open; try again\n");
  else
    wait(Readiness::readable);
}

void HttpConnection::close() {
  if (closed_) return;
  closed_ = true;
  enter(Phase::draining, deadline_);
  response_ = HttpResponse();
  gone();
}

void HttpConnection::ready(Readiness what) {
  awaited_[static_cast<size_t>(what)] = false;
  switch (phase_) {
    case Phase::handshaking:
      handshake();
      return;
    case Phase::idle:
    case Phase::reading:
      if (receive()) go_on();
      return;
    case Phase::writing:
      if (send() && finish_response()) go_on();
      return;
    case Phase::waiting:
      return;
    case Phase::streaming:
      if (listen_to_reader()) push_stream();
      return;
    case Phase::draining:
      if (what == Readiness::readable) drain();
      return;
  }
}

void HttpConnection::woken() {
  if (phase_ == Phase::waiting) {
    HttpResponse response;
    if (!response_.later->take(response)) return;
    answer(std::move(response), keep_alive_);
    if (phase_ != Phase::waiting && send() && finish_response()) go_on();
  } else if (phase_ == Phase::streaming && piece_.empty() && !stream_ended_) {
    // Whoever may no longer look must not go on looking.
    stream_ended_ = outdated() || !response_.stream->next(piece_);
    push_stream();
  }
}

void HttpConnection::handshake() {
  switch (tls_->handshake()) {
    case TlsSession::Io::done:
      idle_since_ = now();
      enter(Phase::idle, idle_since_ + std::chrono::nanoseconds(options_.idle_timeout));
      if (receive()) go_on();  // the first request often comes with the handshake's last bytes
      return;
    case TlsSession::Io::want_read:
      wait(Readiness::readable);
      return;
    case TlsSession::Io::want_write:
      wait(Readiness::writable);
      return;
    case TlsSession::Io::plain_http: {
      static constexpr std::string_view kUseTls =
          "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 52\r\n"
          "Connection: close\r\n\r\nthis server speaks TLS: ask it for https://, please\n";
      static_assert(kUseTls.size() - kUseTls.find("\r\n\r\n") - 4 == 52);
      (void)!::send(peer_.fd, kUseTls.data(), kUseTls.size(), MSG_NOSIGNAL);
      count(400);
      end_of_answers();
      return;
    }
    case TlsSession::Io::closed:
      handshake_failed(tls_->trouble());
      close();
      return;
    case TlsSession::Io::failed:
      handshake_failed(tls_->trouble());
      end_of_answers();  // the alert that says why has left, and is to arrive
      return;
  }
}

void HttpConnection::wait(Readiness what) {
  watch(deadline_);
  bool& awaited = awaited_[static_cast<size_t>(what)];
  if (std::exchange(awaited, true)) return;
  wait_for(what);
}

// What a call into TLS comes to.
HttpConnection::Moved HttpConnection::after(TlsSession::Io io) {
  switch (io) {
    case TlsSession::Io::done:
      return Moved::some;
    case TlsSession::Io::want_read:
      wait(Readiness::readable);
      return Moved::later;
    case TlsSession::Io::want_write:
      wait(Readiness::writable);
      return Moved::later;
    default:
      return Moved::end;
  }
}

// Takes what is there of the client's bytes.
HttpConnection::Moved HttpConnection::read_some(char* to, size_t size, size_t& got) {
  got = 0;
  if (tls_ != nullptr) return after(tls_->read(to, size, got));
  ssize_t n;
  do {
    n = ::recv(peer_.fd, to, size, 0);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && would_block(errno)) {
    wait(Readiness::readable);
    return Moved::later;
  }
  if (n <= 0) return Moved::end;
  got = static_cast<size_t>(n);
  return Moved::some;
}

// Gives some of what is left of the response to the socket.
HttpConnection::Moved HttpConnection::write_some(size_t& sent) {
  sent = 0;
  const std::string_view body = body_allowed_ ? response_.body : std::string_view();
  const size_t body_sent = sent_ > head_.size() ? sent_ - head_.size() : 0;
  if (tls_ != nullptr) {
    // Head and body share records: a small page is one of them. After want_write the same bytes are made again.
    char record[kRecordBytes];
    size_t size = 0;
    if (sent_ < head_.size()) size = head_.copy(record, sizeof record, sent_);
    size += body.copy(record + size, sizeof record - size, body_sent);
    return after(tls_->write(record, size, sent));
  }
  iovec parts[2];
  size_t used = 0;
  if (sent_ < head_.size()) parts[used++] = {head_.data() + sent_, head_.size() - sent_};
  if (body_sent < body.size()) parts[used++] = {const_cast<char*>(body.data()) + body_sent, body.size() - body_sent};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = used;
  ssize_t n;
  do {
    n = ::sendmsg(peer_.fd, &message, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && would_block(errno)) {
    wait(Readiness::writable);
    return Moved::later;
  }
  if (n < 0) return Moved::end;
  sent = static_cast<size_t>(n);
  return Moved::some;
}

HttpConnection::Moved HttpConnection::write_bytes(std::string_view bytes, size_t& sent) {
  sent = 0;
  // After want_write the same record is made again.
  if (tls_ != nullptr) return after(tls_->write(bytes.data(), std::min(bytes.size(), kRecordBytes), sent));
  ssize_t n;
  do {
    n = ::send(peer_.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && would_block(errno)) {
    wait(Readiness::writable);
    return Moved::later;
  }
  if (n < 0) return Moved::end;
  sent = static_cast<size_t>(n);
  return Moved::some;
}

// A few bytes beside the responses. They fit into an empty send buffer; if not, nobody is told, and nothing breaks.
void HttpConnection::send_now(std::string_view text) {
  if (tls_ == nullptr) {
    (void)!::send(peer_.fd, text.data(), text.size(), MSG_NOSIGNAL);
    return;
  }
  size_t sent = 0;
  (void)tls_->write(text.data(), text.size(), sent);
}

// Closing now, with bytes of the client unread, would reset the connection and could take our answer with it.
void HttpConnection::end_of_answers() {
  if (tls_ != nullptr) tls_->shutdown();
  ::shutdown(peer_.fd, SHUT_WR);
  enter(Phase::draining, now() + kDrainTime);
  drain();
}

bool HttpConnection::nothing_to_read() const {
  int pending = 0;
  if (tls_ != nullptr && tls_->pending()) return false;
  return ::ioctl(peer_.fd, FIONREAD, &pending) == 0 && pending == 0;
}

bool HttpConnection::may_be_evicted() const {
  return phase_ == Phase::idle && nothing_to_read();
}

bool HttpConnection::stalls() const {
  return (phase_ == Phase::reading || phase_ == Phase::handshaking) && nothing_to_read();
}

// Takes what has arrived. False: nothing to go on with (waiting again, or closed).
bool HttpConnection::receive() {
  for (;;) {
    const size_t before = in_.size();
    size_t got = 0;
    in_.resize(before + kReadBytes);
    const Moved moved = read_some(in_.data() + before, kReadBytes, got);
    if (moved == Moved::some) {
      in_.resize(before + got);
      // The socket will not tell of what TLS holds already: a record, 16 KiB at most.
      if (tls_ != nullptr && tls_->pending()) continue;
      return true;
    }
    if (moved == Moved::end && phase_ == Phase::reading) {
      in_.resize(before);
      refuse(400, "bad request: it ends before it is complete\n");
    } else if (moved == Moved::end) {
      close();
    } else {
      in_.resize(before);
    }
    return false;
  }
}

// Answers the requests that have arrived, in order, until one is incomplete or its response does not leave at once.
void HttpConnection::go_on() {
  while (answer_next()) {
  }
}

// False: it waits, or is closed.
bool HttpConnection::answer_next() {
  if (phase_ == Phase::idle && !in_.empty())
    enter(Phase::reading, now() + std::chrono::nanoseconds(options_.request_timeout));
  while (phase_ == Phase::reading) {
    size_t used = 0;
    const RequestReader::Step step = reader_.feed(in_, used);
    in_.erase(0, used);
    if (step == RequestReader::Step::more) break;
    if (step == RequestReader::Step::bad) {
      refuse(reader_.error_status(), reader_.error_text());
      return false;
    }
    if (step == RequestReader::Step::header && method_allowed()) {
      say_continue();
      continue;
    }
    answer_request();
    if (phase_ == Phase::waiting) {
      woken();  // it may have been quick
      return false;
    }
    return send() && finish_response();
  }
  wait(Readiness::readable);
  return false;
}

bool HttpConnection::method_allowed() const {
  const std::string_view method = reader_.request().method;
  if (method == "GET" || method == "HEAD") return true;
  return method == "POST" &&
         (peer_.local || (!options_.post_path.empty() && reader_.request().path == options_.post_path));
}

void HttpConnection::answer_request() {
  HttpRequest request = reader_.request();
  head_only_ = request.method == "HEAD";
  if (!method_allowed()) {
    HttpResponse no = HttpResponse::text(
        405, request.method == "POST" ? "POST is for the local socket alone\n" : "there is no such method here\n");
    no.headers.emplace_back("Allow", peer_.local ? "GET, HEAD, POST" : "GET, HEAD");
    answer(std::move(no), false);
    return;
  }
  request.local = peer_.local;
  request.uid = peer_.uid;
  answer(handle(request), reader_.keep_alive() && !outdated());
}

// Tells a client that asked first that its body is welcome.
void HttpConnection::say_continue() {
  if (continued_ || !reader_.expects_continue()) return;
  continued_ = true;
  send_now("HTTP/1.1 100 Continue\r\n\r\n");  // where it does not leave, the client goes on after a moment anyway
}

// When so many bytes must have left.
TimePoint HttpConnection::time_for(size_t bytes) const {
  const double seconds = static_cast<double>(bytes) / static_cast<double>(options_.slowest_bytes_per_second);
  return now() + std::chrono::nanoseconds(options_.request_timeout) +
         std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3));
}

void HttpConnection::answer(HttpResponse response, bool keep_alive) {
  if (response.status < 200 || response.status > 599)
    response = HttpResponse::text(500, "internal error: the answer has no sensible status\n");
  response_ = std::move(response);
  keep_alive_ = keep_alive && response_.stream == nullptr;  // only its closing ends a stream
  if (response_.later != nullptr) {
    enter(Phase::waiting, now() + std::chrono::nanoseconds(options_.later_timeout));
    watch(deadline());
    return;
  }
  body_allowed_ = !head_only_ && status_has_body(response_.status);
  sent_ = 0;
  write_head(response_, date(), {.keep_alive = keep_alive_, .http_1_0 = keep_alive_ && reader_.http_1_0()}, head_);
  count(response_.status);
  enter(Phase::writing, time_for(body_allowed_ ? response_.body.size() : 0));
}

// The last answer of a connection: what was sent cannot be read further, or must not be.
void HttpConnection::refuse(unsigned status, std::string text) {
  HttpResponse response = HttpResponse::text(status, std::move(text));
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  head_only_ = false;
  answer(std::move(response), false);
  if (send()) finish_response();
}

// True: all of it has left. False: it waits for room, or the client is gone and the connection closed.
bool HttpConnection::send() {
  const size_t total = head_.size() + (body_allowed_ ? response_.body.size() : 0);
  while (sent_ < total) {
    size_t sent = 0;
    const Moved moved = write_some(sent);
    sent_ += sent;
    if (moved == Moved::later) return false;
    if (moved == Moved::end) {
      close();
      return false;
    }
  }
  return true;
}

// After the last byte of a response. True: the connection goes on with the next request.
bool HttpConnection::finish_response() {
  if (response_.stream != nullptr && body_allowed_) {
    begin_stream();
    return false;
  }
  response_ = HttpResponse();
  if (keep_alive_) {
    reader_.reset();
    continued_ = false;
    if (in_.empty() && in_.capacity() > kKeptBuffer) in_.shrink_to_fit();
    idle_since_ = now();
    enter(Phase::idle, idle_since_ + std::chrono::nanoseconds(options_.idle_timeout));
    return true;
  }
  end_of_answers();
  return false;
}

void HttpConnection::begin_stream() {
  sent_ = 0;
  enter(Phase::streaming, now() + std::chrono::nanoseconds(options_.stream_heartbeat));
  if (listen_to_reader()) woken();
}

// A client has nothing to say while it is streamed to: what matters is whether it is gone, and then this is false.
bool HttpConnection::listen_to_reader() {
  char waste[512];
  for (;;) {
    size_t got = 0;
    const Moved moved = read_some(waste, sizeof waste, got);
    if (moved == Moved::later) return true;
    drained_ += got;
    if (moved == Moved::end || drained_ > kDrainBytes) {
      close();
      return false;
    }
  }
}

// Sends what there is of the stream's piece. The time for a piece does not begin anew with every byte of it.
void HttpConnection::push_stream() {
  while (sent_ < piece_.size()) {
    size_t sent = 0;
    const Moved moved = write_bytes(std::string_view(piece_).substr(sent_), sent);
    sent_ += sent;
    if (moved == Moved::end) {
      close();
      return;
    }
    if (moved == Moved::some) continue;
    if (!std::exchange(piece_late_, true)) {
      enter(Phase::streaming, time_for(piece_.size()));
      watch(deadline_);
    }
    return;
  }
  if (stream_ended_) {
    response_ = HttpResponse();
    end_of_answers();
    return;
  }
  if (piece_.empty()) return;
  piece_.clear();
  if (piece_.capacity() > kKeptPiece) piece_.shrink_to_fit();
  sent_ = 0;
  piece_late_ = false;
  enter(Phase::streaming, now() + std::chrono::nanoseconds(options_.stream_heartbeat));
}

void HttpConnection::drain() {
  char waste[4096];
  for (;;) {
    const ssize_t n = ::recv(peer_.fd, waste, sizeof waste, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && would_block(errno)) {
      wait(Readiness::readable);
      return;
    }
    if (n > 0) drained_ += static_cast<size_t>(n);
    if (n <= 0 || drained_ > kDrainBytes) {
      close();
      return;
    }
  }
}

void HttpConnection::expire() {
  if (phase_ == Phase::waiting) {
    refuse(504, "the answer took too long to make; ask for less\n");
    return;
  }
  if (phase_ == Phase::streaming) {
    if (!piece_.empty()) {
      dropped();
      close();
      return;
    }
    enter(Phase::streaming, now() + std::chrono::nanoseconds(options_.stream_heartbeat));
    response_.stream->heartbeat(piece_);
    push_stream();
    return;
  }
  if (phase_ != Phase::reading) {
    close();
    return;
  }
  // The wait for more of the request is still under way: it is what then finds the connection draining.
  static constexpr std::string_view kTooSlow =
      "HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 43\r\n"
      "Connection: close\r\n\r\nthe request took too long to arrive whole.\n";
  static_assert(kTooSlow.size() - kTooSlow.find("\r\n\r\n") - 4 == 43);
  send_now(kTooSlow);
  count(408);
  if (tls_ != nullptr) tls_->shutdown();
  ::shutdown(peer_.fd, SHUT_WR);
  enter(Phase::draining, now() + kDrainTime);
}

}  // namespace accelmon
