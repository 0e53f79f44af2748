#include "collectors/host/host_collector.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "collectors/host/host_test_tree.h"

namespace accelmon::host {
namespace {

using A = AttributeId;

Attribute mode(const char* name) {
  return {A::cpu_mode, name};
}

std::vector<Attribute> disk(const char* name, const char* direction = "read") {
  return {{A::system_device, name}, {A::disk_direction, direction}};
}

std::vector<Attribute> interface(const char* name) {
  return {{A::interface, name}, {A::io_direction, "receive"}};
}

std::string net_line(const std::string& name, int bytes) {
  return name + ": " + std::to_string(bytes) + " 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
}
std::string disk_line(const std::string& name, int reads) {
  return "8 0 " + name + " " + std::to_string(reads) + " 0 8 1 0 0 0 0 0 1 1\n";
}

// ---- processor time ----

TEST(HostCpu, UtilizationNeedsTwoPollsAndAddsUpToOne) {
  Tree tree("");
  tree.write("proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 1 1 1\n");
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  host.poll();
  EXPECT_EQ(host.value(MetricId::cpu_time, {mode("user")}), 1);
  EXPECT_EQ(host.state(MetricId::cpu_utilization, {mode("user")}), State::not_ready);
  tree.write("proc/stat", "cpu  125 0 125 850 0 0 0 0 0 0\ncpu0 1 1 1 1\n");
  host.poll();
  EXPECT_EQ(host.value(MetricId::cpu_utilization, {mode("user")}), 0.25);
  EXPECT_EQ(host.value(MetricId::cpu_utilization, {mode("system")}), 0.25);
  EXPECT_EQ(host.value(MetricId::cpu_utilization, {mode("idle")}), 0.5);
  EXPECT_EQ(host.value(MetricId::cpu_utilization, {mode("iowait")}), 0);
  // No tick has passed: there is no share of no time.
  host.poll();
  EXPECT_EQ(host.state(MetricId::cpu_utilization, {mode("idle")}), State::not_ready);
}

TEST(HostCpu, ASmallStepBackIsHeldAndALargeOneIsARestart) {
  Tree tree("");
  tree.write("proc/stat", "cpu  1000 0 0 5000 600 0 0 0\ncpu0 1 1 1 1\n");
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  host.poll();
  tree.write("proc/stat", "cpu  1050 0 0 5050 550 0 0 0\ncpu0 1 1 1 1\n");
  host.poll();
  EXPECT_EQ(host.value(MetricId::cpu_time, {mode("iowait")}), 6);
  EXPECT_EQ(host.value(MetricId::cpu_utilization, {mode("iowait")}), 0);
  EXPECT_EQ(host.value(MetricId::cpu_utilization, {mode("user")}), 0.5);
  // Until it has come past what it was, nothing of it counts a second time.
  tree.write("proc/stat", "cpu  1050 0 0 5100 600 0 0 0\ncpu0 1 1 1 1\n");
  host.poll();
  EXPECT_EQ(host.value(MetricId::cpu_utilization, {mode("iowait")}), 0);
  tree.write("proc/stat", "cpu  10 0 0 50 6 0 0 0\ncpu0 1 1 1 1\n");
  host.poll();
  EXPECT_EQ(host.value(MetricId::cpu_time, {mode("user")}), 0.1);
  EXPECT_EQ(host.state(MetricId::cpu_utilization, {mode("user")}), State::not_ready);
  tree.write("proc/stat", "cpu  20 0 0 80 6 0 0 0\ncpu0 1 1 1 1\n");
  host.poll();
  EXPECT_EQ(host.value(MetricId::cpu_utilization, {mode("user")}), 0.25);
}

TEST(HostCpu, ABrokenLineIsAnErrorAndPassesAway) {
  Tree tree("");
  tree.write("proc/stat", "cpu  100 0 100 800\ncpu0 1 1 1 1\n");
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_EQ(host.poll(), PollResult::ok);
  tree.write("proc/stat", "cpu  100 0 -7 800\ncpu0 1 1 1 1\n");
  EXPECT_EQ(host.poll(), PollResult::ok);
  EXPECT_EQ(host.state(MetricId::cpu_time, {mode("user")}), State::error);
  EXPECT_EQ(host.state(MetricId::cpu_utilization, {mode("user")}), State::error);
  EXPECT_EQ(host.value(MetricId::cpu_count), 1);
  EXPECT_EQ(host.errors("parse"), 1u);
  tree.write("proc/stat", "cpu  150 0 100 850\ncpu0 1 1 1 1\n");
  host.poll();
  EXPECT_EQ(host.value(MetricId::cpu_utilization, {mode("user")}), 0.5);
}

TEST(HostMemory, APartThatIsGoneMakesTheRestUnknown) {
  Tree tree("container");
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  host.poll();
  tree.edit("proc/meminfo", "SReclaimable:     100000 kB\n", "");
  host.poll();
  EXPECT_EQ(host.state(MetricId::memory_usage, {{A::memory_state, "used"}}), State::error);
  EXPECT_EQ(host.state(MetricId::memory_usage, {{A::memory_state, "slab_reclaimable"}}), State::error);
  EXPECT_EQ(host.value(MetricId::memory_usage, {{A::memory_state, "free"}}), 5'120'000'000);
}

// ---- disks and interfaces that come and go ----

TEST(HostDisks, OneVanishesAndOneAppears) {
  Tree tree("");
  tree.write("sys/block/sda/size", "1");
  tree.write("sys/block/sdb/size", "1");
  tree.write("sys/block/sdc/size", "1");
  tree.write("proc/diskstats", disk_line("sda", 10) + disk_line("sda1", 10) + disk_line("sdb", 20));
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_EQ(host.poll(), PollResult::ok);
  EXPECT_EQ(host.value(MetricId::disk_operations, disk("sdb")), 20);
  EXPECT_LT(host.find(MetricId::disk_operations, disk("sda1")), 0);

  tree.write("proc/diskstats", disk_line("sda", 11) + disk_line("sda1", 10));
  EXPECT_EQ(host.poll(), PollResult::rediscover);
  EXPECT_EQ(host.value(MetricId::disk_operations, disk("sda")), 11);
  EXPECT_EQ(host.state(MetricId::disk_operations, disk("sdb")), State::stale);
  EXPECT_EQ(host.state(MetricId::disk_io_time, {{A::system_device, "sdb"}}), State::stale);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_LT(host.find(MetricId::disk_operations, disk("sdb")), 0);
  EXPECT_EQ(host.poll(), PollResult::ok);

  tree.write("proc/diskstats", disk_line("sdc", 5) + disk_line("sda", 12) + disk_line("sda1", 10));
  EXPECT_EQ(host.poll(), PollResult::rediscover);
  EXPECT_EQ(host.value(MetricId::disk_operations, disk("sda")), 12);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_EQ(host.poll(), PollResult::ok);
  EXPECT_EQ(host.value(MetricId::disk_operations, disk("sdc")), 5);
}

TEST(HostDisks, IdleSwapDisksWaitForUseAndLoopDevicesAreNoNews) {
  Tree tree("");
  for (const char* name : {"sda", "zram0", "loop7"}) tree.write(std::string("sys/block/") + name + "/size", "1");
  tree.write("proc/diskstats", disk_line("sda", 1) + disk_line("zram0", 0));
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_LT(host.find(MetricId::disk_operations, disk("zram0")), 0);
  tree.write("proc/diskstats", disk_line("sda", 1) + disk_line("zram0", 0) + disk_line("loop7", 9));
  EXPECT_EQ(host.poll(), PollResult::ok);
  tree.write("proc/diskstats", disk_line("sda", 1) + disk_line("zram0", 3));
  EXPECT_EQ(host.poll(), PollResult::rediscover);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_EQ(host.poll(), PollResult::ok);
  EXPECT_EQ(host.value(MetricId::disk_operations, disk("zram0")), 3);
}

TEST(HostDisks, ABrokenLineIsAnErrorOfThatDiskAlone) {
  Tree tree("");
  tree.write("proc/diskstats", disk_line("sda", 1) + disk_line("sdb", 2));
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  tree.write("proc/diskstats", "8 0 sda 1 2 3\n" + disk_line("sdb", 2) + "garbage\n");
  EXPECT_EQ(host.poll(), PollResult::ok);
  EXPECT_EQ(host.state(MetricId::disk_io, disk("sda")), State::error);
  EXPECT_EQ(host.value(MetricId::disk_operations, disk("sdb")), 2);
  EXPECT_EQ(host.errors("parse"), 2u);
}

TEST(HostDisks, TheirNumberIsBounded) {
  Tree tree("");
  std::string text;
  for (int i = 0; i < 600; ++i) text += disk_line("dm-" + std::to_string(i), 1);
  tree.write("proc/diskstats", text);
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_EQ(host.catalog.series.size(), 512u * 7);
  ASSERT_NE(host.absence(MetricId::disk_io), nullptr);
  EXPECT_NE(host.absence(MetricId::disk_io)->reason.find("88 more"), std::string::npos);
  EXPECT_EQ(host.poll(), PollResult::ok);
}

TEST(HostNetwork, ContainersComeAndGoUnnoticedAndInterfacesDoNot) {
  Tree tree("");
  tree.write("proc/net/dev", net_line("lo", 1) + net_line("eth0", 100) + net_line("veth1", 1));
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_EQ(host.catalog.series.size(), 8u);
  tree.write("proc/net/dev", net_line("lo", 1) + net_line("eth0", 101) + net_line("veth2", 1) + net_line("cali9", 1));
  EXPECT_EQ(host.poll(), PollResult::ok);
  EXPECT_EQ(host.value(MetricId::network_io, interface("eth0")), 101);
  tree.write("proc/net/dev", net_line("eth0", 102) + net_line("eth1", 7));
  EXPECT_EQ(host.poll(), PollResult::rediscover);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  tree.write("proc/net/dev", net_line("eth1", 8));
  EXPECT_EQ(host.poll(), PollResult::rediscover);
  EXPECT_EQ(host.state(MetricId::network_io, interface("eth0")), State::stale);
  EXPECT_EQ(host.value(MetricId::network_io, interface("eth1")), 8);
}

TEST(HostNetwork, TheListOfExclusionsIsTheUsers) {
  Tree tree("");
  tree.write("proc/net/dev", net_line("lo", 1) + net_line("eth0", 1) + net_line("veth1", 2) + net_line("wg0", 3));
  Host host(tree, {{"network_exclude", " wg , eth"}});
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_GE(host.find(MetricId::network_io, interface("veth1")), 0);
  EXPECT_LT(host.find(MetricId::network_io, interface("eth0")), 0);
  EXPECT_LT(host.find(MetricId::network_io, interface("wg0")), 0);
  EXPECT_LT(host.find(MetricId::network_io, interface("lo")), 0);
}

TEST(HostNetwork, TheirNumberAndNamesAreBounded) {
  Tree tree("");
  std::string text = net_line(std::string(300, 'x'), 1);
  for (int i = 0; i < 5000; ++i) text += net_line("p" + std::to_string(i), 1);
  text += net_line("p7", 1);  // twice
  tree.write("proc/net/dev", text);
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_EQ(host.catalog.series.size(), 256u * 8);
  EXPECT_EQ(host.poll(), PollResult::ok);
}

// ---- file systems ----

struct HostFilesystems : testing::Test {
  void SetUp() override {
    fake_filesystems() = {{"/", {makedev(8, 1), 1000, 500, 400}}, {"/data", {makedev(8, 2), 1000, 100, 100}}};
    tree.write("proc/self/mounts", kMounts);
    ASSERT_NO_FATAL_FAILURE(host.discover());
    ASSERT_EQ(host.poll(), PollResult::ok);
  }
  double used(const char* device) {
    return host.value(MetricId::filesystem_usage, {{A::system_device, device}, {A::filesystem_state, "used"}});
  }
  State state(const char* device) { return host.state(MetricId::filesystem_utilization, {{A::system_device, device}}); }
  bool has(const char* device) { return host.find(MetricId::filesystem_limit, {{A::system_device, device}}) >= 0; }

  static constexpr const char* kMounts =
      "/dev/sda1 / ext4 rw 0 0\n/dev/sda2 /data xfs rw 0 0\ntmpfs /run tmpfs rw 0 0\n";
  Tree tree{""};
  Host host{tree};
};

TEST_F(HostFilesystems, AreReadInTheSlowTierAlone) {
  EXPECT_EQ(used("/dev/sda1"), 500 * 4096);
  fake_filesystems()["/"].free = 300;
  host.poll(1);
  EXPECT_EQ(used("/dev/sda1"), 500 * 4096);
  host.poll(2);
  EXPECT_EQ(used("/dev/sda1"), 700 * 4096);
}

TEST_F(HostFilesystems, OneIsUnmountedAndOneIsMounted) {
  tree.write("proc/self/mounts", "/dev/sda1 / ext4 rw 0 0\n");
  fake_filesystems()["/data"] = fake_filesystems()["/"];  // what the path shows now
  EXPECT_EQ(host.poll(), PollResult::rediscover);
  EXPECT_EQ(state("/dev/sda2"), State::stale);
  EXPECT_EQ(state("/dev/sda1"), State::ok);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_FALSE(has("/dev/sda2"));
  EXPECT_EQ(host.poll(), PollResult::ok);

  fake_filesystems()["/new"] = {makedev(8, 3), 10, 5, 5};
  tree.write("proc/self/mounts", "/dev/sda1 / ext4 rw 0 0\n/dev/sda3 /new ext4 rw 0 0\n");
  EXPECT_EQ(host.poll(), PollResult::rediscover);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_EQ(host.poll(), PollResult::ok);
  EXPECT_EQ(used("/dev/sda3"), 5 * 4096);
}

TEST_F(HostFilesystems, ANetworkMountOverOneOfThemStopsTheAsking) {
  tree.write("proc/self/mounts", std::string(kMounts) + "filer:/x /data nfs4 rw 0 0\n");
  fake_filesystems()["/data"].error = EIO;  // an ask would show as an error
  EXPECT_EQ(host.poll(), PollResult::rediscover);
  EXPECT_EQ(state("/dev/sda2"), State::stale);
  EXPECT_EQ(host.errors("io"), 0u);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_FALSE(has("/dev/sda2"));
  EXPECT_EQ(host.poll(), PollResult::ok);
}

TEST_F(HostFilesystems, PseudoAndNetworkMountsThatComeAndGoAreNoNews) {
  tree.write("proc/self/mounts", std::string(kMounts) +
                                     "overlay /var/lib/docker/overlay2/1/merged overlay rw 0 0\n"
                                     "s3 /mnt/s3 fuse.s3fs rw 0 0\nproc /x/proc proc rw 0 0\n"
                                     "/dev/sda2 /var/lib/kubelet/pods/1/v xfs rw 0 0\n");
  EXPECT_EQ(host.poll(), PollResult::ok);
}

TEST_F(HostFilesystems, AnotherOneUnderTheSamePathIsNotMistakenForIt) {
  fake_filesystems()["/data"] = {makedev(0, 40), 77, 70, 70};  // a tmpfs over it, before the table tells
  EXPECT_EQ(host.poll(), PollResult::rediscover);
  EXPECT_EQ(state("/dev/sda2"), State::stale);
}

TEST_F(HostFilesystems, WhatLiesUnderATmpfsIsNotTakenForIt) {
  fake_filesystems()["/srv/disk"] = {makedev(0, 40), 77, 70, 70};  // a folder of the tmpfs that hides the mount
  tree.write("proc/self/mounts", std::string(kMounts) + "/dev/sda5 /srv/disk ext4 rw 0 0\ntmpfs /srv tmpfs rw 0 0\n");
  EXPECT_EQ(host.poll(), PollResult::rediscover);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_FALSE(has("/dev/sda5"));
  EXPECT_TRUE(has("/dev/sda2"));
  EXPECT_EQ(host.poll(), PollResult::ok);
}

TEST_F(HostFilesystems, FailuresAndNonsense) {
  fake_filesystems()["/data"].error = EIO;
  EXPECT_EQ(host.poll(), PollResult::ok);
  EXPECT_EQ(state("/dev/sda2"), State::error);
  EXPECT_EQ(state("/dev/sda1"), State::ok);
  EXPECT_EQ(host.errors("io"), 1u);
  fake_filesystems()["/data"].error = 0;
  fake_filesystems()["/data"].free = 2000;  // of 1000
  host.poll();
  EXPECT_EQ(state("/dev/sda2"), State::implausible);
}

TEST(HostFilesystemRoots, ATableOfOurOwnNamespaceIsReadBelowTheRoot) {
  fake_filesystems() = {{"/host/", {makedev(8, 1), 1000, 500, 400}},
                        {"/host/srv", {makedev(8, 2), 1000, 100, 100}},
                        {"/host", {makedev(8, 1), 1000, 500, 400}}};
  Tree tree("");
  tree.write("proc/1/mounts",
             "overlay / overlay rw 0 0\n/dev/sda1 /host ext4 ro 0 0\n/dev/sda2 /host/srv ext4 ro 0 0\n"
             "/dev/sda9 /etc/hosts ext4 rw 0 0\n");
  Host host(tree, {{"rootfs", "/host"}});
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_GE(host.find(MetricId::filesystem_limit, {{A::system_device, "/dev/sda1"}, {A::filesystem_mountpoint, "/"}}),
            0);
  EXPECT_GE(
      host.find(MetricId::filesystem_limit, {{A::system_device, "/dev/sda2"}, {A::filesystem_mountpoint, "/srv"}}), 0);
  EXPECT_LT(host.find(MetricId::filesystem_limit, {{A::system_device, "overlay"}}), 0);
  EXPECT_EQ(host.poll(), PollResult::ok);
}

// ---- what cannot be read ----

TEST(HostAbsence, EachMissingFileIsAnAbsenceWithItsName) {
  Tree tree("");
  tree.write("proc/uptime", "1.5 1\n");
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_EQ(host.catalog.series.size(), 1u);
  const std::pair<MetricId, const char*> expected[] = {
      {MetricId::cpu_time, "/proc/stat"},        {MetricId::process_created, "/proc/stat"},
      {MetricId::load_average, "/proc/loadavg"}, {MetricId::memory_usage, "/proc/meminfo"},
      {MetricId::paging_usage, "/proc/meminfo"}, {MetricId::paging_faults, "/proc/vmstat"},
      {MetricId::disk_io, "/proc/diskstats"},    {MetricId::network_errors, "/proc/net/dev"},
      {MetricId::pressure_time, "CONFIG_PSI"},   {MetricId::filesystem_limit, "/proc/self/mounts"},
      {MetricId::host_info, "cannot be read"},
  };
  for (const auto& [metric, text] : expected) {
    ASSERT_NE(host.absence(metric), nullptr) << info(metric).name;
    EXPECT_EQ(host.absence(metric)->state, State::unsupported) << info(metric).name;
    EXPECT_NE(host.absence(metric)->reason.find(text), std::string::npos) << host.absence(metric)->reason;
  }
  EXPECT_TRUE(host.calls.errors().empty()) << "what a host does not have is no error";
  EXPECT_EQ(host.poll(), PollResult::ok);
  EXPECT_EQ(host.value(MetricId::uptime), 1.5);
}

TEST(HostAbsence, NothingAtAllIsAbsent) {
  Tree tree("");
  Host host(tree);
  const Result<Catalog> catalog = host.collector->discover();
  ASSERT_FALSE(catalog);
  EXPECT_EQ(catalog.error().code(), Code::absent);
  EXPECT_NE(catalog.error().message().find("procfs"), std::string::npos) << catalog.error().message();
}

TEST(HostAbsence, DanglingLinksAndFoldersInPlaceOfFiles) {
  Tree tree("container");
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  ASSERT_NE(host.absence(MetricId::paging_faults), nullptr);
  EXPECT_EQ(host.absence(MetricId::paging_faults)->state, State::unsupported);
  ASSERT_NE(host.absence(MetricId::disk_io), nullptr);
  EXPECT_EQ(host.absence(MetricId::disk_io)->state, State::error);
  EXPECT_NE(host.absence(MetricId::disk_io)->reason.find("/proc/diskstats"), std::string::npos);
  EXPECT_EQ(host.poll(), PollResult::ok);
}

// Root is refused nothing: as root the test takes another user's rights while the collector looks.
class Unprivileged {
 public:
  Unprivileged() : was_(::geteuid()), dropped_(was_ != 0 || ::seteuid(65534) == 0) {}
  ~Unprivileged() {
    if (was_ == 0 && dropped_ && ::seteuid(0) != 0) std::abort();
  }
  bool dropped() const { return dropped_; }

 private:
  uid_t was_;
  bool dropped_;
};

TEST(HostAbsence, AFileThatRefusesUs) {
  Tree tree("gpu_server");
  std::filesystem::permissions(tree.path(""), std::filesystem::perms(0755));
  std::filesystem::permissions(tree.path("proc/diskstats"), std::filesystem::perms::none);
  Host host(tree);
  {
    const Unprivileged unprivileged;
    if (!unprivileged.dropped()) GTEST_SKIP() << "cannot become another user";
    ASSERT_NO_FATAL_FAILURE(host.discover());
  }
  ASSERT_NE(host.absence(MetricId::disk_io), nullptr);
  EXPECT_EQ(host.absence(MetricId::disk_io)->state, State::no_permission);
  EXPECT_NE(host.absence(MetricId::disk_io)->reason.find("/proc/diskstats may not be read"), std::string::npos);
  EXPECT_GE(host.find(MetricId::network_io, interface("eno1")), 0) << "the others go on";
  EXPECT_TRUE(host.calls.errors().empty());
}

TEST(HostAbsence, AFileThatIsTooLongIsNotHalfRead) {
  Tree tree("");
  std::string text = net_line("eth0", 1);
  while (text.size() <= HostFiles::kLargestFile) text += "#" + std::string(1000, ' ') + "\n";
  tree.write("proc/net/dev", text);
  tree.write("proc/uptime", "1 1\n");
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  ASSERT_NE(host.absence(MetricId::network_io), nullptr);
  EXPECT_EQ(host.absence(MetricId::network_io)->state, State::error);
  EXPECT_EQ(host.errors("exhausted"), 1u);
}

TEST(HostAbsence, AFileThatBecomesUnreadableIsAnError) {
  Tree tree("");
  tree.write("proc/uptime", "5.5 1\n");
  tree.write("proc/loadavg", "1 2 3 4/5 6\n");
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  host.poll();
  tree.write("proc/uptime", "soon\n");
  EXPECT_EQ(host.poll(), PollResult::ok);
  EXPECT_EQ(host.state(MetricId::uptime), State::error);
  EXPECT_EQ(host.value(MetricId::load_average, {{A::load_window, "5m"}}), 2);
  EXPECT_EQ(host.errors("parse"), 1u);
}

TEST(HostAbsence, AFileThatCannotBeReadIsOpenedAnew) {
  Tree tree("container");
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  ASSERT_NE(host.absence(MetricId::disk_io), nullptr);
  std::filesystem::remove_all(tree.path("proc/diskstats"));
  tree.write("proc/diskstats", disk_line("vda", 3));
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_EQ(host.absence(MetricId::disk_io), nullptr);
  EXPECT_EQ(host.poll(), PollResult::ok);
  EXPECT_EQ(host.value(MetricId::disk_operations, disk("vda")), 3);
}

// ---- the collector ----

TEST(HostCollector, ARenamedHostIsDiscoveredAgain) {
  Tree tree("gpu_server");
  Host host(tree, {{"rootfs", tree.path("nothing")}});
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_EQ(host.poll(), PollResult::ok);
  tree.write("proc/sys/kernel/hostname", "other\n");
  EXPECT_EQ(host.poll(1), PollResult::ok);
  EXPECT_EQ(host.poll(4), PollResult::rediscover);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  EXPECT_GE(host.find(MetricId::host_info, {{A::host_name, "other"}}), 0);
  EXPECT_EQ(host.poll(), PollResult::ok);
}

TEST(HostCollector, GoesOnAfterARelease) {
  Tree tree("container");
  fake_filesystems().clear();
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  host.poll();
  const auto open_files = [] {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
  };
  const auto before = open_files();
  host.collector->release();
  EXPECT_LT(open_files(), before);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  tree.second();
  EXPECT_EQ(host.poll(), PollResult::ok);
  EXPECT_EQ(host.value(MetricId::uptime), 4712.05);
}

TEST(HostCollector, CallsAreNamedByTheDefaultPaths) {
  Tree tree("gpu_server");
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  host.poll();
  for (const char* name : {"/proc/stat", "/proc/net/dev", "/proc/pressure/io"}) {
    const auto& all = host.calls.calls();
    const auto found = std::find_if(all.begin(), all.end(), [&](const CallStats& call) { return call.name == name; });
    ASSERT_NE(found, all.end()) << name;
    EXPECT_EQ(found->calls, 2u) << name;
  }
  for (const CallStats& call : host.calls.calls()) EXPECT_EQ(call.name.find(tree.path("")), std::string::npos);
}

TEST(HostCollector, AFrameOfAnotherCatalogIsNotWrittenTo) {
  Tree tree("container");
  Host host(tree);
  ASSERT_NO_FATAL_FAILURE(host.discover());
  host.frame.resize(3);
  EXPECT_EQ(host.poll(), PollResult::rediscover);
}

TEST(HostCollector, HostileTextsDoNoHarm) {
  std::mt19937 random(17);
  for (int round = 0; round < 20; ++round) {
    Tree tree("ancient");
    Host host(tree);
    const auto spoil = [&] {
      for (const char* file : {"stat", "meminfo", "diskstats", "net/dev", "vmstat", "self/mounts", "loadavg"}) {
        const std::string path = "proc/" + std::string(file);
        std::string text = tree.read(path);
        for (int i = 0; i < 20 && !text.empty(); ++i) {
          const size_t at = random() % text.size();
          switch (random() % 4) {
            case 0:
              text[at] = static_cast<char>(random());
              break;
            case 1:
              text.erase(at, random() % 20);
              break;
            case 2:
              text.insert(at, std::string(random() % 400, "9 \n-:"[random() % 5]));
              break;
            default:
              text.insert(at, text.substr(text.size() / 2, random() % 60));
              break;
          }
        }
        tree.write(path, text);
      }
    };
    for (int poll = 0; poll < 3; ++poll) {
      Result<Catalog> catalog = host.collector->discover();
      if (!catalog) continue;
      ASSERT_TRUE(validate(*catalog).ok()) << validate(*catalog).message();
      host.frame.resize(catalog->series.size());
      spoil();
      host.collector->poll(PollRequest{7}, host.frame, host.events);
      for (size_t i = 0; i < catalog->series.size(); ++i) {
        if (host.frame.states[i] != State::ok || info(catalog->series[i].metric).unit != Unit::one) continue;
        EXPECT_GE(host.frame.values[i], 0) << info(catalog->series[i].metric).name;
        EXPECT_LE(host.frame.values[i], 1) << info(catalog->series[i].metric).name;
      }
    }
  }
}

TEST(HostCollector, ReadsTheMachineThatRunsThisTest) {
  CallMeter calls(real_clock());
  const std::unique_ptr<Collector> collector = accelmon::make_host_collector(CollectorContext{calls, real_clock(), {}});
  Result<Catalog> catalog = collector->discover();
  if (!catalog) GTEST_SKIP() << catalog.error().message();
  ASSERT_TRUE(validate(*catalog).ok()) << validate(*catalog).message();
  Frame frame;
  frame.resize(catalog->series.size());
  std::vector<Event> events;
  collector->poll(PollRequest{7}, frame, events);
  const int total = find_series(*catalog, MetricId::memory_limit, -1);
  if (total >= 0) {
    EXPECT_GT(frame.values[static_cast<size_t>(total)], 1 << 20);
  }
  for (size_t i = 0; i < frame.values.size(); ++i)
    if (frame.states[i] == State::ok) {
      EXPECT_GE(frame.values[i], 0) << info(catalog->series[i].metric).name;
    }
}

}  // namespace
}  // namespace accelmon::host
