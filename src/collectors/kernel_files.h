// What collectors that read the kernel's files by themselves share: names in a folder, one number a file, errno's name.
//
// Threads: none. Cost of a read: the system call and half a microsecond; reads allocate nothing, listings do.
#pragma once

#include <dirent.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace accelmon {

// The number that the file says from its start, or the errno; EBADMSG: what it says is no number.
int read_number(int fd, int64_t& out);
int read_number(int fd, uint64_t& out);

// "EIO"; "unknown".
std::string_view errno_name(int error);

// hwmon3 before hwmon12: by length, then by letters.
bool by_number(const std::string& a, const std::string& b);
// What does not begin with a dot, sorted so, and bounded; nothing where the folder cannot be read.
std::vector<std::string> names_in(const std::string& folder);

// Whether the kernel has suspended the device of this power/runtime_status, which costs no wake-up. "suspending" and
// "resuming" are ways there and back, of milliseconds; a file that is not there or cannot be read says no.
bool is_suspended(const KeptFile& runtime_status);

// Changes when an entry comes or goes. The folder stays open, so that looking allocates nothing. 0: it is not open.
uint64_t folder_fingerprint(DIR* folder);

}  // namespace accelmon
