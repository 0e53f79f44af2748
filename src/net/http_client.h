// One HTTP request to a server on this host, blocking, with a deadline. For the command line.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"

namespace accelmon {

struct HttpReply {
  unsigned status = 0;
  std::string content_type;
  std::string body;  // at most 64 MiB
};

// `endpoint` is "unix:/path/of.sock" or "host:port". Errors: absent (nobody listens there), no_permission, timeout,
// invalid (the answer is not HTTP), io.
Result<HttpReply> http_request(std::string_view method, const std::string& endpoint, std::string_view target,
                               Nanos timeout);

}  // namespace accelmon
