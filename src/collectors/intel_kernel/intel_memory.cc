#include "collectors/intel_kernel/intel_memory.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "collectors/intel_kernel/intel_memory_abi.h"

namespace accelmon::intel_kernel {
namespace {

constexpr size_t kMostAnswer = 65536;
constexpr uint64_t kMemoryMost = uint64_t{1} << 44;

int control(int fd, unsigned long request, void* argument) {
  int result = 0;
  do result = ::ioctl(fd, request, argument);
  while (result < 0 && errno == EINTR);
  return result < 0 ? errno : 0;
}

uint64_t address_of(const void* memory) {
  return static_cast<uint64_t>(reinterpret_cast<uintptr_t>(memory));
}

}  // namespace

int MemoryQuery::open(const std::string& node, Driver driver) {
  driver_ = driver;
  size_ = 0;
  fd_ = UniqueFd(::open(node.c_str(), O_RDWR | O_CLOEXEC));
  return fd_.valid() ? 0 : errno;
}

int MemoryQuery::ask() {
  count_ = 0;
  return driver_ == Driver::xe ? ask_xe() : ask_i915();
}

int MemoryQuery::take(unsigned tile, uint64_t total, uint64_t used) {
  if (total == 0 || total > kMemoryMost || used > total) return EBADMSG;
  if (count_ == kMostRegions) return EBADMSG;
  regions_[count_++] = MemoryRegion{tile, total, used, used != 0};
  return 0;
}

int MemoryQuery::ask_xe() {
  XeDeviceQuery query{};
  query.query = kXeQueryMemoryRegions;
  if (size_ == 0) {
    if (const int error = control(fd_.get(), kXeDeviceQuery, &query); error != 0) return error;
    if (query.size < sizeof(XeMemoryRegions) || query.size > kMostAnswer) return EBADMSG;
    size_ = query.size;
    room_.assign((size_ + 7) / 8, 0);
  }
  query.size = static_cast<uint32_t>(size_);
  query.data = address_of(room_.data());
  if (const int error = control(fd_.get(), kXeDeviceQuery, &query); error != 0) {
    size_ = 0;  // EINVAL: the answer has another size now
    return error;
  }
  XeMemoryRegions head;
  const char* const bytes = reinterpret_cast<const char*>(room_.data());
  std::memcpy(&head, bytes, sizeof head);
  if (head.count > (size_ - sizeof head) / sizeof(XeMemoryRegion)) return EBADMSG;
  for (uint32_t i = 0; i < head.count; ++i) {
    XeMemoryRegion region;
    std::memcpy(&region, bytes + sizeof head + i * sizeof region, sizeof region);
    if (region.kind != kOwnMemory) continue;
    if (const int error = take(region.instance, region.total, region.used); error != 0) return error;
  }
  return 0;
}

int MemoryQuery::ask_i915() {
  I915QueryItem item{};
  item.query = kI915QueryMemoryRegions;
  I915Query query{1, 0, address_of(&item)};
  if (size_ == 0) {
    if (const int error = control(fd_.get(), kI915Query, &query); error != 0) return error;
    if (item.length < 0) return -item.length;
    const auto length = static_cast<size_t>(item.length);
    if (length < sizeof(I915MemoryRegions) || length > kMostAnswer) return EBADMSG;
    size_ = length;
    room_.resize((size_ + 7) / 8);
  }
  // The driver wants the answer's room to be zero.
  std::fill(room_.begin(), room_.end(), 0);
  item.length = static_cast<int32_t>(size_);
  item.data = address_of(room_.data());
  if (const int error = control(fd_.get(), kI915Query, &query); error != 0) return error;
  if (item.length < 0) {
    size_ = 0;
    return -item.length;
  }
  I915MemoryRegions head;
  const char* const bytes = reinterpret_cast<const char*>(room_.data());
  std::memcpy(&head, bytes, sizeof head);
  if (head.count > (size_ - sizeof head) / sizeof(I915MemoryRegion)) return EBADMSG;
  for (uint32_t i = 0; i < head.count; ++i) {
    I915MemoryRegion region;
    std::memcpy(&region, bytes + sizeof head + i * sizeof region, sizeof region);
    if (region.kind != kOwnMemory) continue;
    if (region.unallocated > region.probed) return EBADMSG;
    if (const int error = take(region.instance, region.probed, region.probed - region.unallocated); error != 0)
      return error;
  }
  return 0;
}

}  // namespace accelmon::intel_kernel
