// From a TOML file to a Scenario: templates, devices, processes and faults, with every number checked.

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>

#include "reading.h"
#include "scenario.h"

namespace accelmon::simulator {

namespace {

constexpr Named kReturns[] = {{"UNINITIALIZED", 1},
                              {"INVALID_ARGUMENT", 2},
                              {"NOT_SUPPORTED", 3},
                              {"NO_PERMISSION", 4},
                              {"NOT_FOUND", 6},
                              {"INSUFFICIENT_SIZE", 7},
                              {"INSUFFICIENT_POWER", 8},
                              {"DRIVER_NOT_LOADED", 9},
                              {"TIMEOUT", 10},
                              {"IRQ_ISSUE", 11},
                              {"LIBRARY_NOT_FOUND", 12},
                              {"FUNCTION_NOT_FOUND", 13},
                              {"CORRUPTED_INFOROM", 14},
                              {"GPU_IS_LOST", 15},
                              {"RESET_REQUIRED", 16},
                              {"OPERATING_SYSTEM", 17},
                              {"LIB_RM_VERSION_MISMATCH", 18},
                              {"IN_USE", 19},
                              {"MEMORY", 20},
                              {"NO_DATA", 21},
                              {"ARGUMENT_VERSION_MISMATCH", 25},
                              {"DEPRECATED", 26},
                              {"NOT_READY", 27},
                              {"GPU_NOT_FOUND", 28},
                              {"INVALID_STATE", 29},
                              {"UNKNOWN", 999}};

// What files of the kernel answer.
constexpr Named kErrnos[] = {{"EPERM", EPERM},     {"ENOENT", ENOENT}, {"EIO", EIO},
                             {"EAGAIN", EAGAIN},   {"EACCES", EACCES}, {"EBUSY", EBUSY},
                             {"ENODEV", ENODEV},   {"EINVAL", EINVAL}, {"EOPNOTSUPP", EOPNOTSUPP},
                             {"ENODATA", ENODATA}, {"ENXIO", ENXIO},   {"ETIMEDOUT", ETIMEDOUT}};

constexpr Named kVendors[] = {{"nvidia", static_cast<int>(Vendor::nvidia)},
                              {"intel", static_cast<int>(Vendor::intel)},
                              {"amd", static_cast<int>(Vendor::amd)}};

constexpr Named kFaultKinds[] = {{"error", static_cast<int>(Fault::Kind::error)},
                                 {"hang", static_cast<int>(Fault::Kind::hang)},
                                 {"slow", static_cast<int>(Fault::Kind::slow)},
                                 {"crash", static_cast<int>(Fault::Kind::crash)},
                                 {"garbage", static_cast<int>(Fault::Kind::garbage)},
                                 {"sentinel", static_cast<int>(Fault::Kind::sentinel)},
                                 {"lost", static_cast<int>(Fault::Kind::lost)},
                                 {"gone", static_cast<int>(Fault::Kind::gone)},
                                 {"driver_unloaded", static_cast<int>(Fault::Kind::driver_unloaded)},
                                 {"frozen", static_cast<int>(Fault::Kind::frozen)},
                                 {"backwards", static_cast<int>(Fault::Kind::backwards)},
                                 {"memory", static_cast<int>(Fault::Kind::memory)},
                                 {"xid", static_cast<int>(Fault::Kind::xid)}};

constexpr Named kProcessKinds[] = {{"compute", static_cast<int>(Process::Kind::compute)},
                                   {"graphics", static_cast<int>(Process::Kind::graphics)},
                                   {"mps", static_cast<int>(Process::Kind::mps)}};

class Parser {
 public:
  Parser(const Node& root, double now, FirstError& error) : root_(root), now_(now), error_(error) {}

