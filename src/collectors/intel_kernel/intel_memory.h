// How much of its memory a discrete GPU has and uses: the region query of xe and i915 on the render node.
//
// The sizes are told to everybody who may open the node (group render). What is used is told to holders of CAP_PERFMON
// alone, and the drivers do not refuse the others: they answer that nothing is used. A GPU whose driver runs always
// uses some, so that 0 is taken for the refusal that it is. Threads: one. Cost: one ioctl, about 5 us; nothing is
// allocated once it has been asked.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"

namespace accelmon::intel_kernel {

enum class Driver : uint8_t { xe, i915 };

struct MemoryRegion {
  unsigned tile = 0;
  uint64_t total = 0, used = 0;  // bytes
  bool used_known = false;
};

class MemoryQuery {
 public:
  int open(const std::string& node, Driver driver);  // 0, or the errno
  bool valid() const { return fd_.valid(); }
  // 0 and regions(), or the errno; EBADMSG: an answer that cannot be.
  int ask();
  std::span<const MemoryRegion> regions() const { return {regions_.data(), count_}; }

  static constexpr size_t kMostRegions = 16;

 private:
  int ask_xe();
  int ask_i915();
  int take(unsigned tile, uint64_t total, uint64_t used);

  UniqueFd fd_;
  Driver driver_ = Driver::xe;
  std::vector<uint64_t> room_;
  size_t size_ = 0;  // bytes of the answer; 0: not yet known
  std::array<MemoryRegion, kMostRegions> regions_{};
  size_t count_ = 0;
};

}  // namespace accelmon::intel_kernel
