#include "simulator/kernel/kernel.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace accelmon::simulator {

namespace {

std::string environment(const char* name) {
  const char* value = getenv(name);
  return value ? value : "";
}

// Numbers that cannot be, in the form that the file has.
std::string garbage(const std::string& honest, bool binary, uint64_t key) {
  if (binary) {
    std::string bytes(honest.size(), '\0');
    for (char& byte : bytes) byte = static_cast<char>((key = mix(key)) >> 56);
    // Every other time the header is kept, so that the reader has to look further than that.
    if (key & 1 && honest.size() > 4) bytes.replace(0, 4, honest, 0, 4);
    return bytes;
  }
  switch (mix(key) % 4) {
    case 0:
      return "18446744073709551615\n";
    case 1:
      return "-2147483648\n";
    case 2:
      return std::string("\x7f\xff%\0\n", 5);
    default:
      return "";
  }
}

// What stands for no number: a register of ones, in the form that the file has. A table keeps its header.
std::string sentinel(const std::string& honest, bool binary) {
  if (!binary) return "4294967295\n";
  std::string bytes(honest.size(), '\xff');
  bytes.replace(0, std::min<size_t>(4, honest.size()), honest, 0, 4);
  return bytes;
}

// A file of the tree. As sysfs does it, what it says is made at offset 0 and kept for the reads that go on from there.
class TreeFile : public OpenFile {
 public:
  TreeFile(Kernel& kernel, std::string path) : kernel_(kernel), path_(std::move(path)), opened_(kernel.now()) {}

  ssize_t read(void* buffer, size_t size, off_t offset) override {
    if (offset < 0) return -EINVAL;
    std::string made;
    if (offset == 0) {
      if (const int error = make(made); error != 0) return -error;
    }
    const std::lock_guard lock(mutex_);
    if (offset == 0) said_ = std::move(made);
    const auto at = static_cast<size_t>(offset);
    if (at >= said_.size()) return 0;
    const size_t part = std::min(size, said_.size() - at);
    memcpy(buffer, said_.data() + at, part);
    return static_cast<ssize_t>(part);
  }

  int control(unsigned long request, void* argument) override {
    const std::shared_ptr<const World> world = kernel_.world();
    const KernelFile* file = world ? world->tree.find(path_) : nullptr;
    if (!file) return -ENODEV;
    const Verdict verdict = kernel_.judge(path_, *file, false);
    if (verdict.error != 0) return -verdict.error;
    if (!file->of_bus && verdict.since > opened_) return -ENODEV;
    if (!file->control) return -ENOTTY;
    return file->control(Moment{world->scenario, verdict.t, verdict.since}, request, argument);
  }

 private:
  int make(std::string& out) {
    std::shared_ptr<const World> world = kernel_.world();
    const KernelFile* file = world ? world->tree.find(path_) : nullptr;
    if (!file) return ENODEV;
    const Verdict verdict = kernel_.judge(path_, *file, false);
    if (verdict.error != 0) return verdict.error;
    // It was the file of a driver that has gone since; the one that came has files of its own.
    if (!file->of_bus && verdict.since > opened_) return ENODEV;
    Bytes bytes = file->content(Moment{world->scenario, verdict.t, verdict.since});
    if (bytes.error != 0) return bytes.error;
    if (verdict.all_ones) std::fill(bytes.text.begin(), bytes.text.end(), '\xff');
    out = verdict.sentinel  ? sentinel(bytes.text, file->binary)
          : verdict.garbage ? garbage(bytes.text, file->binary, verdict.garbage_key)
                            : std::move(bytes.text);
    return 0;
  }

  Kernel& kernel_;
  const std::string path_;
  const double opened_;
  std::mutex mutex_;
  std::string said_;
};

}  // namespace

int OpenFile::control(unsigned long, void*) {
  return -ENOTTY;
}

Kernel& Kernel::get() {
  // Never destroyed: a thread may still be inside when the process exits.
  alignas(Kernel) static unsigned char storage[sizeof(Kernel)];
  static Kernel* const kernel = new (storage) Kernel();
  return *kernel;
}

Kernel::Kernel() : live_("accelmon-kernel") {
  root_ = environment("ACCELMON_SIM_ROOT");
  char resolved[PATH_MAX];
  if (root_.size() < 2 || live_.path()[0] == '\0' || !realpath(root_.c_str(), resolved)) return;
  while (root_.back() == '/') root_.pop_back();
  root_ += '/';
  resolved_root_ = std::string(resolved) + "/";
  active_ = true;
}

bool Kernel::below_root(const char* path) const {
  return strncmp(path, root_.c_str(), root_.size()) == 0 ||
         strncmp(path, resolved_root_.c_str(), resolved_root_.size()) == 0;
}

