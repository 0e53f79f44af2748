// The configuration: what the TOML file and the command line can say.
//
// One table (config_table.cc: key, type, default, meaning) drives the parser, its error messages and
// docs/configuration.md. Threads: values. A Config is immutable once the agent runs; a reload makes a new one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"

namespace accelmon {

struct CollectorConfig {
  bool enabled = true;
  // Handed to the collector as they are: "library", "procfs", "sysfs", ...
  std::map<std::string, std::string, std::less<>> options;
};

struct ExporterConfig {
  // As written, but for durations, sizes and lists, which are normalised; see exporters/settings.h.
  std::map<std::string, std::string, std::less<>> options;
  bool operator==(const ExporterConfig&) const = default;
};

// $STATE_DIRECTORY/history.db, where systemd gives a directory for what stays; empty: nowhere.
std::string default_history_path();

struct Config {
  struct {
    std::string address = "127.0.0.1:19400";
    std::string socket;  // path of the local control socket; empty: the default, see default_socket_path()
    uint32_t max_connections = 64;
    Nanos idle_timeout = 60 * kSecond;     // of a keep-alive connection without a request
    Nanos request_timeout = 10 * kSecond;  // for a request to arrive whole
    std::string web_config;                // path of a web-config file; empty: none
    std::string bearer_tokens_file;        // path; empty: none
    std::vector<std::string> hosts;        // names of this server beyond its host's; "*": any
    uint32_t requests_per_second = 0;      // of one client; 0: no limit
  } listen;
  struct {
    Nanos interval = kSecond;
    Nanos slow = 10 * kSecond;  // the slow tier: processes, fans, ECC
    Nanos rare = 60 * kSecond;  // the rare tier: limits, link widths
    Nanos hang = 30 * kSecond;  // a collector that is silent for so long is killed and started again
  } poll;
  struct {
    std::vector<Nanos> ema{10 * kSecond, 60 * kSecond};
    Nanos window = 60 * kSecond;
  } smoothing;
  struct {
    uint64_t memory = 1u << 20;
    std::string path = default_history_path();  // of the history on disk; empty: none
    uint64_t disk = 512u << 20;
    Nanos commit = 10 * kSecond;
    Nanos keep = 24 * 3600 * kSecond;          // every poll
    Nanos keep_10s = 7 * 24 * 3600 * kSecond;  // 10 s
    Nanos keep_1m = 90 * 24 * 3600 * kSecond;  // 1 min
  } store;
  struct {
    bool gzip = true;
    std::vector<std::string> vocabularies{"otel"};
    std::vector<std::string> only, except, keep_labels, drop_labels;  // see encode/page_options.h
  } exposition;
  LogLevel log_level = LogLevel::info;
  std::map<std::string, CollectorConfig, std::less<>> collectors;  // an entry for every known collector
  std::map<std::string, ExporterConfig, std::less<>> exporters;
};

// The built-in configuration: every known collector enabled.
Config default_config();

// Errors: "FILE:LINE:COLUMN: what is wrong and what to write", code invalid. Nothing is half applied.
Result<Config> parse_config(std::string_view toml, std::string_view file_name);
Result<Config> load_config(const std::string& path);

// One value as the command line says it ("poll.interval", "100ms"), with the same checks and words as in a file. The
// error begins with the quoted value; name the option before it. An interval beyond the slower tiers raises them.
Status set_config_value(Config& config, std::string_view key, std::string_view value);

// The keys of all collectors that have the option: "collectors.nvml.sysfs", "collectors.host.sysfs", ...
std::vector<std::string_view> collector_keys(std::string_view option);

// Where the local socket lies by default: $RUNTIME_DIRECTORY/accelmon.sock (systemd), /run/accelmon/accelmon.sock for
// root, $XDG_RUNTIME_DIR/accelmon.sock, else /tmp/accelmon-UID.sock.
std::string default_socket_path();

// docs/configuration.md, made from the table.
std::string configuration_markdown();

}  // namespace accelmon
