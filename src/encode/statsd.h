// Frames -> StatsD datagrams, plain or with DogStatsD's tags.
//
// StatsD has no time stamps: of each source's frames the last is sent. Gauges, states and sums go as "|g", counters as
// the growth since the last encoding, "|c", so the encoder remembers them: a counter's first sight sends nothing, and
// after a step back (a driver that was loaded again) it begins anew. What has grown by nothing is not sent. A datagram
// that is lost takes its growth with it; where that matters, send counters by another way.
//
// A sign before a gauge means a change to StatsD, so a gauge below zero is set to zero first, in the same datagram;
// DogStatsD knows no such change. Gauges stay at the server after the sender stopped.
//
// Names: plain, the path of metric_path.h; DogStatsD, the OpenTelemetry name ("hw.gpu.utilization") and as tags the
// attributes by their OpenTelemetry keys ("hw.id:GPU-1f3a"), with '_' for what separates (',', '|', '#', line breaks).
// Threads: one at a time. Cost: no allocation once the buffers have grown and the catalogs stay.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "encode/catalog_book.h"
#include "encode/labels.h"

namespace accelmon {

// Datagrams one behind the other in one buffer.
class Datagrams {
 public:
  void clear();
  size_t size() const { return ends_.size(); }
  std::string_view operator[](size_t i) const;

 private:
  friend class StatsdEncoder;
  std::string bytes_;
  std::vector<uint32_t> ends_;
};

struct StatsdOptions {
  bool tags = false;                // DogStatsD
  std::string prefix = "accelmon";  // of plain paths
  bool by_index = false;            // of plain paths, see metric_paths()
  ConstantLabels labels;            // with tags
  size_t max_bytes = 1432;          // of a datagram: what Ethernet carries whole; over a local socket 8192
};

class StatsdEncoder {
 public:
  explicit StatsdEncoder(StatsdOptions options) : options_(std::move(options)) {}
  // Replaces what `out` holds. No line is split over two datagrams, and none is longer than max_bytes: a line that
  // alone is too long is left out and counted.
  void encode(std::span<const FrameRun> batch, Datagrams& out);
  uint64_t too_long() const { return too_long_; }

 private:
  struct Line {
    uint32_t series;
    uint32_t name, name_size;  // "name:" in the text
    uint32_t tags, tags_size;  // "|#a:b,c:d" in the text; none in the plain form
    Kind kind;
    uint32_t counter;  // index into last_
  };
  struct Plan {
    std::string text;
    std::vector<Line> lines;
  };
  Plan build(const FrameRun& run);
  uint32_t counter_of(const FrameRun& run, const Series& series);
  void append(Datagrams& out);

  StatsdOptions options_;
  CatalogBook<Plan> book_;
  // What each counter said last, by source and series key: it outlives a catalog.
  std::unordered_map<std::string, uint32_t> counters_;
  std::vector<double> last_;  // NaN: nothing yet
  std::string line_;
  uint64_t too_long_ = 0;
};

}  // namespace accelmon
