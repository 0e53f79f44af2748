// The API to read with: devices, the vocabulary, latest values, history, events, findings, a stream of values, and
// Prometheus' remote read. docs/openapi.yaml describes every answer, and a test holds the answers against it.
//
// No PromQL is evaluated here, on purpose: /api/v1/read gives a Prometheus all that it needs to do so (docs/api.md).
// Owns a worker thread (agent/api_worker.h), made when the history is first asked for: a question to it may take a
// second, and the HTTP server's thread must not wait.
// Threads: handle() in the HTTP server's thread; stop() in any, once. Cost: what is asked for; nothing while nobody
// asks.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>

#include "agent/api_history.h"
#include "agent/api_worker.h"
#include "agent/event_log.h"
#include "model/finding.h"
#include "model/snapshot.h"
#include "net/http_server.h"

namespace accelmon {

struct ApiSource {
  const Clock* clock = &real_clock();
  std::function<Recycled<Snapshot>()> snapshot;
  std::function<std::deque<EventLog::Entry>()> events;
  std::function<std::vector<Finding>()> findings;  // evaluated now
  std::function<HistoryPlaces()> history;          // must stay valid until stop() has returned
  std::function<void()> wake;                      // of the HTTP server: an answer is there; any thread
};

inline constexpr size_t kMaxStreams = 8;
inline constexpr size_t kMaxStreamSeries = 2000;
inline constexpr size_t kMaxRangeSeries = 500;
inline constexpr size_t kMaxRangePoints = 500'000;  // of an answer
inline constexpr size_t kMaxReadSamples = 500'000;  // of an answer
inline constexpr std::string_view kRemoteReadPath = "/api/v1/read";

class Api {
 public:
  explicit Api(ApiSource source);
  // Whether the path is one of the API's; then `out` is the answer.
  bool handle(const HttpRequest& request, HttpResponse& out);
  // Waits for the question that is being worked on, and answers none to the history from then on.
  void stop() { worker_.stop(); }

 private:
  HttpResponse devices(const HttpRequest& request) const;
  HttpResponse metrics(const HttpRequest& request) const;
  HttpResponse latest(const HttpRequest& request) const;
  HttpResponse events(const HttpRequest& request) const;
  HttpResponse findings(const HttpRequest& request) const;
  HttpResponse range(const HttpRequest& request);
  HttpResponse read(const HttpRequest& request);
  HttpResponse stream(const HttpRequest& request);
  HttpResponse work(ApiWorker::Job job);

  ApiSource source_;
  std::shared_ptr<std::atomic<size_t>> streams_ = std::make_shared<std::atomic<size_t>>(0);
  ApiWorker worker_;  // last: its thread ends before what it uses goes
};

}  // namespace accelmon
