// What lies inside a Store: sources, columns and blocks, without the lock.
//
// Three levels: every poll, 10 s and 1 min. A level of a source is a chain of blocks of 16 rows, the last one open. A
// block has the rows' wall times and, for each column that has a value in it, either cells with 16 values or, where all
// 16 are the same, the value alone: most series stand still most of the time, and then cost 8 bytes for 16 rows. When a
// block closes, values that moved are packed (packing.h), several columns to a cell.
//
// A column belongs to a series_key and is found by its fingerprint, so that what a column costs does not
// depend on the length of names; keys are not kept. It lives as long as its series is in the catalog or a block holds
// values of it. The three kinds of column:
//   narrow  gauges and states: float, in coarse levels min, mean and max as floats. Read back as the shortest decimal
//           that is this float, 0.37 comes back as 0.37; what has more than 7 digits is off by 6e-8 of itself at most
//   wide    gauges whose range is more than 2^24 of their steps and that are no mere share or speed (bytes: a float of
//           80 GB is 4 KiB off, and a leak is looked for in such differences): double at full rate, floats in coarse
//           levels
//   total   counters, and gauges without an upper bound (timestamps, ages: a float of a Unix time is a minute off):
//           double; in coarse levels the last value of the bucket, which is what growth is computed from
// Measured on 8 GPUs (store_bench): 1 MiB holds every poll of the last 559 s, and minutes of 2.6 h.
//
// Levels get 10/16, 3/16 and 3/16 of what columns leave. A level that is full loses its oldest block of all sources. A
// coarse row is written when its bucket of wall time has ended; until then it is in the column's running buckets.
// Threads: one at a time.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/catalog.h"
#include "model/fingerprint.h"
#include "model/frame.h"
#include "store/arena.h"
#include "store/packing.h"
#include "store/store.h"

namespace accelmon::store {

inline constexpr size_t kLevels = 3;
inline constexpr std::array<Nanos, kLevels> kSteps{0, 10 * kSecond, 60 * kSecond};
inline constexpr uint32_t kRows = kPackedRows;
inline constexpr size_t kMaxSources = 32;

enum class Form : uint8_t { narrow, wide, total };
enum class Mode : uint8_t { none, constant, cells };  // of a column in an open block

// Whether the history keeps a metric at all, and how. Infos never change, and smoothed values can be computed again.
bool kept(MetricId metric);
Form form_of(MetricId metric);

// A column; one cell.
struct Column {
  Fingerprint key;
  Cell next;           // of the same source
  uint32_t series;     // index into the source's frames; kNone: gone from the catalog
  Cell buckets;        // Buckets; kNone: none are running
  uint32_t refs : 24;  // entries in closed blocks
  uint32_t flags : 8;  // Form, and the Mode in the open block of each level: 2 bits each
  // In the open block of each level: numbers of cells, or the bits of the constant. 2, 3 and 3 words.
  uint32_t words[8];

