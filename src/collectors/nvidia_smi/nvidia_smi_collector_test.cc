// The collector with a script in the place of nvidia-smi, which prints captures, hangs, floods or dies.
#include "collectors/nvidia_smi/nvidia_smi_collector.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/text.h"
#include "collectors/collector_rig_for_test.h"
#include "collectors/nvidia_smi/child_process.h"

namespace accelmon::nvidia_smi {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string content(const fs::path& path) {
  std::ifstream in(path);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

struct NvidiaSmi : testing::Test, for_test::TemporaryTree, for_test::CollectorRig {
  NvidiaSmi() : TemporaryTree("smi") {
    options = {{"library", (root / "libnvidia-ml.so.1").string()}, {"program", (root / "smi").string()}};
  }
  ~NvidiaSmi() override { collector.reset(); }

  // A script; $HERE is its folder.
  void program(const std::string& body) {
    const fs::path path = root / "smi";
    std::ofstream(path, std::ios::trunc) << "#!/bin/sh\nHERE=" << root.string() << "\necho run >>$HERE/runs\n" << body;
    fs::permissions(path, fs::perms::owner_all);
  }
  void prints(const std::string& capture) {
    fs::copy_file(ACCELMON_SOURCE_DIR "/src/collectors/nvidia_smi/testdata/" + capture, root / "answer",
                  fs::copy_options::overwrite_existing);
    program("cat $HERE/answer\n");
  }
  size_t runs() const {
    const std::string text = content(root / "runs");
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  Result<Catalog> discover() {
    if (collector == nullptr) collector = make_nvidia_smi_collector(CollectorContext{calls, clock, options});
    return CollectorRig::discover();
  }
  // As the collector's process does: it sets the times before it asks.
  PollResult poll(uint8_t due = 7) {
    clock.advance(10 * kSecond);
    return poll_now(due);
  }
  PollResult poll_now(uint8_t due = 7) {
    frame.monotonic = clock.monotonic();
    frame.fresh = due;
    for (size_t tier = 0; tier < kTiers; ++tier)
      if ((due >> tier) & 1u) frame.read_at[tier] = frame.monotonic;
    return collector->poll(PollRequest{due}, frame, events);
  }
  double value(MetricId metric, std::vector<Attribute> attributes = {}, int device = 0) const {
    const int i = find_series(catalog, metric, device, std::move(attributes));
    EXPECT_GE(i, 0) << info(metric).name;
    if (i < 0) return -1;
    EXPECT_EQ(frame.states[static_cast<size_t>(i)], State::ok) << info(metric).name;
    return frame.values[static_cast<size_t>(i)];
  }
  std::string absence(MetricId metric) const {
    for (const Absence& one : catalog.absences)
      if (one.metric == metric) return one.reason;
    return "";
  }

  std::map<std::string, std::string, std::less<>> options;
};

TEST_F(NvidiaSmi, ReadsAnH100) {
  prints("h100.csv");
  ASSERT_TRUE(discover());
  ASSERT_EQ(catalog.devices.size(), 1u);
  const Device& gpu = catalog.devices[0];
  EXPECT_EQ(gpu.id, "GPU-00000000-0000-0000-0000-000000000000");
  EXPECT_EQ(gpu.vendor, "nvidia");
  EXPECT_EQ(gpu.index, "0");
  EXPECT_EQ(gpu.model, "NVIDIA H100 80GB HBM3");
  EXPECT_THAT(gpu.info, testing::Contains(Attribute{AttributeId::pci_address, "0000:00:09.0"}));
  EXPECT_THAT(gpu.info, testing::Contains(Attribute{AttributeId::hw_driver_version, "590.48.01"}));
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(runs(), 1u) << "discovery's table serves the first poll";
  EXPECT_EQ(value(MetricId::gpu_utilization, {{AttributeId::gpu_task, "general"}}), 1.0);
  EXPECT_EQ(value(MetricId::gpu_memory_usage), 19818.0 * 1048576);
  EXPECT_NEAR(value(MetricId::gpu_memory_utilization), (81559.0 - 61263.0) / 81559.0, 1e-12);
  EXPECT_EQ(value(MetricId::power, {{AttributeId::power_reading, "instant"}}), 625.68);
  EXPECT_EQ(value(MetricId::power, {{AttributeId::power_reading, "average"}}), 631.95);
  EXPECT_EQ(value(MetricId::temperature, {{AttributeId::sensor_location, "memory"}}), 54);
  EXPECT_EQ(value(MetricId::temperature_margin), 26);
  EXPECT_EQ(value(MetricId::clock_frequency, {{AttributeId::clock_domain, "sm"}}), 1.98e9);
  EXPECT_EQ(value(MetricId::performance_state), 0);
  EXPECT_EQ(value(MetricId::throttle_active, {{AttributeId::reason, "power_cap"}}), 0);
  EXPECT_EQ(value(MetricId::memory_rows, {{AttributeId::row_state, "failed"}}), 0);
  EXPECT_EQ(value(MetricId::recovery_action, {{AttributeId::row_state, "none"}}), 1);
  EXPECT_EQ(value(MetricId::recovery_action, {{AttributeId::row_state, "node_reboot"}}), 0);
  EXPECT_EQ(find_series(catalog, MetricId::fan_speed_ratio, 0), -1);
  EXPECT_THAT(absence(MetricId::fan_speed_ratio), HasSubstr("[N/A] for fan.speed"));
  EXPECT_THAT(absence(MetricId::energy), HasSubstr("does not query"));
}

TEST_F(NvidiaSmi, AMigParentHasNoUtilization) {
  prints("h100_mig.csv");
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(find_series(catalog, MetricId::gpu_utilization, 0), -1);
  EXPECT_THAT(absence(MetricId::gpu_utilization), HasSubstr("utilization.gpu"));
  EXPECT_EQ(value(MetricId::mig_enabled, {{AttributeId::which, "current"}}), 1);
}

TEST_F(NvidiaSmi, IsNotNeededWhereNvmlLoads) {
  prints("h100.csv");
  options["library"] = "libm.so.6";  // any library that loads
  const Result<Catalog> found = discover();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::absent);
  EXPECT_THAT(found.error().message(), testing::StartsWith("NVML is there; not needed"));
  EXPECT_EQ(runs(), 0u);
}

TEST_F(NvidiaSmi, NoProgram) {
  options["sysfs"] = root.string();
  const fs::path gpu = root / "bus/pci/devices/0000:4d:00.0";
  fs::create_directories(gpu);
  std::ofstream(gpu / "vendor") << "0x10de\n";
  std::ofstream(gpu / "device") << "0x2330\n";
  std::ofstream(gpu / "class") << "0x030200\n";
  Result<Catalog> found = discover();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::absent);
  EXPECT_THAT(found.error().message(), HasSubstr("neither NVML nor the program"));
  // Without such a device there is nothing to advise.
  fs::remove_all(gpu);
  found = discover();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message(), "no NVIDIA device is on the PCI bus");
}

