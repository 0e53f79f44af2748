// What the kernel shows of AMD GPUs: amdgpu's files, hwmon, and KFD's view of ROCm.
#include <cerrno>

#include "simulator/kernel/amd_metrics.h"
#include "simulator/kernel/tree.h"

namespace accelmon::simulator {

namespace {

using Read = std::function<Bytes(const AmdDevice&, const Moment&)>;

Bytes number(double value) {
  return Bytes(format("%.0f\n", value));
}

// The files of one device. What is read of a suspended device answers EPERM, as the driver has done since 6.15.
class AmdTree {
 public:
  AmdTree(KernelTree& tree, const Scenario& scenario, unsigned index)
      : tree_(tree), device_(scenario.amd[index]), index_(index), owner_{Vendor::amd, index} {}

  void add(std::vector<std::string>& kfd_nodes) {
    add_bus();
    add_memory();
    add_activity();
    add_sensors();
    add_health();
    add_partitions(kfd_nodes);
    add_processes();
  }

 private:
  void file(const std::string& path, Read read, bool wakes = true, bool binary = false) {
    KernelFile one;
    one.owner = owner_;
    one.binary = binary;
    one.content = [index = index_, read = std::move(read), path, wakes](const Moment& at) {
      if (index >= at.scenario.amd.size()) return Bytes::fail(ENODEV);
      const AmdDevice& device = at.scenario.amd[index];
      for (const std::string& glob : device.unsupported)
        if (matches_end(glob, path)) return Bytes::fail(EOPNOTSUPP);
      if (wakes && device.asleep.value(at.t) >= 0.5) return Bytes::fail(EPERM);
      return read(device, at);
    };
    tree_.file(path, std::move(one));
  }
  void text(const std::string& name, const std::string& what) {
    if (what.empty()) return;
    file(
        folder_ + "/" + name, [what = what + "\n"](const AmdDevice&, const Moment&) { return Bytes(what); }, false);
  }
  void wave(const std::string& path, std::function<double(const AmdDevice&, double)> value) {
    file(path, [value = std::move(value)](const AmdDevice& d, const Moment& at) { return number(value(d, at.t)); });
  }

  void add_bus() {
    const AmdDevice& d = device_;
    PciFunction f;
    f.address = d.pci_address();
    f.vendor = 0x1002;
    f.device = d.pci_device_id;
    f.subsystem = d.pci_subsystem_id;
    f.revision = d.pci_revision;
    f.class_code = d.display ? 0x030000 : 0x120000;
    f.driver = "amdgpu";
    f.numa_node = d.numa_node;
    f.generation = d.pcie_gen;
    f.generation_max = d.pcie_gen_max;
    f.width = d.pcie_width;
    f.width_max = d.pcie_width_max;
    f.asleep = [index = index_](const Moment& at) {
      return index < at.scenario.amd.size() && at.scenario.amd[index].asleep.value(at.t) >= 0.5;
    };
    folder_ = tree_.pci(f, owner_);
    text("product_name", d.name);
    text("product_number", d.product_number);
    text("serial_number", d.serial);
    text("vbios_version", d.vbios);
    if (d.unique_id != 0) text("unique_id", format("%016llx", static_cast<unsigned long long>(d.unique_id)));
    if (!d.driver_version.empty())
      tree_.file("sys/module/amdgpu/version", owner_,
                 [what = d.driver_version + "\n"](const Moment&) { return Bytes(what); });
    if (d.pcie_replays)
      wave(folder_ + "/pcie_replay_count", [](const AmdDevice& on, double t) { return on.pcie_replays->value(t); });
    // The driver measures for a second; whoever reads it waits.
    file(folder_ + "/pcie_bw", [](const AmdDevice&, const Moment&) { return Bytes("0 0 256\n"); });
  }

  void add_memory() {
    wave(folder_ + "/mem_info_vram_total",
         [](const AmdDevice& d, double) { return static_cast<double>(d.memory_total); });
    wave(folder_ + "/mem_info_vram_used",
         [](const AmdDevice& d, double t) { return static_cast<double>(d.memory_used_at(t)); });
    wave(folder_ + "/mem_info_vis_vram_total",
         [](const AmdDevice& d, double) { return static_cast<double>(d.memory_visible); });
    wave(folder_ + "/mem_info_vis_vram_used", [](const AmdDevice& d, double t) {
      const auto used = static_cast<double>(d.memory_used_at(t));
      return used * static_cast<double>(d.memory_visible) / static_cast<double>(d.memory_total);
    });
    wave(folder_ + "/mem_info_gtt_total", [](const AmdDevice& d, double) { return static_cast<double>(d.gtt_total); });
    wave(folder_ + "/mem_info_gtt_used", [](const AmdDevice& d, double t) { return d.gtt_used.value(t); });
    text("mem_info_vram_vendor", device_.memory_vendor);
  }

