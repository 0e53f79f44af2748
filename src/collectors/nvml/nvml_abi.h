// NVML's binary interface, in our own words: the layouts, numbers and function types that we use, and no more.
//
// This is not NVIDIA's header and shares no text with it. Names of functions are the exported symbols (the versioned
// ones: the unversioned symbols are older interfaces), so that what is written here is what dlsym() looks for. Every
// handle is an opaque pointer, every enum an int. The static_asserts pin the layouts to what the library expects on
// LP64 Linux; a compiler that lays them out otherwise does not compile them.
// Used by the collector, and by the fake library of simulator/.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accelmon::nvml {

// The library's own types: `unsigned long long`, which is not uint64_t to the compiler.
using U32 = unsigned int;
using U64 = unsigned long long;
using I64 = long long;

using DeviceHandle = void*;
using EventSetHandle = void*;
using GpmSampleHandle = void*;

// ---- numbers -------------------------------------------------------------------------------------------------------

enum Return : int {
  kSuccess = 0,
  kUninitialized = 1,
  kInvalidArgument = 2,
  kNotSupported = 3,
  kNoPermission = 4,
  kAlreadyInitialized = 5,
  kNotFound = 6,
  kInsufficientSize = 7,
  kInsufficientPower = 8,
  kDriverNotLoaded = 9,
  kTimeout = 10,
  kIrqIssue = 11,
  kLibraryNotFound = 12,
  kFunctionNotFound = 13,
  kCorruptedInforom = 14,
  kGpuIsLost = 15,
  kResetRequired = 16,
  kOperatingSystem = 17,
  kLibRmVersionMismatch = 18,
  kInUse = 19,
  kMemory = 20,
  kNoData = 21,
  kArgumentVersionMismatch = 25,
  kDeprecated = 26,
  kNotReady = 27,
  kGpuNotFound = 28,
  kInvalidState = 29,
  kResetTypeNotSupported = 30,
  kUnknownError = 999,
};

// FieldValue::value_type and the arm of Value that it names.
enum ValueType : int {
  kDouble = 0,
  kUnsignedInt = 1,
  kUnsignedLong = 2,
  kUnsignedLongLong = 3,
  kSignedLongLong = 4,
  kSignedInt = 5,
  kUnsignedShort = 6,
};

enum ClockDomain : int { kClockGraphics = 0, kClockSm = 1, kClockMemory = 2, kClockVideo = 3 };

enum TemperatureSensor : int { kSensorGpu = 0 };
enum TemperatureThreshold : int {
  kThresholdShutdown = 0,
  kThresholdSlowdown = 1,
  kThresholdMemoryMax = 2,
  kThresholdGpuMax = 3,
};

enum EccError : int { kEccCorrected = 0, kEccUncorrected = 1 };
enum EccCounter : int { kEccVolatile = 0, kEccAggregate = 1 };
enum EccLocation : int {
  kLocationL1 = 0,
  kLocationL2 = 1,
  kLocationDram = 2,
  kLocationRegisterFile = 3,
  kLocationTexture = 4,
  kLocationTextureShared = 5,
  kLocationCbu = 6,
  kLocationSram = 7,
};

enum RetirementCause : int { kRetiredSingleBit = 0, kRetiredDoubleBit = 1 };

inline constexpr int kPerformanceStateUnknown = 32;

enum Architecture : U32 {
  kKepler = 2,
  kMaxwell = 3,
  kPascal = 4,
  kVolta = 5,
  kTuring = 6,
  kAmpere = 7,
  kAda = 8,
  kHopper = 9,
  kBlackwell = 10,
  kRubin = 13,
  kArchitectureUnknown = 0xffffffffu,
};

