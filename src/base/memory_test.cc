#include "base/memory.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "base/fd.h"

namespace accelmon {
namespace {

constexpr size_t kPage = 4096;

// Whether the page is in the process's tables.
bool is_mapped(const volatile void* address) {
  const UniqueFd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  uint64_t entry = 0;
  const auto page = reinterpret_cast<uintptr_t>(address) / kPage;
  EXPECT_EQ(::pread(pagemap.get(), &entry, sizeof entry, static_cast<off_t>(page * sizeof entry)), 8);
  return (entry >> 63) != 0;
}

// Of the program's read-only segment; read as the compiler cannot foresee.
alignas(kPage) const char read_only[4 * kPage] = {'a'};
char at(size_t i) {
  return static_cast<const volatile char*>(read_only)[i];
}

TEST(ReleaseUnusedMemory, UnmapsWhatALibraryNeededOnce) {
  // Nobody else calls it.
  void* const function = ::dlsym(RTLD_DEFAULT, "lgamma_r");
  if (function == nullptr) GTEST_SKIP() << "no mathematical library is loaded";
  const auto* const code = static_cast<const volatile char*>(function);
  const char before = *code;
  ASSERT_TRUE(is_mapped(code));
  release_unused_memory();
  EXPECT_FALSE(is_mapped(code));
  EXPECT_EQ(*code, before) << "it comes back when it is used";
  EXPECT_TRUE(is_mapped(code));
}

TEST(ReleaseUnusedMemory, WhatWasChangedInMemoryStays) {
  auto* const changed = const_cast<char*>(&read_only[kPage]);
  ASSERT_EQ(at(0), 'a');
  ASSERT_EQ(::mprotect(changed, kPage, PROT_READ | PROT_WRITE), 0);
  *static_cast<volatile char*>(changed) = 'b';
  ASSERT_EQ(::mprotect(changed, kPage, PROT_READ), 0);
  release_unused_memory();
  EXPECT_EQ(at(kPage), 'b') << "as a library does that patches its own code, or a debugger";
  EXPECT_EQ(at(0), 'a');
  EXPECT_EQ(at(3 * kPage), 0);
}

}  // namespace
}  // namespace accelmon
