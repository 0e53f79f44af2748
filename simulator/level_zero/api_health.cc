// Errors, PCI, links between devices.
#include <cmath>

#include "api.h"

namespace accelmon::simulator::level_zero {

namespace {

// Gigatransfers a second by generation, and what of them carries data.
constexpr double kTransfers[] = {0, 2.5e9, 5e9, 8e9, 16e9, 32e9, 64e9};

zes_pci_speed_t speed(unsigned generation, unsigned width) {
  zes_pci_speed_t out{};
  out.gen = generation > 0 ? static_cast<int32_t>(generation) : -1;
  out.width = width > 0 ? static_cast<int32_t>(width) : -1;
  const double coding = generation < 3 ? 0.8 : 128.0 / 130;
  out.maxBandwidth = generation > 0 && generation < std::size(kTransfers) && width > 0
                         ? static_cast<int64_t>(kTransfers[generation] * coding * width / 8)
                         : -1;
  return out;
}

const IntelFabricPort& at(const IntelDevice& device, const Place& place) {
  return device.tiles[place.first].ports[place.second];
}

zes_fabric_port_speed_t speed(const IntelFabricPort& port) {
  return zes_fabric_port_speed_t{static_cast<int64_t>(port.bits_per_second), static_cast<int32_t>(port.lanes)};
}

}  // namespace

ze_result_t ZE_APICALL enum_errors(zes_device_handle_t device, uint32_t* count, zes_ras_handle_t* out) {
  return handled(ZeCall::zesDeviceEnumRasErrorSets, device, Kind::device, count, [&](Entry& entry) {
    return give_handles(entry, Kind::ras, error_sets(entry.device()).size(), count, out);
  });
}

ze_result_t ZE_APICALL error_properties(zes_ras_handle_t set, zes_ras_properties_t* out) {
  return of_part(ZeCall::zesRasGetProperties, set, Kind::ras, out, error_sets, [&](Entry& entry, const Place& place) {
    if (!is_typed(out, ZES_STRUCTURE_TYPE_RAS_PROPERTIES)) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
    out->type = place.second == 1 ? ZES_RAS_ERROR_TYPE_CORRECTABLE : ZES_RAS_ERROR_TYPE_UNCORRECTABLE;
    set_place(entry, place.first, out);
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL error_state(zes_ras_handle_t set, ze_bool_t clear, zes_ras_state_t* out) {
  return of_part(ZeCall::zesRasGetState, set, Kind::ras, out, error_sets, [&](Entry& entry, const Place& place) {
    // Nobody who only reads clears: this answer makes a reader that does fail its tests.
    if (clear != 0) return ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS;
    memset(out->category, 0, sizeof(out->category));
    for (const IntelRas& ras : entry.device().tiles[place.first].ras)
      if (ras.corrected == (place.second == 1)) out->category[ras.category] += entry.u64(ras.count.value(entry.t));
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL pci_properties(zes_device_handle_t device, zes_pci_properties_t* out) {
  return handled(ZeCall::zesDevicePciGetProperties, device, Kind::device, out, [&](Entry& entry) {
    if (!is_typed(out, ZES_STRUCTURE_TYPE_PCI_PROPERTIES)) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
    const IntelDevice& d = entry.device();
    out->address = zes_pci_address_t{d.pci_domain, d.pci_bus, d.pci_slot, 0};
    out->maxSpeed = speed(d.pcie_gen_max, d.pcie_width_max);
    out->haveBandwidthCounters = d.pcie_counters ? 1 : 0;
    out->havePacketCounters = 0;
    out->haveReplayCounters = d.pcie_replay_counter ? 1 : 0;
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL pci_state(zes_device_handle_t device, zes_pci_state_t* out) {
  return handled(ZeCall::zesDevicePciGetState, device, Kind::device, out, [&](Entry& entry) {
    const IntelDevice& d = entry.device();
    out->status = ZES_PCI_LINK_STATUS_UNKNOWN;
    out->qualityIssues = 0;
    out->stabilityIssues = 0;
    out->speed = speed(d.pcie_gen, d.pcie_width);
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL pci_stats(zes_device_handle_t device, zes_pci_stats_t* out) {
  return handled(ZeCall::zesDevicePciGetStats, device, Kind::device, out, [&](Entry& entry) {
    const IntelDevice& d = entry.device();
    if (!d.pcie_counters && !d.pcie_replay_counter) return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
    if (!d.may.root) return ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS;
    out->timestamp = microseconds(entry.t);
    out->replayCounter = d.pcie_replay_counter ? entry.u64(d.pcie_replays.value(entry.t)) : 0;
    out->packetCounter = 0;
    out->rxCounter = d.pcie_counters ? entry.u64(d.pcie_rx.integral(entry.t) - d.pcie_rx.integral(entry.since)) : 0;
    out->txCounter = d.pcie_counters ? entry.u64(d.pcie_tx.integral(entry.t) - d.pcie_tx.integral(entry.since)) : 0;
    out->speed = speed(0, 0);
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL enum_ports(zes_device_handle_t device, uint32_t* count, zes_fabric_port_handle_t* out) {
  return handled(ZeCall::zesDeviceEnumFabricPorts, device, Kind::device, count, [&](Entry& entry) {
    return give_handles(entry, Kind::port, ports(entry.device()).size(), count, out);
  });
}

ze_result_t ZE_APICALL port_properties(zes_fabric_port_handle_t port, zes_fabric_port_properties_t* out) {
  return of_part(ZeCall::zesFabricPortGetProperties, port, Kind::port, out, ports,
                 [&](Entry& entry, const Place& place) {
                   if (!is_typed(out, ZES_STRUCTURE_TYPE_FABRIC_PORT_PROPERTIES))
                     return ZE_RESULT_ERROR_INVALID_ARGUMENT;
                   const IntelFabricPort& p = at(entry.device(), place);
                   set_text(out->model, "XeLink");
                   set_place(entry, place.first, out);
                   out->portId = zes_fabric_port_id_t{p.fabric_id, p.attach_id, static_cast<uint8_t>(p.port)};
                   out->maxRxSpeed = speed(p);
                   out->maxTxSpeed = speed(p);
                   return ZE_RESULT_SUCCESS;
                 });
}

ze_result_t ZE_APICALL port_state(zes_fabric_port_handle_t port, zes_fabric_port_state_t* out) {
  return of_part(ZeCall::zesFabricPortGetState, port, Kind::port, out, ports, [&](Entry& entry, const Place& place) {
    const IntelFabricPort& p = at(entry.device(), place);
    out->status = static_cast<zes_fabric_port_status_t>(std::lround(p.status.value(entry.t)));
    out->qualityIssues = 0;
    out->failureReasons = 0;
    out->remotePortId =
        zes_fabric_port_id_t{p.remote_fabric_id, p.remote_attach_id, static_cast<uint8_t>(p.remote_port)};
    out->rxSpeed = speed(p);
    out->txSpeed = speed(p);
    return ZE_RESULT_SUCCESS;
  });
}

ze_result_t ZE_APICALL port_throughput(zes_fabric_port_handle_t port, zes_fabric_port_throughput_t* out) {
  return of_part(ZeCall::zesFabricPortGetThroughput, port, Kind::port, out, ports,
                 [&](Entry& entry, const Place& place) {
                   const IntelFabricPort& p = at(entry.device(), place);
                   out->timestamp = microseconds(entry.t);
                   out->rxCounter = entry.u64(p.receive.integral(entry.t) - p.receive.integral(entry.since));
                   out->txCounter = entry.u64(p.transmit.integral(entry.t) - p.transmit.integral(entry.since));
                   return ZE_RESULT_SUCCESS;
                 });
}

}  // namespace accelmon::simulator::level_zero
