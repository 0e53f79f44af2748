// For this room's tests: a copy of a fixture tree that may be changed, and a collector over it with made-up disks.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "base/text.h"
#include "collectors/host/host_section.h"

namespace accelmon::host {

// What statvfs and stat answer: by path. A path that is not here is not there.
struct FakeFilesystem {
  dev_t device = 0;
  uint64_t blocks = 0, free = 0, available = 0;
  bool directory = true;
  int error = 0;  // of statvfs
};
inline std::map<std::string, FakeFilesystem, std::less<>>& fake_filesystems() {
  static std::map<std::string, FakeFilesystem, std::less<>> all;
  return all;
}

inline int fake_statvfs(const char* path, struct ::statvfs* out) {
  const auto found = fake_filesystems().find(std::string_view(path));
  if (found == fake_filesystems().end() || found->second.error != 0) {
    errno = found == fake_filesystems().end() ? ENOENT : found->second.error;
    return -1;
  }
  *out = {};
  out->f_frsize = 4096;
  out->f_blocks = found->second.blocks;
  out->f_bfree = found->second.free;
  out->f_bavail = found->second.available;
  out->f_fsid = found->second.device;
  return 0;
}

inline int fake_stat(const char* path, struct ::stat* out) {
  const auto found = fake_filesystems().find(std::string_view(path));
  if (found == fake_filesystems().end()) {
    errno = ENOENT;
    return -1;
  }
  *out = {};
  out->st_dev = found->second.device;
  out->st_mode = found->second.directory ? S_IFDIR : S_IFREG;
  return 0;
}

inline const char* const kFixtures = ACCELMON_SOURCE_DIR "/src/collectors/host/testdata/";

class Tree {
 public:
  // A copy of testdata/NAME; an empty tree for "".
  explicit Tree(const std::string& name) {
    std::string pattern = (std::filesystem::temp_directory_path() / "accelmon_host_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    root_ = pattern;
    if (!name.empty())
      std::filesystem::copy(kFixtures + name, root_, kCopy);
    else
      std::filesystem::create_directories(root_ / "proc");
  }
  ~Tree() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  std::string path(const std::string& relative) const { return (root_ / relative).string(); }

  // Writes into the file that is there, so that a descriptor that is kept open sees it.
  void write(const std::string& relative, const std::string& text) {
    std::filesystem::create_directories((root_ / relative).parent_path());
    std::ofstream(root_ / relative, std::ios::trunc) << text;
  }
  std::string read(const std::string& relative) const {
    std::ifstream in(root_ / relative);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  // Replaces the one occurrence of `from`.
  void edit(const std::string& relative, const std::string& from, const std::string& to) {
    std::string text = read(relative);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from << " is not in " << relative;
    write(relative, text.replace(at, from.size(), to));
  }
  // The files of second/ over those of the first poll.
  void second() {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_ / "second"))
      if (entry.is_regular_file())
        write(std::filesystem::relative(entry.path(), root_ / "second").string(),
              read(std::filesystem::relative(entry.path(), root_).string()));
  }

 private:
  static constexpr auto kCopy = std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks;
  std::filesystem::path root_;
};

// A collector over a tree, its catalog and its frame.
struct Host {
  explicit Host(const Tree& tree, std::map<std::string, std::string, std::less<>> options = {}) {
    options.emplace("procfs", tree.path("proc"));
    options.emplace("sysfs", tree.path("sys"));
    collector = make_host_collector(CollectorContext{calls, real_clock(), std::move(options)},
                                    HostSystem{&fake_statvfs, &fake_stat, 100});
  }

  void discover() {
    Result<Catalog> found = collector->discover();
    ASSERT_TRUE(found) << found.error().message();
    ASSERT_TRUE(validate(*found).ok()) << validate(*found).message();
    catalog = std::move(*found);
    frame.resize(catalog.series.size());
  }
  PollResult poll(uint8_t due = 7) { return collector->poll(PollRequest{due}, frame, events); }

  int find(MetricId metric, std::vector<Attribute> attributes = {}) const {
    return find_series(catalog, metric, -1, std::move(attributes));
  }
  // The value; a series that is not there or not ok fails the test.
  double value(MetricId metric, std::vector<Attribute> attributes = {}) const {
    const int i = find(metric, std::move(attributes));
    EXPECT_GE(i, 0) << info(metric).name;
    if (i < 0) return -1;
    EXPECT_EQ(frame.states[static_cast<size_t>(i)], State::ok) << info(metric).name;
    return frame.values[static_cast<size_t>(i)];
  }
  State state(MetricId metric, std::vector<Attribute> attributes = {}) const {
    const int i = find(metric, std::move(attributes));
    EXPECT_GE(i, 0) << info(metric).name;
    return i < 0 ? State::error : frame.states[static_cast<size_t>(i)];
  }
  const Absence* absence(MetricId metric) const {
    for (const Absence& one : catalog.absences)
      if (one.metric == metric) return &one;
    return nullptr;
  }
  uint64_t errors(std::string_view code) const {
    const auto found = calls.errors().find(code);
    return found == calls.errors().end() ? 0 : found->second;
  }

  CallMeter calls{real_clock()};
  std::unique_ptr<Collector> collector;
  Catalog catalog;
  Frame frame;
  std::vector<Event> events;
};

}  // namespace accelmon::host
