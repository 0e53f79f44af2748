// Memory that a start has left behind.
#pragma once

namespace accelmon {

// Gives back what nobody needs any more once things have settled: free heap, and the pages of the program that were
// mapped for code that ran once. Pages that are needed again are mapped again from the page cache, some microseconds
// each. Any thread; cost: some 100 us.
void release_unused_memory();

}  // namespace accelmon
