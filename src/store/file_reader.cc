#include "store/file_reader.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/log.h"
#include "store/checksum.h"
#include "store/downsample.h"

namespace accelmon::store {
namespace {

constexpr size_t kKeptCatalogs = 16;

tl::unexpected<Status> broken(const char* what) {
  return fail(Code::invalid, std::string("a chunk of the history is damaged: ") + what);
}

// Moves past rows that nobody wants.
bool skip_rows(OpenChunk& chunk, size_t count) {
  std::vector<double> values(std::min<size_t>(count, 256));
  std::vector<State> states(values.size());
  for (ColumnDecoder& column : chunk.columns)
    for (size_t left = count; left > 0;) {
      const size_t n = std::min(left, values.size());
      if (!column.next(std::span(values).first(n), std::span(states).first(n))) return false;
      left -= n;
    }
  chunk.next_row += count;
  return true;
}

}  // namespace

Result<std::shared_ptr<FileReader>> FileReader::open(const std::string& path) {
  Result<std::unique_ptr<Database>> database = Database::open_to_read(path);
  if (!database) return fail(database.error());
  return std::shared_ptr<FileReader>(new FileReader(std::move(*database)));
}

uint64_t FileReader::damaged() const {
  const std::lock_guard lock(mutex_);
  return damaged_.size();
}

bool FileReader::damage(int64_t chunk, const Status& status) {
  if (status.code() == Code::absent) return true;  // merged or dropped since: its rows are elsewhere
  if (status.code() != Code::invalid) return false;
  if (damaged_.size() < 10'000 && damaged_.insert(chunk).second) log(LogLevel::warn, "store", status.message());
  return true;
}

Result<StoredCatalogPtr> FileReader::catalog_of(int64_t id) {
  if (const auto found = catalogs_.find(id); found != catalogs_.end()) return found->second;
  const Result<std::string> bytes = database_->catalog(id);
  if (!bytes) return fail(bytes.error());
  Result<StoredCatalogPtr> catalog = unpack_catalog(*bytes, static_cast<uint64_t>(id));
  if (!catalog) return fail(catalog.error());
  if (catalogs_.size() >= kKeptCatalogs) {
    catalogs_.clear();
    hashes_.clear();
  }
  catalogs_[id] = *catalog;
  hashes_[id] = content_hash(*bytes);
  return catalog;
}

Result<ChunkHead> FileReader::head_of(const ChunkRow& row, uint32_t& checksum) {
  const Result<std::string> bytes = database_->head(row.id);
  if (!bytes) return fail(bytes.error());
  Result<ChunkHead> head = decode_head(*bytes, checksum);
  if (!head) return head;
  // The columns of the table are not under the checksum: what they say must be what the head says.
  if (head->tier != row.tier || head->rows.size() != row.rows) return broken("its row and its head differ");
  return head;
}

Result<std::unique_ptr<OpenChunk>> FileReader::open_chunk(const ChunkRow& row) {
  auto chunk = std::make_unique<OpenChunk>();
  chunk->id = row.id;
  const Result<StoredCatalogPtr> catalog = catalog_of(row.catalog);
  if (!catalog) return fail(catalog.error());
  chunk->catalog = *catalog;
  uint32_t checksum = 0;
  Result<ChunkHead> head = head_of(row, checksum);
  if (!head) return fail(head.error());
  chunk->head = std::move(*head);
  if (chunk->head.catalog != hashes_[row.catalog] || chunk->head.columns != chunk->catalog->column_count)
    return broken("its catalog is another one");
  Result<std::vector<Sheet>> sheets = database_->sheets(row.id);
  if (!sheets) return fail(sheets.error());
  chunk->sheets = std::move(*sheets);
  std::vector<std::string_view> columns;
  for (const Sheet& sheet : chunk->sheets) {
    if (sheet.first_column != columns.size()) return broken("a sheet is missing");
    const Result<std::vector<std::string_view>> some = read_sheet(sheet.bytes, checksum, sheet.first_column);
    if (!some) return fail(some.error());
    columns.insert(columns.end(), some->begin(), some->end());
  }
  if (columns.size() != chunk->head.columns) return broken("a sheet is missing");
  chunk->columns.resize(chunk->catalog->columns.size());
  for (size_t i = 0; i < chunk->columns.size(); ++i)
    if (!chunk->columns[i].start(columns[chunk->catalog->columns[i]], chunk->head.rows.size()))
      return broken("a column");
  return chunk;
}

Status FileReader::rows(uint64_t after, uint64_t through, Nanos from, Nanos to, OpenChunks& open, BatchBuilder& out,
                        uint64_t& found, uint64_t& skip_to) {
  OpenChunks wanted;
  {
    const std::lock_guard lock(mutex_);
    Database::Transaction view(*database_);
    if (!view.begun().ok()) return view.begun();
    const Result<std::vector<ChunkRow>> rows = database_->chunks_between(after + 1, through);
    if (!rows) return rows.error();
    if (rows->empty()) {
      const Result<uint64_t> next = database_->chunk_begins_after(through);
      if (!next) return next.error();
      skip_to = *next;
      open.clear();
      return {};
    }
    for (const ChunkRow& row : *rows) {
      const auto known =
          std::find_if(open.begin(), open.end(), [&](const auto& one) { return one != nullptr && one->id == row.id; });
      // Rows that were passed already cannot be read again from there (a cursor that was rewound).
      if (known != open.end() &&
          ((*known)->next_row == 0 || (*known)->head.rows[(*known)->next_row - 1].seq <= after)) {
        wanted.push_back(std::move(*known));
        continue;
      }
      Result<std::unique_ptr<OpenChunk>> chunk = open_chunk(row);
      if (chunk) {
        wanted.push_back(std::move(*chunk));
      } else if (!damage(row.id, chunk.error())) {
        return chunk.error();
      }
    }
  }
  open = std::move(wanted);

  std::vector<double> values;
  std::vector<State> states;
  for (auto& chunk : open) {
    const std::vector<RowTimes>& rows = chunk->head.rows;
    const auto fits = [&](const RowTimes& row) {
      return row.seq > after && row.seq <= through && row.wall >= from && row.wall <= to;
    };
    size_t begin = chunk->next_row;
    while (begin < rows.size() && rows[begin].seq <= after) ++begin;
    size_t end = begin;
    while (end < rows.size() && rows[end].seq <= through) ++end;
    bool whole = begin == chunk->next_row || skip_rows(*chunk, begin - chunk->next_row);
    const size_t n = chunk->columns.size();
    std::vector<std::unique_ptr<Frame>> frames(end - begin);
    for (size_t row = begin; row < end; ++row) {
      if (!fits(rows[row])) continue;
      frames[row - begin] = std::make_unique<Frame>();
      apply(rows[row], *frames[row - begin]);
      frames[row - begin]->values.resize(n);
      frames[row - begin]->states.resize(n);
    }
    values.resize(end - begin);
    states.resize(end - begin);
    for (size_t c = 0; c < n && whole; ++c) {
      whole = chunk->columns[c].next(values, states);
      for (size_t row = 0; row < frames.size() && whole; ++row)
        if (frames[row] != nullptr) {
          frames[row]->values[c] = values[row];
          frames[row]->states[c] = states[row];
        }
    }
    chunk->next_row = end;
    if (!whole) {
      // It passed its checksum, so it was written so. Nothing of it is shown.
      const std::lock_guard lock(mutex_);
      (void)damage(chunk->id, {Code::invalid, "a chunk of the history is damaged: a column is too short"});
      chunk.reset();
      continue;
    }
    for (size_t row = 0; row < frames.size(); ++row) {
      if (frames[row] == nullptr) continue;
      out.add(chunk->head.source, chunk->catalog->catalog, rows[begin + row].seq, std::move(frames[row]));
      ++found;
    }
  }
  return {};
}

Result<std::pair<uint64_t, uint64_t>> FileReader::span_of_rows(Nanos from, Nanos to) {
  const std::lock_guard lock(mutex_);
  const Result<std::vector<ChunkRow>> rows = database_->chunks_within(0, 0, from, to);
  if (!rows) return fail(rows.error());
  std::pair<uint64_t, uint64_t> span{0, 0};
  for (const ChunkRow& row : *rows) {
    span.first = span.second == 0 ? row.first_seq : std::min(span.first, row.first_seq);
    span.second = std::max(span.second, row.last_seq);
  }
  return span;
}

// ---- one series ----

Status FileReader::series_points(const ChunkRow& row, std::string_view key, Nanos from, Nanos to,
                                 std::vector<SamplePoint>& out) {
  const Result<StoredCatalogPtr> catalog = catalog_of(row.catalog);
  if (!catalog) return catalog.error();
  const auto series = (*catalog)->series_of.find(key);
  if (series == (*catalog)->series_of.end()) return {};
  uint32_t checksum = 0;
  const Result<ChunkHead> head = head_of(row, checksum);
  if (!head) return head.error();
  if (head->catalog != hashes_[row.catalog]) return broken("its catalog is another one").value();
  const uint32_t planes = row.tier == 0 ? 1 : 3;
  if (head->columns != planes * (*catalog)->column_count) return broken("the number of its columns").value();
  const size_t n = head->rows.size();
  std::vector<double> values(planes * n);
  std::vector<State> states(n);
  Sheet sheet;
  std::vector<std::string_view> columns;
  for (uint32_t plane = 0; plane < planes; ++plane) {
    const uint32_t column = planes * (*catalog)->columns[series->second] + plane;
    if (columns.empty() || column - sheet.first_column >= columns.size()) {
      Result<Sheet> next = database_->sheet_with(row.id, column);
      if (!next) return next.error();
      sheet = std::move(*next);
      Result<std::vector<std::string_view>> read = read_sheet(sheet.bytes, checksum, sheet.first_column);
      if (!read) return read.error();
      columns = std::move(*read);
      if (column - sheet.first_column >= columns.size()) return broken("a sheet is missing").value();
    }
    ColumnDecoder decoder;
    if (!decoder.start(columns[column - sheet.first_column], n) ||
        !decoder.next(std::span(values).subspan(plane * n, n), states))
      return broken("a column").value();
  }
  for (size_t i = 0; i < n; ++i) {
    const RowTimes& times = head->rows[i];
    if (states[i] != State::ok || times.wall < from || times.wall > to) continue;
    const auto plane = [&](uint32_t p) { return values[(planes == 1 ? 0 : p) * n + i]; };
    out.push_back({times.seq, times.wall, plane(0), plane(1), plane(2)});
  }
  return {};
}

Result<StoreRange> FileReader::query(std::string_view source, std::string_view key, Nanos from, Nanos to,
                                     size_t max_points, const TailSamples& tail) {
  StoreRange range;
  if (from > to) return range;
  const std::lock_guard lock(mutex_);
  Database::Transaction view(*database_);
  if (!view.begun().ok()) return fail(view.begun());
  const Result<std::vector<std::pair<int64_t, std::string>>> sources = database_->sources();
  if (!sources) return fail(sources.error());
  int64_t id = -1;
  for (const auto& [number, name] : *sources)
    if (name == source) id = number;
  const Result<std::optional<uint64_t>> mark = database_->cursor("");
  if (!mark) return fail(mark.error());

  std::array<std::vector<ChunkRow>, 3> chunks;
  std::array<Nanos, 3> oldest{};
  Nanos first = INT64_MAX;
  for (uint8_t tier = 0; tier < 3; ++tier) {
    // An index finds the oldest of a tier quickly, of a source not; sources come and go together nearly always.
    const Result<TierUse> use = database_->use(tier);
    if (!use) return fail(use.error());
    oldest[tier] = use->chunks > 0 ? use->oldest : INT64_MAX;
    if (use->chunks > 0) first = std::min(first, use->oldest);
    if (id < 0) continue;
    Result<std::vector<ChunkRow>> rows = database_->chunks_within(tier, id, from, to);
    if (!rows) return fail(rows.error());
    chunks[tier] = std::move(*rows);
  }

  const std::optional<MetricId> metric = find_metric(key.substr(0, key.find('\x1f')));
  for (uint8_t tier = 0; tier < 3; ++tier) {
    const bool last = tier == 2;
    const Nanos step = kTierSteps[tier];
    // What is small is in no coarser tier yet; its first row may be up to a span younger than the tier's.
    if (!last && oldest[tier] != INT64_MAX && oldest[tier] > std::max(from, first) + 60 * kSecond) continue;
    const auto expected = [&](const std::vector<ChunkRow>& rows) {
      double sum = 0;
      for (const ChunkRow& row : rows) {
        const auto length = static_cast<double>(std::max<Nanos>(1, row.last_wall - row.first_wall));
        const auto inside = static_cast<double>(std::min(to, row.last_wall) - std::max(from, row.first_wall));
        sum += static_cast<double>(row.rows) * std::clamp(inside / length, 0.0, 1.0);
      }
      return sum;
    };
    if (!last && expected(chunks[tier]) > 1.5 * static_cast<double>(max_points) + 100) continue;

    std::vector<SamplePoint> coarse;
    std::vector<SamplePoint> fine;
    const auto gather = [&](const std::vector<ChunkRow>& rows, bool small_only,
                            std::vector<SamplePoint>& into) -> Status {
      for (const ChunkRow& row : rows) {
        if (small_only && row.merged) continue;
        const Status status = series_points(row, key, from, to, into);
        if (!status.ok() && !damage(row.id, status)) return status;
      }
      return {};
    };
    if (Status status = gather(chunks[tier], false, coarse); !status.ok()) return fail(std::move(status));
    if (tier > 0)
      if (Status status = gather(chunks[0], true, fine); !status.ok()) return fail(std::move(status));
    if (tail) tail(mark->value_or(0), tier == 0 ? coarse : fine);
    if (tier > 0) downsample(fine, step, metric ? &info(*metric) : nullptr, from, to, coarse);
    if (!last && coarse.size() > max_points) continue;

    const auto earlier = [](const SamplePoint& a, const SamplePoint& b) { return a.wall < b.wall; };
    if (!std::is_sorted(coarse.begin(), coarse.end(), earlier)) std::stable_sort(coarse.begin(), coarse.end(), earlier);
    range.step = step;
    range.points.reserve(coarse.size());
    for (const SamplePoint& point : coarse)
      range.points.push_back(
          {.wall = point.wall, .minimum = point.minimum, .mean = point.mean, .maximum = point.maximum});
    return range;
  }
  return range;
}

Result<std::vector<HistorySeries>> FileReader::list(Nanos from, Nanos to) {
  const std::lock_guard lock(mutex_);
  Database::Transaction view(*database_);
  if (!view.begun().ok()) return fail(view.begun());
  const Result<std::vector<std::pair<int64_t, std::string>>> sources = database_->sources();
  if (!sources) return fail(sources.error());
  // Catalogs in the order of time, so that the newest stands at the end.
  std::map<std::pair<std::string, std::string>, HistorySeries> found;
  for (const auto& [id, name] : *sources) {
    std::map<int64_t, Nanos> catalogs;
    for (uint8_t tier = 0; tier < 3; ++tier) {
      const Result<std::vector<ChunkRow>> rows = database_->chunks_within(tier, id, from, to);
      if (!rows) return fail(rows.error());
      for (const ChunkRow& row : *rows) {
        const auto [at, fresh] = catalogs.emplace(row.catalog, row.last_wall);
        if (!fresh) at->second = std::max(at->second, row.last_wall);
      }
    }
    std::vector<std::pair<Nanos, int64_t>> order;
    for (const auto& [catalog, wall] : catalogs) order.emplace_back(wall, catalog);
    std::sort(order.begin(), order.end());
    for (const auto& [wall, catalog] : order) {
      const Result<StoredCatalogPtr> stored = catalog_of(catalog);
      if (!stored) {
        if (stored.error().code() == Code::invalid) continue;
        return fail(stored.error());
      }
      for (uint32_t i = 0; i < (*stored)->keys.size(); ++i)
        found[{name, (*stored)->keys[i]}] = {name, (*stored)->keys[i], (*stored)->catalog, i};
    }
  }
  std::vector<HistorySeries> all;
  all.reserve(found.size());
  for (auto& [key, series] : found) all.push_back(std::move(series));
  return all;
}

}  // namespace accelmon::store