  void levels(const std::string& name, const AmdClock AmdDevice::*clock) {
    if ((device_.*clock).maximum <= 0) return;
    file(folder_ + "/" + name, [clock](const AmdDevice& d, const Moment& at) {
      const AmdClock& c = d.*clock;
      const double now = d.clock_at(c, at.t);
      const bool low = now <= c.idle, high = now >= c.maximum;
      std::string out = format("0: %.0fMhz %s\n", c.idle, low ? "*" : "");
      if (!low && !high) out += format("1: %.0fMhz *\n", now);
      return Bytes(out + format("%d: %.0fMhz %s\n", !low && !high ? 2 : 1, c.maximum, high ? "*" : ""));
    });
  }

  void add_activity() {
    wave(folder_ + "/gpu_busy_percent", [](const AmdDevice& d, double t) { return d.gpu.value(t); });
    if (!device_.integrated)
      wave(folder_ + "/mem_busy_percent", [](const AmdDevice& d, double t) { return d.memory.value(t); });
    if (device_.vcn) wave(folder_ + "/vcn_busy_percent", [](const AmdDevice& d, double t) { return d.vcn->value(t); });
    levels("pp_dpm_sclk", &AmdDevice::graphics);
    levels("pp_dpm_mclk", &AmdDevice::memory_clock);
    levels("pp_dpm_socclk", &AmdDevice::soc);
    text("power_dpm_force_performance_level", "auto");
    file(
        folder_ + "/gpu_metrics",
        [](const AmdDevice& d, const Moment& at) {
          return d.metrics.empty() ? Bytes::fail(EOPNOTSUPP) : Bytes(encode_gpu_metrics(d, at.since, at.t));
        },
        true, true);
  }

  void sensor(unsigned number, const char* label, std::optional<AmdSensor> AmdDevice::*which) {
    const std::optional<AmdSensor>& one = device_.*which;
    if (!one) return;
    const std::string at = hwmon_ + format("/temp%u", number);
    wave(at + "_input", [which](const AmdDevice& d, double t) { return (d.*which)->value.value(t) * 1000; });
    file(
        at + "_label", [what = std::string(label) + "\n"](const AmdDevice&, const Moment&) { return Bytes(what); },
        false);
    if (one->critical) wave(at + "_crit", [which](const AmdDevice& d, double) { return *(d.*which)->critical * 1000; });
    if (one->emergency)
      wave(at + "_emergency", [which](const AmdDevice& d, double) { return *(d.*which)->emergency * 1000; });
  }

  void watts(const char* name, std::optional<double> AmdDevice::*which) {
    if (device_.*which) wave(hwmon_ + "/" + name, [which](const AmdDevice& d, double) { return *(d.*which) * 1e6; });
  }

  void add_sensors() {
    hwmon_ = tree_.hwmon(folder_, "amdgpu", owner_);
    sensor(1, "edge", &AmdDevice::edge);
    sensor(2, "junction", &AmdDevice::junction);
    sensor(3, "mem", &AmdDevice::memory_sensor);
    if (device_.power_average) {
      wave(hwmon_ + "/power1_average", [](const AmdDevice& d, double t) { return d.power.mean(t - 1, t) * 1e6; });
    } else {
      wave(hwmon_ + "/power1_input", [](const AmdDevice& d, double t) { return d.power.value(t) * 1e6; });
    }
    watts("power1_cap", &AmdDevice::power_cap);
    watts("power1_cap_default", &AmdDevice::power_default);
    watts("power1_cap_min", &AmdDevice::power_min);
    watts("power1_cap_max", &AmdDevice::power_max);
    wave(hwmon_ + "/freq1_input", [](const AmdDevice& d, double t) { return d.clock_at(d.graphics, t) * 1e6; });
    if (device_.memory_clock.maximum > 0)
      wave(hwmon_ + "/freq2_input", [](const AmdDevice& d, double t) { return d.clock_at(d.memory_clock, t) * 1e6; });
    if (device_.voltage_gfx)
      wave(hwmon_ + "/in0_input", [](const AmdDevice& d, double) { return *d.voltage_gfx * 1000; });
    for (unsigned fan = 1; fan <= device_.fans; ++fan) {
      const std::string at = hwmon_ + format("/fan%u", fan);
      wave(at + "_input", [](const AmdDevice& d, double t) { return d.fan_percent.value(t) / 100 * d.fan_max_rpm; });
      wave(at + "_min", [](const AmdDevice&, double) { return 0; });
      wave(at + "_max", [](const AmdDevice& d, double) { return d.fan_max_rpm; });
      wave(hwmon_ + format("/pwm%u", fan), [](const AmdDevice& d, double t) { return d.fan_percent.value(t) * 2.55; });
    }
  }

