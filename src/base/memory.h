// Memory that a start has left behind.
#pragma once

#include "base/clock.h"

namespace accelmon {

// How often a process that runs for long does this: what it does once in a while maps pages as well.
inline constexpr Nanos kReleaseMemoryEvery = 600 * kSecond;

// Gives back what nobody needs any more once things have settled: free heap, and the pages of the program and of its
// libraries (a vendor's among them) that were mapped for code that ran once. Pages that are needed again are mapped
// again from the page cache, some microseconds each. What of a library was changed in memory stays. Any thread; cost:
// some 300 us, and the faults of what is used afterwards.
void release_unused_memory();

}  // namespace accelmon
