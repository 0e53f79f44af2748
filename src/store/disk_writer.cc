#include "store/disk_writer.h"

#include <algorithm>

#include "base/log.h"
#include "store/checksum.h"
#include "store/downsample.h"
#include "store/file_reader.h"

namespace accelmon::store {
namespace {

constexpr size_t kMostAtOnce = 4096;   // chunks that one look takes up
constexpr Nanos kGrace = 5 * kSecond;  // after the end of a span, for rows that are still on their way

void describe(ChunkRow& row, const std::vector<RowTimes>& rows) {
  row.rows = static_cast<uint32_t>(rows.size());
  row.first_seq = row.last_seq = rows[0].seq;
  row.first_wall = row.last_wall = rows[0].wall;
  for (const RowTimes& one : rows) {
    row.first_seq = std::min(row.first_seq, one.seq);
    row.last_seq = std::max(row.last_seq, one.seq);
    row.first_wall = std::min(row.first_wall, one.wall);
    row.last_wall = std::max(row.last_wall, one.wall);
  }
}

}  // namespace

uint64_t DiskWriter::file_limit(uint64_t limit_bytes) {
  const uint64_t log = std::clamp<uint64_t>(limit_bytes / 8, 256u << 10, 16u << 20);
  return (limit_bytes - std::min(limit_bytes, log)) / kPageBytes * kPageBytes;
}

// ---- writing rows ----

DiskWriter::Encoded DiskWriter::encode(const std::vector<const TailRow*>& rows, Nanos span) {
  const Layout& layout = *rows[0]->layout;
  if (layout.packed.empty()) {
    layout.packed = pack_catalog(*layout.catalog);
    layout.hash = content_hash(layout.packed);
  }
  Encoded chunk;
  chunk.source = layout.source;
  chunk.catalog = &layout.packed;
  ChunkHead head{.tier = 0,
                 .source = layout.source,
                 .catalog = layout.hash,
                 .columns = static_cast<uint32_t>(layout.from.size()),
                 .rows = {}};
  for (const TailRow* row : rows) head.rows.push_back(times_of(*row->frame, row->seq));
  describe(chunk.row, head.rows);
  chunk.row.span = span;
  uint32_t checksum = 0;
  chunk.head = encode_head(head, checksum);
  SheetWriter sheets(checksum);
  std::vector<double> values(rows.size());
  std::vector<State> states(rows.size());
  std::string column;
  for (size_t c = 0; c < layout.from.size(); ++c) {
    for (size_t i = 0; i < rows.size(); ++i) {
      values[i] = rows[i]->frame->values[c];
      states[i] = rows[i]->frame->states[c];
    }
    column.clear();
    encoder_.encode(column, values, states, layout.steps[c]);
    sheets.add(column);
  }
  chunk.sheets = sheets.finish();
  return chunk;
}

Status DiskWriter::seal(Database& database, std::mutex& file_lock, std::span<const TailRow> rows,
                        std::span<const std::pair<std::string, uint64_t>> cursors) {
  // Rows of one source, catalog and span; none straddles a span, so that merging need not cut.
  struct Group {
    const Layout* layout;
    Nanos span;
    std::vector<const TailRow*> rows;
  };
  std::vector<Group> groups;
  for (const TailRow& row : rows) {
    const Nanos span = span_start(row.frame->wall, span_of(0));
    const auto group = std::find_if(groups.rbegin(), groups.rend(), [&](const Group& one) {
      return one.layout == row.layout.get() && one.span == span && one.rows.size() < kMaxChunkRows;
    });
    if (group != groups.rend())
      group->rows.push_back(&row);
    else
      groups.push_back({row.layout.get(), span, {&row}});
  }
  std::vector<Encoded> chunks;
  chunks.reserve(groups.size());
  for (const Group& group : groups) chunks.push_back(encode(group.rows, group.span));

  const std::lock_guard lock(file_lock);
  Database::Transaction transaction(database);
  if (!transaction.begun().ok()) return transaction.begun();
  for (Encoded& chunk : chunks) {
    const Result<int64_t> source = database.source_id(chunk.source);
    if (!source) return source.error();
    const Result<int64_t> catalog = database.catalog_id(*chunk.catalog);
    if (!catalog) return catalog.error();
    chunk.row.source = *source;
    chunk.row.catalog = *catalog;
    if (Status status = database.add_chunk(chunk.row, chunk.head, chunk.sheets); !status.ok()) return status;
  }
  if (!rows.empty())
    if (Status status = database.set_cursor("", rows.back().seq); !status.ok()) return status;
  for (const auto& [name, position] : cursors)
    if (Status status = database.set_cursor(name, position); !status.ok()) return status;
  return transaction.commit();
}

// ---- merging ----

struct DiskWriter::Piece {
  ChunkRow row;
  ChunkHead head;
  std::vector<Sheet> sheets;
  std::vector<std::string_view> columns;
};

Status DiskWriter::merge(Database& database, std::mutex& file_lock, Nanos now, const std::function<bool()>& stop) {
  for (uint8_t tier = 0; tier < 3; ++tier) {
    while (!stop()) {
      Result<std::vector<ChunkRow>> due = [&] {
        const std::lock_guard lock(file_lock);
        return database.unmerged_before(tier, now - span_of(tier) - kGrace + 1, kMostAtOnce);
      }();
      if (!due) return due.error();
      if (due->empty()) break;
      for (size_t i = 0; i < due->size() && !stop();) {
        const ChunkRow& first = (*due)[i];
        size_t end = i;
        uint64_t rows = 0;
        while (end < due->size() && (*due)[end].span == first.span && (*due)[end].source == first.source &&
               (*due)[end].catalog == first.catalog && rows + (*due)[end].rows <= kMaxChunkRows)
          rows += (*due)[end++].rows;
        if (end == i) return {Code::lost, options_.path + ": a chunk of the history claims too many rows"};
        if (Status status = merge_group(database, file_lock, std::span(*due).subspan(i, end - i)); !status.ok())
          return status;
        i = end;
      }
    }
  }
  return {};
}

Status DiskWriter::merge_group(Database& database, std::mutex& file_lock, std::span<const ChunkRow> rows) {
  const uint8_t tier = rows[0].tier;
  std::vector<Piece> pieces;
  StoredCatalogPtr catalog;
  uint64_t hash = 0;
  {
    const std::lock_guard lock(file_lock);
    const auto known = catalogs_.find(rows[0].catalog);
    if (known != catalogs_.end()) {
      std::tie(catalog, hash) = known->second;
    } else {
      const Result<std::string> bytes = database.catalog(rows[0].catalog);
      if (!bytes && bytes.error().code() != Code::invalid) return bytes.error();
      if (bytes) {
        hash = content_hash(*bytes);
        if (Result<StoredCatalogPtr> unpacked = unpack_catalog(*bytes, static_cast<uint64_t>(rows[0].catalog)))
          catalog = *unpacked;
      }
      if (catalogs_.size() >= 16) catalogs_.clear();
      if (catalog != nullptr) catalogs_[rows[0].catalog] = {catalog, hash};
    }
    for (const ChunkRow& row : rows) {
      Piece piece{row, {}, {}, {}};
      const Result<std::string> bytes = database.head(row.id);
      if (!bytes && bytes.error().code() != Code::invalid) return bytes.error();
      uint32_t checksum = 0;
      Result<ChunkHead> head = bytes ? decode_head(*bytes, checksum) : fail(bytes.error());
      Status status = head ? Status() : head.error();
      if (head) piece.head = std::move(*head);
      if (status.ok() &&
          (catalog == nullptr || piece.head.catalog != hash || piece.head.tier != tier ||
           piece.head.columns != (tier == 0 ? 1 : 3) * catalog->column_count || piece.head.rows.size() != row.rows))
        status = {Code::invalid, "a chunk of the history is damaged: its row, head and catalog differ"};
      Result<std::vector<Sheet>> sheets = database.sheets(row.id);
      if (!sheets) return sheets.error();
      piece.sheets = std::move(*sheets);
      for (const Sheet& sheet : piece.sheets) {
        if (!status.ok()) break;
        const auto columns = read_sheet(sheet.bytes, checksum, sheet.first_column);
        if (!columns || sheet.first_column != piece.columns.size())
          status = {Code::invalid, "a chunk of the history is damaged: a sheet"};
        else
          piece.columns.insert(piece.columns.end(), columns->begin(), columns->end());
      }
      if (status.ok() && piece.columns.size() != piece.head.columns)
        status = {Code::invalid, "a chunk of the history is damaged: a sheet is missing"};
      if (status.ok()) {
        pieces.push_back(std::move(piece));
      } else {
        ++damaged_;
        log(LogLevel::warn, "store", status.message() + "; its rows are lost");
      }
    }
  }
  if (pieces.empty()) return remove(database, file_lock, rows);
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Piece& a, const Piece& b) { return a.row.first_seq < b.row.first_seq; });

  // One output for the same tier, and of tier 0 two coarser ones.
  struct Output {
    Encoded chunk;
    ChunkHead head;
    std::vector<Segment> spans;
    SheetWriter sheets{0};
  };
  std::vector<Output> outputs(1);
  Output& same = outputs[0];
  same.head = {
      .tier = tier, .source = pieces[0].head.source, .catalog = hash, .columns = pieces[0].head.columns, .rows = {}};
  for (const Piece& piece : pieces)
    same.head.rows.insert(same.head.rows.end(), piece.head.rows.begin(), piece.head.rows.end());
  same.chunk.row.span = rows[0].span;
  same.chunk.row.merged = true;
  const size_t total = same.head.rows.size();
  if (tier == 0) {
    std::vector<Nanos> walls;
    walls.reserve(total);
    for (const RowTimes& row : same.head.rows) walls.push_back(row.wall);
    for (uint8_t coarse = 1; coarse < 3; ++coarse) {
      Output output;
      output.spans = segments(walls, kTierSteps[coarse]);
      output.head = {.tier = coarse,
                     .source = pieces[0].head.source,
                     .catalog = hash,
                     .columns = 3 * catalog->column_count,
                     .rows = {}};
      for (const Segment& span : output.spans) {
        const RowTimes& last = outputs[0].head.rows[span.end - 1];
        output.head.rows.push_back({.seq = last.seq, .wall = last.wall, .monotonic = last.monotonic});
      }
      output.chunk.row.span = span_start(output.head.rows[0].wall, span_of(coarse));
      outputs.push_back(std::move(output));
    }
  }
  for (Output& output : outputs) {
    output.chunk.row.tier = output.head.tier;
    output.chunk.row.source = rows[0].source;
    output.chunk.row.catalog = rows[0].catalog;
    describe(output.chunk.row, output.head.rows);
    uint32_t checksum = 0;
    output.chunk.head = encode_head(output.head, checksum);
    output.sheets = SheetWriter(checksum);
  }

  // Which metric a column is of, where this program knows it.
  std::vector<const MetricInfo*> metrics(catalog->column_count, nullptr);
  for (size_t i = 0; i < catalog->columns.size(); ++i)
    metrics[catalog->columns[i]] = &info(catalog->catalog->series[i].metric);
  std::vector<double> values(total);
  std::vector<State> states(total);
  std::string column;
  CoarseColumn coarse;
  ColumnDecoder decoder;
  for (uint32_t c = 0; c < outputs[0].head.columns; ++c) {
    size_t at = 0;
    for (const Piece& piece : pieces) {
      const size_t n = piece.head.rows.size();
      if (!decoder.start(piece.columns[c], n) ||
          !decoder.next(std::span(values).subspan(at, n), std::span(states).subspan(at, n))) {
        ++damaged_;
        log(LogLevel::warn, "store",
            "a span of the history is damaged: a column of it cannot be read; its rows are lost");
        return remove(database, file_lock, rows);
      }
      at += n;
    }
    const MetricInfo* metric = metrics[tier == 0 ? c : c / 3];
    const double step = metric != nullptr ? metric->step : 1;
    column.clear();
    encoder_.encode(column, values, states, step);
    outputs[0].sheets.add(column);
    for (size_t o = 1; o < outputs.size(); ++o) {
      downsample(values, states, outputs[o].spans, metric, coarse);
      for (const std::vector<double>* plane : {&coarse.minimum, &coarse.mean, &coarse.maximum}) {
        column.clear();
        encoder_.encode(column, *plane, coarse.states, step);
        outputs[o].sheets.add(column);
      }
    }
  }

  const std::lock_guard lock(file_lock);
  Database::Transaction transaction(database);
  if (!transaction.begun().ok()) return transaction.begun();
  // First what goes, so that what comes can take its place.
  for (const ChunkRow& row : rows)
    if (Status status = database.remove_chunk(row.id); !status.ok()) return status;
  for (Output& output : outputs) {
    const std::vector<Sheet> sheets = output.sheets.finish();
    if (Status status = database.add_chunk(output.chunk.row, output.chunk.head, sheets); !status.ok()) return status;
  }
  return transaction.commit();
}

