#include "collectors/host/host_section.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"

namespace accelmon::host {
namespace {

// Interfaces that container runtimes and hypervisors make and unmake, one or more for each guest. All traffic of theirs
// that leaves the host is counted by the interface through which it leaves.
constexpr std::string_view kNetworkExclude = "veth,docker,cali,cni,br-,lxc,vnet,tap,eni,gke,azv";

std::string without_trailing_slashes(std::string path) {
  while (!path.empty() && path.back() == '/') path.pop_back();
  return path;
}

std::vector<std::string> split_list(std::string_view list) {
  std::vector<std::string> out;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    const std::string_view entry = trim(list.substr(0, comma));
    if (!entry.empty()) out.emplace_back(entry);
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
  }
  return out;
}

}  // namespace

HostSystem real_host_system() {
  const long ticks = ::sysconf(_SC_CLK_TCK);
  return HostSystem{&::statvfs, &::stat, ticks > 0 ? ticks : 100};
}

HostFiles::HostFiles(CollectorContext& context, const HostSystem& system)
    : calls_(context.calls),
      system_(system),
      procfs_(without_trailing_slashes(context.option("procfs", "/proc"))),
      sysfs_(without_trailing_slashes(context.option("sysfs", "/sys"))),
      rootfs_(without_trailing_slashes(context.option("rootfs", "/"))),
      network_exclude_(split_list(context.option("network_exclude", kNetworkExclude))),
      buffer_(16 * 1024) {}

HostFiles::File HostFiles::proc(std::string_view relative) {
  File file;
  file.path = procfs_ + "/" + std::string(relative);
  file.name = "/proc/" + std::string(relative);
  file.call = calls_.add(file.name);
  return file;
}

Result<std::string_view> HostFiles::read(File& file) {
  return calls_.measure(file.call, [&]() -> Result<std::string_view> {
    if (!file.kept.valid()) {
      Result<KeptFile> opened = KeptFile::open(file.path);
      if (!opened) return fail(opened.error());
      file.kept = std::move(*opened);
    }
    for (;;) {
      Result<std::string_view> text = file.kept.read(buffer_);
      if (text) return text;
      if (text.error().code() != Code::exhausted || buffer_.size() >= kLargestFile) {
        file.kept = KeptFile();  // opened anew by the next read: the file system may have been mounted again
        return text;
      }
      buffer_.resize(std::min(buffer_.size() * 4, kLargestFile));
    }
  });
}

Result<std::string> HostFiles::read_start(const File& file, size_t limit) {
  return calls_.measure(file.call, [&]() -> Result<std::string> {
    const UniqueFd fd(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return fail(Status::from_errno(errno, file.path));
    std::string text(limit, '\0');
    size_t done = 0;
    while (done < limit) {
      const ssize_t n = ::read(fd.get(), text.data() + done, limit - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail(Status::from_errno(errno, file.path));
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    text.resize(done);
    return text;
  });
}

void HostFiles::count_failure(const Status& status) {
  if (status.code() == Code::absent || status.code() == Code::no_permission || status.code() == Code::unsupported ||
      status.code() == Code::invalid)  // malformed lines are counted where they are met
    return;
  calls_.count_error(to_string(status.code()));
}

void HostFiles::count_malformed(uint64_t lines) {
  for (; lines > 0; --lines) calls_.count_error("parse");
}

State state_of(Code code) {
  switch (code) {
    case Code::absent:
    case Code::unsupported:
      return State::unsupported;
    case Code::no_permission:
      return State::no_permission;
    case Code::not_ready:
      return State::not_ready;
    default:
      return State::error;
  }
}

std::string reason_of(const HostFiles::File& file, const Status& status) {
  switch (status.code()) {
    case Code::absent:
      return printable(file.name + " is not there: the kernel is too old or built without it, or a container hides it",
                       kMaxTextBytes - 3);
    case Code::no_permission:
      return printable(file.name + " may not be read: run as a user that may, or let the container see it",
                       kMaxTextBytes - 3);
    case Code::invalid:
      return printable(status.message(), kMaxTextBytes - 3);
    default:
      break;
  }
  std::string_view said = status.message();
  if (said.starts_with(file.path)) said.remove_prefix(file.path.size());
  return printable(file.name + " cannot be read" + std::string(said), kMaxTextBytes - 3);
}

// ---- Section ----

void Section::discover(Catalog& catalog) {
  CatalogBuilder out(catalog);
  first_ = catalog.series.size();
  const size_t first_absence = catalog.absences.size();
  const Status status = build(out);
  end_ = catalog.series.size();
  active_ = status.ok();
  if (status.ok()) return;
  files_.count_failure(status);
  const std::string reason = printable(explain(status), kMaxTextBytes - 3);
  for (const MetricId metric : metrics_) {
    const auto explained = [&](const Absence& absence) { return absence.metric == metric; };
    if (std::any_of(catalog.absences.begin() + static_cast<std::ptrdiff_t>(first_absence), catalog.absences.end(),
                    explained))
      continue;
    out.absent(metric, -1, state_of(status.code()), reason);
  }
}

bool Section::poll(Frame& frame) {
  if (!active_) return false;
  bool changed = false;
  const Status status = fill(frame, changed);
  if (!status.ok()) {
    files_.count_failure(status);
    // What was there at discovery and is not any more has failed: `unsupported` would say that it never was.
    const State state = status.code() == Code::no_permission ? State::no_permission : State::error;
    for (size_t i = first_; i < end_; ++i) frame.absent(i, state);
    if (status.code() == Code::absent) changed = true;
  }
  return changed;
}

// ---- FileSection ----

Status FileSection::build(CatalogBuilder& out) {
  const Result<std::string_view> text = files_.read(file_);
  return text ? build_from(*text, out) : text.error();
}

Status FileSection::fill(Frame& frame, bool& changed) {
  const Result<std::string_view> text = files_.read(file_);
  return text ? fill_from(*text, frame, changed) : text.error();
}

Status FileSection::malformed(std::string_view what) const {
  return Status(Code::invalid, file_.name + " is not in the format that Linux documents: " + std::string(what));
}

// ---- NameTable ----

void NameTable::clear() {
  names_.clear();
  seen_.clear();
  index_.clear();
}

void NameTable::add(std::string_view name) {
  index_.emplace(std::string(name), names_.size());
  names_.emplace_back(name);
  seen_.push_back(0);
}

void NameTable::begin_poll() {
  ++poll_;
  next_ = 0;
}

int NameTable::see(std::string_view name) {
  size_t found = next_;
  if (found >= names_.size() || names_[found] != name) {
    const auto at = index_.find(name);
    if (at == index_.end()) return -1;
    found = at->second;
  }
  next_ = found + 1;
  seen_[found] = poll_;
  return static_cast<int>(found);
}

}  // namespace accelmon::host
