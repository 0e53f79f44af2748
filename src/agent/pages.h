// What the HTTP server answers: the pages of metrics, health, status, and the landing page.
//
// A page of metrics is rendered once per snapshot and format, on the first scrape of it, plain and (when asked for)
// compressed, and kept for further scrapers; agents that nobody scrapes render nothing.
// Threads: handle() runs in the HTTP server's thread; the others may be called from any.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "encode/exposition.h"
#include "encode/gzip.h"
#include "model/snapshot.h"
#include "net/http_server.h"

namespace accelmon {

struct PageSource {
  std::function<Recycled<Snapshot>()> snapshot;
  std::function<std::string()> status_json;
  std::function<bool(std::string& why)> ready;
  // verb: release or resume. Returns the HTTP status and a sentence.
  std::function<unsigned(std::string_view verb, std::string_view vendor, std::string& answer)> control;
  std::function<std::string()> landing;
  // The API; false: the path is none of its. May be empty.
  std::function<bool(const HttpRequest& request, HttpResponse& out)> api;
  bool gzip = true;
};

struct PageCounters {
  std::atomic<uint64_t> scrapes_text{0};
  std::atomic<uint64_t> scrapes_openmetrics{0};
  std::atomic<uint64_t> scrapes_protobuf{0};
  std::atomic<int64_t> render_time{0};
  std::atomic<uint64_t> page_bytes{0};
  std::atomic<int64_t> last_scrape{0};  // monotonic; 0: never
  std::atomic<uint64_t> prepared{0};    // pages that were laid out anew, after which there is memory to give back
};

class Pages {
 public:
  explicit Pages(PageSource source) : source_(std::move(source)) {}

  HttpResponse handle(const HttpRequest& request);
  const PageCounters& counters() const { return counters_; }
  // From any thread; they hold from the next page on.
  void set_gzip(bool on) { gzip_.store(on, std::memory_order_relaxed); }
  void set_options(PageOptions options);

 private:
  struct Page {
    uint64_t sequence = 0;  // of the snapshot; 0: never rendered
    std::string plain;
    uint64_t compressed_sequence = 0;
    std::string compressed;
  };
  HttpResponse metrics(const HttpRequest& request);
  // A page that no response holds any more, so that its buffers can be written; the buffers stay grown.
  std::shared_ptr<Page> writable(std::shared_ptr<Page>& current);

  PageSource source_;
  std::atomic<bool> gzip_{true};
  std::mutex options_mutex_;
  PageOptions options_;
  std::atomic<bool> options_changed_{false};
  Exposition exposition_;
  GzipEncoder gzip_encoder_;
  std::array<std::shared_ptr<Page>, kExpositionFormats> pages_;
  std::array<std::shared_ptr<Page>, kExpositionFormats> spare_;
  PageCounters counters_;
};

}  // namespace accelmon
