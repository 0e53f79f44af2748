// Requests to other people's servers, for what is pushed: HTTP/1.1, HTTPS, and HTTP/2 for gRPC. By libcurl, which is
// opened at run time when the first exporter needs it: an agent that pushes nothing carries none of it.
//
// A PushClient keeps its connection from one request to the next. Redirects are followed nowhere (an answer of 3xx is
// handed on): credentials are for the server that the user named. Replies are bounded; proxies are those of the
// environment (HTTPS_PROXY, NO_PROXY), as everywhere.
//
// Threads: a client is used by one thread; interrupt() may be called from any, and from then on every request fails
// at once, one that is under way within milliseconds. Cost: a request allocates what libcurl allocates; the library
// takes 3 MiB, most of it TLS.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace accelmon {

// How a server is spoken to: what belongs to a destination, and not to a single request.
struct PushSecurity {
  std::string ca_file;    // who signs servers' certificates; empty: as the system has it
  std::string cert_file;  // ours, for servers that ask for one; with key_file
  std::string key_file;
  bool verify = true;
};

struct PushRequest {
  std::string url;                   // http:// or https://
  std::vector<std::string> headers;  // "Name: value"
  std::string_view body;
  std::string method = "POST";
  std::string unix_socket;  // connect there instead, whatever the host of the URL is
  Nanos timeout = 10 * kSecond;
  bool direct = false;  // past every proxy: for addresses that mean this host alone
  bool http2 = false;   // HTTP/2 alone, over plain TCP with prior knowledge, over TLS by ALPN: gRPC
};

struct PushReply {
  unsigned status = 0;
  // In lower case, in the order in which they came; those of a trailer too, behind the others. 64 KiB at most.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // the first 256 KiB

  std::string_view header(std::string_view name) const;  // empty: it has none
};

class PushClient {
 public:
  // Errors: absent (libcurl is not installed, with what to install), invalid (a file of `security` cannot be read).
  static Result<std::unique_ptr<PushClient>> open(PushSecurity security);
  ~PushClient();
  PushClient(const PushClient&) = delete;
  PushClient& operator=(const PushClient&) = delete;

  // Any answer of the server is a reply, whatever its status. Errors: timeout, io (no such host, refused, reset, TLS),
  // invalid (the URL), lost (interrupted). The message names the host, and never a header.
  Result<PushReply> send(const PushRequest& request);
  void interrupt();

 private:
  struct Handle;
  explicit PushClient(std::unique_ptr<Handle> handle);
  std::unique_ptr<Handle> handle_;
  std::atomic<bool> interrupted_{false};
};

// Seconds, or a date, of a Retry-After header; nothing where it is neither. `now` is wall time.
bool parse_retry_after(std::string_view text, Nanos now, Nanos& out);

}  // namespace accelmon
