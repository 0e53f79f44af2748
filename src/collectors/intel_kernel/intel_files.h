// The driver's small files: kept open, one number each.
//
// Threads: one. Cost of a read: the system call and half a microsecond; nothing is allocated.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "collectors/kernel_files.h"
#include "model/frame.h"

namespace accelmon::intel_kernel {

class NumberFile {
 public:
  int open(const std::string& path);  // 0, or the errno
  // 0 and the number, or the errno; EBADMSG: what it says is no number.
  int read(int64_t& out) const { return read_number(fd_.get(), out); }
  int read(uint64_t& out) const { return read_number(fd_.get(), out); }
  bool valid() const { return fd_.valid(); }

 private:
  UniqueFd fd_;
};

// What an errno of these files means.
State state_of(int error);
bool is_gone(int error);       // the device or its driver is no longer there
bool is_forbidden(int error);  // it is there, and not for this user

// For discovery: the first line of a file, or nothing; a number at a name's end.
std::optional<std::string> first_line(const std::string& path);
bool exists(const std::string& path);
std::optional<unsigned> number_after(std::string_view name, std::string_view prefix);

}  // namespace accelmon::intel_kernel
