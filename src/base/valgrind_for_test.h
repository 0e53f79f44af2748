// Whether a test runs under valgrind, which has an operator new of its own (nothing else counts), takes twenty times as
// long, and does not tell of a program that cannot be started.
#pragma once

#include <cstdlib>
#include <cstring>

namespace accelmon {

inline bool under_valgrind() {
  const char* const preloaded = std::getenv("LD_PRELOAD");
  return preloaded != nullptr && std::strstr(preloaded, "vgpreload") != nullptr;
}

}  // namespace accelmon
