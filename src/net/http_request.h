// Bytes of a connection -> HttpRequest. Every byte is suspect; the fuzz target feeds this class.
//
// The parser underneath is Boost.Beast's, hidden in the .cc. Bounds: request line and headers 8 KiB together, body as
// told. Threads: one at a time. Cost: a few microseconds a request.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "net/http_server.h"

namespace accelmon {

inline constexpr size_t kMaxHeaderBytes = 8192;

struct Target {
  std::string_view path;
  std::string_view query;
  std::string_view authority;  // "host:port" where the target names it
};

// Splits "/path?query", or "http://host/path?query" (which a server must take too). False for anything else: no leading
// slash, a fragment, control characters or bytes beyond ASCII.
bool split_target(std::string_view target, Target& out);

class RequestReader {
 public:
  enum class Step : uint8_t {
    more,    // wants more bytes
    header,  // the header is complete and a body follows: may be looked at before it is read
    done,    // a whole request
    bad,     // see error_status() and error_text(); nothing more is read
  };

  // A body for `large_path` may have `large_body` bytes.
  explicit RequestReader(size_t max_body, std::string_view large_path = {}, size_t large_body = 0);
  ~RequestReader();
  RequestReader(RequestReader&&) noexcept;
  RequestReader& operator=(RequestReader&&) noexcept;

  // Reads from the front of `bytes`; says in `used` how many are done with. The rest, with what arrives later behind
  // it, is to be given again.
  Step feed(std::string_view bytes, size_t& used);
  void reset();  // for the next request of the same connection

  // From `header` on. The views are good until reset().
  const HttpRequest& request() const;
  bool keep_alive() const;
  bool http_1_0() const;
  bool expects_continue() const;  // the client waits for our word before it sends the body

  unsigned error_status() const;          // 400, 411, 413 or 431
  const std::string& error_text() const;  // a line for the client

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace accelmon