// Bits of the clocks-event (throttle) reasons.
inline constexpr U64 kReasonIdle = 0x1;
inline constexpr U64 kReasonApplicationClocks = 0x2;
inline constexpr U64 kReasonPowerCap = 0x4;
inline constexpr U64 kReasonHardwareSlowdown = 0x8;
inline constexpr U64 kReasonSyncBoost = 0x10;
inline constexpr U64 kReasonThermalSoftware = 0x20;
inline constexpr U64 kReasonThermalHardware = 0x40;
inline constexpr U64 kReasonPowerBrake = 0x80;
inline constexpr U64 kReasonDisplay = 0x100;

// Bits of the event types.
inline constexpr U64 kEventSingleBitEcc = 0x1;
inline constexpr U64 kEventDoubleBitEcc = 0x2;
inline constexpr U64 kEventPerformanceState = 0x4;
inline constexpr U64 kEventXid = 0x8;
inline constexpr U64 kEventClock = 0x10;
inline constexpr U64 kEventPowerSource = 0x80;
inline constexpr U64 kEventMigConfiguration = 0x100;
inline constexpr U64 kEventSingleBitEccStorm = 0x200;
inline constexpr U64 kEventDramRetirement = 0x400;
inline constexpr U64 kEventDramRetirementFailure = 0x800;
inline constexpr U64 kEventNonFatalPoison = 0x1000;
inline constexpr U64 kEventFatalPoison = 0x2000;
inline constexpr U64 kEventGpuUnavailable = 0x4000;
inline constexpr U64 kEventRecoveryAction = 0x8000;

enum RecoveryAction : U32 {
  kRecoveryNone = 0,
  kRecoveryGpuReset = 1,
  kRecoveryNodeReboot = 2,
  kRecoveryDrainP2p = 3,
  kRecoveryDrainAndReset = 4,
};

enum PowerScope : U32 { kPowerScopeGpu = 0, kPowerScopeModule = 1, kPowerScopeMemory = 2 };

// Ids for nvmlDeviceGetFieldValues. Those up to 198 have never moved between versions of the interface.
enum Field : U32 {
  kFieldEccCorrectedVolatile = 3,
  kFieldEccUncorrectedVolatile = 4,
  kFieldEccCorrectedAggregate = 5,
  kFieldEccUncorrectedAggregate = 6,
  kFieldRetiredSingleBit = 29,
  kFieldRetiredDoubleBit = 30,
  kFieldRetiredPending = 31,
  kFieldPolicyPower = 74,
  kFieldPolicyThermal = 75,
  kFieldPolicySyncBoost = 76,
  kFieldPolicyBoardLimit = 77,
  kFieldPolicyLowUtilization = 78,
  kFieldPolicyReliability = 79,
  kFieldPolicyApplicationClocks = 80,
  kFieldPolicyBaseClocks = 81,
  kFieldMemoryTemperature = 82,
  kFieldTotalEnergy = 83,
  kFieldNvlinkCommonSpeed = 90,
  kFieldNvlinkCount = 91,
  kFieldPcieReplay = 94,
  kFieldPcieReplayRollover = 95,
  kFieldNvlinkDataTransmit = 138,
  kFieldNvlinkDataReceive = 139,
  kFieldNvlinkRawTransmit = 140,
  kFieldNvlinkRawReceive = 141,
  kFieldRemappedCorrected = 142,
  kFieldRemappedUncorrected = 143,
  kFieldRemappedPending = 144,
  kFieldRemappedFailure = 145,
  kFieldNvlinkErrorReplay = 161,
  kFieldNvlinkErrorRecovery = 162,
  kFieldNvlinkErrorCrc = 163,
  kFieldNvlinkSpeed = 164,
  kFieldNvlinkState = 165,
  kFieldNvlinkVersion = 166,
  kFieldPowerAverage = 185,
  kFieldPowerInstant = 186,
  kFieldPowerMinimumLimit = 187,
  kFieldPowerMaximumLimit = 188,
  kFieldPowerDefaultLimit = 189,
  kFieldPowerCurrentLimit = 190,
  kFieldEnergy = 191,
  kFieldPowerRequestedLimit = 192,
  kFieldTLimitShutdown = 193,
  kFieldTLimitSlowdown = 194,
  kFieldTLimitMemoryMax = 195,
  kFieldTLimitGpuMax = 196,
  kFieldPcieTransmitBytes = 197,
  kFieldPcieReceiveBytes = 198,
  kFieldRecoveryAction = 230,
  // Clocks-event times that moved between interfaces 12.9/13.0 (first) and 13.1 and newer (second).
  kFieldThermalSoftwareTime129 = 251,
  kFieldThermalHardwareTime129 = 252,
  kFieldPowerBrakeTime129 = 253,
  kFieldThermalSoftwareTime131 = 269,
  kFieldThermalHardwareTime131 = 270,
  kFieldPowerBrakeTime131 = 271,
};
inline constexpr U32 kAllNvlinks = 0xffffffffu;  // FieldValue::scope_id of a sum over all links

