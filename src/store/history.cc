#include "store/history.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace accelmon::store {
namespace {

constexpr size_t kLongestName = 64;

// What is held outside the cells.
constexpr size_t kOutside = sizeof(History) + kMaxSources * (sizeof(Source) + kLongestName);

int64_t span_number(Nanos wall, Nanos step) {
  const int64_t number = wall / step;
  return wall % step < 0 ? number - 1 : number;
}

Lanes one_float(double value) {
  return {{std::bit_cast<uint32_t>(static_cast<float>(value)), 0, 0}, 1, false};
}
Lanes one_double(double value) {
  const auto bits = std::bit_cast<uint64_t>(value);
  return {{static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32), 0}, 2, true};
}
Lanes three_floats(const Bucket& bucket) {
  const auto minimum = static_cast<float>(bucket.minimum);
  const auto maximum = static_cast<float>(bucket.maximum);
  // Rounding must not carry the mean past its extremes.
  const auto mean = std::clamp(static_cast<float>(bucket.value / static_cast<double>(bucket.count)), minimum, maximum);
  return {
      {std::bit_cast<uint32_t>(minimum), std::bit_cast<uint32_t>(mean), std::bit_cast<uint32_t>(maximum)}, 3, false};
}

void clear(Bucket& bucket) {
  bucket = Bucket{0, 0, 0, 0};
}

void add(Bucket& bucket, double value, Form form) {
  if (form == Form::total) {
    bucket.value = value;
  } else if (bucket.count == 0) {
    bucket.value = bucket.minimum = bucket.maximum = value;
  } else {
    bucket.value += value;
    bucket.minimum = std::min(bucket.minimum, value);
    bucket.maximum = std::max(bucket.maximum, value);
  }
  ++bucket.count;
}

}  // namespace

void merge(Bucket& into, const Bucket& from, Form form) {
  if (from.count == 0) return;
  if (into.count == 0 || form == Form::total) {
    const uint64_t count = into.count + from.count;
    into = from;
    into.count = count;
    return;
  }
  into.value += from.value;
  into.minimum = std::min(into.minimum, from.minimum);
  into.maximum = std::max(into.maximum, from.maximum);
  into.count += from.count;
}

bool kept(MetricId metric) {
  static const std::vector<bool> table = [] {
    std::vector<bool> keep(all_metrics().size(), true);
    for (const MetricInfo& one : all_metrics())
      if (one.kind == Kind::info) keep[index(one.id)] = false;
    for (const Derivation& smoothed : ema_derivations()) keep[index(smoothed.into)] = false;
    for (const Derivation& smoothed : window_derivations()) keep[index(smoothed.into)] = false;
    return keep;
  }();
  return index(metric) < table.size() && table[index(metric)];
}

Form form_of(MetricId id) {
  const MetricInfo& metric = info(id);
  if (metric.kind == Kind::counter || metric.maximum == kAny) return Form::total;
  if (metric.unit == Unit::one || metric.unit == Unit::bytes_per_second) return Form::narrow;
  return metric.maximum / metric.step <= 16777216.0 ? Form::narrow : Form::wide;
}

History::History(size_t limit) : limit_(limit), arena_(limit > kOutside ? limit - kOutside : 0) {
  sources_.reserve(kMaxSources);
}

size_t History::bytes() const {
  size_t held = sizeof(History) + sources_.capacity() * sizeof(Source) + arena_.bytes();
  for (const Source& source : sources_) held += source.name.capacity();
  return held;
}

Source* History::source_of(std::string_view name) {
  for (Source& source : sources_)
    if (source.name == name) return &source;
  if (sources_.size() == kMaxSources || name.size() > kLongestName) return nullptr;
  sources_.emplace_back();
  sources_.back().name = name;
  return &sources_.back();
}

Cell History::add_column(Source& source, const Fingerprint& key, Form form) {
  const Cell cell = take_overhead();
  if (cell == kNone) return kNone;
  Column& column = arena_.at<Column>(cell);
  column = Column{};
  column.key = key;
  column.next = kNone;
  column.series = kNone;
  column.buckets = kNone;
  column.flags = static_cast<uint32_t>(form);
  if (source.last_column == kNone)
    source.columns = cell;
  else
    arena_.at<Column>(source.last_column).next = cell;
  source.last_column = cell;
  return cell;
}

