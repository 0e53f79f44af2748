#include "collectors/kernel_files.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>

#include "base/text.h"

namespace accelmon {
namespace {

constexpr size_t kMostNames = 4096;
constexpr size_t kMostEntries = 65536;

// 0 and what the file says, or the errno.
int read_text(int fd, char (&buffer)[64], std::string_view& out) {
  ssize_t n = 0;
  do n = ::pread(fd, buffer, sizeof buffer, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0) return errno;
  out = trim(std::string_view(buffer, static_cast<size_t>(n)));
  return 0;
}

}  // namespace

int read_number(int fd, int64_t& out) {
  char buffer[64];
  std::string_view said;
  if (const int error = read_text(fd, buffer, said); error != 0) return error;
  const auto number = parse_i64(said);
  if (!number) return EBADMSG;
  out = *number;
  return 0;
}

int read_number(int fd, uint64_t& out) {
  char buffer[64];
  std::string_view said;
  if (const int error = read_text(fd, buffer, said); error != 0) return error;
  const auto number = parse_u64(said);
  if (!number) return EBADMSG;
  out = *number;
  return 0;
}

std::string_view errno_name(int error) {
  const char* const name = ::strerrorname_np(error);
  return name != nullptr ? name : "unknown";
}

bool by_number(const std::string& a, const std::string& b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
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
  std::sort(names.begin(), names.end(), by_number);
  return names;
}

bool is_suspended(const KeptFile& runtime_status) {
  if (!runtime_status.valid()) return false;
  char buffer[64];
  const auto text = runtime_status.read(buffer);
  return text && trim(*text) == "suspended";
}

uint64_t folder_fingerprint(DIR* folder) {
  if (folder == nullptr) return 0;
  uint64_t sum = 1;
  ::rewinddir(folder);
  for (size_t i = 0; i < kMostEntries; ++i) {
    const dirent* const entry = ::readdir(folder);
    if (entry == nullptr) break;
    sum += std::hash<std::string_view>{}(entry->d_name);
  }
  return sum;
}

}  // namespace accelmon
