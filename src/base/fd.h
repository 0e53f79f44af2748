// Ownership of file descriptors, and files that are opened once and read again and again.
//
// Threads: none of these types locks; use each from one thread at a time.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"

namespace accelmon {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// Reads all of a small file (at most `limit` bytes; a longer one is an error, never a silent cut).
Result<std::string> read_file(const std::string& path, size_t limit = 1 << 20);

// A /proc or /sys file that stays open: one pread per read instead of open, read, close (4.2 us against 17 us).
//
// read() fills a caller's buffer and returns the text read; what does not fit is an `exhausted` error, since half a
// kernel table is not a table. A file that vanishes (ENODEV, ENOENT) gives `absent`.
class KeptFile {
 public:
  KeptFile() = default;
  static Result<KeptFile> open(const std::string& path);

  Result<std::string_view> read(std::span<char> buffer) const;
  const std::string& path() const { return path_; }
  bool valid() const { return fd_.valid(); }

 private:
  KeptFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  UniqueFd fd_;
  std::string path_;
};

}  // namespace accelmon
