#include "collectors/drm_clients.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "base/counted_new_for_test.h"
#include "collectors/collector_rig_for_test.h"

namespace accelmon {
namespace {

namespace fs = std::filesystem;

// As xe writes it on a board with two compute engines.
constexpr const char* kXe =
    "pos:\t0\nflags:\t0100002\nmnt_id:\t26\nino:\t211\ndrm-driver:\txe\ndrm-client-id:\t7\ndrm-pdev:\t0000:4d:00.0\n"
    "drm-total-system:\t0\ndrm-shared-system:\t0\ndrm-resident-system:\t0\n"
    "drm-total-gtt:\t192 KiB\ndrm-resident-gtt:\t192 KiB\n"
    "drm-total-vram0:\t23992 KiB\ndrm-shared-vram0:\t16 MiB\ndrm-active-vram0:\t0\ndrm-resident-vram0:\t23992 KiB\n"
    "drm-cycles-rcs:\t28257900\ndrm-total-cycles-rcs:\t7655183225\n"
    "drm-cycles-ccs:\t1000\ndrm-total-cycles-ccs:\t7655183225\ndrm-engine-capacity-ccs:\t2\n";

const DrmEngine* engine_of(const DrmFdinfo& info, std::string_view name) {
  for (const DrmEngine& engine : info.all_engines())
    if (engine.name == name) return &engine;
  return nullptr;
}
const DrmRegion* region_of(const DrmFdinfo& info, std::string_view name) {
  for (const DrmRegion& region : info.all_regions())
    if (region.name == name) return &region;
  return nullptr;
}

TEST(DrmFdinfo, ReadsXe) {
  DrmFdinfo info;
  ASSERT_TRUE(parse_drm_fdinfo(kXe, info));
  EXPECT_EQ(info.driver.view(), "xe");
  EXPECT_EQ(info.pdev.view(), "0000:4d:00.0");
  EXPECT_EQ(info.client_id, 7u);
  EXPECT_EQ(info.region_count, 3u);
  const DrmRegion* vram = region_of(info, "vram0");
  ASSERT_NE(vram, nullptr);
  EXPECT_EQ(vram->resident, 23992u << 10);
  EXPECT_EQ(vram->shared, 16u << 20);
  EXPECT_EQ(region_of(info, "system")->resident, 0u);
  const DrmEngine* ccs = engine_of(info, "ccs");
  ASSERT_NE(ccs, nullptr);
  EXPECT_EQ(ccs->capacity, 2u);
  EXPECT_EQ(ccs->cycles, 1000u);
  EXPECT_EQ(ccs->total_cycles, 7655183225u);
  EXPECT_FALSE(ccs->ns);
}

TEST(DrmFdinfo, ReadsTheOldNamesAndNanoseconds) {
  DrmFdinfo info;
  ASSERT_TRUE(
      parse_drm_fdinfo("drm-driver: amdgpu\ndrm-client-id: 3\ndrm-memory-vram: 5 KiB\ndrm-engine-gfx: 123 ns\n"
                       "amd-evicted-vram: 9 KiB\n",
                       info));
  EXPECT_TRUE(info.pdev.empty());
  EXPECT_EQ(region_of(info, "vram")->resident, 5120u);
  EXPECT_EQ(engine_of(info, "gfx")->ns, 123u);
  EXPECT_EQ(info.region_count, 1u);

  // The new name counts where both are there, in either order.
  ASSERT_TRUE(parse_drm_fdinfo("drm-driver: a\ndrm-resident-vram: 7\ndrm-memory-vram: 5\n", info));
  EXPECT_EQ(region_of(info, "vram")->resident, 7u);
  ASSERT_TRUE(parse_drm_fdinfo("drm-driver: a\ndrm-memory-vram: 5\ndrm-resident-vram: 7\n", info));
  EXPECT_EQ(region_of(info, "vram")->resident, 7u);
  EXPECT_FALSE(info.client_id);
}

TEST(DrmFdinfo, LeavesOutWhatItDoesNotUnderstand) {
  DrmFdinfo info;
  EXPECT_FALSE(parse_drm_fdinfo("pos:\t0\nflags:\t02\n", info));
  EXPECT_FALSE(parse_drm_fdinfo("", info));
  EXPECT_FALSE(parse_drm_fdinfo("drm-pdev: 0000:00:02.0\n", info));
  ASSERT_TRUE(
      parse_drm_fdinfo("drm-driver: i915\ndrm-client-id: 18446744073709551616\n"
                       "drm-resident-local0: 5 furlongs\ndrm-resident-system0: -4\ndrm-total-: 4\n"
                       "drm-total-local1: 99999999999999999999\ndrm-total-local2: 18014398509481984 KiB\n"
                       "drm-engine-render: 5 ms\ndrm-engine-copy: x\ndrm-engine-capacity-video: 0\n"
                       "drm-engine-video: 9223372036854775808 ns\ndrm-cycles-rcs: 4 ns\ndrm-nonsense\n",
                       info));
  EXPECT_FALSE(info.client_id);
  EXPECT_EQ(info.region_count, 0u);
  EXPECT_EQ(info.engine_count, 0u);
  // A name that is too long to be kept is no other name.
  EXPECT_FALSE(parse_drm_fdinfo("drm-driver: " + std::string(40, 'x') + "\n", info));
  ASSERT_TRUE(parse_drm_fdinfo("drm-driver: a\ndrm-total-" + std::string(40, 'x') + ": 4\n", info));
  EXPECT_EQ(info.region_count, 0u);
  // More kinds than there is room for.
  std::string many = "drm-driver: a\n";
  for (int i = 0; i < 100; ++i)
    many += "drm-engine-e" + std::to_string(i) + ": 1 ns\ndrm-total-r" + std::to_string(i) + ": 1\n";
  ASSERT_TRUE(parse_drm_fdinfo(many, info));
  EXPECT_EQ(info.engine_count, kMostDrmEngines);
  EXPECT_EQ(info.region_count, kMostDrmRegions);
}

TEST(DrmEngine, SharesAreOfTheDriversOwnTimeWhereItBringsIt) {
  DrmEngine engine;
  EXPECT_FALSE(engine.share(kSecond));
  engine.capacity = 2;
  engine.ns_before = 0, engine.ns = 500'000'000;
  EXPECT_DOUBLE_EQ(*engine.share(kSecond), 0.25);
  EXPECT_FALSE(engine.share(0));
  engine.ns = 9'000'000'000;  // booked late by the driver
  EXPECT_DOUBLE_EQ(*engine.share(kSecond), 1);
  engine.cycles_before = 100, engine.cycles = 150;
  engine.total_cycles_before = 1000, engine.total_cycles = 1100;
  EXPECT_DOUBLE_EQ(*engine.share(kSecond), 0.25);
  engine.total_cycles = 1000;  // asleep: no time has gone by on the device
  EXPECT_FALSE(engine.share(kSecond));
}

TEST(DrmRegionName, IsTheRegionOrThatAndANumber) {
  EXPECT_TRUE(is_drm_region("vram", "vram"));
  EXPECT_TRUE(is_drm_region("vram12", "vram"));
  EXPECT_FALSE(is_drm_region("vram1x", "vram"));
  EXPECT_FALSE(is_drm_region("vis-vram", "vram"));
  EXPECT_FALSE(is_drm_region("vr", "vram"));
}

struct DrmTree : testing::Test, for_test::TemporaryTree {
  DrmTree() : TemporaryTree("drm") { ::chmod(root.c_str(), 0755); }

