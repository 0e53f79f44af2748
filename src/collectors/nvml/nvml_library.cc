#include "collectors/nvml/nvml_library.h"

#include <span>

#include "base/text.h"

namespace accelmon::nvml {
namespace {

constexpr std::array<const char*, kSymbols> kNames{
#define ACCELMON_NVML_NAME(symbol, arguments) #symbol,
    ACCELMON_NVML_FUNCTIONS(ACCELMON_NVML_NAME)
#undef ACCELMON_NVML_NAME
};

// Without these there is no device to speak of; whatever lacks them is not NVML, or is a decade old.
constexpr Symbol kRequired[] = {Symbol::nvmlInit_v2, Symbol::nvmlShutdown, Symbol::nvmlDeviceGetCount_v2,
                                Symbol::nvmlDeviceGetHandleByIndex_v2};

constexpr const char* kDefaultName = "libnvidia-ml.so.1";
// Where the library lies when the loader does not know of it: containers with the driver mounted at a place of its own,
// the GPU operator's driver container, NixOS, WSL.
constexpr const char* kOtherPlaces[] = {
#if defined(__x86_64__)
    "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
    "/run/nvidia/driver/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
#elif defined(__aarch64__)
    "/usr/lib/aarch64-linux-gnu/libnvidia-ml.so.1",
    "/run/nvidia/driver/usr/lib/aarch64-linux-gnu/libnvidia-ml.so.1",
#endif
    "/usr/lib64/libnvidia-ml.so.1",
    "/run/nvidia/driver/usr/lib64/libnvidia-ml.so.1",
    "/usr/local/nvidia/lib64/libnvidia-ml.so.1",
    "/run/opengl-driver/lib/libnvidia-ml.so.1",
    "/usr/lib/wsl/lib/libnvidia-ml.so.1",
};

struct Named {
  int code;
  const char* name;
};
constexpr Named kErrors[] = {
    {kSuccess, "NVML_SUCCESS"},
    {kUninitialized, "NVML_ERROR_UNINITIALIZED"},
    {kInvalidArgument, "NVML_ERROR_INVALID_ARGUMENT"},
    {kNotSupported, "NVML_ERROR_NOT_SUPPORTED"},
    {kNoPermission, "NVML_ERROR_NO_PERMISSION"},
    {kAlreadyInitialized, "NVML_ERROR_ALREADY_INITIALIZED"},
    {kNotFound, "NVML_ERROR_NOT_FOUND"},
    {kInsufficientSize, "NVML_ERROR_INSUFFICIENT_SIZE"},
    {kInsufficientPower, "NVML_ERROR_INSUFFICIENT_POWER"},
    {kDriverNotLoaded, "NVML_ERROR_DRIVER_NOT_LOADED"},
    {kTimeout, "NVML_ERROR_TIMEOUT"},
    {kIrqIssue, "NVML_ERROR_IRQ_ISSUE"},
    {kLibraryNotFound, "NVML_ERROR_LIBRARY_NOT_FOUND"},
    {kFunctionNotFound, "NVML_ERROR_FUNCTION_NOT_FOUND"},
    {kCorruptedInforom, "NVML_ERROR_CORRUPTED_INFOROM"},
    {kGpuIsLost, "NVML_ERROR_GPU_IS_LOST"},
    {kResetRequired, "NVML_ERROR_RESET_REQUIRED"},
    {kOperatingSystem, "NVML_ERROR_OPERATING_SYSTEM"},
    {kLibRmVersionMismatch, "NVML_ERROR_LIB_RM_VERSION_MISMATCH"},
    {kInUse, "NVML_ERROR_IN_USE"},
    {kMemory, "NVML_ERROR_MEMORY"},
    {kNoData, "NVML_ERROR_NO_DATA"},
    {kArgumentVersionMismatch, "NVML_ERROR_ARGUMENT_VERSION_MISMATCH"},
    {kDeprecated, "NVML_ERROR_DEPRECATED"},
    {kNotReady, "NVML_ERROR_NOT_READY"},
    {kGpuNotFound, "NVML_ERROR_GPU_NOT_FOUND"},
    {kInvalidState, "NVML_ERROR_INVALID_STATE"},
    {kResetTypeNotSupported, "NVML_ERROR_RESET_TYPE_NOT_SUPPORTED"},
    {kUnknownError, "NVML_ERROR_UNKNOWN"},
};

Result<DynamicLibrary> load(const std::string& wanted) {
  auto library = DynamicLibrary::open(wanted.empty() ? kDefaultName : wanted);
  if (library || !wanted.empty()) return library;
  for (const char* place : kOtherPlaces) {
    auto other = DynamicLibrary::open(place);
    if (other) return other;
    // A library that is there and does not load says more than one that is nowhere.
    if (library.error().code() == Code::absent && other.error().code() != Code::absent) library = std::move(other);
  }
  return library;
}

}  // namespace

std::string_view symbol_name(Symbol symbol) {
  return kNames[static_cast<size_t>(symbol)];
}

std::string error_name(int code) {
  for (const Named& error : kErrors)
    if (error.code == code) return error.name;
  return "NVML_ERROR_" + std::to_string(code);
}

State state_of(int code) {
  switch (code) {
    case kSuccess:
      return State::ok;
    case kNotSupported:
    case kFunctionNotFound:
    case kArgumentVersionMismatch:
    case kDeprecated:
      return State::unsupported;
    case kNoPermission:
      return State::no_permission;
    case kNoData:
    case kNotReady:
      return State::not_ready;
    default:
      return State::error;
  }
}

Result<std::unique_ptr<Library>> Library::open(const std::string& library, CallMeter& calls) {
  const CallId loading = calls.add("dlopen");
  auto loaded = calls.measure(loading, [&] { return load(library); });
  if (!loaded) return fail(loaded.error());

  std::unique_ptr<Library> self(new Library(std::move(*loaded), calls));
  for (size_t i = 0; i < kSymbols; ++i) {
    self->entries_[i].address = reinterpret_cast<void*>(self->library_.symbol<void()>(kNames[i]));
    self->entries_[i].call = calls.add(kNames[i]);
  }
  self->error_string_ = self->library_.symbol<fn::nvmlErrorString>("nvmlErrorString");
  self->error_string_call_ = calls.add("nvmlErrorString");

  std::string lacks;
  for (Symbol symbol : kRequired) {
    if (self->has(symbol)) continue;
    if (!lacks.empty()) lacks += ", ";
    lacks += symbol_name(symbol);
  }
  if (!lacks.empty())
    return fail(Code::invalid, self->path() + " is not NVIDIA's management library: it has no " + lacks);
  return self;
}

void Library::count(int code) {
  switch (code) {
    case kSuccess:
    case kInsufficientSize:  // how NVML tells the size of a list
    case kNotFound:          // an empty slot of a MIG device, a process that has ended
    case kNoData:
      return;
    default:
      if (is_unsupported(code) || code == kNotReady) return;
      calls_.count_error(error_name(code));
  }
}

std::string Library::error_text(int code) {
  const std::string name = error_name(code);
  if (error_string_ == nullptr) return name;
  const char* text = calls_.measure(error_string_call_, [&] { return error_string_(code); });
  if (text == nullptr || *text == '\0') return name;
  return printable(text, 100) + " (" + name + ")";
}

std::vector<std::string_view> Library::missing_symbols() const {
  std::vector<std::string_view> names;
  for (size_t i = 0; i < kSymbols; ++i)
    if (entries_[i].address == nullptr) names.emplace_back(kNames[i]);
  if (error_string_ == nullptr) names.emplace_back("nvmlErrorString");
  return names;
}

}  // namespace accelmon::nvml
