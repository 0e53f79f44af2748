#include "collectors/kernel_log/kernel_message.h"

#include <algorithm>

#include "base/text.h"
#include "model/event_catalogue.h"

namespace accelmon::kernel_log {
namespace {

constexpr size_t kLongestDetail = 200;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Takes `prefix` away; whether it was there.
bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::string_view take_while(std::string_view& text, bool (*accept)(char)) {
  size_t n = 0;
  while (n < text.size() && accept(text[n])) ++n;
  const std::string_view taken = text.substr(0, n);
  text.remove_prefix(n);
  return taken;
}

std::string with_detail(std::string message, std::string_view detail) {
  while (!detail.empty() && (detail.front() == ',' || detail.front() == ' ' || detail.front() == ':'))
    detail.remove_prefix(1);
  if (!detail.empty()) message += " (" + printable(trim(detail), kLongestDetail) + ")";
  return message;
}

Finding known(Source source, const char* code, std::string address, std::string_view detail) {
  Finding out{source, code, Severity::warning, std::move(address), code};
  if (const EventEntry* entry = find_event(code); entry != nullptr) {
    out.severity = entry->severity;
    out.message = std::string(entry->meaning);
    if (entry->action != "none") out.message += "; " + std::string(entry->action);
  }
  out.message = with_detail(std::move(out.message), detail);
  return out;
}

// "NVRM: Xid (PCI:0000:18:00): 79, pid=1234, GPU has fallen off the bus."; before 2014 without "PCI:".
std::optional<Finding> nvidia(std::string_view text) {
  if (!take(text, "Xid (")) return std::nullopt;
  take(text, "PCI:");
  std::string address = take_address(text);
  if (address.empty() || !take(text, "): ")) return std::nullopt;
  const std::string_view digits = take_while(text, is_digit);
  const auto number = digits.size() <= 6 ? parse_u64(digits) : std::nullopt;
  if (!number) return std::nullopt;
  XidMeaning meaning = meaning_of_xid(*number);
  Finding out{Source::nvidia, std::move(meaning.code), meaning.severity, std::move(address), {}};
  // The NVLink errors of Blackwell say themselves how grave they are.
  if (*number >= 144 && *number <= 150 && contains(text, " Fatal")) out.severity = Severity::critical;
  out.message = with_detail(std::move(meaning.message), text);
  return out;
}

// "nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 28006, Non-fatal, Link 46 ..."
std::optional<Finding> nvswitch(std::string_view text) {
  take_while(text, is_digit);
  if (!take(text, ": SXid (")) return std::nullopt;
  take(text, "PCI:");
  std::string address = take_address(text);
  if (address.empty() || !take(text, "): ")) return std::nullopt;
  const std::string_view digits = take_while(text, is_digit);
  if (digits.empty() || digits.size() > 6) return std::nullopt;
  const bool fatal = contains(text, "Fatal") && !contains(text, "Non-fatal") && !contains(text, "Non-Fatal");
  Finding out = known(Source::nvswitch, fatal ? "sxid:fatal" : "sxid:non_fatal", std::move(address), text);
  out.code = "sxid:" + std::string(digits);
  out.message = "SXid " + std::string(digits) + ": " + out.message;
  return out;
}

// The number before `words`, which must not be zero: "0 uncorrectable hardware errors" is none.
bool counted(std::string_view text, std::string_view words) {
  const size_t at = text.find(words);
  if (at == std::string_view::npos) return false;
  std::string_view before = trim(text.substr(0, at));
  if (before.ends_with("new")) before = trim(before.substr(0, before.size() - 3));
  return !(before.ends_with('0') && (before.size() == 1 || !is_digit(before[before.size() - 2])));
}

const char* amdgpu_code(std::string_view text) {
  if (contains(text, "GPU reset begin")) return "amdgpu:reset_begin";
  if (contains(text, "GPU reset") && contains(text, "succeeded")) return "amdgpu:reset_succeeded";
  if ((contains(text, "GPU reset") && contains(text, "failed")) || contains(text, "GPU Recovery Failed"))
    return "amdgpu:reset_failed";
  if (contains(text, "VRAM is lost")) return "amdgpu:vram_lost";
  if (contains(text, "ring ") && contains(text, " timeout")) return "amdgpu:ring_timeout";
  if (contains(text, "ERREVENT_ATHUB_INTERRUPT")) return "amdgpu:ras_fatal";
  if (contains(text, "uncorrectable hardware errors detected"))
    return counted(text, "uncorrectable hardware errors") ? "amdgpu:ras_uncorrectable" : nullptr;
  if (contains(text, "correctable hardware errors detected"))
    return counted(text, "correctable hardware errors") ? "amdgpu:ras_correctable" : nullptr;
  if (contains(text, "poison is consumed") || contains(text, "poison consumption")) return "amdgpu:poison";
  if (contains(text, "bad page") && contains(text, "threshold")) return "amdgpu:bad_page_threshold";
  if (contains(text, "page fault")) return "amdgpu:page_fault";
  if (contains(text, "I'm not done with your previous command")) return "amdgpu:smu_error";
  return nullptr;
}

const char* xe_code(std::string_view text) {
  if (contains(text, "declared device") && contains(text, "wedged")) return "xe:wedged";
  if (contains(text, "[Hardware Error]")) {
    if (contains(text, "NONFATAL") || contains(text, "NON_FATAL") || contains(text, "NON-FATAL"))
      return "xe:hw_error_nonfatal";
    if (contains(text, "FATAL")) return "xe:hw_error_fatal";
    if (contains(text, "CORRECTABLE")) return "xe:hw_error_correctable";
    return nullptr;
  }
  if (contains(text, "Timedout job")) return "xe:job_timeout";
  if (contains(text, "Engine reset")) return "xe:engine_reset";
  if (contains(text, "reset failed")) return "xe:reset_failed";
  if (contains(text, "reset done")) return "xe:reset_done";
  if (contains(text, "reset started")) return "xe:gt_reset";
  if (contains(text, "page fault") || contains(text, "Fault response: Unsuccessful")) return "xe:page_fault";
  return nullptr;
}

const char* i915_code(std::string_view text) {
  if (contains(text, "GPU HANG")) return "i915:gpu_hang";
  if (contains(text, "wedged") || contains(text, "Device is non-operational")) return "i915:wedged";
  if (contains(text, "Failed to reset chip") || contains(text, "Failed to initialise HW following reset"))
    return "i915:reset_failed";
  if (contains(text, "Resetting chip for")) return "i915:gpu_reset";
  if (contains(text, "Resetting ") && contains(text, " for ")) return "i915:engine_reset";
  return nullptr;
}

struct Driver {
  std::string_view name;
  Source source;
  const char* (*code)(std::string_view);
};
constexpr Driver kDrivers[] = {
    {"amdgpu ", Source::amd, amdgpu_code},
    {"xe ", Source::intel, xe_code},
    {"i915 ", Source::intel, i915_code},
};

}  // namespace

std::string take_address(std::string_view& text) {
  std::string_view rest = text;
  std::string_view domain = take_while(rest, is_hex);
  if (domain.size() != 4 && domain.size() != 8) return {};
  if (!take(rest, ":")) return {};
  const std::string_view bus = take_while(rest, is_hex);
  if (bus.size() != 2 || !take(rest, ":")) return {};
  const std::string_view device = take_while(rest, is_hex);
  if (device.size() != 2) return {};
  std::string_view function = "0";
  if (std::string_view after = rest; take(after, ".") && !after.empty() && after[0] >= '0' && after[0] <= '7') {
    function = after.substr(0, 1);
    rest = after.substr(1);
  }
  if (domain.size() == 8 && domain.starts_with("0000")) domain.remove_prefix(4);
  std::string address;
  address.append(domain).append(":").append(bus).append(":").append(device).append(".").append(function);
  std::transform(address.begin(), address.end(), address.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
  text = rest;
  return address;
}

std::string_view vendor_of(Source source) {
  switch (source) {
    case Source::amd:
      return "amd";
    case Source::intel:
      return "intel";
    default:
      return "nvidia";
  }
}

std::optional<Record> parse_record(std::string_view record) {
  constexpr std::string_view kDevice = " DEVICE=+pci:";
  std::string_view line = next_line(record);
  const size_t semicolon = line.find(';');
  if (semicolon == std::string_view::npos) return std::nullopt;
  std::string_view head = line.substr(0, semicolon);
  Record out;
  out.text = line.substr(semicolon + 1);
  const auto number = [&]() -> std::optional<uint64_t> {
    const size_t comma = std::min(head.find(','), head.size());
    const auto value = parse_u64(head.substr(0, comma));
    head.remove_prefix(std::min(comma + 1, head.size()));
    return value;
  };
  const auto priority = number(), sequence = number(), microseconds = number();
  if (!priority || !sequence || !microseconds) return std::nullopt;
  if (*microseconds > static_cast<uint64_t>(INT64_MAX / kMicrosecond)) return std::nullopt;
  out.kernel = (*priority >> 3) == 0;
  out.sequence = *sequence;
  out.since_boot = static_cast<Nanos>(*microseconds) * kMicrosecond;
  while (!record.empty()) {
    std::string_view more = next_line(record);
    if (take(more, kDevice)) out.address = more;
  }
  return out;
}

std::optional<Finding> find_event_in(const Record& record) {
  if (!record.kernel) return std::nullopt;
  std::string_view text = record.text;
  if (take(text, "NVRM: ")) return nvidia(text);
  if (take(text, "nvidia-nvswitch")) return nvswitch(text);
  for (const Driver& driver : kDrivers) {
    if (!take(text, driver.name)) continue;
    std::string address = take_address(text);
    if (address.empty()) return std::nullopt;
    const char* const code = driver.code(text);
    if (code == nullptr) return std::nullopt;
    take(text, ": ");
    take(text, "amdgpu: ");
    take(text, "[drm] ");
    return known(driver.source, code, std::move(address), text);
  }
  // Older kernels leave out the device: "[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring gfx timeout, ...".
  if (text.starts_with("[drm:amdgpu_job_timedout")) {
    std::string_view of = record.address;
    return known(Source::amd, "amdgpu:ring_timeout", take_address(of), text);
  }
  return std::nullopt;
}

std::optional<Identity> find_identity_in(const Record& record) {
  std::string_view text = record.text;
  if (!record.kernel || !take(text, "NVRM: GPU at PCI:")) return std::nullopt;
  Identity out;
  out.address = take_address(text);
  if (out.address.empty() || !take(text, ": ")) return std::nullopt;
  const std::string_view uuid = next_word(text);
  if (!uuid.starts_with("GPU-") || uuid.size() < 12 || uuid.size() > 64) return std::nullopt;
  out.uuid = printable(uuid, 64);
  return out;
}

}  // namespace accelmon::kernel_log