int Kernel::opened(int fd) {
  char link[32], path[PATH_MAX];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof(path));
  if (length <= 0 || length >= static_cast<ssize_t>(sizeof(path))) return 0;
  std::string_view canonical(path, static_cast<size_t>(length));
  if (canonical.substr(0, resolved_root_.size()) != resolved_root_) return 0;
  canonical.remove_prefix(resolved_root_.size());
  const std::shared_ptr<const World> current = world();
  const KernelFile* file = current ? current->tree.find(canonical) : nullptr;
  if (!file) {
    // A folder, or a file that the scenario has no more.
    struct stat status {};
    const bool folder = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
    return folder || !current ? 0 : ENOENT;
  }
  const std::string name(canonical);
  if (const Verdict verdict = judge(name, *file, true); verdict.error != 0) return verdict.error;
  adopt(fd, std::make_shared<TreeFile>(*this, name));
  return 0;
}

std::shared_ptr<OpenFile> Kernel::find(int fd) {
  if (!owns(fd)) return nullptr;
  const std::lock_guard lock(mutex_);
  return files_[static_cast<size_t>(fd)];
}

void Kernel::adopt(int fd, std::shared_ptr<OpenFile> file) {
  if (fd < 0 || fd >= kDescriptors)
    return live_.complain("descriptor " + std::to_string(fd) + " is too large to simulate");
  const std::lock_guard lock(mutex_);
  files_[static_cast<size_t>(fd)] = std::move(file);
  used_[static_cast<size_t>(fd)] = true;
}

void Kernel::forget(int fd) {
  if (!owns(fd)) return;
  std::shared_ptr<OpenFile> last;  // destroyed outside of the lock
  const std::lock_guard lock(mutex_);
  last = std::move(files_[static_cast<size_t>(fd)]);
  used_[static_cast<size_t>(fd)] = false;
}

std::shared_ptr<const World> Kernel::world() {
  std::shared_ptr<const Scenario> latest = live_.get();
  const std::lock_guard lock(mutex_);
  if (latest && (!world_ || world_->source != latest)) world_ = std::make_shared<const World>(std::move(latest));
  return world_;
}

bool Kernel::concerns(const Fault& fault, const std::string& path, const KernelFile& file) const {
  if (!file.owner || fault.vendor != file.owner->vendor || !fault.any_call) return false;
  if (fault.device && *fault.device != file.owner->device) return false;
  if (!fault.file.empty()) return matches_end(fault.file, path);
  // What is about the whole device leaves what the bus knows of it alone, and NVIDIA has nothing else here.
  return !file.of_bus || fault.kind == Fault::Kind::gone || fault.kind == Fault::Kind::lost;
}

Verdict Kernel::judge(const std::string& path, const KernelFile& file, bool opening) {
  const std::shared_ptr<const World> current = world();
  Verdict verdict;
  const double at = verdict.t = now();
  if (!current || !file.owner) return verdict;
  const Scenario& scenario = current->scenario;
  const Vendor vendor = file.owner->vendor;
  verdict.since = scenario.loaded_at(at, vendor);
  if (!file.of_bus && scenario.unloaded(at, vendor)) {
    verdict.error = opening ? ENOENT : ENODEV;
    return verdict;
  }
  for (const Fault& fault : scenario.faults) {
    const std::optional<double> began = fault.occurrence(at);
    if (!began || !concerns(fault, path, file)) continue;
    if (fault.probability < 1 && mix_unit(mix(fault.seed ^ fault.ordinal) + draws_++) >= fault.probability) continue;
    switch (fault.kind) {
      case Fault::Kind::error:
        // What is not there or may not be opened shows at once; all else when it is read.
        if (fault.error_number == ENOENT) verdict.error = opening ? ENOENT : ENODEV;
        if (fault.error_number == EACCES && opening) verdict.error = EACCES;
        if (fault.error_number != ENOENT && fault.error_number != EACCES && !opening)
          verdict.error = fault.error_number;
        if (verdict.error != 0) return verdict;
        break;
      case Fault::Kind::hang:
        if (!opening) live_.hang(fault, [&](const Fault& other) { return concerns(other, path, file); });
        break;
      case Fault::Kind::slow:
        if (!opening) sleep_seconds(fault.milliseconds * 1e-3);
        break;
      case Fault::Kind::crash:
        if (!opening) abort();
        break;
      case Fault::Kind::memory:
        if (!opening) leak_memory();
        break;
      case Fault::Kind::garbage:
      case Fault::Kind::sentinel:
        verdict.garbage = true;
        verdict.sentinel = fault.kind == Fault::Kind::sentinel;
        verdict.garbage_key = mix(fault.seed ^ mix(static_cast<uint64_t>(at * 1e6) + draws_++));
        break;
      case Fault::Kind::lost:
        // The PCI core remembers what it read at boot; only configuration space is asked each time.
        if (file.of_bus && !matches_end("config", path)) break;
        if (file.of_bus) {
          verdict.all_ones = true;
          return verdict;
        }
        if (!opening) verdict.error = ENODEV;
        if (verdict.error != 0) return verdict;
        break;
      case Fault::Kind::gone:
        verdict.error = opening ? ENOENT : ENODEV;
        return verdict;
      case Fault::Kind::frozen:
        verdict.t = *began;
        break;
      case Fault::Kind::backwards:
        verdict.t = std::max(2 * *began - at, verdict.since);
        break;
      case Fault::Kind::driver_unloaded:
      case Fault::Kind::xid:
        break;
    }
  }
  return verdict;
}

}  // namespace accelmon::simulator