  void plant(unsigned pid, unsigned fd, const std::string& fdinfo, const std::string& target = "/dev/dri/renderD128") {
    const std::string process = "proc/" + std::to_string(pid) + "/";
    write(process + "comm", "worker-" + std::to_string(pid) + "\n");
    fs::create_directories(root / (process + "fd"));
    fs::remove(root / (process + "fd/" + std::to_string(fd)));
    fs::create_symlink(target, root / (process + "fd/" + std::to_string(fd)));
    write(process + "fdinfo/" + std::to_string(fd), fdinfo);
  }
  static std::string xe(unsigned id, unsigned kib, uint64_t cycles = 0, uint64_t total = 0,
                        const char* pdev = "0000:4d:00.0") {
    return "drm-driver:\txe\ndrm-client-id:\t" + std::to_string(id) + "\ndrm-pdev:\t" + pdev +
           "\ndrm-resident-vram0:\t" + std::to_string(kib) + " KiB\ndrm-cycles-ccs:\t" + std::to_string(cycles) +
           "\ndrm-total-cycles-ccs:\t" + std::to_string(total) + "\ndrm-engine-capacity-ccs:\t2\n";
  }
  DrmClients make() { return DrmClients(calls, clock, (root / "proc").string(), (root / "dev").string()); }