// Metric ids for nvmlGpmMetricsGet; these have never moved.
enum GpmMetricId : U32 {
  kGpmGraphics = 1,
  kGpmSm = 2,
  kGpmSmOccupancy = 3,
  kGpmInteger = 4,
  kGpmAnyTensor = 5,
  kGpmDramBandwidth = 10,
  kGpmFp64 = 11,
  kGpmFp32 = 12,
  kGpmFp16 = 13,
  kGpmPcieTransmit = 20,
  kGpmPcieReceive = 21,
};
// The most entries that any known library touches in the array behind GpmMetricsGet; allocate for as many.
inline constexpr size_t kGpmMetricsMost = 333;

enum ProcessMode : U32 { kProcessesCompute = 0, kProcessesGraphics = 1, kProcessesMps = 2, kProcessesAll = 3 };

// "Not available" where a number is expected, and "no instance" where an instance id is.
inline constexpr U64 kNoValue64 = ~0ull;
inline constexpr U32 kNoValue32 = ~0u;

inline constexpr U32 kNameBytes = 96;
inline constexpr U32 kUuidBytes = 96;
inline constexpr U32 kSerialBytes = 30;
inline constexpr U32 kVbiosBytes = 32;
inline constexpr U32 kVersionBytes = 80;

// ---- layouts -------------------------------------------------------------------------------------------------------

// The word that goes into a struct's `version`: its size and the version of its layout.
template <class T>
constexpr U32 version_word(U32 version) {
  return static_cast<U32>(sizeof(T)) | (version << 24);
}

struct PciInfo {
  char bus_id_legacy[16];
  U32 domain;
  U32 bus;
  U32 device;
  U32 device_id;  // device << 16 | vendor
  U32 subsystem_id;
  char bus_id[32];  // "00000000:83:00.0"
};
static_assert(sizeof(PciInfo) == 68 && offsetof(PciInfo, domain) == 16 && offsetof(PciInfo, bus) == 20);
static_assert(offsetof(PciInfo, device) == 24 && offsetof(PciInfo, device_id) == 28);
static_assert(offsetof(PciInfo, subsystem_id) == 32 && offsetof(PciInfo, bus_id) == 36);

struct Utilization {
  U32 gpu;     // percent
  U32 memory;  // percent of time, not of bandwidth
};
static_assert(sizeof(Utilization) == 8 && offsetof(Utilization, memory) == 4);

struct Memory {
  U64 total;
  U64 free;
  U64 used;
};
static_assert(sizeof(Memory) == 24 && offsetof(Memory, free) == 8 && offsetof(Memory, used) == 16);

struct MemoryV2 {
  U32 version = version_word<MemoryV2>(2);
  U64 total = 0;
  U64 reserved = 0;
  U64 free = 0;
  U64 used = 0;
};
static_assert(sizeof(MemoryV2) == 40 && version_word<MemoryV2>(2) == 0x02000028);
static_assert(offsetof(MemoryV2, total) == 8 && offsetof(MemoryV2, reserved) == 16);
static_assert(offsetof(MemoryV2, free) == 24 && offsetof(MemoryV2, used) == 32);

