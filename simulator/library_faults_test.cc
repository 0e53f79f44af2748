// What the library answers when devices, calls, the driver or the scenario itself break.

#include "simulator/library_fixture.h"

namespace accelmon::simulator {
namespace {

TEST_F(LibraryTest, EventsComeOnceAndWaitersWake) {
  open(kHead + kBoard +
       "[[fault]]\nkind = \"xid\"\nxid = 79\nfrom = 1.5\n[[fault]]\nkind = \"xid\"\nxid = 31\nfrom = 1.5\n");
  // On a thread of its own: what has waited keeps the library loaded until it ends.
  std::thread waiter([this] {
    EventSetHandle set = nullptr;
    ASSERT_EQ(CALL(nvmlEventSetCreate)(&set), kSuccess);
    EXPECT_EQ(CALL(nvmlDeviceRegisterEvents)(device(), kEventMigConfiguration, set), kNotSupported);
    ASSERT_EQ(CALL(nvmlDeviceRegisterEvents)(device(), kEventXid, set), kSuccess);
    EventData event{};
    EXPECT_EQ(CALL(nvmlEventSetWait_v2)(set, &event, 0), kTimeout);
    ASSERT_EQ(CALL(nvmlEventSetWait_v2)(set, &event, 5000), kSuccess);
    EXPECT_EQ(event.type, kEventXid);
    EXPECT_EQ(event.data, 79u);
    EXPECT_EQ(event.device, device());
    ASSERT_EQ(CALL(nvmlEventSetWait_v2)(set, &event, 5000), kSuccess);
    EXPECT_EQ(event.data, 31u);
    EXPECT_EQ(CALL(nvmlEventSetWait_v2)(set, &event, 150), kTimeout);
    // One that somebody writes into the file while we wait.
    std::thread person([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(150));
      write(kHead + kBoard + "[[fault]]\nkind = \"xid\"\nxid = 48\n");
    });
    ASSERT_EQ(CALL(nvmlEventSetWait_v2)(set, &event, 10000), kSuccess);
    person.join();
    EXPECT_EQ(event.data, 48u);
    EXPECT_EQ(CALL(nvmlEventSetFree)(set), kSuccess);
    EXPECT_EQ(CALL(nvmlEventSetFree)(set), kInvalidArgument);
    EXPECT_EQ(CALL(nvmlEventSetWait_v2)(set, &event, 0), kInvalidArgument);
  });
  waiter.join();
}

TEST_F(LibraryTest, DevicesBreakAndMendWhileItRuns) {
  open(kHead + kBoard);
  const DeviceHandle handle = device();
  U32 mw = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(handle, &mw), kSuccess);
  write(kHead + kBoard + "[[fault]]\nkind = \"lost\"\ndevice = 0\n");
  wait_for_reload();
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(handle, &mw), kGpuIsLost);
  U32 count = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetCount_v2)(&count), kSuccess);
  EXPECT_EQ(count, 1u);
  DeviceHandle none = nullptr;
  EXPECT_EQ(CALL(nvmlDeviceGetHandleByIndex_v2)(0, &none), kGpuIsLost);
  write("this is no scenario");
  wait_for_reload();
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(handle, &mw), kGpuIsLost);  // the last good one holds
  write(kHead + kBoard + "[[fault]]\nkind = \"gone\"\ndevice = 0\n");
  wait_for_reload();
  EXPECT_EQ(CALL(nvmlDeviceGetCount_v2)(&count), kSuccess);
  EXPECT_EQ(count, 0u);
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(handle, &mw), kGpuIsLost);
  write(kHead + kBoard);
  wait_for_reload();
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(handle, &mw), kSuccess);
}

TEST_F(LibraryTest, FaultsOfCallsAndFields) {
  open(kHead + kBoard + R"([[fault]]
kind = "error"
call = "nvmlDeviceGetPowerUsage"
code = "UNKNOWN"
[[fault]]
kind = "error"
field = 185
code = "NO_DATA"
[[fault]]
kind = "garbage"
call = "nvmlDeviceGetUtilizationRates"
[[fault]]
kind = "frozen"
call = "nvmlDeviceGetTotalEnergyConsumption"
from = 100
[[fault]]
kind = "backwards"
field = 83
from = 100
[[fault]]
kind = "slow"
call = "nvmlDeviceGetTemperature"
milliseconds = 50
)",
       150);
  U32 number = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(device(), &number), kUnknownError);
  EXPECT_EQ(field(device(), kFieldPowerAverage).result, kNoData);
  EXPECT_EQ(field(device(), kFieldPowerInstant).result, kSuccess);
  Utilization utilization{};
  EXPECT_EQ(CALL(nvmlDeviceGetUtilizationRates)(device(), &utilization), kSuccess);
  EXPECT_GT(utilization.gpu, 100u);
  U64 first = 0, second = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetTotalEnergyConsumption)(device(), &first), kSuccess);
  EXPECT_EQ(first, 40005000u);
  const U64 before = field(device(), kFieldTotalEnergy).value.u64;
  EXPECT_LT(before, 21000000u);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(CALL(nvmlDeviceGetTotalEnergyConsumption)(device(), &second), kSuccess);
  EXPECT_EQ(first, second);
  EXPECT_LT(field(device(), kFieldTotalEnergy).value.u64, before);
  const int64_t began = monotonic_ns();
  EXPECT_EQ(CALL(nvmlDeviceGetTemperature)(device(), kSensorGpu, &number), kSuccess);
  EXPECT_GE(monotonic_ns() - began, 50000000);
}

