// What the library answers while all is well.

#include "simulator/library_fixture.h"

namespace accelmon::simulator {
namespace {

TEST_F(LibraryTest, ExportsAllThatTheCollectorLoads) {
  open(kHead + kBoard);
#define CHECK(symbol, arguments) EXPECT_TRUE(dlsym(library_, #symbol)) << #symbol;
  ACCELMON_NVML_FUNCTIONS(CHECK)
#undef CHECK
  EXPECT_TRUE(dlsym(library_, "nvmlErrorString"));
  EXPECT_STREQ(CALL(nvmlErrorString)(kDriverNotLoaded), "Driver Not Loaded");
  EXPECT_TRUE(CALL(nvmlErrorString)(-1));
}

TEST_F(LibraryTest, CountsInitializationsAndRefusesOldHandles) {
  open(kHead + kBoard);
  const DeviceHandle old = device();
  EXPECT_EQ(CALL(nvmlInit_v2)(), kSuccess);
  EXPECT_EQ(CALL(nvmlShutdown)(), kSuccess);
  U32 count = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetCount_v2)(&count), kSuccess);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(CALL(nvmlShutdown)(), kSuccess);
  EXPECT_EQ(CALL(nvmlShutdown)(), kUninitialized);
  EXPECT_EQ(CALL(nvmlDeviceGetCount_v2)(&count), kUninitialized);
  EXPECT_EQ(CALL(nvmlInit_v2)(), kSuccess);
  U32 mw = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(old, &mw), kInvalidArgument);
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(nullptr, &mw), kInvalidArgument);
  int local = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(&local, &mw), kInvalidArgument);
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(device(), nullptr), kInvalidArgument);
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(device(), &mw), kSuccess);
  EXPECT_EQ(mw, 400000u);
  DeviceHandle none = nullptr;
  EXPECT_EQ(CALL(nvmlDeviceGetHandleByIndex_v2)(1, &none), kInvalidArgument);
}

TEST_F(LibraryTest, ChecksSizesAndVersions) {
  open(kHead + kBoard);
  char text[96];
  EXPECT_EQ(CALL(nvmlDeviceGetName)(device(), text, 5), kInsufficientSize);
  EXPECT_EQ(CALL(nvmlDeviceGetName)(device(), text, 6), kSuccess);
  EXPECT_STREQ(text, "Board");
  MemoryV2 memory;
  memory.version = version_word<MemoryV2>(1);
  EXPECT_EQ(CALL(nvmlDeviceGetMemoryInfo_v2)(device(), &memory), kArgumentVersionMismatch);
  memory.version = version_word<MemoryV2>(2);
  ASSERT_EQ(CALL(nvmlDeviceGetMemoryInfo_v2)(device(), &memory), kSuccess);
  EXPECT_EQ(memory.total, U64{80000} << 20);
  EXPECT_EQ(memory.used, U64{20} << 20);
  EXPECT_EQ(memory.used + memory.reserved + memory.free, memory.total);
  Memory first{};
  ASSERT_EQ(CALL(nvmlDeviceGetMemoryInfo)(device(), &first), kSuccess);
  EXPECT_EQ(first.used, U64{520} << 20);
  EXPECT_EQ(first.used + first.free, first.total);
  Temperature temperature;
  temperature.version = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetTemperatureV)(device(), &temperature), kArgumentVersionMismatch);
  temperature = Temperature{};
  EXPECT_EQ(CALL(nvmlDeviceGetTemperatureV)(device(), &temperature), kSuccess);
  EXPECT_EQ(temperature.temperature, 51);
  PciInfo pci{};
  EXPECT_EQ(CALL(nvmlDeviceGetPciInfo_v3)(device(), &pci), kSuccess);
  EXPECT_STREQ(pci.bus_id, "00000001:1B:00.0");
  EXPECT_STREQ(pci.bus_id_legacy, "0001:1B:00.0");
  EXPECT_EQ(pci.device_id, 0x233010DEu);
}

