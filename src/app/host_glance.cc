#include "app/host_glance.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "collectors/host/host_parse.h"

namespace accelmon {
namespace {

std::string text_of(const std::string& path) {
  Result<std::string> text = read_file(path);
  return text ? std::move(*text) : std::string();
}

std::optional<double> as_double(std::optional<uint64_t> value) {
  return value ? std::optional<double>(static_cast<double>(*value)) : std::nullopt;
}

}  // namespace

std::optional<CpuReading> read_cpu(const std::string& procfs) {
  const host::CpuModes modes = host::cpu_modes(host::parse_stat(text_of(procfs + "/stat")).all);
  if (modes.modes == 0) return std::nullopt;
  CpuReading reading;
  for (size_t i = 0; i < modes.modes; ++i) {
    reading.all += modes.ticks[i];
    if (host::kCpuModeNames[i] != "idle" && host::kCpuModeNames[i] != "iowait") reading.busy += modes.ticks[i];
  }
  return reading;
}

std::optional<double> cpu_between(const CpuReading& before, const CpuReading& after) {
  if (after.all <= before.all || after.busy < before.busy) return std::nullopt;
  const uint64_t busy = after.busy - before.busy;
  const uint64_t all = after.all - before.all;
  if (busy > all) return std::nullopt;
  return static_cast<double>(busy) / static_cast<double>(all);
}

void read_memory_and_disk(const std::string& procfs, HostGlance& out) {
  const host::MemoryText memory = host::parse_meminfo(text_of(procfs + "/meminfo"));
  const host::MemoryUse use = host::memory_use(memory);
  out.memory_total = as_double(memory.total);
  out.memory_available = as_double(memory.available);
  if (use.states[0] == State::ok) out.memory_used = static_cast<double>(use.bytes[0]);
  struct statvfs disk = {};
  if (::statvfs("/", &disk) != 0 || disk.f_blocks < disk.f_bfree) return;
  const double block = static_cast<double>(disk.f_frsize);
  out.disk_used = static_cast<double>(disk.f_blocks - disk.f_bfree) * block;
  out.disk_available = static_cast<double>(disk.f_bavail) * block;
}

std::vector<std::pair<int32_t, uint64_t>> read_resident(const std::string& procfs, const std::vector<int32_t>& pids) {
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  std::vector<std::pair<int32_t, uint64_t>> out;
  out.reserve(pids.size());
  for (const int32_t pid : pids) {
    const std::string text = text_of(procfs + "/" + std::to_string(pid) + "/statm");
    std::string_view rest = text;
    (void)next_word(rest);
    const std::optional<uint64_t> pages = parse_u64(next_word(rest));
    out.emplace_back(pid, pages && *pages < UINT64_MAX / 2 / page ? *pages * page : 0);
  }
  return out;
}

}  // namespace accelmon
