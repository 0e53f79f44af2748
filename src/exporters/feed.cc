#include "exporters/feed.h"

#include <algorithm>

namespace accelmon {
namespace {

class DiskCursor final : public FeedCursor {
 public:
  explicit DiskCursor(HistoryCursor cursor) : cursor_(std::move(cursor)) {}
  Result<FrameBatch> read(size_t most) override { return cursor_.read(most); }
  Status commit() override { return cursor_.commit(); }
  uint64_t behind() const override { return cursor_.behind(); }

 private:
  HistoryCursor cursor_;
};

}  // namespace

class MemoryFeed::Cursor final : public FeedCursor {
 public:
  explicit Cursor(std::shared_ptr<Core> core) : core_(std::move(core)) {
    const std::lock_guard lock(core_->mutex);
    next_ = core_->first + core_->rows.size();
  }

  Result<FrameBatch> read(size_t most) override {
    BatchBuilder batch;
    const std::lock_guard lock(core_->mutex);
    if (next_ < core_->first) {
      batch.lose(core_->first - next_);
      next_ = core_->first;
    }
    for (const uint64_t end = core_->first + core_->rows.size(); next_ < end && batch.frames() < most; ++next_) {
      const Row& row = core_->rows[next_ - core_->first];
      batch.add(row.source, row.catalog, next_, row.frame);
    }
    return batch.finish();
  }
  // Rows stay until they fall out: what was read is remembered by its number alone.
  Status commit() override { return {}; }
  uint64_t behind() const override {
    const std::lock_guard lock(core_->mutex);
    return core_->first + core_->rows.size() - std::max(next_, core_->first);
  }

 private:
  std::shared_ptr<Core> core_;
  uint64_t next_ = 0;
};

void MemoryFeed::append(std::string_view source, const CatalogPtr& catalog, const Recycled<Frame>& frame) {
  if (catalog == nullptr || !frame) return;
  const size_t bytes = sizeof(Row) + frame->values.capacity() * sizeof(double) + frame->states.capacity();
  const std::lock_guard lock(core_->mutex);
  core_->rows.push_back(Row{std::string(source), catalog, frame, bytes});
  core_->bytes += bytes;
  while (core_->bytes > core_->limit && core_->rows.size() > 1) {
    core_->bytes -= core_->rows.front().bytes;
    core_->rows.pop_front();
    ++core_->first;
  }
}

std::unique_ptr<FeedCursor> MemoryFeed::open() const {
  return std::make_unique<Cursor>(core_);
}

size_t MemoryFeed::bytes() const {
  const std::lock_guard lock(core_->mutex);
  return core_->bytes;
}

Result<std::unique_ptr<FeedCursor>> open_disk_cursor(DiskStore& store, const std::string& name) {
  Result<HistoryCursor> cursor = store.open_cursor(name);
  if (!cursor) return fail(cursor.error());
  return std::make_unique<DiskCursor>(std::move(*cursor));
}

}  // namespace accelmon
