// Two polls of each fixture tree, compared line by line with testdata/NAME/expected.txt.
// ACCELMON_UPDATE_GOLDEN=1 in the environment writes the files anew; read the diff before you commit it.
#include <sys/sysmacros.h>

#include <cstdlib>

#include "collectors/host/host_test_tree.h"

namespace accelmon::host {
namespace {

std::string text_of(const Host& host) {
  std::string out;
  for (size_t i = 0; i < host.catalog.series.size(); ++i) {
    const Series& series = host.catalog.series[i];
    out += std::string(info(series.metric).name) + "{";
    for (const Attribute& attribute : series.attributes)
      out += (&attribute == series.attributes.data() ? "" : ",") + std::string(info(attribute.id).key) + "=\"" +
             attribute.value + "\"";
    out += "} " + std::string(to_string(series.tier)) + " ";
    if (host.frame.states[i] == State::ok)
      append_number(out, host.frame.values[i]);
    else
      out += to_string(host.frame.states[i]);
    out += "\n";
  }
  for (const Absence& absence : host.catalog.absences)
    out += "absent " + std::string(info(absence.metric).name) + " " + std::string(to_string(absence.state)) + ": " +
           absence.reason + "\n";
  for (const auto& [error, count] : host.calls.errors()) out += "errors " + error + " " + std::to_string(count) + "\n";
  return out;
}

void compare(const std::string& name, std::map<std::string, std::string, std::less<>> options) {
  Tree tree(name);
  Host host(tree, std::move(options));
  ASSERT_NO_FATAL_FAILURE(host.discover());
  ASSERT_EQ(host.poll(), PollResult::ok);
  tree.second();
  ASSERT_EQ(host.poll(), PollResult::ok);

  const std::string golden = kFixtures + name + "/expected.txt";
  const std::string now = text_of(host);
  if (std::getenv("ACCELMON_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(golden, std::ios::trunc) << now;
    GTEST_SKIP() << "wrote " << golden;
  }
  std::ifstream expected(golden);
  ASSERT_TRUE(expected) << golden << " is missing: run once with ACCELMON_UPDATE_GOLDEN=1";
  std::string_view rest = now;
  std::string line;
  for (int number = 1; std::getline(expected, line); ++number)
    EXPECT_EQ(next_line(rest), line) << golden << ":" << number;
  EXPECT_EQ(rest, "") << "lines beyond those of " << golden;
}

TEST(HostGolden, GpuServerSeenFromAContainer) {
  fake_filesystems() = {
      {"/host/root/", {makedev(259, 2), 100'000'000, 40'000'000, 35'000'000}},
      {"/host/root/boot", {makedev(259, 3), 500'000, 300'000, 280'000}},
      {"/host/root/boot/efi", {makedev(259, 1), 130'000, 129'000, 129'000}},
      {"/host/root/data sets", {makedev(9, 0), 7'000'000'000, 1'000'000'000, 1'000'000'000}},
      {"/host/root/scratch", {makedev(0, 77), 2'000'000'000, 1'999'000'000, 1'998'000'000}},
      {"/host/root/scratch/b", {makedev(0, 78), 2'000'000'000, 1'999'000'000, 1'998'000'000}},
      {"/host/root/home/local", {makedev(259, 28), 1, 1, 1}},  // beneath NFS: must not be asked
      {"/host/root/not-propagated", {makedev(259, 2), 100'000'000, 40'000'000, 35'000'000}},  // shows the root
  };
  compare("gpu_server", {{"rootfs", "/host/root/"}});
}

TEST(HostGolden, ContainerWithRestrictedFiles) {
  fake_filesystems() = {
      {"/", {makedev(0, 50), 10'000'000, 6'000'000, 5'500'000}},
      {"/etc/hosts", {makedev(254, 1), 20'000'000, 6'000'000, 5'500'000, false}},
      {"/etc/resolv.conf", {makedev(254, 1), 20'000'000, 6'000'000, 5'500'000, false}},
      {"/models", {makedev(254, 1), 20'000'000, 6'000'000, 5'500'000}},
      {"/covered", {makedev(0, 60), 1'000, 1'000, 1'000}},  // the tmpfs over it
  };
  compare("container", {});
}

TEST(HostGolden, AncientKernel) {
  fake_filesystems() = {
      {"/", {makedev(8, 1), 1'000'000, 200'000, 150'000}},
      {"/var", {makedev(104, 1), 2'000'000, 2'000'000, 2'000'000}},
  };
  compare("ancient", {});
}

}  // namespace
}  // namespace accelmon::host
