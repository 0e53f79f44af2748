// Intel devices of scenarios: what is read, what is refused, what follows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "scenario.h"

namespace accelmon::simulator {
namespace {

using testing::HasSubstr;

const std::string kHead = "[scenario]\nname = \"intel\"\n";

std::string board(const std::string& more = "") {
  return kHead + "[[intel]]\nname = \"Board\"\npci.addresses = [\"0000:4d:00.0\"]\nmemory.total_mib = 1000\n" + more;
}

Scenario good(const std::string& text) {
  ParseOutcome outcome = parse_scenario(text);
  EXPECT_TRUE(outcome.scenario.has_value()) << outcome.error;
  return outcome.scenario ? std::move(*outcome.scenario) : Scenario();
}

std::string error_of(const std::string& text) {
  return parse_scenario(text).error;
}

TEST(IntelDevice, TilesAndEngines) {
  const Scenario scenario =
      good(board("tiles = 2\nmedia_gt = true\nengines = { compute = 4, video_decode = 2 }\n"
                 "utilization.gpu = 50\nutilization.compute = { of = \"gpu\" }\n"
                 "[[intel.engine]]\nclass = \"compute\"\ninstance = 3\ntile = 1\nbusy = 80\n"));
  ASSERT_EQ(scenario.intel.size(), 1u);
  const IntelDevice& d = scenario.intel[0];
  EXPECT_EQ(d.pci_address(), "0000:4d:00.0");
  ASSERT_EQ(d.tiles.size(), 2u);
  ASSERT_EQ(d.tiles[1].engines.size(), 6u);
  for (const IntelEngine& engine : d.tiles[1].engines) {
    const bool decodes = engine.kind == IntelClass::video_decode;
    EXPECT_EQ(engine.gt, decodes ? 3u : 2u);
    EXPECT_EQ(engine.busy.value(7), decodes ? 0 : engine.instance == 3 ? 80 : 50);
  }
  EXPECT_EQ(d.tiles[0].engines.back().active_seconds(10, 20), 5);
}

TEST(IntelDevice, MemoryIsThatOfTheTilesProcesses) {
  const Scenario scenario =
      good(board("tiles = 2\nmemory.base_mib = 10\n"
                 "[[intel.process]]\npid = 1\ntile = 1\nmemory_mib = 100\nuntil = 5\n"
                 "[[intel.process]]\npid = 2\ntile = 1\nmemory_mib = 2000\nfrom = 8\n"));
  const IntelDevice& d = scenario.intel[0];
  EXPECT_EQ(d.memory_used(0, 1), 10u << 20);
  EXPECT_EQ(d.memory_used(1, 1), 110u << 20);
  EXPECT_EQ(d.memory_used(1, 6), 10u << 20);
  EXPECT_EQ(d.memory_used(1, 9), 1000u << 20);  // never more than there is
}

TEST(IntelDevice, EnergyIsTheIntegralOfPower) {
  const Scenario scenario = good(board("power.card_w = 100\npower.package_w = 60\nenergy.base_j = 5000\n"));
  EXPECT_EQ(scenario.intel[0].energy(0, 10), 6000);
  EXPECT_EQ(scenario.intel[0].energy(4, 10), 600);
  EXPECT_EQ(scenario.intel[0].package_energy(0, 10), 600);
}

TEST(IntelDevice, ThrottlingLowersTheClock) {
  const Scenario scenario =
      good(board("utilization.gpu = 50\nfrequency.gpu = { rp0_mhz = 2000, idle_mhz = 300 }\n"
                 "throttle = [{ reason = \"thermal\", active = { kind = \"steps\", points = [[0, 0], [10, 1]] }, "
                 "clock_share = 0.5 }]\n"));
  const IntelDevice& d = scenario.intel[0];
  EXPECT_EQ(d.frequency(d.tiles[0].frequencies[0], 5), 2000);
  EXPECT_EQ(d.frequency(d.tiles[0].frequencies[0], 15), 1000);
  EXPECT_EQ(d.throttle_reasons(15), 1u << 3);
  EXPECT_EQ(d.throttled_seconds(0, 15), 5);
}

TEST(IntelDevice, SlipsAreRefused) {
  EXPECT_THAT(error_of(board("colour = 3\n")), HasSubstr("unknown key \"colour\""));
  EXPECT_THAT(error_of(board("driver = \"nouveau\"\n")), HasSubstr("xe, i915"));
  EXPECT_THAT(error_of(board("tiles = 9\n")), HasSubstr("tiles"));
  EXPECT_THAT(error_of(board("[[intel.engine]]\nclass = \"copy\"\n")), HasSubstr("there is no engine"));
  EXPECT_THAT(error_of(board("[[intel.process]]\nname = \"x\"\n")), HasSubstr("pid"));
  EXPECT_THAT(error_of(board("[[intel.ras]]\ntile = 1\n")), HasSubstr("tile"));
  EXPECT_THAT(error_of(board("throttle = [{ reason = \"moon\" }]\n")), HasSubstr("power_average"));
  EXPECT_THAT(error_of(kHead + "[[intel]]\nname = \"B\"\n"), HasSubstr("memory.total_mib"));
  EXPECT_THAT(error_of(board() + board().substr(kHead.size())), HasSubstr("PCI address"));
}

TEST(IntelDevice, FaultsNameLevelZero) {
  const Scenario scenario =
      good(board("[[fault]]\nvendor = \"intel\"\nkind = \"error\"\ncall = \"zesEngine*\"\n"
                 "code = \"ZE_RESULT_ERROR_DEVICE_LOST\"\ndevice = 0\n"));
  ASSERT_EQ(scenario.faults.size(), 1u);
  EXPECT_EQ(scenario.faults[0].ze_code, 0x70000001u);
  EXPECT_TRUE(scenario.faults[0].ze_calls[static_cast<size_t>(ZeCall::zesEngineGetActivity)]);
  EXPECT_FALSE(scenario.faults[0].ze_calls[static_cast<size_t>(ZeCall::zesMemoryGetState)]);
  EXPECT_TRUE(scenario.faults[0].calls.none());
  EXPECT_THAT(error_of(board("[[fault]]\nvendor = \"intel\"\nkind = \"hang\"\ncall = \"zesNoSuch\"\n")),
              HasSubstr("there is no call"));
}

TEST(IntelDevice, TheShippedScenariosAreGood) {
  for (const char* name : {"pvc", "battlemage", "mixed"}) {
    std::ifstream in(std::string(ACCELMON_SOURCE_DIR) + "/simulator/scenarios/" + name + ".toml");
    std::ostringstream text;
    text << in.rdbuf();
    const Scenario scenario = good(text.str());
    EXPECT_GE(scenario.intel.size(), 2u) << name;
  }
}

}  // namespace
}  // namespace accelmon::simulator