struct Bar1Memory {
  U64 total;
  U64 free;
  U64 used;
};
static_assert(sizeof(Bar1Memory) == 24 && offsetof(Bar1Memory, free) == 8 && offsetof(Bar1Memory, used) == 16);

struct ProcessInfoV1 {
  U32 pid;
  U64 used_memory;
};
static_assert(sizeof(ProcessInfoV1) == 16 && offsetof(ProcessInfoV1, used_memory) == 8);

struct ProcessInfo {  // of the _v2 and, but for drivers 535.43 to 535.86, of the _v3 lists
  U32 pid;
  U64 used_memory;
  U32 gpu_instance;
  U32 compute_instance;
};
static_assert(sizeof(ProcessInfo) == 24 && offsetof(ProcessInfo, used_memory) == 8);
static_assert(offsetof(ProcessInfo, gpu_instance) == 16 && offsetof(ProcessInfo, compute_instance) == 20);

struct ProcessDetail {  // of the detail list, and of the _v3 lists of drivers 535.43 to 535.86
  U32 pid;
  U64 used_memory;
  U32 gpu_instance;
  U32 compute_instance;
  U64 used_protected_memory;
};
static_assert(sizeof(ProcessDetail) == 32 && offsetof(ProcessDetail, used_memory) == 8);
static_assert(offsetof(ProcessDetail, gpu_instance) == 16 && offsetof(ProcessDetail, compute_instance) == 20);
static_assert(offsetof(ProcessDetail, used_protected_memory) == 24);

struct ProcessDetailList {
  U32 version = version_word<ProcessDetailList>(1);
  U32 mode = kProcessesCompute;
  U32 count = 0;
  ProcessDetail* processes = nullptr;
};
static_assert(sizeof(ProcessDetailList) == 24 && version_word<ProcessDetailList>(1) == 0x01000018);
static_assert(offsetof(ProcessDetailList, mode) == 4 && offsetof(ProcessDetailList, count) == 8);
static_assert(offsetof(ProcessDetailList, processes) == 16);

union Value {
  double f64;
  int i32;
  U32 u32;
  unsigned long ul;
  U64 u64;
  I64 i64;
  unsigned short u16;
};
static_assert(sizeof(Value) == 8);

struct Sample {
  U64 timestamp;  // microseconds
  Value value;
};
static_assert(sizeof(Sample) == 16 && offsetof(Sample, value) == 8);

struct FieldValue {
  U32 field_id;
  U32 scope_id;
  I64 timestamp;  // microseconds
  I64 latency;    // microseconds that the driver took
  int value_type;
  int result;
  Value value;
};
static_assert(sizeof(FieldValue) == 40 && offsetof(FieldValue, scope_id) == 4 && offsetof(FieldValue, timestamp) == 8);
static_assert(offsetof(FieldValue, latency) == 16 && offsetof(FieldValue, value_type) == 24);
static_assert(offsetof(FieldValue, result) == 28 && offsetof(FieldValue, value) == 32);

struct ProcessUtilizationSample {
  U32 pid;
  U64 timestamp;
  U32 sm;
  U32 memory;
  U32 encoder;
  U32 decoder;
};
static_assert(sizeof(ProcessUtilizationSample) == 32 && offsetof(ProcessUtilizationSample, timestamp) == 8);
static_assert(offsetof(ProcessUtilizationSample, sm) == 16 && offsetof(ProcessUtilizationSample, memory) == 20);
static_assert(offsetof(ProcessUtilizationSample, encoder) == 24 && offsetof(ProcessUtilizationSample, decoder) == 28);

