#include "collectors/host/host_parse.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "base/text.h"

namespace accelmon::host {
namespace {

bool digit(char c) {
  return c >= '0' && c <= '9';
}

// Reads the next word as a number into `out`.
bool next_number(std::string_view& rest, uint64_t& out) {
  const std::optional<uint64_t> number = parse_u64(next_word(rest));
  if (!number) return false;
  out = *number;
  return true;
}

// "key value": the value goes to `out` when the line's first word is `key`. Returns whether it is.
bool take(std::string_view word, std::string_view key, std::string_view rest, std::optional<uint64_t>& out,
          uint32_t& malformed) {
  if (word != key) return false;
  const std::optional<uint64_t> value = parse_u64(next_word(rest));
  if (value)
    out = value;
  else
    ++malformed;
  return true;
}

std::optional<double> finite(std::string_view word) {
  const std::optional<double> value = parse_double(word);
  if (!value || !std::isfinite(*value) || *value < 0) return std::nullopt;
  return value;
}

bool one_of(std::string_view word, const std::string_view* begin, const std::string_view* end) {
  return std::find(begin, end, word) != end;
}

// Moves past `prefix` and the digits after it; false when there is no such prefix or no digit.
bool skip_numbered(std::string_view& rest, std::string_view prefix) {
  if (!rest.starts_with(prefix)) return false;
  rest.remove_prefix(prefix.size());
  size_t digits = 0;
  while (digits < rest.size() && digit(rest[digits])) ++digits;
  rest.remove_prefix(digits);
  return digits > 0;
}

}  // namespace

// ---- /proc/stat ----

StatText parse_stat(std::string_view text) {
  StatText out;
  while (!text.empty()) {
    std::string_view line = next_line(text);
    if (line.starts_with("cpu")) {
      line.remove_prefix(3);
      if (!line.empty() && digit(line.front())) {
        ++out.cpus;
        continue;
      }
      if (line.empty() || line.front() != ' ') continue;
      CpuTicks ticks;
      bool good = true;
      while (ticks.columns < kCpuColumns) {
        const std::string_view word = next_word(line);
        if (word.empty()) break;
        const std::optional<uint64_t> number = parse_u64(word);
        if (!number) {
          good = false;
          break;
        }
        ticks.column[ticks.columns++] = *number;
      }
      if (good && ticks.columns >= 4)
        out.all = ticks;
      else
        ++out.malformed;
      continue;
    }
    // "intr" is the longest line by far and of no use: what does not begin with p is not even split.
    if (line.empty() || line.front() != 'p') continue;
    const std::string_view word = next_word(line);
    if (take(word, "processes", line, out.created, out.malformed)) continue;
    if (take(word, "procs_running", line, out.running, out.malformed)) continue;
    take(word, "procs_blocked", line, out.blocked, out.malformed);
  }
  return out;
}

CpuModes cpu_modes(const CpuTicks& ticks) {
  CpuModes out;
  out.modes = std::min<uint32_t>(ticks.columns, kCpuModes);
  for (size_t i = 0; i + 1 < kCpuModes; ++i) out.ticks[i] = ticks.column[i];
  // The kernel does not read the columns in one instant: guest may be a tick ahead of the user that contains it.
  const uint64_t guest = std::min(ticks.column[8], ticks.column[0]);
  const uint64_t guest_nice = std::min(ticks.column[9], ticks.column[1]);
  out.ticks[0] -= guest;
  out.ticks[1] -= guest_nice;
  out.ticks[8] = guest > std::numeric_limits<uint64_t>::max() - guest_nice ? guest : guest + guest_nice;
  return out;
}

// ---- /proc/meminfo ----

MemoryText parse_meminfo(std::string_view text) {
  MemoryText out;
  struct Wanted {
    std::string_view key;
    std::optional<uint64_t> MemoryText::*field;
  };
  static constexpr Wanted kWanted[] = {
      {"MemTotal", &MemoryText::total},
      {"MemFree", &MemoryText::free},
      {"MemAvailable", &MemoryText::available},
      {"Buffers", &MemoryText::buffers},
      {"Cached", &MemoryText::cached},
      {"Shmem", &MemoryText::shmem},
      {"SwapTotal", &MemoryText::swap_total},
      {"SwapFree", &MemoryText::swap_free},
      {"SReclaimable", &MemoryText::slab_reclaimable},
  };
  while (!text.empty()) {
    std::string_view line = next_line(text);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, colon);
    for (const Wanted& wanted : kWanted) {
      if (key != wanted.key) continue;
      line.remove_prefix(colon + 1);
      const std::optional<uint64_t> value = parse_u64(next_word(line));
      if (value && next_word(line) == "kB" && *value <= std::numeric_limits<uint64_t>::max() / 1024)
        out.*wanted.field = *value * 1024;
      else
        ++out.malformed;
      break;
    }
  }
  return out;
}

