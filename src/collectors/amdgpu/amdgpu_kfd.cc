#include "collectors/amdgpu/amdgpu_kfd.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "base/fd.h"
#include "base/text.h"
#include "collectors/amdgpu/amdgpu_files.h"

namespace accelmon::amdgpu {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

constexpr size_t kBanksMost = 16;

// The numbers among the names in a folder, sorted.
int list_numbers(const std::string& path, size_t most, std::vector<uint32_t>& out) {
  out.clear();
  const Folder folder(::opendir(path.c_str()));
  if (!folder) return errno;
  while (const dirent* entry = ::readdir(folder.get())) {
    const auto number = parse_u64(entry->d_name);
    if (number && *number <= UINT32_MAX && out.size() < most) out.push_back(static_cast<uint32_t>(*number));
  }
  std::sort(out.begin(), out.end());
  return 0;
}

// A small file below an open folder.
std::optional<double> read_below(int folder, const char* name) {
  const UniqueFd fd(::openat(folder, name, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return std::nullopt;
  char buffer[64];
  ssize_t got = 0;
  do {
    got = ::pread(fd.get(), buffer, sizeof buffer, 0);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return std::nullopt;
  const auto number = parse_number({buffer, static_cast<size_t>(got)});
  return number && *number >= 0 ? number : std::nullopt;
}

// Memory of a node: its banks of the kinds 1 and 2, that are local memory which the host can and cannot reach.
std::optional<double> memory_of(const std::string& node) {
  std::vector<uint32_t> banks;
  if (list_numbers(node + "/mem_banks", kBanksMost, banks) != 0) return std::nullopt;
  std::optional<double> sum;
  for (const uint32_t bank : banks) {
    const Result<std::string> properties = read_file(node + "/mem_banks/" + std::to_string(bank) + "/properties", 4096);
    if (!properties) continue;
    const auto kind = find_property(*properties, "heap_type");
    const auto size = find_property(*properties, "size_in_bytes");
    if ((kind == 1 || kind == 2) && size && *size > 0) sum = sum.value_or(0) + static_cast<double>(*size);
  }
  return sum;
}

}  // namespace

std::string kfd_generation_file(const std::string& sysfs) {
  return sysfs + "/class/kfd/kfd/topology/generation_id";
}

std::vector<KfdNode> read_kfd_nodes(const std::string& sysfs) {
  std::vector<KfdNode> nodes;
  const std::string folder = sysfs + "/class/kfd/kfd/topology/nodes";
  std::vector<uint32_t> numbers;
  if (list_numbers(folder, kNodesMost, numbers) != 0) return nodes;
  for (const uint32_t number : numbers) {
    const std::string at = folder + "/" + std::to_string(number);
    const Result<std::string> id = read_file(at + "/gpu_id", 64);
    const Result<std::string> properties = read_file(at + "/properties", 16384);
    if (!id || !properties) continue;
    const auto gpu_id = parse_u64(trim(*id));
    const auto location = find_property(*properties, "location_id");
    if (!gpu_id || *gpu_id == 0 || *gpu_id > UINT32_MAX || !location) continue;
    KfdNode node;
    node.gpu_id = static_cast<uint32_t>(*gpu_id);
    node.location = static_cast<unsigned>(*location);
    char address[32];
    std::snprintf(address, sizeof address, "%04x:%02x:%02x.0",
                  static_cast<unsigned>(find_property(*properties, "domain").value_or(0) & 0xffff),
                  node.location >> 8 & 0xff, node.location >> 3 & 0x1f);
    node.address = address;
    const uint64_t simds = find_property(*properties, "simd_count").value_or(0);
    const uint64_t per_unit = find_property(*properties, "simd_per_cu").value_or(0);
    if (per_unit > 0) node.compute_units = static_cast<unsigned>(std::min<uint64_t>(simds / per_unit, 1u << 20));
    node.gfx_version = static_cast<unsigned>(
        std::min<uint64_t>(find_property(*properties, "gfx_target_version").value_or(0), 9999999));
    node.memory = memory_of(at);
    nodes.push_back(std::move(node));
  }
  return nodes;
}

int Kfd::scan(const std::vector<uint32_t>& gpu_ids, std::vector<KfdProcess>& out) {
  return calls_.measure(call_, [&] {
    out.clear();
    const Folder folder(::opendir(folder_.c_str()));
    if (!folder) return errno;
    while (const dirent* entry = ::readdir(folder.get())) {
      const auto pid = parse_u64(entry->d_name);
      if (!pid || *pid == 0 || *pid > INT32_MAX) continue;
      // A process that is ending leaves its folder for a while: what is no longer in it is no error.
      const UniqueFd process(::openat(::dirfd(folder.get()), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!process.valid()) continue;
      for (const uint32_t gpu_id : gpu_ids) {
        if (out.size() >= kKfdProcessesMost) return 0;
        char name[64];
        std::snprintf(name, sizeof name, "vram_%u", gpu_id);
        KfdProcess found{static_cast<uint32_t>(*pid), gpu_id, read_below(process.get(), name), std::nullopt};
        // KFD shows every process on every node; nothing held there means that it does not use it.
        if (!found.memory || *found.memory <= 0) continue;
        std::snprintf(name, sizeof name, "stats_%u/cu_occupancy", gpu_id);
        found.compute_units = read_below(process.get(), name);
        out.push_back(found);
      }
    }
    return 0;
  });
}

}  // namespace accelmon::amdgpu
