// Bytes of a hostile client through the server's request parsing and the negotiation of what to answer.
//
// The first byte says in what pieces the rest arrives. The same bytes at once must give the same request.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "encode/exposition.h"
#include "net/http_request.h"

namespace {

using namespace accelmon;

constexpr size_t kMaxBody = 512;

void require(bool good) {
  if (!good) std::abort();
}

struct Seen {
  std::string first;  // method, path and body of the first request
  size_t requests = 0;
};

Seen serve(std::string_view bytes, size_t piece) {
  RequestReader reader(kMaxBody);
  std::string in;
  Seen seen;
  while (!bytes.empty()) {
    in += bytes.substr(0, piece);
    bytes.remove_prefix(piece < bytes.size() ? piece : bytes.size());
    for (;;) {
      size_t used = 0;
      const RequestReader::Step step = reader.feed(in, used);
      require(used <= in.size());
      in.erase(0, used);
      if (step == RequestReader::Step::more) break;
      if (step == RequestReader::Step::bad) {
        require(reader.error_status() >= 400 && reader.error_status() < 500 && !reader.error_text().empty());
        return seen;
      }
      const HttpRequest& request = reader.request();
      require(!request.path.empty() && request.path.front() == '/');
      require(request.path.find_first_of("\r\n ?#") == std::string_view::npos);
      require(request.query.find_first_of("\r\n #") == std::string_view::npos);
      require(request.body.size() <= kMaxBody);
      (void)negotiate_format(request.accept);
      (void)accepts_gzip(request.accept_encoding);
      (void)reader.expects_continue();
      if (step == RequestReader::Step::header) continue;
      if (seen.requests++ == 0) {
        seen.first = request.method;
        seen.first += request.path;
        seen.first += request.body;
      }
      if (!reader.keep_alive()) return seen;
      reader.reset();
    }
    // What is kept between two reads is bounded, or a client could make us hold as much as it likes.
    require(in.size() <= 8 * kMaxBody + 2 * kMaxHeaderBytes);
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Seen dripping = serve(bytes, data[0] == 0 ? 1 : data[0]);
  const Seen at_once = serve(bytes, bytes.size());
  if (dripping.requests > 0 && at_once.requests > 0) require(dripping.first == at_once.first);
  return 0;
}