MemoryUse memory_use(const MemoryText& text) {
  enum { kUsed, kFree, kBuffers, kCached, kShared, kSlab };
  MemoryUse out;
  out.states.fill(State::unsupported);
  const auto give = [&](size_t i, uint64_t bytes) {
    out.bytes[i] = bytes;
    out.states[i] = State::ok;
  };
  if (text.free) give(kFree, *text.free);
  if (text.buffers) give(kBuffers, *text.buffers);
  if (text.slab_reclaimable) give(kSlab, *text.slab_reclaimable);
  if (text.cached) {
    if (text.shmem) give(kShared, *text.shmem);
    const uint64_t shared = text.shmem.value_or(0);
    if (shared <= *text.cached)
      give(kCached, *text.cached - shared);
    else
      out.states[kCached] = State::implausible;
  }
  if (text.malformed > 0) {
    out.states[kUsed] = State::error;  // a part that could not be read would be taken for used
  } else if (text.total && text.free) {
    uint64_t left = *text.total;
    bool fits = true;
    for (const std::optional<uint64_t>& part : {text.free, text.buffers, text.cached, text.slab_reclaimable}) {
      if (part.value_or(0) > left) {
        fits = false;
        break;
      }
      left -= part.value_or(0);
    }
    if (fits)
      give(kUsed, left);
    else
      out.states[kUsed] = State::implausible;
  }
  return out;
}

// ---- /proc/vmstat, loadavg, uptime, pressure/* ----

VmstatText parse_vmstat(std::string_view text) {
  VmstatText out;
  while (!text.empty()) {
    std::string_view line = next_line(text);
    if (line.empty() || line.front() != 'p') continue;
    const std::string_view word = next_word(line);
    if (take(word, "pgfault", line, out.faults, out.malformed)) continue;
    if (take(word, "pgmajfault", line, out.major_faults, out.malformed)) continue;
    if (take(word, "pswpin", line, out.swapped_in, out.malformed)) continue;
    take(word, "pswpout", line, out.swapped_out, out.malformed);
  }
  return out;
}

std::optional<std::array<double, 3>> parse_loadavg(std::string_view text) {
  std::array<double, 3> out{};
  for (double& load : out) {
    const std::optional<double> value = finite(next_word(text));
    if (!value) return std::nullopt;
    load = *value;
  }
  return out;
}

std::optional<double> parse_uptime(std::string_view text) {
  return finite(next_word(text));
}

PressureText parse_pressure(std::string_view text) {
  PressureText out;
  while (!text.empty()) {
    std::string_view line = next_line(text);
    const std::string_view scope = next_word(line);
    if (scope != "some" && scope != "full") {
      if (!scope.empty()) ++out.malformed;
      continue;
    }
    std::optional<uint64_t> total;
    for (std::string_view word = next_word(line); !word.empty(); word = next_word(line))
      if (word.starts_with("total=")) total = parse_u64(word.substr(6));
    if (!total)
      ++out.malformed;
    else
      (scope == "some" ? out.some : out.full) = total;
  }
  return out;
}

