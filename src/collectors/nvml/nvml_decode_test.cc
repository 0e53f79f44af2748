// What needs no library: decoding, versions, counters, health.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <set>

#include "collectors/nvml/nvml_counter.h"
#include "collectors/nvml/nvml_discovery.h"
#include "collectors/nvml/nvml_events.h"
#include "collectors/nvml/nvml_fields.h"
#include "collectors/nvml/nvml_health.h"
#include "collectors/nvml/nvml_processes.h"
#include "collectors/nvml/nvml_readings.h"

namespace accelmon::nvml {
namespace {

constexpr uint64_t k2To32 = uint64_t{1} << 32;
constexpr uint64_t k2To42 = uint64_t{1} << 42;

TEST(Counter, GrowsByDifferences) {
  WrapCounter counter(1e9);
  EXPECT_EQ(counter.update(1000, kSecond), 1000u);
  EXPECT_EQ(counter.update(1500, 2 * kSecond), 1500u);
  EXPECT_EQ(counter.update(1500, 3 * kSecond), 1500u);
}

TEST(Counter, FollowsAWrapOfThirtyTwoBits) {
  WrapCounter counter(1e6);
  counter.update(k2To32 - 10, kSecond);
  EXPECT_EQ(counter.update(5, 2 * kSecond), k2To32 + 5);
  EXPECT_EQ(counter.update(9, 3 * kSecond), k2To32 + 9);
}

TEST(Counter, FollowsAWrapOfThirtyTwoBitsOfKib) {
  WrapCounter counter(1e9);
  counter.update(k2To42 - 100, kSecond);
  EXPECT_EQ(counter.update(50, 2 * kSecond), k2To42 + 50);
}

TEST(Counter, BeginsAnewAfterARestart) {
  WrapCounter counter(1e9);
  counter.update(1'000'000, kSecond);
  EXPECT_EQ(counter.update(7, 2 * kSecond), 7u) << "a fall from far below the width is a restart, not a wrap";
  EXPECT_EQ(counter.update(20, 3 * kSecond), 20u);
}

// Its raw reading is no count: a rate over a total that began there would show gigabytes that nobody sent.
TEST(Counter, OfAKnownWidthBeginsAtZero) {
  WrapCounter counter(1e9);
  counter.set_width(k2To32);
  EXPECT_EQ(counter.update(k2To32 - 1000, kSecond), 0u);
  EXPECT_EQ(counter.update(k2To32 - 400, 2 * kSecond), 600u);
  EXPECT_EQ(counter.update(k2To32 - 1, 3 * kSecond), std::nullopt) << "all ones is what stands for no number";
  EXPECT_EQ(counter.update(50, 4 * kSecond), 1050u);
}

TEST(Counter, SaysNothingOfAnIntervalInWhichItMayHaveWrappedTwice) {
  WrapCounter counter(20e9);  // a 32-bit count of bytes at 20 GB/s wraps five times a second
  counter.update(k2To32 - 10, kSecond);
  EXPECT_EQ(counter.update(10, 2 * kSecond), std::nullopt);
  EXPECT_EQ(counter.update(1000, 3 * kSecond), std::nullopt) << "growth hides wraps as well";
  EXPECT_EQ(counter.update(2000, 3 * kSecond + kMillisecond), k2To32 - 10 + 1000) << "short intervals are certain";
}

TEST(Counter, ForgetsAWidthThatTurnsOutTooSmall) {
  WrapCounter counter(1e6);
  counter.update(k2To32 - 10, kSecond);
  counter.update(5, 2 * kSecond);
  const auto total = counter.update(k2To32 + 100, 3 * kSecond);
  ASSERT_TRUE(total);
  EXPECT_EQ(*total, 2 * k2To32 + 100);
}

FieldValue field(int type, int result = kSuccess) {
  FieldValue value{};
  value.value_type = type;
  value.result = result;
  return value;
}

TEST(Fields, AreReadByTheirOwnType) {
  FieldValue value = field(kDouble);
  value.value.f64 = 2.5;
  EXPECT_EQ(decode(value).value, 2.5);
  EXPECT_EQ(decode(value).integer, 2u);

  value = field(kUnsignedInt);
  value.value.u64 = 0xdeadbeef00000007;  // what lies beside the number is not part of it
  EXPECT_EQ(decode(value).value, 7);

  value = field(kSignedInt);
  value.value.i32 = -8;
  EXPECT_EQ(decode(value).value, -8);
  EXPECT_EQ(decode(value).integer, 0u);

  value = field(kSignedLongLong);
  value.value.i64 = -5'000'000'000;
  EXPECT_EQ(decode(value).value, -5e9);

  value = field(kUnsignedShort);
  value.value.u64 = 0;
  value.value.u16 = 65535;
  EXPECT_EQ(decode(value).value, 65535);

  value = field(kUnsignedLongLong);
  value.value.u64 = (uint64_t{1} << 60) + 1;
  EXPECT_EQ(decode(value).integer, (uint64_t{1} << 60) + 1) << "counters keep all their digits";
}

TEST(Fields, SentinelsAndUnknownTypesAreNoNumbers) {
  FieldValue value = field(kUnsignedLongLong);
  value.value.u64 = ~0ull;
  EXPECT_EQ(decode(value).code, kNotSupported);
  value = field(kUnsignedInt);
  value.value.u32 = ~0u;
  EXPECT_EQ(decode(value).code, kNotSupported);
  EXPECT_EQ(decode(field(42)).code, kUnknownError);
  EXPECT_EQ(decode(field(-1)).code, kUnknownError);
  EXPECT_EQ(decode(field(kUnsignedInt, kGpuIsLost)).code, kGpuIsLost);

  value = field(kDouble);
  value.value.f64 = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(decode(value).integer, 0u);
  value.value.f64 = 1e300;
  EXPECT_EQ(decode(value).integer, 0u);
}

TEST(Fields, VersionOfTheInterface) {
  EXPECT_EQ(interface_version(13010, "590.48.01"), 1301);
  EXPECT_EQ(interface_version(12090, "575.57.08"), 1209);
  EXPECT_EQ(interface_version(11070, "515.105.01"), 1107);
  // Without a CUDA version the driver's branch tells.
  EXPECT_EQ(interface_version(0, "590.48.01"), 1301);
  EXPECT_EQ(interface_version(0, "580.95.05"), 1300);
  EXPECT_EQ(interface_version(0, "575.57.08"), 1209);
  EXPECT_EQ(interface_version(0, "570.86.15"), 1208);
  EXPECT_EQ(interface_version(0, "470.42.01"), 0);
  EXPECT_EQ(interface_version(0, ""), 0);
  EXPECT_EQ(interface_version(-7, "nonsense"), 0);
}

TEST(Fields, ReasonTimesMovedBetweenVersions) {
  using testing::ElementsAre;
  EXPECT_THAT(reason_time_fields(1208), testing::IsEmpty());
  EXPECT_THAT(reason_time_fields(0), testing::IsEmpty());
  EXPECT_THAT(reason_time_fields(1209), ElementsAre(ElementsAre(269, 270, 271), ElementsAre(251, 252, 253)));
  EXPECT_THAT(reason_time_fields(1300), ElementsAre(ElementsAre(269, 270, 271), ElementsAre(251, 252, 253)));
  EXPECT_THAT(reason_time_fields(1301), ElementsAre(ElementsAre(269, 270, 271)));
  EXPECT_THAT(reason_time_fields(1303), ElementsAre(ElementsAre(269, 270, 271)));
}

TEST(Reasons, EachBitIsAStateOfItsOwn) {
  std::array<Reading, kMostReadings> row;
  decode_reasons(kSuccess, kReasonPowerCap | kReasonThermalHardware, row.data());
  for (size_t i = 0; i < kReasonCount; ++i) {
    const std::string name = kReasons[i].name;
    EXPECT_EQ(row[i].value, name == "power_cap" || name == "thermal_hardware" ? 1 : 0) << name;
  }
  decode_reasons(kSuccess, ~0ull, row.data());
  for (size_t i = 0; i < kReasonCount; ++i) EXPECT_EQ(row[i].value, 1) << kReasons[i].name;
  decode_reasons(kNotSupported, 0, row.data());
  EXPECT_EQ(row[0].code, kNotSupported);
}

TEST(Reasons, NamesAndBitsAreDistinct) {
  std::set<std::string> names;
  U64 all = 0;
  for (const Reason& reason : kReasons) {
    EXPECT_TRUE(names.insert(reason.name).second);
    EXPECT_EQ(all & reason.bit, 0u);
    all |= reason.bit;
  }
  EXPECT_EQ(all, 0x1ffu);
}

// Two layouts behind one symbol: 24 and 32 bytes an entry.
template <class Entry>
std::vector<unsigned char> process_list(size_t count, size_t room, unsigned char filler) {
  std::vector<unsigned char> memory(room * sizeof(ProcessDetail), filler);
  for (size_t i = 0; i < count; ++i) {
    Entry entry{};
    entry.pid = static_cast<U32>(100 + i);
    entry.used_memory = 1000 * (i + 1);
    entry.gpu_instance = kNoValue32;
    entry.compute_instance = kNoValue32;
    std::memcpy(memory.data() + i * sizeof(Entry), &entry, sizeof entry);
  }
  return memory;
}

TEST(Processes, TheSizeOfEntriesShowsInWhatWasWritten) {
  for (size_t count = 1; count <= 8; ++count) {
    EXPECT_EQ(entry_size(process_list<ProcessInfo>(count, 8, 0xa5), count, 0xa5), sizeof(ProcessInfo)) << count;
    EXPECT_EQ(entry_size(process_list<ProcessDetail>(count, 8, 0xa5), count, 0xa5), sizeof(ProcessDetail)) << count;
  }
  EXPECT_EQ(entry_size(process_list<ProcessInfo>(0, 8, 0xa5), 0, 0xa5), sizeof(ProcessInfo));
  // A count beyond the memory, as a broken library may give, stays inside it.
  EXPECT_EQ(entry_size(process_list<ProcessInfo>(8, 8, 0xa5), 1000, 0xa5), sizeof(ProcessInfo));
}

TEST(Processes, MergeKeepsOneEntryForEachProcess) {
  std::vector<Process> processes{{7, 100, kProcessesGraphics}, {8, 300, kProcessesCompute},
                                 {7, 100, kProcessesCompute},  {9, std::nullopt, kProcessesCompute},
                                 {8, 50, kProcessesCompute},   {10, 1000, kProcessesGraphics},
                                 {11, 5, kProcessesCompute},   {11, std::nullopt, kProcessesCompute}};
  merge(processes);
  ASSERT_EQ(processes.size(), 5u);
  EXPECT_EQ(processes[0].pid, 10u);
  EXPECT_EQ(processes[1].pid, 8u);
  EXPECT_EQ(processes[1].memory, 350u) << "two instances of one device add up";
  EXPECT_EQ(processes[2].pid, 7u);
  EXPECT_EQ(processes[2].mode, kProcessesCompute);
  EXPECT_EQ(processes[2].memory, 100u) << "computing and drawing hold the same memory, once";
  EXPECT_FALSE(processes[3].memory);
  EXPECT_FALSE(processes[4].memory) << "a part that is not known leaves the sum unknown";
}

TEST(Partitions, ProfileFromNameOrSize) {
  EXPECT_EQ(partition_profile("NVIDIA H100 80GB HBM3 MIG 1g.10gb", nullptr), "1g.10gb");
  EXPECT_EQ(partition_profile("NVIDIA A100-SXM4-80GB MIG 1c.3g.40gb", nullptr), "1c.3g.40gb");
  DeviceAttributes attributes{};
  attributes.gpu_instance_slices = 3;
  attributes.compute_instance_slices = 3;
  attributes.memory_mib = 40448;
  EXPECT_EQ(partition_profile("NVIDIA H100", &attributes), "3g.40gb");
  attributes.compute_instance_slices = 1;
  EXPECT_EQ(partition_profile("NVIDIA H100", &attributes), "1c.3g.40gb");
  EXPECT_EQ(partition_profile("NVIDIA H100", nullptr), "");
}

TEST(Health, OneStateByWhatIsWorst) {
  Health health;
  EXPECT_EQ(health.condition(false), HwState::ok);
  EXPECT_EQ(health.condition(true), HwState::failed);
  health.set(HealthInput::remap_pending, 1);
  EXPECT_EQ(health.condition(false), HwState::degraded);
  health.set(HealthInput::banks_exhausted, 2);
  EXPECT_EQ(health.condition(false), HwState::predicted_failure);
  health.set(HealthInput::remap_failed, 1);
  EXPECT_EQ(health.condition(false), HwState::failed);
}

TEST(Health, RecoveryActionAndRetiredPages) {
  Health health;
  health.set(HealthInput::recovery_action, kRecoveryDrainP2p);
  EXPECT_EQ(health.condition(false), HwState::degraded);
  health.set(HealthInput::recovery_action, kRecoveryNone);
  health.set(HealthInput::pages_corrected, 60);
  EXPECT_EQ(health.condition(false), HwState::ok);
  health.set(HealthInput::pages_uncorrected, 3);
  EXPECT_EQ(health.condition(false), HwState::predicted_failure);
}

TEST(Health, AFlashOfSlowdownIsNoDegradation) {
  Health health;
  health.set(HealthInput::hardware_slowdown, 1);
  EXPECT_EQ(health.condition(false), HwState::ok) << "raised for an instant at a change of clocks";
  health.set(HealthInput::hardware_slowdown, 0);
  health.set(HealthInput::hardware_slowdown, 1);
  EXPECT_EQ(health.condition(false), HwState::ok);
  health.set(HealthInput::hardware_slowdown, 1);
  EXPECT_EQ(health.condition(false), HwState::degraded);
  health.set(HealthInput::hardware_slowdown, 0);
  EXPECT_EQ(health.condition(false), HwState::ok);
}

TEST(Events, XidsHaveSeverityAndAdvice) {
  EXPECT_EQ(meaning_of(kEventXid, 79).code, "xid:79");
  EXPECT_EQ(meaning_of(kEventXid, 79).severity, Severity::critical);
  EXPECT_THAT(meaning_of(kEventXid, 79).message, testing::HasSubstr("fallen off the bus"));
  EXPECT_EQ(meaning_of(kEventXid, 63).severity, Severity::warning);
  EXPECT_EQ(meaning_of(kEventXid, 94).severity, Severity::warning);
  EXPECT_EQ(meaning_of(kEventXid, 13).severity, Severity::info);
  EXPECT_EQ(meaning_of(kEventXid, 45).severity, Severity::info);
  const EventMeaning unknown = meaning_of(kEventXid, 4711);
  EXPECT_EQ(unknown.code, "xid:4711");
  EXPECT_EQ(unknown.severity, Severity::warning);
  EXPECT_EQ(meaning_of(kEventDoubleBitEcc, 0).code, "ecc_double_bit");
  EXPECT_EQ(meaning_of(U64{1} << 40, 0).code, "event:1099511627776");
}

TEST(Errors, MeanStates) {
  EXPECT_EQ(state_of(kSuccess), State::ok);
  EXPECT_EQ(state_of(kNotSupported), State::unsupported);
  EXPECT_EQ(state_of(kFunctionNotFound), State::unsupported);
  EXPECT_EQ(state_of(kArgumentVersionMismatch), State::unsupported);
  EXPECT_EQ(state_of(kNoPermission), State::no_permission);
  EXPECT_EQ(state_of(kNotReady), State::not_ready);
  EXPECT_EQ(state_of(kGpuIsLost), State::error);
  EXPECT_EQ(state_of(12345), State::error);
  EXPECT_EQ(error_name(kGpuIsLost), "NVML_ERROR_GPU_IS_LOST");
  EXPECT_EQ(error_name(12345), "NVML_ERROR_12345");
}

TEST(Symbols, EachHasItsName) {
  EXPECT_EQ(symbol_name(Symbol::nvmlInit_v2), "nvmlInit_v2");
  EXPECT_EQ(symbol_name(Symbol::nvmlGpmMetricsGet), "nvmlGpmMetricsGet");
  std::set<std::string_view> names;
  for (size_t i = 0; i < kSymbols; ++i) EXPECT_TRUE(names.insert(symbol_name(static_cast<Symbol>(i))).second);
}

}  // namespace
}  // namespace accelmon::nvml
