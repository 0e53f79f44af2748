// Listening sockets: TCP and Unix, non-blocking and closed in child processes, with errors that say what to do.
//
// Threads: called at start-up, from one thread.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/fd.h"
#include "base/status.h"

namespace accelmon {

struct TcpListener {
  UniqueFd fd;
  std::string address;  // with the real port
};

// Errors: invalid (the address), io (in use, no permission, not an address of this host).
Result<TcpListener> listen_tcp(const std::string& address);

// Removes its socket file when it goes, unless another one has taken its place.
class UnixListener {
 public:
  UnixListener() = default;
  UnixListener(UniqueFd fd, std::string path, dev_t device, ino_t inode)
      : fd_(std::move(fd)), path_(std::move(path)), device_(device), inode_(inode) {}
  UnixListener(UnixListener&&) noexcept = default;
  UnixListener& operator=(UnixListener&& other) noexcept;
  ~UnixListener() { remove(); }

  int fd() const { return fd_.get(); }
  bool valid() const { return fd_.valid(); }

 private:
  void remove();
  UniqueFd fd_;
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// The file's mode is 0660, so that a group may be given the control of the agent; in a folder that everybody may write
// to
// (/tmp) it is 0600. A folder that is missing is created (0755). The file of a dead server is replaced.
// Errors: invalid (the path), io (a live server has it, something else lies there, no permission).
Result<UnixListener> listen_unix(const std::string& path);

}  // namespace accelmon
