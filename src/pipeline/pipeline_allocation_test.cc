// The steady state allocates nothing: counted by replacing operator new for this whole test program.
#include <gtest/gtest.h>

#include "base/counted_new_for_test.h"
#include "base/valgrind_for_test.h"
#include "pipeline/pipeline_test_support.h"

using accelmon::counted_new::allocations;

namespace accelmon::pipeline_test {
namespace {

TEST(Allocation, TheCounterCounts) {
  if (under_valgrind()) GTEST_SKIP() << "it counts no allocations";
  const uint64_t before = allocations.load();
  auto* memory = new std::vector<int>(100);
  const uint64_t after = allocations.load();
  delete memory;
  EXPECT_EQ(after - before, 2u);
}

TEST(Allocation, AThousandFramesAllocateNothing) {
  Rig rig(PipelineOptions{.interval = 200 * kMillisecond});
  rig.add(MetricId::gpu_utilization, general());
  rig.add(MetricId::power, board("instant"));
  rig.add(MetricId::temperature, {}, Tier::slow);
  rig.add(MetricId::gpu_io, {{AttributeId::io_direction, "receive"}});
  rig.add(MetricId::energy, {{AttributeId::which, "other"}});
  for (const char* why : {"power_cap", "thermal_hardware", "idle"}) rig.add(MetricId::throttle_active, reason(why));
  rig.start();
  rig.poll(0.2);  // the frame that goes out grows its buffers once

  const uint64_t before = allocations.load();
  for (int i = 0; i < 1000; ++i) {
    // Everything that can happen: good values, garbage, absences, resets, jumps, gaps, a clock that stands or goes
    // back.
    for (size_t k = 0; k < rig.raw.series.size(); ++k) rig.in.set(k, (i * 7 + static_cast<int>(k)) % 2);
    rig.in.set(1, i % 11 == 0 ? 1e9 : 300 + i % 50);
    rig.in.set(3, i % 100 * 1e6);
    if (i % 13 == 0) rig.in.absent(0, State::error);
    rig.poll_after(i % 97 == 0    ? 10 * kSecond
                   : i % 89 == 0  ? 0
                   : i % 211 == 0 ? -kSecond
                                  : 200 * kMillisecond,
                   i % 50 == 0 ? kAll : kFast);
  }
  EXPECT_EQ(allocations.load() - before, 0u);
  EXPECT_GT(rig.implausible(MetricId::power), 0u);
}

}  // namespace
}  // namespace accelmon::pipeline_test
