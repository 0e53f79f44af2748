#include "collectors/intel_kernel/intel_pmu.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "collectors/intel_kernel/intel_files.h"

namespace accelmon::intel_kernel {
namespace {

constexpr size_t kMostEvents = 1024;

uint64_t mask_of(const BitRange& range) {
  const unsigned width = range.high - range.low + 1;
  return width >= 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
}

bool put(uint64_t& config, const BitRange& range, uint64_t value) {
  if ((value & ~mask_of(range)) != 0) return false;
  config = (config & ~(mask_of(range) << range.low)) | value << range.low;
  return true;
}

// 0x10, or 16.
std::optional<uint64_t> number(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) return parse_u64(text.substr(2), 16);
  return parse_u64(text);
}

}  // namespace

std::optional<BitRange> parse_format(std::string_view text) {
  text = trim(text);
  // config1 and config2 are other words of the request.
  if (!text.starts_with("config:")) return std::nullopt;
  text.remove_prefix(7);
  const size_t dash = text.find('-');
  const auto low = parse_u64(text.substr(0, dash));
  const auto high = dash == std::string_view::npos ? low : parse_u64(text.substr(dash + 1));
  if (!low || !high || *low > *high || *high > 63) return std::nullopt;
  return BitRange{static_cast<unsigned>(*low), static_cast<unsigned>(*high)};
}

std::optional<uint64_t> encode_event(std::string_view text, const Formats& formats) {
  uint64_t config = 0;
  text = trim(text);
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view term = trim(text.substr(0, comma));
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    const size_t equals = term.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const auto value = number(term.substr(equals + 1));
    if (!value) return std::nullopt;
    const std::string_view key = term.substr(0, equals);
    if (key == "config") {
      config |= *value;
      continue;
    }
    const auto format = formats.find(key);
    if (format == formats.end() || !put(config, format->second, *value)) return std::nullopt;
  }
  return config;
}

Result<Pmu> Pmu::open(const std::string& sysfs, const std::string& name, CallMeter& calls) {
  const std::string folder = sysfs + "/bus/event_source/devices/" + name;
  Pmu pmu;
  pmu.name_ = name;
  pmu.calls_ = &calls;
  pmu.open_call_ = calls.add("perf_event_open");
  const auto type = first_line(folder + "/type");
  if (!type) return fail(Code::absent, "the kernel shows no counters " + name);
  const auto number = parse_u64(*type);
  if (!number || *number > 0xffffffffu) return fail(Code::invalid, folder + "/type is no number");
  pmu.type_ = static_cast<uint32_t>(*number);
  // "0" or "0-3,8": any processor of them will do.
  if (const auto mask = first_line(folder + "/cpumask")) {
    const auto cpu = parse_u64(std::string_view(*mask).substr(0, mask->find_first_of(",-")));
    if (cpu && *cpu < 1 << 20) pmu.cpu_ = static_cast<int>(*cpu);
  }
  for (const std::string& term : names_in(folder + "/format")) {
    const auto text = first_line(folder + "/format/" + term);
    const auto range = text ? parse_format(*text) : std::nullopt;
    if (range) pmu.formats_[term] = *range;
  }
  for (const std::string& event : names_in(folder + "/events")) {
    if (event.ends_with(".unit") || event.ends_with(".scale") || pmu.events_.size() >= kMostEvents) continue;
    if (auto text = first_line(folder + "/events/" + event)) pmu.events_[event] = std::move(*text);
  }
  return pmu;
}

std::optional<uint64_t> Pmu::config(std::string_view event,
                                    std::initializer_list<std::pair<std::string_view, uint64_t>> terms) const {
  const auto found = events_.find(event);
  auto bits = found == events_.end() ? std::nullopt : encode_event(found->second, formats_);
  for (const auto& [term, value] : terms) {
    const auto format = formats_.find(term);
    if (!bits || format == formats_.end() || !put(*bits, format->second, value)) return std::nullopt;
  }
  return bits;
}

int Pmu::count(uint64_t config, UniqueFd& out) const {
  perf_event_attr request{};
  request.size = sizeof request;
  request.type = type_;
  request.config = config;
  request.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED;
  const long fd = calls_->measure(open_call_, [&] {
    // No process, one processor, no group. Through syscall(), since the C library has no function for it.
    return ::syscall(SYS_perf_event_open, &request, -1, cpu_, -1, static_cast<unsigned long>(PERF_FLAG_FD_CLOEXEC));
  });
  if (fd < 0) return errno;
  out = UniqueFd(static_cast<int>(fd));
  return 0;
}

int read_count(int fd, Count& out) {
  uint64_t words[2] = {};
  ssize_t n = 0;
  do n = ::read(fd, words, sizeof words);
  while (n < 0 && errno == EINTR);
  if (n < 0) return errno;
  if (n == 0) return ENODEV;  // its PMU has been unregistered
  if (n != sizeof words) return EBADMSG;
  out = Count{words[0], words[1]};
  return 0;
}

std::optional<double> BusyMeter::read(uint64_t busy, uint64_t time, Nanos now, Nanos patience) {
  if (!primed_ || busy < busy_ || time < time_) {
    primed_ = true;
    busy_ = busy;
    time_ = time;
    moved_ = now;
    return last_ = std::nullopt;
  }
  if (time == time_) {
    if (now - moved_ > patience) last_ = std::nullopt;
    return last_;
  }
  last_ = std::clamp(static_cast<double>(busy - busy_) / static_cast<double>(time - time_), 0.0, 1.0);
  busy_ = busy;
  time_ = time;
  moved_ = now;
  return last_;
}

}  // namespace accelmon::intel_kernel
