// The file systems of local block devices, asked with statvfs in the slow tier.
//
// statvfs on a dead network mount hangs for ever, and so does any path that leads through one. So only types that are
// known to lie on a local block device are asked, and nothing that lies beneath a mount of any other kind; a type that
// is not known counts as one that may hang.
//
// Which table of mounts: <procfs>/1/mounts where another root than / is configured (the host as a container sees it),
// else <procfs>/self/mounts. A table that holds mounts beneath the configured root is the container's own: then those
// are the host's mounts, and the root is taken off their paths.
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "collectors/host/host_parse.h"
#include "collectors/host/host_section.h"

namespace accelmon::host {
namespace {

constexpr size_t kMostFilesystems = 256;
constexpr size_t kMostSources = 4096;

uint64_t hash_of(std::string_view text, uint64_t hash = 14695981039346656037ull) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash;
}

class FilesystemSection : public Section {
 public:
  explicit FilesystemSection(HostFiles& files)
      : Section(files, Tier::slow,
                {MetricId::filesystem_usage, MetricId::filesystem_limit, MetricId::filesystem_utilization}),
        statvfs_(files.calls().add("statvfs")),
        of_init_(files.proc("1/mounts")),
        of_self_(files.proc("self/mounts")) {}

  void release() override {
    of_init_.kept = KeptFile();
    of_self_.kept = KeptFile();
  }

 private:
  static constexpr size_t kSeries = 5;  // used, free, reserved, limit, utilization

  // What the table says of one device: the mount that is shown, or what makes us look again.
  struct Source {
    std::string mount_point, type;  // as in the table, escapes and all
    std::string path;               // what is asked
    uint64_t id = 0;                // f_fsid: tells when something else answers under that path
    bool shown = false;
    size_t first = 0;
    uint64_t lines = 0;  // of a source that is not shown: sum of the hashes of its lines
    // Of the poll:
    bool seen = false;
    uint64_t lines_now = 0;
  };

  struct Mount {
    std::string source, mount_point, type;  // as in the table
    std::string path;                       // decoded, below the root
    MountClass kind = MountClass::harmless;
  };

  Status build(CatalogBuilder& out) override {
    sources_.clear();
    index_.clear();
    file_ = files_.rootfs().empty() ? &of_self_ : &of_init_;
    Result<std::string_view> text = files_.read(*file_);
    if (!text && file_ == &of_init_) {
      file_ = &of_self_;
      text = files_.read(*file_);
    }
    if (!text) return text.error();
    root_in_table_ = encode_mount(files_.rootfs());
    std::vector<Mount> mounts = list(*text);
    out.fact("mounts", file_->name + (own_namespace_ ? " (our own namespace)" : ""));
    know_sources(mounts);
    keep_topmost(mounts);
    choose(mounts, out);
    remember(*text);
    return {};
  }

  // Every line of interest, in the table's order.
  std::vector<Mount> list(std::string_view text) {
    std::vector<Mount> mounts;
    bool below_root = false;
    while (!text.empty()) {
      MountLine line;
      const Line result = parse_mount_line(next_line(text), line);
      if (result == Line::malformed) files_.count_malformed(1);
      if (result != Line::ok) continue;
      const MountClass kind = classify_mount(line.type);
      below_root = below_root || (!root_in_table_.empty() && lies_within(line.mount_point, root_in_table_));
      mounts.push_back(
          Mount{std::string(line.source), std::string(line.mount_point), std::string(line.type), "", kind});
    }
    own_namespace_ = !root_in_table_.empty() && (below_root || file_ == &of_self_);
    std::erase_if(mounts, [&](const Mount& mount) { return below_root_of(mount.mount_point).empty(); });
    for (Mount& mount : mounts) mount.path = decode_mount(below_root_of(mount.mount_point));
    return mounts;
  }

  // The mount point as the host names it; empty: it is not the host's.
  std::string_view below_root_of(std::string_view mount_point) const {
    if (!own_namespace_) return mount_point;
    if (!lies_within(mount_point, root_in_table_)) return {};
    mount_point.remove_prefix(root_in_table_.size());
    return mount_point.empty() ? std::string_view("/") : mount_point;
  }

  // Every source, also of mounts that cannot be shown: what is known is not news to poll.
  void know_sources(const std::vector<Mount>& mounts) {
    for (const Mount& mount : mounts) {
      if (!watched(mount.kind, mount.path) || sources_.size() >= kMostSources) continue;
      if (!index_.emplace(mount.source, sources_.size()).second) continue;
      sources_.emplace_back();
    }
  }

