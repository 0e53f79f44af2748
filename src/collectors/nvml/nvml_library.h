// NVML opened at run time: a table of its symbols, each call timed under the symbol's own name.
//
// Every symbol is optional but the few without which there is nothing to read. A symbol that the installed driver's
// library lacks answers kFunctionNotFound, like a function that the library has and cannot serve, so that callers have
// one way of falling back.
// Threads: use from one thread (the CallMeter's). function() hands out bare pointers for a thread of its own.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/dynamic_library.h"
#include "base/status.h"
#include "collectors/call_meter.h"
#include "collectors/nvml/nvml_abi.h"
#include "model/frame.h"

namespace accelmon::nvml {

// One enumerator for each function of the list in nvml_abi.h.
enum class Symbol : uint16_t {
#define ACCELMON_NVML_ENUMERATOR(symbol, arguments) symbol,
  ACCELMON_NVML_FUNCTIONS(ACCELMON_NVML_ENUMERATOR)
#undef ACCELMON_NVML_ENUMERATOR
      count_
};
inline constexpr size_t kSymbols = static_cast<size_t>(Symbol::count_);

std::string_view symbol_name(Symbol symbol);

template <Symbol>
struct FunctionOf;
#define ACCELMON_NVML_FUNCTION_OF(symbol, arguments) \
  template <>                                        \
  struct FunctionOf<Symbol::symbol> {                \
    using type = fn::symbol;                         \
  };
ACCELMON_NVML_FUNCTIONS(ACCELMON_NVML_FUNCTION_OF)
#undef ACCELMON_NVML_FUNCTION_OF

// "NVML_ERROR_GPU_IS_LOST"; "NVML_ERROR_77" for a number that we do not know. The text lives for ever for known ones.
std::string error_name(int code);

// What a failed call means for the series that it should have filled.
State state_of(int code);
// The device, or this version of the driver, cannot answer: there is no point in asking again.
inline bool is_unsupported(int code) {
  return state_of(code) == State::unsupported;
}
// The whole library is dead: the driver was unloaded or replaced under it.
inline bool is_library_lost(int code) {
  return code == kUninitialized || code == kDriverNotLoaded || code == kLibRmVersionMismatch;
}
// The device is dead: it fell off the bus, or cannot be used before a reset.
inline bool is_device_lost(int code) {
  return code == kGpuIsLost || code == kGpuNotFound || code == kResetRequired;
}

class Library {
 public:
  // Loads the library, from `library` alone if that is not empty, else from where drivers, containers and WSL put it.
  // Errors: absent (it is in none of these places), invalid (it does not load, or is not NVML).
  static Result<std::unique_ptr<Library>> open(const std::string& library, CallMeter& calls);

  template <Symbol S, class... Arguments>
  int call(Arguments... arguments) {
    const Entry& entry = entries_[static_cast<size_t>(S)];
    if (entry.address == nullptr) return kFunctionNotFound;
    auto* function = reinterpret_cast<typename FunctionOf<S>::type*>(entry.address);
    const int code = calls_.measure(entry.call, [&] { return function(arguments...); });
    count(code);
    return code;
  }

  template <Symbol S>
  auto* function() const {
    return reinterpret_cast<typename FunctionOf<S>::type*>(entries_[static_cast<size_t>(S)].address);
  }
  bool has(Symbol symbol) const { return entries_[static_cast<size_t>(symbol)].address != nullptr; }

  // Counts an error that came inside an answer (of one field, of one metric) as if a call had failed with it.
  void count(int code);

  // The library's own words for an error and its name: "GPU is lost (NVML_ERROR_GPU_IS_LOST)".
  std::string error_text(int code);

  std::string path() const { return library_.path().empty() ? library_.name() : library_.path(); }
  const std::string& name() const { return library_.name(); }
  std::vector<std::string_view> missing_symbols() const;
  CallMeter& calls() { return calls_; }

  // After this the destructor leaves the library in memory: a thread still sits in one of its functions.
  static void abandon(std::unique_ptr<Library> library) { static_cast<void>(library.release()); }

 private:
  struct Entry {
    void* address = nullptr;
    CallId call = 0;
  };
  Library(DynamicLibrary library, CallMeter& calls) : library_(std::move(library)), calls_(calls) {}

  DynamicLibrary library_;
  CallMeter& calls_;
  std::array<Entry, kSymbols> entries_{};
  fn::nvmlErrorString* error_string_ = nullptr;
  CallId error_string_call_ = 0;
};

}  // namespace accelmon::nvml