  Scenario parse() {
    Reader reader("[scenario]", {&root_}, error_);
    const Node* head = reader.find("scenario");
    if (!head || !head->is(Node::Kind::table)) {
      error_.add(head, "a scenario needs a table [scenario] with its name and driver_version");
      return scenario_;
    }
    reader.find("template");  // read as devices ask for it
    read_head(*head);
    for (const Node* table : reader.tables("device", kDevicesMost)) read_devices(*table);
    if (scenario_.devices.size() > kDevicesMost) error_.add(nullptr, "more than 64 devices");
    for (const Node* table : reader.tables("intel", kDevicesMost))
      read_others(*table, scenario_.intel, "Intel", read_intel_device);
    for (const Node* table : reader.tables("amd", kDevicesMost))
      read_others(*table, scenario_.amd, "AMD", read_amd_device);
    for (const Node* table : reader.tables("process", 4096)) read_process(*table);
    for (const Node* table : reader.tables("fault", 1024)) read_fault(*table);
    reader.refuse_unknown();
    refuse_twins();
    return std::move(scenario_);
  }

 private:
  void read_head(const Node& table) {
    Reader reader("[scenario]", {&table}, error_);
    scenario_.name = need_text(reader, "name");
    scenario_.description = reader.text("description", 1000).value_or("");
    // A machine without NVIDIA devices has none of their driver's versions.
    const bool nvidia = root_.get("device") != nullptr;
    scenario_.driver_version =
        nvidia ? need_text(reader, "driver_version", 79) : reader.text("driver_version", 79).value_or("0");
    scenario_.nvml_version = reader.text("nvml_version", 79).value_or(scenario_.driver_version);
    const std::string cuda = nvidia ? need_text(reader, "cuda_version") : reader.text("cuda_version").value_or("0.0");
    unsigned major = 0, minor = 0;
    char rest = 0;
    // NOLINTNEXTLINE(cert-err34-c): widths bound the numbers, and the count of fields tells
    if (sscanf(cuda.c_str(), "%4u.%1u%c", &major, &minor, &rest) != 2) {
      reader.fail(reader.find("cuda_version"), "\"cuda_version\" must look like \"13.1\"");
    }
    scenario_.cuda_version = static_cast<int>(major * 1000 + minor * 10);
    scenario_.missing = read_calls(reader, "missing_symbols");
    scenario_.process_v3_stride = static_cast<unsigned>(reader.integer("process_v3_stride", 24, 32).value_or(24));
    if (scenario_.process_v3_stride != 24 && scenario_.process_v3_stride != 32) {
      reader.fail(reader.find("process_v3_stride"), "\"process_v3_stride\" must be 24 or 32");
    }
    reader.refuse_unknown();
  }

  // The table itself, then the templates that it uses, each followed by those that it uses itself.
  void inherit(const Node& table, std::vector<const Node*>& chain, unsigned depth) {
    constexpr size_t kChainMost = 16;
    chain.push_back(&table);
    const Node* use = table.get("use");
    if (!use) return;
    if (depth > 8 || chain.size() > kChainMost) return error_.add(use, "templates use each other too deeply");
    if (!use->is(Node::Kind::array)) return error_.add(use, "\"use\" must be an array of names of templates");
    for (const Node& name : use->items) {
      const Node* all = root_.get("template");
      const Node* found = all && name.is(Node::Kind::text) ? all->get(name.text) : nullptr;
      if (!found || !found->is(Node::Kind::table)) {
        return error_.add(&name, "there is no [template." + (name.is(Node::Kind::text) ? name.text : "?") + "]");
      }
      inherit(*found, chain, depth + 1);
      if (error_.failed()) return;
    }
  }

  void read_devices(const Node& table) {
    std::vector<const Node*> chain;
    inherit(table, chain, 0);
    if (error_.failed()) return;
    Reader reader("device " + std::to_string(scenario_.devices.size()), chain, error_);
    reader.find("use");
    const auto count = static_cast<unsigned>(reader.integer("count", 1, kDevicesMost).value_or(1));
    const double phase = reader.number("phase", -kTimeMost, kTimeMost).value_or(0);
    const double phase_step = reader.number("phase_step", -kTimeMost, kTimeMost).value_or(0);
    for (unsigned i = 0; i < count && !error_.failed(); ++i) {
      const auto index = static_cast<unsigned>(scenario_.devices.size());
      const DevicePlace place{scenario_.name, index, i, count, phase + i * phase_step};
      scenario_.devices.push_back(read_device(reader, place, error_));
    }
    reader.refuse_unknown();
  }

