#include "base/fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace accelmon {

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

namespace {

// Reads from offset 0 until the end of the file or of the buffer. Returns the bytes read, or -1 with errno.
ssize_t pread_all(int fd, char* out, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(fd, out + done, size - done, static_cast<off_t>(done));
    if (n < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return static_cast<ssize_t>(done);
}

}  // namespace

Result<std::string> read_file(const std::string& path, size_t limit) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return fail(Status::from_errno(errno, path));
  std::string text;
  char chunk[8192];
  for (;;) {
    const ssize_t n = ::read(fd.get(), chunk, sizeof chunk);
    if (n < 0) {
      if (errno == EINTR) continue;
      return fail(Status::from_errno(errno, path));
    }
    if (n == 0) return text;
    if (text.size() + static_cast<size_t>(n) > limit)
      return fail(Code::exhausted, path + ": larger than " + std::to_string(limit) + " bytes");
    text.append(chunk, static_cast<size_t>(n));
  }
}

Result<KeptFile> KeptFile::open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return fail(Status::from_errno(errno, path));
  return KeptFile(std::move(fd), path);
}

Result<std::string_view> KeptFile::read(std::span<char> buffer) const {
  const ssize_t n = pread_all(fd_.get(), buffer.data(), buffer.size());
  if (n < 0) return fail(Status::from_errno(errno, path_));
  if (static_cast<size_t>(n) == buffer.size())
    return fail(Code::exhausted, path_ + ": longer than the buffer of " + std::to_string(buffer.size()) + " bytes");
  return std::string_view(buffer.data(), static_cast<size_t>(n));
}

}  // namespace accelmon
