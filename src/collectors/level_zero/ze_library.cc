#include "collectors/level_zero/ze_library.h"

#include <cstdio>
#include <cstdlib>

namespace accelmon::level_zero {
namespace {

constexpr std::array<const char*, kSymbols> kNames{
#define ACCELMON_ZE_NAME(name, arguments) #name,
    ACCELMON_ZE_FUNCTIONS(ACCELMON_ZE_NAME)
#undef ACCELMON_ZE_NAME
};

constexpr Symbol kRequired[] = {Symbol::zesDeviceGetProperties, Symbol::zesDevicePciGetProperties};

constexpr const char* kDefaultName = "libze_loader.so.1";

struct Named {
  ZeResult code;
  const char* name;
};
constexpr Named kErrors[] = {
    {kSuccess, "ZE_RESULT_SUCCESS"},
    {kNotReady, "ZE_RESULT_NOT_READY"},
    {kDeviceLost, "ZE_RESULT_ERROR_DEVICE_LOST"},
    {kDeviceRequiresReset, "ZE_RESULT_ERROR_DEVICE_REQUIRES_RESET"},
    {kDeviceInLowPowerState, "ZE_RESULT_ERROR_DEVICE_IN_LOW_POWER_STATE"},
    {kInsufficientPermissions, "ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS"},
    {kNotAvailable, "ZE_RESULT_ERROR_NOT_AVAILABLE"},
    {kDependencyUnavailable, "ZE_RESULT_ERROR_DEPENDENCY_UNAVAILABLE"},
    {kUninitialized, "ZE_RESULT_ERROR_UNINITIALIZED"},
    {kUnsupportedVersion, "ZE_RESULT_ERROR_UNSUPPORTED_VERSION"},
    {kUnsupportedFeature, "ZE_RESULT_ERROR_UNSUPPORTED_FEATURE"},
    {kInvalidArgument, "ZE_RESULT_ERROR_INVALID_ARGUMENT"},
    {kInvalidNullHandle, "ZE_RESULT_ERROR_INVALID_NULL_HANDLE"},
    {kInvalidNullPointer, "ZE_RESULT_ERROR_INVALID_NULL_POINTER"},
    {kInvalidSize, "ZE_RESULT_ERROR_INVALID_SIZE"},
    {kSurvivabilityMode, "ZE_RESULT_ERROR_SURVIVABILITY_MODE_DETECTED"},
    {kUnknownError, "ZE_RESULT_ERROR_UNKNOWN"},
};

}  // namespace

std::string error_name(ZeResult code) {
  for (const Named& error : kErrors)
    if (error.code == code) return error.name;
  char text[32];
  snprintf(text, sizeof(text), "ZE_RESULT_0x%08x", code);
  return text;
}

State state_of(ZeResult code) {
  switch (code) {
    case kSuccess:
      return State::ok;
    case kUnsupportedFeature:
    case kUnsupportedVersion:
    case kDependencyUnavailable:
    case kNoSymbol:
      return State::unsupported;
    case kInsufficientPermissions:
      return State::no_permission;
    case kNotReady:
    case kNotAvailable:
    case kDeviceInLowPowerState:
      return State::not_ready;
    default:
      return State::error;
  }
}

Result<std::unique_ptr<Library>> Library::open(const std::string& library, CallMeter& calls) {
  const CallId loading = calls.add("dlopen");
  auto loaded = calls.measure(loading, [&] { return DynamicLibrary::open(library.empty() ? kDefaultName : library); });
  if (!loaded) return fail(loaded.error());
  std::unique_ptr<Library> self(new Library(std::move(*loaded), calls));
  for (size_t i = 0; i < kSymbols; ++i) {
    self->entries_[i].address = reinterpret_cast<void*>(self->library_.symbol<void()>(kNames[i]));
    self->entries_[i].call = calls.add(kNames[i]);
  }
  std::string lacks;
  for (const Symbol symbol : kRequired)
    if (!self->has(symbol)) lacks += (lacks.empty() ? "" : ", ") + std::string(kNames[static_cast<size_t>(symbol)]);
  const bool starts = self->has(Symbol::zeInit) || self->has(Symbol::zesInit);
  if (!starts) lacks += (lacks.empty() ? "" : ", ") + std::string("zeInit");
  if (!lacks.empty()) return fail(Code::invalid, self->path() + " is no Level Zero loader: it has no " + lacks);
  return self;
}

ZeResult Library::start() {
  ZeResult code = kNoSymbol;
  if (has(Symbol::zesInit) && has(Symbol::zesDriverGet) && has(Symbol::zesDeviceGet)) {
    code = call<Symbol::zesInit>(0u);
    by_zes_init_ = code == kSuccess;
    if (code != kUnsupportedFeature && code != kUninitialized) return code;
  }
  if (!has(Symbol::zeInit) || !has(Symbol::zeDriverGet) || !has(Symbol::zeDeviceGet)) return code;
  // Nobody else in this process reads the environment: it is the collector's own.
  ::setenv("ZES_ENABLE_SYSMAN", "1", 1);
  return call<Symbol::zeInit>(0u);
}

void Library::count(ZeResult code) {
  if (code == kSuccess || code == kInvalidSize) return;
  const State state = state_of(code);
  if (state == State::unsupported || state == State::not_ready) return;
  calls_.count_error(error_name(code));
}

std::vector<std::string_view> Library::missing_symbols() const {
  std::vector<std::string_view> names;
  for (size_t i = 0; i < kSymbols; ++i)
    if (entries_[i].address == nullptr) names.emplace_back(kNames[i]);
  return names;
}

}  // namespace accelmon::level_zero
