// The binary interface of Level Zero Sysman that this collector uses, declared here so that it builds without its
// headers.
//
// The layout is that of versions 1.4 to 1.17, which agree in all that is declared. Structures with `stype` are told
// apart by it: a driver reads it, so that every one must be set, and `next` must be null or point to another such
// structure. ze_abi_test.cc compares sizes, offsets and values with Level Zero's own headers where they are installed.
#pragma once

#include <cstdint>

namespace accelmon::level_zero {

using ZeResult = uint32_t;  // ze_result_t

inline constexpr ZeResult kSuccess = 0;
inline constexpr ZeResult kNotReady = 1;
inline constexpr ZeResult kDeviceLost = 0x70000001;
inline constexpr ZeResult kDeviceRequiresReset = 0x70000006;
inline constexpr ZeResult kDeviceInLowPowerState = 0x70000007;
inline constexpr ZeResult kInsufficientPermissions = 0x70010000;
inline constexpr ZeResult kNotAvailable = 0x70010001;
inline constexpr ZeResult kDependencyUnavailable = 0x70020000;
inline constexpr ZeResult kUninitialized = 0x78000001;
inline constexpr ZeResult kUnsupportedVersion = 0x78000002;
inline constexpr ZeResult kUnsupportedFeature = 0x78000003;
inline constexpr ZeResult kInvalidArgument = 0x78000004;
inline constexpr ZeResult kInvalidNullHandle = 0x78000005;
inline constexpr ZeResult kInvalidNullPointer = 0x78000007;
inline constexpr ZeResult kInvalidSize = 0x78000008;
inline constexpr ZeResult kSurvivabilityMode = 0x78000020;  // since 1.15
inline constexpr ZeResult kUnknownError = 0x7ffffffe;
inline constexpr ZeResult kNoSymbol = 0xffffffff;  // ours: the loader has no such function

using Handle = void*;  // each kind of handle is a pointer to something opaque
using Bool = uint8_t;
inline constexpr uint32_t kStringBytes = 64;

struct DeviceProperties {
  uint32_t stype = 0x1;
  void* next = nullptr;
  // The core device's properties.
  uint32_t core_stype = 0x3;
  void* core_next = nullptr;
  uint32_t type = 0;  // kDeviceTypeGpu
  uint32_t vendor_id = 0;
  uint32_t device_id = 0;
  uint32_t flags = 0;
  uint32_t subdevice_id = 0;
  uint32_t core_clock_rate = 0;
  uint64_t most_allocation = 0;
  uint32_t most_contexts = 0;
  uint32_t most_priority = 0;
  uint32_t threads_per_unit = 0;
  uint32_t simd_width = 0;
  uint32_t units_per_subslice = 0;
  uint32_t subslices_per_slice = 0;
  uint32_t slices = 0;
  uint64_t timer_resolution = 0;
  uint32_t timestamp_bits = 0;
  uint32_t kernel_timestamp_bits = 0;
  uint8_t uuid[16] = {};
  char name[256] = {};

