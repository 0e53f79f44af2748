// A poll of a machine that does not change allocates nothing. Counted is what is allocated outside of vendor calls: the
// simulated library allocates in them.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "collectors/nvml/nvml_simulated.h"

namespace {

std::atomic<accelmon::Heartbeat*> g_heartbeat{nullptr};  // set: count
std::atomic<int> g_allocations{0};
thread_local bool t_counts = false;

void* allocate(std::size_t size) {
  accelmon::Heartbeat* const heartbeat = g_heartbeat.load();
  if (t_counts && heartbeat != nullptr && heartbeat->call_began.load() == 0) ++g_allocations;
  void* const memory = std::malloc(size != 0 ? size : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) {
  return allocate(size);
}
void* operator new[](std::size_t size) {
  return allocate(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace accelmon {
namespace {

TEST_F(Simulated, SteadyStateAllocatesNothing) {
  Heartbeat heartbeat;
  make_collector(&heartbeat);
  for (const char* name : {"h100x8", "h100-mig"}) {
    SCOPED_TRACE(name);
    collector->release();
    ASSERT_TRUE(start(name));
    poll_twice();
    pause();
    g_allocations = 0;
    t_counts = true;
    g_heartbeat = &heartbeat;
    const PollResult first = poll();
    const PollResult second = poll();
    g_heartbeat = nullptr;
    t_counts = false;
    EXPECT_EQ(first, PollResult::ok);
    EXPECT_EQ(second, PollResult::ok);
    EXPECT_EQ(g_allocations.load(), 0);
  }
  // The count counts.
  t_counts = true;
  g_heartbeat = &heartbeat;
  delete new std::string(100, 'x');
  g_heartbeat = nullptr;
  t_counts = false;
  EXPECT_GT(g_allocations.load(), 0);
  collector.reset();
}

}  // namespace
}  // namespace accelmon
