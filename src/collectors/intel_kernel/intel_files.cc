#include "collectors/intel_kernel/intel_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/text.h"

namespace accelmon::intel_kernel {
namespace {

constexpr size_t kMostNames = 4096;

}  // namespace

int NumberFile::open(const std::string& path) {
  fd_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd_.valid() ? 0 : errno;
}

int NumberFile::text(char* buffer, size_t size, std::string_view& out) const {
  ssize_t n = 0;
  do n = ::pread(fd_.get(), buffer, size, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0) return errno;
  out = trim(std::string_view(buffer, static_cast<size_t>(n)));
  return 0;
}

int NumberFile::read(int64_t& out) const {
  char buffer[64];
  std::string_view said;
  if (const int error = text(buffer, sizeof buffer, said); error != 0) return error;
  const auto number = parse_i64(said);
  if (!number) return EBADMSG;
  out = *number;
  return 0;
}

int NumberFile::read(uint64_t& out) const {
  char buffer[64];
  std::string_view said;
  if (const int error = text(buffer, sizeof buffer, said); error != 0) return error;
  const auto number = parse_u64(said);
  if (!number) return EBADMSG;
  out = *number;
  return 0;
}

State state_of(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      return State::no_permission;
    case EAGAIN:
    case EBUSY:
    case ENODATA:
      return State::not_ready;
    case EOPNOTSUPP:
    case EINVAL:
    case ENOTTY:
      return State::unsupported;
    case EBADMSG:
      return State::implausible;
    default:
      return State::error;
  }
}

bool is_gone(int error) {
  return error == ENODEV || error == ENOENT || error == ENXIO;
}

bool is_forbidden(int error) {
  return error == EACCES || error == EPERM;
}

std::string_view error_name(int error) {
  const char* const name = ::strerrorname_np(error);
  return name != nullptr ? name : "unknown";
}

std::optional<std::string> first_line(const std::string& path) {
  const auto text = read_file(path, 65536);
  if (!text) return std::nullopt;
  std::string_view rest = *text;
  return printable(trim(next_line(rest)), 200);
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* const dir = ::opendir(folder.c_str());
  if (dir == nullptr) return names;
  while (names.size() < kMostNames) {
    const dirent* const entry = ::readdir(dir);
    if (entry == nullptr) break;
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  return names;
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

std::optional<unsigned> number_after(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  const auto number = parse_u64(name.substr(prefix.size()));
  if (!number || *number > 4095) return std::nullopt;
  return static_cast<unsigned>(*number);
}

}  // namespace accelmon::intel_kernel
