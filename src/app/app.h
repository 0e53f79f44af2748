// The command line.
#pragma once

namespace accelmon {

// Runs the verb that the arguments name. Returns the exit code: 0 fine, 1 a failure or finding, 2 wrong use.
int run_app(int argc, char** argv);

}  // namespace accelmon
