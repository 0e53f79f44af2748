// Frames -> Prometheus remote write 1.0 and 2.0: requests in protobuf, compressed with snappy.
//
// Series have the names and labels of the page (encode/labels.h) and the constant labels of the destination (job,
// instance, ...), sorted by name. A series that ends, or is not `ok` any more, gets one stale marker, so that a query
// does not go on showing its last value for five minutes. Samples of a series are in ascending order over all requests,
// as receivers demand; one whose time does not follow is left out and counted (late()), since a receiver would refuse
// whatever came with it. Behind a clock that was set back by more than ten seconds a series begins anew.
//
// 2.0 says since when a counter counts only where that was seen: a counter that fell began anew after its reading
// before. A first sight is no start, and a receiver that puts a zero there would show growth that never was.
//
//   encoder.begin(batch);
//   while (encoder.next(body)) send(body);   // in this order
//   encoder.commit();                        // once all were taken, or will never be
//
// Threads: one at a time. Cost: about 75 ns a sample (1.0) or 115 (2.0), half of it snappy; no allocation but snappy's
// own once the buffers have grown and while catalogs stay.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "encode/labels.h"
#include "model/frame_run.h"

namespace accelmon {

enum class RemoteWriteVersion : uint8_t { v1, v2 };

// What a request must carry, besides Content-Encoding: snappy and a User-Agent.
std::string_view content_type(RemoteWriteVersion version);
std::string_view protocol_version(RemoteWriteVersion version);  // X-Prometheus-Remote-Write-Version

struct RemoteWriteOptions {
  RemoteWriteVersion version = RemoteWriteVersion::v1;
  ConstantLabels labels;  // as constant_labels() gives them
  // A request has at most so many samples, and uncompressed at most so many bytes (but always one sample).
  size_t max_samples = 2000;
  size_t max_bytes = 4 << 20;
  // 1.0: what the metrics are, in requests of their own, every so often; 0: never. 2.0 has it with every series.
  Nanos metadata_every = 60 * kSecond;
  bool stale_markers = true;
};

// NaN with these bits, and no other, says that a series has ended.
inline constexpr uint64_t kStaleMarkerBits = 0x7ff0000000000002;

class RemoteWriteEncoder {
 public:
  explicit RemoteWriteEncoder(RemoteWriteOptions options);
  ~RemoteWriteEncoder();
  RemoteWriteEncoder(RemoteWriteEncoder&&) noexcept;
  RemoteWriteEncoder& operator=(RemoteWriteEncoder&&) noexcept;

  // Other bounds of a request from the next begin() on; at least 1.
  void set_max_samples(size_t most);

  // Starts from the last commit(), whatever became of requests since. Nothing of `batch` is looked at afterwards.
  // `skip`: the first so many samples of the batch are left out, since requests of an earlier begin() of it had them;
  // the order of samples is the same whatever the bounds of a request are.
  void begin(std::span<const FrameRun> batch, size_t skip = 0);
  // Replaces `body` by the next request, compressed; false: there is none left.
  bool next(std::string& body);
  void commit();

  size_t samples() const;      // in the request that next() gave, stale markers included; 0: it has metadata alone
  size_t all_samples() const;  // in all requests of the batch
  uint64_t late() const;       // samples of the batch that were left out
  size_t series() const;       // remembered

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// ---- what a receiver answers to 2.0 ----

// The X-Prometheus-Remote-Write-...-Written headers of an answer, where it has them.
struct WrittenHeaders {
  std::optional<std::string_view> samples, histograms, exemplars;
};

enum class WriteVerdict : uint8_t {
  stored,    // all that was sent
  fewer,     // some of it; sending it again will not help
  not_ours,  // a receiver that knows only 1.0: it swallowed the request and stored nothing. As good as a 415
};
struct WriteAnswer {
  WriteVerdict verdict = WriteVerdict::stored;
  uint64_t samples = 0;  // that it says it stored
};
// What a 2xx to a 2.0 request of `sent` samples means. A header that is no number counts as none, and one that is
// missing beside others as 0. A request without samples tells nothing and is `stored`, or `not_ours` without headers.
WriteAnswer judge_written(const WrittenHeaders& headers, uint64_t sent);

}  // namespace accelmon
