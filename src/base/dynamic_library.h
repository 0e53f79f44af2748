// A shared library opened at run time, every symbol optional.
//
// Only collector processes open vendor libraries; the agent never does. Unloading happens in the destructor.
// Threads: use from one thread at a time.
#pragma once

#include <string>
#include <utility>

#include "base/status.h"

namespace accelmon {

class DynamicLibrary {
 public:
  DynamicLibrary() = default;
  // RTLD_LAZY | RTLD_LOCAL. A library that is not there is `absent`; one that is there and does not load is `invalid`
  // (wrong architecture, missing dependency) with the loader's own sentence.
  static Result<DynamicLibrary> open(const std::string& name);

  DynamicLibrary(DynamicLibrary&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), name_(std::move(other.name_)) {}
  DynamicLibrary& operator=(DynamicLibrary&& other) noexcept;
  DynamicLibrary(const DynamicLibrary&) = delete;
  DynamicLibrary& operator=(const DynamicLibrary&) = delete;
  ~DynamicLibrary() { close(); }

  bool valid() const { return handle_ != nullptr; }
  const std::string& name() const { return name_; }
  void close();

  // The function of that name, or nullptr. F is a function type: lib.symbol<int(unsigned*)>("nvmlDeviceGetCount_v2").
  template <class F>
  F* symbol(const char* symbol_name) const {
    return reinterpret_cast<F*>(address(symbol_name));
  }

  // The file that the library was loaded from, as the loader resolved it; empty when unknown.
  std::string path() const;

 private:
  DynamicLibrary(void* handle, std::string name) : handle_(handle), name_(std::move(name)) {}
  void* address(const char* symbol_name) const;
  void* handle_ = nullptr;
  std::string name_;
};

}  // namespace accelmon
