// Replaces operator new of a whole test program by one that counts. Include it in one .cc of a test program and nowhere
// else. `allocations` grows with every allocation for which `counts` (when set) says yes; the form without exceptions,
// which the standard library's temporary buffers use, is counted too. Clang's thread sanitizer brings an operator new
// that cannot be replaced: there its own hook counts, every malloc() too.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "base/instrumented.h"

namespace accelmon::counted_new {
inline std::atomic<uint64_t> allocations{0};
inline std::atomic<bool (*)()> counts{nullptr};

inline void count() noexcept {
  bool (*const asked)() = counts.load(std::memory_order_relaxed);
  if (asked == nullptr || asked()) allocations.fetch_add(1, std::memory_order_relaxed);
}
}  // namespace accelmon::counted_new

#if defined(__clang__) && defined(ACCELMON_THREAD_SANITIZER)
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, std::size_t),
                                                         void (*on_free)(const volatile void*));
namespace accelmon::counted_new {
inline const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { count(); }, [](const volatile void*) {});
}  // namespace accelmon::counted_new
#else
namespace accelmon::counted_new {
inline void* allocate(std::size_t size) noexcept {
  count();
  return std::malloc(size != 0 ? size : 1);
}
inline void* allocate_or_throw(std::size_t size) {
  if (void* memory = allocate(size)) return memory;
  throw std::bad_alloc();
}
}  // namespace accelmon::counted_new

void* operator new(std::size_t size) {
  return accelmon::counted_new::allocate_or_throw(size);
}
void* operator new[](std::size_t size) {
  return accelmon::counted_new::allocate_or_throw(size);
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return accelmon::counted_new::allocate(size);
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
#endif
