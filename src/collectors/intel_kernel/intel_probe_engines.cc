// Discovery of the engines: the kernel's counters, or what its clients tell.
#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "collectors/intel_kernel/intel_gpu.h"

namespace accelmon::intel_kernel {
namespace {

constexpr unsigned kMostInstances = 16;

// Classes have the same numbers in xe's PMU and names in i915's. The order is that in which engines of one kind are
// numbered: decoders before what enhances.
struct EngineClass {
  const char* kind;
  unsigned number;
  std::string_view i915_event;  // "rcs0-busy"
  std::string_view xe_client, i915_client;
};
constexpr EngineClass kClasses[] = {
    {"compute", 4, "ccs", "ccs", "compute"},
    {"render", 0, "rcs", "rcs", "render"},
    {"copy", 1, "bcs", "bcs", "copy"},
    {"media", 2, "vcs", "vcs", "video"},
    {"media", 3, "vecs", "vecs", "video-enhance"},
};

bool does_the_work(std::string_view kind) {
  return kind == "compute" || kind == "render";
}

// "xe_0000_03_00.0"
std::string pmu_name(Driver driver, const std::string& address) {
  std::string name = (driver == Driver::xe ? "xe_" : "i915_") + address;
  std::replace(name.begin(), name.end(), ':', '_');
  return name;
}

// One of the errors that say that this user, or this process, gets no counter at all.
bool is_final(int error) {
  return is_forbidden(error) || error == EMFILE || error == ENFILE || error == ENOSYS;
}

}  // namespace

int Gpu::probe_xe_engines(const Pmu& pmu, std::vector<Engine>& out) {
  for (const Gt& gt : gts_) {
    for (unsigned order = 0; order < std::size(kClasses); ++order) {
      const EngineClass& of = kClasses[order];
      for (unsigned instance = 0; instance < kMostInstances; ++instance) {
        // Engines that are fused off leave gaps, so that all numbers are tried.
        const auto active = pmu.config("engine-active-ticks",
                                       {{"gt", gt.number}, {"engine_class", of.number}, {"engine_instance", instance}});
        const auto total = pmu.config("engine-total-ticks",
                                      {{"gt", gt.number}, {"engine_class", of.number}, {"engine_instance", instance}});
        if (!active || !total) continue;
        Engine engine{of.kind, order, gt.number, instance, device_of_tile(gt.tile), {}, {}};
        int error = pmu.count(*active, engine.busy);
        if (error == 0) error = pmu.count(*total, engine.total);
        if (is_final(error)) return error;
        if (error == 0) out.push_back(std::move(engine));
      }
    }
  }
  return 0;
}

int Gpu::probe_i915_engines(const Pmu& pmu, std::vector<Engine>& out) {
  for (const auto& [event, text] : pmu.events()) {
    constexpr std::string_view kBusy = "-busy";
    if (!event.ends_with(kBusy)) continue;
    const std::string_view name = std::string_view(event).substr(0, event.size() - kBusy.size());
    for (unsigned order = 0; order < std::size(kClasses); ++order) {
      const auto instance = number_after(name, kClasses[order].i915_event);
      const auto config = instance ? pmu.config(event) : std::nullopt;
      if (!config) continue;
      Engine engine{kClasses[order].kind, order, 0, *instance, 0, {}, {}};
      const int error = pmu.count(*config, engine.busy);
      if (is_final(error)) return error;
      if (error == 0) out.push_back(std::move(engine));
    }
  }
  return 0;
}

void Gpu::show_engines(std::vector<Engine> engines) {
  std::sort(engines.begin(), engines.end(), [](const Engine& a, const Engine& b) {
    return std::tie(a.device, a.order, a.gt, a.instance) < std::tie(b.device, b.order, b.gt, b.instance);
  });
  const CallId call = host_.calls.add("perf counters");
  std::map<std::pair<int, std::string>, unsigned> numbers;
  std::vector<std::vector<int>> busy(devices_.size());
  kept_awake_ = driver_ == Driver::xe && !engines.empty();
  for (Engine& engine : engines) {
    const int share = cell();
    auto source =
        std::make_unique<EngineSource>(call, Tier::fast, std::move(engine.busy), std::move(engine.total), share);
    Reads in{host_.calls, host_.clock, cells_};
    (void)source->read(in);
    sources_.push_back(std::move(source));
    if (does_the_work(engine.kind)) busy[static_cast<size_t>(engine.device)].push_back(share);
    const unsigned number = numbers[{engine.device, engine.kind}]++;
    show(MetricId::gpu_engine_utilization, engine.device, Tier::fast,
         {{AttributeId::engine, engine.kind}, {AttributeId::engine_index, std::to_string(number)}}, share);
  }
  // Busy is what the busiest engine is: a mean over engines would show a quarter where one of four does all the work.
  std::vector<int> all;
  for (size_t device = busy.size(); device-- > 0;) {
    all.insert(all.end(), busy[device].begin(), busy[device].end());
    const std::vector<int>& parts = device == 0 ? all : busy[device];
    if (!parts.empty())
      show(MetricId::gpu_utilization, static_cast<int>(device), Tier::fast, {{AttributeId::gpu_task, "general"}},
           aggregate(Op::most, parts));
  }
}

// Busy time per kind of engine, added up over all clients, where those can be seen.
void Gpu::show_engines_of_clients(State state, const std::string& why) {
  const std::string missing = clients_incomplete();
  if (!missing.empty()) {
    absent({MetricId::gpu_utilization, MetricId::gpu_engine_utilization}, state, why + "; and " + missing);
    return;
  }
  std::vector<int> busy;
  for (const char* kind : {"compute", "render", "copy", "media"}) {
    ClientEngine engine{{}, cell()};
    for (const EngineClass& of : kClasses)
      if (std::string_view(of.kind) == kind)
        engine.names.push_back(driver_ == Driver::xe ? of.xe_client : of.i915_client);
    if (does_the_work(kind)) busy.push_back(engine.cell);
    show(MetricId::gpu_engine_utilization, 0, Tier::slow, {{AttributeId::engine, kind}}, engine.cell);
    client_engines_.push_back(std::move(engine));
  }
  show(MetricId::gpu_utilization, 0, Tier::slow, {{AttributeId::gpu_task, "general"}}, aggregate(Op::most, busy));
}

void Gpu::probe_engines() {
  State state = State::unsupported;
  std::string why = "counters are switched off (option counters)";
  if (host_.counters) {
    Result<Pmu> pmu = Pmu::open(host_.sysfs, pmu_name(driver_, function_.address), host_.calls);
    // An integrated GPU's has no address in its name.
    if (!pmu && driver_ == Driver::i915) pmu = Pmu::open(host_.sysfs, "i915", host_.calls);
    if (!pmu) {
      why = pmu.error().message();
    } else if (driver_ == Driver::xe && !(pmu->has_event("engine-active-ticks") && pmu->has_term("engine_class"))) {
      why = "xe counts the engines' time since Linux 6.16; this kernel's does not";
    } else {
      std::vector<Engine> engines;
      const int error = driver_ == Driver::xe ? probe_xe_engines(*pmu, engines) : probe_i915_engines(*pmu, engines);
      if (error == 0 && !engines.empty()) {
        show_engines(std::move(engines));
        return;
      }
      state = error == 0 ? State::unsupported : state_of(error);
      why = is_forbidden(error)
                ? "the kernel's counters need CAP_PERFMON (setcap cap_perfmon+ep, or AmbientCapabilities=CAP_PERFMON), "
                  "or kernel.perf_event_paranoid=0"
            : error == EMFILE || error == ENFILE
                ? "there are not enough descriptors for the engines' counters: raise the limit (LimitNOFILE)"
            : error != 0 ? "the kernel gives no counters: " + std::string(errno_name(error))
                         : "the kernel's counters " + pmu->name() + " know no engines";
    }
  }
  show_engines_of_clients(state, why);
}

}  // namespace accelmon::intel_kernel
