// The sections that read one small file: cpu, load, uptime, memory, paging, pressure.
#include <array>
#include <cmath>

#include "collectors/host/host_parse.h"
#include "collectors/host/host_section.h"

namespace accelmon::host {
namespace {

Attribute attribute(AttributeId id, std::string_view value) {
  return Attribute{id, std::string(value)};
}

void set_optional(Frame& frame, int series, const std::optional<uint64_t>& value, double divisor = 1) {
  if (series < 0) return;
  if (value)
    frame.set(static_cast<size_t>(series), static_cast<double>(*value) / divisor);
  else
    frame.absent(static_cast<size_t>(series), State::error);
}

// /proc/stat: processor time, processors, processes.
class CpuSection : public FileSection {
 public:
  explicit CpuSection(HostFiles& files)
      : FileSection(files, "stat", Tier::fast,
                    {MetricId::cpu_time, MetricId::cpu_utilization, MetricId::cpu_count, MetricId::process_running,
                     MetricId::process_created}) {}

 private:
  Status build_from(std::string_view text, CatalogBuilder& out) override {
    const StatText stat = parse_stat(text);
    files_.count_malformed(stat.malformed);
    modes_ = cpu_modes(stat.all).modes;
    time_ = utilization_ = count_ = running_ = blocked_ = created_ = -1;
    if (modes_ > 0) {
      for (uint32_t i = 0; i < modes_; ++i) {
        const int series = add(out, MetricId::cpu_time, {attribute(AttributeId::cpu_mode, kCpuModeNames[i])});
        if (i == 0) time_ = series;
      }
      for (uint32_t i = 0; i < modes_; ++i) {
        const int series = add(out, MetricId::cpu_utilization, {attribute(AttributeId::cpu_mode, kCpuModeNames[i])});
        if (i == 0) utilization_ = series;
      }
    }
    if (stat.cpus > 0) count_ = add(out, MetricId::cpu_count);
    if (stat.running)
      running_ = add(out, MetricId::process_running, {attribute(AttributeId::process_status, "running")});
    if (stat.blocked)
      blocked_ = add(out, MetricId::process_running, {attribute(AttributeId::process_status, "blocked")});
    if (stat.created) created_ = add(out, MetricId::process_created);

    const auto missing = [&](MetricId metric, std::string_view line) {
      out.absent(metric, -1, State::unsupported, "/proc/stat has no line \"" + std::string(line) + "\"");
    };
    if (modes_ == 0) {
      missing(MetricId::cpu_time, "cpu");
      missing(MetricId::cpu_utilization, "cpu");
    }
    if (count_ < 0) missing(MetricId::cpu_count, "cpu0");
    if (running_ < 0 && blocked_ < 0) missing(MetricId::process_running, "procs_running");
    if (created_ < 0) missing(MetricId::process_created, "processes");
    return {};
  }

  Status fill_from(std::string_view text, Frame& frame, bool& changed) override {
    const StatText stat = parse_stat(text);
    files_.count_malformed(stat.malformed);
    if (modes_ > 0) changed = fill_modes(stat, frame);
    if (count_ >= 0) set_optional(frame, count_, stat.cpus > 0 ? std::optional<uint64_t>(stat.cpus) : std::nullopt);
    set_optional(frame, running_, stat.running);
    set_optional(frame, blocked_, stat.blocked);
    set_optional(frame, created_, stat.created);
    return {};
  }

  bool fill_modes(const StatText& stat, Frame& frame) {
    const CpuModes now = cpu_modes(stat.all);
    if (now.modes != modes_) {
      for (uint32_t i = 0; i < modes_; ++i) {
        frame.absent(static_cast<size_t>(time_) + i, State::error);
        frame.absent(static_cast<size_t>(utilization_) + i, State::error);
      }
      return now.modes != 0;  // a kernel does not change its columns; another /proc may have been mounted
    }
    const auto hz = static_cast<double>(files_.system().ticks_per_second);
    // A second of every processor: more than the jitter between columns, less than any restart of the counters.
    const uint64_t tolerance = static_cast<uint64_t>(files_.system().ticks_per_second) * std::max(stat.cpus, 1u);
    std::array<double, kCpuModes> growth{};
    double total = 0;
    for (uint32_t i = 0; i < modes_; ++i) {
      const uint64_t held = held_[i].update(now.ticks[i], tolerance);
      frame.set(static_cast<size_t>(time_) + i, static_cast<double>(held) / hz);
      if (have_last_ && held > last_[i]) growth[i] = static_cast<double>(held - last_[i]);
      total += growth[i];
      last_[i] = held;
    }
    // The real time that passed is what all modes grew by together: no clock of ours comes into it.
    for (uint32_t i = 0; i < modes_; ++i) {
      const size_t series = static_cast<size_t>(utilization_) + i;
      if (total > 0)
        frame.set(series, growth[i] / total);
      else
        frame.absent(series, State::not_ready);
    }
    have_last_ = true;
    return false;
  }