TEST_F(NvidiaSmi, UnknownFieldsAreAskedUnderTheirOlderNameOrLeftOut) {
  prints("h100.csv");
  std::string text = content(root / "answer");
  for (size_t at; (at = text.find("clocks_event_reasons.")) != std::string::npos;)
    text.replace(at, 21, "clocks_throttle_reasons.");
  std::ofstream(root / "answer", std::ios::trunc) << text;
  // Names the first unknown field, as nvidia-smi does.
  program(R"(for f in clocks_event_reasons.gpu_idle clocks_event_reasons.applications_clocks_setting \
  clocks_event_reasons.sw_power_cap clocks_event_reasons.hw_slowdown clocks_event_reasons.hw_thermal_slowdown \
  clocks_event_reasons.hw_power_brake_slowdown clocks_event_reasons.sw_thermal_slowdown clocks_event_reasons.sync_boost \
  utilization.jpeg gpu_recovery_action; do
  case ",${1#*=}," in *",$f,"*) echo "Field \"$f\" is not a valid field to query."; echo; exit 2;; esac
done
[ "$2" = --format=csv ] || exit 3
cat $HERE/answer
)");
  ASSERT_TRUE(discover());
  EXPECT_EQ(runs(), 11u);
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(value(MetricId::throttle_active, {{AttributeId::reason, "idle"}}), 0);
  EXPECT_EQ(find_series(catalog, MetricId::gpu_engine_utilization, 0, {{AttributeId::engine, "jpeg"}}), -1);
  EXPECT_THAT(catalog.facts, testing::Contains(testing::Pair(HasSubstr("does not know"), "utilization.jpeg")));
  EXPECT_THAT(absence(MetricId::gpu_engine_utilization), HasSubstr("does not know utilization.jpeg"));
  ASSERT_TRUE(discover());
  EXPECT_EQ(runs(), 12u) << "what was learnt is kept";
}

