// What the kernel shows of Intel GPUs: the files of xe and i915, hwmon, DRM clients. intel_calls.cc has their ioctls
// and counters.
#include "simulator/kernel/intel_tree.h"

#include <cerrno>

namespace accelmon::simulator {

namespace {

using Read = std::function<Bytes(const IntelDevice&, const Moment&)>;
using Value = std::function<double(const IntelDevice&, const Moment&)>;

constexpr const char* kXeClasses[kIntelClasses] = {"rcs", "bcs", "vcs", "vecs", "ccs"};
constexpr const char* kI915Classes[kIntelClasses] = {"render", "copy", "video", "video-enhance", "compute"};

class IntelTree {
 public:
  IntelTree(KernelTree& tree, const Scenario& scenario, unsigned index)
      : tree_(tree), device_(scenario.intel[index]), index_(index), owner_{Vendor::intel, index} {}

  void add() {
    add_bus();
    for (unsigned tile = 0; tile < device_.tiles.size(); ++tile) add_tile(tile);
    add_hwmon();
    add_counters();
    add_processes();
  }

 private:
  bool xe() const { return device_.driver == IntelDriver::xe; }

  void file(const std::string& path, Read read) {
    tree_.file(path, owner_, [index = index_, read = std::move(read)](const Moment& at) {
      if (index >= at.scenario.intel.size()) return Bytes::fail(ENODEV);
      return read(at.scenario.intel[index], at);
    });
  }
  void number(const std::string& path, Value value) {
    file(path, [value = std::move(value)](const IntelDevice& d, const Moment& at) {
      return Bytes(format("%.0f\n", value(d, at)));
    });
  }
  void fixed(const std::string& path, const std::string& text) {
    file(path, [text = text + "\n"](const IntelDevice&, const Moment&) { return Bytes(text); });
  }

  void add_bus() {
    PciFunction f;
    f.address = device_.pci_address();
    f.vendor = 0x8086;
    f.device = device_.pci_device_id;
    f.subsystem = device_.pci_subsystem_id;
    f.class_code = device_.integrated ? 0x030000 : 0x038000;
    f.driver = xe() ? "xe" : "i915";
    f.numa_node = device_.numa_node;
    f.generation = device_.pcie_gen;
    f.generation_max = device_.pcie_gen_max;
    f.width = device_.pcie_width;
    f.width_max = device_.pcie_width_max;
    folder_ = tree_.pci(f, owner_);
    minor_ = tree_.drm(folder_, owner_);
    for (const std::string& node : {format("card%u", minor_), format("renderD%u", 128 + minor_)}) {
      KernelFile one;
      one.owner = owner_;
      one.content = [](const Moment&) { return Bytes(""); };
      one.control = [index = index_](const Moment& at, unsigned long request, void* argument) {
        return intel_control(at, index, request, argument);
      };
      tree_.file("dev/dri/" + node, std::move(one));
    }
  }

  // ---- tiles, clocks, throttling ----

  void add_tile(unsigned tile) {
    if (xe() && !device_.integrated)
      number(folder_ + format("/tile%u/physical_vram_size_bytes", tile),
             [tile](const IntelDevice& d, const Moment&) { return static_cast<double>(d.tiles[tile].memory_total); });
    const std::vector<IntelFrequency>& all = device_.tiles[tile].frequencies;
    for (unsigned i = 0; i < all.size(); ++i) {
      if (all[i].domain == IntelFrequency::Domain::memory) continue;  // neither driver shows that clock
      const bool media = all[i].domain == IntelFrequency::Domain::media;
      const std::string gt = xe() ? folder_ + format("/tile%u/gt%u", tile, all[i].gt)
                                  : folder_ + format("/drm/card%u/gt/gt%u", minor_, all[i].gt);
      add_clock(gt, tile, i);
      if (xe()) {
        fixed(gt + "/gtidle/name", format("gt%u-%s", all[i].gt, media ? "mc" : "rc"));
        file(gt + "/gtidle/idle_status",
             [](const IntelDevice& d, const Moment& at) { return Bytes(d.busy(at.t) ? "gt-c0\n" : "gt-c6\n"); });
      }
      if (!media) add_throttling(xe() ? gt + "/freq0/throttle/" : gt + "/throttle_");
    }
  }