// Gives every series of the catalog its column. Columns whose series are gone stay until their last row has left.
void History::adopt(Source& source, const CatalogPtr& catalog) {
  source.catalog = catalog;
  struct Wanted {
    Fingerprint key;
    uint32_t series;
    bool has_column = false;
  };
  std::vector<Wanted> wanted;
  FingerprintIndex wanted_of(catalog->series.size());
  for (uint32_t i = 0; i < catalog->series.size(); ++i) {
    const Series& series = catalog->series[i];
    if (!kept(series.metric)) continue;
    const auto number = static_cast<uint32_t>(wanted.size());
    wanted.push_back({fingerprint(*catalog, series), i});
    wanted_of.add(wanted.back().key, number);
  }
  for (Cell cell = source.columns; cell != kNone; cell = arena_.at<Column>(cell).next) {
    Column& column = arena_.at<Column>(cell);
    column.series = kNone;
    const uint32_t found = wanted_of.find(column.key);
    if (found == FingerprintIndex::kNone) continue;
    column.series = wanted[found].series;
    wanted[found].has_column = true;
  }
  // Only now is memory taken: that may free columns whose series are gone, but no longer one that is wanted.
  for (const Wanted& one : wanted) {
    if (one.has_column) continue;
    const Cell cell = add_column(source, one.key, form_of(catalog->series[one.series].metric));
    if (cell == kNone) break;  // more series than the bound has room for: the rest has no history
    arena_.at<Column>(cell).series = one.series;
  }
  for (Cell cell = source.columns; cell != kNone; cell = arena_.at<Column>(cell).next) {
    if (arena_.at<Column>(cell).series == kNone || arena_.at<Column>(cell).buckets != kNone) continue;
    const Cell buckets = take_overhead();
    if (buckets == kNone) break;
    for (Bucket& bucket : arena_.at<Buckets>(buckets).of) clear(bucket);
    arena_.at<Column>(cell).buckets = buckets;
  }
}

void History::append(std::string_view name, const CatalogPtr& catalog, const Frame& frame) {
  if (catalog == nullptr || frame.values.size() < catalog->series.size() ||
      frame.states.size() < catalog->series.size())
    return;
  Source* source = source_of(name);
  if (source == nullptr) return;
  writing_ = source;
  ++appends_;
  // Bounded, so that differences of two never overflow, whatever a collector says.
  const Nanos monotonic = std::clamp<Nanos>(frame.monotonic, 0, Nanos{1} << 62);
  end_buckets(*source, frame);
  if (source->catalog != catalog) adopt(*source, catalog);

  const Cell block = begin_row(*source, 0, frame.wall, monotonic);
  const uint64_t row = block == kNone ? 0 : arena_.at<Block>(block).rows;
  for (Cell cell = source->columns; cell != kNone;) {
    Column& column = arena_.at<Column>(cell);
    const bool there = column.series != kNone && frame.states[column.series] == State::ok &&
                       std::isfinite(frame.values[column.series]);
    if (there) {
      const double value = frame.values[column.series];
      if (column.buckets != kNone) add(arena_.at<Buckets>(column.buckets).of[0], value, column.form());
      if (block != kNone) write(column, 0, row, column.form() == Form::narrow ? one_float(value) : one_double(value));
    } else if (block != kNone) {
      skip(column, 0, row);
    }
    cell = column.next;
  }
  if (block != kNone) end_row(*source, 0);
  source->any_rows = true;
  source->last_wall = frame.wall;
  source->last_monotonic = monotonic;
  writing_ = nullptr;
}

// A bucket ends with the first row that lies in another span of wall time, later or, when the clock was set back,
// earlier.
void History::end_buckets(Source& source, const Frame& frame) {
  const int64_t now[2] = {span_number(frame.wall, kSteps[1]), span_number(frame.wall, kSteps[2])};
  if (source.any_rows && source.bucket[0] != now[0]) {
    write_coarse(source, 1);
    if (source.bucket[1] != now[1]) write_coarse(source, 2);
  }
  source.bucket[0] = now[0];
  source.bucket[1] = now[1];
}

void History::write_coarse(Source& source, size_t level) {
  const Cell block = begin_row(source, level, source.last_wall, source.last_monotonic);
  const uint64_t row = block == kNone ? 0 : arena_.at<Block>(block).rows;
  for (Cell cell = source.columns; cell != kNone;) {
    Column& column = arena_.at<Column>(cell);
    Buckets* buckets = column.buckets == kNone ? nullptr : &arena_.at<Buckets>(column.buckets);
    Bucket* bucket = buckets == nullptr ? nullptr : &buckets->of[level - 1];
    if (bucket != nullptr && bucket->count > 0) {
      if (block != kNone)
        write(column, level, row, column.form() == Form::total ? one_double(bucket->value) : three_floats(*bucket));
      if (level == 1) merge(buckets->of[1], *bucket, column.form());
      clear(*bucket);
    } else if (block != kNone) {
      skip(column, level, row);
    }
    if (buckets != nullptr && column.series == kNone && buckets->of[0].count == 0 && buckets->of[1].count == 0) {
      give_overhead(column.buckets);
      column.buckets = kNone;
    }
    cell = column.next;
  }
  if (block != kNone) end_row(source, level);
}