TEST_F(NvidiaSmi, AProgramThatKnowsNothingIsGivenUp) {
  program(R"(echo "Field \"uuid\" is not a valid field to query."; exit 2)");
  const Result<Catalog> found = discover();
  ASSERT_FALSE(found);
  EXPECT_EQ(runs(), 2u);
  EXPECT_THAT(found.error().message(), HasSubstr("was not asked for"));
}

TEST_F(NvidiaSmi, OldDriversHaveOnePowerReading) {
  program(
      "echo 'uuid, index, name, pci.bus_id, compute_cap, power.draw [W]'\n"
      "echo 'GPU-1, 0, A100, 00000000:18:00.0, 8.0, 61.50 W'\n"
      "echo 'GPU-2, 1, A10, 00000000:19:00.0, 8.6, 62.50 W'\n");
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(value(MetricId::power, {{AttributeId::power_reading, "instant"}}, 0), 61.5);
  EXPECT_EQ(value(MetricId::power, {{AttributeId::power_reading, "average"}}, 1), 62.5);
}

TEST_F(NvidiaSmi, IsNotRunMoreOftenThanTheInterval) {
  prints("h100.csv");
  ASSERT_TRUE(discover());
  poll();
  poll();
  EXPECT_EQ(runs(), 2u);
  const Nanos read_at = frame.read_at[1];
  clock.advance(4 * kSecond);
  EXPECT_EQ(poll_now(), PollResult::ok);
  EXPECT_EQ(runs(), 2u);
  EXPECT_EQ(frame.read_at[1], read_at) << "a frame does not say that it was read when it was not";
  EXPECT_EQ(frame.fresh & 2u, 0u);
  clock.advance(kSecond);
  poll_now();
  EXPECT_EQ(runs(), 3u);
  poll(1);
  EXPECT_EQ(runs(), 3u) << "the fast tier is none of its business";
}

TEST_F(NvidiaSmi, ALostGpuIsAnErrorAndAnotherSetIsDiscoveredAnew) {
  prints("h100.csv");
  ASSERT_TRUE(discover());
  poll();
  std::string text = content(root / "answer");
  const size_t at = text.find("625.68 W");
  ASSERT_NE(at, std::string::npos);
  std::ofstream(root / "answer", std::ios::trunc) << std::string(text).replace(at, 8, "[GPU is lost]");
  EXPECT_EQ(poll(), PollResult::ok);
  const auto power =
      static_cast<size_t>(find_series(catalog, MetricId::power, 0, {{AttributeId::power_reading, "instant"}}));
  EXPECT_EQ(frame.states[power], State::error);
  std::ofstream(root / "answer", std::ios::app) << text.substr(text.find('\n') + 1).replace(0, 4, "2026");
  EXPECT_EQ(poll(), PollResult::rediscover) << "one more row";
  std::ofstream(root / "answer", std::ios::trunc)
      << "Unable to determine the device handle for GPU0000:00:09.0: GPU is lost.  Reboot the system\n";
  program("cat $HERE/answer; exit 15\n");
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(frame.states[power], State::error);
  EXPECT_GE(calls.errors().at("io"), 1u);
  program("echo NVIDIA-SMI has failed; exit 9\n");
  EXPECT_EQ(poll(), PollResult::lost) << "the driver is gone";
}

TEST_F(NvidiaSmi, NoDriverAndNoDeviceAreTold) {
  program("echo \"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\"; exit 9\n");
  Result<Catalog> found = discover();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::absent);
  EXPECT_THAT(found.error().message(), HasSubstr("couldn't communicate"));
  program("echo No devices were found; exit 6\n");
  found = discover();
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message(), HasSubstr("No devices were found"));
}