  void add_clock(const std::string& gt, unsigned tile, unsigned which) {
    const auto clock = [&](const char* of_xe, const char* of_i915,
                           std::function<double(const IntelDevice&, const IntelFrequency&, double)> value) {
      number(gt + "/" + (xe() ? std::string("freq0/") + of_xe : std::string(of_i915)),
             [tile, which, value = std::move(value)](const IntelDevice& d, const Moment& at) {
               return value(d, d.tiles[tile].frequencies[which], at.t);
             });
    };
    using D = const IntelDevice&;
    using F = const IntelFrequency&;
    clock("act_freq", "rps_act_freq_mhz", [](D d, F f, double t) { return d.frequency(f, t); });
    clock("cur_freq", "punit_req_freq_mhz", [](D, F f, double) { return f.maximum; });
    clock("min_freq", "rps_min_freq_mhz", [](D, F f, double) { return f.minimum; });
    clock("max_freq", "rps_max_freq_mhz", [](D, F f, double) { return f.maximum; });
    clock("rp0_freq", "rps_RP0_freq_mhz", [](D, F f, double) { return f.rp0; });
    clock("rpe_freq", "rps_RP1_freq_mhz", [](D, F f, double) { return f.rpe; });
    clock("rpn_freq", "rps_RPn_freq_mhz", [](D, F f, double) { return f.rpn; });
  }

  void add_throttling(const std::string& prefix) {
    const std::string any = xe() ? "status" : "reason_status";
    number(prefix + any, [](const IntelDevice& d, const Moment& at) { return d.throttle_reasons(at.t) != 0 ? 1 : 0; });
    // The files are there for every reason that the driver knows.
    for (const auto& [name, bit] : {std::pair{"reason_pl1", 0u},
                                    {"reason_pl2", 1u},
                                    {"reason_pl4", 2u},
                                    {"reason_thermal", 3u},
                                    {"reason_prochot", 31u}})
      number(prefix + name, [mask = 1u << bit](const IntelDevice& d, const Moment& at) {
        return (d.throttle_reasons(at.t) & mask) != 0 ? 1 : 0;
      });
  }

  // ---- hwmon ----

  void watts(const std::string& path, std::optional<double> IntelDevice::*which) {
    if (device_.*which) number(path, [which](const IntelDevice& d, const Moment&) { return *(d.*which) * 1e6; });
  }

  void celsius(const std::string& path, std::optional<double> limit) {
    if (limit) fixed(path, std::to_string(static_cast<long>(*limit * 1e3)));
  }

  void add_hwmon() {
    if (device_.integrated) return;
    const std::string at = tree_.hwmon(folder_, xe() ? "xe" : "i915", owner_) + "/";
    if (device_.energy_base) {
      number(at + "energy1_input", [](const IntelDevice& d, const Moment& m) { return d.energy(m.since, m.t) * 1e6; });
      if (xe()) fixed(at + "energy1_label", "card");
    }
    if (device_.package_power && xe()) {
      number(at + "energy2_input",
             [](const IntelDevice& d, const Moment& m) { return d.package_energy(m.since, m.t) * 1e6; });
      fixed(at + "energy2_label", "pkg");
    }
    watts(at + "power1_max", &IntelDevice::limit_sustained);
    watts(at + "power1_rated_max", &IntelDevice::limit_rated);
    watts(at + "power1_crit", &IntelDevice::limit_peak);
    if (xe()) watts(at + "power1_cap", &IntelDevice::limit_burst);
    if (device_.voltage)
      number(at + (xe() ? "in1_input" : "in0_input"),
             [](const IntelDevice& d, const Moment& m) { return d.voltage->value(m.t) * 1e3; });
    if (device_.tiles[0].gpu_temperature) {
      number(at + (xe() ? "temp2_input" : "temp1_input"),
             [](const IntelDevice& d, const Moment& m) { return d.tiles[0].gpu_temperature->value(m.t) * 1e3; });
      if (xe()) fixed(at + "temp2_label", "pkg");
      celsius(at + (xe() ? "temp2_crit" : "temp1_crit"), device_.tiles[0].gpu_temperature_most);
    }
    if (device_.tiles[0].memory_temperature && xe()) {
      number(at + "temp3_input",
             [](const IntelDevice& d, const Moment& m) { return d.tiles[0].memory_temperature->value(m.t) * 1e3; });
      fixed(at + "temp3_label", "vram");
      celsius(at + "temp3_crit", device_.tiles[0].memory_temperature_most);
    }
    for (unsigned fan = 1; fan <= (xe() ? device_.fans : std::min(device_.fans, 1u)); ++fan)
      number(at + format("fan%u_input", fan),
             [](const IntelDevice& d, const Moment& m) { return d.fan_rpm.value(m.t); });
  }

  // ---- counters ----

