// Discovery, continued: errors, buses and links, health, processes.
#include <algorithm>

#include "collectors/level_zero/ze_probe.h"

namespace accelmon::level_zero {
namespace {

constexpr size_t kRoomForProcesses = 1024;

}  // namespace

void Gpu::probe_errors() {
  bool any = false;
  const ZeResult code = each<RasProperties, Symbol::zesDeviceEnumRasErrorSets, Symbol::zesRasGetProperties>(
      [&](Handle handle, const RasProperties& set, int device) {
        if (set.type > kRasUncorrectable) return;
        const auto* source =
            offer<RasSource>(MetricId::errors, device, "the driver does not count errors of this device", handle);
        if (source == nullptr) return;
        any = true;
        const char* type = set.type == kRasCorrectable ? "corrected" : "uncorrected";
        for (uint32_t i = 0; i < kRasCategories; ++i)
          show(MetricId::errors, device, Tier::slow,
               {{AttributeId::error_type, type}, {AttributeId::error_block, kErrorBlocks[i]}}, source->counts[i]);
      });
  if (lost_) return;
  if (!any) return absent({MetricId::errors}, code, "the driver does not count errors of this device");
  for (const char* type : {"corrected", "uncorrected"})
    for (const char* block : kErrorBlocks)
      add_up(MetricId::errors, Op::sum, Tier::slow,
             {{AttributeId::error_type, type}, {AttributeId::error_block, block}});
}

void Gpu::probe_pci() {
  if (lost_) return;
  PciProperties properties;
  const ZeResult code = host_.ze.call<Symbol::zesDevicePciGetProperties>(handle_, &properties);
  if (fails(code)) return;
  const std::vector<Attribute> current{{AttributeId::which, "current"}}, maximum{{AttributeId::which, "maximum"}};
  if (const auto* state = offer<PciStateSource>(MetricId::pcie_generation, 0,
                                                "the driver does not tell the state of the PCIe link", handle_)) {
    show(MetricId::pcie_generation, 0, Tier::slow, current, state->generation);
    show(MetricId::pcie_width, 0, Tier::slow, current, state->width);
    trouble_.push_back(state->trouble);
  }
  if (lost_) return;
  if (code == kSuccess && properties.most.generation > 0)
    show(MetricId::pcie_generation, 0, Tier::rare, maximum, constant(properties.most.generation));
  if (code == kSuccess && properties.most.width > 0)
    show(MetricId::pcie_width, 0, Tier::rare, maximum, constant(properties.most.width));

  if (code == kSuccess && properties.have_bandwidth == 0)
    absent(MetricId::gpu_io, 0, State::unsupported, "the driver does not count this board's PCIe bytes");
  if (code == kSuccess && properties.have_replays == 0)
    absent(MetricId::pcie_replays, 0, State::unsupported, "the driver does not count this board's PCIe replays");
  if (code != kSuccess || (properties.have_bandwidth == 0 && properties.have_replays == 0)) return;
  const auto* stats = offer<PciStatsSource>(MetricId::gpu_io, 0, "the driver does not count PCIe traffic", handle_);
  if (stats == nullptr) return;
  if (properties.have_bandwidth != 0) {
    show(MetricId::gpu_io, 0, Tier::fast, {{AttributeId::io_direction, "receive"}}, stats->received);
    show(MetricId::gpu_io, 0, Tier::fast, {{AttributeId::io_direction, "transmit"}}, stats->transmitted);
  }
  if (properties.have_replays != 0) show(MetricId::pcie_replays, 0, Tier::fast, {}, stats->replays);
}

void Gpu::probe_ports() {
  bool any = false;
  bool on_tiles = false;
  std::vector<int> received, transmitted;
  const ZeResult code = each<PortProperties, Symbol::zesDeviceEnumFabricPorts, Symbol::zesFabricPortGetProperties>(
      [&](Handle handle, const PortProperties& port, int device) {
        const std::string name = device == 0 && tiles() > 0
                                     ? std::to_string(port.id.attach) + "." + std::to_string(port.id.port)
                                     : std::to_string(port.id.port);
        const std::vector<Attribute> link{{AttributeId::link, name}, {AttributeId::link_kind, "xe_link"}};
        if (const auto* state = offer<PortStateSource>(MetricId::link_up, device,
                                                       "the driver does not tell the state of this link", handle)) {
          any = true;
          on_tiles |= device != 0;
          show(MetricId::link_up, device, Tier::slow, link, state->up);
          trouble_.push_back(state->trouble);
        }
        const auto* traffic =
            offer<PortTrafficSource>(MetricId::link_io, device, "the driver does not count this link's bytes", handle);
        if (traffic == nullptr) return;
        std::vector<Attribute> in = link, out = link;
        in.push_back({AttributeId::direction, "receive"});
        out.push_back({AttributeId::direction, "transmit"});
        show(MetricId::link_io, device, Tier::fast, std::move(in), traffic->received);
        show(MetricId::link_io, device, Tier::fast, std::move(out), traffic->transmitted);
        received.push_back(traffic->received);
        transmitted.push_back(traffic->transmitted);
      });
  if (lost_) return;
  if (!any) return absent({MetricId::link_up, MetricId::link_io}, code, "this device has no links to others");
  // Where the links are the tiles', the GPU has their sum; a link is never on one device twice.
  if (!on_tiles || received.empty()) return;
  const auto all = [](const char* direction) {
    return std::vector<Attribute>{
        {AttributeId::link, "all"}, {AttributeId::link_kind, "xe_link"}, {AttributeId::direction, direction}};
  };
  if (has(MetricId::link_io, 0)) return;
  show(MetricId::link_io, 0, Tier::fast, all("receive"), aggregate(Op::sum, std::move(received)));
  show(MetricId::link_io, 0, Tier::fast, all("transmit"), aggregate(Op::sum, std::move(transmitted)));
}

void Gpu::probe_state() {
  if (const auto* state = offer<DeviceStateSource>(MetricId::hw_status, 0,
                                                   "the driver does not tell whether the device needs a reset; its "
                                                   "state is that of its parts",
                                                   handle_)) {
    wedged_.push_back(state->wedged);
    repair_.push_back(state->repair);
  }
  Bool available = 0;
  if (!lost_ && host_.ze.call<Symbol::zesDeviceEccAvailable>(handle_, &available) == kSuccess && available == 0)
    return absent(MetricId::ecc_enabled, 0, State::unsupported,
                  "this board's memory has no error correction to switch");
  if (const auto* ecc =
          offer<EccSource>(MetricId::ecc_enabled, 0, "the driver does not tell whether memory is protected", handle_)) {
    show(MetricId::ecc_enabled, 0, Tier::rare, {{AttributeId::which, "current"}}, ecc->current);
    show(MetricId::ecc_enabled, 0, Tier::rare, {{AttributeId::which, "pending"}}, ecc->pending);
  }
}

void Gpu::probe_processes() {
  if (lost_) return;
  if (!host_.rights.ptrace) {
    // The driver leaves out whose files it cannot open, and calls that success.
    for (const MetricId metric : {MetricId::process_count, MetricId::process_memory})
      absent(metric, 0, State::no_permission,
             "the driver leaves out the processes of other users for those without CAP_SYS_PTRACE");
    return;
  }
  process_room_.resize(kRoomForProcesses);
  const ZeResult code = read_processes();
  if (fails(code)) return;
  const State state = code == kUninitialized ? State::unsupported : state_of(code);
  if (code != kInvalidSize && (state == State::unsupported || state == State::no_permission))
    return absent({MetricId::process_count, MetricId::process_memory}, code,
                  "the driver does not list processes (the i915 kernel driver has no list of them)");
  has_processes_ = true;
  process_call_ = host_.ze.calls().last();
}

void Gpu::add_status() {
  const auto last = static_cast<int>(devices_.size()) - 1;
  status_slot_ = static_cast<int>(shown_.size());
  // Values of these come from publish_status().
  const int dummy = constant(1);
  for (int device = 0; device <= last; ++device) {
    for (const char* status : kHwStates)
      show(MetricId::hw_status, device, Tier::fast, {{AttributeId::hw_state, status}}, dummy);
    show(MetricId::device_info, device, Tier::rare, {}, dummy);
  }
  if (runtime_status_.valid()) show(MetricId::gpu_asleep, 0, Tier::fast, {}, dummy);
}

}  // namespace accelmon::level_zero