// ---- /proc/diskstats ----

Line parse_disk_line(std::string_view line, DiskLine& out) {
  out = DiskLine{};
  const std::string_view major = next_word(line);
  if (major.empty()) return Line::skip;
  const std::string_view minor = next_word(line);
  out.name = next_word(line);
  if (!parse_u64(major) || !parse_u64(minor)) {
    out.name = {};
    return Line::malformed;
  }
  if (out.name.empty()) return Line::malformed;
  // 11 numbers and more: reads, merged, sectors, ms, the same for writes, in flight, I/O ms, weighted ms, discards ...
  // 4 numbers: a partition before Linux 2.6.25: reads, sectors, writes, sectors.
  std::array<uint64_t, 11> number{};
  size_t count = 0;
  while (count < number.size()) {
    const std::string_view word = next_word(line);
    if (word.empty()) break;
    const std::optional<uint64_t> value = parse_u64(word);
    if (!value) return Line::malformed;
    number[count++] = *value;
  }
  if (count == number.size()) {
    out.reads = number[0];
    out.read_sectors = number[2];
    out.read_ms = number[3];
    out.writes = number[4];
    out.write_sectors = number[6];
    out.write_ms = number[7];
    out.io_ms = number[9];
    out.times = true;
    return Line::ok;
  }
  if (count == 4) {
    out.reads = number[0];
    out.read_sectors = number[1];
    out.writes = number[2];
    out.write_sectors = number[3];
    return Line::ok;
  }
  return Line::malformed;
}

DiskClass classify_disk(std::string_view name) {
  std::string_view rest = name;
  if (skip_numbered(rest, "loop") || (rest = name, skip_numbered(rest, "ram"))) return DiskClass::never;
  rest = name;
  if (skip_numbered(rest, "nvme") && skip_numbered(rest, "c") && skip_numbered(rest, "n")) return DiskClass::never;
  for (const std::string_view prefix : {"zram", "nbd", "sr", "fd"}) {
    rest = name;
    if (skip_numbered(rest, prefix) && rest.empty()) return DiskClass::when_in_use;
  }
  return DiskClass::disk;
}

bool looks_like_partition(std::string_view name) {
  std::string_view stem = name;
  while (!stem.empty() && digit(stem.back())) stem.remove_suffix(1);
  if (stem.size() == name.size() || stem.empty()) return false;
  if (stem.back() == 'p' && stem.size() >= 2 && digit(stem[stem.size() - 2])) return true;
  for (const std::string_view prefix : {"sd", "hd", "vd", "xvd"})
    if (stem.starts_with(prefix) && stem.size() > prefix.size()) return true;
  return false;
}

// ---- /proc/net/dev ----

Line parse_interface_line(std::string_view line, InterfaceLine& out) {
  out = InterfaceLine{};
  if (trim(line).empty() || line.find('|') != std::string_view::npos) return Line::skip;  // the two lines of headings
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return Line::malformed;
  out.name = trim(line.substr(0, colon));
  line.remove_prefix(colon + 1);
  if (out.name.empty() || out.name.find(' ') != std::string_view::npos) {
    out.name = {};
    return Line::malformed;
  }
  // bytes packets errs drop fifo frame compressed multicast, then the same eight of the other direction
  for (InterfaceLine::Direction* side : {&out.receive, &out.transmit}) {
    uint64_t unused = 0;
    if (!next_number(line, side->bytes) || !next_number(line, side->packets) || !next_number(line, side->errors) ||
        !next_number(line, side->dropped))
      return Line::malformed;
    if (side == &out.receive)
      for (int i = 0; i < 4; ++i)
        if (!next_number(line, unused)) return Line::malformed;
  }
  return Line::ok;
}

// ---- /proc/*/mounts ----

