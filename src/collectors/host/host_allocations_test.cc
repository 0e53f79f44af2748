// Counts every allocation of this test program, so that a poll can be shown to make none. A file of its own: where the
// compiler sees both these operators and their use it inlines them and takes free() for a mistake.
#include <cstdlib>
#include <new>

#include "collectors/host/host_test_tree.h"

namespace accelmon::host {
std::atomic<uint64_t> allocations{0};
}  // namespace accelmon::host

void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++accelmon::host::allocations;
  return std::malloc(size > 0 ? size : 1);
}
void* operator new(size_t size) {
  if (void* memory = operator new(size, std::nothrow)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
