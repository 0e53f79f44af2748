#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "app/command.h"
#include "app/simulate.h"
#include "app/source.h"
#include "app/vocabulary.h"

namespace accelmon {
namespace {

Result<Arguments> parse(std::string_view verb, std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  return parse_arguments(*find_verb(verb), argv);
}

std::string error(std::string_view verb, std::vector<std::string> words) {
  const Result<Arguments> arguments = parse(verb, std::move(words));
  return arguments ? "no error" : arguments.error().message();
}

TEST(Arguments, OptionsInBothForms) {
  const Result<Arguments> one = parse("serve", {"--interval", "250ms", "--listen=0.0.0.0:1"});
  ASSERT_TRUE(one) << one.error().message();
  EXPECT_EQ(one->value("--interval"), "250ms");
  EXPECT_EQ(one->value("--listen"), "0.0.0.0:1");
  EXPECT_FALSE(one->has("--socket"));
  EXPECT_EQ(one->value("--socket", "default"), "default");
  EXPECT_EQ(parse("serve", {"--interval", "1s", "--interval", "2s"})->value("--interval"), "2s");
  EXPECT_TRUE(parse("release", {"nvidia", "--resume"})->has("--resume"));
  EXPECT_EQ(parse("release", {"nvidia"})->words().front(), "nvidia");
  EXPECT_TRUE(parse("status", {"-h"})->has("--help"));
  EXPECT_TRUE(parse("release", {"--help"})->has("--help")) << "help needs none of what the verb needs";
  EXPECT_EQ(parse("config", {"check", "a b.toml"})->words(), (std::vector<std::string>{"check", "a b.toml"}));
}

TEST(Arguments, WrongOnesGetTheNearestKnown) {
  EXPECT_EQ(error("status", {"--fromat", "json"}), "status has no option '--fromat'; did you mean '--format'?");
  EXPECT_EQ(error("status", {"--fromat=json"}), "status has no option '--fromat'; did you mean '--format'?");
  EXPECT_EQ(error("status", {"--format", "jsno"}), "--format 'jsno' is unknown; did you mean 'json'?");
  EXPECT_EQ(error("status", {"--format", "yellow"}),
            "--format 'yellow' is unknown. Known: table, json, csv, prometheus.");
  EXPECT_EQ(error("status", {"--quux"}), "status has no option '--quux'; see 'accelmon status --help'");
  EXPECT_EQ(error("status", {"extra"}), "status cannot use 'extra'; see 'accelmon status --help'");
  EXPECT_EQ(error("serve", {"--config"}), "--config needs a value: --config FILE; see 'accelmon serve --help'");
  EXPECT_EQ(error("release", {}), "release needs VENDOR; see 'accelmon release --help'");
  EXPECT_EQ(error("release", {"\x1b[2J", "b"}).find('\x1b'), std::string::npos);
  EXPECT_EQ(unknown_verb("statsu"), "unknown verb 'statsu'; did you mean 'status'?");
  EXPECT_EQ(unknown_verb("xyzzy"), "unknown verb 'xyzzy'; see 'accelmon help'");
}

TEST(Help, FitsAScreenAndEndsInTwoExamples) {
  std::vector<std::string> pages{main_help(), short_help()};
  for (const Verb& verb : all_verbs()) {
    pages.push_back(verb_help(verb));
    const std::string& page = pages.back();
    const std::string end =
        "\nexamples:\n  " + std::string(verb.examples[0]) + "\n  " + std::string(verb.examples[1]) + "\n";
    EXPECT_TRUE(page.ends_with(end)) << page;
    EXPECT_FALSE(verb.examples[1].empty());
    for (const Option& option : verb.options) EXPECT_NE(page.find(option.name), std::string::npos);
  }
  for (const std::string& page : pages) {
    EXPECT_LE(std::count(page.begin(), page.end(), '\n'), 24) << page;
    for (size_t begin = 0; begin < page.size();) {
      const size_t end = page.find('\n', begin);
      EXPECT_LE(end - begin, 100u) << page.substr(begin, end - begin);
      begin = end + 1;
    }
  }
}

TEST(Help, ExamplesAreRight) {
  for (const Verb& verb : all_verbs())
    for (std::string_view example : verb.examples) {
      if (example.starts_with("source <(")) example.remove_prefix(9);
      ASSERT_TRUE(example.starts_with("accelmon ")) << example;
      std::string text(example.substr(9, example.find_first_of("|><)") - 9));
      std::vector<std::string> words;
      for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find(' ', begin), text.size());
        if (end > begin) words.push_back(text.substr(begin, end - begin));
        begin = end + 1;
      }
      if (words.front() == "--version") continue;
      EXPECT_EQ(words.front(), verb.name);
      words.erase(words.begin());
      EXPECT_EQ(error(verb.name, words), "no error") << example;
    }
}

