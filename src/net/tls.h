// TLS for connections that come in: OpenSSL's, opened at run time by the first TlsContext.
//
// The program is not linked with it: the collectors are the same binary, and would each pay its relocations. TLS 1.2 at
// least, ALPN http/1.1, no renegotiation, no compression, no session tickets (a ticket would outlive the authority that
// vouched for its client). Threads: make() may be called from any, a session belongs to one. Cost: libssl and libcrypto
// are some 3 MiB of memory once, a session some 30 KiB while it works and 12 KiB while idle; a handshake 0.3 ms of CPU
// with a P-256 key and 1 ms with RSA-2048.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "net/web_config.h"

namespace accelmon {

// One connection's TLS over a non-blocking socket.
class TlsSession {
 public:
  enum class Io : uint8_t {
    done,
    want_read,   // call again when the socket is readable
    want_write,  // call again, with the same bytes, when it is writable
    closed,      // the client is gone or has said so
    plain_http,  // the client does not speak TLS, but HTTP
    failed,      // see trouble()
  };

  virtual ~TlsSession() = default;
  virtual Io handshake() = 0;
  virtual Io read(char* to, size_t size, size_t& got) = 0;
  virtual Io write(const char* from, size_t size, size_t& sent) = 0;
  virtual bool pending() const = 0;  // received and decrypted, and not yet read
  virtual void shutdown() = 0;       // tells the client that nothing more comes
  virtual std::string trouble() const = 0;
};

// What the files of a TlsConfig hold.
struct TlsMaterial {
  std::string cert;       // PEM: the server's certificate, then what leads to its authority
  Secret key;             // PEM
  std::string client_ca;  // PEM; empty: none
};

class TlsContext {
 public:
  // Errors: absent (OpenSSL cannot be loaded), invalid (beginning with the file that is wrong).
  static Result<std::shared_ptr<const TlsContext>> make(const TlsConfig& config, const TlsMaterial& material);
  virtual ~TlsContext() = default;

  // The socket stays the caller's. nullptr: no memory.
  virtual std::unique_ptr<TlsSession> session(int fd) const = 0;
  // When the server's certificate expires, in Unix time; 0: it does not say.
  virtual int64_t expires_at() const = 0;
};

}  // namespace accelmon