struct ProcessUtilizationInfo {
  U64 timestamp;
  U32 pid;
  U32 sm;
  U32 memory;
  U32 encoder;
  U32 decoder;
  U32 jpeg;
  U32 ofa;
};
static_assert(sizeof(ProcessUtilizationInfo) == 40 && offsetof(ProcessUtilizationInfo, pid) == 8);
static_assert(offsetof(ProcessUtilizationInfo, sm) == 12 && offsetof(ProcessUtilizationInfo, ofa) == 32);

struct ProcessesUtilizationInfo {
  U32 version = version_word<ProcessesUtilizationInfo>(1);
  U32 count = 0;
  U64 last_seen = 0;
  ProcessUtilizationInfo* processes = nullptr;
};
static_assert(sizeof(ProcessesUtilizationInfo) == 24 && version_word<ProcessesUtilizationInfo>(1) == 0x01000018);
static_assert(offsetof(ProcessesUtilizationInfo, count) == 4 && offsetof(ProcessesUtilizationInfo, last_seen) == 8);
static_assert(offsetof(ProcessesUtilizationInfo, processes) == 16);

struct EventData {
  DeviceHandle device;
  U64 type;
  U64 data;  // of an Xid event: its number
  U32 gpu_instance;
  U32 compute_instance;
};
static_assert(sizeof(EventData) == 32 && offsetof(EventData, type) == 8 && offsetof(EventData, data) == 16);
static_assert(offsetof(EventData, gpu_instance) == 24 && offsetof(EventData, compute_instance) == 28);

struct ViolationTime {
  U64 reference;  // microseconds
  U64 violation;  // nanoseconds
};
static_assert(sizeof(ViolationTime) == 16 && offsetof(ViolationTime, violation) == 8);

struct DeviceAttributes {
  U32 multiprocessors;
  U32 copy_engines;
  U32 decoders;
  U32 encoders;
  U32 jpeg_engines;
  U32 ofa_engines;
  U32 gpu_instance_slices;
  U32 compute_instance_slices;
  U64 memory_mib;
};
static_assert(sizeof(DeviceAttributes) == 40 && offsetof(DeviceAttributes, gpu_instance_slices) == 24);
static_assert(offsetof(DeviceAttributes, compute_instance_slices) == 28);
static_assert(offsetof(DeviceAttributes, memory_mib) == 32);

struct GpmMetric {
  U32 id;
  int result;
  double value;
  struct {
    const char* short_name;
    const char* long_name;
    const char* unit;
  } info;
};
static_assert(sizeof(GpmMetric) == 40 && offsetof(GpmMetric, result) == 4 && offsetof(GpmMetric, value) == 8);
static_assert(offsetof(GpmMetric, info) == 16);

// The fixed part; `count` GpmMetrics follow it at once.
struct GpmMetricsGet {
  U32 version;  // 1, whatever the size
  U32 count;
  GpmSampleHandle sample1;  // the older one
  GpmSampleHandle sample2;
};
static_assert(sizeof(GpmMetricsGet) == 24 && offsetof(GpmMetricsGet, count) == 4);
static_assert(offsetof(GpmMetricsGet, sample1) == 8 && offsetof(GpmMetricsGet, sample2) == 16);

struct GpmSupport {
  U32 version = 1;
  U32 supported = 0;
};
static_assert(sizeof(GpmSupport) == 8 && offsetof(GpmSupport, supported) == 4);

struct Temperature {
  U32 version = version_word<Temperature>(1);
  int sensor = kSensorGpu;
  int temperature = 0;
};
static_assert(sizeof(Temperature) == 12 && version_word<Temperature>(1) == 0x0100000c);
static_assert(offsetof(Temperature, sensor) == 4 && offsetof(Temperature, temperature) == 8);

struct MarginTemperature {
  U32 version = version_word<MarginTemperature>(1);
  int margin = 0;
};
static_assert(sizeof(MarginTemperature) == 8 && version_word<MarginTemperature>(1) == 0x01000008);
static_assert(offsetof(MarginTemperature, margin) == 4);

