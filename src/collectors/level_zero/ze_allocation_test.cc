// A poll of a machine that does not change allocates nothing. Counted is what is allocated outside of vendor calls: the
// simulated driver allocates in them.
#include "base/counted_new_for_test.h"
#include "base/valgrind_for_test.h"
#include "collectors/level_zero/ze_simulated.h"

namespace accelmon {
namespace {

std::atomic<const Heartbeat*> g_heartbeat{nullptr};  // set: count

bool outside_of_calls() {
  const Heartbeat* heartbeat = g_heartbeat.load();
  return heartbeat != nullptr && heartbeat->call_began.load() == 0;
}

TEST_F(SimulatedLevelZero, SteadyStateAllocatesNothing) {
  if (under_valgrind()) GTEST_SKIP() << "it counts no allocations";
  write_scenario("pvc");
  in_child([&] {
    Heartbeat heartbeat;
    make_collector(&heartbeat);
    ASSERT_TRUE(discover()) << error.message();
    poll_twice();
    pause();
    counted_new::allocations = 0;
    counted_new::counts = outside_of_calls;
    g_heartbeat = &heartbeat;
    const PollResult first = poll();
    const PollResult second = poll();
    const uint64_t allocations = counted_new::allocations;
    delete new std::string(100, 'x');
    g_heartbeat = nullptr;
    EXPECT_EQ(first, PollResult::ok);
    EXPECT_EQ(second, PollResult::ok);
    EXPECT_EQ(allocations, 0u);
    EXPECT_GT(counted_new::allocations.load(), 0u);  // the count counts
  });
}

}  // namespace
}  // namespace accelmon