  void add_health() {
    for (unsigned i = 0; i < device_.ras.size(); ++i) {
      file(folder_ + "/ras/" + device_.ras[i].block + "_err_count", [i](const AmdDevice& d, const Moment& at) {
        if (i >= d.ras.size()) return Bytes::fail(ENODEV);
        const AmdRas& ras = d.ras[i];
        std::string out = format("ue: %.0f\nce: %.0f\n", ras.uncorrected.value(at.t), ras.corrected.value(at.t));
        if (ras.deferred) out += format("de: %.0f\n", ras.deferred->value(at.t));
        return Bytes(out);
      });
    }
    if (!device_.ras.empty()) text("ras/features", "feature mask: 0x1ff");
    if (device_.bad_pages) {
      file(folder_ + "/ras/gpu_vram_bad_pages", [](const AmdDevice& d, const Moment& at) {
        std::string out;
        const auto pages = static_cast<unsigned>(d.bad_pages ? d.bad_pages->value(at.t) : 0);
        for (unsigned page = 0; page < pages; ++page) out += format("0x%08x : 0x00001000 : R\n", 0x1000 + page * 64);
        return Bytes(out);
      });
    }
    // Whoever reads it makes the driver forget what it counted.
    if (device_.xgmi_links > 0) text("xgmi_error", "0");
    text("current_compute_partition", device_.compute_partition);
    text("current_memory_partition", device_.memory_mode);
  }

  // Each partition has DRM nodes of its own; those after the first hang on a platform device, as the driver makes them.
  void add_partitions(std::vector<std::string>& kfd_nodes) {
    for (unsigned part = 0; part < device_.partitions; ++part) {
      const unsigned card = tree_.drm(folder_, owner_);
      if (part == 0) card_ = card;
      const unsigned node = static_cast<unsigned>(kfd_nodes.size()) + 1;
      const std::string at = format("sys/class/kfd/kfd/topology/nodes/%u", node);
      kfd_nodes.push_back(at);
      const AmdDevice& d = device_;
      const unsigned id = gpu_id(part);
      file(
          at + "/gpu_id", [id](const AmdDevice&, const Moment&) { return Bytes(format("%u\n", id)); }, false);
      // KFD gives partitions numbers of functions that the bus does not have.
      const unsigned location = d.pci_bus << 8 | d.pci_slot << 3 | (part & 7);
      std::string properties = format(
          "cpu_cores_count 0\nsimd_count %u\nmem_banks_count 1\nsimd_per_cu 4\ngfx_target_version %u\nvendor_id 4098\n"
          "device_id %u\nlocation_id %u\ndomain %u\ndrm_render_minor %u\nnum_xcc %u\nunique_id %llu\n",
          d.compute_units * 4 / d.partitions, d.gfx_version, d.pci_device_id, location, d.pci_domain, 128 + card,
          d.compute_dies / d.partitions, static_cast<unsigned long long>(d.unique_id));
      file(
          at + "/properties", [properties](const AmdDevice&, const Moment&) { return Bytes(properties); }, false);
      // Local memory that the host reaches, and what it does not.
      const uint64_t memory = d.memory_total / d.partitions;
      const bool reached = d.memory_visible == d.memory_total;
      const std::string bank = format("heap_type %d\nsize_in_bytes %llu\nflags 0\nwidth 8192\nmem_clk_max %.0f\n",
                                      reached ? 1 : 2, static_cast<unsigned long long>(memory), d.memory_clock.maximum);
      file(
          at + "/mem_banks/0/properties", [bank](const AmdDevice&, const Moment&) { return Bytes(bank); }, false);
    }
  }

  unsigned gpu_id(unsigned part) const { return 1000 + index_ * 100 + part; }