  Form form() const { return static_cast<Form>(flags & 3u); }
  // What a row of a level is: a double (two words of a constant, or two cells), or one float, or three.
  bool is_double(size_t level) const { return level == 0 ? form() != Form::narrow : form() == Form::total; }
  uint32_t width(size_t level) const { return is_double(level) ? 2 : level == 0 ? 1 : 3; }
  Mode mode(size_t level) const { return static_cast<Mode>((flags >> (2 + 2 * level)) & 3u); }
  void set_mode(size_t level, Mode mode) {
    const auto shift = static_cast<unsigned>(2 + 2 * level);
    flags = (flags & ~(3u << shift) & 0xffu) | (static_cast<uint32_t>(mode) << shift);
  }
  uint32_t* open(size_t level) { return words + (level == 0 ? 0 : level == 1 ? 2 : 5); }
  const uint32_t* open(size_t level) const { return words + (level == 0 ? 0 : level == 1 ? 2 : 5); }
};

struct Bucket {
  double value;  // sum; of a total the last
  double minimum;
  double maximum;
  uint64_t count;
};
struct Buckets {
  Bucket of[2];  // 10 s, and 1 min without the running 10 s
};

// Adds what another bucket gathered.
void merge(Bucket& into, const Bucket& from, Form form);

struct Block {
  Cell next;
  Cell entries;  // Directory
  Cell times[2];
  Cell packed;  // PackedCells
  uint32_t rows;
  Nanos first_monotonic;
  Nanos earliest;  // wall
  Nanos latest;
  uint64_t last_used;  // append that wrote its last row: the order of age among sources
};

// `column` is a Cell and what `word` is: the number of a cell with values, or a constant's bits, or where packed values
// begin: the number of the PackedCell times 64 and the byte in it.
struct Entry {
  uint32_t column;
  uint32_t word;
};
inline constexpr uint32_t kConstant = 1u << 31;
inline constexpr uint32_t kPacked = 1u << 30;
inline constexpr uint32_t kEntryFlags = kConstant | kPacked;
struct PackedCell {
  Cell next;
  Packed bytes;
};
inline constexpr Cell kPackable = 1u << 26;  // cells from here on have no such word
struct EntryCell {
  Cell next;
  uint32_t count;
  Entry entries[7];  // those of one column lie together in one cell
};
// Where a block's entries are: sixteen lists, so that one column is found in a block of a thousand without a walk.
struct Directory {
  Cell lists[16];
  static size_t list_of(Cell column) { return (column * 0x9e3779b1u) >> 28; }
};

static_assert(sizeof(Column) == kCellBytes && sizeof(Buckets) == kCellBytes && sizeof(EntryCell) == kCellBytes &&
              sizeof(Directory) == kCellBytes && sizeof(PackedCell) == kCellBytes && sizeof(Block) <= kCellBytes);

// One row of one column on its way in: one float, one double, or three floats (min, mean, max).
struct Lanes {
  uint32_t bits[3];  // as they lie in memory
  uint32_t words;    // 1, 2 or 3
  bool is_double;
};

struct Source {
  std::string name;
  CatalogPtr catalog;  // of the last frame; only to see that it changed
  Cell columns = kNone;
  Cell last_column = kNone;
  struct Level {
    Cell oldest = kNone;  // closed blocks
    Cell newest = kNone;
    Cell open = kNone;
    bool lost = false;  // rows have left: what is older than the oldest block is unknown
  };
  std::array<Level, kLevels> levels;
  // The running buckets: numbers of their spans since the epoch, and the wall time of the last row in them.
  bool any_rows = false;
  int64_t bucket[2] = {0, 0};
  Nanos last_wall = 0;
  Nanos last_monotonic = 0;
};

class History {
 public:
  explicit History(size_t limit);

  void append(std::string_view source, const CatalogPtr& catalog, const Frame& frame);

  struct Answer {
    StoreRange range;
    size_t floats = 0;  // the first so many points are floats, to be shown as their shortest decimals
  };
  Answer query(std::string_view source, std::string_view key, Nanos from, Nanos to, size_t max_points) const;

  size_t bytes() const;
  size_t limit() const { return limit_; }
  Nanos full_rate_span() const;

 private:
  // ---- history.cc: what comes in ----
  Source* source_of(std::string_view name);
  void adopt(Source& source, const CatalogPtr& catalog);
  Cell add_column(Source& source, const Fingerprint& key, Form form);
  void end_buckets(Source& source, const Frame& frame);
  void write_coarse(Source& source, size_t level);
  // The open block of a level, with room for a row that is written now; kNone: no memory.
  Cell begin_row(Source& source, size_t level, Nanos wall, Nanos monotonic);
  void write(Column& column, size_t level, uint64_t row, const Lanes& lanes);
  void skip(Column& column, size_t level, uint64_t row);
  bool spread(Column& column, size_t level, uint64_t row, uint32_t words, bool is_double);
  void end_row(Source& source, size_t level);
  void close(Source& source, size_t level);
  // The packed cells of a block that is being closed that may have room left.
  struct Room {
    Cell cell = kNone;
    size_t used = 0;
  };
  using Rooms = std::array<Room, 4>;
  bool pack_cells(Block& block, Rooms& rooms, size_t level, const Cell* cells, uint32_t count, uint32_t& word);

  // ---- history_memory.cc: what goes out ----
  Cell take(size_t level);
  Cell take_overhead();
  void give(Cell cell, size_t level);
  void give_overhead(Cell cell);
  uint32_t share(size_t level) const;
  bool evict(size_t level);
  void drop_block(Source& source, size_t level);
  void drop_open(Source& source, size_t level);
  void forget_columns(Source& source);
  void drop_words(Column& column, size_t level);

  // ---- history_query.cc: what is asked for ----
  bool reaches(const Source& source, size_t level, Nanos from) const;
  void read_lane(const uint32_t* words, uint32_t flags, bool is_double, std::span<double, kRows> out) const;
  bool collect(const Source& source, Cell column, size_t level, Nanos from, Nanos to, size_t most,
               Answer& answer) const;

  size_t limit_;
  Arena arena_;
  std::array<uint32_t, kLevels> used_{};
  uint32_t overhead_ = 0;  // cells of columns and buckets
  uint64_t appends_ = 0;
  const Source* writing_ = nullptr;  // its open blocks are not to be taken
  std::vector<Source> sources_;      // has room for kMaxSources; never moves
};

}  // namespace accelmon::store
