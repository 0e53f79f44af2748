// Frames -> Graphite's plaintext protocol: "PATH VALUE SECONDS\n".
//
// Two forms: a plain path (metric_path.h) for every carbon there is, and "name;label=value;..." for Graphite 1.1 and
// VictoriaMetrics, with the Prometheus name (it holds the unit) and the labels of labels.h. Graphite's clock has whole
// seconds: of several polls in one second the last is encoded. What has no sample has no line. The runs are what the
// arbiter has left: no series of two sources.
// Threads: one at a time. Cost: a copy and a to_chars for each sample; no allocation once the buffers have grown.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "encode/catalog_book.h"
#include "encode/labels.h"

namespace accelmon {

struct GraphiteOptions {
  bool tags = false;
  std::string prefix = "accelmon";  // of the plain form; words with dots, the host's name among them if wanted
  bool by_index = false;            // of the plain form, see metric_paths()
  ConstantLabels labels;            // of the tagged form
};

class GraphiteEncoder {
 public:
  explicit GraphiteEncoder(GraphiteOptions options) : options_(std::move(options)) {}
  // Appends whole lines. Returns how many.
  size_t encode(std::span<const FrameRun> batch, std::string& out);

 private:
  struct Line {
    uint32_t series;
    uint32_t begin, size;  // of "PATH " in the text
    Kind kind;
  };
  struct Plan {
    std::string text;
    std::vector<Line> lines;
  };
  Plan build(const FrameRun& run) const;

  GraphiteOptions options_;
  CatalogBook<Plan> book_;
};

}  // namespace accelmon
