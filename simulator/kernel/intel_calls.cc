// The calls that Intel's drivers take beside reads: the query of memory regions, and counters.
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "simulator/kernel/intel_tree.h"

namespace accelmon::simulator {

namespace {

// As the kernel's headers have them (include/uapi/drm/xe_drm.h, i915_drm.h).
struct xe_device_query {
  uint64_t extensions;
  uint32_t query, size;
  uint64_t data, reserved[2];
};
struct xe_mem_region {
  uint16_t mem_class, instance;
  uint32_t min_page_size;
  uint64_t total_size, used, cpu_visible_size, cpu_visible_used, reserved[6];
};
struct i915_query {
  uint32_t num_items, flags;
  uint64_t items_ptr;
};
struct i915_query_item {
  uint64_t query_id;
  int32_t length;
  uint32_t flags;
  uint64_t data_ptr;
};
struct i915_region_info {
  uint16_t memory_class, memory_instance;
  uint32_t rsvd0;
  uint64_t probed_size, unallocated_size, rsvd1[8];
};
constexpr unsigned long kXeRequest = 0xc0286440;
constexpr unsigned long kI915Request = 0xc0106479;

constexpr uint64_t kHostMemory = uint64_t{64} << 30;

// Before 6.16 nothing of the kernel's differs but what is missing; the sizes are those that it answers with.
int query_xe(const IntelDevice& d, double t, xe_device_query& query) {
  constexpr uint32_t kMemoryRegions = 1;
  if (query.extensions != 0 || query.query != kMemoryRegions) return -EINVAL;
  std::vector<xe_mem_region> regions(1);
  regions[0].min_page_size = 4096;
  regions[0].total_size = kHostMemory;
  for (unsigned tile = 0; tile < d.tiles.size() && !d.integrated; ++tile) {
    xe_mem_region region{};
    region.mem_class = 1;
    region.instance = static_cast<uint16_t>(tile);
    region.min_page_size = 65536;
    region.total_size = region.cpu_visible_size = d.tiles[tile].memory_total;
    if (d.may.perfmon) region.used = d.memory_used(tile, t);
    regions.push_back(region);
  }
  const uint64_t head = regions.size();  // and four bytes of padding
  const auto size = static_cast<uint32_t>(sizeof head + regions.size() * sizeof(xe_mem_region));
  if (query.size == 0) {
    query.size = size;
    return 0;
  }
  if (query.size != size) return -EINVAL;
  auto* const out = reinterpret_cast<char*>(static_cast<uintptr_t>(query.data));
  if (out == nullptr) return -EFAULT;
  memcpy(out, &head, sizeof head);
  memcpy(out + sizeof head, regions.data(), regions.size() * sizeof(xe_mem_region));
  return 0;
}

int query_i915(const IntelDevice& d, double t, const i915_query& query) {
  constexpr uint64_t kMemoryRegions = 4;
  if (query.flags != 0) return -EINVAL;
  auto* const items = reinterpret_cast<i915_query_item*>(static_cast<uintptr_t>(query.items_ptr));
  for (uint32_t i = 0; i < query.num_items; ++i) {
    i915_query_item& item = items[i];
    std::vector<i915_region_info> regions(1);
    regions[0].probed_size = regions[0].unallocated_size = kHostMemory;
    for (unsigned tile = 0; tile < d.tiles.size() && !d.integrated; ++tile) {
      i915_region_info region{};
      region.memory_class = 1;
      region.memory_instance = static_cast<uint16_t>(tile);
      region.probed_size = region.unallocated_size = d.tiles[tile].memory_total;
      if (d.may.perfmon) region.unallocated_size -= d.memory_used(tile, t);
      regions.push_back(region);
    }
    const uint32_t head[4] = {static_cast<uint32_t>(regions.size()), 0, 0, 0};
    const auto length = static_cast<int32_t>(sizeof head + regions.size() * sizeof(i915_region_info));
    if (item.query_id != kMemoryRegions || item.flags != 0) {
      item.length = -EINVAL;
    } else if (item.length == 0) {
      item.length = length;
    } else if (item.length < length) {
      item.length = -EINVAL;
    } else {
      auto* const out = reinterpret_cast<char*>(static_cast<uintptr_t>(item.data_ptr));
      for (size_t at = 0; at < sizeof head; ++at)
        if (out[at] != 0) return -EINVAL;  // the driver wants it so
      memcpy(out, head, sizeof head);
      memcpy(out + sizeof head, regions.data(), regions.size() * sizeof(i915_region_info));
      item.length = length;
    }
  }
  return 0;
}

// Which engine a counter is about, and which of its numbers.
struct Counter {
  IntelDriver driver = IntelDriver::xe;
  unsigned event = 0, kind = 0, instance = 0, gt = 0;

