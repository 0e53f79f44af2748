#include "app/simulate.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "base/fd.h"
#include "base/instrumented.h"
#include "base/text.h"

namespace accelmon {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "lib/accelmon/simulator/libnvidia-ml.so.1";
constexpr const char* kKernel = "lib/accelmon/simulator/libaccelmon-kernel.so";
constexpr const char* kLayOut = "lib/accelmon/simulator/lay-out-tree";
// The collectors that read devices from the kernel's files; the host's own stay the real ones.
constexpr const char* kOfTheKernel[] = {"amdgpu", "intel_kernel", "level_zero", "presence"};
// A driver that Level Zero's own loader loads. It may be left out of a build, and the loader of an installation.
constexpr const char* kLevelZero = "lib/accelmon/simulator/libaccelmon_ze.so";
constexpr const char* kScenarios = "share/accelmon/scenarios";

std::vector<std::string> known_scenarios(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (entry->path().extension() == ".toml") names.push_back(entry->path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

bool plain_word(std::string_view text) {
  return !text.empty() && text.find('/') == std::string_view::npos && !text.ends_with(".toml");
}

// Runs a program to its end. What it says on standard error is the reason when it fails.
Status run(std::vector<std::string> words) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Status::from_errno(errno, "pipe");
  const UniqueFd out(ends[0]);
  UniqueFd in(ends[1]);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in.get(), STDERR_FILENO);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Status::from_errno(error, "cannot start " + words[0]);
  in.reset();
  std::string said;
  char buffer[512];
  for (;;) {
    const ssize_t got = ::read(out.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (said.size() < 4096) said.append(buffer, static_cast<size_t>(got));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  const std::string_view reason = trim(said);
  return {Code::invalid, reason.empty() ? words[0] + " failed" : printable(reason, 600)};
}

}  // namespace

Result<std::shared_ptr<TemporaryFolder>> TemporaryFolder::make() {
  const char* parent = std::getenv("TMPDIR");
  std::string name = std::string(parent != nullptr && parent[0] == '/' ? parent : "/tmp") + "/accelmon-kernel-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) return fail(Status::from_errno(errno, "cannot make " + name));
  return std::shared_ptr<TemporaryFolder>(new TemporaryFolder(std::move(name)));
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
}

Status Simulation::prepare() {
  Result<std::shared_ptr<TemporaryFolder>> folder = TemporaryFolder::make();
  if (!folder) return folder.error();
  if (Status status = run({lay_out, scenario, (*folder)->path()}); !status.ok()) return status;
  root = std::move(*folder);
  return {};
}

void Simulation::apply(Config& config) const {
  // Both look for it: the second stays out of the way where it is.
  for (const char* name : {"nvml", "nvidia_smi"}) config.collectors[name].options["library"] = library;
  if (!root) return;
  for (const char* name : kOfTheKernel) {
    const auto found = config.collectors.find(name);
    if (found == config.collectors.end()) continue;
    for (const char* part : {"sys", "proc", "dev"})
      found->second.options[std::string(part) + "fs"] = root->path() + "/" + part;
  }
  // Not of their devices' readings: of what the bus shows beside them.
  for (const char* name : {"nvml", "nvidia_smi"}) config.collectors[name].options["sysfs"] = root->path() + "/sys";
}

std::vector<CollectorVariable> Simulation::environment(Nanos now) const {
  std::vector<CollectorVariable> variables{{"ACCELMON_SCENARIO", scenario, {}},
                                           {"ACCELMON_SIM_EPOCH_NS", std::to_string(now), {}}};
  // Also without one of our own: then no driver is found, rather than the host's.
  variables.push_back({"ZE_ENABLE_ALT_DRIVERS", level_zero, {"level_zero"}});
  if (!root) return variables;
  const std::vector<std::string> only(std::begin(kOfTheKernel), std::end(kOfTheKernel));
  variables.push_back({"ACCELMON_SIM_ROOT", root->path(), only});
  const auto before = [](const char* name, const std::string& text, char separator) {
    const char* old = std::getenv(name);
    return old != nullptr && old[0] != '\0' ? text + separator + old : text;
  };
  variables.push_back({"LD_PRELOAD", before("LD_PRELOAD", kernel, ':'), only});
#ifdef ACCELMON_ADDRESS_SANITIZER
  // Its runtime would refuse to come after a preloaded library.
  variables.push_back({"ASAN_OPTIONS", before("ASAN_OPTIONS", "verify_asan_link_order=0", ':'), only});
#endif
  return variables;
}

std::string installation_root() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  return error ? std::string("/usr") : program.parent_path().parent_path().string();
}

Result<Simulation> find_simulation(const std::string& scenario, const std::string& root) {
  std::error_code error;
  Simulation found;
  const fs::path folder = fs::path(root) / kScenarios;
  if (plain_word(scenario)) {
    const std::vector<std::string> known = known_scenarios(folder);
    if (std::find(known.begin(), known.end(), scenario) == known.end()) {
      if (known.empty())
        return fail(Code::absent, "the simulator's scenarios are not installed: nothing in " + folder.string());
      std::string names;
      for (const std::string& name : known) names += (names.empty() ? "" : ", ") + name;
      return fail(Code::invalid, "scenario '" + printable(scenario, 60) + "' is unknown. Known: " + names + ".");
    }
    found.scenario = (folder / (scenario + ".toml")).string();
  } else {
    if (!fs::is_regular_file(scenario, error))
      return fail(Code::absent, "scenario " + printable(scenario, 300) + ": no such file");
    found.scenario = fs::absolute(scenario, error).string();
  }
  for (const auto& [part, file] :
       {std::pair{&found.library, kLibrary}, {&found.kernel, kKernel}, {&found.lay_out, kLayOut}}) {
    const fs::path path = fs::path(root) / file;
    if (!fs::exists(path, error))
      return fail(Code::absent, "the simulator is not installed: " + path.string() + " is missing");
    *part = path.string();
  }
  found.level_zero = (fs::path(root) / kLevelZero).string();
  return found;
}

}  // namespace accelmon
