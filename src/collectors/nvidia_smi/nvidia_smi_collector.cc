#include "collectors/nvidia_smi/nvidia_smi_collector.h"

#include <algorithm>
#include <set>

#include "base/dynamic_library.h"
#include "base/text.h"
#include "collectors/nvidia_smi/child_process.h"
#include "collectors/nvidia_smi/smi_fields.h"
#include "collectors/nvidia_smi/smi_table.h"
#include "collectors/pci_bus.h"

namespace accelmon {
namespace nvidia_smi {
namespace {

constexpr const char* kLibraries[] = {
    "libnvidia-ml.so.1", "/usr/lib64/libnvidia-ml.so.1", "/run/nvidia/driver/usr/lib64/libnvidia-ml.so.1",
    "/usr/local/nvidia/lib64/libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"};
// nvidia-smi names one unknown field at a time.
constexpr unsigned kNvidia = 0x10de;  // PCI's number of the vendor
constexpr int kMostRetries = 64;
// Its exit codes that say that the driver is not there.
constexpr int kNoDriver = 9, kNoLibrary = 12;

constexpr std::pair<std::string_view, const char*> kRecovery[] = {{"None", "none"},
                                                                  {"Reset", "gpu_reset"},
                                                                  {"GPU Reset", "gpu_reset"},
                                                                  {"Reboot", "node_reboot"},
                                                                  {"Node Reboot", "node_reboot"},
                                                                  {"Drain P2P", "drain_p2p"},
                                                                  {"Drain and Reset", "drain_and_reset"}};
constexpr const char* kRecoveryStates[] = {"none", "gpu_reset", "node_reboot", "drain_p2p", "drain_and_reset"};

const char* recovery_of(std::string_view cell) {
  for (const auto& [words, state] : kRecovery)
    if (cell == words) return state;
  return nullptr;
}

Nanos duration_option(const CollectorContext& context, const char* name, Nanos fallback) {
  const Result<Nanos> given = parse_duration(context.option(name, ""));
  return given && *given > 0 ? *given : fallback;
}

std::string text_of(std::string_view cell) {
  return absence_of(cell) ? std::string() : printable(cell, 100);
}

class NvidiaSmiCollector : public Collector {
 public:
  explicit NvidiaSmiCollector(CollectorContext context)
      : context_(std::move(context)),
        interval_(duration_option(context_, "min_interval", 5 * kSecond)),
        limits_{.timeout = duration_option(context_, "timeout", 10 * kSecond)},
        load_call_(context_.calls.add("dlopen " + context_.option("library", kLibraries[0]))),
        query_call_(context_.calls.add("nvidia-smi --query-gpu")) {
    output_.reserve(limits_.bytes);
  }

  Result<Catalog> discover() override {
    if (nvml_loads())
      return fail(Code::absent,
                  "NVML is there; not needed: the nvml collector reads these GPUs at a hundredth of the cost");
    const std::string name = context_.option("program", "nvidia-smi");
    program_ = find_program(name);
    if (program_.empty() && pci_bus_lacks(context_.option("sysfs", "/sys"), kNvidia))
      return fail(Code::absent, "no NVIDIA device is on the PCI bus");
    if (program_.empty())
      return fail(Code::absent, "neither NVML nor the program " + printable(name, 100) +
                                    " is there: no NVIDIA driver, or a container without it");
    if (names_.size() != metric_fields().size()) {
      names_.clear();
      for (const Field& field : metric_fields()) names_.emplace_back(field.name);
      others_.assign(other_fields().begin(), other_fields().end());
    }
    if (Status status = ask_until_understood(); !status.ok()) return fail(std::move(status));

    Catalog catalog;
    CatalogBuilder out(catalog);
    out.fact("program", printable(program_, kMaxTextBytes - 3));
    if (!dropped_.empty()) out.fact("fields that this version does not know", printable(dropped_, kMaxTextBytes - 3));
    devices_.clear();
    std::set<std::string> ids;
    for (size_t row = 0; row < table_.rows(); ++row) add_device(out, row, ids);
    if (devices_.empty()) return fail(Code::absent, "nvidia-smi lists no GPU that has a UUID or a PCI address");
    series_ = catalog.series.size();
    fresh_ = true;
    return catalog;
  }