Status DiskWriter::remove(Database& database, std::mutex& file_lock, std::span<const ChunkRow> rows) {
  const std::lock_guard lock(file_lock);
  Database::Transaction transaction(database);
  if (!transaction.begun().ok()) return transaction.begun();
  for (const ChunkRow& row : rows)
    if (Status status = database.remove_chunk(row.id); !status.ok()) return status;
  if (Status status = database.remove_unused_catalogs(); !status.ok()) return status;
  return transaction.commit();
}

// ---- retention ----

Status DiskWriter::retain(Database& database, std::mutex& file_lock, std::optional<Nanos> now, uint64_t room) {
  constexpr size_t kSome = 64;
  const auto oldest = [&](uint8_t tier, Nanos before) {
    const std::lock_guard lock(file_lock);
    return database.oldest(tier, before, kSome);
  };
  for (uint8_t tier = 0; now && tier < 3; ++tier)
    for (bool more = true; more;) {
      const Result<std::vector<ChunkRow>> old = oldest(tier, *now - options_.keep[tier]);
      if (!old) return old.error();
      more = old->size() == kSome;
      if (old->empty()) break;
      if (Status status = remove(database, file_lock, *old); !status.ok()) return status;
    }

  const uint64_t most = file_limit(options_.limit_bytes);
  const uint64_t slack = std::max<uint64_t>(most / 16, 128u << 10) + room;
  const uint64_t target = most > slack ? most - slack : most / 2;
  for (;;) {
    std::array<uint64_t, 3> used{};
    Database::Size size;
    {
      const std::lock_guard lock(file_lock);
      const Result<Database::Size> now_used = database.size();
      if (!now_used) return now_used.error();
      size = *now_used;
      if (size.bytes - size.free <= target) break;
      for (uint8_t tier = 0; tier < 3; ++tier) {
        const Result<TierUse> use = database.use(tier);
        if (!use) return use.error();
        used[tier] = use->bytes;
      }
    }
    // The finest tier that has more than its share (a half, a quarter, a quarter).
    const uint64_t all = used[0] + used[1] + used[2];
    uint8_t victim = 0;
    while (victim < 2 && used[victim] <= all / (victim == 0 ? 2 : 4)) ++victim;
    if (used[victim] == 0) break;
    const Result<std::vector<ChunkRow>> old = oldest(victim, INT64_MAX);
    if (!old) return old.error();
    if (old->empty()) break;
    uint64_t bytes = 0;
    size_t n = 0;
    while (n < old->size() && bytes < size.bytes - size.free - target) bytes += (*old)[n++].bytes;
    if (Status status = remove(database, file_lock, std::span(*old).first(std::max<size_t>(n, 1))); !status.ok())
      return status;
  }

  // A bound that was lowered, and a file that is half empty: the space goes back, in pieces.
  const std::lock_guard lock(file_lock);
  const Result<Database::Size> size = database.size();
  if (!size) return size.error();
  if (size->bytes > most || (size->free > (16u << 20) && size->free > size->bytes / 2))
    return database.shrink(std::min<uint64_t>(size->free, 8u << 20));
  return {};
}

Status DiskWriter::tidy(Database& database, std::mutex& file_lock) {
  const std::lock_guard lock(file_lock);
  const Result<Database::Size> size = database.size();
  if (!size) return size.error();
  const uint64_t most = log_limit(options_.limit_bytes);
  if (size->log < most / 4) return {};
  const Status status = database.checkpoint(size->log > most / 2);
  // A reader that holds on to an old view: the next round tries again.
  return status.code() == Code::timeout ? Status() : status;
}

}  // namespace accelmon::store
