#include "collectors/drm_clients.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <limits>
#include <tuple>

#include "base/text.h"

namespace accelmon {
namespace {

constexpr unsigned kDrmMajor = 226;
constexpr size_t kListingBytes = 32768;
constexpr uint64_t kCounterMost = std::numeric_limits<uint64_t>::max() / 2;
constexpr uint64_t kBytesMost = uint64_t{1} << 48;  // sums over all clients and regions stay in 64 bits

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Moves `key` past `prefix` if it begins with it.
bool strip(std::string_view& key, std::string_view prefix) {
  if (!key.starts_with(prefix)) return false;
  key.remove_prefix(prefix.size());
  return true;
}

std::optional<uint64_t> counter_of(std::string_view value, std::string_view unit) {
  const auto number = parse_u64(next_word(value));
  if (!number || *number > kCounterMost || trim(value) != unit) return std::nullopt;
  return number;
}

std::optional<uint64_t> bytes_of(std::string_view value) {
  const auto number = parse_u64(next_word(value));
  if (!number) return std::nullopt;
  const std::string_view unit = trim(value);
  unsigned shift = 0;
  if (unit == "KiB") shift = 10;
  if (unit == "MiB") shift = 20;
  if (shift == 0 && !unit.empty()) return std::nullopt;
  if (*number > kBytesMost >> shift) return std::nullopt;
  return *number << shift;
}

// The element of `list` that has this name, appended if there is room; null otherwise.
template <class T, size_t N>
T* named(T (&list)[N], size_t& count, std::string_view name) {
  for (size_t i = 0; i < count; ++i)
    if (list[i].name == name) return &list[i];
  if (count == N || name.empty()) return nullptr;
  T& fresh = list[count];
  fresh = T();
  if (!fresh.name.assign(name)) return nullptr;
  ++count;
  return &fresh;
}

void read_engine_key(std::string_view key, std::string_view value, DrmFdinfo& out) {
  const auto set = [&](std::string_view name, std::string_view unit, std::optional<uint64_t> DrmEngine::*member) {
    const auto number = counter_of(value, unit);
    if (!number) return;
    if (DrmEngine* const engine = named(out.engines, out.engine_count, name)) engine->*member = number;
  };
  if (strip(key, "drm-engine-capacity-")) {
    const auto number = parse_u64(value);
    if (!number || *number == 0 || *number > 4096) return;
    if (DrmEngine* const engine = named(out.engines, out.engine_count, key))
      engine->capacity = static_cast<unsigned>(*number);
  } else if (strip(key, "drm-engine-")) {
    set(key, "ns", &DrmEngine::ns);
  } else if (strip(key, "drm-total-cycles-")) {
    set(key, "", &DrmEngine::total_cycles);
  } else if (strip(key, "drm-cycles-")) {
    set(key, "", &DrmEngine::cycles);
  }
}

void read_region_key(std::string_view key, std::string_view value, DrmFdinfo& out) {
  const bool current = strip(key, "drm-resident-");
  const bool old_name = !current && strip(key, "drm-memory-");
  std::optional<uint64_t> DrmRegion::*member = &DrmRegion::resident;
  if (!current && !old_name) {
    if (strip(key, "drm-total-")) {
      member = &DrmRegion::total;
    } else if (strip(key, "drm-shared-")) {
      member = &DrmRegion::shared;
    } else {
      return;
    }
  }
  const auto bytes = bytes_of(value);
  if (!bytes) return;
  DrmRegion* const region = named(out.regions, out.region_count, key);
  if (region == nullptr || (old_name && region->resident)) return;
  region->*member = bytes;
}

// What the kernel may show a moment too early: a counter that steps back holds.
void carry(const std::optional<uint64_t>& old, std::optional<uint64_t>& now, std::optional<uint64_t>& before) {
  before = old;
  if (old && now) now = std::max(*old, *now);
}

std::optional<double> delta(const std::optional<uint64_t>& now, const std::optional<uint64_t>& before) {
  if (!now || !before || *now < *before) return std::nullopt;
  return static_cast<double>(*now - *before);
}

bool earlier(const DrmFdinfo& a, const DrmFdinfo& b) {
  const std::string_view left = a.pdev.view(), right = b.pdev.view();
  return std::tie(left, *a.client_id) < std::tie(right, *b.client_id);
}

bool same(const DrmFdinfo& a, const DrmFdinfo& b) {
  return a.pdev == b.pdev.view() && a.client_id == b.client_id;
}

struct Path {
  char text[64];
};
Path path_of(uint32_t pid, const char* part) {
  Path path;
  std::snprintf(path.text, sizeof path.text, "%u/%s", pid, part);
  return path;
}
Path fdinfo_of(uint32_t pid, uint32_t descriptor) {
  Path path;
  std::snprintf(path.text, sizeof path.text, "%u/fdinfo/%u", pid, descriptor);
  return path;
}

UniqueFd open_at(int folder, const char* path, int flags) {
  return UniqueFd(::openat(folder, path, flags | O_RDONLY | O_CLOEXEC));
}

ssize_t read_some(int fd, char* out, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = ::read(fd, out + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return static_cast<ssize_t>(done);
}

}  // namespace

bool is_drm_region(std::string_view name, std::string_view region) {
  return strip(name, region) && (name.empty() || is_number(name));
}

std::optional<double> DrmEngine::share(Nanos elapsed) const {
  // With cycles of both kinds the driver brings its own time.
  if (const auto total = delta(total_cycles, total_cycles_before)) {
    const auto busy = delta(cycles, cycles_before);
    if (busy && *total > 0) return std::clamp(*busy / *total / capacity, 0.0, 1.0);
    return std::nullopt;
  }
  const auto busy = delta(ns, ns_before);
  if (!busy || elapsed <= 0) return std::nullopt;
  return std::clamp(*busy / static_cast<double>(elapsed) / capacity, 0.0, 1.0);
}

bool parse_drm_fdinfo(std::string_view text, DrmFdinfo& out) {
  out.driver = {};
  out.pdev = {};
  out.client_id.reset();
  out.region_count = out.engine_count = 0;
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    if (!line.starts_with("drm-")) continue;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, colon);
    const std::string_view value = trim(line.substr(colon + 1));
    if (key == "drm-driver") {
      if (!out.driver.assign(value)) return false;
    } else if (key == "drm-pdev") {
      if (!out.pdev.assign(value)) return false;
    } else if (key == "drm-client-id") {
      out.client_id = parse_u64(value);
    } else if (key.starts_with("drm-engine-") || key.starts_with("drm-cycles-") ||
               key.starts_with("drm-total-cycles-")) {
      read_engine_key(key, value, out);
    } else {
      read_region_key(key, value, out);
    }
  }
  return !out.driver.empty();
}

