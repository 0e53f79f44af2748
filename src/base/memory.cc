#include "base/memory.h"

#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/fd.h"

namespace accelmon {
namespace {

using Address = ElfW(Addr);

// An entry of /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst of the kernel). What was written to is a
// page of the process's own, whatever it is mapped from: text that a debugger or a patching library has changed.
constexpr uint64_t kPresent = 1ull << 63;
constexpr uint64_t kSwapped = 1ull << 62;
constexpr uint64_t kOfAFile = 1ull << 61;

struct Unmapper {
  int pagemap;  // -1: not for us to read, as where the program's file has capabilities
  Address page;

  // The run of pages from `begin` on that are as they are in the file (or not there at all), at most as many as one
  // read tells of.
  Address clean_until(Address begin, Address end) const {
    if (pagemap < 0) return end;
    std::array<uint64_t, 512> entries;
    const size_t wanted = std::min<size_t>(entries.size(), (end - begin) / page);
    const ssize_t got = ::pread(pagemap, entries.data(), wanted * sizeof(uint64_t),
                                static_cast<off_t>(begin / page * sizeof(uint64_t)));
    if (got <= 0) return begin;
    const size_t count = static_cast<size_t>(got) / sizeof(uint64_t);
    size_t i = 0;
    while (i < count && (entries[i] & kSwapped) == 0 && ((entries[i] & kPresent) == 0 || (entries[i] & kOfAFile) != 0))
      ++i;
    return begin + i * page;
  }

  void unmap(Address begin, Address end) const {
    while (begin < end) {
      const Address until = clean_until(begin, end);
      if (until == begin) return;  // changed, or nothing can be learned: the rest of this segment stays
      // What is dropped here is read from the file again.
      ::madvise(reinterpret_cast<void*>(begin), until - begin, MADV_DONTNEED);  // NOLINT(performance-no-int-to-ptr)
      begin = until;
    }
  }
};

int unmap_object(dl_phdr_info* object, size_t, void* context) {
  const auto& unmapper = *static_cast<const Unmapper*>(context);
  const Address page = unmapper.page;
  for (ElfW(Half) i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    // Whole pages only: the one at an end may be a writable segment's as well.
    unmapper.unmap((object->dlpi_addr + segment.p_vaddr + page - 1) & ~(page - 1),
                   (object->dlpi_addr + segment.p_vaddr + segment.p_memsz) & ~(page - 1));
  }
  // What nothing can be learned about is left alone, but for the first object: that is the program itself, and it does
  // not change its own text.
  return unmapper.pagemap < 0 ? 1 : 0;
}

}  // namespace

void release_unused_memory() {
  ::malloc_trim(0);
  const UniqueFd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  Unmapper unmapper{pagemap.get(), static_cast<Address>(::sysconf(_SC_PAGESIZE))};
  ::dl_iterate_phdr(unmap_object, &unmapper);
}

}  // namespace accelmon
