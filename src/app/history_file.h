// Which file of history a verb reads, where nobody names one.
//
// In this order: --path; what --config names; what a running agent says that it writes (it alone knows where systemd
// let it); what the default configuration names; where the packaged service keeps its own. An error says where was
// looked, and what to do. Threads: values. Cost: one request over the local socket.
#pragma once

#include "app/command.h"
#include "store/disk_store.h"

namespace accelmon {

// On an error `code` is the exit code to end with: wrong use for what the command line says, else failure.
Result<HistoryFile> open_history(const Arguments& arguments, int& code);

}  // namespace accelmon
