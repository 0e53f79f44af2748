#include "collectors/nvml/nvml_counter.h"

namespace accelmon::nvml {
namespace {

constexpr uint64_t kWidths[] = {uint64_t{1} << 32, uint64_t{1} << 42};

uint64_t width_of_fall(uint64_t from, uint64_t to) {
  for (const uint64_t width : kWidths)
    if (from < width && from - to > width / 2) return width;
  return 0;
}

}  // namespace

std::optional<uint64_t> WrapCounter::update(uint64_t raw, Nanos monotonic) {
  // All ones is what a driver answers that has no number; a counter that stands there is missed for one reading.
  if (certain_ && raw == width_ - 1) return std::nullopt;
  const uint64_t last = last_;
  const double elapsed = to_seconds(monotonic - last_at_);
  last_ = raw;
  last_at_ = monotonic;
  if (!started_) {
    started_ = true;
    total_ = certain_ ? 0 : raw;
    return total_;
  }

  const uint64_t wrapped = raw >= last ? 0 : certain_ ? width_ : width_of_fall(last, raw);
  if (wrapped != 0) width_ = wrapped;
  if (raw >= width_ && width_ != 0 && !certain_) width_ = 0;  // wider than we took it for
  if (width_ != 0 && most_ * elapsed >= static_cast<double>(width_)) return std::nullopt;

  if (raw >= last) {
    total_ += raw - last;
  } else if (wrapped != 0) {
    total_ += wrapped - last + raw;
  } else {
    total_ = raw;
  }
  return total_;
}

}  // namespace accelmon::nvml