TEST_F(LibraryTest, WhatABoardLacksIsNotSupported) {
  open(kHead + kBoard + "unsupported = [\"nvmlDeviceGetSerial\"]\nunsupported_fields = [83]\n");
  char text[96];
  U32 number = 0;
  int state = 0;
  U64 wide = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetSerial)(device(), text, 96), kNotSupported);
  EXPECT_EQ(CALL(nvmlDeviceGetFanSpeed_v2)(device(), 0, &number), kNotSupported);
  EXPECT_EQ(CALL(nvmlDeviceGetMigMode)(device(), &number, &number), kNotSupported);
  EXPECT_EQ(CALL(nvmlDeviceGetRetiredPagesPendingStatus)(device(), &state), kNotSupported);
  EXPECT_EQ(CALL(nvmlDeviceGetTemperatureThreshold)(device(), kThresholdSlowdown, &number), kNotSupported);
  EXPECT_EQ(CALL(nvmlDeviceGetJpgUtilization)(device(), &number, &number), kNotSupported);
  EXPECT_EQ(CALL(nvmlDeviceGetNvLinkState)(device(), 4, &state), kInvalidArgument);
  EXPECT_EQ(CALL(nvmlDeviceGetTotalEccErrors)(device(), kEccCorrected, kEccVolatile, &wide), kSuccess);
  EXPECT_EQ(field(device(), kFieldTotalEnergy).result, kNotSupported);
  EXPECT_EQ(field(device(), kFieldMemoryTemperature).result, kNotSupported);
  EXPECT_EQ(field(device(), 54321).result, kNotSupported);
}

TEST_F(LibraryTest, FieldsAgreeWithCallsAndCarryTheirTimes) {
  open(kHead + kBoard, 1000);
  const FieldValue average = field(device(), kFieldPowerAverage);
  EXPECT_EQ(average.result, kSuccess);
  EXPECT_EQ(average.value_type, kUnsignedInt);
  EXPECT_EQ(average.value.u32, 400000u);
  EXPECT_GE(average.latency, 1);
  const int64_t now_us = static_cast<int64_t>(time(nullptr)) * 1000000;
  EXPECT_NEAR(static_cast<double>(average.timestamp), static_cast<double>(now_us), 3e6);
  // 400 W for 1000 s and a little more.
  const FieldValue energy = field(device(), kFieldTotalEnergy);
  EXPECT_EQ(energy.value_type, kUnsignedLongLong);
  EXPECT_GE(energy.value.u64, 400005000u);
  U64 later = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetTotalEnergyConsumption)(device(), &later), kSuccess);
  EXPECT_GE(later, energy.value.u64);
  EXPECT_GE(field(device(), kFieldPcieTransmitBytes).value.u64, 1000000000000u);
  // 3 GB/s over the three links that are up.
  EXPECT_GE(field(device(), kFieldNvlinkDataTransmit, kAllNvlinks).value.u64, 3000000000u);
  EXPECT_GE(field(device(), kFieldNvlinkDataTransmit, 0).value.u64, 1000000000u);
  EXPECT_EQ(field(device(), kFieldNvlinkDataTransmit, 1).value.u64, 0u);
  EXPECT_EQ(field(device(), kFieldNvlinkState, 1).value.u32, 0u);
  EXPECT_EQ(field(device(), kFieldNvlinkCount).value.u32, 4u);
}

TEST_F(LibraryTest, CountersGoOnWhenTheProcessRestarts) {
  open(kHead + kBoard, 500);
  const char* const given = getenv("ACCELMON_SIM_EPOCH_NS");
  ASSERT_NE(given, nullptr);
  const std::string epoch = given;
  const U64 before = field(device(), kFieldTotalEnergy).value.u64;
  close();
  setenv("ACCELMON_SIM_EPOCH_NS", epoch.c_str(), 1);
  library_ = dlopen(ACCELMON_SIMULATOR, RTLD_LAZY | RTLD_LOCAL);
  ASSERT_TRUE(library_);
  ASSERT_EQ(CALL(nvmlInit_v2)(), kSuccess);
  const U64 after = field(device(), kFieldTotalEnergy).value.u64;
  EXPECT_GE(after, before);
  EXPECT_LT(after, before + 400 * 1000 * 100);
}

