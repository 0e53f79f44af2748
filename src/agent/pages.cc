#include "agent/pages.h"

#include "base/clock.h"
#include "base/text.h"

namespace accelmon {
namespace {

std::string_view query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name) return pair.substr(equals + 1);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
  }
  return {};
}

}  // namespace

HttpResponse Pages::handle(const HttpRequest& request) {
  const std::string_view path = request.path;
  if (HttpResponse response; source_.api && source_.api(request, response)) return response;
  if (path == "/api/v1/release" || path == "/api/v1/resume") {
    if (request.method != "POST") {
      HttpResponse response = HttpResponse::text(405, "POST it over the local socket: accelmon release VENDOR\n");
      response.headers.emplace_back("Allow", "POST");
      return response;
    }
    std::string answer;
    const unsigned status = source_.control(path.substr(8), query_value(request.query, "vendor"), answer);
    return HttpResponse::text(status, answer + "\n");
  }
  if (request.method != "GET" && request.method != "HEAD") {
    HttpResponse response = HttpResponse::text(405, "this page is read with GET\n");
    response.headers.emplace_back("Allow", "GET, HEAD");
    return response;
  }
  if (path == "/metrics") return metrics(request);
  if (path == "/-/healthy" || path == "/healthz" || path == "/health") return HttpResponse::text(200, "healthy\n");
  if (path == "/-/ready" || path == "/readyz") {
    std::string why;
    const bool ready = source_.ready(why);
    return HttpResponse::text(ready ? 200 : 503, ready ? "ready\n" : why + "\n");
  }
  if (path == "/api/v1/status") return HttpResponse::text(200, source_.status_json(), "application/json");
  if (path == "/" || path == "/index.html") {
    HttpResponse response = HttpResponse::text(200, source_.landing(), "text/html; charset=utf-8");
    response.headers.emplace_back("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
    return response;
  }
  return HttpResponse::text(404, "no such page; see / for those that exist\n");
}

void Pages::set_options(PageOptions options) {
  const std::lock_guard lock(options_mutex_);
  if (options == options_) return;
  options_ = std::move(options);
  options_changed_.store(true, std::memory_order_release);
}

std::shared_ptr<Pages::Page> Pages::writable(std::shared_ptr<Page>& current) {
  // Responses and this cache are the only owners and live in this thread, so a count of one means that nobody reads.
  if (current == nullptr || current.use_count() != 1) current = std::make_shared<Page>();
  return current;
}

HttpResponse Pages::metrics(const HttpRequest& request) {
  const ExpositionFormat format = negotiate_format(request.accept);
  const auto which = static_cast<size_t>(format);
  const bool compress = gzip_.load(std::memory_order_relaxed) && accepts_gzip(request.accept_encoding);
  const Recycled<Snapshot> snapshot = source_.snapshot();
  if (!snapshot) return HttpResponse::text(503, "no data yet\n");
  if (options_changed_.exchange(false, std::memory_order_acquire)) {
    const std::lock_guard lock(options_mutex_);
    exposition_ = Exposition(options_);
    pages_ = {};
  }

  // X-Prometheus-Scrape-Timeout-Seconds needs no timer: nothing here waits, and rendering takes microseconds.
  std::shared_ptr<Page>& current = pages_[which];
  const Nanos began = real_clock().monotonic();
  if (current == nullptr || current->sequence != snapshot->sequence) {
    // A slow client may still be sent the old page; then a second one steps in.
    if (current != nullptr && current.use_count() != 1) std::swap(current, spare_[which]);
    Page& page = *writable(current);
    const uint64_t prepared = exposition_.prepared();
    exposition_.render(*snapshot, format, page.plain);
    if (exposition_.prepared() != prepared) counters_.prepared.fetch_add(1, std::memory_order_relaxed);
    page.sequence = snapshot->sequence;
    counters_.page_bytes.store(page.plain.size(), std::memory_order_relaxed);
  }
  Page& page = *current;
  if (compress && page.compressed_sequence != page.sequence) {
    gzip_encoder_.compress(page.plain, page.compressed);
    page.compressed_sequence = page.sequence;
  }
  const Nanos now = real_clock().monotonic();
  counters_.render_time.fetch_add(now - began, std::memory_order_relaxed);
  counters_.last_scrape.store(now, std::memory_order_relaxed);
  (format == ExpositionFormat::text_0_0_4 ? counters_.scrapes_text
   : format == ExpositionFormat::protobuf ? counters_.scrapes_protobuf
                                          : counters_.scrapes_openmetrics)
      .fetch_add(1, std::memory_order_relaxed);

  HttpResponse response;
  response.status = 200;
  response.content_type = content_type(format);
  response.headers.emplace_back("Vary", "Accept, Accept-Encoding");
  if (compress) response.content_encoding = "gzip";
  response.body = compress ? page.compressed : page.plain;
  response.owner = current;
  return response;
}

}  // namespace accelmon
