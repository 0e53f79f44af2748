// The Level Zero loader opened at run time: a table of its symbols, each call timed under the symbol's own name.
//
// Every symbol is optional but those without which there is nothing to read; one that the installed loader lacks
// answers kNoSymbol. Sysman is started once for the life of the process: the loader knows no way back. Threads: use
// from one thread (the CallMeter's). Cost: of starting, what the driver takes (0.1 s and more).
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/dynamic_library.h"
#include "base/status.h"
#include "collectors/call_meter.h"
#include "collectors/level_zero/ze_abi.h"
#include "model/frame.h"

namespace accelmon::level_zero {

enum class Symbol : uint16_t {
#define ACCELMON_ZE_ENUMERATOR(name, arguments) name,
  ACCELMON_ZE_FUNCTIONS(ACCELMON_ZE_ENUMERATOR)
#undef ACCELMON_ZE_ENUMERATOR
      count_
};
inline constexpr size_t kSymbols = static_cast<size_t>(Symbol::count_);

template <Symbol>
struct FunctionOf;
#define ACCELMON_ZE_FUNCTION_OF(name, arguments) \
  template <>                                    \
  struct FunctionOf<Symbol::name> {              \
    using type = fn::name;                       \
  };
ACCELMON_ZE_FUNCTIONS(ACCELMON_ZE_FUNCTION_OF)
#undef ACCELMON_ZE_FUNCTION_OF

// "ZE_RESULT_ERROR_DEVICE_LOST"; "ZE_RESULT_0x78000099" for a number that we do not know.
std::string error_name(ZeResult code);

// What a failed call means for the series that it should have filled.
State state_of(ZeResult code);
// The device is dead: it fell off the bus, or cannot be used before a reset.
inline bool is_device_lost(ZeResult code) {
  return code == kDeviceLost || code == kDeviceRequiresReset || code == kSurvivabilityMode;
}

class Library {
 public:
  // Errors: absent (it is nowhere), invalid (it does not load, or is no such loader).
  static Result<std::unique_ptr<Library>> open(const std::string& library, CallMeter& calls);

  // Starts Sysman: by zesInit where there is one; else, or where that finds no driver that has it, the old way, which
  // takes ZES_ENABLE_SYSMAN in the environment and is only tried then, since the two do not go together. The code is
  // the last one's.
  ZeResult start();
  bool by_zes_init() const { return by_zes_init_; }

  template <Symbol S, class... Arguments>
  ZeResult call(Arguments... arguments) {
    const Entry& entry = entries_[static_cast<size_t>(S)];
    if (entry.address == nullptr) return kNoSymbol;
    auto* function = reinterpret_cast<typename FunctionOf<S>::type*>(entry.address);
    const ZeResult code = calls_.measure(entry.call, [&] { return function(arguments...); });
    count(code);
    return code;
  }

  // Handles by "count, then fill", at most `most`. What the second call does not fill is left out.
  template <Symbol S, class... Before>
  ZeResult list(std::vector<Handle>& out, Before... before) {
    constexpr uint32_t kMost = 1024;
    out.clear();
    uint32_t count = 0;
    ZeResult code = call<S>(before..., &count, nullptr_handles());
    if (code != kSuccess || count == 0) return code;
    count = count < kMost ? count : kMost;
    out.assign(count, nullptr);
    uint32_t filled = count;
    code = call<S>(before..., &filled, out.data());
    out.resize(code == kSuccess ? std::min(filled, count) : 0);
    return code;
  }

  std::string path() const { return library_.path().empty() ? library_.name() : library_.path(); }
  const std::string& name() const { return library_.name(); }
  std::vector<std::string_view> missing_symbols() const;
  CallMeter& calls() { return calls_; }
  bool has(Symbol symbol) const { return entries_[static_cast<size_t>(symbol)].address != nullptr; }

 private:
  struct Entry {
    void* address = nullptr;
    CallId call = 0;
  };
  Library(DynamicLibrary library, CallMeter& calls) : library_(std::move(library)), calls_(calls) {}
  static Handle* nullptr_handles() { return nullptr; }
  void count(ZeResult code);

  DynamicLibrary library_;
  CallMeter& calls_;
  std::array<Entry, kSymbols> entries_{};
  bool by_zes_init_ = false;
};

}  // namespace accelmon::level_zero
