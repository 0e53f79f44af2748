// Trees of /sys written from testdata/*.tree. ACCELMON_UPDATE_GOLDEN=1 writes the golden files anew.
#include "collectors/sensors/sensors_collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/counted_new_for_test.h"
#include "base/text.h"
#include "base/valgrind_for_test.h"
#include "collectors/collector_rig_for_test.h"

// Stands before the system's: fails for the file whose path ends in g_failing.
static std::string g_failing;
static int g_error = 0;
extern "C" ssize_t pread(int fd, void* out, size_t size, off_t offset) {
  if (g_error != 0) {
    char path[512] = {};
    const ssize_t n = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
    if (n > 0 && std::string_view(path, static_cast<size_t>(n)).ends_with(g_failing)) {
      errno = g_error;
      return -1;
    }
  }
  return ::syscall(SYS_pread64, fd, out, size, offset);
}

namespace accelmon {
namespace {

namespace fs = std::filesystem;

const std::string kFixtures = ACCELMON_SOURCE_DIR "/src/collectors/sensors/testdata/";

std::string content(const fs::path& path) {
  std::ifstream in(path);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

struct Sensors : testing::Test, for_test::TemporaryTree, for_test::CollectorRig {
  Sensors() : TemporaryTree("sensors") {}
  ~Sensors() override { collector.reset(); }

  void plant(const std::string& fixture) {
    const std::string text = content(kFixtures + fixture);
    ASSERT_FALSE(text.empty()) << fixture;
    for (std::string_view rest = text; !rest.empty();) {
      const std::string_view line = next_line(rest);
      if (const size_t link = line.find(" -> "); link != std::string_view::npos) {
        fs::create_directories((root / line.substr(0, link)).parent_path());
        fs::create_symlink(line.substr(link + 4), root / line.substr(0, link));
      } else if (const size_t file = line.find(" = "); file != std::string_view::npos) {
        write(std::string(line.substr(0, file)), std::string(line.substr(file + 3)) + "\n");
      }
    }
  }
  Result<Catalog> discover(std::map<std::string, std::string, std::less<>> options = {}) {
    options.emplace("sysfs", root.string());
    if (collector == nullptr) collector = make_sensors_collector(CollectorContext{calls, clock, std::move(options)});
    return CollectorRig::discover();
  }
  size_t series(MetricId metric, const std::string& id, std::vector<Attribute> attributes = {}) const {
    const int i = find_series(catalog, metric, device(id), std::move(attributes));
    EXPECT_GE(i, 0) << info(metric).name << " of " << id;
    return static_cast<size_t>(std::max(i, 0));
  }

  std::string text() const {
    std::string out;
    for (const Device& one : catalog.devices) {
      out += "device " + one.id + " " + std::string(to_string(one.type)) + " (" + one.model + ")";
      for (const Attribute& attribute : one.info)
        out += " " + std::string(info(attribute.id).key) + "=" + attribute.value;
      out += "\n";
    }
    for (size_t i = 0; i < catalog.series.size(); ++i) {
      const Series& one = catalog.series[i];
      out += catalog.devices[static_cast<size_t>(one.device)].id + " " + std::string(info(one.metric).name);
      for (const Attribute& attribute : one.attributes)
        out += " " + std::string(info(attribute.id).key) + "=\"" + attribute.value + "\"";
      out += " " + std::string(to_string(one.tier)) + " ";
      if (frame.states[i] == State::ok)
        append_number(out, frame.values[i]);
      else
        out += to_string(frame.states[i]);
      out += "\n";
    }
    for (const Absence& one : catalog.absences)
      out += "absent " + std::string(info(one.metric).name) + " " + std::string(to_string(one.state)) + "\n";
    return out;
  }
};

TEST_F(Sensors, ServerAsInTheGoldenFile) {
  ASSERT_NO_FATAL_FAILURE(plant("server.tree"));
  ASSERT_TRUE(discover());
  ASSERT_EQ(poll(), PollResult::ok);
  // Two seconds later: the first processor's meter has wrapped around.
  clock.advance(2 * kSecond);
  write("class/powercap/intel-rapl:0/energy_uj", "199671150\n");
  write("class/powercap/intel-rapl:0:0/energy_uj", "25000000\n");
  write("class/powercap/intel-rapl:0:1/energy_uj", "101000000\n");
  write("class/powercap/intel-rapl:1/energy_uj", "181000000\n");
  ASSERT_EQ(poll(), PollResult::ok);
  const std::string golden = kFixtures + "server.expected";
  if (std::getenv("ACCELMON_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(golden, std::ios::trunc) << text();
    GTEST_SKIP() << "wrote " << golden;
  }
  EXPECT_EQ(text(), content(golden));
}

TEST_F(Sensors, AMeterWrapsAndKeepsCountingOverDiscoveries) {
  ASSERT_NO_FATAL_FAILURE(plant("server.tree"));
  ASSERT_TRUE(discover());
  poll();
  const size_t energy = series(MetricId::energy, "rapl-package-0");
  const size_t power = series(MetricId::power, "rapl-package-0", {{AttributeId::power_scope, "package"}});
  EXPECT_DOUBLE_EQ(frame.values[energy], 262143.0);
  EXPECT_EQ(frame.states[power], State::not_ready) << "one reading is no power";
  clock.advance(kSecond);
  write("class/powercap/intel-rapl:0/energy_uj", "99671150\n");
  poll(1);
  EXPECT_DOUBLE_EQ(frame.values[energy], 262243.0);
  EXPECT_DOUBLE_EQ(frame.values[power], 100.0);
  ASSERT_TRUE(discover());
  clock.advance(kSecond);
  write("class/powercap/intel-rapl:0/energy_uj", "149671150\n");
  poll(1);
  EXPECT_DOUBLE_EQ(frame.values[energy], 262293.0) << "a counter does not fall";
  EXPECT_DOUBLE_EQ(frame.values[power], 50.0);
  EXPECT_EQ(find_series(catalog, MetricId::energy, device("rapl-package-0"), {}), static_cast<int>(energy));
}

TEST_F(Sensors, AMeterThatStartsAnewWithoutARangeGivesNoPower) {
  write("class/powercap/intel-rapl:0/name", "package-0\n");
  write("class/powercap/intel-rapl:0/energy_uj", "9000000\n");
  ASSERT_TRUE(discover());
  poll();
  clock.advance(kSecond);
  write("class/powercap/intel-rapl:0/energy_uj", "1000000\n");
  poll();
  EXPECT_DOUBLE_EQ(frame.values[series(MetricId::energy, "rapl-package-0")], 10.0);
  EXPECT_EQ(frame.states[series(MetricId::power, "rapl-package-0")], State::not_ready);
}

TEST_F(Sensors, OnlyTheDueTiersAreRead) {
  ASSERT_NO_FATAL_FAILURE(plant("server.tree"));
  ASSERT_TRUE(discover());
  poll(1);
  EXPECT_EQ(frame.states[series(MetricId::energy, "rapl-package-1")], State::ok);
  EXPECT_EQ(frame.states[series(MetricId::temperature, "nvme0")], State::not_ready);
  EXPECT_EQ(frame.states[series(MetricId::temperature_limit, "nvme0")], State::not_ready);
  poll(2);
  EXPECT_EQ(frame.states[series(MetricId::temperature, "nvme0")], State::ok);
}

TEST_F(Sensors, GarbageAndEmptyFilesAreErrors) {
  ASSERT_NO_FATAL_FAILURE(plant("server.tree"));
  ASSERT_TRUE(discover());
  poll();
  const size_t temperature = series(MetricId::temperature, "nvme0");
  for (const char* text : {"", "hot\n", "1e9\n", "99999999999999999999\n", "38850 38850\n"}) {
    write("class/hwmon/hwmon2/temp1_input", text);
    EXPECT_EQ(poll(), PollResult::ok);
    EXPECT_EQ(frame.states[temperature], State::error) << text;
  }
  EXPECT_EQ(calls.errors().at("EBADMSG"), 5u);
  write("class/hwmon/hwmon2/temp1_input", "39000\n");
  poll();
  EXPECT_DOUBLE_EQ(frame.values[temperature], 39.0);
}

TEST_F(Sensors, FailuresOfTheKernelAreStates) {
  ASSERT_NO_FATAL_FAILURE(plant("server.tree"));
  ASSERT_TRUE(discover());
  g_failing = "hwmon2/temp1_input";
  for (const auto& [failure, state] : {std::pair{EAGAIN, State::not_ready},
                                       {ENODATA, State::not_ready},
                                       {EIO, State::error},
                                       {EACCES, State::no_permission},
                                       {EOPNOTSUPP, State::unsupported}}) {
    g_error = failure;
    EXPECT_EQ(poll(), PollResult::ok);
    EXPECT_EQ(frame.states[series(MetricId::temperature, "nvme0")], state) << failure;
    EXPECT_EQ(frame.states[series(MetricId::temperature, "jc42-0-0018")], State::ok) << "one does not fail all";
  }
  g_error = ENODEV;
  EXPECT_EQ(poll(), PollResult::rediscover) << "the chip went away";
  g_error = 0;
  EXPECT_EQ(calls.errors().at("EIO"), 7u) << "of the disk's once, and of the broken board sensor six times";
  EXPECT_EQ(calls.errors().count("EAGAIN"), 0u) << "nothing at the moment is no error";
  poll();
  EXPECT_EQ(frame.states[series(MetricId::temperature, "nvme0")], State::ok);
}

TEST_F(Sensors, AMeterThatMayNotBeReadSaysWhatHelps) {
  if (::geteuid() == 0) {
    // Root reads everything; what cannot be opened for another reason is told as well.
    write("class/powercap/intel-rapl:0/name", "package-0\n");
    ASSERT_TRUE(discover());
    ASSERT_EQ(catalog.absences.size(), 2u);
    EXPECT_THAT(catalog.absences[0].reason, testing::HasSubstr("energy_uj"));
    return;
  }
  write("class/powercap/intel-rapl:0/name", "package-0\n");
  write("class/powercap/intel-rapl:0/energy_uj", "1\n");
  fs::permissions(root / "class/powercap/intel-rapl:0/energy_uj", fs::perms::none);
  ASSERT_TRUE(discover());
  ASSERT_EQ(catalog.absences.size(), 2u);
  EXPECT_EQ(catalog.absences[0].state, State::no_permission);
  EXPECT_THAT(catalog.absences[0].reason, testing::HasSubstr("CAP_DAC_READ_SEARCH"));
}

TEST_F(Sensors, ANewChipIsFound) {
  ASSERT_NO_FATAL_FAILURE(plant("server.tree"));
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
  write("class/hwmon/hwmon11/name", "drivetemp\n");
  write("class/hwmon/hwmon11/temp1_input", "31000\n");
  EXPECT_EQ(poll(3), PollResult::ok) << "looked for in the rare tier";
  EXPECT_EQ(poll(), PollResult::rediscover);
  ASSERT_TRUE(discover());
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(catalog.devices[static_cast<size_t>(device("drivetemp"))].type, DeviceType::physical_disk);
}

TEST_F(Sensors, EachCoreOnRequest) {
  ASSERT_NO_FATAL_FAILURE(plant("server.tree"));
  ASSERT_TRUE(discover({{"each_core", "true"}}));
  EXPECT_GE(
      find_series(catalog, MetricId::temperature, device("coretemp.0"), {{AttributeId::sensor_location, "Core 0"}}), 0);
}

TEST_F(Sensors, NothingThereSaysWhatToDo) {
  const Result<Catalog> none = discover();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::absent);
  EXPECT_THAT(none.error().message(), testing::HasSubstr("option sysfs"));
}

TEST_F(Sensors, HostileNamesAndMultitudesAreBounded) {
  for (int i = 0; i < 300; ++i) {
    const std::string chip = "class/hwmon/hwmon" + std::to_string(i);
    write(chip + "/name", std::string(300, 'n') + "\x1b[31m\n");
    for (int sensor = 1; sensor <= 3; ++sensor) {
      write(chip + "/temp" + std::to_string(sensor) + "_input", "1000\n");
      write(chip + "/temp" + std::to_string(sensor) + "_label", "same\n");
    }
  }
  write("class/powercap/intel-rapl:0/name", "package-0\n");
  write("class/powercap/intel-rapl:0/energy_uj", "1\n");
  for (const char* part : {"0", "1"}) {
    write(std::string("class/powercap/intel-rapl:0:") + part + "/name", "core\n");
    write(std::string("class/powercap/intel-rapl:0:") + part + "/energy_uj", "1\n");
  }
  ASSERT_TRUE(discover());  // validates the catalog
  EXPECT_LE(catalog.series.size(), 512u + 1u);
  EXPECT_THAT(catalog.absences.back().reason, testing::HasSubstr("left out"));
}

TEST_F(Sensors, PollAllocatesNothing) {
  if (under_valgrind()) GTEST_SKIP() << "it counts no allocations";
  ASSERT_NO_FATAL_FAILURE(plant("server.tree"));
  ASSERT_TRUE(discover());
  poll();
  write("class/hwmon/hwmon2/temp1_input", "broken\n");
  poll();
  const uint64_t before = counted_new::allocations;
  EXPECT_EQ(poll(), PollResult::ok);
  EXPECT_EQ(counted_new::allocations - before, 0u);
  const auto counts = std::make_unique<std::string>(100, 'x');
  EXPECT_GT(counted_new::allocations - before, 0u) << "the count counts";
}

TEST_F(Sensors, ReleaseClosesEveryFile) {
  ASSERT_NO_FATAL_FAILURE(plant("server.tree"));
  const auto open_files = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  const auto before = open_files();
  ASSERT_TRUE(discover());
  EXPECT_GT(open_files(), before);
  ASSERT_TRUE(discover());
  collector->release();
  EXPECT_EQ(open_files(), before);
  EXPECT_TRUE(discover());
}

}  // namespace
}  // namespace accelmon