  // A mount over another at the same place hides it.
  static void keep_topmost(std::vector<Mount>& mounts) {
    std::map<std::string_view, size_t> top;
    for (size_t i = 0; i < mounts.size(); ++i) top[mounts[i].path] = i;
    std::vector<Mount> kept;
    std::vector<size_t> order;
    for (const auto& [path, i] : top) order.push_back(i);
    std::sort(order.begin(), order.end());
    for (const size_t i : order) kept.push_back(std::move(mounts[i]));
    mounts = std::move(kept);
  }

  void choose(std::vector<Mount>& mounts, CatalogBuilder& out) {
    std::vector<std::string> dangerous;
    for (const Mount& mount : mounts)
      if (mount.kind == MountClass::may_hang && mount.path != "/") dangerous.push_back(mount.path);
    std::erase_if(mounts, [](const Mount& mount) { return !watched(mount.kind, mount.path); });
    // Parents first: the shortest path of a device is the one to show, and what a mount hides comes after it.
    std::stable_sort(mounts.begin(), mounts.end(),
                     [](const Mount& a, const Mount& b) { return a.path.size() < b.path.size(); });

    std::vector<std::pair<uint64_t, size_t>> filesystems;  // st_dev -> source
    size_t shown = 0, beyond = 0, hidden = 0;
    for (const Mount& mount : mounts) {
      const auto known = index_.find(mount.source);
      if (known == index_.end() || sources_[known->second].shown) continue;
      Source& source = sources_[known->second];
      const bool safe = std::none_of(dangerous.begin(), dangerous.end(),
                                     [&](const std::string& directory) { return lies_within(mount.path, directory); });
      const std::string path = files_.rootfs() + mount.path;
      if (!safe || !bounded(mount)) {
        ++hidden;
      } else if (shown >= kMostFilesystems) {
        ++beyond;
      } else if (!visible(path, mount, source.id, filesystems)) {
        ++hidden;
      } else {
        source.mount_point = mount.mount_point;
        source.type = mount.type;
        source.path = path;
        source.shown = true;
        source.first = show(mount, out);
        ++shown;
      }
    }
    const auto absent = [&](const std::string& reason) {
      for (const MetricId metric :
           {MetricId::filesystem_usage, MetricId::filesystem_limit, MetricId::filesystem_utilization})
        out.absent(metric, -1, State::unsupported, reason);
    };
    if (shown == 0)
      absent(file_->name + " lists no file system of a local block device that can be seen from here; " +
             std::to_string(hidden) + " cannot");
    if (beyond > 0)
      absent("only the first " + std::to_string(kMostFilesystems) + " file systems are read; " +
             std::to_string(beyond) + " more are left out");
    std::string systems = std::to_string(shown);
    if (hidden > 0)
      systems += " (" + std::to_string(hidden) + (hidden == 1 ? " mount" : " mounts") + " cannot be asked)";
    out.fact("file systems", systems);
  }

  static bool watched(MountClass kind, std::string_view path) {
    return kind == MountClass::block || (kind == MountClass::overlay && path == "/");
  }

  static bool bounded(const Mount& mount) {
    return decode_mount(mount.source).size() <= kMaxTextBytes && mount.path.size() <= kMaxTextBytes &&
           mount.type.size() <= kMaxTextBytes;
  }

  // Those that do not have a device number of the kernel's making, which a mount over them (tmpfs) would show.
  static bool lives_on_one_device(std::string_view type) {
    return type != "btrfs" && type != "zfs" && type != "bcachefs" && type != "overlay";
  }

  // Whether asking at `path` tells of this mount. Containers mount single files of a host's disk; and where a mount has
  // not reached our namespace, the path shows the file system beneath it: the same one that an earlier mount showed.
  bool visible(const std::string& path, const Mount& mount, uint64_t& id,
               std::vector<std::pair<uint64_t, size_t>>& filesystems) {
    struct ::stat status {};
    struct ::statvfs space {};
    const bool answered = files_.calls().measure(statvfs_, [&] {
      return files_.system().stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
             files_.system().statvfs(path.c_str(), &space) == 0 && space.f_blocks > 0;
    });
    if (!answered || (lives_on_one_device(mount.type) && major(status.st_dev) == 0)) return false;
    id = space.f_fsid;
    const size_t source = index_.find(mount.source)->second;
    for (const auto& [device, owner] : filesystems)
      if (device == status.st_dev && owner != source) return false;
    filesystems.emplace_back(status.st_dev, source);
    return true;
  }

  size_t show(const Mount& mount, CatalogBuilder& out) {
    const std::vector<Attribute> identity{{AttributeId::system_device, decode_mount(mount.source)},
                                          {AttributeId::filesystem_mountpoint, mount.path},
                                          {AttributeId::filesystem_type, mount.type}};
    const auto with_state = [&](const char* state) {
      std::vector<Attribute> attributes = identity;
      attributes.push_back({AttributeId::filesystem_state, state});
      return add(out, MetricId::filesystem_usage, std::move(attributes));
    };
    const int first = with_state("used");
    with_state("free");
    with_state("reserved");
    add(out, MetricId::filesystem_limit, identity);
    add(out, MetricId::filesystem_utilization, identity);
    return static_cast<size_t>(first);
  }