struct FanSpeed {
  U32 version = version_word<FanSpeed>(1);
  U32 fan = 0;
  U32 speed = 0;  // rpm
};
static_assert(sizeof(FanSpeed) == 12 && version_word<FanSpeed>(1) == 0x0100000c);
static_assert(offsetof(FanSpeed, fan) == 4 && offsetof(FanSpeed, speed) == 8);

struct RowRemapperHistogram {  // banks by how many of their spare rows are left
  U32 max;
  U32 high;
  U32 partial;
  U32 low;
  U32 none;
};
static_assert(sizeof(RowRemapperHistogram) == 20 && offsetof(RowRemapperHistogram, none) == 16);

// ---- functions -----------------------------------------------------------------------------------------------------
// FUNCTION(symbol, (arguments)): all that the collector loads and that returns an nvmlReturn_t. The same list makes the
// types below, the collector's table of pointers and `accelmon doctor`'s list of missing symbols.
#define ACCELMON_NVML_FUNCTIONS(FUNCTION)                                                                          \
  FUNCTION(nvmlInit_v2, ())                                                                                        \
  FUNCTION(nvmlShutdown, ())                                                                                       \
  FUNCTION(nvmlSystemGetDriverVersion, (char* out, U32 size))                                                      \
  FUNCTION(nvmlSystemGetNVMLVersion, (char* out, U32 size))                                                        \
  FUNCTION(nvmlSystemGetCudaDriverVersion, (int* out))                                                             \
  FUNCTION(nvmlSystemGetProcessName, (U32 pid, char* out, U32 size))                                               \
  FUNCTION(nvmlDeviceGetCount_v2, (U32 * out))                                                                     \
  FUNCTION(nvmlDeviceGetHandleByIndex_v2, (U32 index, DeviceHandle * out))                                         \
  FUNCTION(nvmlDeviceGetPciInfo_v3, (DeviceHandle device, PciInfo * out))                                          \
  FUNCTION(nvmlDeviceGetName, (DeviceHandle device, char* out, U32 size))                                          \
  FUNCTION(nvmlDeviceGetUUID, (DeviceHandle device, char* out, U32 size))                                          \
  FUNCTION(nvmlDeviceGetSerial, (DeviceHandle device, char* out, U32 size))                                        \
  FUNCTION(nvmlDeviceGetVbiosVersion, (DeviceHandle device, char* out, U32 size))                                  \
  FUNCTION(nvmlDeviceGetArchitecture, (DeviceHandle device, U32 * out))                                            \
  FUNCTION(nvmlDeviceGetCudaComputeCapability, (DeviceHandle device, int* major, int* minor))                      \
  FUNCTION(nvmlDeviceGetMemoryInfo, (DeviceHandle device, Memory * out))                                           \
  FUNCTION(nvmlDeviceGetMemoryInfo_v2, (DeviceHandle device, MemoryV2 * out))                                      \
  FUNCTION(nvmlDeviceGetBAR1MemoryInfo, (DeviceHandle device, Bar1Memory * out))                                   \
  FUNCTION(nvmlDeviceGetUtilizationRates, (DeviceHandle device, Utilization * out))                                \
  FUNCTION(nvmlDeviceGetEncoderUtilization, (DeviceHandle device, U32 * out, U32 * period_us))                     \
  FUNCTION(nvmlDeviceGetDecoderUtilization, (DeviceHandle device, U32 * out, U32 * period_us))                     \
  FUNCTION(nvmlDeviceGetJpgUtilization, (DeviceHandle device, U32 * out, U32 * period_us))                         \
  FUNCTION(nvmlDeviceGetOfaUtilization, (DeviceHandle device, U32 * out, U32 * period_us))                         \
  FUNCTION(nvmlDeviceGetRunningProcessDetailList, (DeviceHandle device, ProcessDetailList * list))                 \
  FUNCTION(nvmlDeviceGetComputeRunningProcesses_v3, (DeviceHandle device, U32 * count, void* out))                 \
  FUNCTION(nvmlDeviceGetComputeRunningProcesses_v2, (DeviceHandle device, U32 * count, void* out))                 \
  FUNCTION(nvmlDeviceGetGraphicsRunningProcesses_v3, (DeviceHandle device, U32 * count, void* out))                \
  FUNCTION(nvmlDeviceGetGraphicsRunningProcesses_v2, (DeviceHandle device, U32 * count, void* out))                \
  FUNCTION(nvmlDeviceGetTemperatureV, (DeviceHandle device, Temperature * out))                                    \
  FUNCTION(nvmlDeviceGetTemperature, (DeviceHandle device, int sensor, U32* out))                                  \
  FUNCTION(nvmlDeviceGetMarginTemperature, (DeviceHandle device, MarginTemperature * out))                         \
  FUNCTION(nvmlDeviceGetTemperatureThreshold, (DeviceHandle device, int threshold, U32* out))                      \
  FUNCTION(nvmlDeviceGetPowerUsage, (DeviceHandle device, U32 * out_mw))                                           \
  FUNCTION(nvmlDeviceGetEnforcedPowerLimit, (DeviceHandle device, U32 * out_mw))                                   \
  FUNCTION(nvmlDeviceGetPowerManagementLimit, (DeviceHandle device, U32 * out_mw))                                 \
  FUNCTION(nvmlDeviceGetPowerManagementDefaultLimit, (DeviceHandle device, U32 * out_mw))                          \
  FUNCTION(nvmlDeviceGetPowerManagementLimitConstraints, (DeviceHandle device, U32 * min, U32 * max))              \
  FUNCTION(nvmlDeviceGetTotalEnergyConsumption, (DeviceHandle device, U64 * out_mj))                               \
  FUNCTION(nvmlDeviceGetClockInfo, (DeviceHandle device, int domain, U32* out_mhz))                                \
  FUNCTION(nvmlDeviceGetMaxClockInfo, (DeviceHandle device, int domain, U32* out_mhz))                             \
  FUNCTION(nvmlDeviceGetPerformanceState, (DeviceHandle device, int* out))                                         \
  FUNCTION(nvmlDeviceGetCurrentClocksEventReasons, (DeviceHandle device, U64 * out))                               \
  FUNCTION(nvmlDeviceGetCurrentClocksThrottleReasons, (DeviceHandle device, U64 * out))                            \
  FUNCTION(nvmlDeviceGetSupportedClocksEventReasons, (DeviceHandle device, U64 * out))                             \
  FUNCTION(nvmlDeviceGetSupportedClocksThrottleReasons, (DeviceHandle device, U64 * out))                          \
  FUNCTION(nvmlDeviceGetNumFans, (DeviceHandle device, U32 * out))                                                 \
  FUNCTION(nvmlDeviceGetFanSpeed_v2, (DeviceHandle device, U32 fan, U32 * out_percent))                            \
  FUNCTION(nvmlDeviceGetFanSpeed, (DeviceHandle device, U32 * out_percent))                                        \
  FUNCTION(nvmlDeviceGetFanSpeedRPM, (DeviceHandle device, FanSpeed * out))                                        \
  FUNCTION(nvmlDeviceGetEccMode, (DeviceHandle device, int* current, int* pending))                                \
  FUNCTION(nvmlDeviceGetTotalEccErrors, (DeviceHandle device, int error, int counter, U64* out))                   \
  FUNCTION(nvmlDeviceGetMemoryErrorCounter, (DeviceHandle device, int error, int counter, int location, U64* out)) \
  FUNCTION(nvmlDeviceGetRetiredPages, (DeviceHandle device, int cause, U32* count, U64* addresses))                \
  FUNCTION(nvmlDeviceGetRetiredPagesPendingStatus, (DeviceHandle device, int* out))                                \
  FUNCTION(nvmlDeviceGetRemappedRows,                                                                              \
           (DeviceHandle device, U32 * corrected, U32 * uncorrected, U32 * pending, U32 * failed))                 \
  FUNCTION(nvmlDeviceGetRowRemapperHistogram, (DeviceHandle device, RowRemapperHistogram * out))                   \
  FUNCTION(nvmlDeviceGetPcieReplayCounter, (DeviceHandle device, U32 * out))                                       \
  FUNCTION(nvmlDeviceGetCurrPcieLinkGeneration, (DeviceHandle device, U32 * out))                                  \
  FUNCTION(nvmlDeviceGetMaxPcieLinkGeneration, (DeviceHandle device, U32 * out))                                   \
  FUNCTION(nvmlDeviceGetCurrPcieLinkWidth, (DeviceHandle device, U32 * out))                                       \
  FUNCTION(nvmlDeviceGetMaxPcieLinkWidth, (DeviceHandle device, U32 * out))                                        \
  FUNCTION(nvmlDeviceGetNvLinkState, (DeviceHandle device, U32 link, int* out))                                    \
  FUNCTION(nvmlDeviceGetFieldValues, (DeviceHandle device, int count, FieldValue* values))                         \
  FUNCTION(nvmlDeviceGetMigMode, (DeviceHandle device, U32 * current, U32 * pending))                              \
  FUNCTION(nvmlDeviceGetMaxMigDeviceCount, (DeviceHandle device, U32 * out))                                       \
  FUNCTION(nvmlDeviceGetMigDeviceHandleByIndex, (DeviceHandle device, U32 index, DeviceHandle * out))              \
  FUNCTION(nvmlDeviceGetGpuInstanceId, (DeviceHandle mig, U32 * out))                                              \
  FUNCTION(nvmlDeviceGetComputeInstanceId, (DeviceHandle mig, U32 * out))                                          \
  FUNCTION(nvmlDeviceGetAttributes_v2, (DeviceHandle mig, DeviceAttributes * out))                                 \
  FUNCTION(nvmlEventSetCreate, (EventSetHandle * out))                                                             \
  FUNCTION(nvmlEventSetFree, (EventSetHandle set))                                                                 \
  FUNCTION(nvmlEventSetWait_v2, (EventSetHandle set, EventData * out, U32 timeout_ms))                             \
  FUNCTION(nvmlDeviceGetSupportedEventTypes, (DeviceHandle device, U64 * out))                                     \
  FUNCTION(nvmlDeviceRegisterEvents, (DeviceHandle device, U64 types, EventSetHandle set))                         \
  FUNCTION(nvmlGpmQueryDeviceSupport, (DeviceHandle device, GpmSupport * out))                                     \
  FUNCTION(nvmlGpmSampleAlloc, (GpmSampleHandle * out))                                                            \
  FUNCTION(nvmlGpmSampleFree, (GpmSampleHandle sample))                                                            \
  FUNCTION(nvmlGpmSampleGet, (DeviceHandle device, GpmSampleHandle sample))                                        \
  FUNCTION(nvmlGpmMigSampleGet, (DeviceHandle parent, U32 gpu_instance, GpmSampleHandle sample))                   \
  FUNCTION(nvmlGpmMetricsGet, (void* metrics))

// The types of these functions, by the names of their symbols: fn::nvmlInit_v2 is int().
namespace fn {
// NOLINTNEXTLINE(bugprone-macro-parentheses): a name and a list of parameters
#define ACCELMON_NVML_TYPE(symbol, arguments) using symbol = int arguments;
ACCELMON_NVML_FUNCTIONS(ACCELMON_NVML_TYPE)
#undef ACCELMON_NVML_TYPE
using nvmlErrorString = const char*(int code);
}  // namespace fn

}  // namespace accelmon::nvml
