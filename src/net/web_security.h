// What stands between a TCP client and the pages: TLS, who the client is, how often it asks, and by which name it found
// us. The local socket needs none of it: its file's mode guards it.
//
// Files are looked at once a second while somebody connects or asks, and read again when one changed. What is wrong
// with them keeps the old ones in use and is logged. A change that would take away TLS or authentication is refused
// too: a file that is just being written is empty for a moment; a restart does as it says.
// Threads: reload() may be called from any; everything else belongs to the server's. Cost of a request without TLS and
// users: 0.2 us; with a known password or a token: 2 us.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "net/http_server.h"
#include "net/rate_limiter.h"
#include "net/tls.h"

namespace accelmon {

// "localhost", "127.x.y.z", "[::1]" with or without a port, as in a Host header.
bool is_loopback_host(std::string_view host);

class WebSecurity {
 public:
  // Errors: of the files, "FILE:LINE:COLUMN: what is wrong"; of libraries that are needed and not there.
  static Result<std::unique_ptr<WebSecurity>> load(WebSecurityOptions options);
  ~WebSecurity();

  // The address that the server got: whether only this host can reach it decides on the check of Host.
  void set_loopback(bool loopback) { loopback_ = loopback; }

  bool tls() const;
  int64_t certificate_expires_at() const;  // Unix time; 0: no TLS
  bool authenticates() const;              // by password, token or certificate
  Status reload();

  // ---- the server's thread ----
  void refresh(Nanos now);
  // Whether a client may open one connection more.
  bool may_connect(const ClientKey& client, Nanos now);
  std::unique_ptr<TlsSession> session(int fd);
  // Changes with every reload: connections of an older one are closed after their next answer.
  uint64_t generation() const;
  // The answer to a request that does not get the page that it asks for; nothing for those that do.
  std::optional<HttpResponse> refuse(const HttpRequest& request, const ClientKey& client, Nanos now);
  void add_headers(HttpResponse& response) const;
  // Logs why a handshake failed; bounded.
  void log_handshake(const std::string& trouble, Nanos now);

 private:
  struct Policy;
  explicit WebSecurity(WebSecurityOptions options);
  Result<std::shared_ptr<Policy>> read_files() const;
  Status take(std::shared_ptr<Policy> fresh);
  std::shared_ptr<Policy> policy() const;
  bool host_known(std::string_view host) const;

  const WebSecurityOptions options_;
  std::vector<std::string> hosts_;
  bool any_host_ = false;
  bool loopback_ = false;

  mutable std::mutex mutex_;  // guards policy_
  std::shared_ptr<Policy> policy_;

  std::unique_ptr<RateLimiter> requests_;
  Nanos requests_interval_ = 0;
  uint32_t requests_burst_ = 0;
  std::unique_ptr<RateLimiter> connections_;
  std::unique_ptr<RateLimiter> attempts_, all_attempts_;
  unsigned attempts_cost_ = 0;
  Nanos looked_at_ = 0;
  Nanos handshake_logged_at_ = 0;
  uint64_t handshakes_held_back_ = 0;
  Repeated troubles_;
};

}  // namespace accelmon