  // Goes through the table: which sources are there, and what lies over them. Returns whether a source is new.
  bool survey(std::string_view text) {
    bool news = false;
    over_ours_now_ = 0;
    for (Source& source : sources_) {
      source.seen = false;
      source.lines_now = 0;
    }
    while (!text.empty()) {
      const std::string_view whole = next_line(text);
      MountLine line;
      if (parse_mount_line(whole, line) != Line::ok) continue;
      const MountClass kind = classify_mount(line.type);
      if (kind == MountClass::harmless) continue;
      const std::string_view path = below_root_of(line.mount_point);
      if (path.empty()) continue;
      if (watched(kind, path)) {
        const auto at = index_.find(line.source);
        if (at == index_.end()) {
          news = news || sources_.size() < kMostSources;
          continue;
        }
        Source& source = sources_[at->second];
        source.lines_now += hash_of(whole);
        if (source.mount_point == line.mount_point && source.type == line.type) source.seen = true;
      } else if (kind == MountClass::may_hang && path != "/") {
        const auto covers = [&](const Source& source) {
          return source.shown && lies_within(source.mount_point, line.mount_point);
        };
        if (std::any_of(sources_.begin(), sources_.end(), covers)) over_ours_now_ += hash_of(whole);
      }
    }
    return news;
  }

  void remember(std::string_view text) {
    survey(text);
    over_ours_ = over_ours_now_;
    for (Source& source : sources_) source.lines = source.lines_now;
  }

  Status fill(Frame& frame, bool& changed) override {
    const Result<std::string_view> text = files_.read(*file_);
    if (!text) return text.error();
    changed = survey(*text);
    // A mount that may hang has come over one of ours: look again before anything is asked.
    const bool unsafe = over_ours_now_ != over_ours_;
    changed = changed || unsafe;
    for (const Source& source : sources_) {
      if (source.shown ? !source.seen : source.lines != source.lines_now) changed = true;
      if (!source.shown) continue;
      if (!source.seen || unsafe)
        put_all(source, State::stale, frame);
      else
        changed = ask(source, frame) || changed;
    }
    return {};
  }

  // Returns whether another file system answers than at discovery.
  bool ask(const Source& source, Frame& frame) {
    struct ::statvfs space {};
    const int error = files_.calls().measure(
        statvfs_, [&] { return files_.system().statvfs(source.path.c_str(), &space) == 0 ? 0 : errno; });
    if (error != 0) {
      const Status status = Status::from_errno(error, "statvfs");
      files_.calls().count_error(to_string(status.code()));
      put_all(source, status.code() == Code::no_permission ? State::no_permission : State::error, frame);
      return false;
    }
    if (space.f_fsid != source.id) {
      put_all(source, State::stale, frame);
      return true;
    }
    const auto unit = static_cast<double>(space.f_frsize > 0 ? space.f_frsize : space.f_bsize);
    const auto blocks = static_cast<double>(space.f_blocks);
    const auto free = static_cast<double>(space.f_bfree);
    const auto available = static_cast<double>(space.f_bavail);
    if (blocks <= 0 || free > blocks || available > blocks) {
      put_all(source, State::implausible, frame);
      return false;
    }
    // As df does: what only root may use counts neither as used nor as free.
    const double used = blocks - free;
    frame.set(source.first, used * unit);
    frame.set(source.first + 1, available * unit);
    frame.set(source.first + 2, std::max(free - available, 0.0) * unit);
    frame.set(source.first + 3, blocks * unit);
    if (used + available > 0)
      frame.set(source.first + 4, used / (used + available));
    else
      frame.absent(source.first + 4, State::implausible);
    return false;
  }

  static void put_all(const Source& source, State state, Frame& frame) {
    for (size_t i = 0; i < kSeries; ++i) frame.absent(source.first + i, state);
  }

  std::string explain(const Status& status) override { return reason_of(*file_, status); }

  CallId statvfs_;
  HostFiles::File of_init_, of_self_;
  HostFiles::File* file_ = nullptr;
  std::string root_in_table_;  // the configured root as the table would write it; empty: /
  bool own_namespace_ = false;
  // Sum of the hashes of the lines of mounts that may hang and lie at or over one that is shown. At discovery that is
  // only what is itself mounted over (autofs).
  uint64_t over_ours_ = 0, over_ours_now_ = 0;
  std::vector<Source> sources_;
  std::map<std::string, size_t, std::less<>> index_;  // by name
};

}  // namespace

std::unique_ptr<Section> make_filesystem_section(HostFiles& files) {
  return std::make_unique<FilesystemSection>(files);
}

}  // namespace accelmon::host
