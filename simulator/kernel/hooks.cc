// The system calls that the simulated kernel takes beside reads of files.
#include "simulator/kernel/kernel.h"

namespace accelmon::simulator {

const SyscallHook kSyscallHooks[] = {nullptr};

}  // namespace accelmon::simulator