  // The devices of another vendor than NVIDIA: `read` makes one.
  template <class D>
  void read_others(const Node& table, std::vector<D>& all, const char* vendor,
                   D (*read)(Reader&, unsigned, unsigned, double, FirstError&)) {
    std::vector<const Node*> chain;
    inherit(table, chain, 0);
    if (error_.failed()) return;
    Reader reader(std::string(vendor) + " device " + std::to_string(all.size()), chain, error_);
    reader.find("use");
    const auto count = static_cast<unsigned>(reader.integer("count", 1, kDevicesMost).value_or(1));
    const double phase = reader.number("phase", -kTimeMost, kTimeMost).value_or(0);
    const double phase_step = reader.number("phase_step", -kTimeMost, kTimeMost).value_or(0);
    for (unsigned i = 0; i < count && !error_.failed(); ++i) {
      const auto index = static_cast<unsigned>(all.size());
      if (index >= kDevicesMost) return error_.add(&table, "more than 64 devices of " + std::string(vendor));
      all.push_back(read(reader, index, i, phase + i * phase_step, error_));
      for (unsigned j = 0; j < index; ++j)
        if (all[j].pci_address() == all[index].pci_address())
          error_.add(&table, std::string(vendor) + " devices " + std::to_string(j) + " and " + std::to_string(index) +
                                 " share their PCI address");
    }
    reader.refuse_unknown();
  }

  void read_process(const Node& table) {
    Reader reader("process " + std::to_string(scenario_.processes.size()), {&table}, error_);
    Process p;
    const Node* pid = reader.find("pid");
    if (pid && pid->is(Node::Kind::text) && pid->text == "self") {
      p.pid = 0;
    } else {
      p.pid = static_cast<unsigned>(reader.integer("pid", 1, INT32_MAX).value_or(0));
      if (!pid) reader.fail(&table, "needs \"pid\", a number or \"self\"");
    }
    p.name = reader.text("name", 200).value_or("");
    const auto device = reader.integer("device", 0, static_cast<int64_t>(kDevicesMost));
    if (!device || static_cast<size_t>(*device) >= scenario_.devices.size()) {
      return reader.fail(reader.find("device"), "\"device\" must be the index of a device");
    }
    p.device = static_cast<unsigned>(*device);
    const Device& on = scenario_.devices[p.device];
    p.instance = static_cast<int>(reader.integer("instance", 0, static_cast<int64_t>(kMigMost)).value_or(-1));
    if (p.instance >= 0 && static_cast<size_t>(p.instance) >= on.instances.size()) {
      return reader.fail(reader.find("instance"), "device " + std::to_string(p.device) + " has no such instance");
    }
    p.kind = static_cast<Process::Kind>(read_named(reader, "kind", kProcessKinds).value_or(0));
    p.from = reader.number("from", 0, kTimeMost).value_or(0);
    p.until = reader.number("until", 0, kTimeMost).value_or(kForever);
    reader.set_gpu(&on.gpu);
    p.memory = read_wave(reader, "memory_mib", 0, kMemoryMost, kMiB);
    p.sm = read_wave(reader, "sm", 0, 100);
    p.memory_share = read_wave(reader, "memory", 0, 100);
    p.encoder = read_wave(reader, "encoder", 0, 100);
    p.decoder = read_wave(reader, "decoder", 0, 100);
    reader.refuse_unknown();
    scenario_.processes.push_back(std::move(p));
  }

