// A small HTTP/1.1 server for GET and HEAD (and POST on the local socket, or to one path), made to be left alone with
// hostile clients.
//
// One thread, started by start(). It listens on a TCP address and, when asked, on a Unix socket. Bounds: header 8 KiB,
// no body beyond `max_body`, `max_connections` open at once (at the bound the longest idle one is closed to make room;
// where none is idle a request that stalls gives way, else the new one gets 503), deadlines for a request to arrive
// (408), for a response to leave
// (`request_timeout` and a second for each 64 KiB of body, see `slowest_bytes_per_second`), for a TLS handshake
// (`request_timeout`), and for an idle connection. What the handler throws is logged and answered with 500. Date,
// Content-Length and Connection are the server's; the rest of the head is the handler's. Threads: the handler runs in
// the server's thread (stack 256 KiB), one call at a time; it must not block: what takes longer is answered later
// (HttpLater), and what has no end is a stream (HttpStream). The other methods may be called from any thread. Cost:
// about 20 us of CPU a request.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace accelmon {

struct HttpRequest {
  std::string_view method;  // GET, HEAD, POST
  std::string_view path;    // as sent, up to '?'
  std::string_view query;   // after '?', as sent
  std::string_view accept;
  std::string_view accept_encoding;
  std::string_view scrape_timeout;  // X-Prometheus-Scrape-Timeout-Seconds
  std::string_view if_none_match;
  std::string_view host;           // the header Host
  std::string_view authority;      // of a target that names its host ("GET http://HOST/ HTTP/1.1"); else empty
  std::string_view authorization;  // empty where the client sent several
  std::string_view body;
  bool local = false;  // came over the Unix socket
  uint32_t uid = 0;    // of the peer, where local
};

struct HttpResponse;

// An answer that is being made elsewhere. The server asks for it after every wake(), for `later_timeout` at most (then
// the client gets 504); it goes away with the connection.
class HttpLater {
 public:
  virtual ~HttpLater() = default;
  virtual bool take(HttpResponse& out) = 0;  // false: not yet. In the server's thread; must not block
};

// A body without an end. A reader that has not taken the last piece yet is not asked for, and misses what happened
// meanwhile; one that takes longer for a piece than for any other response is dropped.
class HttpStream {
 public:
  virtual ~HttpStream() = default;
  // Both in the server's thread; must not block. After every wake(): adds what is new to `out`. False: that was all.
  virtual bool next(std::string& out) = 0;
  // Nothing was sent for `stream_heartbeat`: adds a sign of life.
  virtual void heartbeat(std::string& out) = 0;
};

// `body` points at bytes that `owner` keeps alive until they are sent, so that one rendered page serves many.
struct HttpResponse {
  unsigned status = 200;
  std::string_view content_type = "text/plain; charset=utf-8";
  std::string_view content_encoding;                              // empty: none
  std::vector<std::pair<std::string_view, std::string>> headers;  // further ones
  std::string_view body;
  std::shared_ptr<const void> owner;
  std::shared_ptr<HttpLater> later;    // where set: the rest of this is nothing yet
  std::shared_ptr<HttpStream> stream;  // where set: what the client is sent instead of `body`

  static HttpResponse text(unsigned status, std::string body,
                           std::string_view content_type = "text/plain; charset=utf-8");
};

using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

// What guards the TCP listener; see net/web_security.h.
struct WebSecurityOptions {
  std::string web_config;            // path of a web-config file of Prometheus' exporters; empty: none
  std::string bearer_tokens_file;    // path; empty: none
  uint32_t requests_per_second = 0;  // of one client, where the web-config file says nothing; 0: no limit
  bool check_host = false;           // refuse unknown names (421) on loopback without authentication
  std::vector<std::string> hosts;    // names that are known beyond the host's own; "*": every one
};

struct HttpServerOptions {
  std::string address;      // "127.0.0.1:19400", "[::1]:19400", "localhost:0"; empty: no TCP
  std::string socket_path;  // empty: no Unix socket. Mode 0660; 0600 in a folder that everybody may write to
  uint32_t max_connections = 64;
  Nanos idle_timeout = 60 * kSecond;
  Nanos request_timeout = 10 * kSecond;
  // When every connection is taken and none is idle, a request that has been incomplete for so long gives way.
  Nanos stalled_after = kSecond;
  size_t max_body = 4096;
  std::string post_path;  // the one path that takes POST over TCP too; empty: none
  size_t post_max_body = 64u << 10;
  uint64_t slowest_bytes_per_second = 64u << 10;  // a reader may be as slow as this beyond the request's time
  Nanos later_timeout = 60 * kSecond;
  Nanos stream_heartbeat = 15 * kSecond;
  WebSecurityOptions security;
};

struct HttpCounters {
  uint64_t ok = 0;                     // 2xx and 3xx
  uint64_t client_error = 0;           // 4xx
  uint64_t server_error = 0;           // 5xx
  uint64_t open = 0;                   // connections now
  uint64_t evicted = 0;                // connections closed to make room
  uint64_t handshakes_failed = 0;      // of TLS
  int64_t certificate_expires_at = 0;  // Unix time; 0: no TLS
  uint64_t dropped = 0;                // readers of streams that were too slow
};

class HttpServer {
 public:
  // Binds and starts serving. Errors: invalid (the address makes no sense), io (in use, with the pid of the holder
  // where it can be found; no permission), always naming the address. A stale socket file of a dead server is replaced;
  // one of a live server is an error.
  static Result<std::unique_ptr<HttpServer>> start(HttpServerOptions options, HttpHandler handler);
  virtual ~HttpServer() = default;  // stops, closes every connection, removes the socket file

  virtual std::string address() const = 0;  // with the real port
  virtual HttpCounters counters() const = 0;
  virtual bool authenticates() const = 0;  // whether TCP clients must show who they are
  virtual bool tls() const = 0;            // whether TCP clients speak TLS
  // Reads the files of the security options again. An error says what is wrong; the old ones stay in use.
  virtual Status reload_security() = 0;
  // Something is new: answers that are awaited and streams are asked. Cost: an atomic read while nobody waits.
  virtual void wake() = 0;
};

}  // namespace accelmon