  void add_processes() {
    for (unsigned i = 0; i < device_.processes.size(); ++i) {
      const AmdProcess& p = device_.processes[i];
      const auto alive = [i](const AmdDevice& d, const Moment& at) {
        return i < d.processes.size() && d.processes[i].alive(at.t);
      };
      file(
          format("proc/%u/comm", p.pid),
          [alive, what = p.name.substr(0, 15) + "\n"](const AmdDevice& d, const Moment& at) {
            return alive(d, at) ? Bytes(what) : Bytes::fail(ESRCH);
          },
          false);
      if (!p.rocm) {
        add_client(i, p);
        continue;
      }
      const std::string at = format("sys/class/kfd/kfd/proc/%u", p.pid);
      const unsigned id = gpu_id(p.partition);
      file(
          at + format("/vram_%u", id),
          [alive, i](const AmdDevice& d, const Moment& moment) {
            return alive(d, moment) ? number(d.processes[i].memory.value(moment.t)) : Bytes::fail(ENODEV);
          },
          false);
      file(
          at + format("/sdma_%u", id), [](const AmdDevice&, const Moment&) { return Bytes("0\n"); }, false);
      file(
          at + "/pasid", [pid = p.pid](const AmdDevice&, const Moment&) { return Bytes(format("%u\n", pid % 32768)); },
          false);
      file(at + format("/stats_%u/cu_occupancy", id), [alive, i](const AmdDevice& d, const Moment& moment) {
        if (!alive(d, moment)) return Bytes::fail(ENODEV);
        return number(d.processes[i].occupancy.value(moment.t) / 100 * d.compute_units / d.partitions);
      });
    }
  }

  // A client of the render node: Vulkan, VA-API.
  void add_client(unsigned i, const AmdProcess& p) {
    tree_.link(format("proc/%u/fd/7", p.pid), format("/dev/dri/renderD%u", 128 + card_));
    file(
        format("proc/%u/fdinfo/7", p.pid),
        [i, address = device_.pci_address()](const AmdDevice& d, const Moment& at) {
          if (i >= d.processes.size() || !d.processes[i].alive(at.t)) return Bytes::fail(ENOENT);
          const AmdProcess& on = d.processes[i];
          const auto busy = [&](const Wave& wave) {
            return (wave.integral(at.t) - wave.integral(on.from)) / 100 * 1e9;
          };
          return Bytes(format("pos:\t0\nflags:\t02100002\nmnt_id:\t26\nino:\t1042\ndrm-driver:\tamdgpu\n"
                              "drm-client-id:\t%u\ndrm-pdev:\t%s\npasid:\t%u\ndrm-total-vram:\t%.0f KiB\n"
                              "drm-memory-vram:\t%.0f KiB\ndrm-memory-gtt:\t%.0f KiB\n"
                              "drm-engine-gfx:\t%.0f ns\ndrm-engine-compute:\t%.0f ns\n",
                              40 + i, address.c_str(), on.pid % 32768, on.memory.value(at.t) / 1024,
                              on.memory.value(at.t) / 1024, on.gtt.value(at.t) / 1024, busy(on.gfx), busy(on.compute)) +
                       format("drm-engine-dec:\t%.0f ns\n", busy(on.media)));
        },
        false);
  }

  KernelTree& tree_;
  const AmdDevice& device_;
  const unsigned index_;
  const Owner owner_;
  std::string folder_, hwmon_;
  unsigned card_ = 0;
};

}  // namespace

void add_amd(KernelTree& tree, const Scenario& scenario) {
  if (scenario.amd.empty()) return;
  // Node 0 is the processor.
  const auto fixed = [&](const char* path, const char* text) {
    tree.file(path, std::nullopt, [text](const Moment&) { return Bytes(text); });
  };
  fixed("sys/class/kfd/kfd/topology/nodes/0/gpu_id", "0\n");
  fixed("sys/class/kfd/kfd/topology/nodes/0/mem_banks/0/properties", "heap_type 0\nsize_in_bytes 270000000000\n");
  fixed("sys/class/kfd/kfd/topology/nodes/0/properties", "cpu_cores_count 96\nsimd_count 0\n");
  // Counts the changes of the nodes: here, how many there are.
  tree.file("sys/class/kfd/kfd/topology/generation_id", std::nullopt, [](const Moment& at) {
    unsigned nodes = 0;
    for (const AmdDevice& device : at.scenario.amd) nodes += device.partitions;
    return Bytes(format("%u\n", nodes));
  });
  tree.directory("sys/class/kfd/kfd/proc");
  std::vector<std::string> nodes;
  for (unsigned i = 0; i < scenario.amd.size(); ++i) AmdTree(tree, scenario, i).add(nodes);
}

}  // namespace accelmon::simulator
