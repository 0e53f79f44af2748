// A poll of a machine that does not change allocates nothing. Counted is what is allocated outside of vendor calls: the
// simulated library allocates in them.
#include "base/counted_new_for_test.h"
#include "base/valgrind_for_test.h"
#include "collectors/nvml/nvml_simulated.h"

namespace accelmon {
namespace {

std::atomic<const Heartbeat*> g_heartbeat{nullptr};  // set: count
thread_local bool t_counts = false;                  // the thread that listens for events has its own life

bool polling_outside_of_calls() {
  const Heartbeat* heartbeat = g_heartbeat.load();
  return t_counts && heartbeat != nullptr && heartbeat->call_began.load() == 0;
}

TEST_F(Simulated, SteadyStateAllocatesNothing) {
  if (under_valgrind()) GTEST_SKIP() << "it counts no allocations";
  Heartbeat heartbeat;
  make_collector(&heartbeat);
  counted_new::counts = polling_outside_of_calls;
  for (const char* name : {"h100x8", "h100-mig"}) {
    SCOPED_TRACE(name);
    collector->release();
    ASSERT_TRUE(start(name));
    poll_twice();
    pause();
    counted_new::allocations = 0;
    t_counts = true;
    g_heartbeat = &heartbeat;
    const PollResult first = poll();
    const PollResult second = poll();
    g_heartbeat = nullptr;
    t_counts = false;
    EXPECT_EQ(first, PollResult::ok);
    EXPECT_EQ(second, PollResult::ok);
    EXPECT_EQ(counted_new::allocations.load(), 0u);
  }
  // The count counts.
  t_counts = true;
  g_heartbeat = &heartbeat;
  delete new std::string(100, 'x');
  g_heartbeat = nullptr;
  t_counts = false;
  EXPECT_GT(counted_new::allocations.load(), 0u);
  collector.reset();
}

}  // namespace
}  // namespace accelmon
