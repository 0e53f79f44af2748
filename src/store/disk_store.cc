#include "store/disk_store.h"

#include <algorithm>

#include "store/disk_core.h"

namespace accelmon {

std::string_view to_string(DiskHealth health) {
  switch (health) {
    case DiskHealth::ok:
      return "ok";
    case DiskHealth::behind:
      return "behind";
    case DiskHealth::disk_full:
      return "disk_full";
    case DiskHealth::error:
      return "error";
  }
  return "unknown";
}

namespace {

// A scan of the rows that a file has of [from, to].
Result<std::unique_ptr<store::ScanState>> scan_of(std::shared_ptr<store::FileReader> reader, Nanos from, Nanos to) {
  const Result<std::pair<uint64_t, uint64_t>> span = reader->span_of_rows(from, to);
  if (!span) return fail(span.error());
  auto state = std::make_unique<store::ScanState>();
  state->reader = std::move(reader);
  state->position = span->first == 0 ? 0 : span->first - 1;
  state->last = span->second;
  state->from = from;
  state->to = to;
  return state;
}

}  // namespace

// ---- DiskStore ----

DiskStore::DiskStore(std::shared_ptr<store::DiskCore> core) : core_(std::move(core)) {}

std::unique_ptr<DiskStore> DiskStore::open(DiskOptions options) {
  auto core = std::make_shared<store::DiskCore>(std::move(options));
  core->start();
  return std::unique_ptr<DiskStore>(new DiskStore(std::move(core)));
}

DiskStore::~DiskStore() {
  core_->stop();
}

void DiskStore::append(std::string_view source, const CatalogPtr& catalog, const Frame& frame) {
  if (core_->tail.append(source, catalog, frame)) core_->wake();
}

Status DiskStore::flush() {
  return core_->flush();
}

DiskState DiskStore::state() const {
  return core_->state();
}

const std::string& DiskStore::path() const {
  return core_->options.path;
}

Result<StoreRange> DiskStore::query(std::string_view source, std::string_view key, Nanos from, Nanos to,
                                    size_t max_points) const {
  // First the rows that wait: what is written meanwhile is in both, and told apart by its number.
  std::vector<store::TailRow> rows;
  core_->tail.copy(rows);
  const auto waiting = [&](uint64_t after, std::vector<store::SamplePoint>& out) {
    const store::Layout* layout = nullptr;
    size_t series = 0;
    for (const store::TailRow& row : rows) {
      if (row.seq <= after || row.layout->source != source) continue;
      const Frame& frame = *row.frame;
      if (frame.wall < from || frame.wall > to) continue;
      if (row.layout.get() != layout) {
        layout = row.layout.get();
        const std::vector<Series>& all = layout->catalog->series;
        const std::string_view name = key.substr(0, key.find('\x1f'));
        for (series = 0; series < all.size(); ++series)
          if (info(all[series].metric).name == name && series_key(*layout->catalog, all[series]) == key) break;
      }
      if (series >= frame.values.size() || frame.states[series] != State::ok) continue;
      const double value = frame.values[series];
      out.push_back({row.seq, frame.wall, value, value, value});
    }
  };
  const Result<std::shared_ptr<store::FileReader>> reader = core_->reader(false);
  if (!reader) return fail(reader.error());
  Result<StoreRange> range = (*reader)->query(source, key, from, to, max_points, waiting);
  if (!range) core_->suspect(range.error());
  return range;
}

Result<std::vector<HistorySeries>> DiskStore::list(Nanos from, Nanos to) const {
  std::vector<store::TailRow> rows;
  core_->tail.copy(rows);
  const Result<std::shared_ptr<store::FileReader>> reader = core_->reader(false);
  if (!reader) return fail(reader.error());
  Result<std::vector<HistorySeries>> all = (*reader)->list(from, to);
  if (!all) {
    core_->suspect(all.error());
    return all;
  }
  // Series that came in the last seconds.
  std::vector<const store::Layout*> seen;
  for (const store::TailRow& row : rows) {
    if (row.frame->wall < from || row.frame->wall > to) continue;
    if (std::find(seen.begin(), seen.end(), row.layout.get()) != seen.end()) continue;
    seen.push_back(row.layout.get());
    const std::vector<Series>& series = row.layout->catalog->series;
    for (uint32_t i = 0; i < series.size(); ++i) {
      HistorySeries one{row.layout->source, series_key(*row.layout->catalog, series[i]), row.layout->catalog, i};
      const auto order = [](const HistorySeries& a, const HistorySeries& b) {
        return a.source != b.source ? a.source < b.source : a.key < b.key;
      };
      const auto at = std::lower_bound(all->begin(), all->end(), one, order);
      if (at != all->end() && at->source == one.source && at->key == one.key)
        *at = std::move(one);
      else
        all->insert(at, std::move(one));
    }
  }
  return all;
}

Result<HistoryScan> DiskStore::scan(Nanos from, Nanos to) const {
  // First the rows that wait, as in query().
  std::vector<store::TailRow> rows;
  core_->tail.copy(rows);
  const Result<std::shared_ptr<store::FileReader>> reader = core_->reader(true);
  if (!reader) return fail(reader.error());
  Result<std::unique_ptr<store::ScanState>> state = scan_of(*reader, from, to);
  if (!state) {
    core_->suspect(state.error());
    return fail(state.error());
  }
  if (!rows.empty()) (*state)->last = std::min((*state)->last, rows.front().seq - 1);
  (*state)->tail = std::move(rows);
  return HistoryScan(std::move(*state));
}

Result<HistoryCursor> DiskStore::open_cursor(std::string_view name, CursorStart start) {
  Result<std::shared_ptr<store::CursorState>> cursor = core_->open_cursor(name, start);
  if (!cursor) return fail(cursor.error());
  return HistoryCursor(core_, std::move(*cursor));
}

Status DiskStore::remove_cursor(std::string_view name) {
  return core_->remove_cursor(name);
}

// ---- HistoryCursor ----

HistoryCursor::HistoryCursor(std::shared_ptr<store::DiskCore> core, std::shared_ptr<store::CursorState> state)
    : core_(std::move(core)), state_(std::move(state)) {}
HistoryCursor::HistoryCursor(HistoryCursor&&) noexcept = default;
HistoryCursor& HistoryCursor::operator=(HistoryCursor&& other) noexcept {
  if (this == &other) return *this;
  if (core_ != nullptr) core_->close_cursor(*state_);
  core_ = std::move(other.core_);
  state_ = std::move(other.state_);
  return *this;
}
HistoryCursor::~HistoryCursor() {
  if (core_ != nullptr) core_->close_cursor(*state_);
}

Result<FrameBatch> HistoryCursor::read(size_t max_frames) {
  return core_->read(*state_, max_frames);
}

Status HistoryCursor::commit() {
  return core_->commit(*state_);
}

void HistoryCursor::rewind() {
  state_->position = state_->committed.load();
  state_->chunks.clear();
}

uint64_t HistoryCursor::behind() const {
  const uint64_t next = core_->tail.next_seq();
  return next - std::min(next, state_->position + 1);
}

// ---- HistoryScan ----

HistoryScan::HistoryScan(std::unique_ptr<store::ScanState> state) : state_(std::move(state)) {}
HistoryScan::HistoryScan(HistoryScan&&) noexcept = default;
HistoryScan& HistoryScan::operator=(HistoryScan&&) noexcept = default;
HistoryScan::~HistoryScan() = default;

Result<FrameBatch> HistoryScan::next(size_t max_frames) {
  store::ScanState& scan = *state_;
  BatchBuilder batch;
  while (batch.frames() < max_frames && scan.position < scan.last) {
    const uint64_t through = std::min(scan.position + max_frames - batch.frames(), scan.last);
    uint64_t found = 0;
    uint64_t skip_to = UINT64_MAX;
    const Status status =
        scan.reader->rows(scan.position, through, scan.from, scan.to, scan.chunks, batch, found, skip_to);
    if (!status.ok()) return fail(status);
    scan.position = skip_to == UINT64_MAX ? through : skip_to == 0 ? scan.last : std::max(through, skip_to - 1);
  }
  for (; batch.frames() < max_frames && scan.tail_at < scan.tail.size(); ++scan.tail_at) {
    store::TailRow& row = scan.tail[scan.tail_at];
    if (row.frame->wall < scan.from || row.frame->wall > scan.to) continue;
    batch.add(row.layout->source, row.layout->catalog, row.seq, std::move(row.frame));
  }
  return batch.finish();
}

// ---- HistoryFile ----

HistoryFile::HistoryFile(std::shared_ptr<store::FileReader> reader) : reader_(std::move(reader)) {}
HistoryFile::HistoryFile(HistoryFile&&) noexcept = default;
HistoryFile& HistoryFile::operator=(HistoryFile&&) noexcept = default;
HistoryFile::~HistoryFile() = default;

Result<HistoryFile> HistoryFile::open(const std::string& path) {
  Result<std::shared_ptr<store::FileReader>> reader = store::FileReader::open(path);
  if (!reader) return fail(reader.error());
  return HistoryFile(std::move(*reader));
}

Result<StoreRange> HistoryFile::query(std::string_view source, std::string_view key, Nanos from, Nanos to,
                                      size_t max_points) const {
  return reader_->query(source, key, from, to, max_points, nullptr);
}

Result<std::vector<HistorySeries>> HistoryFile::list(Nanos from, Nanos to) const {
  return reader_->list(from, to);
}

Result<HistoryScan> HistoryFile::scan(Nanos from, Nanos to) const {
  Result<std::unique_ptr<store::ScanState>> state = scan_of(reader_, from, to);
  if (!state) return fail(state.error());
  return HistoryScan(std::move(*state));
}

}  // namespace accelmon
