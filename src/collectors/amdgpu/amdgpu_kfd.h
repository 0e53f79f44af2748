// KFD, the kernel's side of ROCm: its nodes (GPUs, or the compute partitions of GPUs) and the processes that compute on
// them, with their memory and the compute units that they occupy.
//
// Threads: one. Cost of scan(): three opens and reads a process and node, about 20 us; slow tier.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "collectors/call_meter.h"

namespace accelmon::amdgpu {

inline constexpr size_t kNodesMost = 512;
inline constexpr size_t kKfdProcessesMost = 4096;

struct KfdNode {
  uint32_t gpu_id = 0;
  std::string address;           // of the PCI function, function 0: "0000:c1:00.0"
  unsigned location = 0;         // KFD's own: the partitions of a GPU differ in it
  unsigned compute_units = 0;    // 0: unknown
  unsigned gfx_version = 0;      // 90402 is gfx942
  std::optional<double> memory;  // bytes of the device's own that it may allocate: a partition's share of the board's
};

// The file that counts KFD's changes of its nodes: a board that is partitioned anew gets others.
std::string kfd_generation_file(const std::string& sysfs);

// In the order of KFD's numbers. Empty where there is no KFD.
std::vector<KfdNode> read_kfd_nodes(const std::string& sysfs);

struct KfdProcess {
  uint32_t pid = 0;
  uint32_t gpu_id = 0;
  std::optional<double> memory;         // bytes
  std::optional<double> compute_units;  // occupied
};

class Kfd {
 public:
  Kfd(CallMeter& calls, const std::string& sysfs)
      : calls_(calls), call_(calls.add("kfd/proc")), folder_(sysfs + "/class/kfd/kfd/proc") {}

  // The processes on the nodes `gpu_ids`. 0, or the errno for which the list could not be read.
  int scan(const std::vector<uint32_t>& gpu_ids, std::vector<KfdProcess>& out);

 private:
  CallMeter& calls_;
  const CallId call_;
  const std::string folder_;
};

}  // namespace accelmon::amdgpu
