// What the driver's texts say, and a poll over files that stand still: it allocates nothing.
#include "collectors/amdgpu/amdgpu_files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "base/instrumented.h"
#include "collectors/amdgpu/amdgpu_collector.h"
#include "collectors/amdgpu/amdgpu_kfd.h"
#ifndef ACCELMON_ADDRESS_SANITIZER
#include "base/counted_new_for_test.h"
#endif

namespace accelmon::amdgpu {
namespace {

namespace fs = std::filesystem;

TEST(AmdgpuText, Numbers) {
  EXPECT_EQ(parse_number("42\n"), 42);
  EXPECT_EQ(parse_number("-7\n"), -7);
  EXPECT_EQ(parse_number("18446744073709551615\n"), 18446744073709551615.0);
  for (const char* text : {"", "\n", "4 2\n", "0x10\n", "4.2\n", "N/A\n", "\x7f\xff%"})
    EXPECT_FALSE(parse_number(text));
}

TEST(AmdgpuText, Levels) {
  EXPECT_EQ(parse_highest_level("0: 500Mhz \n1: 2100Mhz *\n"), 2.1e9);
  EXPECT_EQ(parse_highest_level("S: 20Mhz *\n0: 132Mhz\n1: 2100Mhz\n"), 2.1e9);
  EXPECT_EQ(parse_highest_level("0: 2100Mhz *\n1: 132Mhz\n"), 2.1e9);
  for (const char* text : {"", "0: fast\n", "0: 5GHz\n", "x: 2100Mhz\n", "0 2100Mhz"})
    EXPECT_FALSE(parse_highest_level(text));
}

TEST(AmdgpuText, LinkSpeeds) {
  EXPECT_EQ(parse_link_speed("2.5 GT/s PCIe\n"), 1);
  EXPECT_EQ(parse_link_speed("32.0 GT/s PCIe\n"), 5);
  for (const char* text : {"Unknown\n", "", "7.0 GT/s PCIe\n", "16.0\n"}) EXPECT_FALSE(parse_link_speed(text));
}

TEST(AmdgpuText, Errors) {
  const RasCounts counts = parse_ras("ue: 1\nce: 30\nde: 2\n");
  EXPECT_EQ(counts.uncorrected, 1);
  EXPECT_EQ(counts.corrected, 30);
  EXPECT_EQ(counts.deferred, 2);
  EXPECT_FALSE(parse_ras("ue: 1\nce: 30\n").deferred);
  EXPECT_FALSE(parse_ras("ue: -1\nce: x\n").uncorrected);

  const auto pages = parse_bad_pages("0x00001000 : 0x00001000 : R\n0x00002000 : 0x00001000 : P\n0x3 : 0x1000 : F\n");
  ASSERT_TRUE(pages);
  EXPECT_EQ(pages->retired, 1);
  EXPECT_EQ(pages->pending, 1);
  EXPECT_EQ(pages->failed, 1);
  EXPECT_EQ(parse_bad_pages("")->retired, 0);
  EXPECT_FALSE(parse_bad_pages("garbage\n"));
  EXPECT_FALSE(parse_bad_pages("0x1 : 0x1 : Q\n"));
}

TEST(AmdgpuText, Properties) {
  EXPECT_EQ(find_property("cpu_cores_count 0\nlocation_id 1280\n", "location_id"), 1280u);
  EXPECT_FALSE(find_property("location_id_x 1\n", "location_id"));
  EXPECT_FALSE(find_property("location_id\n", "location_id"));
}

// Where it fits to the last byte nobody can tell whether there is more.
TEST(AmdgpuFile, IsReadToItsEnd) {
  const fs::path path = fs::path(testing::TempDir()) / ("accelmon-file-" + std::to_string(::getpid()));
  std::vector<char> buffer(65536);
  std::string_view text;
  for (const size_t size : {size_t{0}, size_t{3}, size_t{4095}, size_t{4096}, size_t{4097}, size_t{65535}}) {
    std::ofstream(path, std::ios::trunc) << std::string(size, 'x');
    SysFile file;
    ASSERT_EQ(file.open(path), 0);
    for (const SysFile::Shape shape : {SysFile::Shape::text, SysFile::Shape::chunks}) {
      EXPECT_EQ(file.read(buffer, text, shape), 0) << size;
      EXPECT_EQ(text.size(), size);
      // All of the buffer may be half of the file.
      EXPECT_EQ(file.read(std::span(buffer).first(std::max<size_t>(size, 1)), text, shape), size == 0 ? 0 : EFBIG);
    }
  }
  fs::remove(path);
  SysFile none;
  EXPECT_EQ(none.open(path), ENOENT);
}

TEST(AmdgpuText, AnErrnoIsAState) {
  EXPECT_EQ(state_of(EPERM), State::not_ready);
  EXPECT_EQ(state_of(EBUSY), State::not_ready);
  EXPECT_EQ(state_of(EOPNOTSUPP), State::unsupported);
  EXPECT_EQ(state_of(EINVAL), State::unsupported);
  EXPECT_EQ(state_of(ENOENT), State::unsupported);
  EXPECT_EQ(state_of(EACCES), State::no_permission);
  EXPECT_EQ(state_of(EIO), State::error);
  EXPECT_TRUE(is_gone(ENODEV));
}

// The tree of a shipped scenario as it is at its beginning, without the kernel's library: plain files.
class StillTree : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / ("accelmon-still-" + std::to_string(::getpid()));
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  void lay_out(const std::string& scenario) {
    const std::string command = "'" ACCELMON_BUILD_DIR "/lib/accelmon/simulator/lay-out-tree' '" ACCELMON_SOURCE_DIR
                                "/simulator/scenarios/" +
                                scenario + ".toml' '" + root_.string() + "'";
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  CollectorContext context() {
    return {calls_, real_clock(), {{"sysfs", root_ / "sys"}, {"procfs", root_ / "proc"}, {"devfs", root_ / "dev"}}};
  }
  fs::path root_;
  CallMeter calls_{real_clock()};
};

TEST_F(StillTree, WithoutDevicesItSaysWhatIsThere) {
  fs::create_directories(root_ / "sys/bus/pci/devices");
  auto collector = make_amdgpu_collector(context());
  Result<Catalog> found = collector->discover();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::absent);
  EXPECT_EQ(found.error().message(), "no AMD GPU on the PCI bus");
  // Passed through to a guest.
  const fs::path device = root_ / "sys/bus/pci/devices/0000:05:00.0";
  fs::create_directories(device);
  std::ofstream(device / "vendor") << "0x1002\n";
  std::ofstream(device / "device") << "0x74a1\n";
  std::ofstream(device / "class") << "0x120000\n";
  fs::create_symlink("../../../../bus/pci/drivers/vfio-pci", device / "driver");
  found = collector->discover();
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message().find("0000:05:00.0 (vfio-pci)"), std::string::npos) << found.error().message();
}

