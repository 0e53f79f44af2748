// The texts of /proc, as hostile as they come. Every parser sees every input; what they promise is checked.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text.h"
#include "collectors/host/host_parse.h"

namespace {

using namespace accelmon;
using namespace accelmon::host;

void require(bool promise) {
  if (!promise) std::abort();
}

bool inside(std::string_view part, std::string_view whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void tables(std::string_view text) {
  const CpuModes modes = cpu_modes(parse_stat(text).all);
  require(modes.modes <= kCpuModes);

  const MemoryText memory = parse_meminfo(text);
  const MemoryUse use = memory_use(memory);
  uint64_t sum = 0;
  bool all = true;
  for (size_t i = 0; i < kMemoryStates; ++i) {
    if (use.states[i] != State::ok) all = all && use.states[i] == State::unsupported;
    sum += use.states[i] == State::ok ? use.bytes[i] : 0;
  }
  if (all && use.states[0] == State::ok) require(sum == *memory.total);

  const VmstatText vmstat = parse_vmstat(text);
  const PressureText pressure = parse_pressure(text);
  require(vmstat.malformed <= text.size() && pressure.malformed <= text.size());
  if (const auto loads = parse_loadavg(text))
    for (const double load : *loads) require(load >= 0);
  if (const auto uptime = parse_uptime(text)) require(*uptime >= 0);
  require(parse_cpu_model(text).size() <= 131);
}

void lines(std::string_view text) {
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    DiskLine disk;
    const Line disk_result = parse_disk_line(line, disk);
    require(inside(disk.name, line) && (disk_result != Line::ok || !disk.name.empty()));
    classify_disk(disk.name);
    looks_like_partition(disk.name);

    InterfaceLine interface;
    const Line interface_result = parse_interface_line(line, interface);
    require(inside(interface.name, line) && (interface_result != Line::ok || !interface.name.empty()));

    MountLine mount;
    if (parse_mount_line(line, mount) != Line::ok) continue;
    require(mount.mount_point.front() == '/');
    classify_mount(mount.type);
    const std::string path = decode_mount(mount.mount_point);
    require(path.size() <= mount.mount_point.size() && decode_mount(encode_mount(path)) == path);
    require(lies_within(path, path) && lies_within(path, "/"));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  tables(text);
  lines(text);
  return 0;
}
