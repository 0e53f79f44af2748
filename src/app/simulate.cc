#include "app/simulate.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/text.h"

namespace accelmon {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "lib/accelmon/simulator/libnvidia-ml.so.1";
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

}  // namespace

void Simulation::apply(Config& config) const {
  config.collectors["nvml"].options["library"] = library;
}

std::vector<std::pair<std::string, std::string>> Simulation::environment(Nanos now) const {
  return {{"ACCELMON_SCENARIO", scenario}, {"ACCELMON_SIM_EPOCH_NS", std::to_string(now)}};
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
  const fs::path library = fs::path(root) / kLibrary;
  if (!fs::exists(library, error))
    return fail(Code::absent, "the simulator is not installed: " + library.string() + " is missing");
  found.library = library.string();
  return found;
}

}  // namespace accelmon