TEST_F(StillTree, AFileThatIsMissingIsAnAbsenceWithItsReason) {
  lay_out("radeon");
  const fs::path device = root_ / "sys/bus/pci/devices/0000:03:00.0";
  fs::remove(device / "gpu_metrics");
  fs::remove_all(device / "ras");
  auto collector = make_amdgpu_collector(context());
  const Result<Catalog> found = collector->discover();
  ASSERT_TRUE(found) << found.error().message();
  ASSERT_TRUE(validate(*found).ok());
  EXPECT_EQ(find_series(*found, MetricId::throttle_active, 0), -1);
  // hwmon has what gpu_metrics would have told.
  EXPECT_GE(find_series(*found, MetricId::power, 0, {{AttributeId::power_reading, "average"}}), 0);
  bool throttle = false, errors = false;
  for (const Absence& absence : found->absences) {
    throttle = throttle || (absence.metric == MetricId::throttle_active && absence.device == 0);
    errors = errors || (absence.metric == MetricId::errors && absence.device == 0);
    EXPECT_FALSE(absence.reason.empty());
  }
  EXPECT_TRUE(throttle);
  EXPECT_TRUE(errors);
}

// Banks of another kind, without a size or without end are no memory of the partition.
TEST_F(StillTree, MemoryOfANode) {
  const fs::path node = root_ / "sys/class/kfd/kfd/topology/nodes/1";
  const auto put = [&](const fs::path& path, const std::string& text) {
    fs::create_directories((node / path).parent_path());
    std::ofstream(node / path) << text;
  };
  put("gpu_id", "4711\n");
  put("properties", "location_id 1280\nsimd_count 1216\nsimd_per_cu 4\n");
  const auto memory = [&] {
    const std::vector<KfdNode> nodes = read_kfd_nodes(root_ / "sys");
    EXPECT_EQ(nodes.size(), 1u);
    return nodes.at(0).memory;
  };
  EXPECT_FALSE(memory());
  put("mem_banks/0/properties", "heap_type 1\nsize_in_bytes 25767706624\nflags 0\nwidth 8192\nmem_clk_max 1300\n");
  EXPECT_EQ(memory(), 25767706624.0);
  put("mem_banks/1/properties", "heap_type 2\nsize_in_bytes 1000\n");
  EXPECT_EQ(memory(), 25767707624.0);
  for (const char* other : {"heap_type 0\nsize_in_bytes 7\n", "heap_type 4\nsize_in_bytes 7\n", "size_in_bytes 7\n",
                            "heap_type 1\nsize_in_bytes -1\n", "heap_type 1\n", "\xff\n"}) {
    put("mem_banks/2/properties", other);
    EXPECT_EQ(memory(), 25767707624.0) << other;
  }
  put("mem_banks/0/properties", "");
  put("mem_banks/1/properties", "heap_type 2\nsize_in_bytes 0\n");
  EXPECT_FALSE(memory()) << "no zero where nothing is known";
}