  void read_fault(const Node& table) {
    Reader reader("fault " + std::to_string(scenario_.faults.size()), {&table}, error_);
    Fault f;
    f.ordinal = scenario_.faults.size();
    const std::optional<int> kind = read_named(reader, "kind", kFaultKinds);
    if (!kind) reader.fail(&table, "needs \"kind\"");
    f.kind = static_cast<Fault::Kind>(kind.value_or(0));
    f.vendor = static_cast<Vendor>(read_named(reader, "vendor", kVendors).value_or(0));
    f.file = reader.text("file", 200).value_or("");
    const std::string call = reader.text("call").value_or("*");
    f.any_call = call == "*";
    f.calls = match_calls(call);
    f.ze_calls = match_ze_calls(call);
    if (f.calls.none() && f.ze_calls.none())
      reader.fail(reader.find("call"), "there is no call " + Reader::quoted(call));
    const Node* device = reader.find("device");
    if (device && !(device->is(Node::Kind::text) && device->text == "all")) {
      const auto index = reader.integer("device", 0, static_cast<int64_t>(scenario_.devices_of(f.vendor)) - 1);
      if (index) f.device = static_cast<unsigned>(*index);
    }
    if (const auto field = reader.integer("field", 0, 0xffffffff)) {
      f.field = static_cast<unsigned>(*field);
      f.any_call = false;
      f.calls = match_calls("nvmlDeviceGetFieldValues");
    }
    read_code(reader, f);
    f.milliseconds = reader.number("milliseconds", 0, 1e9).value_or(0);
    f.xid = read_whole(reader, "xid", 100000);
    if (f.kind == Fault::Kind::xid && f.xid == 0) reader.fail(&table, "needs \"xid\", the number of the event");
    if (f.kind == Fault::Kind::slow && f.milliseconds == 0) reader.fail(&table, "needs \"milliseconds\"");
    f.from = reader.number("from", 0, kTimeMost).value_or(f.kind == Fault::Kind::xid ? now_ : 0);
    f.until = reader.number("until", 0, kTimeMost).value_or(kForever);
    f.every = reader.number("every", 0, kTimeMost).value_or(0);
    f.duration = reader.number("for", 0, kTimeMost).value_or(1);
    if (f.every > 0 && f.every < 0.01) reader.fail(reader.find("every"), "\"every\" must be 0.01 s or more");
    f.probability = reader.number("probability", 0, 1).value_or(1);
    f.seed = static_cast<uint64_t>(reader.integer("seed", 0, INT64_MAX).value_or(0));
    reader.refuse_unknown();
    scenario_.faults.push_back(std::move(f));
  }

  void read_code(Reader& reader, Fault& f) {
    const Node* code = reader.find("code");
    if (!code) return;
    if (code->is(Node::Kind::integer)) {
      f.code = static_cast<int>(reader.integer("code", 1, 999).value_or(999));
      return;
    }
    std::string name = reader.text("code").value_or("");
    if (const std::optional<int> number = find_named(kErrnos, name)) {
      f.error_number = *number;
      return;
    }
    for (const std::string_view prefix : {"NVML_ERROR_", "ZE_RESULT_ERROR_", "ZE_RESULT_"})
      if (name.rfind(prefix, 0) == 0) name.erase(0, prefix.size());
    const std::optional<int> value = find_named(kReturns, name);
    const auto* ze = std::find_if(std::begin(kZeResults), std::end(kZeResults),
                                  [&](const ZeResult& one) { return one.name == name; });
    if (ze != std::end(kZeResults)) f.ze_code = ze->value;
    if (!value && ze == std::end(kZeResults)) reader.fail(code, "there is no error " + Reader::quoted(name));
    f.code = value.value_or(999);
  }

  void refuse_twins() {
    for (size_t i = 0; i < scenario_.devices.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        const Device& a = scenario_.devices[i];
        const Device& b = scenario_.devices[j];
        const bool same_slot = a.pci_domain == b.pci_domain && a.pci_bus == b.pci_bus && a.pci_slot == b.pci_slot;
        if (a.uuid == b.uuid || same_slot) {
          error_.add(nullptr, "devices " + std::to_string(j) + " and " + std::to_string(i) + " share their " +
                                  (same_slot ? "PCI address" : "uuid"));
        }
      }
    }
  }

  const Node& root_;
  const double now_;
  FirstError& error_;
  Scenario scenario_;
};

}  // namespace

ParseOutcome parse_scenario(std::string_view text, double now) {
  ParseOutcome outcome;
  FirstError error;
  const Node root = parse_toml(text, error);
  if (!error.failed()) outcome.scenario = Parser(root, now, error).parse();
  if (error.failed()) {
    outcome.scenario.reset();
    outcome.error = std::move(error.text);
  }
  return outcome;
}

}  // namespace accelmon::simulator