DrmClients::DrmClients(CallMeter& calls, const Clock& clock, std::string procfs, std::string devfs, size_t most_clients)
    : calls_(calls),
      clock_(clock),
      procfs_(std::move(procfs)),
      devfs_(std::move(devfs)),
      most_clients_(most_clients),
      walk_call_(calls.add("/proc/PID/fd")),
      fdinfo_call_(calls.add("/proc/PID/fdinfo")),
      processes_(kListingBytes),
      descriptors_(kListingBytes),
      text_(kMostFdinfoBytes) {}

// Calls entry(name) for each entry of an open folder until it returns false. 0, or an errno.
template <class F>
int DrmClients::list(int folder, std::vector<char>& buffer, F&& entry) {
  // struct linux_dirent64 of getdents64(2): inode, offset, length, type, name.
  constexpr size_t kLengthAt = 16, kNameAt = 19;
  for (;;) {
    const long got = ::syscall(SYS_getdents64, folder, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return 0;
    for (size_t at = 0; at + kNameAt < static_cast<size_t>(got);) {
      uint16_t length = 0;
      std::memcpy(&length, buffer.data() + at + kLengthAt, sizeof length);
      if (length <= kNameAt || at + length > static_cast<size_t>(got)) return EBADMSG;
      if (!entry(static_cast<const char*>(buffer.data() + at + kNameAt))) return 0;
      at += length;
    }
  }
}

Status DrmClients::scan() {
  counts_ = {};
  refused_pid_ = 0;
  if (!root_.valid()) {
    root_ = UniqueFd(::open(procfs_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root_.valid()) return Status::from_errno(errno, procfs_);
    struct statfs about {};
    links_count_ = ::fstatfs(root_.get(), &about) == 0 && about.f_type != PROC_SUPER_MAGIC;
    char self[32];
    const ssize_t n = ::readlinkat(root_.get(), "self", self, sizeof self);
    const auto pid = n > 0 ? parse_u64(std::string_view(self, static_cast<size_t>(n))) : std::nullopt;
    own_pid_ = static_cast<uint32_t>(pid.value_or(0));
  }
  if (::lseek(root_.get(), 0, SEEK_SET) < 0) return Status::from_errno(errno, procfs_);
  const Nanos now = clock_.monotonic();
  elapsed_ = scans_ > 0 ? now - scanned_ : 0;
  scanned_ = now;
  ++scans_;
  fresh_.clear();
  int failed = 0;
  const auto walk = [&](const char* name) {
    const auto pid = parse_u64(name);
    if (!pid || *pid > std::numeric_limits<int32_t>::max() || *pid == own_pid_) return true;
    if (counts_.processes >= kMostProcesses || counts_.descriptors >= kMostDescriptors) {
      counts_.cut = true;
      return false;
    }
    ++counts_.processes;
    const auto of = static_cast<uint32_t>(*pid);
    drm_files_.clear();
    calls_.measure(walk_call_, [&] { look_into(of); });
    for (const uint32_t descriptor : drm_files_) read_client(of, descriptor);
    return true;
  };
  failed = list(root_.get(), processes_, walk);
  settle();
  return failed == 0 ? Status() : Status::from_errno(failed, procfs_);
}

void DrmClients::look_into(uint32_t pid) {
  const UniqueFd folder = open_at(root_.get(), path_of(pid, "fd").text, O_DIRECTORY);
  if (!folder.valid()) {
    if (errno == EACCES || errno == EPERM) ++counts_.refused;
    return;  // or it has ended
  }
  const int failed = list(folder.get(), descriptors_, [&](const char* name) {
    const auto descriptor = parse_u64(name);
    if (!descriptor || *descriptor > std::numeric_limits<int32_t>::max()) return true;
    if (counts_.descriptors >= kMostDescriptors) {
      counts_.cut = true;
      return false;
    }
    ++counts_.descriptors;
    if (is_drm(folder.get(), name)) drm_files_.push_back(static_cast<uint32_t>(*descriptor));
    return true;
  });
  if (failed == EACCES || failed == EPERM) ++counts_.refused;
}

bool DrmClients::is_drm(int folder, const char* name) const {
  struct stat status {};
  const auto wanted = [this](uint64_t minor) {
    return std::find(left_out_.begin(), left_out_.end(), minor) == left_out_.end();
  };
  if (::fstatat(folder, name, &status, 0) == 0 && S_ISCHR(status.st_mode))
    return major(status.st_rdev) == kDrmMajor && wanted(minor(status.st_rdev));
  if (!links_count_) return false;
  char target[512];
  const ssize_t n = ::readlinkat(folder, name, target, sizeof target);
  if (n <= 0) return false;
  std::string_view path(target, static_cast<size_t>(n));
  if (!strip(path, "/dev/dri/") && !(strip(path, devfs_) && strip(path, "/dri/"))) return false;
  const size_t digits = path.find_first_of("0123456789");
  const auto number = digits == std::string_view::npos ? std::nullopt : parse_u64(path.substr(digits));
  return !number || wanted(*number);
}

void DrmClients::read_client(uint32_t pid, uint32_t descriptor) {
  const UniqueFd file = open_at(root_.get(), fdinfo_of(pid, descriptor).text, 0);
  ssize_t got = -1;
  int error = errno;
  if (file.valid()) {
    got = calls_.measure(fdinfo_call_, [&] { return read_some(file.get(), text_.data(), text_.size()); });
    error = errno;
  }
  if (got < 0 && (error == ENOENT || error == ESRCH)) return;  // closed in between
  if (got < 0 && (error == EACCES || error == EPERM)) {
    if (refused_pid_ != pid) ++counts_.refused;
    refused_pid_ = pid;
    return;
  }
  const bool whole = got >= 0 && static_cast<size_t>(got) < text_.size();
  if (!whole) {
    ++counts_.unreadable;
    return;
  }
  if (!parse_drm_fdinfo(std::string_view(text_.data(), static_cast<size_t>(got)), parsed_)) return;
  if (!parsed_.client_id) {
    ++counts_.unreadable;
    return;
  }
  note(pid);
}

// Puts what was parsed to its client.
void DrmClients::note(uint32_t pid) {
  const auto found = std::lower_bound(clients_.begin(), clients_.end(), parsed_,
                                      [](const DrmClient& a, const DrmFdinfo& b) { return earlier(a.info, b); });
  if (found != clients_.end() && same(found->info, parsed_)) {
    uint64_t& seen = seen_[static_cast<size_t>(found - clients_.begin())];
    if (seen == scans_) {
      found->pid = std::min(found->pid, pid);
      return;
    }
    seen = scans_;
    found->pid = pid;
    for (DrmEngine& engine : parsed_.all_engines()) {
      for (const DrmEngine& old : std::as_const(found->info).all_engines()) {
        if (!(old.name == engine.name.view())) continue;
        carry(old.ns, engine.ns, engine.ns_before);
        carry(old.cycles, engine.cycles, engine.cycles_before);
        carry(old.total_cycles, engine.total_cycles, engine.total_cycles_before);
      }
    }
    found->info = parsed_;
    return;
  }
  for (DrmClient& client : fresh_) {
    if (!same(client.info, parsed_)) continue;
    client.pid = std::min(client.pid, pid);
    return;
  }
  if (clients_.size() + fresh_.size() >= most_clients_) {
    counts_.cut = true;
    return;
  }
  fresh_.push_back(DrmClient{pid, {}, 0, parsed_});
}

void DrmClients::read_comm(DrmClient& client) {
  client.comm = {};
  client.named_pid = client.pid;
  const UniqueFd file = open_at(root_.get(), path_of(client.pid, "comm").text, 0);
  if (!file.valid()) return;
  char text[64];
  const ssize_t got = read_some(file.get(), text, sizeof text);
  if (got > 0) (void)client.comm.assign(printable(trim(std::string_view(text, static_cast<size_t>(got))), 64));
}

// After a walk: who was not seen is gone, who is new takes their place in the order.
void DrmClients::settle() {
  size_t kept = 0;
  for (size_t i = 0; i < clients_.size(); ++i) {
    if (seen_[i] != scans_) continue;
    if (kept != i) clients_[kept] = clients_[i];
    ++kept;
  }
  clients_.resize(kept);
  if (!fresh_.empty()) {
    clients_.insert(clients_.end(), fresh_.begin(), fresh_.end());
    std::sort(clients_.begin(), clients_.end(),
              [](const DrmClient& a, const DrmClient& b) { return earlier(a.info, b.info); });
  }
  seen_.assign(clients_.size(), scans_);
  uint64_t fingerprint = clients_.size();
  for (DrmClient& client : clients_) {
    if (client.named_pid != client.pid) read_comm(client);
    fingerprint = (fingerprint ^ client.pid) * 0x9e3779b97f4a7c15u;
    fingerprint = (fingerprint ^ *client.info.client_id) * 0x9e3779b97f4a7c15u;
    fingerprint ^= std::hash<std::string_view>{}(client.info.pdev.view());
  }
  changed_ = fingerprint != fingerprint_;
  fingerprint_ = fingerprint;
}

void DrmClients::processes(std::string_view pdev, std::string_view region, std::vector<DrmProcess>& out) const {
  out.clear();
  for (const DrmClient& client : clients_) {
    if (!(client.info.pdev == pdev)) continue;
    auto process = std::find_if(out.begin(), out.end(), [&](const DrmProcess& one) { return one.pid == client.pid; });
    if (process == out.end()) process = out.insert(process, DrmProcess{client.pid, client.comm.view(), 0});
    for (const DrmRegion& one : client.info.all_regions())
      if (is_drm_region(one.name.view(), region)) process->memory += one.resident.value_or(0);
  }
  std::sort(out.begin(), out.end(), [](const DrmProcess& a, const DrmProcess& b) {
    return a.memory != b.memory ? a.memory > b.memory : a.pid < b.pid;
  });
}

std::optional<uint64_t> DrmClients::resident(std::string_view pdev, std::string_view region) const {
  std::optional<uint64_t> sum;
  for (const DrmClient& client : clients_) {
    if (!(client.info.pdev == pdev)) continue;
    for (const DrmRegion& one : client.info.all_regions())
      if (is_drm_region(one.name.view(), region) && one.resident) sum = sum.value_or(0) + *one.resident;
  }
  return sum;
}

std::optional<double> DrmClients::utilization(std::string_view pdev, std::string_view engine) const {
  bool clients = false;
  std::optional<double> sum;
  for (const DrmClient& client : clients_) {
    if (!(client.info.pdev == pdev)) continue;
    clients = true;
    for (const DrmEngine& one : client.info.all_engines()) {
      if (!(one.name == engine)) continue;
      if (const auto share = one.share(elapsed_)) sum = std::min(1.0, sum.value_or(0) + *share);
    }
  }
  if (!clients && scans_ > 1) return 0.0;
  return sum;
}

}  // namespace accelmon