TEST_F(StillTree, APartitionWithoutANodeHasNoSize) {
  lay_out("mi300x-cpx");
  for (int node = 1; node <= 8; ++node)
    fs::remove_all(root_ / ("sys/class/kfd/kfd/topology/nodes/" + std::to_string(node) + "/mem_banks"));
  auto collector = make_amdgpu_collector(context());
  Result<Catalog> found = collector->discover();
  ASSERT_TRUE(found) << found.error().message();
  ASSERT_EQ(found->devices.size(), 9u);
  EXPECT_EQ(find_series(*found, MetricId::gpu_memory_limit, 1), -1);
  EXPECT_TRUE(std::any_of(found->absences.begin(), found->absences.end(), [](const Absence& absence) {
    return absence.device == 1 && absence.metric == MetricId::gpu_memory_limit;
  }));
  fs::remove_all(root_ / "sys/class/kfd");
  found = collector->discover();
  ASSERT_TRUE(found);
}

TEST_F(StillTree, APollAllocatesNothing) {
#ifdef ACCELMON_ADDRESS_SANITIZER
  GTEST_SKIP() << "the sanitizer counts for itself";
#else
  lay_out("mi300x-cpx");
  auto collector = make_amdgpu_collector(context());
  Result<Catalog> found = collector->discover();
  ASSERT_TRUE(found) << found.error().message();
  Frame frame;
  frame.resize(found->series.size());
  std::vector<Event> events;
  for (int i = 0; i < 3; ++i) ASSERT_EQ(collector->poll(PollRequest{7}, frame, events), PollResult::ok);
  const uint64_t before = counted_new::allocations;
  for (int i = 0; i < 100; ++i) (void)collector->poll(PollRequest{1}, frame, events);
  EXPECT_EQ(counted_new::allocations, before);
#endif
}

}  // namespace
}  // namespace accelmon::amdgpu