Cell History::begin_row(Source& source, size_t level, Nanos wall, Nanos monotonic) {
  Source::Level& at = source.levels[level];
  if (at.open == kNone) {
    Cell cells[3];
    for (size_t i = 0; i < 3; ++i) {
      cells[i] = take(level);
      if (cells[i] != kNone) continue;
      while (i > 0) give(cells[--i], level);
      return kNone;
    }
    at.open = cells[0];
    arena_.at<Block>(at.open) = Block{.next = kNone,
                                      .entries = kNone,
                                      .times = {cells[1], cells[2]},
                                      .packed = kNone,
                                      .rows = 0,
                                      .first_monotonic = monotonic,
                                      .earliest = wall,
                                      .latest = wall,
                                      .last_used = appends_};
  }
  Block& block = arena_.at<Block>(at.open);
  arena_.at<std::array<Nanos, 8>>(block.times[block.rows / 8])[block.rows % 8] = wall;
  block.earliest = std::min(block.earliest, wall);
  block.latest = std::max(block.latest, wall);
  block.last_used = appends_;
  return at.open;
}

// From a constant, or nothing, to cells: rows before `row` hold the constant or nothing, those from it on nothing.
bool History::spread(Column& column, size_t level, uint64_t row, uint32_t words, bool is_double) {
  const bool constant = column.mode(level) == Mode::constant;
  uint32_t* open = column.open(level);
  Cell cells[3];
  for (uint32_t i = 0; i < words; ++i) {
    cells[i] = take(level);
    if (cells[i] != kNone) continue;
    while (i > 0) give(cells[--i], level);
    column.set_mode(level, Mode::none);  // no memory: the rows of this block so far are lost
    return false;
  }
  const double nothing = std::numeric_limits<double>::quiet_NaN();
  if (is_double) {
    const double value = std::bit_cast<double>(open[0] | static_cast<uint64_t>(open[1]) << 32);
    for (uint64_t k = 0; k < kRows; ++k)
      arena_.at<std::array<double, 8>>(cells[k / 8])[k % 8] = constant && k < row ? value : nothing;
  } else {
    for (uint32_t i = 0; i < words; ++i)
      for (uint64_t k = 0; k < kRows; ++k)
        arena_.at<std::array<float, kRows>>(cells[i])[k] =
            constant && k < row ? std::bit_cast<float>(open[i]) : static_cast<float>(nothing);
  }
  std::copy_n(cells, words, open);
  column.set_mode(level, Mode::cells);
  return true;
}

void History::write(Column& column, size_t level, uint64_t row, const Lanes& lanes) {
  uint32_t* open = column.open(level);
  if (column.mode(level) == Mode::none && row == 0) {
    std::copy_n(lanes.bits, lanes.words, open);
    column.set_mode(level, Mode::constant);
    return;
  }
  if (column.mode(level) == Mode::constant && std::equal(lanes.bits, lanes.bits + lanes.words, open)) return;
  if (column.mode(level) != Mode::cells && !spread(column, level, row, lanes.words, lanes.is_double)) return;
  if (lanes.is_double) {
    arena_.at<std::array<double, 8>>(open[row / 8])[row % 8] =
        std::bit_cast<double>(lanes.bits[0] | static_cast<uint64_t>(lanes.bits[1]) << 32);
  } else {
    for (uint32_t i = 0; i < lanes.words; ++i)
      arena_.at<std::array<float, kRows>>(open[i])[row] = std::bit_cast<float>(lanes.bits[i]);
  }
}

// A row without a value: what was a constant so far is none any more.
void History::skip(Column& column, size_t level, uint64_t row) {
  if (column.mode(level) != Mode::constant) return;
  spread(column, level, row, column.width(level), column.is_double(level));
}

void History::end_row(Source& source, size_t level) {
  if (++arena_.at<Block>(source.levels[level].open).rows == kRows) close(source, level);
}