TEST_F(NvidiaSmi, AHangIsKilledWithAllItsChildren) {
  prints("h100.csv");
  options["timeout"] = "200ms";
  ASSERT_TRUE(discover());
  poll();
  program("sleep 600 & echo $! >$HERE/grandchild; sleep 600\n");
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(calls.errors().at("timeout"), 1u);
  EXPECT_EQ(frame.states[0], State::error);
  const auto grandchild = parse_i64(trim(content(root / "grandchild")));
  ASSERT_TRUE(grandchild);
  // An orphan that was killed may wait for init to take it: gone, or a zombie.
  for (int i = 0; i < 500 && ::kill(static_cast<pid_t>(*grandchild), 0) == 0; ++i) {
    const std::string stat = content("/proc/" + std::to_string(*grandchild) + "/stat");
    if (stat.find(") Z") != std::string::npos) break;
    ::usleep(10'000);
  }
  const std::string stat = content("/proc/" + std::to_string(*grandchild) + "/stat");
  EXPECT_TRUE(stat.empty() || stat.find(") Z") != std::string::npos) << stat;
}

TEST_F(NvidiaSmi, AFloodIsCutOff) {
  program("exec yes 'uuid, memory.total [MiB]'\n");
  const Result<Catalog> found = discover();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::exhausted);
  EXPECT_THAT(found.error().message(), HasSubstr("262144 bytes"));
}

TEST_F(NvidiaSmi, ADeathIsTold) {
  program("kill -SEGV $$\n");
  const Result<Catalog> found = discover();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::lost);
  EXPECT_THAT(found.error().message(), HasSubstr("died of signal 11"));
}

TEST(ChildProcess, HasAPlainEnvironmentAndNoDescriptors) {
  ::setenv("ACCELMON_SECRET", "1", 1);
  ::setenv("LC_ALL", "de_DE", 1);
  ChildProcess child;
  std::string output;
  const Result<int> code = child.run(
      {"/bin/sh", "-c", "echo $LC_ALL-$ACCELMON_SECRET; ls /proc/self/fd | wc -l; echo oops >&2; exit 7"}, {}, output);
  ::unsetenv("ACCELMON_SECRET");
  ::unsetenv("LC_ALL");
  ASSERT_TRUE(code) << code.error().message();
  EXPECT_EQ(*code, 7);
  EXPECT_EQ(output, "C-\n4\noops\n") << "0, 1, 2 and the one of ls itself";
  EXPECT_FALSE(child.run({"/no/such/program"}, {}, output));
}

// The collector is killed with the agent, and then nobody is left to kill what it runs.
TEST(ChildProcess, DiesWithItsParent) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  // Inherited by none but the program, which writes its pid there; the end of file is its end.
  const pid_t collector = ::fork();
  ASSERT_GE(collector, 0);
  if (collector == 0) {
    ChildProcess child;
    std::string output;
    const std::string pipe = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(ends[1]);
    (void)child.run({"/bin/sh", "-c", "exec >" + pipe + "; echo $$; exec sleep 600"}, {600 * kSecond, 1}, output);
    ::_exit(0);
  }
  ::close(ends[1]);
  char text[32] = {};
  const ssize_t n = ::read(ends[0], text, sizeof text - 1);
  const auto program = parse_i64(trim(std::string_view(text, n > 0 ? static_cast<size_t>(n) : 0)));
  ::kill(collector, SIGKILL);
  EXPECT_EQ(::waitpid(collector, nullptr, 0), collector);
  ASSERT_TRUE(program) << text;
  pollfd end{ends[0], POLLIN, 0};
  const bool ended = ::poll(&end, 1, 10'000) == 1 && ::read(ends[0], text, sizeof text) == 0;
  EXPECT_TRUE(ended) << "it outlives who started it";
  if (!ended) ::kill(static_cast<pid_t>(*program), SIGKILL);
  ::close(ends[0]);
}

TEST(ChildProcess, ArgumentsAreNoShell) {
  ChildProcess child;
  std::string output;
  ASSERT_TRUE(child.run({"/bin/echo", "$(id);", "a b"}, {}, output));
  EXPECT_EQ(output, "$(id); a b\n");
}

TEST(ChildProcess, FindsPrograms) {
  EXPECT_EQ(find_program("/bin/sh"), "/bin/sh");
  EXPECT_NE(find_program("sh"), "");
  EXPECT_EQ(find_program("/no/such/program"), "");
  EXPECT_EQ(find_program("no-such-program"), "");
}

}  // namespace
}  // namespace accelmon::nvidia_smi