  PollResult poll(const PollRequest& request, Frame& frame, std::vector<Event>&) override {
    if (frame.values.size() < series_) return PollResult::rediscover;
    if (!request.is_due(Tier::slow)) return PollResult::ok;
    const Nanos now = context_.clock.monotonic();
    constexpr auto kSlow = static_cast<size_t>(Tier::slow);
    if (!fresh_ && now - asked_at_ < interval_) {
      // Not read: the frame must not say that it was.
      frame.fresh &= static_cast<uint8_t>(~(1u << kSlow));
      frame.read_at[kSlow] = filled_at_;
      return PollResult::ok;
    }
    // What discovery has just asked need not be asked again.
    Status status;
    if (!fresh_) status = ask();
    fresh_ = false;
    filled_at_ = frame.monotonic;
    if (!status.ok() || table_.rows() == 0) {
      context_.calls.count_error(status.ok() ? "no table" : to_string(status.code()));
      for (size_t i = 0; i < series_; ++i) frame.absent(i, State::error);
      return exit_code_ == kNoDriver || exit_code_ == kNoLibrary ? PollResult::lost : PollResult::ok;
    }
    for (size_t i = 0; i < table_.malformed(); ++i) context_.calls.count_error("parse");
    return fill(frame) ? PollResult::rediscover : PollResult::ok;
  }

  void release() override {
    devices_.clear();
    series_ = 0;
  }

 private:
  struct Slot {
    size_t series;
    int column;
    Dimension dimension;
  };
  struct Smi {
    std::string uuid;           // as the table has it; may be empty
    std::string bus_id;         // likewise
    size_t first = 0, end = 0;  // its series
    std::vector<Slot> slots;
    std::vector<size_t> always;   // info
    int memory_utilization = -1;  // series; of total and free
    int recovery = -1;            // the first of its states
  };

  bool nvml_loads() {
    return context_.calls.measure(load_call_, [&] {
      const std::string given = context_.option("library", "");
      if (!given.empty()) return DynamicLibrary::open(given).has_value();
      return std::any_of(std::begin(kLibraries), std::end(kLibraries),
                         [](const char* name) { return DynamicLibrary::open(name).has_value(); });
    });
  }

  // Runs nvidia-smi once. An error is one of the process or of its output; exit_code_ is set beside.
  Status ask() {
    asked_at_ = context_.clock.monotonic();
    exit_code_ = -1;
    const Result<int> code =
        context_.calls.measure(query_call_, [&] { return child_.run(arguments_, limits_, output_); });
    if (!code) {
      table_.parse({}, fields_);
      return code.error();
    }
    exit_code_ = *code;
    table_.parse(output_, fields_);
    if (table_.has_header() || *code == 0) return {};
    return Status(*code == kNoDriver || *code == kNoLibrary ? Code::absent : Code::io,
                  "nvidia-smi failed with exit code " + std::to_string(*code) + said());
  }

  std::string said() const { return table_.message().empty() ? "" : ": " + printable(table_.message(), 150); }

  void make_arguments() {
    fields_ = others_;
    fields_.insert(fields_.end(), names_.begin(), names_.end());
    std::erase(fields_, "");
    std::string query = "--query-gpu=";
    for (const std::string& field : fields_) query += (query.back() == '=' ? "" : ",") + field;
    arguments_ = {program_, std::move(query), "--format=csv"};
  }

  // Fields that this version does not know are asked under their older name, then no more.
  Status ask_until_understood() {
    for (int retry = 0; retry < kMostRetries; ++retry) {
      make_arguments();
      const Status status = ask();
      if (table_.has_header()) {
        if (table_.rows() > 0) return {};
        return Status(Code::absent, "nvidia-smi lists no GPU" + said());
      }
      if (table_.invalid_field().empty()) {
        if (!status.ok()) return status;
        const bool none = table_.message().find("No devices") != std::string_view::npos;
        return Status(none ? Code::absent : Code::invalid, "nvidia-smi printed no table" + said());
      }
      if (!forget_field(table_.invalid_field()))
        return Status(Code::invalid, "nvidia-smi does not know a field that was not asked for" + said());
    }
    return Status(Code::invalid, "nvidia-smi knows too few of the fields that are asked for: it is too old");
  }

