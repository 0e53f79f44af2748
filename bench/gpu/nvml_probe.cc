// Asks a real NVML what its documentation leaves open, and what each of its calls costs. Prints Markdown.
//
//   nvml_probe [--rounds N] [--pause MS] [--watch SECONDS] [--library FILE]
//
// It stands on the layouts that the collector uses (nvml_abi.h) and on nothing else of accelmon, and only reads: no
// setting of a board is touched. docs/gpu-measurements.md holds what it found on which board and driver.
#include <dlfcn.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "collectors/nvml/nvml_abi.h"

namespace {

using namespace accelmon::nvml;
using Clock = std::chrono::steady_clock;

void* library = nullptr;
std::chrono::milliseconds pause_between{2};

template <class F>
F* symbol(const char* name) {
  return reinterpret_cast<F*>(dlsym(library, name));
}

// Calls a function of the library by name; kFunctionNotFound where the driver has none.
#define CALL(name, ...)                                                          \
  [&]() -> int {                                                                 \
    static auto* function = symbol<fn::name>(#name);                             \
    return function == nullptr ? int{kFunctionNotFound} : function(__VA_ARGS__); \
  }()

double microseconds(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

const char* error_text(int code) {
  static auto* function = symbol<fn::nvmlErrorString>("nvmlErrorString");
  return function == nullptr ? "?" : function(code);
}

// "Rss 12340 kB, Pss 4560 kB, private 3456 kB".
void print_memory(const char* when) {
  std::ifstream file("/proc/self/smaps_rollup");
  std::string word;
  std::map<std::string, long> kib;
  while (file >> word) {
    if (word.back() != ':') continue;
    long value = 0;
    if (file >> value) kib[word] = value;
    file.clear();
  }
  std::printf("| %s | %ld | %ld | %ld |\n", when, kib["Rss:"], kib["Pss:"],
              kib["Private_Dirty:"] + kib["Private_Clean:"]);
}

double cpu_microseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
}

struct Cost {
  std::vector<double> times;
  double cpu = 0;  // of all rounds
  int code = 0;

  void run(const std::function<int()>& call) {
    const double cpu_began = cpu_microseconds();
    const auto began = Clock::now();
    code = call();
    times.push_back(microseconds(Clock::now() - began));
    cpu += cpu_microseconds() - cpu_began;
  }
};

void print_cost(const std::string& name, Cost cost) {
  std::sort(cost.times.begin(), cost.times.end());
  const size_t n = cost.times.size();
  std::printf("| %s | %s | %.1f | %.1f | %.1f | %.1f | %.1f |\n", name.c_str(),
              cost.code == 0 ? "ok" : error_text(cost.code), cost.times.front(), cost.times[n / 2],
              cost.times[n * 99 / 100], cost.times.back(), cost.cpu / static_cast<double>(n));
}

void measure(const char* name, int rounds, const std::function<int()>& call) {
  Cost cost;
  for (int i = 0; i < rounds; ++i) {
    cost.run(call);
    if (cost.times.back() > 5000 && cost.times.size() >= 20) break;  // a slow one is known after twenty
    std::this_thread::sleep_for(pause_between);
  }
  print_cost(name, std::move(cost));
}

FieldValue field(U32 id, U32 scope) {
  FieldValue value{};
  value.field_id = id;
  value.scope_id = scope;
  value.result = -1;
  value.value_type = -1;
  return value;
}

std::string number(const FieldValue& value) {
  char text[48];
  switch (value.value_type) {
    case kDouble:
      std::snprintf(text, sizeof text, "%g", value.value.f64);
      break;
    case kUnsignedInt:
      std::snprintf(text, sizeof text, "%u", value.value.u32);
      break;
    case kUnsignedLong:
      std::snprintf(text, sizeof text, "%lu", value.value.ul);
      break;
    case kUnsignedLongLong:
      std::snprintf(text, sizeof text, "%llu", value.value.u64);
      break;
    case kSignedLongLong:
      std::snprintf(text, sizeof text, "%lld", value.value.i64);
      break;
    case kSignedInt:
      std::snprintf(text, sizeof text, "%d", value.value.i32);
      break;
    case kUnsignedShort:
      std::snprintf(text, sizeof text, "%u", value.value.u16);
      break;
    default:
      std::snprintf(text, sizeof text, "type %d", value.value_type);
  }
  return text;
}

void print_fields(DeviceHandle device) {
  std::printf(
      "\n## Fields\n\nEach alone, five times: the least wall time, and the library's own latency.\n\n"
      "| id | scope | answer | type | value | latency us | wall us |\n|---|---|---|---|---|---|---|\n");
  std::vector<std::pair<U32, U32>> ids;
  for (U32 id = 1; id <= 310; ++id) ids.emplace_back(id, 0);
  for (const U32 id : {kFieldPowerAverage, kFieldPowerInstant})
    for (const U32 scope : {1u, 2u}) ids.emplace_back(id, scope);
  for (U32 id = 138; id <= 141; ++id) ids.emplace_back(id, kAllNvlinks);
  for (const auto& [id, scope] : ids) {
    FieldValue best = field(id, scope);
    double least = 1e12;
    int code = 0;
    for (int i = 0; i < 5; ++i) {
      FieldValue value = field(id, scope);
      const auto began = Clock::now();
      code = CALL(nvmlDeviceGetFieldValues, device, 1, &value);
      const double took = microseconds(Clock::now() - began);
      if (took < least) {
        least = took;
        best = value;
      }
    }
    const int answer = code != 0 ? code : best.result;
    if (answer == kInvalidArgument || answer == kNotSupported) continue;
    std::printf("| %u | %d | %s | %d | %s | %lld | %.1f |\n", id, static_cast<int>(scope),
                answer == 0 ? "ok" : error_text(answer), best.value_type, number(best).c_str(), best.latency, least);
  }
  std::printf("\nNot listed: ids answered with invalid argument or not supported.\n");
}

void print_clock_event_ids(DeviceHandle device) {
  std::printf("\n## Ids that moved\n\n| id | answer | type | value |\n|---|---|---|---|\n");
  for (const U32 id : {251u, 252u, 253u, 254u, 255u, 269u, 270u, 271u, 272u, 273u}) {
    FieldValue value = field(id, 0);
    const int code = CALL(nvmlDeviceGetFieldValues, device, 1, &value);
    const int answer = code != 0 ? code : value.result;
    std::printf("| %u | %s (%d) | %d | %s |\n", id, answer == 0 ? "ok" : error_text(answer), answer, value.value_type,
                number(value).c_str());
  }
}

void print_memory_identity(DeviceHandle device) {
  Memory one{};
  MemoryV2 two;
  const int code1 = CALL(nvmlDeviceGetMemoryInfo, device, &one);
  const int code2 = CALL(nvmlDeviceGetMemoryInfo_v2, device, &two);
  std::printf(
      "\n## Memory\n\n| | code | total | reserved | used | free | total-free | used+free | used+free+reserved |\n"
      "|---|---|---|---|---|---|---|---|---|\n");
  std::printf("| v1 | %d | %llu | - | %llu | %llu | %llu | %llu | - |\n", code1, one.total, one.used, one.free,
              one.total - one.free, one.used + one.free);
  std::printf("| v2 | %d | %llu | %llu | %llu | %llu | %llu | %llu | %llu |\n", code2, two.total, two.reserved,
              two.used, two.free, two.total - two.free, two.used + two.free, two.used + two.free + two.reserved);
}

// Lists of processes, with what stands behind each entry, so that the stride shows itself.
void print_processes(DeviceHandle device) {
  std::printf("\n## Processes\n\n");
  ProcessDetail details[64]{};
  ProcessDetailList list;
  list.count = 64;
  list.processes = details;
  int code = CALL(nvmlDeviceGetRunningProcessDetailList, device, &list);
  std::printf("- detail list: %s, %u entries", error_text(code), code == 0 ? list.count : 0);
  for (U32 i = 0; code == 0 && i < list.count && i < 4; ++i)
    std::printf("; pid %u %llu B gi %d ci %d cc %lld", details[i].pid, details[i].used_memory,
                static_cast<int>(details[i].gpu_instance), static_cast<int>(details[i].compute_instance),
                static_cast<long long>(details[i].used_protected_memory));
  const auto words = [](const char* name, int answer, U32 count, const uint32_t* memory) {
    std::printf("\n- %s: %s, %u entries; words:", name, error_text(answer), count);
    for (int i = 0; answer == 0 && i < 16; ++i) std::printf(" %x", memory[i]);
  };
  uint32_t memory[1024];
  std::memset(memory, 0xa5, sizeof memory);
  U32 count = 32;
  code = CALL(nvmlDeviceGetComputeRunningProcesses_v3, device, &count, memory);
  words("_v3", code, count, memory);
  std::memset(memory, 0xa5, sizeof memory);
  count = 32;
  code = CALL(nvmlDeviceGetComputeRunningProcesses_v2, device, &count, memory);
  words("_v2", code, count, memory);
  std::printf("\n");
}

void print_gpm(DeviceHandle device, int rounds) {
  GpmSupport support;
  int code = CALL(nvmlGpmQueryDeviceSupport, device, &support);
  std::printf("\n## GPM\n\n- support: %s, %u\n", error_text(code), support.supported);
  if (code != 0 || support.supported == 0) return;
  GpmSampleHandle samples[2]{};
  for (GpmSampleHandle& sample : samples) code = CALL(nvmlGpmSampleAlloc, &sample);
  if (code != 0) return;
  Cost get;
  Cost metrics;
  const size_t words = (sizeof(GpmMetricsGet) + (kGpmMetricsMost + 8) * sizeof(GpmMetric)) / 8;
  std::vector<uint64_t> memory(words);
  auto* header = reinterpret_cast<GpmMetricsGet*>(memory.data());
  auto* entries = reinterpret_cast<GpmMetric*>(memory.data() + sizeof(GpmMetricsGet) / 8);
  constexpr U32 kIds[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 20, 21, 60, 61};
  constexpr U32 kCount = sizeof(kIds) / sizeof(kIds[0]);
  size_t touched = 0;
  CALL(nvmlGpmSampleGet, device, samples[0]);
  for (int i = 0; i < rounds; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(i % 4 == 0 ? 1000 : 110));
    get.run([&] { return CALL(nvmlGpmSampleGet, device, samples[(i + 1) % 2]); });
    std::fill(memory.begin(), memory.end(), 0xa5a5a5a5a5a5a5a5u);
    header->version = 1;
    header->count = kCount;
    header->sample1 = samples[i % 2];
    header->sample2 = samples[(i + 1) % 2];
    for (U32 n = 0; n < kCount; ++n) {
      entries[n] = GpmMetric{};
      entries[n].id = kIds[n];
    }
    metrics.run([&] { return CALL(nvmlGpmMetricsGet, static_cast<void*>(header)); });
    const auto* beyond = reinterpret_cast<const uint64_t*>(entries + kCount);
    const auto* end = memory.data() + words;
    touched = std::max(touched, static_cast<size_t>(std::count_if(
                                    beyond, end, [](uint64_t word) { return word != 0xa5a5a5a5a5a5a5a5u; })));
  }
  std::printf(
      "- words touched beyond the entries asked for: %zu\n\n"
      "| call | answer | least us | median us | p99 us | most us | mean CPU us |\n|---|---|---|---|---|---|---|\n",
      touched);
  print_cost("nvmlGpmSampleGet", get);
  print_cost("nvmlGpmMetricsGet (17)", metrics);
  const auto ask = [&](const std::vector<U32>& ids) {
    header->version = 1;
    header->count = static_cast<U32>(ids.size());
    header->sample1 = samples[(rounds + 1) % 2];
    header->sample2 = samples[rounds % 2];
    for (size_t n = 0; n < ids.size(); ++n) {
      entries[n] = GpmMetric{};
      entries[n].id = ids[n];
      entries[n].result = -1;
    }
    return CALL(nvmlGpmMetricsGet, static_cast<void*>(header));
  };
  const auto cost_of = [&](const char* name, const std::vector<U32>& ids) {
    Cost cost;
    for (int i = 0; i < 30; ++i) {
      cost.run([&] { return ask(ids); });
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    print_cost(name, cost);
  };
  cost_of("metrics 1", {1});
  cost_of("metrics 1 twice", {1, 1});
  cost_of("metrics 1 to 5", {1, 2, 3, 4, 5});
  cost_of("metrics 10", {10});
  cost_of("metrics 20, 21", {20, 21});
  cost_of("accelmon's: 1-5, 10-13", {1, 2, 3, 4, 5, 10, 11, 12, 13});
  cost_of("the same without 10", {1, 2, 3, 4, 5, 11, 12, 13});
  cost_of("accelmon's and 20, 21", {1, 2, 3, 4, 5, 10, 11, 12, 13, 20, 21});
  std::printf(
      "\nEach metric alone, the least of five.\n\n| id | name | unit | answer | value | wall us |\n"
      "|---|---|---|---|---|---|\n");
  for (U32 id = 1; id <= 333; ++id) {
    double least = 1e12;
    for (int i = 0; i < 5; ++i) {
      const auto began = Clock::now();
      code = ask({id});
      least = std::min(least, microseconds(Clock::now() - began));
    }
    if (code != 0 || entries[0].result != 0) continue;
    const auto& info = entries[0].info;
    std::printf("| %u | %s | %s | ok | %g | %.1f |\n", id, info.short_name != nullptr ? info.short_name : "?",
                info.unit != nullptr ? info.unit : "", entries[0].value, least);
  }
  // Two samples that lie too near each other.
  CALL(nvmlGpmSampleGet, device, samples[0]);
  CALL(nvmlGpmSampleGet, device, samples[1]);
  header->count = 2;
  header->sample1 = samples[0];
  header->sample2 = samples[1];
  code = CALL(nvmlGpmMetricsGet, static_cast<void*>(header));
  std::printf("\n- two samples at once: %s; first metric: %s, %g\n", error_text(code), error_text(entries[0].result),
              entries[0].value);
  for (GpmSampleHandle sample : samples) CALL(nvmlGpmSampleFree, sample);
}

void print_costs(DeviceHandle device, int rounds) {
  std::printf(
      "\n## Costs of calls\n\n%d rounds, %d ms apart.\n\n"
      "| call | answer | least us | median us | p99 us | most us | mean CPU us |\n|---|---|---|---|---|---|---|\n",
      rounds, static_cast<int>(pause_between.count()));
  U32 a = 0;
  U32 b = 0;
  int i = 0;
  int j = 0;
  U64 wide = 0;
#define COST(name, ...) measure(#name, rounds, [&] { return CALL(name, __VA_ARGS__); })
  Utilization rates{};
  COST(nvmlDeviceGetUtilizationRates, device, &rates);
  COST(nvmlDeviceGetEncoderUtilization, device, &a, &b);
  COST(nvmlDeviceGetDecoderUtilization, device, &a, &b);
  COST(nvmlDeviceGetJpgUtilization, device, &a, &b);
  COST(nvmlDeviceGetOfaUtilization, device, &a, &b);
  Memory memory{};
  COST(nvmlDeviceGetMemoryInfo, device, &memory);
  MemoryV2 memory2;
  COST(nvmlDeviceGetMemoryInfo_v2, device, &memory2);
  Bar1Memory bar1{};
  COST(nvmlDeviceGetBAR1MemoryInfo, device, &bar1);
  Temperature temperature;
  COST(nvmlDeviceGetTemperatureV, device, &temperature);
  COST(nvmlDeviceGetTemperature, device, 0, &a);
  MarginTemperature margin;
  COST(nvmlDeviceGetMarginTemperature, device, &margin);
  COST(nvmlDeviceGetTemperatureThreshold, device, 1, &a);
  COST(nvmlDeviceGetPowerUsage, device, &a);
  COST(nvmlDeviceGetEnforcedPowerLimit, device, &a);
  COST(nvmlDeviceGetPowerManagementLimitConstraints, device, &a, &b);
  COST(nvmlDeviceGetTotalEnergyConsumption, device, &wide);
  measure("nvmlDeviceGetClockInfo (SM)", rounds, [&] { return CALL(nvmlDeviceGetClockInfo, device, 1, &a); });
  measure("nvmlDeviceGetClockInfo (memory)", rounds, [&] { return CALL(nvmlDeviceGetClockInfo, device, 2, &a); });
  COST(nvmlDeviceGetMaxClockInfo, device, 1, &a);
  COST(nvmlDeviceGetPerformanceState, device, &i);
  COST(nvmlDeviceGetCurrentClocksEventReasons, device, &wide);
  COST(nvmlDeviceGetEccMode, device, &i, &j);
  COST(nvmlDeviceGetTotalEccErrors, device, 0, 0, &wide);
  COST(nvmlDeviceGetMemoryErrorCounter, device, 0, 0, 2, &wide);
  COST(nvmlDeviceGetRemappedRows, device, &a, &b, &a, &b);
  RowRemapperHistogram histogram{};
  COST(nvmlDeviceGetRowRemapperHistogram, device, &histogram);
  COST(nvmlDeviceGetPcieReplayCounter, device, &a);
  COST(nvmlDeviceGetCurrPcieLinkGeneration, device, &a);
  COST(nvmlDeviceGetCurrPcieLinkWidth, device, &a);
  COST(nvmlDeviceGetNvLinkState, device, 0, &i);
  COST(nvmlDeviceGetMigMode, device, &a, &b);
  COST(nvmlDeviceGetNumFans, device, &a);
  ProcessDetail details[64];
  ProcessDetailList list;
  measure("nvmlDeviceGetRunningProcessDetailList (compute)", rounds, [&] {
    list.mode = kProcessesCompute;
    list.count = 64;
    list.processes = details;
    return CALL(nvmlDeviceGetRunningProcessDetailList, device, &list);
  });
  measure("nvmlDeviceGetRunningProcessDetailList (graphics)", rounds, [&] {
    list.mode = kProcessesGraphics;
    list.count = 64;
    list.processes = details;
    return CALL(nvmlDeviceGetRunningProcessDetailList, device, &list);
  });
  measure("nvmlDeviceGetComputeRunningProcesses_v3", rounds, [&] {
    U32 count = 64;
    return CALL(nvmlDeviceGetComputeRunningProcesses_v3, device, &count, static_cast<void*>(details));
  });
  auto* throughput = symbol<int(DeviceHandle, int, U32*)>("nvmlDeviceGetPcieThroughput");
  if (throughput != nullptr)
    measure("nvmlDeviceGetPcieThroughput (not used by accelmon)", 20, [&] { return throughput(device, 0, &a); });
  const auto batch = [&](const char* name, std::vector<U32> ids) {
    std::vector<FieldValue> values(ids.size());
    measure(name, rounds, [&] {
      for (size_t n = 0; n < ids.size(); ++n) values[n] = field(ids[n], 0);
      return CALL(nvmlDeviceGetFieldValues, device, static_cast<int>(values.size()), values.data());
    });
  };
  batch("nvmlDeviceGetFieldValues {83}", {83});
  batch("nvmlDeviceGetFieldValues {185}", {185});
  batch("nvmlDeviceGetFieldValues {186}", {186});
  batch("nvmlDeviceGetFieldValues {185,186}", {185, 186});
  batch("nvmlDeviceGetFieldValues {82}", {82});
  batch("nvmlDeviceGetFieldValues {197,198}", {197, 198});
  batch("nvmlDeviceGetFieldValues {74}", {74});
  batch("nvmlDeviceGetFieldValues {74,76,77,79}", {74, 76, 77, 79});
  batch("nvmlDeviceGetFieldValues {269}", {269});
  batch("nvmlDeviceGetFieldValues {270}", {270});
  batch("nvmlDeviceGetFieldValues {271}", {271});
  batch("nvmlDeviceGetFieldValues {75}", {75});
  batch("nvmlDeviceGetFieldValues {193}", {193});
  batch("nvmlDeviceGetFieldValues {138 all}", {138});
  batch("nvmlDeviceGetFieldValues {161,162,163}", {161, 162, 163});
  batch("nvmlDeviceGetFieldValues {230}", {230});
}

struct Watched {
  const char* name;
  std::function<double()> read;
  double first = 0;
  double last = 0;
  size_t changes = 0;
  size_t falls = 0;
  double most = 0;
  std::vector<double> gaps{};  // seconds between changes
  Clock::time_point changed_at{};
};

// How often each number is renewed, and how it moves.
void watch(DeviceHandle device, double seconds) {
  const auto of_field = [device](U32 id, U32 scope = 0) {
    return [device, id, scope]() -> double {
      FieldValue value = field(id, scope);
      const int code = CALL(nvmlDeviceGetFieldValues, device, 1, &value);
      if (code != 0 || value.result != 0) return -1;
      switch (value.value_type) {
        case kUnsignedInt:
          return value.value.u32;
        case kSignedInt:
          return value.value.i32;
        case kDouble:
          return value.value.f64;
        default:
          return static_cast<double>(value.value.u64);
      }
    };
  };
  std::vector<Watched> all{
      {"utilization gpu %",
       [device] {
         Utilization u{};
         CALL(nvmlDeviceGetUtilizationRates, device, &u);
         return double(u.gpu);
       }},
      {"utilization memory %",
       [device] {
         Utilization u{};
         CALL(nvmlDeviceGetUtilizationRates, device, &u);
         return double(u.memory);
       }},
      {"power usage mW",
       [device] {
         U32 mw = 0;
         CALL(nvmlDeviceGetPowerUsage, device, &mw);
         return double(mw);
       }},
      {"power average mW (185)", of_field(185)},
      {"power instant mW (186)", of_field(186)},
      {"power instant module mW (186/1)", of_field(186, 1)},
      {"power instant memory mW (186/2)", of_field(186, 2)},
      {"energy mJ (83)", of_field(83)},
      {"temperature C",
       [device] {
         Temperature t;
         CALL(nvmlDeviceGetTemperatureV, device, &t);
         return double(t.temperature);
       }},
      {"memory temperature C (82)", of_field(82)},
      {"SM clock MHz",
       [device] {
         U32 mhz = 0;
         CALL(nvmlDeviceGetClockInfo, device, 1, &mhz);
         return double(mhz);
       }},
      {"memory used B",
       [device] {
         MemoryV2 m;
         CALL(nvmlDeviceGetMemoryInfo_v2, device, &m);
         return double(m.used);
       }},
      {"reasons",
       [device] {
         U64 r = 0;
         CALL(nvmlDeviceGetCurrentClocksEventReasons, device, &r);
         return double(r);
       }},
      {"PCIe transmit B (197)", of_field(197)},
      {"PCIe receive B (198)", of_field(198)},
      {"power policy (74)", of_field(74)},
      {"thermal policy (75)", of_field(75)},
      {"sync boost (76)", of_field(76)},
      {"board limit (77)", of_field(77)},
      {"low utilization (78)", of_field(78)},
      {"reliability (79)", of_field(79)},
      {"application clocks (80)", of_field(80)},
      {"base clocks (81)", of_field(81)},
      {"thermal software (269)", of_field(269)},
      {"thermal hardware (270)", of_field(270)},
      {"power brake (271)", of_field(271)},
  };
  for (Watched& one : all) one.most = one.first = one.last = one.read();
  const auto began = Clock::now();
  size_t rounds = 0;
  double reasons_power = 0;
  auto last = began;
  while (std::chrono::duration<double>(Clock::now() - began).count() < seconds) {
    for (Watched& one : all) {
      const double value = one.read();
      const auto now = Clock::now();
      if (value != one.last) {
        if (one.changes > 0) one.gaps.push_back(std::chrono::duration<double>(now - one.changed_at).count());
        one.changed_at = now;
        ++one.changes;
        if (value < one.last) ++one.falls;
      }
      one.most = std::max(one.most, value);
      one.last = value;
      if (std::strcmp(one.name, "reasons") == 0) {
        if ((static_cast<U64>(value) & kReasonPowerCap) != 0)
          reasons_power += std::chrono::duration<double>(now - last).count();
        last = now;
      }
    }
    ++rounds;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const double took = std::chrono::duration<double>(Clock::now() - began).count();
  std::printf(
      "\n## Renewal and movement\n\n%zu rounds in %.1f s; the power-cap bit stood for %.2f s.\n\n"
      "| what | first | last | most | last-first | changes | falls | median s between changes |\n"
      "|---|---|---|---|---|---|---|---|\n",
      rounds, took, reasons_power);
  for (Watched& one : all) {
    std::sort(one.gaps.begin(), one.gaps.end());
    std::printf("| %s | %.0f | %.0f | %.0f | %.0f | %zu | %zu | %.4f |\n", one.name, one.first, one.last, one.most,
                one.last - one.first, one.changes, one.falls, one.gaps.empty() ? 0 : one.gaps[one.gaps.size() / 2]);
  }
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 200;
  double seconds = 5;
  const char* file = "libnvidia-ml.so.1";
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--rounds") == 0) rounds = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--pause") == 0) pause_between = std::chrono::milliseconds(std::atoi(argv[i + 1]));
    if (std::strcmp(argv[i], "--watch") == 0) seconds = std::atof(argv[i + 1]);
    if (std::strcmp(argv[i], "--library") == 0) file = argv[i + 1];
  }
  std::printf("## Memory of a process with NVML\n\n| when | Rss KiB | Pss KiB | private KiB |\n|---|---|---|---|\n");
  print_memory("before");
  library = dlopen(file, RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "nvml_probe: %s\n", dlerror());
    return 1;
  }
  print_memory("loaded");
  auto began = Clock::now();
  const int code = CALL(nvmlInit_v2);
  const double init = microseconds(Clock::now() - began);
  if (code != 0) {
    std::fprintf(stderr, "nvml_probe: nvmlInit_v2: %s\n", error_text(code));
    return 1;
  }
  print_memory("initialized");
  DeviceHandle device = nullptr;
  U32 count = 0;
  CALL(nvmlDeviceGetCount_v2, &count);
  began = Clock::now();
  const int handle = CALL(nvmlDeviceGetHandleByIndex_v2, 0, &device);
  const double attach = microseconds(Clock::now() - began);
  print_memory("device attached");
  char driver[kVersionBytes] = "";
  char interface[kVersionBytes] = "";
  char name[kNameBytes] = "";
  int cuda = 0;
  CALL(nvmlSystemGetDriverVersion, driver, kVersionBytes);
  CALL(nvmlSystemGetNVMLVersion, interface, kVersionBytes);
  CALL(nvmlSystemGetCudaDriverVersion, &cuda);
  CALL(nvmlDeviceGetName, device, name, kNameBytes);
  Utilization rates{};
  FieldValue value{};
  for (int i = 0; i < 200; ++i) {
    CALL(nvmlDeviceGetUtilizationRates, device, &rates);
    value = field(kFieldPowerInstant, 0);
    CALL(nvmlDeviceGetFieldValues, device, 1, &value);
  }
  print_memory("400 calls later");
  std::printf(
      "\n%s; driver %s, NVML %s, CUDA %d; %u devices, handle: %s; nvmlInit_v2 %.0f us, handle %.0f us; uid %d\n", name,
      driver, interface, cuda, count, error_text(handle), init, attach, static_cast<int>(getuid()));
  int missing = 0;
#define MISSING(symbol_name, arguments) \
  if (dlsym(library, #symbol_name) == nullptr) std::printf("- no symbol %s\n", #symbol_name), ++missing;
  ACCELMON_NVML_FUNCTIONS(MISSING)
  std::printf("- symbols that accelmon uses and this library lacks: %d\n", missing);
  if (handle != 0) return 1;
  U64 supported = 0;
  U64 events = 0;
  CALL(nvmlDeviceGetSupportedClocksEventReasons, device, &supported);
  CALL(nvmlDeviceGetSupportedEventTypes, device, &events);
  std::printf("- supported reasons 0x%llx, supported event types 0x%llx\n", supported, events);
  print_clock_event_ids(device);
  print_memory_identity(device);
  print_processes(device);
  print_gpm(device, 24);
  if (rounds > 0) print_costs(device, rounds);
  if (rounds > 0) print_fields(device);
  if (seconds > 0) watch(device, seconds);
  CALL(nvmlShutdown);
  return 0;
}
