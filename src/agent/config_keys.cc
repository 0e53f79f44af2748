// The table of configuration keys: what there is, within which bounds, and what it means.
#include <algorithm>
#include <iterator>

#include "agent/config_table.h"
#include "base/text.h"
#include "encode/dcgm.h"

namespace accelmon::config_table {
namespace {

constexpr uint64_t kMinute = 60ull * kSecond;
constexpr uint64_t kHour = 60 * kMinute;
constexpr uint64_t kDay = 24 * kHour;
constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kTiB = 1ull << 40;
constexpr size_t kMaxSocketPath = 107;  // sun_path without its final NUL

// Grouped by section, in the order of the documentation.
const Key kKeys[] = {
    {"listen.address", Type::address, [](Config& c) -> Slot { return &c.listen.address; }, 0, 0, "",
     "Where `/metrics`, the API and the pages are served: `HOST:PORT`, `[IPV6]:PORT`, port 0 for any free one. Empty: "
     "no TCP, only the local socket"},
    {"listen.socket", Type::path, [](Config& c) -> Slot { return &c.listen.socket; }, 0, kMaxSocketPath,
     "`$RUNTIME_DIRECTORY/accelmon.sock`, else `/run/accelmon/accelmon.sock` for root, else "
     "`$XDG_RUNTIME_DIR/accelmon.sock`, else `/tmp/accelmon-UID.sock`",
     "The local control socket: `accelmon status`, `doctor` and `release` speak over it"},
    {"listen.max_connections", Type::count, [](Config& c) -> Slot { return &c.listen.max_connections; }, 1, 4096, "",
     "Connections open at once. At the bound the longest idle one is closed to make room"},
    {"listen.idle_timeout", Type::duration, [](Config& c) -> Slot { return &c.listen.idle_timeout; }, kSecond, kHour,
     "", "How long a kept-alive connection may wait for its next request"},
    {"listen.request_timeout", Type::duration, [](Config& c) -> Slot { return &c.listen.request_timeout; },
     100 * kMillisecond, 10 * kMinute, "", "How long a request may take to arrive whole"},
    {"listen.web_config", Type::path, [](Config& c) -> Slot { return &c.listen.web_config; }, 0, 4096, "none",
     "TLS, client certificates, users and headers: a web-config file as Prometheus and its exporters take it; see "
     "security.md. Read again when it changes, or a file that it names"},
    {"listen.bearer_tokens_file", Type::path, [](Config& c) -> Slot { return &c.listen.bearer_tokens_file; }, 0, 4096,
     "none",
     "Tokens, one a line: who sends one of them (`Authorization: Bearer TOKEN`) may read. Read again when it "
     "changes"},
    {"listen.hosts", Type::texts, [](Config& c) -> Slot { return &c.listen.hosts; }, 0, 256, "",
     "Names by which clients reach this server, beyond `localhost`, loopback addresses and the host's own name. A "
     "request for another name gets 421 where the server listens on loopback without authentication, and everywhere "
     "once names are listed. `[\"*\"]`: any name"},
    {"listen.requests_per_second", Type::count, [](Config& c) -> Slot { return &c.listen.requests_per_second; }, 0,
     100000, "",
     "Requests that one client address may make, twice as many at once; 429 beyond. `rate_limit` of the "
     "web-config file goes before. 0: no limit"},
    {"poll.interval", Type::duration, [](Config& c) -> Slot { return &c.poll.interval; }, 10 * kMillisecond, kHour, "",
     "How often everything cheap is read: utilization, memory, power, temperature, clocks, throttling"},
    {"poll.slow", Type::duration, [](Config& c) -> Slot { return &c.poll.slow; }, 10 * kMillisecond, 24 * kHour, "",
     "How often what costs more is read: processes, fans, ECC counters. At least `poll.interval`; raised to it when "
     "not set"},
    {"poll.rare", Type::duration, [](Config& c) -> Slot { return &c.poll.rare; }, 10 * kMillisecond, 24 * kHour, "",
     "How often what hardly changes is read: limits, link widths. At least `poll.interval`; raised to it when not set"},
    {"poll.hang", Type::duration, [](Config& c) -> Slot { return &c.poll.hang; }, 500 * kMillisecond, kHour, "",
     "A collector that has not answered for so long is killed and started again; at least ten of its intervals. Its "
     "series are gone from `/metrics` after three"},
    {"smoothing.ema", Type::durations, [](Config& c) -> Slot { return &c.smoothing.ema; }, 10 * kMillisecond,
     24 * kHour, "",
     "Time constants of the smoothed (`.ema`) series, 0 to 8 of them, each giving one series more. `[]`: none"},
    {"smoothing.window", Type::duration, [](Config& c) -> Slot { return &c.smoothing.window; }, 2 * kSecond, kHour, "",
     "Length of the trailing window of the `.window` series (min, mean, max, p95)"},
    {"store.memory", Type::size, [](Config& c) -> Slot { return &c.store.memory; }, 256 * kKiB, kTiB, "",
     "Memory that the history may hold. The oldest of it makes room for the newest"},
    {"store.path", Type::path, [](Config& c) -> Slot { return &c.store.path; }, 0, 4096,
     "`$STATE_DIRECTORY/history.db` where systemd gives one, else none",
     "File of the history on disk (SQLite). It outlives restarts, and is where exporters find what they could not "
     "send. "
     "Empty: none"},
    {"store.disk", Type::size, [](Config& c) -> Slot { return &c.store.disk; }, kMiB, kTiB, "",
     "Bytes that the file and its log may have. The oldest makes room for the newest"},
    {"store.commit", Type::duration, [](Config& c) -> Slot { return &c.store.commit; }, 100 * kMillisecond, kHour, "",
     "How often new polls are written: what a crash may cost"},
    {"store.keep", Type::duration, [](Config& c) -> Slot { return &c.store.keep; }, kMinute, 3650 * kDay, "",
     "How long the file keeps every poll"},
    {"store.keep_10s", Type::duration, [](Config& c) -> Slot { return &c.store.keep_10s; }, kMinute, 3650 * kDay, "",
     "How long it keeps minimum, mean and maximum of each 10 s"},
    {"store.keep_1m", Type::duration, [](Config& c) -> Slot { return &c.store.keep_1m; }, kMinute, 3650 * kDay, "",
     "How long it keeps minimum, mean and maximum of each minute"},
    {"exposition.gzip", Type::boolean, [](Config& c) -> Slot { return &c.exposition.gzip; }, 0, 1, "",
     "Compress pages for clients that accept it. Costs a little CPU for each scrape, saves nine tenths of the bytes"},
    {"exposition.vocabularies", Type::texts, [](Config& c) -> Slot { return &c.exposition.vocabularies; }, 1, 16, "",
     "The names under which `/metrics` shows what was read: `\"otel\"` (OpenTelemetry's, [metrics.md](metrics.md)), "
     "`\"dcgm\"` (those of NVIDIA's dcgm-exporter, for boards of every maker, [dcgm.md](dcgm.md)), or both at once"},
    {"exposition.only", Type::texts, [](Config& c) -> Slot { return &c.exposition.only; }, 0, 256, "",
     "The metrics that `/metrics` shows, by their OpenTelemetry names, with `*` for any text. `[]`: all. It holds for "
     "both vocabularies: a DCGM name is shown where the metric that it is made of is"},
    {"exposition.except", Type::texts, [](Config& c) -> Slot { return &c.exposition.except; }, 0, 256, "",
     "Metrics that `/metrics` leaves out, named likewise; it has the last word"},
    {"exposition.keep_labels", Type::texts, [](Config& c) -> Slot { return &c.exposition.keep_labels; }, 0, 256, "",
     "Labels that `/metrics` shows, by their OpenTelemetry keys (`hw.id`) or their names on the page (`hw_id`, "
     "`UUID`); "
     "`[]`: all. Where both vocabularies are shown, name those of both. Of series that this leaves alike only the "
     "first is shown"},
    {"exposition.drop_labels", Type::texts, [](Config& c) -> Slot { return &c.exposition.drop_labels; }, 0, 256, "",
     "Labels that `/metrics` leaves out, by their OpenTelemetry keys (`process.pid`) or their names on the page "
     "(`process_pid`, `modelName`); it has the last word. Of series that this leaves alike only the first is shown"},
    {"log.level", Type::level, [](Config& c) -> Slot { return &c.log_level; }, 0, 0, "",
     "What is logged on standard error: `error`, `warn`, `info` or `debug`; each includes those before it"},
    {"collectors.nvml.enabled", Type::boolean, [](Config& c) -> Slot { return &c.collectors["nvml"].enabled; }, 0, 1,
     "", "Whether NVIDIA devices are read, through NVML"},
    {"collectors.nvml.library", Type::text, nullptr, 0, 4096,
     "`libnvidia-ml.so.1`, then where containers and WSL put it",
     "The NVML library: a name for the loader's search path, or an absolute path"},
    {"collectors.nvml.procfs", Type::path, nullptr, 0, 4096, "`/proc`",
     "Where the host's `/proc` is mounted; needed in a container, for the names of processes on the devices"},
    {"collectors.nvml.sysfs", Type::path, nullptr, 0, 4096, "`/sys`",
     "Where the host's `/sys` is mounted; for the PCI bus and NUMA nodes"},
    {"collectors.nvml.each_nvlink", Type::boolean, nullptr, 0, 1, "`false`",
     "Whether each NVLink has series of its own (bytes, errors, up) instead of one for all of a device. Eighteen links "
     "on "
     "eight boards are 900 series"},
    {"collectors.level_zero.enabled", Type::boolean,
     [](Config& c) -> Slot { return &c.collectors["level_zero"].enabled; }, 0, 1, "",
     "Whether Intel GPUs are read through Level Zero, beside the kernel's files: memory traffic, PCIe bytes, errors, "
     "links between GPUs"},
    {"collectors.level_zero.library", Type::text, nullptr, 0, 4096, "`libze_loader.so.1`",
     "The Level Zero loader: a name for the loader's search path, or an absolute path"},
    {"collectors.level_zero.procfs", Type::path, nullptr, 0, 4096, "`/proc`",
     "Where the host's `/proc` is mounted; for the names of processes on the devices"},
    {"collectors.level_zero.sysfs", Type::path, nullptr, 0, 4096, "`/sys`",
     "Where the host's `/sys` is mounted; for NUMA nodes, and whether there is such a device at all"},
    {"collectors.nvidia_smi.enabled", Type::boolean,
     [](Config& c) -> Slot { return &c.collectors["nvidia_smi"].enabled; }, 0, 1, "",
     "Whether NVIDIA devices are read through the program nvidia-smi where NVML cannot be loaded"},
    {"collectors.nvidia_smi.library", Type::text, nullptr, 0, 4096, "`libnvidia-ml.so.1`, then where it usually lies",
     "The NVML library whose presence makes this collector needless"},
    {"collectors.nvidia_smi.program", Type::text, nullptr, 0, 4096, "`nvidia-smi`",
     "The program: a name that is looked for in `PATH`, or an absolute path"},
    {"collectors.nvidia_smi.sysfs", Type::path, nullptr, 0, 4096, "`/sys`",
     "Where the host's `/sys` is mounted; for whether there is such a device at all"},
    {"collectors.nvidia_smi.min_interval", Type::duration, nullptr, kSecond, kHour, "`5s`",
     "Shortest time between two runs of the program, however short `poll.slow` is"},
    {"collectors.nvidia_smi.timeout", Type::duration, nullptr, 100 * kMillisecond, kMinute, "`10s`",
     "After this the program is killed and its readings are errors"},
    {"collectors.amdgpu.enabled", Type::boolean, [](Config& c) -> Slot { return &c.collectors["amdgpu"].enabled; }, 0,
     1, "", "Whether AMD GPUs are read, from the files of the drivers amdgpu and KFD"},
    {"collectors.amdgpu.sysfs", Type::path, nullptr, 0, 4096, "`/sys`", "Where the host's `/sys` is mounted"},
    {"collectors.amdgpu.procfs", Type::path, nullptr, 0, 4096, "`/proc`",
     "Where the host's `/proc` is mounted; for processes on the devices and their names"},
    {"collectors.amdgpu.devfs", Type::path, nullptr, 0, 4096, "`/dev`",
     "Where the host's `/dev` is mounted; for the device nodes that processes hold open"},
    {"collectors.kernel_log.enabled", Type::boolean,
     [](Config& c) -> Slot { return &c.collectors["kernel_log"].enabled; }, 0, 1, "",
     "Whether the kernel's log is watched for errors of accelerators"},
    {"collectors.kernel_log.path", Type::path, nullptr, 0, 4096, "`/dev/kmsg`",
     "The log, or a file in its format. Needs `CAP_SYSLOG` where `kernel.dmesg_restrict` is set"},
    {"collectors.kernel_log.procfs", Type::path, nullptr, 0, 4096, "`/proc`",
     "Where the host's `/proc` is mounted; for the UUIDs of NVIDIA's devices"},
    {"collectors.kernel_log.sysfs", Type::path, nullptr, 0, 4096, "`/sys`",
     "Where the host's `/sys` is mounted; for the ids of AMD's devices"},
    {"collectors.intel_kernel.enabled", Type::boolean,
     [](Config& c) -> Slot { return &c.collectors["intel_kernel"].enabled; }, 0, 1, "",
     "Whether Intel GPUs are read from the files and counters of the drivers xe and i915; needs no library"},
    {"collectors.intel_kernel.sysfs", Type::path, nullptr, 0, 4096, "`/sys`", "Where the host's `/sys` is mounted"},
    {"collectors.intel_kernel.procfs", Type::path, nullptr, 0, 4096, "`/proc`",
     "Where the host's `/proc` is mounted; for processes on the devices and their names"},
    {"collectors.intel_kernel.devfs", Type::path, nullptr, 0, 4096, "`/dev`",
     "Where the host's `/dev` is mounted; for the render nodes that tell the memory in use"},
    {"collectors.intel_kernel.counters", Type::boolean, nullptr, 0, 1, "`true`",
     "Whether the engines' perf counters are read. While those of `xe` are open the kernel does not suspend an idle "
     "device"},
    {"collectors.presence.enabled", Type::boolean, [](Config& c) -> Slot { return &c.collectors["presence"].enabled; },
     0, 1, "", "Whether accelerators on the PCI bus that nobody reads are shown, with the reason"},
    {"collectors.presence.sysfs", Type::path, nullptr, 0, 4096, "`/sys`", "Where the host's `/sys` is mounted"},
    {"collectors.host.enabled", Type::boolean, [](Config& c) -> Slot { return &c.collectors["host"].enabled; }, 0, 1,
     "", "Whether the host itself is read: processors, memory, disks, network, pressure"},
    {"collectors.host.procfs", Type::path, nullptr, 0, 4096, "`/proc`", "Where the host's `/proc` is mounted"},
    {"collectors.host.sysfs", Type::path, nullptr, 0, 4096, "`/sys`", "Where the host's `/sys` is mounted"},
    {"collectors.host.rootfs", Type::path, nullptr, 0, 4096, "`/`",
     "Where the host's root file system is mounted; for the space on its file systems"},
    {"collectors.host.network_exclude", Type::text, nullptr, 0, 4096,
     "`veth,docker,cali,cni,br-,lxc,vnet,tap,eni,gke,azv`",
     "Network interfaces whose names begin with one of these, separated by commas, are not read"},
    {"collectors.sensors.enabled", Type::boolean, [](Config& c) -> Slot { return &c.collectors["sensors"].enabled; }, 0,
     1, "", "Whether the host's own sensors are read: temperatures, fans, voltages, processors' power"},
    {"collectors.sensors.sysfs", Type::path, nullptr, 0, 4096, "`/sys`", "Where the host's `/sys` is mounted"},
    {"collectors.sensors.each_core", Type::boolean, nullptr, 0, 1, "`false`",
     "Whether each processor core has a temperature of its own, beside that of the whole processor"},
    // Any number of sections [exporters.NAME].
    {"exporters.*.type", Type::text, nullptr, 0, 64, "NAME",
     "What is spoken: `otlp`, `remote_write`, `cloudwatch`, `emf`, `influx`, `graphite`, `statsd`, `json_lines`"},
    {"exporters.*.enabled", Type::boolean, nullptr, 0, 1, "`true`", "Whether anything is sent"},
    {"exporters.*.interval", Type::duration, nullptr, 100 * kMillisecond, kHour,
     "`\"15s\"`; `\"1m\"` for `cloudwatch` and `emf`", "How often is sent"},
    {"exporters.*.every_poll", Type::boolean, nullptr, 0, 1, "`false`; `true` for `cloudwatch` and `emf`",
     "Whether every poll is sent, or of each interval the last"},
    {"exporters.*.labels", Type::texts, nullptr, 0, 256, "who the host is, in the destination's way",
     "`[\"name=value\", ...]` on everything that is sent: labels, resource attributes, tags, dimensions"},
    {"exporters.*.only", Type::texts, nullptr, 0, 256, "everything",
     "Names of metrics to send (docs/metrics.md), `*` for any text: `[\"hw.*\", \"accelmon.gpu.throttle.*\"]`"},
    {"exporters.*.except", Type::texts, nullptr, 0, 256, "nothing", "Names of metrics not to send"},
    {"exporters.*.timeout", Type::duration, nullptr, 100 * kMillisecond, 10 * kMinute, "`\"10s\"`",
     "How long a request may take"},
    {"exporters.*.url", Type::text, nullptr, 0, 2048, "needed, but for `cloudwatch`",
     "Where to send: `otlp`, `remote_write`, `influx`; for `cloudwatch` another endpoint than the region's"},
    {"exporters.*.headers", Type::texts, nullptr, 0, 2048, "none",
     "`[\"Name: value\", ...]` on every request. Secret ones: "
     "`headers_file`"},
    {"exporters.*.headers_file", Type::path, nullptr, 0, 4096, "none",
     "Headers with tokens or keys, `Name: value`, one a line; read for every request"},
    {"exporters.*.username", Type::text, nullptr, 0, 256, "none", "Of basic authentication"},
    {"exporters.*.password_file", Type::path, nullptr, 0, 4096, "none", "Its first line is the password"},
    {"exporters.*.bearer_token_file", Type::path, nullptr, 0, 4096, "none",
     "Its first line goes into `Authorization: Bearer`; read for every request"},
    {"exporters.*.ca_file", Type::path, nullptr, 0, 4096, "the system's", "Who signs the server's certificate"},
    {"exporters.*.cert_file", Type::path, nullptr, 0, 4096, "none", "Our certificate, for servers that ask for one"},
    {"exporters.*.key_file", Type::path, nullptr, 0, 4096, "none", "Its key"},
    {"exporters.*.verify", Type::boolean, nullptr, 0, 1, "`true`", "Whether the server's certificate is checked"},
    {"exporters.*.unix_socket", Type::path, nullptr, 0, kMaxSocketPath, "none",
     "Connect there, whatever the host of the URL is"},
    {"exporters.*.protocol", Type::text, nullptr, 0, 64, "`\"http/protobuf\"`",
     "Of `otlp`: `http/protobuf`, `http/json` or `grpc` (over TLS where the URL is `https://`)"},
    {"exporters.*.temporality", Type::text, nullptr, 0, 64, "`\"cumulative\"`", "Of `otlp`: `cumulative` or `delta`"},
    {"exporters.*.gzip", Type::boolean, nullptr, 0, 1, "`true`", "Of `otlp` and `influx`: compress what is sent"},
    {"exporters.*.version", Type::text, nullptr, 0, 16, "`\"1.0\"`",
     "Of `remote_write`: `1.0`, or `2.0`, which falls back by itself where the receiver does not know it"},
    {"exporters.*.max_samples", Type::count, nullptr, 1, 100'000, "`2000`", "Of `remote_write`: samples of a request"},
    {"exporters.*.address", Type::text, nullptr, 0, 300, "the destination's own port on this host",
     "Of `graphite`, `statsd` and `emf`: `HOST:PORT`, with `udp:` or `tcp:` before it, or `unix:/PATH`"},
    {"exporters.*.tags", Type::boolean, nullptr, 0, 1, "`false`",
     "Of `graphite` and `statsd`: names with tags (Graphite 1.1, DogStatsD) instead of long paths"},
    {"exporters.*.prefix", Type::text, nullptr, 0, 256, "`\"accelmon.HOST\"`",
     "Of `graphite` and `statsd` without tags"},
    {"exporters.*.by_index", Type::boolean, nullptr, 0, 1, "`false`",
     "Of `graphite`, `statsd`, `cloudwatch` and `emf`: devices by their number instead of their id"},
    {"exporters.*.measurement", Type::text, nullptr, 0, 256, "`\"accelmon\"`", "Of `influx`"},
    {"exporters.*.path", Type::path, nullptr, 0, 4096, "needed",
     "Of `json_lines`, and of `emf`: the file; `\"-\"` for standard output"},
    {"exporters.*.max_bytes", Type::size, nullptr, 64 * kKiB, kTiB, "`\"64MiB\"`",
     "Of `json_lines` and `emf`: a file that would become longer is put aside"},
    {"exporters.*.keep", Type::count, nullptr, 0, 100, "`4`",
     "Likewise: how many such files stay, as PATH.1 to PATH.N"},
    {"exporters.*.aws", Type::boolean, nullptr, 0, 1, "`false`",
     "Of `otlp`: sign requests, for CloudWatch's own endpoint `https://monitoring.REGION.amazonaws.com/v1/metrics`"},
    {"exporters.*.region", Type::text, nullptr, 0, 64, "`$AWS_REGION`, or the profile's",
     "Of `cloudwatch`, and of `otlp` with `aws`"},
    {"exporters.*.profile", Type::text, nullptr, 0, 128, "`$AWS_PROFILE`, or `default`",
     "Likewise: whose keys of AWS' own files"},
    {"exporters.*.namespace", Type::text, nullptr, 0, 255, "`\"accelmon\"`", "Of `cloudwatch` and `emf`"},
    {"exporters.*.period", Type::duration, nullptr, kSecond, kHour, "`\"1m\"`",
     "Of `cloudwatch` and `emf`: what a value stands for; below a minute it is of high resolution"},
    {"exporters.*.rules", Type::texts, nullptr, 0, 512, "six metrics for each GPU and two for the host",
     "Of `cloudwatch` and `emf`: what is sent, since each metric is paid for: "
     "`[\"hw.power{accelmon.power.scope=gpu} by host\"]`"},
    {"exporters.*.log_group", Type::text, nullptr, 0, 512, "the CloudWatch agent's", "Of `emf`"},
};

}  // namespace

std::span<const Key> keys() {
  return kKeys;
}

std::optional<std::string> unknown_text(const Key& key, std::string_view text) {
  std::vector<std::string_view> known;
  if (key.path == "exposition.vocabularies") {
    known = {"otel", "dcgm"};
  } else if (key.path == "exposition.only" || key.path == "exposition.except") {
    for (const MetricInfo& metric : all_metrics()) known.push_back(metric.name);
  } else if (key.path == "exposition.keep_labels" || key.path == "exposition.drop_labels") {
    for (const AttributeInfo& attribute : all_attributes()) known.push_back(attribute.key);
    for (const AttributeInfo& attribute : all_attributes()) known.push_back(prometheus_label(attribute.id));
    known.insert(known.end(), dcgm_label_names().begin(), dcgm_label_names().end());
  } else {
    return {};
  }
  const bool pattern = key.path == "exposition.only" || key.path == "exposition.except";
  if (std::any_of(known.begin(), known.end(),
                  [&](std::string_view one) { return pattern ? matches(text, one) : text == one; }))
    return {};
  if (const auto near = nearest_word(text, known)) return "is unknown; did you mean " + quoted(*near) + "?";
  if (pattern) return "is the name of no metric; accelmon metrics lists them";
  if (key.path == "exposition.vocabularies") return "is no vocabulary; write \"otel\" or \"dcgm\"";
  return "is no label of any metric; accelmon metrics lists them";
}

}  // namespace accelmon::config_table