  bool forget_field(std::string_view field) {
    for (size_t i = 0; i < names_.size(); ++i) {
      if (names_[i] != field) continue;
      const char* const older = metric_fields()[i].older;
      const bool retry = older != nullptr && names_[i] != older;
      if (!retry) dropped_ += (dropped_.empty() ? "" : ", ") + names_[i];
      names_[i] = retry ? older : "";
      return true;
    }
    return std::erase(others_, field) > 0;
  }

  std::string_view cell(size_t row, std::string_view name) const {
    const int column = table_.column(name);
    return column < 0 ? std::string_view() : table_.cell(row, column);
  }

  void add_device(CatalogBuilder& out, size_t row, std::set<std::string>& ids) {
    const std::string address = pci_address_of(cell(row, "pci.bus_id"));
    std::string id = text_of(cell(row, "uuid"));
    if (id.empty() || !ids.insert(id).second) {
      id = address;  // a vGPU without an id, or a driver that shows one twice
      if (id.empty() || !ids.insert(id).second) return;
    }
    Device device{.type = DeviceType::gpu,
                  .id = id,
                  .index = text_of(cell(row, "index")),
                  .vendor = "nvidia",
                  .model = text_of(cell(row, "name"))};
    const auto inform = [&](AttributeId attribute, std::string value) {
      if (!value.empty()) device.info.push_back({attribute, std::move(value)});
    };
    inform(AttributeId::hw_serial_number, text_of(cell(row, "serial")));
    inform(AttributeId::hw_driver_version, text_of(cell(row, "driver_version")));
    inform(AttributeId::hw_firmware_version, text_of(cell(row, "vbios_version")));
    inform(AttributeId::pci_address, address);
    const int index = out.add_device(std::move(device));
    Smi smi;
    smi.uuid = std::string(cell(row, "uuid"));
    smi.bus_id = std::string(cell(row, "pci.bus_id"));
    smi.first = static_cast<size_t>(out.add(MetricId::device_info, index, Tier::slow));
    smi.end = smi.first + 1;
    smi.always.push_back(smi.first);
    const auto add = [&](MetricId metric, std::vector<Attribute> attributes) {
      const int series = out.add(metric, index, Tier::slow, std::move(attributes));
      smi.end = static_cast<size_t>(series) + 1;
      return series;
    };

    bool power = false, total = false, free = false;
    for (size_t i = 0; i < names_.size(); ++i) {
      const Field& field = metric_fields()[i];
      const int column = names_[i].empty() ? -1 : table_.column(names_[i]);
      const std::string reason = why_absent(row, column, field);
      if (!reason.empty()) {
        out.absent(field.metric, index,
                   column < 0 ? State::unsupported : absence_of(table_.cell(row, column)).value_or(State::error),
                   reason);
        continue;
      }
      std::vector<Attribute> attributes;
      for (const auto& attribute : field.attributes)
        if (attribute.value != nullptr) attributes.push_back({attribute.id, attribute.value});
      power = power || field.metric == MetricId::power;
      total = total || field.metric == MetricId::gpu_memory_limit;
      free = free || field.metric == MetricId::gpu_memory_free;
      smi.slots.push_back({static_cast<size_t>(add(field.metric, std::move(attributes))), column, field.dimension});
    }
    if (!power) add_old_power(row, smi, add);
    if (total && free) smi.memory_utilization = add(MetricId::gpu_memory_utilization, {});
    if (recovery_of(cell(row, "gpu_recovery_action")) != nullptr)
      for (const char* state : kRecoveryStates) {
        const int series = add(MetricId::recovery_action, {{AttributeId::row_state, state}});
        if (smi.recovery < 0) smi.recovery = series;
      }
    for (const auto& [metric, why] : {std::pair{MetricId::energy, "nvidia-smi does not query the energy meter"},
                                      {MetricId::gpu_io, "nvidia-smi does not query the bytes over PCIe"},
                                      {MetricId::process_count,
                                       "processes would take a second run of nvidia-smi; NVML "
                                       "tells them"}})
      out.absent(metric, index, State::unsupported, why);
    devices_.push_back(std::move(smi));
  }

