// Devices and series: what a frame's numbers are about.
//
// A Catalog is built at discovery and immutable afterwards; it is shared by shared_ptr<const Catalog>. Its series have
// dense indices, and every Frame of the same generation is an array over them. When hardware or processes change a new
// catalog with a new generation is made. A series' identity across generations is its SeriesKey.
// Threads: immutable once shared.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/frame.h"
#include "model/metric.h"

namespace accelmon {

struct Attribute {
  AttributeId id;
  std::string value;
  bool operator==(const Attribute&) const = default;
};

// The values of hw.type: the conventions' own, and gpu_partition for a part of a GPU.
enum class DeviceType : uint8_t { gpu, gpu_partition, cpu, memory, network, physical_disk, enclosure };
inline constexpr DeviceType kLastDeviceType = DeviceType::enclosure;
std::string_view to_string(DeviceType type);

struct Device {
  DeviceType type = DeviceType::gpu;
  std::string id;      // stable: UUID, else PCI address
  std::string index;   // as the vendor's tool shows it
  std::string vendor;  // nvidia, intel, amd
  std::string model;
  int32_t parent = -1;          // index of the device that this is a part of
  std::vector<Attribute> info;  // further attributes of accelmon.device.info (driver version, serial, ...)

  bool operator==(const Device&) const = default;
};

// How often a series is read. The collector's fast tier is read at every tick.
enum class Tier : uint8_t { fast, slow, rare };
inline constexpr size_t kTiers = 3;
std::string_view to_string(Tier tier);

struct Series {
  MetricId metric;
  int32_t device = -1;  // index into Catalog::devices; -1: the host or the agent
  Tier tier = Tier::fast;
  std::vector<Attribute> attributes;  // beyond those of the device, in the table's order

  bool operator==(const Series&) const = default;
};

// Why a metric is not read: what `accelmon doctor` prints. Most metrics of most devices that are absent are absent for
// good (a board without a fan), so they have no series; this is where the reason stands.
struct Absence {
  MetricId metric;
  int32_t device = -1;  // -1: the whole collector
  State state = State::unsupported;
  std::string reason;  // "this board has no fan"

  bool operator==(const Absence&) const = default;
};

struct Catalog {
  uint64_t generation = 0;
  std::vector<Device> devices;
  std::vector<Series> series;
  std::vector<Absence> absences;
  // Facts about the source for people and for accelmon doctor: {"library", "libnvidia-ml.so.1 (590.48.01)"}, ...
  std::vector<std::pair<std::string, std::string>> facts;

  bool operator==(const Catalog&) const = default;
};

using CatalogPtr = std::shared_ptr<const Catalog>;

// The identity of a series across catalogs: metric, hw.id of the device, attributes. Equal keys mean the same series.
std::string series_key(const Catalog& catalog, const Series& series);

// Index of the first series with this metric on this device whose attributes include `attributes`; -1 when there is
// none. Linear: for tests, status tables and discovery, not for the steady state.
int find_series(const Catalog& catalog, MetricId metric, int device, std::vector<Attribute> attributes = {});

// What every catalog must fulfil before it is used: indices in range, no two series with the same key, texts of bounded
// length, at most kMaxDevices and kMaxSeries. Catalogs from a collector process are untrusted.
Status validate(const Catalog& catalog);

inline constexpr size_t kMaxDevices = 1024;
inline constexpr size_t kMaxSeries = 100'000;
inline constexpr size_t kMaxTextBytes = 256;

// Builds a catalog's series one by one; handy in collectors' discovery.
//   int i = builder.add(MetricId::power, device, Tier::fast, {{AttributeId::power_scope, "gpu"}, ...});
class CatalogBuilder {
 public:
  explicit CatalogBuilder(Catalog& catalog) : catalog_(catalog) {}
  int add_device(Device device);
  // Returns the dense index of the new series.
  int add(MetricId metric, int device, Tier tier = Tier::fast, std::vector<Attribute> attributes = {});
  void absent(MetricId metric, int device, State state, std::string reason);
  void fact(std::string name, std::string value);

 private:
  Catalog& catalog_;
};

}  // namespace accelmon
