// Frames -> InfluxDB's line protocol: "accelmon,tag=value,... field=value,field=1i NANOSECONDS\n".
//
// One line for each set of labels in a poll: all numbers of a device that need no label of their own share one. The
// measurement is an option, tags are the labels of labels.h, a field is a metric's Prometheus name (it holds the unit).
// InfluxDB fixes the type of a field with its first value, so the type is a matter of the metric and never of the
// number: bytes, counts and states are integers, all else is floating. What has no sample has no field.
//
// Escapes: '\' before comma, '=' and blank in tags; a line break becomes a blank and a backslash '/', since
// InfluxDB 1.x can read neither in a tag. Threads: one at a time. Cost: a copy and a to_chars for each sample; no
// allocation once the buffers have grown.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "encode/catalog_book.h"
#include "encode/labels.h"

namespace accelmon {

struct InfluxOptions {
  std::string measurement = "accelmon";
  ConstantLabels labels;
};

struct InfluxLine {
  size_t end;  // in the text, behind its line break
  uint32_t fields;
};

// Whether the metric's numbers are whole ones to InfluxDB.
bool influx_integer(const MetricInfo& metric);

class InfluxEncoder {
 public:
  explicit InfluxEncoder(InfluxOptions options) : options_(std::move(options)) {}
  // Appends whole lines. Returns how many. `lines`: gets where each of them ends.
  size_t encode(std::span<const FrameRun> batch, std::string& out, std::vector<InfluxLine>* lines = nullptr);

 private:
  struct Field {
    uint32_t series;
    uint32_t begin, size;  // of "name=" in the text
    Kind kind;
    bool integer;
  };
  struct Line {
    uint32_t begin, size;  // of "measurement,tags " in the text
    uint32_t first, fields;
  };
  struct Plan {
    std::string text;
    std::vector<Line> lines;
    std::vector<Field> fields;
  };
  Plan build(const FrameRun& run) const;

  InfluxOptions options_;
  CatalogBook<Plan> book_;
};

}  // namespace accelmon
