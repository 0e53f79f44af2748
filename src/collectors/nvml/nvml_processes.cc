#include "collectors/nvml/nvml_processes.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "base/fd.h"
#include "base/text.h"

namespace accelmon::nvml {
namespace {

constexpr size_t kFirstRoom = 64;
constexpr size_t kMostRoom = 4096;  // processes on one device; beyond that the list is cut and says so
constexpr unsigned char kFiller = 0xa5;
// Inode of the first process id namespace, a constant of the kernel.
constexpr ino_t kFirstPidNamespace = 0xeffffffc;

std::string_view base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

bool shares_host_pids(const std::string& procfs) {
  if (procfs != "/proc") return true;  // somebody mounted the host's for us
  struct stat status {};
  return ::stat("/proc/self/ns/pid", &status) == 0 && status.st_ino == kFirstPidNamespace;
}

}  // namespace

size_t entry_size(std::span<const unsigned char> memory, size_t count, unsigned char filler) {
  const size_t small_end = std::min(count * sizeof(ProcessInfo), memory.size());
  const size_t large_end = std::min(count * sizeof(ProcessDetail), memory.size());
  const bool beyond = std::any_of(memory.begin() + static_cast<std::ptrdiff_t>(small_end),
                                  memory.begin() + static_cast<std::ptrdiff_t>(large_end),
                                  [&](unsigned char byte) { return byte != filler; });
  return beyond ? sizeof(ProcessDetail) : sizeof(ProcessInfo);
}

void merge(std::vector<Process>& processes) {
  std::sort(processes.begin(), processes.end(),
            [](const Process& a, const Process& b) { return a.pid != b.pid ? a.pid < b.pid : a.mode < b.mode; });
  size_t kept = 0;
  for (size_t i = 0; i < processes.size(); ++i) {
    const Process& next = processes[i];
    if (kept > 0 && processes[kept - 1].pid == next.pid) {
      Process& same = processes[kept - 1];
      if (same.mode != next.mode) continue;
      // Several instances of one device: together they are what the process holds there.
      if (same.memory && next.memory) {
        *same.memory += *next.memory;
      } else {
        same.memory.reset();
      }
      continue;
    }
    processes[kept++] = next;
  }
  processes.resize(kept);
  std::sort(processes.begin(), processes.end(), [](const Process& a, const Process& b) {
    const uint64_t left = a.memory.value_or(0);
    const uint64_t right = b.memory.value_or(0);
    return left != right ? left > right : a.pid < b.pid;
  });
}

int ProcessReader::probe() {
  memory_.resize(kFirstRoom * sizeof(ProcessDetail));
  for (const ProcessMode mode : {kProcessesCompute, kProcessesGraphics}) {
    for (const Source source : {Source::detail_list, Source::v3, Source::v2}) {
      U32 count = 0;
      sources_[mode] = source;
      lists_[mode].code = read_from(source, mode, count);
      if (!is_unsupported(lists_[mode].code)) break;
      sources_[mode] = Source::none;
    }
  }
  // A list that did not fit is read again with more room, since discovery builds the series of processes from it.
  for (int attempt = 0; attempt < 3; ++attempt) {
    read();
    if (lists_[kProcessesCompute].complete && lists_[kProcessesGraphics].complete) break;
  }
  return lists_[kProcessesCompute].code;
}

void ProcessReader::read() {
  processes_.clear();
  read(kProcessesCompute);
  read(kProcessesGraphics);
  merge(processes_);
}

void ProcessReader::read(ProcessMode mode) {
  List& list = lists_[mode];
  const Source source = sources_[mode];
  list.count = 0;
  list.complete = true;
  if (source == Source::none) return;

  U32 count = 0;
  list.code = read_from(source, mode, count);
  if (list.code == kInsufficientSize) {
    // How many there are is known all the same; next time there is room.
    list.code = kSuccess;
    list.count = count;
    list.complete = false;
    const size_t room = std::min<size_t>(count + count / 4 + 16, kMostRoom);
    if (room * sizeof(ProcessDetail) > memory_.size()) memory_.resize(room * sizeof(ProcessDetail));
    return;
  }
  if (list.code != kSuccess) return;
  list.count = count;
  const size_t room = memory_.size() / sizeof(ProcessDetail);
  if (list.count > room) {  // more than there was room for cannot have been written
    list.code = kUnknownError;
    list.count = 0;
    return;
  }
  take(count,
       source == Source::v3 ? entry_size(memory_, count, kFiller)
                            : (source == Source::v2 ? sizeof(ProcessInfo) : sizeof(ProcessDetail)),
       mode);
}

int ProcessReader::read_from(Source source, ProcessMode mode, U32& count) {
  std::memset(memory_.data(), kFiller, memory_.size());
  count = static_cast<U32>(memory_.size() / sizeof(ProcessDetail));
  void* out = memory_.data();
  const bool compute = mode == kProcessesCompute;
  switch (source) {
    case Source::detail_list: {
      ProcessDetailList list;
      list.mode = mode;
      list.count = count;
      list.processes = static_cast<ProcessDetail*>(out);
      const int code = nvml_.call<Symbol::nvmlDeviceGetRunningProcessDetailList>(device_, &list);
      count = list.count;
      return code;
    }
    case Source::v3:
      return compute ? nvml_.call<Symbol::nvmlDeviceGetComputeRunningProcesses_v3>(device_, &count, out)
                     : nvml_.call<Symbol::nvmlDeviceGetGraphicsRunningProcesses_v3>(device_, &count, out);
    case Source::v2:
      return compute ? nvml_.call<Symbol::nvmlDeviceGetComputeRunningProcesses_v2>(device_, &count, out)
                     : nvml_.call<Symbol::nvmlDeviceGetGraphicsRunningProcesses_v2>(device_, &count, out);
    case Source::none:
      break;
  }
  return kFunctionNotFound;
}

void ProcessReader::take(size_t count, size_t size, ProcessMode mode) {
  for (size_t i = 0; i < count; ++i) {
    ProcessInfo entry;  // the head of both layouts
    std::memcpy(&entry, memory_.data() + i * size, sizeof entry);
    Process process;
    process.pid = entry.pid;
    process.mode = mode;
    if (entry.used_memory != kNoValue64) process.memory = entry.used_memory;
    processes_.push_back(process);
  }
}

ProcessNames::ProcessNames(Library& nvml, std::string procfs)
    : nvml_(nvml),
      procfs_(std::move(procfs)),
      host_pids_(shares_host_pids(procfs_)),
      comm_call_(nvml.calls().add("/proc/PID/comm")) {}

const std::string& ProcessNames::name(U32 pid) {
  auto found = names_.find(pid);
  if (found == names_.end()) found = names_.emplace(pid, look_up(pid)).first;
  return found->second;
}

void ProcessNames::keep(const std::function<bool(U32 pid)>& alive) {
  for (auto next = names_.begin(); next != names_.end();)
    next = alive(next->first) ? std::next(next) : names_.erase(next);
}

std::string ProcessNames::look_up(U32 pid) {
  char text[1024] = "";
  const int code = nvml_.call<Symbol::nvmlSystemGetProcessName>(pid, text, static_cast<U32>(sizeof text));
  if (code == kSuccess) {
    text[sizeof text - 1] = '\0';
    const std::string_view name = base_name(text);
    if (!name.empty()) return printable(name, 64);
  }
  if (!host_pids_) return {};
  const std::string path = procfs_ + "/" + std::to_string(pid) + "/comm";
  const auto comm = nvml_.calls().measure(comm_call_, [&] { return read_file(path, 256); });
  return comm ? printable(trim(*comm), 64) : std::string();
}

}  // namespace accelmon::nvml
