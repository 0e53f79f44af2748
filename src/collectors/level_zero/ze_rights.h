// What this process may see of the kernel's, as the driver will judge it.
#pragma once

#include <string>
#include <string_view>

#include "collectors/level_zero/ze_sources.h"

namespace accelmon::level_zero {

// `status` is /proc/self/status, `uid_map` /proc/self/uid_map. Capabilities count only in the host's user namespace:
// in another one a process may hold all of them, and the driver refuses it all the same. What cannot be read is denied.
Rights rights_of(std::string_view status, std::string_view uid_map);
Rights own_rights(const std::string& procfs);

}  // namespace accelmon::level_zero
