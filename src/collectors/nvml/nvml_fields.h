// Field values: many small numbers of one device in one call, and which ids mean what in which version.
//
// Threads: the collector's. Cost: one vendor call for a whole batch; nothing is allocated once the batch is made.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "collectors/nvml/nvml_abi.h"
#include "collectors/nvml/nvml_counter.h"
#include "collectors/nvml/nvml_readings.h"

namespace accelmon::nvml {

// Times for which clocks were held down come in nanoseconds: NVML's documentation says so, and an H100 that was held
// down for 15.0 s counted 15.00 of them (docs/gpu-measurements.md). A monitoring tool of others reads microseconds.
inline constexpr double kSecondsPerReasonTick = 1e-9;

// Version of NVML's interface as 100 * major + minor (1209 for 12.9), taken from the CUDA version that the driver
// serves (12090), else from the driver's branch ("575.57.08"); 0: not known.
int interface_version(int cuda_version, std::string_view driver_version);

// The ids that the thermal_software, thermal_hardware and power_brake times may have, the likeliest first: they have
// moved, and drivers took the new ids up before their interface's number did (580.159, of interface 13.0, answers to
// those of 13.1 alone). None where the interface has no such times or its version is not known.
std::vector<std::array<U32, 3>> reason_time_fields(int interface);

// The number in a field value, by its own word on its type.
struct FieldNumber {
  int code = kUnknownError;
  double value = 0;
  uint64_t integer = 0;  // the same, for counters; 0 where it is a fraction or negative
  int type = -1;
};
FieldNumber decode(const FieldValue& field);

struct FieldRequest {
  enum class Use : uint8_t { plain, wrapping };
  U32 id = 0;
  U32 scope = 0;
  double scale = 1;
  Use use = Use::plain;
  double most = 0;  // a wrapping counter's greatest growth per second, in the field's unit
  // Where in the device's series it goes, for the batch's owner. A value that is a code has a row of series from there.
  int slot = -1;
  int row = 1;
  bool adds = false;  // goes to the series of the request before it, added to it
  int tag = 0;        // the owner's
};

class FieldBatch {
 public:
  void add(const FieldRequest& request);
  size_t size() const { return requests_.size(); }
  const FieldRequest& request(size_t i) const { return requests_[i]; }

  // Asks for all of them. What it returns is the code of the whole call, which the single ones then share.
  int read(Library& nvml, DeviceHandle device);
  // What the last read() said, without history.
  FieldNumber number(size_t i) const;
  // How long the driver took for it, by its own word.
  Nanos latency(size_t i) const { return static_cast<Nanos>(values_[i].latency) * kMicrosecond; }
  // The same in the table's unit. Once per read(): a wrapping counter moves on.
  Reading reading(size_t i, Nanos monotonic);

  // Continues the counters of an earlier batch, by id and scope.
  void inherit(const FieldBatch& earlier);

 private:
  std::vector<FieldRequest> requests_;
  std::vector<WrapCounter> counters_;
  std::vector<FieldValue> values_;
  int code_ = kNotReady;
};

}  // namespace accelmon::nvml
