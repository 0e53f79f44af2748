#include "collectors/kernel_log/kmsg_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace accelmon::kernel_log {

KmsgSystem real_kmsg_system() {
  return {[](const char* path) { return ::open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); }, &::read};
}

int KmsgReader::open(const std::string& path) {
  close();
  fd_ = UniqueFd(system_.open(path.c_str()));
  if (!fd_.valid()) return errno;
  struct stat about {};
  can_wait_ = ::fstat(fd_.get(), &about) == 0 && (S_ISCHR(about.st_mode) || S_ISFIFO(about.st_mode));
  return 0;
}

void KmsgReader::close() {
  fd_ = UniqueFd();
  can_wait_ = false;
  begin_ = end_ = 0;
  skipping_ = false;
}

KmsgReader::Next KmsgReader::next(std::string_view& record) {
  for (;;) {
    const std::string_view unread(buffer_.data() + begin_, end_ - begin_);
    size_t line_end = unread.find('\n');
    if (line_end != std::string_view::npos) {
      // What follows and begins with a space belongs to it.
      while (line_end + 1 < unread.size() && unread[line_end + 1] == ' ') {
        const size_t more = unread.find('\n', line_end + 1);
        if (more == std::string_view::npos) break;
        line_end = more;
      }
      begin_ += line_end + 1;
      if (skipping_) {
        skipping_ = false;
        continue;
      }
      record = unread.substr(0, line_end + 1);
      return Next::record;
    }
    std::memmove(buffer_.data(), buffer_.data() + begin_, unread.size());
    begin_ = 0;
    end_ = unread.size();
    if (end_ == buffer_.size()) {
      if (!skipping_) ++dropped_;
      skipping_ = true;
      end_ = 0;
    }
    const ssize_t n = system_.read(fd_.get(), buffer_.data() + end_, buffer_.size() - end_);
    if (n > 0) {
      end_ += static_cast<size_t>(n);
    } else if (n == 0 || errno == EAGAIN) {
      return Next::empty;
    } else if (errno == EPIPE) {
      return Next::overrun;
    } else if (errno != EINTR) {
      error_ = errno;
      return Next::failed;
    }
  }
}

}  // namespace accelmon::kernel_log
