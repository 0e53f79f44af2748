// The sections that read tables whose rows come and go: disks and network interfaces.
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "collectors/host/host_parse.h"
#include "collectors/host/host_section.h"

namespace accelmon::host {
namespace {

constexpr double kSectorBytes = 512;  // the unit of /proc/diskstats, whatever the disk's own sectors are
constexpr size_t kMostDisks = 512;
constexpr size_t kMostInterfaces = 256;

std::string left_out(size_t count, std::string_view what, size_t limit) {
  return "only the first " + std::to_string(limit) + " " + std::string(what) + " are read; " + std::to_string(count) +
         " more are left out";
}

// /proc/diskstats: whole disks, that is what has a folder in /sys/block. Milliseconds are 32 bits wide in the kernel
// and begin again at zero after 49.7 days of I/O, which looks, and is treated, like any restart of a counter.
class DiskSection : public FileSection {
 public:
  explicit DiskSection(HostFiles& files)
      : FileSection(
            files, "diskstats", Tier::fast,
            {MetricId::disk_io, MetricId::disk_operations, MetricId::disk_io_time, MetricId::disk_operation_time}),
        sys_block_(files.calls().add("/sys/block")) {}

 private:
  enum class Role : uint8_t { shown, waits_for_use, ignored };
  struct Disk {
    Role role = Role::ignored;
    bool times = false;
    size_t first = 0;  // its series: io r/w, operations r/w and, with times, io_time, operation_time r/w
  };

  Status build_from(std::string_view text, CatalogBuilder& out) override {
    names_.clear();
    disks_.clear();
    size_t shown = 0, beyond = 0;
    const bool have_sysfs = exists(files_.sysfs() + "/block");
    while (!text.empty()) {
      DiskLine line;
      const Line result = parse_disk_line(next_line(text), line);
      if (result == Line::malformed) files_.count_malformed(1);
      if (result != Line::ok || names_.full() || names_.contains(line.name)) continue;
      const DiskClass kind = classify_disk(line.name);
      if (kind == DiskClass::never) continue;  // not even watched: loop devices come and go
      Disk disk;
      if (whole(line.name, have_sysfs) && line.name.size() <= kMaxTextBytes) {
        const bool used = line.reads > 0 || line.writes > 0;
        if (kind == DiskClass::when_in_use && !used)
          disk.role = Role::waits_for_use;
        else if (shown >= kMostDisks)
          ++beyond;
        else
          disk = show(line, out), ++shown;
      }
      names_.add(line.name);
      disks_.push_back(disk);
    }
    const auto absent = [&](const std::string& reason) {
      for (const MetricId metric :
           {MetricId::disk_io, MetricId::disk_operations, MetricId::disk_io_time, MetricId::disk_operation_time})
        out.absent(metric, -1, State::unsupported, reason);
    };
    if (shown == 0) absent("/proc/diskstats lists no disk");
    if (beyond > 0) absent(left_out(beyond, "disks", kMostDisks));
    out.fact("disks", std::to_string(shown));
    return {};
  }

  Disk show(const DiskLine& line, CatalogBuilder& out) {
    const Attribute device{AttributeId::system_device, std::string(line.name)};
    const Attribute read{AttributeId::disk_direction, "read"}, write{AttributeId::disk_direction, "write"};
    Disk disk{Role::shown, line.times, 0};
    disk.first = static_cast<size_t>(add(out, MetricId::disk_io, {device, read}));
    add(out, MetricId::disk_io, {device, write});
    add(out, MetricId::disk_operations, {device, read});
    add(out, MetricId::disk_operations, {device, write});
    if (!line.times) return disk;
    add(out, MetricId::disk_io_time, {device});
    add(out, MetricId::disk_operation_time, {device, read});
    add(out, MetricId::disk_operation_time, {device, write});
    return disk;
  }

  bool exists(const std::string& path) {
    struct ::stat unused {};
    return files_.calls().measure(sys_block_, [&] { return ::stat(path.c_str(), &unused) == 0; });
  }

  bool whole(std::string_view name, bool have_sysfs) {
    if (!have_sysfs) return !looks_like_partition(name);
    std::string folder(name);
    std::replace(folder.begin(), folder.end(), '/', '!');  // as sysfs writes cciss/c0d0
    if (folder == "." || folder == "..") return false;
    return exists(files_.sysfs() + "/block/" + folder);
  }

  Status fill_from(std::string_view text, Frame& frame, bool& changed) override {
    names_.begin_poll();
    while (!text.empty()) {
      DiskLine line;
      const Line result = parse_disk_line(next_line(text), line);
      if (result == Line::malformed) files_.count_malformed(1);
      if (result == Line::skip || line.name.empty()) continue;
      const int known = names_.see(line.name);
      if (known < 0) {
        if (result == Line::ok && !names_.full() && classify_disk(line.name) != DiskClass::never) changed = true;
        continue;
      }
      const Disk& disk = disks_[static_cast<size_t>(known)];
      if (disk.role == Role::waits_for_use && result == Line::ok && (line.reads > 0 || line.writes > 0)) changed = true;
      if (disk.role != Role::shown) continue;
      if (result == Line::ok && line.times == disk.times)
        fill_disk(disk, line, frame);
      else
        put_all(disk, State::error, frame);
    }
    for (size_t i = 0; i < disks_.size(); ++i) {
      if (names_.seen(i)) continue;
      changed = true;
      if (disks_[i].role == Role::shown) put_all(disks_[i], State::stale, frame);
    }
    return {};
  }

