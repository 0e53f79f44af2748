#include "net/port_holder.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/text.h"

namespace accelmon {
namespace {

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, CloseDir>;

// "socket:[INODE]" of every socket that listens on the port, in the form in which /proc/PID/fd links to it.
std::vector<std::string> listening_sockets(const std::string& table, uint16_t port) {
  std::vector<std::string> out;
  const Result<std::string> text = read_file(table, 16u << 20);
  if (!text) return out;
  std::string_view rest = *text;
  next_line(rest);  // the heading
  while (!rest.empty()) {
    std::string_view line = next_line(rest);
    next_word(line);
    const std::string_view local = next_word(line);
    next_word(line);
    const std::string_view state = next_word(line);
    for (int skipped = 0; skipped < 5; ++skipped) next_word(line);  // queues, timer, retransmits, uid, timeout
    const std::string_view inode = next_word(line);
    const size_t colon = local.rfind(':');
    if (colon == std::string_view::npos || parse_u64(local.substr(colon + 1), 16) != uint64_t{port}) continue;
    if (state == "0A" && parse_u64(inode)) out.push_back("socket:[" + std::string(inode) + "]");
  }
  return out;
}

bool holds_one_of(const std::string& folder, const std::vector<std::string>& sockets) {
  const Dir dir(::opendir(folder.c_str()));
  if (dir == nullptr) return false;
  while (const dirent* entry = ::readdir(dir.get())) {
    char link[64];
    const ssize_t n = ::readlink((folder + "/" + entry->d_name).c_str(), link, sizeof link);
    if (n > 0 &&
        std::find(sockets.begin(), sockets.end(), std::string_view(link, static_cast<size_t>(n))) != sockets.end())
      return true;
  }
  return false;
}

}  // namespace

std::string process_name(int pid, const std::string& proc) {
  const Result<std::string> comm = read_file(proc + "/" + std::to_string(pid) + "/comm", 4096);
  return comm ? printable(trim(*comm), 64) : std::string();
}

std::optional<PortHolder> find_port_holder(uint16_t port, const std::string& proc) {
  std::vector<std::string> sockets = listening_sockets(proc + "/net/tcp", port);
  for (std::string& socket : listening_sockets(proc + "/net/tcp6", port)) sockets.push_back(std::move(socket));
  if (sockets.empty()) return std::nullopt;
  const Dir dir(::opendir(proc.c_str()));
  if (dir == nullptr) return std::nullopt;
  while (const dirent* entry = ::readdir(dir.get())) {
    const auto pid = parse_u64(entry->d_name);
    if (!pid || !holds_one_of(proc + "/" + entry->d_name + "/fd", sockets)) continue;
    return PortHolder{static_cast<int>(*pid), process_name(static_cast<int>(*pid), proc)};
  }
  return std::nullopt;
}

}  // namespace accelmon
