// The system calls that the simulated kernel takes beside reads of files.
#include "simulator/kernel/intel_tree.h"

namespace accelmon::simulator {

const SyscallHook kSyscallHooks[] = {intel_counter, nullptr};

}  // namespace accelmon::simulator