TEST(Help, CompletionAndManKnowEveryVerb) {
  const std::string completion = bash_completion();
  const std::string man = man_page();
  EXPECT_EQ(man.find(".TH ACCELMON 1"), 0u);
  for (const Verb& verb : all_verbs()) {
    EXPECT_NE(completion.find("    " + std::string(verb.name) + ") COMPREPLY"), std::string::npos) << verb.name;
    std::string in_troff(verb.name);
    if (const size_t dash = in_troff.find('-'); dash != std::string::npos) in_troff.insert(dash, "\\");
    EXPECT_NE(man.find(".SS accelmon " + in_troff), std::string::npos) << verb.name;
  }
  EXPECT_NE(completion.find("status,--format) COMPREPLY=($(compgen -W 'table json csv prometheus'"), std::string::npos);
}

class Scenarios : public testing::Test {
 protected:
  static void touch(const std::filesystem::path& file) { const std::ofstream made(file); }
  void SetUp() override {
    root_ = std::filesystem::path(testing::TempDir()) / ("accelmon-app-" + std::to_string(::getpid()));
    std::filesystem::create_directories(root_ / "share/accelmon/scenarios");
    std::filesystem::create_directories(root_ / "lib/accelmon/simulator");
    for (const char* name : {"t4", "h100x8"}) touch(root_ / "share/accelmon/scenarios" / (std::string(name) + ".toml"));
    touch(root_ / "share/accelmon/scenarios/README.md");
    for (const char* name : {"libnvidia-ml.so.1", "libaccelmon-kernel.so", "lay-out-tree"})
      touch(root_ / "lib/accelmon/simulator" / name);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  std::filesystem::path root_;
};

TEST_F(Scenarios, NamesAndFiles) {
  const Result<Simulation> named = find_simulation("t4", root_);
  ASSERT_TRUE(named) << named.error().message();
  EXPECT_EQ(named->scenario, (root_ / "share/accelmon/scenarios/t4.toml").string());
  EXPECT_EQ(named->library, (root_ / "lib/accelmon/simulator/libnvidia-ml.so.1").string());
  const Result<Simulation> by_path = find_simulation(root_ / "share/accelmon/scenarios/h100x8.toml", root_);
  ASSERT_TRUE(by_path);
  EXPECT_EQ(by_path->scenario, (root_ / "share/accelmon/scenarios/h100x8.toml").string());

  Config config = default_config();
  named->apply(config);
  EXPECT_EQ(config.collectors.at("nvml").options.at("library"), named->library);
  const std::vector<CollectorVariable> expected{{"ACCELMON_SCENARIO", named->scenario, {}},
                                                {"ACCELMON_SIM_EPOCH_NS", "77", {}}};
  auto environment = named->environment(77);
  std::erase_if(environment, [](const auto& entry) { return entry.name == "ZE_ENABLE_ALT_DRIVERS"; });
  EXPECT_EQ(environment, expected);
}

TEST(Settings, TheHostsFilesAreTheSameForEveryCollector) {
  const Result<Arguments> arguments = parse("serve", {"--sysfs-root", "/host/sys", "--procfs-root", "/host/proc"});
  ASSERT_TRUE(arguments);
  int code = 0;
  const Result<Settings> settings = read_settings(*arguments, code);
  ASSERT_TRUE(settings) << settings.error().message();
  for (const char* name : {"nvml", "nvidia_smi", "level_zero", "intel_kernel", "amdgpu", "presence", "sensors", "host"})
    EXPECT_EQ(settings->config.collectors.at(name).options.at("sysfs"), "/host/sys") << name;
  for (const char* name : {"nvml", "level_zero", "intel_kernel", "amdgpu", "kernel_log", "host"})
    EXPECT_EQ(settings->config.collectors.at(name).options.at("procfs"), "/host/proc") << name;
  Config reloaded = default_config();
  settings->overrides(reloaded);
  EXPECT_EQ(reloaded.collectors.at("amdgpu").options.at("sysfs"), "/host/sys");
}

TEST_F(Scenarios, TheKernelsFilesAreWrittenAndGoWithTheirLastOwner) {
  const std::filesystem::path program = root_ / "lib/accelmon/simulator/lay-out-tree";
  std::ofstream(program) << "#!/bin/sh\nmkdir \"$2/sys\" && echo \"$1\" > \"$2/sys/scenario\"\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  Result<Simulation> simulation = find_simulation("t4", root_);
  ASSERT_TRUE(simulation);
  ASSERT_TRUE(simulation->prepare().ok());
  const std::string folder = simulation->root->path();
  EXPECT_TRUE(std::filesystem::exists(folder + "/sys/scenario"));
  Config config;
  config.collectors["amdgpu"];
  config.collectors["host"];
  simulation->apply(config);
  EXPECT_EQ(config.collectors["amdgpu"].options["sysfs"], folder + "/sys");
  EXPECT_EQ(config.collectors["amdgpu"].options["procfs"], folder + "/proc");
  EXPECT_EQ(config.collectors["amdgpu"].options["devfs"], folder + "/dev");
  for (const char* name : {"nvml", "nvidia_smi"})
    EXPECT_EQ(config.collectors[name].options["sysfs"], folder + "/sys") << name;
  EXPECT_TRUE(config.collectors["host"].options.empty());
  EXPECT_EQ(config.collectors.count("presence"), 0u);
  const auto environment = simulation->environment(77);
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"ACCELMON_SIM_ROOT", folder}, {"LD_PRELOAD", (root_ / "lib/accelmon/simulator/libaccelmon-kernel.so")}}) {
    const auto found = std::find_if(environment.begin(), environment.end(),
                                    [&, key = name](const CollectorVariable& one) { return one.name == key; });
    ASSERT_NE(found, environment.end()) << name;
    EXPECT_EQ(found->value.substr(0, value.size()), value);
    EXPECT_NE(std::find(found->only.begin(), found->only.end(), "amdgpu"), found->only.end());
    EXPECT_EQ(std::find(found->only.begin(), found->only.end(), "host"), found->only.end())
        << "the host's own files stay the real ones";
  }
  simulation->root.reset();
  EXPECT_FALSE(std::filesystem::exists(folder));

  std::ofstream(program) << "#!/bin/sh\necho 'line 3: no' >&2\nexit 1\n";
  const Status failed = simulation->prepare();
  EXPECT_EQ(failed.code(), Code::invalid);
  EXPECT_EQ(failed.message(), "line 3: no");
}