  uint32_t modes_ = 0;
  int time_ = -1, utilization_ = -1, count_ = -1, running_ = -1, blocked_ = -1, created_ = -1;
  std::array<HeldCounter, kCpuModes> held_;
  std::array<uint64_t, kCpuModes> last_{};
  bool have_last_ = false;
};

class LoadSection : public FileSection {
 public:
  explicit LoadSection(HostFiles& files) : FileSection(files, "loadavg", Tier::fast, {MetricId::load_average}) {}

 private:
  Status build_from(std::string_view text, CatalogBuilder& out) override {
    if (!parse_loadavg(text)) {
      files_.count_malformed(1);
      return malformed("three numbers are expected");
    }
    for (const std::string_view window : {"1m", "5m", "15m"}) {
      const int series = add(out, MetricId::load_average, {attribute(AttributeId::load_window, window)});
      if (window == "1m") first_ = series;
    }
    return {};
  }

  Status fill_from(std::string_view text, Frame& frame, bool&) override {
    const auto loads = parse_loadavg(text);
    if (!loads) {
      files_.count_malformed(1);
      return malformed("three numbers are expected");
    }
    for (size_t i = 0; i < loads->size(); ++i) frame.set(static_cast<size_t>(first_) + i, (*loads)[i]);
    return {};
  }

  int first_ = -1;
};

class UptimeSection : public FileSection {
 public:
  explicit UptimeSection(HostFiles& files) : FileSection(files, "uptime", Tier::fast, {MetricId::uptime}) {}

 private:
  Status build_from(std::string_view text, CatalogBuilder& out) override {
    if (!parse_uptime(text)) {
      files_.count_malformed(1);
      return malformed("a number is expected");
    }
    series_ = add(out, MetricId::uptime);
    return {};
  }

  Status fill_from(std::string_view text, Frame& frame, bool&) override {
    const std::optional<double> uptime = parse_uptime(text);
    if (!uptime) {
      files_.count_malformed(1);
      return malformed("a number is expected");
    }
    frame.set(static_cast<size_t>(series_), *uptime);
    return {};
  }

  int series_ = -1;
};

// /proc/meminfo: memory and swap space.
class MemorySection : public FileSection {
 public:
  explicit MemorySection(HostFiles& files)
      : FileSection(files, "meminfo", Tier::fast,
                    {MetricId::memory_usage, MetricId::memory_limit, MetricId::memory_available,
                     MetricId::memory_utilization, MetricId::paging_usage}) {}

