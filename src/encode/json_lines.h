// Frames -> JSON lines: one object for each device (and one for the host) in each poll.
//
//   {"time":"2026-03-01T12:00:00.250Z","timestamp":1772366400.25,"source":"nvml","labels":{"host":"h1"},
//    "device":{"hw.id":"GPU-1f3a","hw.type":"gpu","gpu":"0","hw.vendor":"nvidia"},
//    "metrics":[{"name":"hw.power","unit":"W","attributes":{"accelmon.power.scope":"gpu"},"value":612.3},...]}
//
// (in one line). A row for each device keeps what was read together and repeats its names once; a list of metrics,
// rather than members, leaves attributes where they belong. jq takes it apart with `.metrics[] | select(.name ==
// "hw.power") | .value`, Vector with `unnest(.metrics)`, Fluent Bit as any JSON. "device" is absent for the host's and
// the agent's own, "labels" where there are none, "attributes" where a series has none. Names, keys and units are
// OpenTelemetry's; what has no sample is not in the list, a row without samples is not written.
// Threads: one at a time. Cost: a copy and a to_chars for each sample; no allocation once the buffers have grown.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "encode/catalog_book.h"
#include "encode/labels.h"

namespace accelmon {

struct JsonLinesOptions {
  ConstantLabels labels;
};

class JsonLinesEncoder {
 public:
  explicit JsonLinesEncoder(JsonLinesOptions options) : options_(std::move(options)) {}
  // Appends whole lines. Returns how many.
  size_t encode(std::span<const FrameRun> batch, std::string& out);

 private:
  struct Entry {
    uint32_t series;
    uint32_t begin, size;  // of {"name":...,"value": in the text
    Kind kind;
  };
  struct Row {
    uint32_t begin, size;  // of what stands between the time and the metrics
    uint32_t first, entries;
  };
  struct Plan {
    std::string text;
    std::vector<Row> rows;
    std::vector<Entry> entries;
  };
  Plan build(const FrameRun& run) const;

  JsonLinesOptions options_;
  CatalogBook<Plan> book_;
};

// "2026-03-01T12:00:00.250Z": UTC, milliseconds. Years 1970 to 9999; others are held at the nearest of them.
void append_rfc3339(std::string& out, Nanos wall);

}  // namespace accelmon