TEST_F(LibraryTest, ListsProcessesInEveryLayout) {
  const std::string processes = R"([[process]]
pid = 70
name = "/bin/a"
device = 0
memory_mib = 7
sm = 33
[[process]]
pid = "self"
device = 0
kind = "graphics"
memory_mib = 8
[[process]]
pid = 71
device = 0
memory_mib = 9
)";
  open(kHead + "process_v3_stride = 32\n" + kBoard + processes);
  U32 count = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetComputeRunningProcesses_v3)(device(), &count, nullptr), kInsufficientSize);
  EXPECT_EQ(count, 2u);
  std::vector<ProcessDetail> wide(2);
  EXPECT_EQ(CALL(nvmlDeviceGetComputeRunningProcesses_v3)(device(), &count, wide.data()), kSuccess);
  EXPECT_EQ(wide[1].pid, 71u);
  EXPECT_EQ(wide[1].used_memory, U64{9} << 20);
  EXPECT_EQ(wide[1].gpu_instance, kNoValue32);
  std::vector<ProcessInfo> narrow(2);
  EXPECT_EQ(CALL(nvmlDeviceGetComputeRunningProcesses_v2)(device(), &count, narrow.data()), kSuccess);
  EXPECT_EQ(narrow[1].pid, 71u);
  EXPECT_EQ(narrow[1].used_memory, U64{9} << 20);
  ProcessDetailList list;
  list.mode = kProcessesAll;
  std::vector<ProcessDetail> all(8);
  list.processes = all.data();
  list.count = 8;
  EXPECT_EQ(CALL(nvmlDeviceGetRunningProcessDetailList)(device(), &list), kSuccess);
  EXPECT_EQ(list.count, 3u);
  EXPECT_EQ(all[1].pid, static_cast<U32>(getpid()));
  char name[16];
  EXPECT_EQ(CALL(nvmlSystemGetProcessName)(70, name, 16), kSuccess);
  EXPECT_STREQ(name, "/bin/a");
  EXPECT_EQ(CALL(nvmlSystemGetProcessName)(70, name, 4), kSuccess);
  EXPECT_STREQ(name, "/bi");
  EXPECT_EQ(CALL(nvmlSystemGetProcessName)(99, name, 16), kNotFound);
  auto* const utilization =
      call<int(DeviceHandle, ProcessUtilizationSample*, U32*, U64)>("nvmlDeviceGetProcessUtilization");
  ProcessUtilizationSample sample{};
  count = 1;
  EXPECT_EQ(utilization(device(), &sample, &count, 0), kSuccess);
  EXPECT_EQ(sample.pid, 70u);
  EXPECT_EQ(sample.sm, 33u);
  EXPECT_EQ(utilization(device(), &sample, &count, sample.timestamp + 5000000), kNotFound);
}

TEST_F(LibraryTest, GpmGivesTheMeanBetweenTwoSamples) {
  open(kHead + kBoard);
  GpmSupport support;
  EXPECT_EQ(CALL(nvmlGpmQueryDeviceSupport)(device(), &support), kSuccess);
  EXPECT_EQ(support.supported, 1u);
  GpmSampleHandle older = nullptr, newer = nullptr;
  ASSERT_EQ(CALL(nvmlGpmSampleAlloc)(&older), kSuccess);
  ASSERT_EQ(CALL(nvmlGpmSampleAlloc)(&newer), kSuccess);
  struct {
    GpmMetricsGet head{};
    GpmMetric metrics[4]{};
  } request;
  request.head.version = 1;
  request.head.count = 4;
  request.head.sample1 = older;
  request.head.sample2 = newer;
  const U32 ids[] = {kGpmGraphics, kGpmPcieReceive, 32, kGpmFp64};
  for (int i = 0; i < 4; ++i) request.metrics[i].id = ids[i];
  EXPECT_EQ(CALL(nvmlGpmMetricsGet)(&request), kInvalidArgument);  // nothing sampled yet
  EXPECT_EQ(CALL(nvmlGpmSampleGet)(device(), older), kSuccess);
  EXPECT_EQ(CALL(nvmlGpmSampleGet)(device(), newer), kSuccess);
  request.head.sample2 = older;
  EXPECT_EQ(CALL(nvmlGpmMetricsGet)(&request), kSuccess);
  EXPECT_EQ(request.metrics[0].value, 0);  // no time between them
  request.head.sample2 = newer;
  std::this_thread::sleep_for(std::chrono::milliseconds(110));
  EXPECT_EQ(CALL(nvmlGpmSampleGet)(device(), newer), kSuccess);
  ASSERT_EQ(CALL(nvmlGpmMetricsGet)(&request), kSuccess);
  EXPECT_EQ(request.metrics[0].result, kSuccess);
  EXPECT_NEAR(request.metrics[0].value, 60, 1e-6);
  EXPECT_NEAR(request.metrics[1].value, 2e9 / 1048576, 1e-3);
  EXPECT_EQ(request.metrics[2].result, kNotSupported);
  EXPECT_EQ(request.metrics[3].value, 0);
  std::swap(request.head.sample1, request.head.sample2);
  EXPECT_EQ(CALL(nvmlGpmMetricsGet)(&request), kInvalidArgument);
  EXPECT_EQ(CALL(nvmlGpmSampleFree)(older), kSuccess);
  EXPECT_EQ(CALL(nvmlGpmSampleFree)(older), kInvalidArgument);
  EXPECT_EQ(CALL(nvmlGpmSampleFree)(newer), kSuccess);
}