Line parse_mount_line(std::string_view line, MountLine& out) {
  out = MountLine{};
  out.source = next_word(line);
  if (out.source.empty()) return Line::skip;
  out.mount_point = next_word(line);
  out.type = next_word(line);
  return out.mount_point.starts_with('/') && !out.type.empty() ? Line::ok : Line::malformed;
}

std::string decode_mount(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && text.size() - i >= 4) {
      unsigned value = 0;
      bool octal = true;
      for (size_t k = i + 1; k <= i + 3; ++k) {
        octal = octal && text[k] >= '0' && text[k] <= '7';
        value = value * 8 + static_cast<unsigned>(text[k] - '0');
      }
      if (octal && value > 0 && value < 256) {
        out += static_cast<char>(value);
        i += 3;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

std::string encode_mount(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\n' && c != '\\' && c != '#') {
      out += c;
      continue;
    }
    const auto value = static_cast<unsigned char>(c);
    out += '\\';
    for (const int shift : {6, 3, 0}) out += static_cast<char>('0' + ((value >> shift) & 7));
  }
  return out;
}

MountClass classify_mount(std::string_view type) {
  static constexpr std::string_view kBlock[] = {"ext4",   "xfs",     "btrfs", "ext3",     "ext2",  "f2fs",
                                                "vfat",   "exfat",   "zfs",   "ntfs",     "ntfs3", "bcachefs",
                                                "nilfs2", "hfsplus", "jfs",   "reiserfs", "udf"};
  // Kernel-made, or read-only images that are always full.
  static constexpr std::string_view kHarmless[] = {
      "tmpfs",      "proc",      "sysfs",  "cgroup",   "cgroup2",     "devtmpfs",   "devpts",
      "mqueue",     "hugetlbfs", "nsfs",   "squashfs", "debugfs",     "bpf",        "tracefs",
      "securityfs", "configfs",  "pstore", "efivarfs", "ramfs",       "rootfs",     "selinuxfs",
      "erofs",      "iso9660",   "cramfs", "fusectl",  "binfmt_misc", "rpc_pipefs", "nfsd"};
  if (one_of(type, std::begin(kBlock), std::end(kBlock))) return MountClass::block;
  if (type == "overlay") return MountClass::overlay;
  if (one_of(type, std::begin(kHarmless), std::end(kHarmless))) return MountClass::harmless;
  return MountClass::may_hang;
}

bool lies_within(std::string_view path, std::string_view directory) {
  while (directory.ends_with('/')) directory.remove_suffix(1);
  if (!path.starts_with(directory)) return false;
  return path.size() == directory.size() || path[directory.size()] == '/';
}

// ---- /proc/cpuinfo ----

std::string parse_cpu_model(std::string_view text) {
  std::string_view model, implementer, part;
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view key = trim(line.substr(0, colon));
    const std::string_view value = trim(line.substr(colon + 1));
    if (value.empty()) continue;
    if (model.empty() && (key == "model name" || key == "cpu model" || key == "cpu")) model = value;
    if (implementer.empty() && key == "CPU implementer") implementer = value;
    if (part.empty() && key == "CPU part") part = value;
  }
  if (!model.empty()) return printable(model, 128);
  if (part.empty() || implementer.empty()) return {};
  struct Core {
    std::string_view part, name;
  };
  static constexpr Core kCores[] = {{"0xd0c", "Arm Neoverse N1"}, {"0xd40", "Arm Neoverse V1"},
                                    {"0xd49", "Arm Neoverse N2"}, {"0xd4f", "Arm Neoverse V2"},
                                    {"0xd84", "Arm Neoverse V3"}, {"0xd8e", "Arm Neoverse N3"}};
  if (implementer == "0x41")
    for (const Core& core : kCores)
      if (part == core.part) return std::string(core.name);
  return printable("implementer " + std::string(implementer) + " part " + std::string(part), 128);
}

}  // namespace accelmon::host
