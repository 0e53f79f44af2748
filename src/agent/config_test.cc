#include "agent/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/agent.h"

namespace accelmon {
namespace {

Config good(std::string_view toml) {
  Result<Config> config = parse_config(toml, "a.toml");
  EXPECT_TRUE(config) << config.error().message();
  return config ? *config : Config();
}

std::string error_of(std::string_view toml) {
  const Result<Config> config = parse_config(toml, "a.toml");
  if (config) return "no error";
  EXPECT_EQ(config.error().code(), Code::invalid);
  return config.error().message();
}

TEST(Config, NothingWrittenMeansTheDefaults) {
  const Config config = good("");
  EXPECT_EQ(config.listen.address, "127.0.0.1:19400");
  EXPECT_EQ(config.listen.socket, "");
  EXPECT_EQ(config.poll.interval, kSecond);
  EXPECT_EQ(config.poll.slow, 10 * kSecond);
  EXPECT_EQ(config.poll.rare, 60 * kSecond);
  EXPECT_EQ(config.smoothing.ema, (std::vector<Nanos>{10 * kSecond, 60 * kSecond}));
  EXPECT_EQ(config.store.memory, 1u << 20);
  EXPECT_TRUE(config.exposition.gzip);
  ASSERT_GE(config.collectors.size(), 2u);
  EXPECT_TRUE(config.collectors.at("nvml").enabled);
  EXPECT_TRUE(config.collectors.at("host").enabled);
  EXPECT_TRUE(config.collectors.at("nvml").options.empty());
}

TEST(Config, KnowsTheCollectorsOfThisBuild) {
  const Config config = default_config();
  for (const KnownCollector& one : known_collectors()) EXPECT_EQ(config.collectors.count(one.name), 1u) << one.name;
  EXPECT_EQ(config.collectors.size(), known_collectors().size());
}

TEST(Config, ReadsEveryKey) {
  const Config config = good(R"(
[listen]
address = "[::1]:0"
socket = "/run/x.sock"
max_connections = 8
idle_timeout = "5s"
request_timeout = "500ms"
[poll]
interval = "100ms"
slow = "2s"
rare = "1h"
[smoothing]
ema = ["5s", "1m", "1.5s"]
window = "30s"
[store]
memory = "256KiB"
[exposition]
gzip = false
vocabularies = ["otel", "dcgm"]
only = ["hw.*", "accelmon.gpu.clock.frequency"]
except = ["hw.voltage"]
keep_labels = ["hw_id", "UUID", "process.pid"]
drop_labels = ["process.pid", "process_executable_name", "Hostname"]
[log]
level = "debug"
[collectors.nvml]
enabled = false
library = "/opt/libnvidia-ml.so.1"
procfs = "/host/proc"
sysfs = "/host/sys"
[collectors.host]
enabled = true
procfs = "/p"
sysfs = "/s"
rootfs = "/r"
)");
  EXPECT_EQ(config.listen.address, "[::1]:0");
  EXPECT_EQ(config.listen.socket, "/run/x.sock");
  EXPECT_EQ(config.listen.max_connections, 8u);
  EXPECT_EQ(config.listen.idle_timeout, 5 * kSecond);
  EXPECT_EQ(config.listen.request_timeout, 500 * kMillisecond);
  EXPECT_EQ(config.poll.interval, 100 * kMillisecond);
  EXPECT_EQ(config.poll.slow, 2 * kSecond);
  EXPECT_EQ(config.poll.rare, 3600 * kSecond);
  EXPECT_EQ(config.smoothing.ema, (std::vector<Nanos>{5 * kSecond, 60 * kSecond, 1500 * kMillisecond}));
  EXPECT_EQ(config.smoothing.window, 30 * kSecond);
  EXPECT_EQ(config.store.memory, 256u * 1024);
  EXPECT_FALSE(config.exposition.gzip);
  using Texts = std::vector<std::string>;
  EXPECT_EQ(config.exposition.vocabularies, (Texts{"otel", "dcgm"}));
  EXPECT_EQ(config.exposition.only, (Texts{"hw.*", "accelmon.gpu.clock.frequency"}));
  EXPECT_EQ(config.exposition.except, Texts{"hw.voltage"});
  EXPECT_EQ(config.exposition.keep_labels, (Texts{"hw_id", "UUID", "process.pid"}));
  EXPECT_EQ(config.exposition.drop_labels, (Texts{"process.pid", "process_executable_name", "Hostname"}));
  EXPECT_EQ(config.log_level, LogLevel::debug);
  EXPECT_FALSE(config.collectors.at("nvml").enabled);
  const std::map<std::string, std::string, std::less<>> nvml{
      {"library", "/opt/libnvidia-ml.so.1"}, {"procfs", "/host/proc"}, {"sysfs", "/host/sys"}};
  EXPECT_EQ(config.collectors.at("nvml").options, nvml);
  const std::map<std::string, std::string, std::less<>> host{{"procfs", "/p"}, {"rootfs", "/r"}, {"sysfs", "/s"}};
  EXPECT_EQ(config.collectors.at("host").options, host);
}

TEST(Config, DottedAndInlineFormsAreTheSame) {
  EXPECT_EQ(good("poll.interval = \"2s\"\n").poll.interval, 2 * kSecond);
  EXPECT_EQ(good("poll = { interval = \"2s\" }\n").poll.interval, 2 * kSecond);
  EXPECT_FALSE(good("collectors.nvml.enabled = false\n").collectors.at("nvml").enabled);
  EXPECT_EQ(good("collectors.nvml.each_nvlink = true\n").collectors.at("nvml").options.at("each_nvlink"), "true");
  EXPECT_TRUE(good("smoothing.ema = []\n").smoothing.ema.empty());
  EXPECT_EQ(good("listen.address = \"\"\n").listen.address, "");
}

TEST(Config, ErrorsSayWhereWhatAndWhatToWrite) {
  EXPECT_EQ(error_of("# first\n[poll]\ninterval = \"100\"\n"),
            "a.toml:3:12: poll.interval = \"100\" has no unit; write \"100ms\" or \"100s\"");
  EXPECT_EQ(error_of("poll.interval = 100\n"),
            "a.toml:1:17: poll.interval = 100 has no unit; write \"100ms\" or \"100s\"");
  EXPECT_EQ(error_of("poll.interval = \"soon\"\n"),
            "a.toml:1:17: poll.interval = \"soon\" is not a duration; write for example \"250ms\", \"1s\", \"10m\" or "
            "\"24h\"");
  EXPECT_EQ(
      error_of("poll.interval = 1.5\n"),
      "a.toml:1:17: poll.interval is a number with a fraction; write a duration, for example \"1s\" or \"250ms\"");
  EXPECT_EQ(error_of("poll.interval = true\n"),
            "a.toml:1:17: poll.interval = true is a boolean; write a duration, for example \"1s\" or \"250ms\"");
  EXPECT_EQ(error_of("poll.interval = 2020-01-01\n"),
            "a.toml:1:17: poll.interval is a date or time; write a duration, for example \"1s\" or \"250ms\"");
  EXPECT_EQ(error_of("[poll.interval]\nx = 1\n"),
            "a.toml:1:1: poll.interval is a section; write a duration, for example \"1s\" or \"250ms\"");
  EXPECT_EQ(error_of("exposition.gzip = \"yes\"\n"),
            "a.toml:1:19: exposition.gzip = \"yes\" is a text; write true or false");
  EXPECT_EQ(error_of("listen.max_connections = \"8\"\n"),
            "a.toml:1:26: listen.max_connections = \"8\" is a text; write a whole number, for example 64");
  EXPECT_EQ(error_of("store.memory = 1048576\n"),
            "a.toml:1:16: store.memory = 1048576 has no unit; write \"1048576KiB\" or \"1048576MiB\"");
  EXPECT_EQ(error_of("log.level = \"dbug\"\n"),
            "a.toml:1:13: log.level = \"dbug\" is unknown; did you mean \"debug\"?");
  EXPECT_EQ(error_of("log.level = \"loud\"\n"),
            "a.toml:1:13: log.level = \"loud\" is not a level; write \"error\", \"warn\", \"info\" or \"debug\"");
  EXPECT_EQ(error_of("collectors.host.procfs = \"proc\"\n"),
            "a.toml:1:26: collectors.host.procfs = \"proc\" is not an absolute path; write an absolute path in quotes, "
            "for example \"/host/proc\"");
}

TEST(Config, BoundsAreToldInTheKeysUnit) {
  EXPECT_EQ(error_of("poll.interval = \"9ms\"\n"),
            "a.toml:1:17: poll.interval = \"9ms\" is too small; the least is \"10ms\", the most \"1h\"");
  EXPECT_EQ(error_of("poll.interval = \"61m\"\n"),
            "a.toml:1:17: poll.interval = \"61m\" is too large; the most is \"1h\", the least \"10ms\"");
  EXPECT_EQ(good("poll.interval = \"10ms\"\n").poll.interval, 10 * kMillisecond);
  EXPECT_EQ(good("poll.interval = \"1h\"\n").poll.interval, 3600 * kSecond);
  EXPECT_EQ(error_of("store.memory = \"1KiB\"\n"),
            "a.toml:1:16: store.memory = \"1KiB\" is too small; the least is \"256KiB\", the most \"1TiB\"");
  EXPECT_EQ(error_of("listen.max_connections = 0\n"),
            "a.toml:1:26: listen.max_connections = 0 is too small; the least is 1, the most 4096");
  EXPECT_EQ(
      error_of("listen.max_connections = -9223372036854775808\n").find("a.toml:1:26: listen.max_connections = -92"),
      0u);
  EXPECT_EQ(error_of("smoothing.window = \"1s\"\n"),
            "a.toml:1:20: smoothing.window = \"1s\" is too small; the least is \"2s\", the most \"1h\"");
}

TEST(Config, ListsOfDurations) {
  EXPECT_EQ(error_of("smoothing.ema = [\"10s\", 5]\n"),
            "a.toml:1:17: smoothing.ema holds 5, which has no unit; write \"5ms\" or \"5s\"");
  EXPECT_EQ(error_of("smoothing.ema = [[\"10s\"]]\n"),
            "a.toml:1:17: smoothing.ema holds a list; write a list of durations, for example [\"10s\", \"60s\"]");
  EXPECT_EQ(
      error_of("smoothing.ema = \"10s\"\n"),
      "a.toml:1:17: smoothing.ema = \"10s\" is a text; write a list of durations, for example [\"10s\", \"60s\"]");
  EXPECT_EQ(error_of("smoothing.ema = [\"1m\", \"60s\"]\n"), "a.toml:1:17: smoothing.ema holds \"60s\" twice");
  EXPECT_EQ(good(R"(smoothing.ema = ["1s","2s","3s","4s","5s","6s","7s","8s"])").smoothing.ema.size(), 8u);
  EXPECT_EQ(error_of(R"(smoothing.ema = ["1s","2s","3s","4s","5s","6s","7s","8s","9s"])"),
            "a.toml:1:17: smoothing.ema has 9 elements; the most is 8");
}

TEST(Config, Addresses) {
  for (const char* address : {"127.0.0.1:19400", "0.0.0.0:0", "[::1]:65535", "localhost:80", "my-host.example:1"})
    EXPECT_EQ(good("listen.address = \"" + std::string(address) + "\"").listen.address, address);
  for (const char* address : {"127.0.0.1", ":80", "host:", "host:65536", "host:x", "::1:80", "[::1]", "[]:80", "a b:80",
                              "http://x:80", "[::1:80", "x:-1"})
    EXPECT_EQ(error_of("listen.address = \"" + std::string(address) + "\"").find("a.toml:1:18: listen.address = "), 0u)
        << address;
  EXPECT_EQ(
      error_of("listen.address = \"127.0.0.1\""),
      "a.toml:1:18: listen.address = \"127.0.0.1\" has no port; write HOST:PORT, for example \"127.0.0.1:19400\", "
      "or \"0.0.0.0:19400\" for every interface");
}

TEST(Config, Exporters) {
  const Config config = good(
      "[exporters.grafana]\ntype = \"remote_write\"\nurl = \"https://h/api/v1/write\"\ninterval = \"1.5s\"\n"
      "labels = [\"job=a\", \"zone=b\"]\nverify = false\nmax_samples = 500\n[exporters.otlp]\nurl = \"http://h/\"\n");
  ASSERT_EQ(config.exporters.size(), 2u);
  const auto& options = config.exporters.at("grafana").options;
  EXPECT_EQ(options.at("type"), "remote_write");
  EXPECT_EQ(options.at("interval"), "1500ms");
  EXPECT_EQ(options.at("labels"), "job=a\nzone=b\n");
  EXPECT_EQ(options.at("verify"), "false");
  EXPECT_EQ(options.at("max_samples"), "500");
  EXPECT_EQ(config.exporters.at("otlp").options.count("type"), 0u) << "its name is its type";
}

TEST(Config, ErrorsOfExportersSayWhereAndWhatToWrite) {
  using testing::HasSubstr;
  using testing::StartsWith;
  EXPECT_THAT(error_of("[exporters.x]\ntype = \"otpl\"\n"),
              StartsWith("a.toml:2:8: exporters.x.type = \"otpl\" is unknown; the types are otlp, remote_write"));
  EXPECT_THAT(
      error_of("[exporters.x]\nurl = \"http://h/\"\n"),
      StartsWith("a.toml:1:12: exporters.x has no type; write type = \"otlp\", or another of otlp, remote_write"));
  EXPECT_THAT(error_of("\n[exporters.x]\ntype = \"graphite\"\nurl = \"http://h/\"\n"),
              StartsWith("a.toml:4:1: exporters.x.url is of no use to the type graphite, which knows address timeout"));
  EXPECT_EQ(error_of("[exporters.otlp]\nulr = \"http://h/\"\n"),
            "a.toml:2:1: unknown key \"exporters.otlp.ulr\"; did you mean \"exporters.otlp.url\"?");
  EXPECT_EQ(error_of("[exporters.otlp]\ninterval = 5\n"),
            "a.toml:2:12: exporters.otlp.interval = 5 has no unit; write \"5ms\" or \"5s\"");
  EXPECT_EQ(error_of("[exporters.otlp]\ngzip = \"yes\"\n"),
            "a.toml:2:8: exporters.otlp.gzip = \"yes\" is a text; write true or false");
  EXPECT_THAT(error_of("[exporters.otlp]\nlabels = \"a=b\"\n"), StartsWith("a.toml:2:10: exporters.otlp.labels"));
  EXPECT_THAT(error_of("[exporters.otlp]\nlabels = [1]\n"), StartsWith("a.toml:2:10: exporters.otlp.labels"));
  EXPECT_THAT(error_of("[exporters.otlp]\ntimeout = \"1ms\"\n"), HasSubstr("is too small; the least is \"100ms\""));
  EXPECT_THAT(error_of("[exporters.json_lines]\nmax_bytes = \"1KiB\"\n"), HasSubstr("is too small"));
  EXPECT_THAT(error_of("[exporters.otlp]\nca_file = \"ca.pem\"\n"), HasSubstr("is not an absolute path"));
  EXPECT_THAT(error_of("exporters = 3\n"), StartsWith("a.toml:1:"));
  EXPECT_THAT(error_of("exporters.otlp = 3\n"), StartsWith("a.toml:1:"));
  EXPECT_THAT(error_of("[[exporters]]\ntype = \"otlp\"\n"), StartsWith("a.toml:1:"));
  EXPECT_THAT(error_of("[exporters.\"a b\"]\ntype = \"otlp\"\n"), StartsWith("a.toml:1:"));
}

TEST(Config, UnknownKeysGetTheNearestKnownOne) {
  EXPECT_EQ(error_of("[pol]\ninterval = \"1s\"\n"),
            "a.toml:2:1: unknown key \"pol.interval\"; did you mean \"poll.interval\"?");
  EXPECT_EQ(error_of("poll.intervall = \"1s\"\n"),
            "a.toml:1:6: unknown key \"poll.intervall\"; did you mean \"poll.interval\"?");
  EXPECT_EQ(error_of("interval = \"1s\"\n"), "a.toml:1:1: unknown key \"interval\"; did you mean \"poll.interval\"?");
  EXPECT_EQ(error_of("[pol]\n"), "a.toml:1:2: unknown section [pol]; did you mean [poll]?");
  EXPECT_TRUE(error_of("[collectors.voodoo]\nenabled = true\n")
                  .starts_with("a.toml:2:1: unknown key \"collectors.voodoo.enabled\"; the collectors are nvml, "));
  EXPECT_EQ(error_of("[collectors.nvml]\nquux = true\n"),
            "a.toml:2:1: unknown key \"collectors.nvml.quux\"; [collectors.nvml] knows enabled, library, procfs, "
            "sysfs, each_nvlink");
  EXPECT_EQ(error_of("quux = true\n"),
            "a.toml:1:1: unknown key \"quux\"; the sections are listen, poll, smoothing, store, exposition, log, "
            "collectors.NAME and exporters.NAME");
  EXPECT_EQ(error_of("poll = \"1s\"\n"),
            "a.toml:1:1: poll is a section, not a key; write [poll] on a line of its own and its keys below");
  EXPECT_EQ(error_of("\"poll.interval\" = \"1s\"\n"),
            "a.toml:1:1: unknown key \"poll.interval\"; write it without quotes");
}

TEST(Config, TheFirstOfSeveralErrorsIsTold) {
  EXPECT_EQ(error_of("[store]\nmemory = 5\n[listen]\nport = 1\n"),
            "a.toml:2:10: store.memory = 5 has no unit; write \"5KiB\" or \"5MiB\" (and 1 more error)");
  EXPECT_EQ(error_of("b = 1\na = 1\nc = 1\n"),
            "a.toml:1:1: unknown key \"b\"; the sections are listen, poll, smoothing, store, exposition, log, "
            "collectors.NAME and exporters.NAME (and 2 more errors)");
}

TEST(Config, SlowerTiersAreNotFasterThanTheInterval) {
  EXPECT_EQ(error_of("[poll]\ninterval = \"5s\"\nslow = \"1s\"\n"),
            "a.toml:3:8: poll.slow = \"1s\" is shorter than poll.interval (\"5s\"); write at least that");
  // Not said: raised silently, since only the interval was asked for.
  const Config config = good("poll.interval = \"2m\"\n");
  EXPECT_EQ(config.poll.slow, 120 * kSecond);
  EXPECT_EQ(config.poll.rare, 120 * kSecond);
}

TEST(Config, BrokenTomlHasAPosition) {
  EXPECT_EQ(error_of("[poll\n").find("a.toml:1:6: not TOML: "), 0u) << error_of("[poll\n");
  EXPECT_EQ(error_of("a = 1\na = 2\n").find("a.toml:2:5: not TOML: "), 0u) << error_of("a = 1\na = 2\n");
  EXPECT_EQ(error_of("# \xc3\xa9\n# \xff\n"),
            "a.toml:2:3: this byte is not text; save the file as UTF-8, without control characters");
  EXPECT_EQ(error_of(std::string_view("a\0b", 3)),
            "a.toml:1:2: this byte is not text; save the file as UTF-8, without control characters");
  EXPECT_EQ(error_of("[\x17[poll]]\n"),
            "a.toml:1:2: this byte is not text; save the file as UTF-8, without control characters");
  EXPECT_EQ(error_of("[=]\n").find("a.toml:1:2: not TOML: "), 0u) << error_of("[=]\n");
  EXPECT_EQ(error_of("s\xef\xbb\xbem = 1\n").find("a.toml:1:"), 0u);
  EXPECT_EQ(error_of(std::string(1'048'577, ' ')),
            "a.toml: is larger than 1 MiB; a configuration has a few dozen lines at most");
  std::string deep = "a = ";
  deep.append(10'000, '[');
  EXPECT_EQ(error_of(deep).find("a.toml:1:"), 0u);
}

TEST(Config, HostileTextCannotReachTheTerminal) {
  const std::string error = error_of("\"\\u001b[2J\" = 1\n");
  EXPECT_EQ(error.find('\x1b'), std::string::npos) << error;
  const std::string value = error_of("log.level = \"\\u001b]0;x\\u0007\"\n");
  EXPECT_EQ(value.find('\x1b'), std::string::npos) << value;
  EXPECT_EQ(error_of("collectors.host.procfs = \"/a\\nb\"\n").find('\n'), std::string::npos);
}

class ConfigFile : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::path(testing::TempDir()) / ("accelmon-config-" + std::to_string(::getpid()));
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string path(const char* name) const { return directory_ / name; }
  std::filesystem::path directory_;
};

TEST_F(ConfigFile, LoadsAFileAndNamesIt) {
  std::ofstream(path("good.toml")) << "poll.interval = \"2s\"\n";
  const Result<Config> config = load_config(path("good.toml"));
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->poll.interval, 2 * kSecond);
  std::ofstream(path("bad.toml")) << "poll.interval = 2\n";
  EXPECT_EQ(load_config(path("bad.toml")).error().message(),
            path("bad.toml") + ":1:17: poll.interval = 2 has no unit; write \"2ms\" or \"2s\"");
}

TEST_F(ConfigFile, SaysWhyAFileCannotBeRead) {
  const auto missing = load_config(path("none.toml"));
  EXPECT_EQ(missing.error().code(), Code::absent);
  EXPECT_EQ(missing.error().message(), path("none.toml") + ": No such file or directory");
  EXPECT_EQ(load_config(directory_).error().message(), directory_.string() + ": is a directory; name the file in it");
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(load_config(path("pipe")).error().message(), path("pipe") + ": is not a regular file");
  std::ofstream(path("large.toml")) << std::string(1'100'000, '#');
  EXPECT_EQ(load_config(path("large.toml")).error().message(),
            path("large.toml") + ": is larger than 1 MiB; a configuration has a few dozen lines at most");
  if (::geteuid() != 0) {
    std::ofstream(path("secret.toml")) << "";
    ::chmod(path("secret.toml").c_str(), 0);
    EXPECT_EQ(load_config(path("secret.toml")).error().code(), Code::no_permission);
  }
}

TEST(Config, WhatThePageShowsIsCheckedAgainstTheTable) {
  EXPECT_EQ(good("").exposition.vocabularies, std::vector<std::string>{"otel"});
  EXPECT_EQ(error_of("exposition.vocabularies = [\"dgcm\"]\n"),
            "a.toml:1:27: exposition.vocabularies holds \"dgcm\", which is unknown; did you mean \"dcgm\"?");
  EXPECT_EQ(error_of("exposition.vocabularies = [\"prometheus\"]\n"),
            "a.toml:1:27: exposition.vocabularies holds \"prometheus\", which is no vocabulary; write \"otel\" or "
            "\"dcgm\"");
  EXPECT_EQ(error_of("exposition.vocabularies = []\n"),
            "a.toml:1:27: exposition.vocabularies is empty; write a list of texts, for example [\"hw.*\", "
            "\"system.*\"]");
  EXPECT_EQ(error_of("exposition.vocabularies = \"dcgm\"\n"),
            "a.toml:1:27: exposition.vocabularies = \"dcgm\" is a text; write a list of texts, for example [\"hw.*\", "
            "\"system.*\"]");
  EXPECT_EQ(error_of("exposition.only = [1]\n"),
            "a.toml:1:19: exposition.only holds an integer; write a list of texts, for example [\"hw.*\", "
            "\"system.*\"]");
  EXPECT_EQ(error_of("exposition.only = [\"hw.powr\"]\n"),
            "a.toml:1:19: exposition.only holds \"hw.powr\", which is unknown; did you mean \"hw.power\"?");
  EXPECT_EQ(
      error_of("exposition.except = [\"nothing.*\"]\n"),
      "a.toml:1:21: exposition.except holds \"nothing.*\", which is the name of no metric; accelmon metrics lists "
      "them");
  EXPECT_EQ(error_of("exposition.drop_labels = [\"modelname\"]\n"),
            "a.toml:1:26: exposition.drop_labels holds \"modelname\", which is unknown; did you mean \"modelName\"?");
  EXPECT_EQ(error_of("exposition.keep_labels = [\"hw_ids\"]\n"),
            "a.toml:1:26: exposition.keep_labels holds \"hw_ids\", which is unknown; did you mean \"hw_id\"?");
  EXPECT_NE(error_of("exposition.only = [" +
                     [] {
                       std::string many;
                       for (int i = 0; i < 65; ++i) many += "\"hw.*\",";
                       return many;
                     }() +
                     "]\n")
                .find("has 65 elements; the most is 64"),
            std::string::npos);
}

TEST(ConfigValue, TheCommandLineGetsTheSameWords) {
  Config config = default_config();
  EXPECT_TRUE(set_config_value(config, "poll.interval", "30s").ok());
  EXPECT_EQ(config.poll.interval, 30 * kSecond);
  EXPECT_EQ(config.poll.slow, 30 * kSecond);
  EXPECT_EQ(set_config_value(config, "poll.interval", "100").message(),
            "\"100\" has no unit; write \"100ms\" or \"100s\"");
  EXPECT_EQ(config.poll.interval, 30 * kSecond);
  EXPECT_TRUE(set_config_value(config, "smoothing.ema", "5s, 1m").ok());
  EXPECT_EQ(config.smoothing.ema, (std::vector<Nanos>{5 * kSecond, 60 * kSecond}));
  EXPECT_TRUE(set_config_value(config, "listen.max_connections", "9").ok());
  EXPECT_EQ(config.listen.max_connections, 9u);
  EXPECT_TRUE(set_config_value(config, "exposition.gzip", "false").ok());
  EXPECT_FALSE(config.exposition.gzip);
  EXPECT_TRUE(set_config_value(config, "exposition.vocabularies", "otel, dcgm").ok());
  EXPECT_EQ(config.exposition.vocabularies, (std::vector<std::string>{"otel", "dcgm"}));
  EXPECT_FALSE(set_config_value(config, "exposition.vocabularies", "otel, x").ok());
  EXPECT_EQ(config.exposition.vocabularies.size(), 2u);
  EXPECT_TRUE(set_config_value(config, "collectors.nvml.library", "x.so").ok());
  EXPECT_EQ(config.collectors.at("nvml").options.at("library"), "x.so");
  EXPECT_TRUE(set_config_value(config, "collectors.nvml.library", "").ok());
  EXPECT_TRUE(config.collectors.at("nvml").options.empty());
  EXPECT_FALSE(set_config_value(config, "poll.nothing", "1").ok());
}

TEST(ConfigSocket, FollowsTheEnvironment) {
  ::setenv("RUNTIME_DIRECTORY", "/run/one:/run/two", 1);
  EXPECT_EQ(default_socket_path(), "/run/one/accelmon.sock");
  ::unsetenv("RUNTIME_DIRECTORY");
  if (::geteuid() == 0) {
    EXPECT_EQ(default_socket_path(), "/run/accelmon/accelmon.sock");
  } else {
    ::setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
    EXPECT_EQ(default_socket_path(), "/run/user/7/accelmon.sock");
    ::unsetenv("XDG_RUNTIME_DIR");
    EXPECT_EQ(default_socket_path(), "/tmp/accelmon-" + std::to_string(::geteuid()) + ".sock");
  }
}

TEST(ConfigMarkdown, ShowsEveryKeyAndItsExampleIsTheDefaults) {
  const std::string page = configuration_markdown();
  for (const char* needed : {"## `[poll]`", "| `interval` | duration | `\"1s\"` | `\"10ms\"` to `\"1h\"` |",
                             "| `ema` | list of durations | `[\"10s\", \"1m\"]`", "| `memory` | size | `\"1MiB\"`",
                             "## `[collectors.nvml]`", "| `level` | word | `\"info\"`"})
    EXPECT_NE(page.find(needed), std::string::npos) << needed;
  const size_t begin = page.find("```toml\n") + 8;
  const Config config = good(page.substr(begin, page.find("```", begin) - begin));
  EXPECT_EQ(config.poll.rare, default_config().poll.rare);
  EXPECT_EQ(config.smoothing.ema, default_config().smoothing.ema);
  EXPECT_EQ(config.store.memory, default_config().store.memory);
}

}  // namespace
}  // namespace accelmon