// Puts the values of one cell of floats, or of two of doubles, where the block has room for them, and gives the cells
// back; false: they are better off as they are.
bool History::pack_cells(Block& block, Rooms& rooms, size_t level, const Cell* cells, uint32_t count, uint32_t& word) {
  Packed bytes;
  size_t size = 0;
  if (count == 2) {
    std::array<double, kRows> values;
    read_lane(cells, 0, true, values);
    size = pack(std::span<const double, kRows>(values), bytes);
  } else {
    size = pack(std::span<const float, kRows>(arena_.at<std::array<float, kRows>>(cells[0])), bytes);
  }
  if (size == 0) return false;
  // The fullest that has room for it; else one that is given up for the column's own cell.
  Room* best = nullptr;
  Room* fullest = &rooms[0];
  for (Room& room : rooms) {
    if (room.cell == kNone || room.used > fullest->used) fullest = &room;
    if (room.cell == kNone) break;
    if (kPackedBytes - room.used >= size && (best == nullptr || room.used > best->used)) best = &room;
  }
  uint32_t kept = 0;
  if (best == nullptr) {
    if (cells[0] >= kPackable) return false;
    best = fullest;
    *best = {cells[0], 0};
    arena_.at<PackedCell>(cells[0]).next = block.packed;
    block.packed = cells[0];
    kept = 1;
  }
  std::copy_n(bytes.begin(), size, arena_.at<PackedCell>(best->cell).bytes.begin() + best->used);
  word = best->cell << 6 | static_cast<uint32_t>(best->used);
  best->used += size;
  for (uint32_t i = kept; i < count; ++i) give(cells[i], level);
  return true;
}

// Moves what columns hold of the open block into its list of entries.
void History::close(Source& source, size_t level) {
  Source::Level& at = source.levels[level];
  const Cell closed = at.open;
  const Cell directory = take(level);
  if (directory != kNone) std::fill_n(arena_.at<Directory>(directory).lists, std::size(Directory{}.lists), kNone);
  arena_.at<Block>(closed).entries = directory;
  Cell tails[std::size(Directory{}.lists)];
  std::fill(std::begin(tails), std::end(tails), kNone);
  Rooms rooms;
  for (Cell cell = source.columns; cell != kNone;) {
    Column& column = arena_.at<Column>(cell);
    const Mode mode = column.mode(level);
    if (mode != Mode::none) {
      const bool is_double = column.is_double(level);
      uint32_t words = column.width(level);
      const uint32_t* open = column.open(level);
      if (words == 3) {
        // Where min, mean and max are the same throughout, one of them says it all.
        const auto same = [&](uint32_t a, uint32_t b) {
          return mode == Mode::constant
                     ? a == b
                     : std::memcmp(&arena_.at<std::byte>(a), &arena_.at<std::byte>(b), kCellBytes) == 0;
        };
        if (same(open[0], open[1]) && same(open[0], open[2])) {
          if (mode == Mode::cells) {
            give(open[1], level);
            give(open[2], level);
          }
          words = 1;
        }
      }
      Entry made[3];
      for (uint32_t i = 0; i < words; ++i) made[i] = {cell | (mode == Mode::constant ? kConstant : 0), open[i]};
      if (mode == Mode::cells) {
        Block& block = arena_.at<Block>(closed);
        if (is_double) {
          if (pack_cells(block, rooms, level, open, 2, made[0].word)) {
            made[0].column |= kPacked;
            words = 1;
          }
        } else {
          for (uint32_t i = 0; i < words; ++i)
            if (pack_cells(block, rooms, level, &open[i], 1, made[i].word)) made[i].column |= kPacked;
        }
      }
      constexpr uint32_t kEntries = std::size(EntryCell{}.entries);
      const size_t list = Directory::list_of(cell);
      Cell& tail = tails[list];
      if (tail == kNone || kEntries - arena_.at<EntryCell>(tail).count < words) {
        const Cell more = directory == kNone ? kNone : take(level);
        if (more != kNone) {
          arena_.at<EntryCell>(more).next = kNone;
          arena_.at<EntryCell>(more).count = 0;
          (tail == kNone ? arena_.at<Directory>(directory).lists[list] : arena_.at<EntryCell>(tail).next) = more;
          tail = more;
        } else {  // no memory: the column's rows of this block are lost
          for (uint32_t i = 0; i < words; ++i)
            if ((made[i].column & kEntryFlags) == 0) give(made[i].word, level);
          words = 0;
        }
      }
      for (uint32_t i = 0; i < words; ++i) {
        EntryCell& entries = arena_.at<EntryCell>(tail);
        entries.entries[entries.count++] = made[i];
        ++column.refs;
      }
      column.set_mode(level, Mode::none);
    }
    cell = column.next;  // taking memory may have unlinked the one that was next
  }
  if (at.newest == kNone)
    at.oldest = closed;
  else
    arena_.at<Block>(at.newest).next = closed;
  at.newest = closed;
  at.open = kNone;
}

}  // namespace accelmon::store
