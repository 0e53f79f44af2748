// The table of verbs. A new verb is a line here and a file of its own.
#include "app/command.h"

namespace accelmon {
namespace {

constexpr Option kConfig{"--config", "FILE", "configuration; default /etc/accelmon/accelmon.toml where it exists", ""};
constexpr Option kSocket{"--socket", "PATH", "local control socket of the agent", ""};
constexpr Option kSimulate{"--simulate", "SCENARIO",
                           "simulated devices of NVIDIA, Intel and AMD: a known name or a .toml file", ""};
constexpr Option kSysfs{"--sysfs-root", "DIR", "where the host's /sys is; default /sys", ""};
constexpr Option kProcfs{"--procfs-root", "DIR", "where the host's /proc is; default /proc", ""};

constexpr Option kServe[] = {
    kConfig,   {"--listen", "ADDRESS", "HOST:PORT to serve on; default 127.0.0.1:19400", ""},
    kSocket,   {"--interval", "DURATION", "how often to poll, for example 250ms; default 1s", ""},
    kSimulate, kSysfs,
    kProcfs,   {"--log-level", "LEVEL", "error, warn, info or debug", "error|warn|info|debug"},
};
constexpr Option kStatus[] = {
    {"--format", "FORMAT", "table, json, csv or prometheus; default table", "table|json|csv|prometheus"},
    kSocket,
    kConfig,
    kSimulate,
    kSysfs,
    kProcfs,
};
constexpr Option kDoctor[] = {
    {"--format", "FORMAT", "text or json; default text", "text|json"}, kSocket, kConfig, kSimulate, kSysfs, kProcfs,
};
constexpr Option kMetrics[] = {
    {"--format", "FORMAT", "markdown or json; default markdown", "markdown|json"},
};
constexpr Option kExport[] = {
    {"--from", "TIME", "from when on: -1h, RFC 3339 or Unix seconds; default all of it", ""},
    {"--to", "TIME", "until when; default now", ""},
    {"--format", "FORMAT", "csv, json or openmetrics; default csv", "csv|json|openmetrics"},
    {"--metric", "GLOB", "only these, '*' is any text, commas between several", ""},
    {"--device", "ID", "only these: hw.id, a glob of it, or an index", ""},
    {"--path", "FILE", "the history; default what the running agent says, else store.path", ""},
    kSocket,
    kConfig,
};
constexpr Option kTorchServe[] = {
    {"--gpu", "NUMBER", "at most so many devices, as TorchServe says it; default all", ""},
    kSocket,
    kConfig,
    kSimulate,
    kProcfs,
};
constexpr Option kCloudWatchCost[] = {kConfig, kSimulate};
constexpr Option kRelease[] = {
    {"--resume", "", "take the devices up again", ""},
    kSocket,
    kConfig,
};
constexpr Option kResume[] = {kSocket, kConfig};
constexpr Option kConfigVerb[] = {
    {"--markdown", "", "every key with its type, default and meaning", ""},
};
constexpr Option kHelp[] = {
    {"--man", "", "the manual page, for man -l", ""},
};

constexpr Verb kVerbs[] = {
    {"serve",
     "",
     0,
     0,
     "read the accelerators and serve their metrics",
     "Reads every accelerator of this host and the host itself, keeps the recent history, and serves\n"
     "/metrics for Prometheus. SIGHUP reads the configuration again, SIGTERM and Ctrl-C stop.",
     kServe,
     {"accelmon serve --listen 0.0.0.0:19400 --interval 250ms", "accelmon serve --simulate h100x8"},
     run_serve},
    {"status",
     "",
     0,
     0,
     "what the accelerators do now",
     "Asks the running agent; where none runs, reads the devices by itself for two polls. A dash is\n"
     "'could not be read'. Exit code 1 when a device failed or a collector is stuck.",
     kStatus,
     {"accelmon status", "accelmon status --format csv > now.csv"},
     run_status},
    {"doctor",
     "",
     0,
     0,
     "what is read, what is not, and why",
     "Says for each collector what it reads, what it cannot read and for which reason, which calls\n"
     "are slow or fail, and what to do. Exit code 1 when a device failed or a collector is stuck.",
     kDoctor,
     {"accelmon doctor", "accelmon doctor --format json"},
     run_doctor},
    {"findings",
     "",
     0,
     0,
     "what needs attention now, and what to do about it",
     "Asks the running agent; where none runs, judges two polls of its own. Exit code 1 when there is\n"
     "a warning or worse, 0 when there is none.",
     kDoctor,
     {"accelmon findings", "accelmon findings --format json"},
     run_findings},
    {"metrics",
     "",
     0,
     0,
     "every metric: name, unit, meaning",
     "The whole vocabulary: names in OpenTelemetry and Prometheus, kind, unit, attributes, the DCGM\n"
     "field of the same meaning, and what it means.",
     kMetrics,
     {"accelmon metrics | less", "accelmon metrics --format json"},
     run_metrics},
    {"export",
     "",
     0,
     0,
     "the history on disk, to standard output",
     "Reads the history file, with or without a running agent (which writes its last seconds later):\n"
     "the one that the running agent names, else that of the configuration, else the packaged\n"
     "service's. OpenMetrics is for 'promtool tsdb create-blocks-from openmetrics'.",
     kExport,
     {"accelmon export --from -2h --metric 'hw.power,hw.gpu.*' > history.csv",
      "accelmon export --from -7d --format openmetrics > history.om"},
     run_export},
    {"torchserve-collect",
     "",
     0,
     0,
     "TorchServe's system metrics command",
     "Prints the host's and the accelerators' numbers in TorchServe's own lines, then the memory of\n"
     "the worker processes whose ids stand on standard input. TorchServe starts it, see\n"
     "docs/torchserve.md.",
     kTorchServe,
     {"accelmon torchserve-collect < /dev/null", "accelmon torchserve-collect --simulate h100x8 --gpu 2 < /dev/null"},
     run_torchserve_collect},
    {"cloudwatch-cost",
     "",
     0,
     0,
     "what an exporter to CloudWatch would cost for a month",
     "Reads this host's devices and says how many metrics and requests the configured exporters of\n"
     "type cloudwatch and emf come to, rule by rule. Sends nothing, and needs no keys.",
     kCloudWatchCost,
     {"accelmon cloudwatch-cost --config accelmon.toml", "accelmon cloudwatch-cost --simulate h100x8"},
     run_cloudwatch_cost},
    {"release",
     "VENDOR",
     1,
     1,
     "let go of a vendor's devices, so that its driver can be unloaded",
     "The running agent stops the vendor's collector and with it closes every device file of its\n"
     "driver. 'accelmon resume VENDOR' takes them up again.",
     kRelease,
     {"accelmon release nvidia", "accelmon release nvidia --resume"},
     run_release},
    {"resume",
     "VENDOR",
     1,
     1,
     "take a vendor's devices up again",
     "The opposite of 'accelmon release'.",
     kResume,
     {"accelmon resume nvidia", "accelmon resume nvidia --socket /run/accelmon/accelmon.sock"},
     run_resume},
    {"config",
     "[check FILE]",
     0,
     2,
     "check a configuration file, or list every key",
     "'config check FILE' says ok, or what is wrong, in which line and column, and what to write.",
     kConfigVerb,
     {"accelmon config check /etc/accelmon/accelmon.toml", "accelmon config --markdown"},
     run_config},
    {"completion",
     "bash",
     1,
     1,
     "completion for the shell",
     "Prints a script that makes bash complete verbs, options and their values.",
     {},
     {"source <(accelmon completion bash)", "accelmon completion bash > /etc/bash_completion.d/accelmon"},
     run_completion},
    {"version",
     "",
     0,
     0,
     "which version this is",
     "Prints the version.",
     {},
     {"accelmon version", "accelmon --version"},
     run_version},
    {"help",
     "[VERB]",
     0,
     1,
     "help for a verb",
     "The same as 'accelmon VERB --help'.",
     kHelp,
     {"accelmon help status", "accelmon help --man | man -l -"},
     run_help},
};

}  // namespace

std::span<const Verb> all_verbs() {
  return kVerbs;
}

const Verb* find_verb(std::string_view name) {
  for (const Verb& verb : kVerbs)
    if (verb.name == name) return &verb;
  return nullptr;
}

}  // namespace accelmon
