#include "store/disk_tail.h"

#include <algorithm>

#include "store/history.h"

namespace accelmon::store {
namespace {

constexpr size_t kMaxRows = 4096;
constexpr size_t kLongestName = 64;

uint64_t bytes_of(const Frame& frame) {
  return sizeof(Frame) + frame.values.size() * (sizeof(double) + sizeof(State));
}

}  // namespace

LayoutPtr make_layout(std::string_view source, const CatalogPtr& catalog) {
  auto layout = std::make_shared<Layout>();
  layout->source = source;
  layout->original = catalog;
  Catalog filtered;
  filtered.generation = catalog->generation;
  filtered.devices = catalog->devices;
  filtered.absences = catalog->absences;
  filtered.facts = catalog->facts;
  for (uint32_t i = 0; i < catalog->series.size(); ++i) {
    const MetricInfo& metric = info(catalog->series[i].metric);
    if (!kept(metric.id) && metric.kind != Kind::info) continue;
    filtered.series.push_back(catalog->series[i]);
    layout->from.push_back(i);
    layout->steps.push_back(metric.step);
  }
  layout->catalog = std::make_shared<const Catalog>(std::move(filtered));
  return layout;
}

Tail::Tail(uint64_t limit_bytes) : limit_bytes_(limit_bytes), ring_(kMaxRows) {
  sources_.reserve(kMaxSources);
}

bool Tail::append(std::string_view name, const CatalogPtr& catalog, const Frame& frame) {
  const auto drop = [&] {
    const std::lock_guard lock(mutex_);
    ++dropped_;
    return false;
  };
  if (catalog == nullptr || frame.values.size() != catalog->series.size() || frame.states.size() != frame.values.size())
    return drop();
  auto found = std::find_if(sources_.begin(), sources_.end(), [&](const auto& one) { return one->name == name; });
  if (found == sources_.end()) {
    if (sources_.size() == kMaxSources || name.empty() || name.size() > kLongestName) return drop();
    sources_.push_back(std::make_unique<Source>());
    found = sources_.end() - 1;
    (*found)->name = name;
  }
  Source& source = **found;
  if (source.layout == nullptr || source.layout->original != catalog) source.layout = make_layout(name, catalog);

  Recycled<Frame> row = source.frames.take();
  const Layout& layout = *source.layout;
  const size_t n = layout.from.size();
  row->generation = layout.catalog->generation;
  row->sequence = frame.sequence;
  row->wall = frame.wall;
  row->monotonic = frame.monotonic;
  row->duration = frame.duration;
  row->fresh = frame.fresh;
  row->read_at = frame.read_at;
  row->values.resize(n);
  row->states.resize(n);
  for (size_t i = 0; i < n; ++i) {
    const State state = frame.states[layout.from[i]];
    row->states[i] = state;
    row->values[i] = state == State::ok ? frame.values[layout.from[i]] : 0.0;
  }
  const uint64_t bytes = bytes_of(*row);

  const std::lock_guard lock(mutex_);
  while (size_ > 0 && (size_ == ring_.size() || bytes_ + bytes > limit_bytes_)) {
    pop();
    ++dropped_;
  }
  TailRow& slot = at(size_++);
  slot.seq = next_++;
  slot.frame = std::move(row);
  slot.layout = source.layout;
  bytes_ += bytes;
  return size_ == ring_.size() / 2 || (bytes_ > limit_bytes_ / 2 && bytes_ - bytes <= limit_bytes_ / 2);
}

void Tail::pop() {
  TailRow& oldest = at(0);
  bytes_ -= bytes_of(*oldest.frame);
  oldest.frame = {};
  oldest.layout.reset();
  head_ = (head_ + 1) % ring_.size();
  --size_;
}

bool Tail::copy(uint64_t after, size_t limit, std::vector<TailRow>& out) const {
  out.clear();
  const std::lock_guard lock(mutex_);
  const uint64_t first = next_ - size_;
  if (after + 1 < first) return false;
  for (uint64_t seq = after + 1; seq < next_ && out.size() < limit; ++seq)
    out.push_back(at(static_cast<size_t>(seq - first)));
  return true;
}

void Tail::copy(std::vector<TailRow>& out) const {
  out.clear();
  const std::lock_guard lock(mutex_);
  out.reserve(size_);
  for (size_t i = 0; i < size_; ++i) out.push_back(at(i));
}

uint64_t Tail::first_seq() const {
  const std::lock_guard lock(mutex_);
  return next_ - size_;
}

uint64_t Tail::next_seq() const {
  const std::lock_guard lock(mutex_);
  return next_;
}

void Tail::written(uint64_t seq, uint64_t count) {
  const std::lock_guard lock(mutex_);
  uint64_t popped = 0;
  for (; size_ > 0 && at(0).seq <= seq; ++popped) pop();
  // What was pushed out while it was being written is not lost.
  dropped_ -= std::min(dropped_, count - std::min(count, popped));
}

void Tail::renumber(uint64_t by) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < size_; ++i) at(i).seq += by;
  next_ += by;
}

Tail::Counts Tail::counts() const {
  const std::lock_guard lock(mutex_);
  return {size_, bytes_, dropped_};
}

}  // namespace accelmon::store