TEST_F(LibraryTest, MigInstancesAreDevicesOfTheirOwn) {
  const std::string instances = R"(mig.enabled = true
mig.most = 7
[[device.mig.instance]]
profile = "3g.40gb"
gpu_instance = 2
gpu_slices = 3
multiprocessors = 60
memory_mib = 40448
base_mib = 39
gpm.graphics = 80
[[device.mig.instance]]
profile = "1g.10gb"
gpu_instance = 9
memory_mib = 9984
[[process]]
pid = 21
device = 0
instance = 0
memory_mib = 1000
)";
  open(kHead + kBoard + instances);
  U32 number = 0;
  Utilization utilization{};
  EXPECT_EQ(CALL(nvmlDeviceGetUtilizationRates)(device(), &utilization), kNotSupported);
  EXPECT_EQ(CALL(nvmlDeviceGetEncoderUtilization)(device(), &number, &number), kNotSupported);
  EXPECT_EQ(CALL(nvmlDeviceGetMaxMigDeviceCount)(device(), &number), kSuccess);
  EXPECT_EQ(number, 7u);
  DeviceHandle mig = nullptr;
  EXPECT_EQ(CALL(nvmlDeviceGetMigDeviceHandleByIndex)(device(), 2, &mig), kNotFound);
  EXPECT_EQ(CALL(nvmlDeviceGetMigDeviceHandleByIndex)(device(), 7, &mig), kInvalidArgument);
  ASSERT_EQ(CALL(nvmlDeviceGetMigDeviceHandleByIndex)(device(), 0, &mig), kSuccess);
  char text[96];
  EXPECT_EQ(CALL(nvmlDeviceGetUUID)(mig, text, 96), kSuccess);
  EXPECT_THAT(text, testing::StartsWith("MIG-"));
  EXPECT_EQ(CALL(nvmlDeviceGetName)(mig, text, 96), kSuccess);
  EXPECT_STREQ(text, "Board MIG 3g.40gb");
  Memory memory{};
  EXPECT_EQ(CALL(nvmlDeviceGetMemoryInfo)(mig, &memory), kSuccess);
  EXPECT_EQ(memory.total, U64{40448} << 20);
  EXPECT_EQ(memory.used, U64{1039} << 20);
  DeviceAttributes attributes{};
  EXPECT_EQ(CALL(nvmlDeviceGetAttributes_v2)(mig, &attributes), kSuccess);
  EXPECT_EQ(attributes.multiprocessors, 60u);
  EXPECT_EQ(attributes.memory_mib, 40448u);
  EXPECT_EQ(CALL(nvmlDeviceGetAttributes_v2)(device(), &attributes), kInvalidArgument);
  EXPECT_EQ(CALL(nvmlDeviceGetGpuInstanceId)(mig, &number), kSuccess);
  EXPECT_EQ(number, 2u);
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(mig, &number), kNotSupported);
  std::vector<ProcessInfo> processes(4);
  U32 count = 4;
  EXPECT_EQ(CALL(nvmlDeviceGetComputeRunningProcesses_v3)(device(), &count, processes.data()), kSuccess);
  ASSERT_EQ(count, 1u);
  EXPECT_EQ(processes[0].gpu_instance, 2u);
  GpmSampleHandle sample = nullptr;
  ASSERT_EQ(CALL(nvmlGpmSampleAlloc)(&sample), kSuccess);
  EXPECT_EQ(CALL(nvmlGpmSampleGet)(device(), sample), kNotSupported);
  EXPECT_EQ(CALL(nvmlGpmMigSampleGet)(device(), 2, sample), kSuccess);
  EXPECT_EQ(CALL(nvmlGpmMigSampleGet)(device(), 9, sample), kNotSupported);
  EXPECT_EQ(CALL(nvmlGpmMigSampleGet)(device(), 4, sample), kNotFound);
  EXPECT_EQ(CALL(nvmlGpmSampleFree)(sample), kSuccess);
}

TEST_F(LibraryTest, MissingSymbolsAnswerSo) {
  open(kHead + "missing_symbols = [\"nvmlGpm*\"]\n" + kBoard);
  GpmSampleHandle sample = nullptr;
  EXPECT_EQ(CALL(nvmlGpmSampleAlloc)(&sample), kFunctionNotFound);
}

TEST_F(LibraryTest, ManyThreadsWhileTheFileChanges) {
  open(kHead + kBoard);
  const DeviceHandle handle = device();
  std::atomic<bool> stop{false};
  std::atomic<int> bad{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        U32 mw = 0;
        Memory memory{};
        FieldValue value{};
        value.field_id = kFieldTotalEnergy;
        if (CALL(nvmlDeviceGetPowerUsage)(handle, &mw) != kSuccess) ++bad;
        if (CALL(nvmlDeviceGetMemoryInfo)(handle, &memory) != kSuccess) ++bad;
        if (CALL(nvmlDeviceGetFieldValues)(handle, 1, &value) != kSuccess) ++bad;
      }
    });
  }
  for (int i = 0; i < 3; ++i) {
    write(kHead + "description = \"" + std::string(static_cast<size_t>(i), 'x') + "\"\n" + kBoard);
    wait_for_reload();
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(bad, 0);
}

}  // namespace
}  // namespace accelmon::simulator