 private:
  Status build_from(std::string_view text, CatalogBuilder& out) override {
    const MemoryText memory = parse_meminfo(text);
    files_.count_malformed(memory.malformed);
    const MemoryUse use = memory_use(memory);
    usage_.fill(-1);
    utilization_.fill(-1);
    limit_ = available_ = swap_used_ = swap_free_ = -1;
    bool any = false;
    for (size_t i = 0; i < kMemoryStates; ++i) {
      if (use.states[i] == State::unsupported) continue;
      usage_[i] = add(out, MetricId::memory_usage, {attribute(AttributeId::memory_state, kMemoryStateNames[i])});
      any = true;
    }
    for (size_t i = 0; i < kMemoryStates; ++i)
      if (usage_[i] >= 0 && memory.total.value_or(0) > 0)
        utilization_[i] =
            add(out, MetricId::memory_utilization, {attribute(AttributeId::memory_state, kMemoryStateNames[i])});
    if (memory.total) limit_ = add(out, MetricId::memory_limit);
    if (memory.available) available_ = add(out, MetricId::memory_available);
    if (memory.swap_total && memory.swap_free) {
      swap_used_ = add(out, MetricId::paging_usage, {attribute(AttributeId::paging_state, "used")});
      swap_free_ = add(out, MetricId::paging_usage, {attribute(AttributeId::paging_state, "free")});
    }

    if (!any) out.absent(MetricId::memory_usage, -1, State::unsupported, "/proc/meminfo has none of its lines");
    if (limit_ < 0) {
      out.absent(MetricId::memory_limit, -1, State::unsupported, "/proc/meminfo has no line \"MemTotal\"");
      out.absent(MetricId::memory_utilization, -1, State::unsupported, "/proc/meminfo has no line \"MemTotal\"");
    }
    if (available_ < 0)
      out.absent(MetricId::memory_available, -1, State::unsupported,
                 "/proc/meminfo has no line \"MemAvailable\": the kernel is older than 3.14");
    if (swap_used_ < 0)
      out.absent(MetricId::paging_usage, -1, State::unsupported, "/proc/meminfo has no line \"SwapTotal\"");
    return {};
  }

  Status fill_from(std::string_view text, Frame& frame, bool&) override {
    const MemoryText memory = parse_meminfo(text);
    files_.count_malformed(memory.malformed);
    MemoryUse use = memory_use(memory);
    // `used` and `cached` are what is left when the others are taken away: where one of those is missing that was there
    // at discovery, what is left would be too much.
    for (size_t i = 0; i < kMemoryStates; ++i)
      if (usage_[i] >= 0 && use.states[i] == State::unsupported)
        for (size_t k = 0; k < kMemoryStates; ++k)
          if (kMemoryStateNames[k] == "used" || kMemoryStateNames[k] == "cached") use.states[k] = State::error;
    const auto total = static_cast<double>(memory.total.value_or(0));
    for (size_t i = 0; i < kMemoryStates; ++i) {
      if (usage_[i] < 0) continue;
      const auto usage = static_cast<size_t>(usage_[i]);
      const bool good = use.states[i] == State::ok;
      // A line that was there at discovery and is not now is a failed reading, not a missing feature.
      const State why = use.states[i] == State::implausible ? State::implausible : State::error;
      const auto bytes = static_cast<double>(use.bytes[i]);
      if (good)
        frame.set(usage, bytes);
      else
        frame.absent(usage, why);
      if (utilization_[i] < 0) continue;
      const auto share = static_cast<size_t>(utilization_[i]);
      if (!good)
        frame.absent(share, why);
      else if (total <= 0)
        frame.absent(share, State::error);
      else if (bytes > total)
        frame.absent(share, State::implausible);
      else
        frame.set(share, bytes / total);
    }
    set_optional(frame, limit_, memory.total);
    set_optional(frame, available_, memory.available);
    if (swap_used_ < 0) return {};
    std::optional<uint64_t> used;
    if (memory.swap_total && memory.swap_free && *memory.swap_free <= *memory.swap_total)
      used = *memory.swap_total - *memory.swap_free;
    set_optional(frame, swap_used_, used);
    if (!used && memory.swap_total && memory.swap_free)
      frame.absent(static_cast<size_t>(swap_used_), State::implausible);
    set_optional(frame, swap_free_, memory.swap_free);
    return {};
  }

  std::array<int, kMemoryStates> usage_{}, utilization_{};
  int limit_ = -1, available_ = -1, swap_used_ = -1, swap_free_ = -1;
};

// /proc/vmstat: pages swapped, and page faults.
class PagingSection : public FileSection {
 public:
  explicit PagingSection(HostFiles& files)
      : FileSection(files, "vmstat", Tier::fast, {MetricId::paging_operations, MetricId::paging_faults}) {}