TEST_F(LibraryTest, ASentinelIsAllOnes) {
  open(kHead + kBoard + "[[fault]]\nkind = \"sentinel\"\n");
  Utilization utilization{};
  EXPECT_EQ(CALL(nvmlDeviceGetUtilizationRates)(device(), &utilization), kSuccess);
  EXPECT_EQ(utilization.gpu, 4294967295u);
  U64 energy = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetTotalEnergyConsumption)(device(), &energy), kSuccess);
  EXPECT_EQ(energy, ~0ull);
}

// A call that looks its device up first must not meet its faults twice: half of the calls fail, not three quarters.
TEST_F(LibraryTest, ACallMeetsAFaultOnce) {
  open(kHead + kBoard +
       "[[fault]]\nkind = \"error\"\ncall = \"nvmlDeviceGetHandleByIndex_v2\"\nprobability = 0.5\nseed = 4\n");
  int failed = 0;
  for (int i = 0; i < 1000; ++i) {
    DeviceHandle handle = nullptr;
    if (CALL(nvmlDeviceGetHandleByIndex_v2)(0, &handle) != kSuccess) ++failed;
  }
  EXPECT_GT(failed, 420);
  EXPECT_LT(failed, 580);
}

TEST_F(LibraryTest, ProbabilityIsAShareOfTheCalls) {
  open(kHead + kBoard +
       "[[fault]]\nkind = \"error\"\ncall = \"nvmlDeviceGetPowerUsage\"\nprobability = 0.25\nseed = 3\n");
  int failed = 0;
  U32 mw = 0;
  for (int i = 0; i < 2000; ++i) {
    if (CALL(nvmlDeviceGetPowerUsage)(device(), &mw) != kSuccess) ++failed;
  }
  EXPECT_GT(failed, 400);
  EXPECT_LT(failed, 600);
}

TEST_F(LibraryTest, AHangEndsWhenTheFileIsMended) {
  open(kHead + kBoard + "[[fault]]\nkind = \"hang\"\ncall = \"nvmlDeviceGetPowerUsage\"\n");
  std::atomic<int> result{-1};
  std::thread stuck([&, handle = device()] {
    U32 mw = 0;
    result = CALL(nvmlDeviceGetPowerUsage)(handle, &mw);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(result, -1);
  U32 degrees = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetTemperature)(device(), kSensorGpu, &degrees), kSuccess);  // others go on
  write(kHead + kBoard);
  stuck.join();
  EXPECT_EQ(result, kSuccess);
}

TEST_F(LibraryTest, ADriverThatIsReloadedNeedsANewStartAndCountsFromZero) {
  const std::string fault = "[[fault]]\nkind = \"driver_unloaded\"\n";
  open(kHead + kBoard, 100);
  const DeviceHandle handle = device();
  write(kHead + kBoard + fault);
  wait_for_reload();
  U32 mw = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(handle, &mw), kUninitialized);
  EXPECT_EQ(CALL(nvmlShutdown)(), kSuccess);
  EXPECT_EQ(CALL(nvmlInit_v2)(), kDriverNotLoaded);
  write(kHead + kBoard + fault + "until = 90\n");
  wait_for_reload();
  ASSERT_EQ(CALL(nvmlInit_v2)(), kSuccess);
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(handle, &mw), kInvalidArgument);
  EXPECT_EQ(CALL(nvmlDeviceGetPowerUsage)(device(), &mw), kSuccess);
  U64 mj = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetTotalEnergyConsumption)(device(), &mj), kSuccess);
  EXPECT_LT(mj, 30000000u);
  EXPECT_GT(mj, 3000000u);
}

TEST_F(LibraryTest, ACrashTakesTheProcess) {
  write(kHead + kBoard + "[[fault]]\nkind = \"crash\"\ncall = \"nvmlDeviceGetSerial\"\n");
  const pid_t child = fork();
  if (child == 0) {
    load();
    char text[32];
    if (CALL(nvmlInit_v2)() == kSuccess) CALL(nvmlDeviceGetSerial)(device(), text, 32);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
}

TEST_F(LibraryTest, WithoutAGoodScenarioThereIsAnErrorAndOneLine) {
  load();  // no file
  testing::internal::CaptureStderr();
  EXPECT_EQ(CALL(nvmlInit_v2)(), kUnknownError);
  EXPECT_EQ(CALL(nvmlInit_v2)(), kUnknownError);
  EXPECT_STREQ(CALL(nvmlErrorString)(kUnknownError), "Unknown Error");
  U32 count = 0;
  EXPECT_EQ(CALL(nvmlDeviceGetCount_v2)(&count), kUninitialized);
  write(kHead + "[[device]]\n");
  wait_for_reload();
  EXPECT_EQ(CALL(nvmlInit_v2)(), kUnknownError);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 2) << said;
  EXPECT_THAT(said, testing::HasSubstr("line 5"));
  write(kHead + kBoard);
  wait_for_reload();
  EXPECT_EQ(CALL(nvmlInit_v2)(), kSuccess);
}

}  // namespace
}  // namespace accelmon::simulator
