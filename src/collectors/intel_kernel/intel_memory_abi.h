// The part of the drivers' ioctl interface that the region query uses, as the kernel's xe_drm.h and i915_drm.h lay it
// out. The simulated kernel has a copy of its own, so that a slip in one shows.
#pragma once

#include <cstdint>

namespace accelmon::intel_kernel {

// _IOWR('d', 0x40 + number, size)
constexpr unsigned long drm_request(unsigned number, unsigned size) {
  return 3ul << 30 | static_cast<unsigned long>(size) << 16 | 'd' << 8 | (0x40 + number);
}

struct XeDeviceQuery {
  uint64_t extensions;
  uint32_t query;
  uint32_t size;  // 0: tell how much it needs
  uint64_t data;
  uint64_t reserved[2];
};
static_assert(sizeof(XeDeviceQuery) == 40);
inline constexpr unsigned long kXeDeviceQuery = drm_request(0x00, sizeof(XeDeviceQuery));
inline constexpr uint32_t kXeQueryMemoryRegions = 1;

struct XeMemoryRegion {
  uint16_t kind;  // 0: the host's memory, 1: its own
  uint16_t instance;
  uint32_t page_size;
  uint64_t total, used;
  uint64_t visible_size, visible_used;
  uint64_t reserved[6];
};
static_assert(sizeof(XeMemoryRegion) == 88);
struct XeMemoryRegions {
  uint32_t count;
  uint32_t padding;
  // XeMemoryRegion[count]
};
static_assert(sizeof(XeMemoryRegions) == 8);

struct I915Query {
  uint32_t count;
  uint32_t flags;
  uint64_t items;
};
static_assert(sizeof(I915Query) == 16);
inline constexpr unsigned long kI915Query = drm_request(0x39, sizeof(I915Query));
struct I915QueryItem {
  uint64_t query;
  int32_t length;  // 0: tell how much it needs; negative: an errno
  uint32_t flags;
  uint64_t data;
};
static_assert(sizeof(I915QueryItem) == 24);
inline constexpr uint64_t kI915QueryMemoryRegions = 4;

struct I915MemoryRegion {
  uint16_t kind;  // 0: the host's memory, 1: its own
  uint16_t instance;
  uint32_t reserved;
  uint64_t probed, unallocated;
  uint64_t more[8];
};
static_assert(sizeof(I915MemoryRegion) == 88);
struct I915MemoryRegions {
  uint32_t count;
  uint32_t reserved[3];
  // I915MemoryRegion[count]
};
static_assert(sizeof(I915MemoryRegions) == 16);

inline constexpr uint16_t kOwnMemory = 1;

}  // namespace accelmon::intel_kernel