 private:
  Status build_from(std::string_view text, CatalogBuilder& out) override {
    const VmstatText vmstat = parse_vmstat(text);
    files_.count_malformed(vmstat.malformed);
    in_ = out_ = major_ = minor_ = -1;
    if (vmstat.swapped_in && vmstat.swapped_out) {
      in_ = add(out, MetricId::paging_operations, {attribute(AttributeId::paging_direction, "in")});
      out_ = add(out, MetricId::paging_operations, {attribute(AttributeId::paging_direction, "out")});
    } else {
      out.absent(MetricId::paging_operations, -1, State::unsupported,
                 "/proc/vmstat has no line \"pswpin\": the kernel is built without swap");
    }
    if (vmstat.faults && vmstat.major_faults) {
      major_ = add(out, MetricId::paging_faults, {attribute(AttributeId::paging_fault_type, "major")});
      minor_ = add(out, MetricId::paging_faults, {attribute(AttributeId::paging_fault_type, "minor")});
    } else {
      out.absent(MetricId::paging_faults, -1, State::unsupported, "/proc/vmstat has no line \"pgfault\"");
    }
    return {};
  }

  Status fill_from(std::string_view text, Frame& frame, bool&) override {
    const VmstatText vmstat = parse_vmstat(text);
    files_.count_malformed(vmstat.malformed);
    set_optional(frame, in_, vmstat.swapped_in);
    set_optional(frame, out_, vmstat.swapped_out);
    set_optional(frame, major_, vmstat.major_faults);
    if (minor_ < 0) return {};
    std::optional<uint64_t> minor;
    if (vmstat.faults && vmstat.major_faults && *vmstat.faults >= *vmstat.major_faults)
      minor = held_minor_.update(*vmstat.faults - *vmstat.major_faults, 10'000);
    set_optional(frame, minor_, minor);
    return {};
  }

  int in_ = -1, out_ = -1, major_ = -1, minor_ = -1;
  HeldCounter held_minor_;
};

// /proc/pressure/cpu, memory, io. "full" of the cpu is left out: the kernel defines none for a whole host and prints a
// zero there that means nothing.
class PressureSection : public FileSection {
 public:
  PressureSection(HostFiles& files, std::string resource)
      : FileSection(files, "pressure/" + resource, Tier::fast, {MetricId::pressure_time}),
        resource_(std::move(resource)) {}

 private:
  Status build_from(std::string_view text, CatalogBuilder& out) override {
    const PressureText pressure = parse_pressure(text);
    files_.count_malformed(pressure.malformed);
    some_ = full_ = -1;
    if (pressure.some) some_ = add_scope(out, "some");
    if (pressure.full && resource_ != "cpu") full_ = add_scope(out, "full");
    if (some_ < 0 && full_ < 0) return malformed("no line \"some\" with a total");
    return {};
  }

  int add_scope(CatalogBuilder& out, std::string_view scope) {
    return add(out, MetricId::pressure_time,
               {attribute(AttributeId::resource, resource_), attribute(AttributeId::pressure_scope, scope)});
  }

  Status fill_from(std::string_view text, Frame& frame, bool&) override {
    const PressureText pressure = parse_pressure(text);
    files_.count_malformed(pressure.malformed);
    set_optional(frame, some_, pressure.some, 1e6);
    set_optional(frame, full_, pressure.full, 1e6);
    return {};
  }

  std::string explain(const Status& status) override {
    if (status.code() == Code::absent)
      return file_.name +
             " is not there: the kernel is older than 4.20 or built without CONFIG_PSI, or a container "
             "hides it";
    if (status.code() == Code::io)
      return reason_of(file_, status) + "; where pressure is built in but off, boot the kernel with psi=1";
    return reason_of(file_, status);
  }

  std::string resource_;
  int some_ = -1, full_ = -1;
};

}  // namespace

std::unique_ptr<Section> make_cpu_section(HostFiles& files) {
  return std::make_unique<CpuSection>(files);
}
std::unique_ptr<Section> make_load_section(HostFiles& files) {
  return std::make_unique<LoadSection>(files);
}
std::unique_ptr<Section> make_uptime_section(HostFiles& files) {
  return std::make_unique<UptimeSection>(files);
}
std::unique_ptr<Section> make_memory_section(HostFiles& files) {
  return std::make_unique<MemorySection>(files);
}
std::unique_ptr<Section> make_paging_section(HostFiles& files) {
  return std::make_unique<PagingSection>(files);
}
std::unique_ptr<Section> make_pressure_section(HostFiles& files, std::string resource) {
  return std::make_unique<PressureSection>(files, std::move(resource));
}

}  // namespace accelmon::host
