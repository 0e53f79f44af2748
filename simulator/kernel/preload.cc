// libaccelmon-kernel.so: preloaded into a simulated collector, it stands between it and the C library's calls on files.
//
// Everything outside the simulated root goes through untouched; what it costs there is one comparison of the path at
// open, and one load at each read. The FORTIFY and 64-bit forms are the same calls under other names.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "simulator/kernel/kernel.h"

// The C library declares some of these inline or with attributes of its own; under our own names they get theirs.
#define EXPORTED(name) __asm__(name) __attribute__((visibility("default"), used))

namespace {

using accelmon::simulator::Kernel;
using accelmon::simulator::kSyscallHooks;
using accelmon::simulator::OpenFile;

template <class F>
F* next(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

// Inside the kernel the files that it reads itself are real.
thread_local bool inside = false;
struct Inside {
  Inside() { inside = true; }
  ~Inside() { inside = false; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
};

int real_close(int fd) {
  static auto* const real = next<int(int)>("close");
  return real(fd);
}

bool within(int folder, const char* path) {
  Kernel& kernel = Kernel::get();
  if (!kernel.active()) return false;
  if (path[0] == '/') return kernel.below_root(path);
  // Relative to a folder, which may itself lie below the root.
  char link[40], name[PATH_MAX];
  snprintf(link, sizeof(link), folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
  const ssize_t length = readlink(link, name, sizeof(name) - 1);
  if (length <= 0) return false;
  name[length] = '/';
  if (length + 1 < static_cast<ssize_t>(sizeof(name))) name[length + 1] = '\0';
  return kernel.below_root(name);
}

// After a real open: whether it may stand.
int settle(int fd, bool ours) {
  if (fd < 0) return fd;
  Kernel& kernel = Kernel::get();
  kernel.forget(fd);  // whatever had this number is closed
  if (!ours) return fd;
  if (const int error = kernel.opened(fd); error != 0) {
    real_close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

int open_at(int folder, const char* path, int flags, mode_t mode) {
  static auto* const real = next<int(int, const char*, int, ...)>("openat");
  if (inside || !path) return real(folder, path, flags, mode);
  const Inside guard;
  const bool ours = within(folder, path);
  return settle(real(folder, path, flags, mode), ours);
}

mode_t mode_of(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

ssize_t answer(ssize_t result) {
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
}

ssize_t read_from(int fd, void* buffer, size_t size) {
  static auto* const real = next<ssize_t(int, void*, size_t)>("read");
  if (inside || !Kernel::get().owns(fd)) return real(fd, buffer, size);
  const Inside guard;
  const std::shared_ptr<OpenFile> file = Kernel::get().find(fd);
  if (!file) return real(fd, buffer, size);
  if (!file->seekable()) return answer(file->read(buffer, size, 0));
  // The descriptor's own offset is the position, so that lseek() and a shared descriptor keep their meaning.
  const off_t at = lseek(fd, 0, SEEK_CUR);
  if (at < 0) return -1;
  const ssize_t got = file->read(buffer, size, at);
  if (got > 0 && lseek(fd, at + got, SEEK_SET) < 0) return -1;
  return answer(got);
}

ssize_t read_at(int fd, void* buffer, size_t size, off_t offset) {
  static auto* const real = next<ssize_t(int, void*, size_t, off_t)>("pread64");
  if (inside || !Kernel::get().owns(fd)) return real(fd, buffer, size, offset);
  const Inside guard;
  const std::shared_ptr<OpenFile> file = Kernel::get().find(fd);
  return file ? answer(file->read(buffer, size, offset)) : real(fd, buffer, size, offset);
}

}  // namespace

extern "C" {

int accelmon_open(const char* path, int flags, ...) EXPORTED("open");
int accelmon_open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(AT_FDCWD, path, flags, mode);
}

int accelmon_open64(const char* path, int flags, ...) EXPORTED("open64");
int accelmon_open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(AT_FDCWD, path, flags, mode);
}

int accelmon_openat(int folder, const char* path, int flags, ...) EXPORTED("openat");
int accelmon_openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(folder, path, flags, mode);
}

int accelmon_openat64(int folder, const char* path, int flags, ...) EXPORTED("openat64");
int accelmon_openat64(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_at(folder, path, flags, mode);
}

int accelmon_open_2(const char* path, int flags) EXPORTED("__open_2");
int accelmon_open_2(const char* path, int flags) {
  return open_at(AT_FDCWD, path, flags, 0);
}

int accelmon_open64_2(const char* path, int flags) EXPORTED("__open64_2");
int accelmon_open64_2(const char* path, int flags) {
  return open_at(AT_FDCWD, path, flags, 0);
}

int accelmon_openat_2(int folder, const char* path, int flags) EXPORTED("__openat_2");
int accelmon_openat_2(int folder, const char* path, int flags) {
  return open_at(folder, path, flags, 0);
}

int accelmon_openat64_2(int folder, const char* path, int flags) EXPORTED("__openat64_2");
int accelmon_openat64_2(int folder, const char* path, int flags) {
  return open_at(folder, path, flags, 0);
}

ssize_t accelmon_read(int fd, void* buffer, size_t size) EXPORTED("read");
ssize_t accelmon_read(int fd, void* buffer, size_t size) {
  return read_from(fd, buffer, size);
}

ssize_t accelmon_read_chk(int fd, void* buffer, size_t size, size_t room) EXPORTED("__read_chk");
ssize_t accelmon_read_chk(int fd, void* buffer, size_t size, size_t room) {
  if (size > room) __builtin_trap();
  return read_from(fd, buffer, size);
}

ssize_t accelmon_pread(int fd, void* buffer, size_t size, off_t offset) EXPORTED("pread");
ssize_t accelmon_pread(int fd, void* buffer, size_t size, off_t offset) {
  return read_at(fd, buffer, size, offset);
}

ssize_t accelmon_pread64(int fd, void* buffer, size_t size, off_t offset) EXPORTED("pread64");
ssize_t accelmon_pread64(int fd, void* buffer, size_t size, off_t offset) {
  return read_at(fd, buffer, size, offset);
}

ssize_t accelmon_pread_chk(int fd, void* buffer, size_t size, off_t offset, size_t room) EXPORTED("__pread_chk");
ssize_t accelmon_pread_chk(int fd, void* buffer, size_t size, off_t offset, size_t room) {
  if (size > room) __builtin_trap();
  return read_at(fd, buffer, size, offset);
}

ssize_t accelmon_pread64_chk(int fd, void* buffer, size_t size, off_t offset, size_t room) EXPORTED("__pread64_chk");
ssize_t accelmon_pread64_chk(int fd, void* buffer, size_t size, off_t offset, size_t room) {
  if (size > room) __builtin_trap();
  return read_at(fd, buffer, size, offset);
}

int accelmon_close(int fd) EXPORTED("close");
int accelmon_close(int fd) {
  if (!inside) {
    const Inside guard;
    Kernel::get().forget(fd);
  }
  return real_close(fd);
}

int accelmon_ioctl(int fd, unsigned long request, ...) EXPORTED("ioctl");
int accelmon_ioctl(int fd, unsigned long request, ...) {
  static auto* const real = next<int(int, unsigned long, ...)>("ioctl");
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (inside || !Kernel::get().owns(fd)) return real(fd, request, argument);
  const Inside guard;
  const std::shared_ptr<OpenFile> file = Kernel::get().find(fd);
  if (!file) return real(fd, request, argument);
  return static_cast<int>(answer(file->control(request, argument)));
}

// Takes six words however many were given, as the C library's does: the address sanitizer would call that a fault.
long accelmon_syscall(long number, ...) EXPORTED("syscall") __attribute__((no_sanitize("address")));
long accelmon_syscall(long number, ...) {
  static auto* const real = next<long(long, ...)>("syscall");
  long words[6];
  va_list arguments;
  va_start(arguments, number);
  for (long& word : words) word = va_arg(arguments, long);
  va_end(arguments);
  if (!inside && Kernel::get().active()) {
    const Inside guard;
    for (const auto* hook = kSyscallHooks; *hook; ++hook) {
      long result = 0;
      if ((*hook)(Kernel::get(), number, words, result)) return answer(result);
    }
  }
  return real(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

}  // extern "C"
