// PCIe and NVLink.

#include <bit>
#include <cmath>
#include <ctime>

#include "links.h"

namespace accelmon::nvml {

namespace {

int lane_fact(Call call, DeviceHandle device, U32* out, double (*get)(const Device&, double)) {
  return read_number(call, device, Takes::gpu, out, [&](Entry& entry, int& code) {
    const double value = get(entry.device(), entry.t);
    if (entry.device().pcie_gen_max == 0) code = kNotSupported;
    return value;
  });
}

int good_link(const Entry& entry, U32 link) {
  if (entry.device().nvlinks == 0) return kNotSupported;
  return link < entry.device().nvlinks ? kSuccess : kInvalidArgument;
}

}  // namespace

bool link_up(const Device& device, unsigned link) {
  return link < device.nvlinks && (device.nvlinks_down >> link & 1) == 0;
}

unsigned links_up(const Device& device) {
  return device.nvlinks - static_cast<unsigned>(std::popcount(device.nvlinks_down));
}

double pcie_bytes(const Entry& entry, bool transmit) {
  const Wave& rate = transmit ? entry.device().pcie_tx : entry.device().pcie_rx;
  return rate.integral(entry.t) - rate.integral(entry.since);
}

double link_bytes(const Entry& entry, unsigned link, bool transmit) {
  const Device& d = entry.device();
  const Wave& rate = transmit ? d.nvlink_tx : d.nvlink_rx;
  const double all = rate.integral(entry.t) - rate.integral(entry.since);
  if (link == kAllNvlinks) return all;
  return link_up(d, link) ? all / links_up(d) : 0;
}

int nvmlDeviceGetPcieThroughput(DeviceHandle device, int counter, U32* out_kbps) {
  return device_call(Call::nvmlDeviceGetPcieThroughput, device, Takes::gpu, [&](Entry& entry) -> int {
    if (!out_kbps || counter < 0 || counter > 1) return kInvalidArgument;
    const Device& d = entry.device();
    if (d.pcie_gen_max == 0) return kNotSupported;
    // The driver measures while the caller waits: that is why readers shun this call.
    const auto wait = static_cast<long>(d.pcie_throughput_ms * 1e6);
    timespec left{wait / 1000000000, wait % 1000000000};
    while (nanosleep(&left, &left) != 0) {
    }
    const Wave& rate = counter == 0 ? d.pcie_tx : d.pcie_rx;
    *out_kbps = entry.u32(std::floor(rate.mean(entry.t, entry.t + d.pcie_throughput_ms / 1000) / 1000));
    return kSuccess;
  });
}

int nvmlDeviceGetPcieReplayCounter(DeviceHandle device, U32* out) {
  return lane_fact(Call::nvmlDeviceGetPcieReplayCounter, device, out,
                   [](const Device& d, double t) { return std::floor(d.pcie_replays.value(t)); });
}
int nvmlDeviceGetCurrPcieLinkGeneration(DeviceHandle device, U32* out) {
  return lane_fact(Call::nvmlDeviceGetCurrPcieLinkGeneration, device, out, [](const Device& d, double t) {
    return static_cast<double>(d.busy(t) ? d.pcie_gen_busy : d.pcie_gen_idle);
  });
}
int nvmlDeviceGetMaxPcieLinkGeneration(DeviceHandle device, U32* out) {
  return lane_fact(Call::nvmlDeviceGetMaxPcieLinkGeneration, device, out,
                   [](const Device& d, double) { return static_cast<double>(d.pcie_gen_max); });
}
int nvmlDeviceGetCurrPcieLinkWidth(DeviceHandle device, U32* out) {
  return lane_fact(Call::nvmlDeviceGetCurrPcieLinkWidth, device, out,
                   [](const Device& d, double) { return static_cast<double>(d.pcie_width); });
}
int nvmlDeviceGetMaxPcieLinkWidth(DeviceHandle device, U32* out) {
  return lane_fact(Call::nvmlDeviceGetMaxPcieLinkWidth, device, out,
                   [](const Device& d, double) { return static_cast<double>(d.pcie_width_max); });
}

int nvmlDeviceGetNvLinkState(DeviceHandle device, U32 link, int* out) {
  return read_number(Call::nvmlDeviceGetNvLinkState, device, Takes::gpu, out, [&](Entry& entry, int& code) {
    code = good_link(entry, link);
    return link_up(entry.device(), link) ? 1.0 : 0.0;
  });
}

int nvmlDeviceGetNvLinkVersion(DeviceHandle device, U32 link, U32* out) {
  return read_number(Call::nvmlDeviceGetNvLinkVersion, device, Takes::gpu, out, [&](Entry& entry, int& code) {
    code = good_link(entry, link);
    return static_cast<double>(entry.device().nvlink_version);
  });
}

int nvmlDeviceGetNvLinkErrorCounter(DeviceHandle device, U32 link, int counter, U64* out) {
  return read_number(Call::nvmlDeviceGetNvLinkErrorCounter, device, Takes::gpu, out, [&](Entry& entry, int& code) {
    // 0 replays, 1 recoveries, 2 and 3 checksum errors of flits and of data. All on the first link.
    const Device& d = entry.device();
    const Wave* const counts[] = {&d.nvlink_replays, &d.nvlink_recoveries, &d.nvlink_crc, &d.nvlink_crc};
    code = good_link(entry, link);
    if (counter < 0 || counter > 3) code = kInvalidArgument;
    return code == kSuccess && link == 0 ? std::floor(counts[counter]->value(entry.t)) : 0.0;
  });
}

}  // namespace accelmon::nvml
