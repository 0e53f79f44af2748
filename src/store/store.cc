#include "store/store.h"

#include <algorithm>
#include <charconv>
#include <mutex>

#include "store/history.h"

namespace accelmon {
namespace {

// The shortest decimal that is this float, as a double: what was 0.37 before it was kept is 0.37 again, and a value of
// up to 7 digits comes back exactly.
double shortest(double kept) {
  char text[32];
  const auto written = std::to_chars(text, text + sizeof(text), static_cast<float>(kept));
  double value = kept;
  std::from_chars(text, written.ptr, value);
  return value;
}

}  // namespace

struct Store::Impl {
  explicit Impl(size_t limit) : history(limit) {}
  mutable std::mutex mutex;
  store::History history;
};

Store::Store(size_t limit_bytes) : impl_(std::make_unique<Impl>(limit_bytes)) {}
Store::~Store() = default;

void Store::append(std::string_view source, const CatalogPtr& catalog, const Frame& frame) {
  const std::lock_guard lock(impl_->mutex);
  impl_->history.append(source, catalog, frame);
}

StoreRange Store::query(std::string_view source, std::string_view key, Nanos from, Nanos to, size_t max_points) const {
  store::History::Answer answer;
  {
    const std::lock_guard lock(impl_->mutex);
    answer = impl_->history.query(source, key, from, to, max_points);
  }
  std::vector<StorePoint>& points = answer.range.points;
  for (size_t i = 0; i < answer.floats; ++i) {
    StorePoint& point = points[i];
    const bool same = point.minimum == point.maximum;
    point.mean = shortest(point.mean);
    point.minimum = same ? point.mean : shortest(point.minimum);
    point.maximum = same ? point.mean : shortest(point.maximum);
  }
  // Rows lie in the order in which they came; a wall clock that was set back has two rows for the same time.
  const auto earlier = [](const StorePoint& a, const StorePoint& b) { return a.wall < b.wall; };
  if (!std::is_sorted(points.begin(), points.end(), earlier)) std::stable_sort(points.begin(), points.end(), earlier);
  return std::move(answer.range);
}

size_t Store::bytes() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->history.bytes();
}

size_t Store::limit() const {
  return impl_->history.limit();
}

Nanos Store::full_rate_span() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->history.full_rate_span();
}

}  // namespace accelmon