  void add_counters() {
    std::string name = (xe() ? "xe_" : "i915_") + device_.pci_address();
    for (char& c : name)
      if (c == ':') c = '_';
    const std::string at = "sys/bus/event_source/devices/" + (device_.integrated && !xe() ? "i915" : name) + "/";
    fixed(at + "type", format("%u", kIntelPmuTypes + index_));
    fixed(at + "cpumask", "0");
    if (xe()) {
      fixed(at + "format/event", "config:0-11");
      fixed(at + "format/engine_instance", "config:12-19");
      fixed(at + "format/engine_class", "config:20-27");
      fixed(at + "format/function", "config:44-59");
      fixed(at + "format/gt", "config:60-63");
      fixed(at + "events/gt-c6-residency", "event=0x01");
      fixed(at + "events/gt-c6-residency.unit", "ms");
      fixed(at + "events/engine-active-ticks", "event=0x02");
      fixed(at + "events/engine-total-ticks", "event=0x03");
      return;
    }
    constexpr const char* kNames[kIntelClasses] = {"rcs", "bcs", "vcs", "vecs", "ccs"};
    fixed(at + "format/i915_eventid", "config:0-20");
    fixed(at + "events/interrupts", "config=0x100002");
    for (const IntelTile& tile : device_.tiles)
      for (const IntelEngine& engine : tile.engines)
        for (const auto& [sample, bits] : {std::pair{"busy", 0u}, {"wait", 1u}, {"sema", 2u}}) {
          const auto kind = static_cast<unsigned>(engine.kind);
          fixed(at + format("events/%s%u-%s", kNames[kind], engine.instance, sample),
                format("config=0x%x", kind << 12 | engine.instance << 4 | bits));
          fixed(at + format("events/%s%u-%s.unit", kNames[kind], engine.instance, sample), "ns");
        }
  }

  // ---- processes ----

  void add_processes() {
    for (unsigned i = 0; i < device_.processes.size(); ++i) {
      const IntelProcess& p = device_.processes[i];
      // A number that no other device of the process has.
      const unsigned descriptor = 16 + index_ * 64 + i;
      tree_.link(format("proc/%u/fd/%u", p.pid, descriptor), format("/dev/dri/renderD%u", 128 + minor_));
      file(format("proc/%u/comm", p.pid), [i](const IntelDevice& d, const Moment& at) {
        if (i >= d.processes.size() || !d.processes[i].alive(at.t)) return Bytes::fail(ESRCH);
        return Bytes(d.processes[i].name.substr(0, 15) + "\n");
      });
      file(format("proc/%u/fdinfo/%u", p.pid, descriptor), [i](const IntelDevice& d, const Moment& at) {
        if (i >= d.processes.size() || !d.processes[i].alive(at.t)) return Bytes::fail(ENOENT);
        if (!d.may.ptrace) return Bytes::fail(EACCES);
        return Bytes(client(d, i, at.t));
      });
    }
  }

  static std::string client(const IntelDevice& d, unsigned i, double t) {
    const IntelProcess& p = d.processes[i];
    const bool of_xe = d.driver == IntelDriver::xe;
    std::string out = format(
        "pos:\t0\nflags:\t02100002\nmnt_id:\t26\nino:\t1077\ndrm-driver:\t%s\ndrm-client-id:\t%u\ndrm-pdev:\t%s\n",
        of_xe ? "xe" : "i915", 70 + i, d.pci_address().c_str());
    if (!d.integrated) {
      const std::string region = format(of_xe ? "vram%u" : "local%u", p.tile);
      for (const char* key : {"total", "resident"})
        out += format("drm-%s-%s:\t%.0f KiB\n", key, region.c_str(), p.memory.value(t) / 1024);
      out += format("drm-shared-%s:\t%.0f KiB\n", region.c_str(), p.shared.value(t) / 1024);
    }
    for (unsigned kind = 0; kind < kIntelClasses; ++kind) {
      unsigned engines = 0;
      for (const IntelEngine& engine : d.tiles[p.tile].engines)
        engines += static_cast<unsigned>(engine.kind) == kind ? 1 : 0;
      if (engines == 0) continue;
      const double busy = (p.busy[kind].integral(t) - p.busy[kind].integral(p.from)) / 100;
      if (of_xe) {
        out += format("drm-cycles-%s:\t%.0f\ndrm-total-cycles-%s:\t%.0f\n", kXeClasses[kind], busy * kIntelTicks,
                      kXeClasses[kind], t * kIntelTicks);
      } else {
        out += format("drm-engine-%s:\t%.0f ns\n", kI915Classes[kind], busy * 1e9);
      }
      if (engines > 1)
        out += format("drm-engine-capacity-%s:\t%u\n", of_xe ? kXeClasses[kind] : kI915Classes[kind], engines);
    }
    return out;
  }

  KernelTree& tree_;
  const IntelDevice& device_;
  const unsigned index_;
  const Owner owner_;
  std::string folder_;
  unsigned minor_ = 0;
};

}  // namespace

void add_intel(KernelTree& tree, const Scenario& scenario) {
  for (unsigned i = 0; i < scenario.intel.size(); ++i) IntelTree(tree, scenario, i).add();
}

}  // namespace accelmon::simulator
