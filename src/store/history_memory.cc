// The bound: who gets a cell, and what leaves for it.
#include "store/history.h"

namespace accelmon::store {

uint32_t History::share(size_t level) const {
  const uint32_t rows = arena_.cells() - overhead_;
  return rows / 16 * (level == 0 ? 10 : 3);
}

Cell History::take(size_t level) {
  for (;;) {
    if (used_[level] < share(level)) {
      if (const Cell cell = arena_.take(); cell != kNone) {
        ++used_[level];
        return cell;
      }
      // Columns have come since and made all shares smaller: what lies beyond them goes first.
      bool freed = false;
      for (size_t other = 0; other < kLevels; ++other)
        if (used_[other] > share(other) && evict(other)) freed = true;
      if (freed) continue;
    }
    if (!evict(level)) return kNone;
  }
}

// Columns get at most half of all cells. When that is reached, columns whose series are gone can be had back by giving
// up the rows that hold them.
Cell History::take_overhead() {
  for (;;) {
    if (overhead_ < arena_.cells() / 2) {
      if (const Cell cell = arena_.take(); cell != kNone) {
        ++overhead_;
        return cell;
      }
    } else {
      bool gone = false;
      for (const Source& source : sources_)
        for (Cell cell = source.columns; cell != kNone && !gone; cell = arena_.at<Column>(cell).next)
          gone = arena_.at<Column>(cell).series == kNone;
      if (!gone) return kNone;
    }
    size_t fullest = 0;
    for (size_t level = 1; level < kLevels; ++level)
      if (uint64_t{used_[level]} * share(fullest) > uint64_t{used_[fullest]} * share(level)) fullest = level;
    if (!evict(fullest) && !evict(0) && !evict(1) && !evict(2)) return kNone;
  }
}

void History::give(Cell cell, size_t level) {
  arena_.give(cell);
  --used_[level];
}

void History::give_overhead(Cell cell) {
  arena_.give(cell);
  --overhead_;
}

// Frees the block of a level that was written longest ago. A source that has fallen silent keeps its open block only as
// long as nothing younger has to go for it.
bool History::evict(size_t level) {
  Source* oldest = nullptr;
  bool open = false;
  uint64_t age = 0;
  for (Source& source : sources_) {
    const Source::Level& at = source.levels[level];
    const bool closed = at.oldest != kNone;
    const Cell block = closed ? at.oldest : &source == writing_ ? kNone : at.open;
    if (block == kNone) continue;
    const uint64_t last_used = arena_.at<Block>(block).last_used;
    if (oldest != nullptr && last_used >= age) continue;
    oldest = &source;
    open = !closed;
    age = last_used;
  }
  if (oldest == nullptr) return false;
  if (open)
    drop_open(*oldest, level);
  else
    drop_block(*oldest, level);
  oldest->levels[level].lost = true;
  forget_columns(*oldest);
  return true;
}

void History::drop_block(Source& source, size_t level) {
  Source::Level& at = source.levels[level];
  const Cell cell = at.oldest;
  const Block block = arena_.at<Block>(cell);
  if (block.entries != kNone) {
    for (Cell entries : arena_.at<Directory>(block.entries).lists) {
      while (entries != kNone) {
        const EntryCell list = arena_.at<EntryCell>(entries);
        for (uint32_t i = 0; i < list.count; ++i) {
          const Entry& entry = list.entries[i];
          if ((entry.column & kEntryFlags) == 0) give(entry.word, level);
          --arena_.at<Column>(entry.column & ~kEntryFlags).refs;
        }
        give(entries, level);
        entries = list.next;
      }
    }
    give(block.entries, level);
  }
  for (Cell packed = block.packed; packed != kNone;) {
    const Cell next = arena_.at<PackedCell>(packed).next;
    give(packed, level);
    packed = next;
  }
  for (const Cell times : block.times) give(times, level);
  give(cell, level);
  at.oldest = block.next;
  if (at.oldest == kNone) at.newest = kNone;
}

void History::drop_words(Column& column, size_t level) {
  if (column.mode(level) == Mode::cells) {
    for (uint32_t i = 0; i < column.width(level); ++i) give(column.open(level)[i], level);
  }
  column.set_mode(level, Mode::none);
}

void History::drop_open(Source& source, size_t level) {
  Source::Level& at = source.levels[level];
  for (Cell cell = source.columns; cell != kNone; cell = arena_.at<Column>(cell).next)
    drop_words(arena_.at<Column>(cell), level);
  for (const Cell times : arena_.at<Block>(at.open).times) give(times, level);
  give(at.open, level);
  at.open = kNone;

  // A silent source of which nothing is left needs no columns either.
  for (const Source::Level& other : source.levels)
    if (other.oldest != kNone || other.open != kNone) return;
  source.catalog = nullptr;
  source.any_rows = false;
  for (Cell cell = source.columns; cell != kNone; cell = arena_.at<Column>(cell).next) {
    Column& column = arena_.at<Column>(cell);
    column.series = kNone;
    if (column.buckets != kNone) give_overhead(column.buckets);
    column.buckets = kNone;
  }
}

// Frees the columns whose series are gone and of which no value is left.
void History::forget_columns(Source& source) {
  Cell before = kNone;
  for (Cell cell = source.columns; cell != kNone;) {
    const Column& column = arena_.at<Column>(cell);
    const Cell next = column.next;
    bool held = column.series != kNone || column.refs != 0 || column.buckets != kNone;
    for (size_t level = 0; level < kLevels; ++level) held = held || column.mode(level) != Mode::none;
    if (held) {
      before = cell;
    } else {
      (before == kNone ? source.columns : arena_.at<Column>(before).next) = next;
      if (source.last_column == cell) source.last_column = before;
      give_overhead(cell);
    }
    cell = next;
  }
}

}  // namespace accelmon::store
