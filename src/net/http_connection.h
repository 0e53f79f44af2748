// One client's connection: reads requests, has them answered in order, writes the responses. No event loop in it: it
// asks for one readiness at a time and is called when that has come.
//
// Everything is bounded: the received bytes by RequestReader, the time by deadline(). A response leaves by sendmsg of
// head and body together, the body straight from the page that the handler shares; with TLS in records of 16 KiB.
// Threads: the server's one. Cost: two system calls a request, beyond those of the waiting.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/http_request.h"
#include "net/http_server.h"
#include "net/tls.h"

namespace accelmon {

using TimePoint = std::chrono::steady_clock::time_point;

class HttpConnection {
 public:
  struct Peer {
    int fd = -1;           // non-blocking; the subclass owns it
    bool local = false;    // a Unix socket
    uint32_t uid = 0;      // of the process at its other end
    bool refused = false;  // beyond the bound of connections: gets one 503, whatever it asks
  };

  // `tls` is nullptr where the client speaks HTTP as it is.
  HttpConnection(const HttpServerOptions& options, const Peer& peer, std::unique_ptr<TlsSession> tls);
  virtual ~HttpConnection() = default;
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void start();
  enum class Readiness : uint8_t { readable, writable };
  void ready(Readiness what);  // what it waited for has come
  void woken();                // an answer that is made elsewhere may be there, or a stream may have something
  void expire();               // its deadline has passed
  void close();                // by way of gone() it may destroy the object, where nobody else holds it

  TimePoint deadline() const { return deadline_; }
  TimePoint idle_since() const { return idle_since_; }
  bool idle() const { return phase_ == Phase::idle; }
  bool refused() const { return peer_.refused; }
  bool closed() const { return closed_; }
  bool awaits() const { return phase_ == Phase::waiting || phase_ == Phase::streaming; }
  // Idle, and nothing has arrived that was not read yet.
  bool may_be_evicted() const;
  // Whether a request has begun, is not whole, and has nothing more to read.
  bool stalls() const;

 protected:
  virtual void wait_for(Readiness what) = 0;   // leads to one call of ready(), or of close()
  virtual void watch(TimePoint deadline) = 0;  // expire() is wanted at it, though nothing is waited for
  virtual void awaiting(bool on) = 0;          // whether woken() is wanted
  virtual void dropped() = 0;                  // a reader of a stream was too slow
  virtual void gone() = 0;                     // closed: let go of the descriptor
  virtual HttpResponse handle(const HttpRequest& request) = 0;
  virtual void count(unsigned status) = 0;
  virtual void handshake_failed(const std::string& trouble) = 0;
  virtual bool outdated() = 0;  // made before the certificates or users changed: ends with its next answer
  virtual std::string_view date() = 0;

 private:
  enum class Phase : uint8_t {
    handshaking,  // TLS begins
    idle,         // waits for the first byte of a request
    reading,      // a request has begun
    writing,      // its response leaves
    waiting,      // its response is made elsewhere
    streaming,    // its response has no end
    draining,  // the last response is sent; what still comes is thrown away, or the kernel would reset the connection
  };

  enum class Moved : uint8_t { some, later, end };  // bytes went; wait() was called; the other side is gone

  bool nothing_to_read() const;
  void wait(Readiness what);  // at most one of each is under way
  void handshake();
  Moved after(TlsSession::Io io);
  Moved read_some(char* to, size_t size, size_t& got);
  Moved write_some(size_t& sent);
  Moved write_bytes(std::string_view bytes, size_t& sent);
  void send_now(std::string_view text);
  void end_of_answers();
  void enter(Phase phase, TimePoint deadline);
  bool receive();
  void go_on();
  bool answer_next();
  bool method_allowed() const;
  void answer_request();
  void say_continue();
  void answer(HttpResponse response, bool keep_alive);
  void refuse(unsigned status, std::string text);
  bool send();
  bool finish_response();
  TimePoint time_for(size_t bytes) const;
  void begin_stream();
  bool listen_to_reader();
  void push_stream();
  void drain();

  const HttpServerOptions& options_;
  const Peer peer_;
  const std::unique_ptr<TlsSession> tls_;
  RequestReader reader_;
  std::string in_;  // received and not yet taken by the reader
  std::string head_;
  HttpResponse response_;
  size_t sent_ = 0;    // of head and body together; of a stream's piece
  std::string piece_;  // of a stream, on its way out
  size_t drained_ = 0;
  TimePoint deadline_;
  TimePoint idle_since_;
  Phase phase_ = Phase::idle;
  bool body_allowed_ = false;
  bool keep_alive_ = false;
  bool head_only_ = false;
  bool continued_ = false;  // "100 Continue" was said
  bool closed_ = false;
  bool stream_ended_ = false;
  bool piece_late_ = false;  // the client has not taken all of it at once
  bool awaited_[2] = {};     // by Readiness
};

}  // namespace accelmon
