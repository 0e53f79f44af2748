#include "collectors/intel_kernel/intel_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"

namespace accelmon::intel_kernel {
int NumberFile::open(const std::string& path) {
  fd_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd_.valid() ? 0 : errno;
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

std::optional<std::string> first_line(const std::string& path) {
  const auto text = read_file(path, 65536);
  if (!text) return std::nullopt;
  std::string_view rest = *text;
  return printable(trim(next_line(rest)), 200);
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