  static void fill_disk(const Disk& disk, const DiskLine& line, Frame& frame) {
    size_t at = disk.first;
    frame.set(at++, static_cast<double>(line.read_sectors) * kSectorBytes);
    frame.set(at++, static_cast<double>(line.write_sectors) * kSectorBytes);
    frame.set(at++, static_cast<double>(line.reads));
    frame.set(at++, static_cast<double>(line.writes));
    if (!disk.times) return;
    frame.set(at++, static_cast<double>(line.io_ms) / 1e3);
    frame.set(at++, static_cast<double>(line.read_ms) / 1e3);
    frame.set(at++, static_cast<double>(line.write_ms) / 1e3);
  }

  static void put_all(const Disk& disk, State state, Frame& frame) {
    for (size_t i = 0; i < (disk.times ? 7u : 4u); ++i) frame.absent(disk.first + i, state);
  }

  CallId sys_block_;
  NameTable names_;
  std::vector<Disk> disks_;
};

// /proc/net/dev: every interface but the loopback and those that `network_exclude` names by their beginning.
class NetworkSection : public FileSection {
 public:
  explicit NetworkSection(HostFiles& files)
      : FileSection(
            files, "net/dev", Tier::fast,
            {MetricId::network_io, MetricId::network_packets, MetricId::network_dropped, MetricId::network_errors}) {}

 private:
  static constexpr size_t kSeries = 8;
  static constexpr size_t kIgnored = static_cast<size_t>(-1);

  // What the loopback carries never leaves the host.
  bool excluded(std::string_view name) const {
    if (name == "lo") return true;
    const auto& list = files_.network_exclude();
    return std::any_of(list.begin(), list.end(), [&](const std::string& prefix) { return name.starts_with(prefix); });
  }

  Status build_from(std::string_view text, CatalogBuilder& out) override {
    names_.clear();
    first_.clear();
    size_t shown = 0, beyond = 0, excluded_count = 0;
    while (!text.empty()) {
      InterfaceLine line;
      const Line result = parse_interface_line(next_line(text), line);
      if (result == Line::malformed) files_.count_malformed(1);
      if (result != Line::ok || names_.full() || names_.contains(line.name)) continue;
      if (excluded(line.name)) {
        ++excluded_count;
        continue;
      }
      size_t first = kIgnored;
      if (shown >= kMostInterfaces || line.name.size() > kMaxTextBytes)
        ++beyond;
      else
        first = show(line.name, out), ++shown;
      names_.add(line.name);
      first_.push_back(first);
    }
    const auto absent = [&](const std::string& reason) {
      for (const MetricId metric :
           {MetricId::network_io, MetricId::network_packets, MetricId::network_dropped, MetricId::network_errors})
        out.absent(metric, -1, State::unsupported, reason);
    };
    if (shown == 0)
      absent("/proc/net/dev lists no interface but the loopback and those that network_exclude leaves out");
    if (beyond > 0) absent(left_out(beyond, "interfaces", kMostInterfaces));
    std::string interfaces = std::to_string(shown);
    if (excluded_count > 0) interfaces += " (" + std::to_string(excluded_count) + " left out)";
    out.fact("network interfaces", interfaces);
    return {};
  }

  size_t show(std::string_view name, CatalogBuilder& out) {
    const Attribute interface { AttributeId::interface, std::string(name) };
    size_t first = kIgnored;
    for (const MetricId metric :
         {MetricId::network_io, MetricId::network_packets, MetricId::network_dropped, MetricId::network_errors})
      for (const char* direction : {"receive", "transmit"}) {
        const int series = add(out, metric, {interface, Attribute{AttributeId::io_direction, direction}});
        if (first == kIgnored) first = static_cast<size_t>(series);
      }
    return first;
  }

  Status fill_from(std::string_view text, Frame& frame, bool& changed) override {
    names_.begin_poll();
    while (!text.empty()) {
      InterfaceLine line;
      const Line result = parse_interface_line(next_line(text), line);
      if (result == Line::malformed) files_.count_malformed(1);
      if (result == Line::skip || line.name.empty()) continue;
      const int known = names_.see(line.name);
      if (known < 0) {
        if (result == Line::ok && !names_.full() && !excluded(line.name)) changed = true;
        continue;
      }
      const size_t first = first_[static_cast<size_t>(known)];
      if (first == kIgnored) continue;
      if (result == Line::ok)
        fill_interface(first, line, frame);
      else
        put_all(first, State::error, frame);
    }
    for (size_t i = 0; i < first_.size(); ++i) {
      if (names_.seen(i)) continue;
      changed = true;
      if (first_[i] != kIgnored) put_all(first_[i], State::stale, frame);
    }
    return {};
  }

  static void fill_interface(size_t at, const InterfaceLine& line, Frame& frame) {
    using Direction = InterfaceLine::Direction;
    for (const auto field : {&Direction::bytes, &Direction::packets, &Direction::dropped, &Direction::errors}) {
      frame.set(at++, static_cast<double>(line.receive.*field));
      frame.set(at++, static_cast<double>(line.transmit.*field));
    }
  }

  static void put_all(size_t first, State state, Frame& frame) {
    for (size_t i = 0; i < kSeries; ++i) frame.absent(first + i, state);
  }

  NameTable names_;
  std::vector<size_t> first_;  // the first of its kSeries series; kIgnored: watched, not shown
};

}  // namespace

std::unique_ptr<Section> make_disk_section(HostFiles& files) {
  return std::make_unique<DiskSection>(files);
}
std::unique_ptr<Section> make_network_section(HostFiles& files) {
  return std::make_unique<NetworkSection>(files);
}

}  // namespace accelmon::host