  Counter(IntelDriver of, uint64_t config) : driver(of) {
    if (of == IntelDriver::xe) {
      event = config & 0xfff;
      instance = config >> 12 & 0xff;
      kind = config >> 20 & 0xff;
      gt = static_cast<unsigned>(config >> 60);
    } else {
      event = config & 0xf;  // what is sampled
      instance = config >> 4 & 0xff;
      kind = config >> 12 & 0xff;
    }
  }
  const IntelEngine* engine(const IntelDevice& d) const {
    for (const IntelTile& tile : d.tiles)
      for (const IntelEngine& one : tile.engines)
        if (static_cast<unsigned>(one.kind) == kind && one.instance == instance &&
            (driver == IntelDriver::i915 || one.gt == gt))
          return &one;
    return nullptr;
  }
  bool exists(const IntelDevice& d) const {
    const bool known = driver == IntelDriver::xe ? event == 2 || event == 3 : event == 0;
    return known && engine(d) != nullptr;
  }
  uint64_t value(const IntelDevice& d, double since, double t) const {
    const IntelEngine* const of = engine(d);
    if (of == nullptr) return 0;
    if (driver == IntelDriver::i915) return static_cast<uint64_t>(of->active_seconds(since, t) * 1e9);
    return static_cast<uint64_t>((event == 2 ? of->active_seconds(since, t) : t - since) * kIntelTicks);
  }
};

// The file in events/ that a counter is opened by: what faults name.
const KernelFile* file_of(const KernelTree& tree, unsigned device, std::string& path) {
  for (auto at = tree.files().lower_bound("sys/bus/event_source/"); at != tree.files().end(); ++at) {
    const KernelFile& file = at->second;
    if (!file.owner || file.owner->vendor != Vendor::intel || file.owner->device != device) continue;
    if (at->first.find("/events/engine-active-ticks") == std::string::npos &&
        at->first.find("-busy") == std::string::npos)
      continue;
    path = at->first;
    return &file;
  }
  return nullptr;
}

class CounterFile : public OpenFile {
 public:
  CounterFile(Kernel& kernel, unsigned device, uint64_t config, uint64_t format)
      : kernel_(kernel), device_(device), config_(config), format_(format), opened_(kernel.now()) {}

  bool seekable() const override { return false; }
  ssize_t read(void* buffer, size_t size, off_t) override {
    const std::shared_ptr<const World> world = kernel_.world();
    if (!world || device_ >= world->scenario.intel.size()) return -ENODEV;
    const IntelDevice& d = world->scenario.intel[device_];
    std::string path;
    const KernelFile* file = file_of(world->tree, device_, path);
    if (!file) return -ENODEV;
    const Verdict verdict = kernel_.judge(path, *file, false);
    // The end of the file is what perf answers for a PMU that is gone.
    if (verdict.error == ENODEV || verdict.since > opened_) return 0;
    if (verdict.error != 0) return -verdict.error;
    uint64_t words[2] = {Counter(d.driver, config_).value(d, verdict.since, verdict.t),
                         static_cast<uint64_t>(std::max(verdict.t - opened_, 0.0) * 1e9)};
    if (verdict.garbage) words[0] = verdict.sentinel ? ~0ull : verdict.garbage_key;
    const size_t length = (format_ & PERF_FORMAT_TOTAL_TIME_ENABLED) != 0 ? 16 : 8;
    if (size < length) return -ENOSPC;
    memcpy(buffer, words, length);
    return static_cast<ssize_t>(length);
  }

 private:
  Kernel& kernel_;
  const unsigned device_;
  const uint64_t config_, format_;
  const double opened_;
};

}  // namespace

int intel_control(const Moment& at, unsigned index, unsigned long request, void* argument) {
  if (index >= at.scenario.intel.size()) return -ENODEV;
  if (argument == nullptr) return -EFAULT;
  const IntelDevice& d = at.scenario.intel[index];
  if (d.driver == IntelDriver::xe && request == kXeRequest)
    return query_xe(d, at.t, *static_cast<xe_device_query*>(argument));
  if (d.driver == IntelDriver::i915 && request == kI915Request)
    return query_i915(d, at.t, *static_cast<const i915_query*>(argument));
  return -EINVAL;
}

bool intel_counter(Kernel& kernel, long number, const long (&arguments)[6], long& result) {
  if (number != SYS_perf_event_open || arguments[0] == 0) return false;
  const auto& request = *reinterpret_cast<const perf_event_attr*>(arguments[0]);
  const std::shared_ptr<const World> world = kernel.world();
  if (!world || request.type < kIntelPmuTypes || request.type - kIntelPmuTypes >= world->scenario.intel.size())
    return false;
  const unsigned device = request.type - kIntelPmuTypes;
  const IntelDevice& d = world->scenario.intel[device];
  std::string path;
  const KernelFile* file = file_of(world->tree, device, path);
  if (!file) {
    result = -ENOENT;
    return true;
  }
  const Verdict verdict = kernel.judge(path, *file, true);
  const bool of_one_processor = static_cast<int>(arguments[1]) == -1 && static_cast<int>(arguments[2]) >= 0;
  if (verdict.error != 0) {
    result = -verdict.error;
  } else if (!d.may.perfmon) {
    result = -EACCES;
  } else if (!of_one_processor || !Counter(d.driver, request.config).exists(d)) {
    result = -EINVAL;
  } else {
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    result = fd < 0 ? -errno : fd;
    if (fd >= 0) kernel.adopt(fd, std::make_shared<CounterFile>(kernel, device, request.config, request.read_format));
  }
  return true;
}

}  // namespace accelmon::simulator
