// The labels of a series, the same in every format: text, protobuf, remote write, OTLP.
//
// Those of the device (hw_id, hw_type, gpu, hw_vendor; accelmon.device.info has the rest too), then the series' own. A
// value is made valid UTF-8 without control characters but the newline (U+FFFD for what is not) and cut to 256 bytes
// between characters; an empty one is left out, and of two labels of one name the first stands.
// Threads: values. Cost: allocates; made when a catalog changes, never in the steady state.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "encode/page_options.h"
#include "model/snapshot.h"

namespace accelmon {

inline constexpr size_t kMaxLabelBytes = 256;

// `raw` as a label can carry it.
std::string label_value(std::string_view raw);

struct Label {
  AttributeId id;
  std::string value;  // clean, not escaped
};

class LabelSet {
 public:
  void add(AttributeId id, std::string_view raw);
  void drop(const PageOptions& options);  // those that it drops
  std::span<const Label> labels() const { return labels_; }
  // The same for the same labels in any order, which to every receiver is the same series.
  std::string identity() const;

 private:
  std::vector<Label> labels_;
};

// The device's index must lie in the catalog.
LabelSet labels_of(const Catalog& catalog, const Series& series);

// Whether any format shows the series: a metric of the table that is not LOCAL, a device that the catalog has.
bool is_exported(const Catalog& catalog, const Series& series);

// The frame of a source, where it is one of its catalog: of the same generation and length. Else nullptr, and nothing
// of that source is shown.
const Frame* fitting_frame(const SourceView& source);

// Every series of a page in OpenTelemetry's vocabulary, in its order: families as in metrics.def, within one the
// sources in their order and each source's series in its catalog's. Two samples of one series would cost a scraper the
// whole page, so of two series with the same labels only the first is named.
using PageSeries = std::function<void(MetricId metric, uint32_t source, uint32_t series, const LabelSet& labels)>;
void for_each_page_series(const Snapshot& snapshot, const PageSeries& each, const PageOptions& options = {});

// `name` without `suffix`, where it ends in it.
std::string_view without_suffix(std::string_view name, std::string_view suffix);

// The unit of a metric as Prometheus' formats state it: the end of the family's name ("joules" of
// hw_energy_joules_total); empty where there is none to state.
std::string_view stated_unit(const MetricInfo& metric);

// Labels that a destination wants on every series (job, instance, cluster).
using ConstantLabels = std::vector<std::pair<std::string, std::string>>;

// Checks and cleans them: names as Prometheus allows them ([a-zA-Z_][a-zA-Z0-9_]*, none that begins with two
// underscores), none twice; empty values are dropped; sorted by name. invalid: says which name is wrong.
Result<ConstantLabels> constant_labels(ConstantLabels labels);

// name -> value, sorted by name in byte order, with __name__ and the constant labels: what remote write wants. Where a
// constant label has a name that the series has too, the series' stands.
std::vector<std::pair<std::string_view, std::string_view>> sorted_labels(MetricId metric, const LabelSet& own,
                                                                         const ConstantLabels& constant);

}  // namespace accelmon