  ManualClock clock;
  CallMeter calls{clock};
};

TEST_F(DrmTree, CountsAClientOnceHoweverManyHoldIt) {
  plant(200, 4, xe(7, 1024));
  plant(200, 9, xe(7, 1024));  // dup()
  plant(150, 3, xe(7, 1024));  // its parent
  plant(200, 5, xe(8, 512));
  plant(300, 5, xe(7, 4, 0, 0, "0000:b1:00.0"));  // the same number on another device
  plant(400, 5, xe(9, 4), "socket:[123]");
  plant(400, 6, xe(9, 4), "/dev/null");
  plant(500, 6, xe(10, 64), (root / "dev/dri/card0").string());
  write("proc/meminfo", "MemTotal: 1 kB\n");
  write("proc/self", "");
  DrmClients clients = make();
  ASSERT_TRUE(clients.scan().ok());
  ASSERT_EQ(clients.clients().size(), 4u);
  EXPECT_TRUE(clients.changed());
  EXPECT_EQ(clients.counts().processes, 5u);
  EXPECT_EQ(clients.counts().descriptors, 8u);
  EXPECT_EQ(clients.counts().refused, 0u);
  EXPECT_FALSE(clients.counts().cut);

  std::vector<DrmProcess> processes;
  clients.processes("0000:4d:00.0", "vram", processes);
  ASSERT_EQ(processes.size(), 3u);
  EXPECT_EQ(processes[0].pid, 150u);
  EXPECT_EQ(processes[0].memory, 1024u << 10);
  EXPECT_EQ(processes[0].comm, "worker-150");
  EXPECT_EQ(processes[1].pid, 200u);
  EXPECT_EQ(processes[1].memory, 512u << 10);
  EXPECT_EQ(processes[2].pid, 500u);
  EXPECT_EQ(clients.resident("0000:4d:00.0", "vram"), 1600u << 10);
  EXPECT_EQ(clients.resident("0000:b1:00.0", "vram"), 4u << 10);
  EXPECT_FALSE(clients.resident("0000:4d:00.0", "local"));

  ASSERT_TRUE(clients.scan().ok());
  EXPECT_FALSE(clients.changed());
  fs::remove_all(root / "proc/150");
  ASSERT_TRUE(clients.scan().ok());
  EXPECT_TRUE(clients.changed());  // the client lives on in its child
  clients.processes("0000:4d:00.0", "vram", processes);
  ASSERT_EQ(processes.size(), 2u);
  EXPECT_EQ(processes[0].comm, "worker-200");
  EXPECT_EQ(processes[0].memory, 1536u << 10);
  fs::remove_all(root / "proc/200");
  ASSERT_TRUE(clients.scan().ok());
  EXPECT_EQ(clients.clients().size(), 2u);
}

TEST_F(DrmTree, CountersThatStepBackHold) {
  DrmClients clients = make();
  plant(200, 4, xe(7, 1, 1000, 100'000));
  plant(201, 4, xe(8, 1, 500, 100'000));
  ASSERT_TRUE(clients.scan().ok());
  EXPECT_FALSE(clients.utilization("0000:4d:00.0", "ccs"));
  clock.advance(kSecond);
  plant(200, 4, xe(7, 1, 9000, 110'000));
  plant(201, 4, xe(8, 1, 400, 110'000));
  ASSERT_TRUE(clients.scan().ok());
  EXPECT_EQ(clients.elapsed(), kSecond);
  EXPECT_DOUBLE_EQ(*clients.utilization("0000:4d:00.0", "ccs"), 0.4);
  EXPECT_EQ(clients.clients()[1].info.all_engines()[0].cycles, 500u);
  // Up from where it held, not from where it stepped to.
  plant(200, 4, xe(7, 1, 9000, 120'000));
  plant(201, 4, xe(8, 1, 2500, 120'000));
  ASSERT_TRUE(clients.scan().ok());
  EXPECT_DOUBLE_EQ(*clients.utilization("0000:4d:00.0", "ccs"), 0.1);
  EXPECT_DOUBLE_EQ(*clients.utilization("0000:b1:00.0", "ccs"), 0);
}

TEST_F(DrmTree, LeavesTheFilesOfSleepingDevicesAlone) {
  plant(200, 4, xe(7, 1), "/dev/dri/renderD129");
  plant(200, 5, xe(8, 1), (root / "dev/dri/card1").string());
  plant(200, 6, xe(9, 1), "/dev/dri/renderD128");
  DrmClients clients = make();
  clients.leave_out(std::vector<unsigned>{1, 129});
  ASSERT_TRUE(clients.scan().ok());
  ASSERT_EQ(clients.clients().size(), 1u);
  EXPECT_EQ(clients.clients()[0].info.client_id, 9u);
  clients.leave_out({});
  ASSERT_TRUE(clients.scan().ok());
  EXPECT_EQ(clients.clients().size(), 3u);
}

TEST_F(DrmTree, SurvivesWhatIsHostile) {
  plant(200, 4, std::string(100'000, 'x'));
  plant(201, 4, std::string("drm-driver: xe\ndrm-client-id: 4\n") + std::string(3000, '\0'));
  plant(202, 4, "drm-driver: xe\n");
  plant(203, 4, xe(11, 1));
  fs::remove(root / "proc/203/fdinfo/4");
  fs::create_directories(root / "proc/203/fdinfo/4");
  write("proc/204/fd", "not a folder");
  write("proc/99999999999999999999/fd", "");
  plant(205, 4, xe(12, 1));
  fs::remove(root / "proc/205/fdinfo/4");  // closed in between
  plant(205, 5, xe(13, 1));
  write("proc/205/comm", std::string("\x1b[31m\xff\n"));
  DrmClients clients = make();
  ASSERT_TRUE(clients.scan().ok());
  EXPECT_EQ(clients.counts().unreadable, 3u);
  ASSERT_EQ(clients.clients().size(), 2u);
  EXPECT_EQ(clients.clients()[1].info.client_id, 13u);
  EXPECT_EQ(clients.clients()[1].comm.view(), "?[31m?");
}

TEST_F(DrmTree, BoundsTheClients) {
  for (unsigned fd = 0; fd < 12; ++fd) plant(200, fd, xe(fd, 1));
  DrmClients clients(calls, clock, (root / "proc").string(), (root / "dev").string(), 10);
  ASSERT_TRUE(clients.scan().ok());
  EXPECT_EQ(clients.clients().size(), 10u);
  EXPECT_TRUE(clients.counts().cut);
  EXPECT_EQ(clients.counts().descriptors, 12u);
}

TEST_F(DrmTree, SaysHowManyItMayNotLookInto) {
  plant(200, 4, xe(7, 1));
  plant(201, 4, xe(8, 1));
  fs::permissions(root / "proc/201/fd", fs::perms::owner_exec);
  const bool root_user = ::geteuid() == 0;
  DrmClients clients = make();
  ASSERT_TRUE(!root_user || ::seteuid(65534) == 0);
  const Status scanned = clients.scan();
  ASSERT_TRUE(!root_user || ::seteuid(0) == 0);
  fs::permissions(root / "proc/201/fd", fs::perms::owner_all);
  ASSERT_TRUE(scanned.ok()) << scanned.message();
  EXPECT_EQ(clients.counts().refused, 1u);
  ASSERT_EQ(clients.clients().size(), 1u);
  EXPECT_EQ(clients.clients()[0].pid, 200u);
}

TEST_F(DrmTree, AllocatesNothingOnceItHasRun) {
  for (unsigned pid = 100; pid < 108; ++pid)
    for (unsigned fd = 0; fd < 4; ++fd)
      plant(pid, fd, fd % 2 == 0 ? xe(pid * 100 + fd, 1) : "pos: 0\n", fd % 2 == 0 ? "/dev/dri/card0" : "pipe:[1]");
  DrmClients clients = make();
  std::vector<DrmProcess> processes;
  const auto cycle = [&] {
    const bool ok = clients.scan().ok();
    clients.processes("0000:4d:00.0", "vram", processes);
    return ok && clients.resident("0000:4d:00.0", "vram").has_value();
  };
  ASSERT_TRUE(cycle());
  ASSERT_TRUE(cycle());
  const uint64_t before = counted_new::allocations;
  bool ok = cycle();
  ok = cycle() && ok;
  EXPECT_EQ(counted_new::allocations - before, 0u);
  EXPECT_TRUE(ok);
  EXPECT_EQ(processes.size(), 8u);
}

TEST(DrmClients, WalksTheRealProcesses) {
  CallMeter calls(real_clock());
  DrmClients clients(calls, real_clock(), "/proc", "/dev");
  ASSERT_TRUE(clients.scan().ok());
  EXPECT_GT(clients.counts().processes, 0u);
  for (const DrmClient& client : clients.clients()) EXPECT_NE(client.pid, static_cast<uint32_t>(::getpid()));

  DrmClients nowhere(calls, real_clock(), "/no/such/folder", "/dev");
  EXPECT_EQ(nowhere.scan().code(), Code::absent);
}

TEST(DrmFdinfo, NeverBreaksItsBoundsOnBrokenText) {
  std::minstd_rand random(7);
  DrmFdinfo info;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = kXe;
    for (int k = 0; k < 8; ++k)
      text[random() % text.size()] =
          "\0\n:-9 \xff"
          "d"[random() % 8];
    text.resize(random() % text.size());
    (void)parse_drm_fdinfo(text, info);
    ASSERT_LE(info.engine_count, kMostDrmEngines);
    ASSERT_LE(info.region_count, kMostDrmRegions);
  }
}

}  // namespace
}  // namespace accelmon
