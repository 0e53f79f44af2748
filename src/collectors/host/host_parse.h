// The texts of /proc as structures: pure functions, no files, no allocation (but for those that return a string).
//
// Every text is taken as hostile. A line that breaks its format is left out and counted in `malformed`; a value that is
// not there is an empty optional, never a zero. Numbers are the kernel's own (ticks, kB made bytes, sectors,
// milliseconds): the collector makes SI units of them.
// Threads: no state. Cost: one pass over the text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/frame.h"

namespace accelmon::host {

enum class Line : uint8_t { ok, skip, malformed };

// ---- /proc/stat ----

inline constexpr size_t kCpuColumns = 10;  // user nice system idle iowait irq softirq steal guest guest_nice

struct CpuTicks {
  std::array<uint64_t, kCpuColumns> column{};
  uint32_t columns = 0;  // how many the kernel gave; 0: no usable "cpu" line
};

struct StatText {
  CpuTicks all;
  uint32_t cpus = 0;  // "cpuN" lines: the processors that are online
  std::optional<uint64_t> created;
  std::optional<uint64_t> running;
  std::optional<uint64_t> blocked;
  uint32_t malformed = 0;
};
StatText parse_stat(std::string_view text);

// The modes of cpu.mode in the order of the columns. The kernel counts the time of guests within user and nice as well;
// here it is taken out of both and stands alone, so that the modes add up to the whole and nothing counts twice.
inline constexpr size_t kCpuModes = 9;
inline constexpr std::array<std::string_view, kCpuModes> kCpuModeNames{
    "user", "nice", "system", "idle", "iowait", "interrupt", "softirq", "steal", "guest"};
struct CpuModes {
  std::array<uint64_t, kCpuModes> ticks{};
  uint32_t modes = 0;  // how many of them the kernel tells: a prefix of kCpuModeNames
};
CpuModes cpu_modes(const CpuTicks& ticks);

// ---- /proc/meminfo ----

struct MemoryText {  // bytes
  std::optional<uint64_t> total, free, available, buffers, cached, shmem, slab_reclaimable, swap_total, swap_free;
  uint32_t malformed = 0;
};
MemoryText parse_meminfo(std::string_view text);

// The states of system.memory.state. They are disjoint and add up to MemTotal:
//   free              MemFree
//   buffers           Buffers
//   shared            Shmem: tmpfs and shared memory, which the kernel counts within Cached but cannot give back
//   cached            Cached - Shmem: page cache of files
//   slab_reclaimable  SReclaimable: kernel caches that it can give back
//   used              MemTotal - MemFree - Buffers - Cached - SReclaimable: programs, and the kernel's own
// What an old kernel does not tell (Shmem before 2.6.32, SReclaimable before 2.6.19) stays within `cached` or `used`
// and has no state of its own. Where the numbers contradict each other the state is `implausible`; where a line could
// not be read, `used` is an `error`, since the rest would be too much.
inline constexpr size_t kMemoryStates = 6;
inline constexpr std::array<std::string_view, kMemoryStates> kMemoryStateNames{"used",   "free",   "buffers",
                                                                               "cached", "shared", "slab_reclaimable"};
struct MemoryUse {
  std::array<uint64_t, kMemoryStates> bytes{};
  std::array<State, kMemoryStates> states{};  // ok, unsupported (the kernel does not tell), implausible, error
};
MemoryUse memory_use(const MemoryText& text);

// ---- /proc/vmstat, loadavg, uptime, pressure/* ----

struct VmstatText {
  std::optional<uint64_t> swapped_in, swapped_out;  // pages
  std::optional<uint64_t> faults, major_faults;     // `faults` contains the major ones
  uint32_t malformed = 0;
};
VmstatText parse_vmstat(std::string_view text);

std::optional<std::array<double, 3>> parse_loadavg(std::string_view text);
std::optional<double> parse_uptime(std::string_view text);

struct PressureText {
  std::optional<uint64_t> some, full;  // microseconds
  uint32_t malformed = 0;
};
PressureText parse_pressure(std::string_view text);

// ---- /proc/diskstats, line by line ----

struct DiskLine {
  std::string_view name;  // set as soon as the line has one, even where its numbers are malformed
  uint64_t reads = 0, read_sectors = 0, writes = 0, write_sectors = 0;
  bool times = false;  // false: a short line of an old kernel, without the three below
  uint64_t read_ms = 0, write_ms = 0, io_ms = 0;
};
Line parse_disk_line(std::string_view line, DiskLine& out);

enum class DiskClass : uint8_t {
  disk,         // shown
  when_in_use,  // shown once it has done I/O: zram, nbd, optical and floppy drives that stand idle by the dozen
  never,        // loop and ram devices; the hidden paths of NVMe multipath, which their head device sums up
};
DiskClass classify_disk(std::string_view name);
// By its name alone, for hosts that hide /sys/block: sda1, nvme0n1p2, mmcblk0p1, md0p1.
bool looks_like_partition(std::string_view name);

// ---- /proc/net/dev, line by line ----

struct InterfaceLine {
  std::string_view name;
  struct Direction {
    uint64_t bytes = 0, packets = 0, errors = 0, dropped = 0;
  };
  Direction receive, transmit;
};
Line parse_interface_line(std::string_view line, InterfaceLine& out);

// ---- /proc/*/mounts, line by line ----

struct MountLine {  // as the file has it: blanks are octal escapes
  std::string_view source, mount_point, type;
};
Line parse_mount_line(std::string_view line, MountLine& out);
// "\040" and its like become the character. A backslash that begins no such escape, or the escape of NUL, stays.
std::string decode_mount(std::string_view text);
std::string encode_mount(std::string_view text);  // the other way, as the kernel writes it

enum class MountClass : uint8_t {
  block,     // a file system on a local block device: shown
  overlay,   // of a container: shown where it is the root, since it tells of the disk beneath
  harmless,  // no disk of its own (tmpfs, proc), but asking beneath it cannot hang
  may_hang,  // network, user-space and unknown file systems: never asked, nor anything that lies beneath them
};
MountClass classify_mount(std::string_view type);
// Whether `path` lies beneath (or is) `directory`.
bool lies_within(std::string_view path, std::string_view directory);

// ---- /proc/cpuinfo ----

// The model of the first processor; for Arm, which has none in words, its core's name or its part number. Empty:
// unknown.
std::string parse_cpu_model(std::string_view text);

}  // namespace accelmon::host
