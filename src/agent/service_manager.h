// Telling systemd (or whatever set NOTIFY_SOCKET) how the agent is.
//
// The datagram protocol of sd_notify(3), spoken directly: libsystemd would cost 2 MiB of resident memory for one send.
// Threads: one at a time. Never blocks and never fails the caller.
#pragma once

#include <string_view>

#include "base/clock.h"

namespace accelmon {

// "READY=1", "STOPPING=1", "RELOADING=1\nMONOTONIC_USEC=...", "WATCHDOG=1", "STATUS=...". Nothing without
// NOTIFY_SOCKET.
void notify_service_manager(std::string_view state);

// How often it wants WATCHDOG=1 (half of WATCHDOG_USEC when meant for this process); 0: not at all.
Nanos watchdog_period();

}  // namespace accelmon
