// Rendering and compressing allocate nothing once the buffers have grown. This file replaces the program's operator
// new.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "encode/exposition.h"
#include "encode/snapshot_for_test.h"

namespace {
std::atomic<uint64_t> allocations{0};

void* counted(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size != 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t size) {
  return counted(size);
}
void* operator new[](std::size_t size) {
  return counted(size);
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(size != 0 ? size : 1);
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

TEST(Allocation, NoneInSteadyState) {
  const Snapshot snapshot = for_test::whole_table();
  Exposition exposition;
  GzipEncoder gzip;
  std::string text, openmetrics, packed;
  const auto poll = [&](int i) {
    for (const SourceView& source : snapshot.sources)
      for (size_t k = 0; k < source.frame->values.size(); ++k)
        source.frame->values[k] = i * 0.37 + static_cast<double>(k);
    exposition.render(snapshot, ExpositionFormat::text_0_0_4, text);
    exposition.render(snapshot, ExpositionFormat::openmetrics_1_0, openmetrics);
    gzip.compress(text, packed);
  };
  const uint64_t at_start = allocations.load();
  for (int i = 0; i < 3; ++i) poll(i);
  EXPECT_GT(allocations.load(), at_start) << "the counter counts";
  const uint64_t before = allocations.load();
  for (int i = 0; i < 1000; ++i) poll(i);
  EXPECT_EQ(allocations.load() - before, 0u);
  EXPECT_FALSE(packed.empty());
}

}  // namespace
}  // namespace accelmon
