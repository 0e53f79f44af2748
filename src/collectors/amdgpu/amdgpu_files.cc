#include "collectors/amdgpu/amdgpu_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>

#include "base/text.h"

namespace accelmon::amdgpu {

int SysFile::open(const std::string& path) {
  fd_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd_.valid() ? 0 : errno;
}

int SysFile::read(std::span<char> buffer, std::string_view& text, Shape shape) const {
  constexpr ssize_t kPage = 4096;  // the smallest that the kernel knows
  size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t n = ::pread(fd_.get(), buffer.data() + done, buffer.size() - done, static_cast<off_t>(done));
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    done += static_cast<size_t>(n);
    if (n == 0 || (shape == Shape::text && n < kPage && done < buffer.size())) {
      text = {buffer.data(), done};
      return 0;
    }
  }
  return EFBIG;
}

State state_of(int error) {
  switch (error) {
    case 0:
      return State::ok;
    case ENOENT:
    case EOPNOTSUPP:
    case EINVAL:
      return State::unsupported;
    case EACCES:
      return State::no_permission;
    case EPERM:
    case EBUSY:
    case EAGAIN:
    case ENODATA:
      return State::not_ready;
    default:
      return State::error;
  }
}

bool is_gone(int error) {
  return error == ENODEV || error == ENXIO;
}

std::string_view error_name(int error) {
  switch (error) {
    case ENOENT:
      return "ENOENT";
    case EOPNOTSUPP:
      return "EOPNOTSUPP";
    case EINVAL:
      return "EINVAL";
    case EACCES:
      return "EACCES";
    case EPERM:
      return "EPERM";
    case EBUSY:
      return "EBUSY";
    case EAGAIN:
      return "EAGAIN";
    case ENODATA:
      return "ENODATA";
    case ENODEV:
      return "ENODEV";
    case ENXIO:
      return "ENXIO";
    case EIO:
      return "EIO";
    case ETIMEDOUT:
      return "ETIMEDOUT";
    case EFBIG:
      return "EFBIG";
    default:
      return "other errno";
  }
}

std::string describe(int error) {
  switch (error) {
    case ENOENT:
      return "the driver has no such file for this device";
    case EOPNOTSUPP:
    case EINVAL:
      return "the driver says that this device does not support it (" + std::string(error_name(error)) + ")";
    case EPERM:
      return "the device was asleep or in reset (EPERM)";
    case EBUSY:
      return "the device was busy or in reset (EBUSY)";
    case EACCES:
      return "the file may not be read by this user";
    default:
      return std::string("the driver answers ") + std::string(error_name(error)) + ": " + std::strerror(error);
  }
}

std::optional<double> parse_number(std::string_view text) {
  text = trim(text);
  if (const auto whole = parse_i64(text)) return static_cast<double>(*whole);
  if (const auto large = parse_u64(text)) return static_cast<double>(*large);
  return std::nullopt;
}

std::optional<double> parse_highest_level(std::string_view text) {
  std::optional<double> highest;
  while (!text.empty()) {
    std::string_view line = next_line(text);
    std::string_view level = next_word(line);
    if (level.size() < 2 || level.back() != ':') continue;
    level.remove_suffix(1);
    if (!parse_u64(level)) continue;
    const std::string_view clock = next_word(line);
    const size_t digits = clock.find_first_not_of("0123456789");
    if (digits == std::string_view::npos) continue;
    const std::string_view unit = clock.substr(digits);
    const auto number = parse_u64(clock.substr(0, digits));
    if (!number || (unit != "Mhz" && unit != "MHz")) continue;
    const double hertz = static_cast<double>(*number) * 1e6;
    if (!highest || hertz > *highest) highest = hertz;
  }
  return highest;
}

std::optional<double> generation_of(double transfers_per_second) {
  constexpr double kSpeeds[] = {2.5e9, 5e9, 8e9, 16e9, 32e9, 64e9, 128e9};
  for (size_t i = 0; i < std::size(kSpeeds); ++i)
    if (std::abs(transfers_per_second - kSpeeds[i]) < 1e8) return static_cast<double>(i + 1);
  return std::nullopt;
}

std::optional<double> parse_link_speed(std::string_view text) {
  const auto speed = parse_double(next_word(text));
  if (!speed || next_word(text) != "GT/s") return std::nullopt;
  return generation_of(*speed * 1e9);
}

RasCounts parse_ras(std::string_view text) {
  RasCounts counts;
  while (!text.empty()) {
    std::string_view line = next_line(text);
    const std::string_view key = next_word(line);
    const auto value = parse_u64(trim(line));
    if (!value) continue;
    if (key == "ue:") counts.uncorrected = static_cast<double>(*value);
    if (key == "ce:") counts.corrected = static_cast<double>(*value);
    if (key == "de:") counts.deferred = static_cast<double>(*value);
  }
  return counts;
}

std::optional<BadPages> parse_bad_pages(std::string_view text) {
  BadPages pages;
  while (!text.empty()) {
    std::string_view line = trim(next_line(text));
    if (line.empty()) continue;
    const std::string_view flag = line.substr(line.size() - 1);
    if (line.size() < 3 || line.rfind(':') != line.size() - 3) return std::nullopt;
    if (flag == "R") {
      ++pages.retired;
    } else if (flag == "P") {
      ++pages.pending;
    } else if (flag == "F") {
      ++pages.failed;
    } else {
      return std::nullopt;
    }
  }
  return pages;
}

std::optional<uint64_t> find_property(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    std::string_view line = next_line(text);
    if (next_word(line) == key) return parse_u64(trim(line));
  }
  return std::nullopt;
}

}  // namespace accelmon::amdgpu