  uint32_t subdevices = 0;
  char serial_number[kStringBytes] = {};
  char board_number[kStringBytes] = {};
  char brand_name[kStringBytes] = {};
  char model_name[kStringBytes] = {};
  char vendor_name[kStringBytes] = {};
  char driver_version[kStringBytes] = {};
};
inline constexpr uint32_t kDeviceTypeGpu = 1;
inline constexpr uint32_t kDeviceIntegrated = 1u << 0;

struct DeviceState {
  uint32_t stype = 0x15;
  const void* next = nullptr;
  uint32_t reset = 0;  // bits
  uint32_t repaired = 0;
};
inline constexpr uint32_t kResetWedged = 1u << 0;
inline constexpr uint32_t kResetRepair = 1u << 1;

struct ProcessState {
  uint32_t stype = 0x16;
  const void* next = nullptr;
  uint32_t pid = 0;
  uint64_t memory = 0;
  uint64_t shared = 0;
  uint32_t engines = 0;  // bits
};

struct PciAddress {
  uint32_t domain = 0, bus = 0, device = 0, function = 0;
};
struct PciSpeed {
  int32_t generation = -1;  // -1: unknown, as the rest
  int32_t width = -1;
  int64_t bandwidth = -1;
};
struct PciProperties {
  uint32_t stype = 0x2;
  void* next = nullptr;
  PciAddress address;
  PciSpeed most;
  Bool have_bandwidth = 0;
  Bool have_packets = 0;
  Bool have_replays = 0;
};
struct PciState {
  uint32_t stype = 0x17;
  const void* next = nullptr;
  uint32_t status = 0;
  uint32_t quality_issues = 0;
  uint32_t stability_issues = 0;
  PciSpeed speed;
};
inline constexpr uint32_t kPciQualityIssues = 2;
inline constexpr uint32_t kPciStabilityIssues = 3;
struct PciStats {
  uint64_t timestamp = 0;  // microseconds
  uint64_t replays = 0;
  uint64_t packets = 0;
  uint64_t received = 0;
  uint64_t transmitted = 0;
  PciSpeed speed;
};

struct EccProperties {
  uint32_t stype = 0x26;
  void* next = nullptr;
  uint32_t current = 0;
  uint32_t pending = 0;
  uint32_t action = 0;
};
inline constexpr uint32_t kEccEnabled = 1;
inline constexpr uint32_t kEccDisabled = 2;

enum EngineGroup : uint32_t {
  kEngineAll = 0,
  kEngineComputeAll = 1,
  kEngineMediaAll = 2,
  kEngineCopyAll = 3,
  kEngineCompute = 4,
  kEngineRender = 5,
  kEngineMediaDecode = 6,
  kEngineMediaEncode = 7,
  kEngineCopy = 8,
  kEngineMediaEnhance = 9,
  kEngineRenderAll = 12,
  kEngineMediaCodec = 14,  // since 1.17
};
struct EngineProperties {
  uint32_t stype = 0x5;
  void* next = nullptr;
  uint32_t type = 0;
  Bool on_subdevice = 0;
  uint32_t subdevice = 0;
};
struct EngineStats {
  uint64_t active = 0;  // both in the driver's own unit of time
  uint64_t timestamp = 0;
};

struct MemoryProperties {
  uint32_t stype = 0xb;
  void* next = nullptr;
  uint32_t type = 0;
  Bool on_subdevice = 0;
  uint32_t subdevice = 0;
  uint32_t location = 0;
  uint64_t size = 0;  // 0: unknown
  int32_t bus_width = -1;
  int32_t channels = -1;
};
inline constexpr uint32_t kMemoryInDevice = 1;
struct MemoryState {
  uint32_t stype = 0x1e;
  const void* next = nullptr;
  uint32_t health = 0;
  uint64_t free = 0;
  uint64_t size = 0;
};
inline constexpr uint32_t kMemoryDegraded = 2;
inline constexpr uint32_t kMemoryCritical = 3;
inline constexpr uint32_t kMemoryReplace = 4;
struct MemoryBandwidth {
  uint64_t read = 0;
  uint64_t written = 0;
  uint64_t most = 0;       // bytes/s
  uint64_t timestamp = 0;  // microseconds
};

enum TemperatureSensor : uint32_t {
  kSensorGlobal = 0,
  kSensorGpu = 1,
  kSensorMemory = 2,
  kSensorBoard = 6,  // since 1.10
  kSensorVoltageRegulator = 8,
};
struct TemperatureProperties {
  uint32_t stype = 0x14;
  void* next = nullptr;
  uint32_t type = 0;
  Bool on_subdevice = 0;
  uint32_t subdevice = 0;
  double most = -1;
  Bool critical_supported = 0;
  Bool threshold1_supported = 0;
  Bool threshold2_supported = 0;
};

enum PowerDomain : uint32_t {
  kPowerUnknown = 0,
  kPowerCard = 1,
  kPowerPackage = 2,
  kPowerStack = 3,
  kPowerMemory = 4,  // since 1.10
  kPowerGpu = 5,
};
struct PowerExtProperties {
  uint32_t stype = 0x28;
  void* next = nullptr;
  uint32_t domain = kPowerUnknown;
  void* default_limit = nullptr;
};
struct PowerProperties {
  uint32_t stype = 0xd;
  void* next = nullptr;
  Bool on_subdevice = 0;
  uint32_t subdevice = 0;
  Bool can_control = 0;
  Bool threshold_supported = 0;
  int32_t default_limit = -1;  // milliwatts; -1: unknown
  int32_t least_limit = -1;
  int32_t most_limit = -1;
};
struct EnergyCounter {
  uint64_t energy = 0;     // microjoules
  uint64_t timestamp = 0;  // microseconds
};
struct PowerLimitExt {
  uint32_t stype = 0x27;
  const void* next = nullptr;
  uint32_t level = 0;
  uint32_t source = 0;
  uint32_t unit = 0;
  Bool enabled_locked = 0;
  Bool enabled = 0;
  Bool interval_locked = 0;
  int32_t interval = 0;  // milliseconds
  Bool limit_locked = 0;
  int32_t limit = 0;  // milliwatts or milliamperes
};
inline constexpr uint32_t kLevelSustained = 1;
inline constexpr uint32_t kUnitPower = 2;
struct SustainedLimit {
  Bool enabled = 0;
  int32_t power = 0;  // milliwatts
  int32_t interval = 0;
};

enum FrequencyDomain : uint32_t { kFrequencyGpu = 0, kFrequencyMemory = 1, kFrequencyMedia = 2 };
struct FrequencyProperties {
  uint32_t stype = 0x9;
  void* next = nullptr;
  uint32_t type = 0;
  Bool on_subdevice = 0;
  uint32_t subdevice = 0;
  Bool can_control = 0;
  Bool throttle_event_supported = 0;
  double least = -1;  // MHz
  double most = -1;
};
struct FrequencyState {
  uint32_t stype = 0x1b;
  const void* next = nullptr;
  double voltage = -1;  // negative: unknown, as the rest
  double request = -1;  // MHz
  double tdp = -1;
  double efficient = -1;
  double actual = -1;
  uint32_t throttle = 0;  // bits
};
inline constexpr uint32_t kThrottleAveragePower = 1u << 0;
inline constexpr uint32_t kThrottleBurstPower = 1u << 1;
inline constexpr uint32_t kThrottleCurrent = 1u << 2;
inline constexpr uint32_t kThrottleThermalLimit = 1u << 3;
inline constexpr uint32_t kThrottlePsuAlert = 1u << 4;
inline constexpr uint32_t kThrottleSoftwareRange = 1u << 5;
inline constexpr uint32_t kThrottleHardwareRange = 1u << 6;
inline constexpr uint32_t kThrottleVoltage = 1u << 7;
inline constexpr uint32_t kThrottleThermal = 1u << 8;
inline constexpr uint32_t kThrottlePower = 1u << 9;

struct FanProperties {
  uint32_t stype = 0x7;
  void* next = nullptr;
  Bool on_subdevice = 0;
  uint32_t subdevice = 0;
  Bool can_control = 0;
  uint32_t modes = 0;
  uint32_t units = 0;
  int32_t most_rpm = -1;
  int32_t most_points = -1;
};
inline constexpr uint32_t kFanRpm = 0;
inline constexpr uint32_t kFanPercent = 1;

inline constexpr uint32_t kRasCategories = 7;
struct RasProperties {
  uint32_t stype = 0xf;
  void* next = nullptr;
  uint32_t type = 0;  // kRasCorrectable or kRasUncorrectable
  Bool on_subdevice = 0;
  uint32_t subdevice = 0;
};
inline constexpr uint32_t kRasCorrectable = 0;
inline constexpr uint32_t kRasUncorrectable = 1;
struct RasState {
  uint32_t stype = 0x22;
  const void* next = nullptr;
  uint64_t category[kRasCategories] = {};
};

struct PortId {
  uint32_t fabric = 0;
  uint32_t attach = 0;
  uint8_t port = 0;
};
struct PortSpeed {
  int64_t bit_rate = -1;
  int32_t width = -1;
};
struct PortProperties {
  uint32_t stype = 0x6;
  void* next = nullptr;
  char model[256] = {};
  Bool on_subdevice = 0;
  uint32_t subdevice = 0;
  PortId id;
  PortSpeed most_receive;
  PortSpeed most_transmit;
};
struct PortState {
  uint32_t stype = 0x19;
  const void* next = nullptr;
  uint32_t status = 0;
  uint32_t quality_issues = 0;
  uint32_t failures = 0;
  PortId remote;
  PortSpeed receive;
  PortSpeed transmit;
};
inline constexpr uint32_t kPortHealthy = 1;
inline constexpr uint32_t kPortDegraded = 2;
inline constexpr uint32_t kPortFailed = 3;
inline constexpr uint32_t kPortDisabled = 4;
struct PortThroughput {
  uint64_t timestamp = 0;  // microseconds
  uint64_t received = 0;
  uint64_t transmitted = 0;
};

// Every function used, with its arguments: ACCELMON_ZE_FUNCTIONS(X) expands X(name, (arguments)).
#define ACCELMON_ZE_FUNCTIONS(X)                                    \
  X(zeInit, (uint32_t))                                             \
  X(zeDriverGet, (uint32_t*, Handle*))                              \
  X(zeDeviceGet, (Handle, uint32_t*, Handle*))                      \
  X(zesInit, (uint32_t))                                            \
  X(zesDriverGet, (uint32_t*, Handle*))                             \
  X(zesDeviceGet, (Handle, uint32_t*, Handle*))                     \
  X(zesDeviceGetProperties, (Handle, DeviceProperties*))            \
  X(zesDeviceGetState, (Handle, DeviceState*))                      \
  X(zesDeviceProcessesGetState, (Handle, uint32_t*, ProcessState*)) \
  X(zesDevicePciGetProperties, (Handle, PciProperties*))            \
  X(zesDevicePciGetState, (Handle, PciState*))                      \
  X(zesDevicePciGetStats, (Handle, PciStats*))                      \
  X(zesDeviceEccAvailable, (Handle, Bool*))                         \
  X(zesDeviceGetEccState, (Handle, EccProperties*))                 \
  X(zesDeviceEnumEngineGroups, (Handle, uint32_t*, Handle*))        \
  X(zesEngineGetProperties, (Handle, EngineProperties*))            \
  X(zesEngineGetActivity, (Handle, EngineStats*))                   \
  X(zesDeviceEnumMemoryModules, (Handle, uint32_t*, Handle*))       \
  X(zesMemoryGetProperties, (Handle, MemoryProperties*))            \
  X(zesMemoryGetState, (Handle, MemoryState*))                      \
  X(zesMemoryGetBandwidth, (Handle, MemoryBandwidth*))              \
  X(zesDeviceEnumTemperatureSensors, (Handle, uint32_t*, Handle*))  \
  X(zesTemperatureGetProperties, (Handle, TemperatureProperties*))  \
  X(zesTemperatureGetState, (Handle, double*))                      \
  X(zesDeviceEnumPowerDomains, (Handle, uint32_t*, Handle*))        \
  X(zesPowerGetProperties, (Handle, PowerProperties*))              \
  X(zesPowerGetEnergyCounter, (Handle, EnergyCounter*))             \
  X(zesPowerGetLimits, (Handle, SustainedLimit*, void*, void*))     \
  X(zesPowerGetLimitsExt, (Handle, uint32_t*, PowerLimitExt*))      \
  X(zesDeviceEnumFrequencyDomains, (Handle, uint32_t*, Handle*))    \
  X(zesFrequencyGetProperties, (Handle, FrequencyProperties*))      \
  X(zesFrequencyGetState, (Handle, FrequencyState*))                \
  X(zesDeviceEnumFans, (Handle, uint32_t*, Handle*))                \
  X(zesFanGetProperties, (Handle, FanProperties*))                  \
  X(zesFanGetState, (Handle, uint32_t, int32_t*))                   \
  X(zesDeviceEnumRasErrorSets, (Handle, uint32_t*, Handle*))        \
  X(zesRasGetProperties, (Handle, RasProperties*))                  \
  X(zesRasGetState, (Handle, Bool, RasState*))                      \
  X(zesDeviceEnumFabricPorts, (Handle, uint32_t*, Handle*))         \
  X(zesFabricPortGetProperties, (Handle, PortProperties*))          \
  X(zesFabricPortGetState, (Handle, PortState*))                    \
  X(zesFabricPortGetThroughput, (Handle, PortThroughput*))

namespace fn {
#define ACCELMON_ZE_TYPE(name, arguments) using name = ZeResult arguments;  // NOLINT(bugprone-macro-parentheses)
ACCELMON_ZE_FUNCTIONS(ACCELMON_ZE_TYPE)
#undef ACCELMON_ZE_TYPE
}  // namespace fn

}  // namespace accelmon::level_zero
