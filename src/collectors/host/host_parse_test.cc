#include "collectors/host/host_parse.h"

#include <gtest/gtest.h>

namespace accelmon::host {
namespace {

TEST(ParseStat, TakesTheSumCountsProcessorsAndReadsTheProcesses) {
  const StatText stat = parse_stat(
      "cpu  10 20 30 40 50 60 70 80 9 5\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nintr 1 2 3\nprocesses 77\nprocs_running 3\n"
      "procs_blocked 1\n");
  EXPECT_EQ(stat.all.columns, 10u);
  EXPECT_EQ(stat.all.column[7], 80u);
  EXPECT_EQ(stat.cpus, 2u);
  EXPECT_EQ(stat.created, 77u);
  EXPECT_EQ(stat.running, 3u);
  EXPECT_EQ(stat.blocked, 1u);
  EXPECT_EQ(stat.malformed, 0u);
}

TEST(ParseStat, GuestTimeIsTakenOutOfUserAndNice) {
  const CpuModes modes = cpu_modes(parse_stat("cpu  10 20 30 40 50 60 70 80 9 5\n").all);
  EXPECT_EQ(modes.modes, kCpuModes);
  EXPECT_EQ(modes.ticks, (std::array<uint64_t, kCpuModes>{1, 15, 30, 40, 50, 60, 70, 80, 14}));
}

TEST(ParseStat, GuestAheadOfUserGivesNoNegativeNumber) {
  const CpuModes modes = cpu_modes(parse_stat("cpu  10 0 0 0 0 0 0 0 11 3\n").all);
  EXPECT_EQ(modes.ticks[0], 0u);
  EXPECT_EQ(modes.ticks[1], 0u);
  EXPECT_EQ(modes.ticks[8], 10u);
}

TEST(ParseStat, OldKernelsHaveFewerColumns) {
  EXPECT_EQ(cpu_modes(parse_stat("cpu  1 2 3 4\n").all).modes, 4u);
  EXPECT_EQ(cpu_modes(parse_stat("cpu  1 2 3 4 5 6 7\n").all).modes, 7u);
  EXPECT_EQ(cpu_modes(parse_stat("cpu  1 2 3 4 5 6 7 8 9\n").all).modes, 9u);
}

TEST(ParseStat, BrokenLinesAreCountedAndLeftOut) {
  for (const char* text : {"cpu  1 2 3\n", "cpu  1 2 x 4\n", "cpu  -1 2 3 4\n", "cpu  99999999999999999999 2 3 4\n"}) {
    const StatText stat = parse_stat(text);
    EXPECT_EQ(stat.all.columns, 0u) << text;
    EXPECT_EQ(stat.malformed, 1u) << text;
  }
  const StatText stat = parse_stat("processes many\nprocs_running\n");
  EXPECT_FALSE(stat.created);
  EXPECT_FALSE(stat.running);
  EXPECT_EQ(stat.malformed, 2u);
}

TEST(ParseMeminfo, KilobytesBecomeBytesAndTheStatesAddUp) {
  const MemoryText memory = parse_meminfo(
      "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 500 kB\nBuffers: 50 kB\nCached: 300 kB\nShmem: 80 kB\n"
      "SReclaimable: 20 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\nHugePages_Total: 3\n");
  EXPECT_EQ(memory.total, 1024000u);
  EXPECT_EQ(memory.swap_free, 4096u);
  EXPECT_EQ(memory.malformed, 0u);
  const MemoryUse use = memory_use(memory);
  uint64_t sum = 0;
  for (size_t i = 0; i < kMemoryStates; ++i) {
    EXPECT_EQ(use.states[i], State::ok) << kMemoryStateNames[i];
    sum += use.bytes[i];
  }
  EXPECT_EQ(sum, *memory.total);
  EXPECT_EQ(use.bytes[0], 530u * 1024);  // used
  EXPECT_EQ(use.bytes[3], 220u * 1024);  // cached, without the shared part
}

TEST(ParseMeminfo, WithoutShmemAndSlabTheRestStillAddsUp) {
  const MemoryUse use =
      memory_use(parse_meminfo("MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 300 kB\n"));
  EXPECT_EQ(use.states[4], State::unsupported);
  EXPECT_EQ(use.states[5], State::unsupported);
  EXPECT_EQ(use.bytes[0] + use.bytes[1] + use.bytes[2] + use.bytes[3], 1000u * 1024);
}

TEST(ParseMeminfo, ContradictionsAreImplausibleAndNeverZero) {
  const MemoryUse more_than_all = memory_use(parse_meminfo("MemTotal: 10 kB\nMemFree: 8 kB\nCached: 5 kB\n"));
  EXPECT_EQ(more_than_all.states[0], State::implausible);
  const MemoryUse shared = memory_use(parse_meminfo("MemTotal: 10 kB\nMemFree: 1 kB\nCached: 5 kB\nShmem: 6 kB\n"));
  EXPECT_EQ(shared.states[3], State::implausible);
}

TEST(ParseMeminfo, AnUnreadablePartIsNotTakenForUsed) {
  const MemoryText memory = parse_meminfo("MemTotal: 1000 kB\nMemFree: 100 kB\nCached: 30O kB\n");
  EXPECT_EQ(memory.malformed, 1u);
  EXPECT_EQ(memory_use(memory).states[0], State::error);
  EXPECT_EQ(parse_meminfo("MemTotal: 1000 MB\n").malformed, 1u);
  EXPECT_EQ(parse_meminfo("MemTotal: 18446744073709551615 kB\n").malformed, 1u);  // would overflow as bytes
}

TEST(ParseVmstat, TakesItsFourLines) {
  const VmstatText vmstat = parse_vmstat("pgpgin 9\npswpin 1\npswpout 2\npgfault 30\npgmajfault 4\npgfault_x 7\n");
  EXPECT_EQ(vmstat.swapped_in, 1u);
  EXPECT_EQ(vmstat.swapped_out, 2u);
  EXPECT_EQ(vmstat.faults, 30u);
  EXPECT_EQ(vmstat.major_faults, 4u);
  EXPECT_EQ(parse_vmstat("pgfault -3\n").malformed, 1u);
}

TEST(ParseLoadAndUptime, NothingButFiniteNumbers) {
  ASSERT_TRUE(parse_loadavg("0.50 1.25 3.00 1/80 11206\n"));
  EXPECT_EQ((*parse_loadavg("0.50 1.25 3.00 1/80 11206\n"))[1], 1.25);
  for (const char* text : {"", "1 2", "nan 1 1", "inf 1 1", "-1 1 1", "1,5 1 1"}) EXPECT_FALSE(parse_loadavg(text));
  EXPECT_EQ(parse_uptime("12.34 5.0\n"), 12.34);
  EXPECT_FALSE(parse_uptime("nan"));
}

TEST(ParsePressure, TotalsPerScope) {
  const PressureText pressure = parse_pressure("some avg10=0.1 avg60=0 avg300=0 total=123\nfull avg10=0 total=45\n");
  EXPECT_EQ(pressure.some, 123u);
  EXPECT_EQ(pressure.full, 45u);
  const PressureText broken = parse_pressure("some avg10=0.1\nfull total=x\nodd total=1\n");
  EXPECT_FALSE(broken.some || broken.full);
  EXPECT_EQ(broken.malformed, 3u);
}

TEST(ParseDisk, NewAndOldFormats) {
  DiskLine disk;
  ASSERT_EQ(parse_disk_line(" 259 0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", disk), Line::ok);
  EXPECT_EQ(disk.name, "nvme0n1");
  EXPECT_EQ(disk.reads, 1u);
  EXPECT_EQ(disk.read_sectors, 3u);
  EXPECT_EQ(disk.read_ms, 4u);
  EXPECT_EQ(disk.writes, 5u);
  EXPECT_EQ(disk.write_sectors, 7u);
  EXPECT_EQ(disk.write_ms, 8u);
  EXPECT_EQ(disk.io_ms, 10u);
  EXPECT_TRUE(disk.times);
  ASSERT_EQ(parse_disk_line("3 1 hda1 1 8 2 16", disk), Line::ok);
  EXPECT_EQ(disk.write_sectors, 16u);
  EXPECT_FALSE(disk.times);
}

TEST(ParseDisk, BrokenLinesKeepTheNameWhereThereIsOne) {
  DiskLine disk;
  EXPECT_EQ(parse_disk_line("", disk), Line::skip);
  EXPECT_EQ(parse_disk_line("8 0 sda 1 2 3", disk), Line::malformed);
  EXPECT_EQ(disk.name, "sda");
  EXPECT_EQ(parse_disk_line("8 0 sda 1 2 3 4 5 x 7 8 9 10 11", disk), Line::malformed);
  EXPECT_EQ(parse_disk_line("x y sda 1 2 3 4", disk), Line::malformed);
  EXPECT_EQ(disk.name, "");
  EXPECT_EQ(parse_disk_line("8 0", disk), Line::malformed);
}

TEST(ParseDisk, ClassesAndPartitions) {
  for (const char* name : {"sda", "nvme0n1", "md0", "dm-3", "vda", "xvda", "mmcblk0", "cciss/c0d0", "ramdisk", "loopy"})
    EXPECT_EQ(classify_disk(name), DiskClass::disk) << name;
  for (const char* name : {"zram0", "nbd12", "sr0", "fd0"})
    EXPECT_EQ(classify_disk(name), DiskClass::when_in_use) << name;
  for (const char* name : {"loop0", "loop0p1", "ram15", "nvme0c1n1"})
    EXPECT_EQ(classify_disk(name), DiskClass::never) << name;
  for (const char* name : {"sda1", "vda15", "nvme0n1p2", "mmcblk0p1", "md0p1", "hda3"})
    EXPECT_TRUE(looks_like_partition(name)) << name;
  for (const char* name : {"sda", "nvme0n1", "md0", "dm-3", "mmcblk0", "cciss/c0d0", "0", "", "p1"})
    EXPECT_FALSE(looks_like_partition(name)) << name;
}

TEST(ParseInterface, ColumnsAndGluedNumbers) {
  InterfaceLine line;
  ASSERT_EQ(parse_interface_line("  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", line), Line::ok);
  EXPECT_EQ(line.name, "eth0");
  EXPECT_EQ(line.receive.bytes, 1u);
  EXPECT_EQ(line.receive.errors, 3u);
  EXPECT_EQ(line.receive.dropped, 4u);
  EXPECT_EQ(line.transmit.bytes, 9u);
  EXPECT_EQ(line.transmit.packets, 10u);
  EXPECT_EQ(line.transmit.errors, 11u);
  EXPECT_EQ(line.transmit.dropped, 12u);
  EXPECT_EQ(parse_interface_line(" face |bytes    packets errs", line), Line::skip);
  EXPECT_EQ(parse_interface_line("eth0 1 2", line), Line::malformed);
  EXPECT_EQ(parse_interface_line("eth0: 1 2 3 4 5 6 7 8", line), Line::malformed);
  EXPECT_EQ(line.name, "eth0");
  EXPECT_EQ(parse_interface_line(": 1 2", line), Line::malformed);
}

TEST(ParseMounts, EscapesAndClasses) {
  MountLine mount;
  ASSERT_EQ(parse_mount_line("/dev/sda1 /a\\040b ext4 rw 0 0", mount), Line::ok);
  EXPECT_EQ(decode_mount(mount.mount_point), "/a b");
  EXPECT_EQ(encode_mount("/a b\\c\n#"), "/a\\040b\\134c\\012\\043");
  EXPECT_EQ(decode_mount(encode_mount("/a b\\c\n#\t")), "/a b\\c\n#\t");
  EXPECT_EQ(decode_mount("/x\\04"), "/x\\04");
  EXPECT_EQ(decode_mount("/x\\999\\000\\777"), "/x\\999\\000\\777");  // no octal, NUL, more than a byte
  EXPECT_EQ(parse_mount_line("/dev/sda1 relative ext4", mount), Line::malformed);
  EXPECT_EQ(parse_mount_line("/dev/sda1", mount), Line::malformed);
  EXPECT_EQ(parse_mount_line("", mount), Line::skip);
  EXPECT_EQ(classify_mount("xfs"), MountClass::block);
  EXPECT_EQ(classify_mount("tmpfs"), MountClass::harmless);
  for (const char* type : {"nfs", "nfs4", "cifs", "fuse.sshfs", "lustre", "autofs", "9p", "ceph", "something-new", ""})
    EXPECT_EQ(classify_mount(type), MountClass::may_hang) << type;
  EXPECT_TRUE(lies_within("/home/x", "/home"));
  EXPECT_TRUE(lies_within("/home", "/home"));
  EXPECT_TRUE(lies_within("/home", "/"));
  EXPECT_FALSE(lies_within("/homes", "/home"));
}

TEST(ParseCpuModel, WordsAndArmNumbers) {
  EXPECT_EQ(parse_cpu_model("processor\t: 0\nmodel\t\t: 1\nmodel name\t: Some CPU @ 3 GHz\n"), "Some CPU @ 3 GHz");
  EXPECT_EQ(parse_cpu_model("CPU implementer\t: 0x41\nCPU part\t: 0xd4f\n"), "Arm Neoverse V2");
  EXPECT_EQ(parse_cpu_model("CPU implementer\t: 0x48\nCPU part\t: 0xd01\n"), "implementer 0x48 part 0xd01");
  EXPECT_EQ(parse_cpu_model("processor: 0\n"), "");
  EXPECT_EQ(parse_cpu_model("model name\t: a\x1b[31mb\n"), "a?[31mb");
}

}  // namespace
}  // namespace accelmon::host