TEST_F(Scenarios, UnknownOnesAreToldTheKnown) {
  const Result<Simulation> unknown = find_simulation("h100x9", root_);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code(), Code::invalid);
  EXPECT_EQ(unknown.error().message(), "scenario 'h100x9' is unknown. Known: h100x8, t4.");
  EXPECT_EQ(find_simulation("../t4", root_).error().message(), "scenario ../t4: no such file");
  EXPECT_EQ(find_simulation("", root_).error().code(), Code::absent);
  std::filesystem::remove(root_ / "lib/accelmon/simulator/libnvidia-ml.so.1");
  EXPECT_EQ(find_simulation("t4", root_).error().code(), Code::absent);
  std::filesystem::remove_all(root_ / "share");
  EXPECT_EQ(find_simulation("t4", root_).error().message().find("the simulator's scenarios are not installed"), 0u);
}

TEST(Vocabulary, HoldsEveryMetricOnce) {
  const std::string page = vocabulary_markdown();
  EXPECT_NE(page.find("| `hw.gpu.utilization` | `hw_gpu_utilization_ratio` | gauge | `1` | `hw.gpu.task` | "
                      "`DCGM_FI_DEV_GPU_UTIL` | "),
            std::string::npos);
  const size_t first = page.find("| `accelmon.agent.cpu.time` |");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(page.find("| `accelmon.agent.cpu.time` |", first + 1), std::string::npos);
  EXPECT_GT(first, page.find("## accelmon itself"));
  EXPECT_GT(page.find("| `accelmon.power.ema` |"), page.find("## Smoothed and windowed"));
  const std::string json = vocabulary_json();
  EXPECT_NE(json.find("{\"name\":\"hw.energy\",\"prometheus\":\"hw_energy_joules_total\",\"group\":\"Accelerators\","
                      "\"kind\":\"counter\",\"unit\":\"J\",\"attributes\":[],\"minimum\":0,\"maximum\":1000000000000,"
                      "\"dcgm\":\"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION\",\"dcgm_scale\":1000,\"torchserve\":null,"),
            std::string::npos);
}

}  // namespace
}  // namespace accelmon
