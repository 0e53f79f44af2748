// The head of a response, and what stands in for a body where a client must be refused.
//
// Threads: pure functions; HttpDate by one thread. Cost: well below a microsecond, no allocation once `out` has grown.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "net/http_server.h"

namespace accelmon {

// "Tue, 24 Nov 2026 03:18:00 GMT", made anew once a second at most.
class HttpDate {
 public:
  std::string_view at(std::time_t now);

 private:
  std::time_t made_ = -1;
  char text_[32] = {};
  size_t size_ = 0;
};

struct HeadOptions {
  bool keep_alive = true;
  bool http_1_0 = false;
};

// Whether a response of this status has a body at all (1xx, 204 and 304 have none).
bool status_has_body(unsigned status);

// Replaces `out` by status line and headers, up to the empty line. Headers of the response whose name or value would
// break the head are left out.
void write_head(const HttpResponse& response, std::string_view date, HeadOptions options, std::string& out);

}  // namespace accelmon
