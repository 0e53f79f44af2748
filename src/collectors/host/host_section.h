// The inside of the host collector: what its parts share. Nobody outside this folder includes it.
//
// The host is read in sections (cpu, memory, disks, ...), each with its file, its metrics and its range of series. A
// section that cannot be read at discovery becomes absences with a reason; the others go on.
// Threads: all of it belongs to the collector's thread.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "collectors/collector.h"

namespace accelmon::host {

// The calls into the system that are no reading of a file; tests put their own in their place.
struct HostSystem {
  int (*statvfs)(const char* path, struct ::statvfs* out);
  int (*stat)(const char* path, struct ::stat* out);
  int64_t ticks_per_second;  // USER_HZ: the unit of /proc/stat
};
HostSystem real_host_system();

// Roots, call meter and the one buffer into which every file is read.
class HostFiles {
 public:
  HostFiles(CollectorContext& context, const HostSystem& system);

  struct File {
    std::string path;  // where it lies
    std::string name;  // "/proc/stat", whatever the root is: stable across configurations
    CallId call = 0;
    KeptFile kept;
  };
  // `relative` is below the root: "stat", "net/dev".
  File proc(std::string_view relative);

  // Opens the file if it is not open, reads it whole. The text lives until the next read. A file longer than the buffer
  // makes it grow, up to kLargestFile.
  Result<std::string_view> read(File& file);
  // At most `limit` bytes from the start of a file that may be long and dear; not kept open.
  Result<std::string> read_start(const File& file, size_t limit);

  // Counts a failed read, unless the kernel only says that it has no such thing or that we may not.
  void count_failure(const Status& status);
  void count_malformed(uint64_t lines);

  CallMeter& calls() { return calls_; }
  const HostSystem& system() const { return system_; }
  const std::string& procfs() const { return procfs_; }
  const std::string& sysfs() const { return sysfs_; }
  const std::string& rootfs() const { return rootfs_; }  // empty: the process's own root
  const std::vector<std::string>& network_exclude() const { return network_exclude_; }

  static constexpr size_t kLargestFile = 1 << 20;

 private:
  CallMeter& calls_;
  HostSystem system_;
  std::string procfs_, sysfs_, rootfs_;
  std::vector<std::string> network_exclude_;
  std::vector<char> buffer_;
};

State state_of(Code code);
// "/proc/stat is not there: ..." in words that help; at most kMaxTextBytes. The path of the status is not repeated.
std::string reason_of(const HostFiles::File& file, const Status& status);

class Section {
 public:
  Section(HostFiles& files, Tier tier, std::initializer_list<MetricId> metrics)
      : files_(files), tier_(tier), metrics_(metrics) {}
  virtual ~Section() = default;
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

  // Adds series, or absences.
  void discover(Catalog& catalog);
  // Reads the series; returns whether what there is to read has changed, so that it must be discovered again.
  bool poll(Frame& frame);
  virtual void release() = 0;

  Tier tier() const { return tier_; }

 protected:
  // Adds series with `add`. An error becomes an absence of every metric of the section that got no series.
  virtual Status build(CatalogBuilder& out) = 0;
  // Fills the section's series. `changed` may be set. An error puts all of them into its state.
  virtual Status fill(Frame& frame, bool& changed) = 0;
  // Why the file may be missing, where more can be said than "a container may hide it".
  virtual std::string explain(const Status& status) = 0;

  int add(CatalogBuilder& out, MetricId metric, std::vector<Attribute> attributes = {}) {
    return out.add(metric, -1, tier_, std::move(attributes));
  }

  HostFiles& files_;
  Tier tier_;

 private:
  std::vector<MetricId> metrics_;
  size_t first_ = 0, end_ = 0;  // its range of series
  bool active_ = false;
};

// A section that reads one file.
class FileSection : public Section {
 public:
  FileSection(HostFiles& files, std::string_view relative, Tier tier, std::initializer_list<MetricId> metrics)
      : Section(files, tier, metrics), file_(files.proc(relative)) {}
  void release() override { file_.kept = KeptFile(); }

 protected:
  virtual Status build_from(std::string_view text, CatalogBuilder& out) = 0;
  virtual Status fill_from(std::string_view text, Frame& frame, bool& changed) = 0;

  Status build(CatalogBuilder& out) override;
  Status fill(Frame& frame, bool& changed) override;
  std::string explain(const Status& status) override { return reason_of(file_, status); }
  Status malformed(std::string_view what) const;

  HostFiles::File file_;
};

// The names that a table of the kernel held at discovery (disks, interfaces), in its order, with a mark for those seen
// in this poll. A table keeps its order from poll to poll, so that a look-up is one comparison.
class NameTable {
 public:
  static constexpr size_t kMostNames = 4096;  // what lies beyond is neither shown nor watched

  void clear();
  void add(std::string_view name);
  bool contains(std::string_view name) const { return index_.find(name) != index_.end(); }
  bool full() const { return names_.size() >= kMostNames; }
  size_t size() const { return names_.size(); }
  const std::string& name(size_t i) const { return names_[i]; }

  void begin_poll();
  // The index of `name`, now marked as seen; -1: not known.
  int see(std::string_view name);
  bool seen(size_t i) const { return seen_[i] == poll_; }

 private:
  std::vector<std::string> names_;
  std::vector<uint64_t> seen_;
  std::map<std::string, size_t, std::less<>> index_;
  size_t next_ = 0;
  uint64_t poll_ = 0;
};

// A counter of the kernel that may step back a little, because its parts are read at different instants (iowait, minor
// faults): small steps back are held, so that nobody takes them for a restart; a large one is followed, since it is
// one.
class HeldCounter {
 public:
  uint64_t update(uint64_t value, uint64_t tolerance) {
    if (value >= last_ || last_ - value > tolerance) last_ = value;
    return last_;
  }

 private:
  uint64_t last_ = 0;
};

std::unique_ptr<Section> make_cpu_section(HostFiles& files);
std::unique_ptr<Section> make_load_section(HostFiles& files);
std::unique_ptr<Section> make_uptime_section(HostFiles& files);
std::unique_ptr<Section> make_memory_section(HostFiles& files);
std::unique_ptr<Section> make_paging_section(HostFiles& files);
std::unique_ptr<Section> make_pressure_section(HostFiles& files, std::string resource);
std::unique_ptr<Section> make_disk_section(HostFiles& files);
std::unique_ptr<Section> make_network_section(HostFiles& files);
std::unique_ptr<Section> make_filesystem_section(HostFiles& files);
std::unique_ptr<Section> make_info_section(HostFiles& files);

std::unique_ptr<Collector> make_host_collector(CollectorContext context, const HostSystem& system);

}  // namespace accelmon::host