  // Empty: the field becomes a series. What fails now but may be there later (a GPU that is lost) becomes one, too.
  std::string why_absent(size_t row, int column, const Field& field) const {
    if (column < 0) return std::string("this version of nvidia-smi does not know ") + field.name;
    const std::string unit(table_.at(column).unit);
    if (!factor_of(field.dimension, unit))
      return std::string("nvidia-smi gives ") + field.name + " in an unknown unit: '" + printable(unit, 40) + "'";
    const std::string_view text = table_.cell(row, column);
    const auto absent = absence_of(text);
    if (absent == State::unsupported || absent == State::no_permission)
      return std::string("nvidia-smi says ") + (text.empty() ? "nothing" : printable(text, 60)) + " for " + field.name;
    return {};
  }

  // Drivers before 530 have one reading: an average over a second on Ampere and newer, but for GA100.
  template <class Add>
  void add_old_power(size_t row, Smi& smi, Add add) {
    const int column = table_.column("power.draw");
    const auto capability = parse_double(cell(row, "compute_cap"));
    if (column < 0 || !capability || absence_of(table_.cell(row, column)) == State::unsupported ||
        !factor_of(Dimension::watts, table_.at(column).unit))
      return;
    const char* const reading = *capability > 8.0 ? "average" : "instant";
    smi.slots.push_back({static_cast<size_t>(add(MetricId::power, {{AttributeId::power_scope, "gpu"},
                                                                   {AttributeId::power_reading, reading}})),
                         column, Dimension::watts});
  }

  // Returns whether the devices are others than at discovery.
  bool fill(Frame& frame) {
    size_t seen = 0;
    const int uuid = table_.column("uuid"), bus = table_.column("pci.bus_id");
    for (const Smi& smi : devices_) {
      size_t row = 0;
      while (row < table_.rows() &&
             ((uuid >= 0 && table_.cell(row, uuid) != smi.uuid) || (bus >= 0 && table_.cell(row, bus) != smi.bus_id)))
        ++row;
      if (row == table_.rows()) {
        for (size_t i = smi.first; i < smi.end; ++i) frame.absent(i, State::error);
        continue;
      }
      ++seen;
      for (const size_t series : smi.always) frame.set(series, 1);
      for (const Slot& slot : smi.slots) {
        const Value value = read_value(table_.cell(row, slot.column), table_.at(slot.column).unit, slot.dimension);
        value.state == State::ok ? frame.set(slot.series, value.number) : frame.absent(slot.series, value.state);
      }
      if (smi.memory_utilization >= 0) fill_memory(row, static_cast<size_t>(smi.memory_utilization), frame);
      if (smi.recovery >= 0) {
        const char* const asked = recovery_of(cell(row, "gpu_recovery_action"));
        for (size_t i = 0; i < std::size(kRecoveryStates); ++i) {
          const size_t series = static_cast<size_t>(smi.recovery) + i;
          asked != nullptr ? frame.set(series, asked == std::string_view(kRecoveryStates[i]))
                           : frame.absent(series, State::error);
        }
      }
    }
    return seen != devices_.size() || table_.rows() != devices_.size();
  }

  void fill_memory(size_t row, size_t series, Frame& frame) {
    const auto read = [&](std::string_view name) {
      const int column = table_.column(name);
      return column < 0 ? Value{} : read_value(table_.cell(row, column), table_.at(column).unit, Dimension::bytes);
    };
    const Value total = read("memory.total"), free = read("memory.free");
    if (total.state == State::ok && free.state == State::ok && total.number > 0)
      frame.set(series, (total.number - free.number) / total.number);
    else
      frame.absent(series, total.state != State::ok  ? total.state
                           : free.state != State::ok ? free.state
                                                     : State::error);
  }

  CollectorContext context_;
  Nanos interval_;
  ChildProcess::Limits limits_;
  CallId load_call_, query_call_;
  std::string program_, output_, dropped_;
  std::vector<std::string> names_;   // by metric_fields(); empty: this version does not know it
  std::vector<std::string> others_;  // what is left of other_fields()
  std::vector<std::string> fields_, arguments_;
  ChildProcess child_;
  SmiTable table_;  // views into output_
  std::vector<Smi> devices_;
  size_t series_ = 0;
  int exit_code_ = -1;
  bool fresh_ = false;  // the table is discovery's and not yet in a frame
  Nanos asked_at_ = 0, filled_at_ = 0;
};

}  // namespace
}  // namespace nvidia_smi

std::unique_ptr<Collector> make_nvidia_smi_collector(CollectorContext context) {
  return std::make_unique<nvidia_smi::NvidiaSmiCollector>(std::move(context));
}

}  // namespace accelmon
