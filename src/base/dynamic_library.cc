#include "base/dynamic_library.h"

#include <dlfcn.h>
#include <link.h>

namespace accelmon {

Result<DynamicLibrary> DynamicLibrary::open(const std::string& name) {
  void* handle = ::dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (handle != nullptr) return DynamicLibrary(handle, name);
  const char* error = ::dlerror();
  const std::string text = error != nullptr ? error : "unknown loader error";
  // The loader gives no code: "cannot open shared object file: No such file" about the library itself means absence.
  const bool missing =
      text.rfind(name, 0) == 0 && text.find("cannot open shared object file: No such file") != std::string::npos;
  if (missing) return fail(Code::absent, name + " is not installed");
  return fail(Code::invalid, "cannot load " + name + ": " + text);
}

DynamicLibrary& DynamicLibrary::operator=(DynamicLibrary&& other) noexcept {
  if (this != &other) {
    close();
    handle_ = std::exchange(other.handle_, nullptr);
    name_ = std::move(other.name_);
  }
  return *this;
}

void DynamicLibrary::close() {
  if (handle_ != nullptr) ::dlclose(handle_);
  handle_ = nullptr;
}

void* DynamicLibrary::address(const char* symbol_name) const {
  return handle_ != nullptr ? ::dlsym(handle_, symbol_name) : nullptr;
}

std::string DynamicLibrary::path() const {
  link_map* map = nullptr;
  if (handle_ == nullptr || ::dlinfo(handle_, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr) return {};
  return map->l_name != nullptr ? map->l_name : "";
}

}  // namespace accelmon
