// Frames -> OTLP's ExportMetricsServiceRequest, as protobuf or JSON; and what a receiver answers.
//
// Names, units and attribute keys are OpenTelemetry's, straight from the table. Gauges are gauges; counters monotonic
// sums; up-down counters, states and infos sums that are not monotonic (as the conventions have hw.status, and as the
// mapping between the two worlds has state sets and infos, so that both give the same series in Prometheus). Points
// stand together per metric, over all devices and frames; attributes are the labels of the page (encode/labels.h).
//
// Start times: a hardware counter does not say since when it counts. A sum starts where it was first seen (that first
// point has an interval of length zero, which is how the data model says "unknown"); a counter that fell starts anew at
// its reading before the fall. Delta temporality concerns counters alone: the first reading of a series gives no point,
// and neither does the first one after a fall, since nobody knows what was counted in between.
// A series that ends, or is not `ok` any more, gets one point without a value (no_recorded_value).
//
// Threads: one at a time. Cost: about 20 ns a point as protobuf, 65 ns as JSON; no allocation once the buffers have
// grown and while catalogs stay.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/frame_run.h"

namespace accelmon {

enum class OtlpForm : uint8_t { protobuf, json };
enum class OtlpTemporality : uint8_t { cumulative, delta };

// "application/x-protobuf" or "application/json".
std::string_view content_type(OtlpForm form);

struct OtlpOptions {
  OtlpForm form = OtlpForm::protobuf;
  OtlpTemporality temporality = OtlpTemporality::cumulative;
  // service.name, service.instance.id, host.name, host.id, ...: key and text, in this order. Empty texts are left out.
  std::vector<std::pair<std::string, std::string>> resource;
  std::string version = ACCELMON_VERSION;  // of the scope "accelmon"
  std::string schema_url;                  // of the scope; empty: none
  bool descriptions = true;                // send what each metric means, with each request
  bool ends = true;                        // send points without a value for series that end
};

class OtlpEncoder {
 public:
  explicit OtlpEncoder(OtlpOptions options);
  ~OtlpEncoder();
  OtlpEncoder(OtlpEncoder&&) noexcept;
  OtlpEncoder& operator=(OtlpEncoder&&) noexcept;

  // The request for `batch`, as of the last commit(); empty when there is nothing to send. The text lives until the
  // next call. The caller bounds the batch: some 150 bytes a point as protobuf, 400 as JSON.
  // `skip`, `most`: of the points of the batch, whose order is always the same, only those behind the first `skip`, and
  // no more than `most`.
  std::string_view encode(std::span<const FrameRun> batch, size_t skip = 0,
                          size_t most = std::numeric_limits<size_t>::max());
  // The far end has what encode() gave (or will never take it). Without it the next encode() begins where the last
  // commit() left off, so that what was lost on the way can be encoded again.
  void commit();

  size_t points() const;      // in the last request
  size_t all_points() const;  // of its batch
  uint64_t late() const;      // samples of the last batch left out since their time does not follow the last one's
  size_t series() const;      // remembered

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// ---- what a receiver answers ----

struct OtlpAnswer {
  int64_t rejected_points = 0;  // 0: all were taken
  std::string message;          // the receiver's own words: an error, or a warning where nothing was rejected
};

// The body of a 200. An empty body, as well as an empty partial_success, means that all is well. invalid: it is no
// answer; `body` may be anything, and a message is cut to 1024 bytes of printable text.
Result<OtlpAnswer> decode_otlp_answer(std::string_view body, OtlpForm form);

// google.rpc.Status: the body of a 4xx or 5xx, and gRPC's grpc-status-details-bin.
struct RpcStatus {
  int32_t code = 0;
  std::string message;
  std::optional<Nanos> retry_after;  // from a google.rpc.RetryInfo among the details
};
Result<RpcStatus> decode_rpc_status(std::string_view body, OtlpForm form);

}  // namespace accelmon
