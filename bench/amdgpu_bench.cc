// What a poll of AMD boards costs beside the kernel's own work: the trees of shipped scenarios, laid out as plain
// files.
//
// "files" is how many kept-open files a poll of the fast tier reads; "poll_us" the processor time of all of it, and
// "read_us" that of the same system calls alone, made here in turn with the polls. What is left is ours: decoding,
// metering, publishing; "own_us_per_file" is that for a file. On real boards a read costs what the driver takes.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/fd.h"
#include "collectors/amdgpu/amdgpu_collector.h"
#include "timing.h"

namespace accelmon {
namespace {

namespace fs = std::filesystem;

// The machine of a scenario as it is at its beginning, in a folder of its own.
class Tree {
 public:
  explicit Tree(const char* scenario) {
    std::string pattern = (fs::temp_directory_path() / "accelmon-bench-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) return;
    root = pattern;
    const std::string command = "'" ACCELMON_BUILD_DIR "/lib/accelmon/simulator/lay-out-tree' '" ACCELMON_SOURCE_DIR
                                "/simulator/scenarios/" +
                                std::string(scenario) + ".toml' '" + pattern + "'";
    laid_out = std::system(command.c_str()) == 0;
  }
  ~Tree() {
    std::error_code ignored;
    if (!root.empty()) fs::remove_all(root, ignored);
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  fs::path root;
  bool laid_out = false;
};

// What a poll reads, by the names of its calls, as descriptors to read it again: a name is a file's last part.
struct Files {
  std::vector<UniqueFd> once;    // texts: one call
  std::vector<UniqueFd> to_end;  // gpu_metrics: until a call gives nothing more
};

// Those of our open files that lie below the root and have been read by this poll, opened again.
Files files_of(const fs::path& root, const std::map<std::string, uint64_t>& calls) {
  Files files;
  std::map<std::string, uint64_t> left = calls;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const fs::path path = fs::read_symlink(entry.path(), gone);
    if (gone || path.string().compare(0, root.string().size(), root.string()) != 0 || !fs::is_regular_file(path))
      continue;
    const auto call = std::find_if(left.begin(), left.end(), [&](const auto& one) {
      return one.second > 0 && fs::path(one.first).filename() == path.filename();
    });
    if (call == left.end()) continue;
    --call->second;
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    (path.filename() == "gpu_metrics" ? files.to_end : files.once).push_back(std::move(fd));
  }
  return files;
}

void read_all(const Files& files, std::vector<char>& buffer) {
  const auto read = [&](const UniqueFd& fd, off_t at) { return ::pread(fd.get(), buffer.data(), buffer.size(), at); };
  for (const UniqueFd& fd : files.once) benchmark::DoNotOptimize(read(fd, 0));
  for (const UniqueFd& fd : files.to_end)
    for (ssize_t n = 0, at = 0; (n = read(fd, at)) > 0;) at += n;
}

void poll(benchmark::State& state, const char* scenario) {
  const Tree tree(scenario);
  if (!tree.laid_out) return state.SkipWithError("the scenario cannot be laid out");
  CallMeter meter(real_clock());
  auto collector = make_amdgpu_collector(
      CollectorContext{meter,
                       real_clock(),
                       {{"sysfs", tree.root / "sys"}, {"procfs", tree.root / "proc"}, {"devfs", tree.root / "dev"}}});
  const Result<Catalog> catalog = collector->discover();
  if (!catalog) return state.SkipWithError(catalog.error().message().c_str());
  Frame frame;
  frame.resize(catalog->series.size());
  std::vector<Event> events;
  const PollRequest fast{1u << static_cast<unsigned>(Tier::fast)};
  for (int i = 0; i < 2; ++i) (void)collector->poll(PollRequest{7}, frame, events);

  std::map<std::string, uint64_t> calls;
  for (const CallStats& call : meter.calls()) calls[call.name] -= call.calls;
  (void)collector->poll(fast, frame, events);
  for (const CallStats& call : meter.calls()) calls[call.name] += call.calls;
  uint64_t reads = 0;
  for (const auto& [name, count] : calls) reads += count;
  const Files files = files_of(tree.root, calls);
  if (files.once.size() + files.to_end.size() != reads)
    return state.SkipWithError("it reads files that are not kept open");

  std::vector<char> buffer(65536);
  Timing polls, kernel;
  for (auto _ : state) {
    const double began = cpu_microseconds();
    benchmark::DoNotOptimize(collector->poll(fast, frame, events));
    const double polled = cpu_microseconds();
    read_all(files, buffer);
    const double end = cpu_microseconds();
    polls.rounds.push_back(polled - began);
    kernel.rounds.push_back(end - polled);
  }
  const double poll_us = polls.median(), read_us = kernel.median();
  state.counters["series"] = static_cast<double>(catalog->series.size());
  state.counters["files"] = static_cast<double>(reads);
  state.counters["poll_us"] = poll_us;
  state.counters["read_us"] = read_us;
  state.counters["own_us_per_file"] = (poll_us - read_us) / static_cast<double>(reads);
}

void BM_EightBoards(benchmark::State& state) {
  poll(state, "mi300x-spx");
}
void BM_EightPartitionsOfOneBoard(benchmark::State& state) {
  poll(state, "mi300x-cpx");
}
void BM_Workstation(benchmark::State& state) {
  poll(state, "radeon");
}
BENCHMARK(BM_EightBoards);
BENCHMARK(BM_EightPartitionsOfOneBoard);
BENCHMARK(BM_Workstation);

}  // namespace
}  // namespace accelmon
