// The series of a snapshot under the names of NVIDIA's DCGM, as dcgm-exporter shows them: DCGM_FI_DEV_GPU_UTIL and the
// like, in DCGM's units, with its labels (gpu, UUID, pci_bus_id, device, modelName, Hostname, DCGM_FI_DRIVER_VERSION;
// for a partition GPU_I_PROFILE and GPU_I_ID). Boards of every maker are named so.
//
// A DCGM field may be one of several series of ours (the clock of one domain), the sum of several (errors of all
// blocks), or a mask of them; the table in dcgm_fields.cc says which. Names, types and what differs from DCGM's own:
// docs/dcgm.md.
//
// Threads: as the page that holds it. Cost: for_each_dcgm_series() allocates, once a catalog; a value is a sum of a few
// readings.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "encode/page_options.h"
#include "model/snapshot.h"

namespace accelmon {

struct DcgmField {
  // How a field comes of a device's series of `metric`.
  enum class Take : uint8_t {
    first,    // the one that `where` prefers
    sum,      // all that `where` lets in
    reasons,  // DCGM's mask of throttle reasons: each state times its bit
    xid,      // one for each Xid, whose number is its value
  };
  std::string_view name;  // "DCGM_FI_DEV_GPU_UTIL". Rows of one name stand together; a device has the first that fits
  Kind kind;              // gauge or counter: what it is, whatever DCGM says
  MetricId metric;
  Take take;
  // "domain=sm|graphics": values of an attribute, the best one first. Several, separated by commas, must all hold.
  std::string_view where;
  double scale;  // our unit times this is DCGM's; 0: that of the metric's row
  std::string_view help;
};
std::span<const DcgmField> dcgm_fields();
std::span<const std::string_view> dcgm_label_names();

using DcgmLabels = std::vector<std::pair<std::string_view, std::string>>;  // clean, not escaped

// Where the number of one series comes from.
struct DcgmReading {
  struct Term {
    uint32_t source = 0, series = 0;
    double factor = 1;
  };
  // What the terms decide beside their sum.
  enum class Shown : uint8_t { always, where_positive, where_zero };
  std::vector<Term> terms;  // added up; absent where one of them is
  double base = 0;          // added to them
  Shown shown = Shown::always;
};

// In the order of the table; no two with the same name and labels.
using EachDcgmSeries =
    std::function<void(const DcgmField& field, const DcgmLabels& labels, const DcgmReading& reading)>;
void for_each_dcgm_series(const Snapshot& snapshot, const PageOptions& options, const EachDcgmSeries& each);

// The readings of a page one behind the other, and their values in the snapshot that was taken last.
class DcgmReadings {
 public:
  void add(const DcgmReading& reading);
  // The snapshot must have the sources over whose catalogs the readings were made, and live until the last value().
  void take(const Snapshot& snapshot);
  // Not a number: absent now.
  double value(size_t reading) const;
  size_t size() const { return ends_.size(); }
  size_t bytes() const;

 private:
  std::vector<DcgmReading::Term> terms_;
  std::vector<uint32_t> ends_;  // of each one's terms
  std::vector<double> bases_;
  std::vector<DcgmReading::Shown> shown_;
  std::vector<const Frame*> frames_;  // of each source; null: none that fits
};

}  // namespace accelmon
