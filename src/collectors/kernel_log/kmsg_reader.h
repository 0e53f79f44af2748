// /dev/kmsg, record by record, without waiting.
//
// The device gives one record a read; a file in its format (a capture, a simulated kernel) gives many, and both are
// read here. Memory: one buffer; a record that does not fit is dropped and counted.
// Threads: one.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace accelmon::kernel_log {

// The calls into the system; tests put their own in their place.
struct KmsgSystem {
  int (*open)(const char* path);
  ssize_t (*read)(int fd, void* out, size_t size);
};
KmsgSystem real_kmsg_system();

class KmsgReader {
 public:
  explicit KmsgReader(const KmsgSystem& system) : system_(system) {}

  // Opens at the oldest record that the kernel still has. 0, or errno.
  int open(const std::string& path);
  void close();
  bool valid() const { return fd_.valid(); }
  // Readable when there is a record; -1 where that cannot be waited for (a file can always be read).
  int fd_to_wait_for() const { return can_wait_ ? fd_.get() : -1; }

  enum class Next : uint8_t { record, empty, overrun, failed };
  // `record` is a view into the reader, good until the next call. overrun: the kernel has overwritten records that were
  // not read; go on. failed: error() says why.
  Next next(std::string_view& record);
  int error() const { return error_; }
  uint64_t dropped() const { return dropped_; }  // records that were too long

 private:
  KmsgSystem system_;
  UniqueFd fd_;
  bool can_wait_ = false;
  std::array<char, 16 * 1024> buffer_{};
  size_t begin_ = 0, end_ = 0;
  bool skipping_ = false;  // the rest of a record that was too long
  int error_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace accelmon::kernel_log
