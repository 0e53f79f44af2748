// The questions: where a column's values lie, and which level answers.
#include <algorithm>
#include <bit>
#include <cmath>

#include "store/history.h"

namespace accelmon::store {

Nanos History::full_rate_span() const {
  Nanos longest = 0;
  for (const Source& source : sources_) {
    const Source::Level& at = source.levels[0];
    const Cell first = at.oldest != kNone ? at.oldest : at.open;
    if (first != kNone) longest = std::max(longest, source.last_monotonic - arena_.at<Block>(first).first_monotonic);
  }
  return longest;
}

// Whether a level has all rows from `from` on that there ever were.
bool History::reaches(const Source& source, size_t level, Nanos from) const {
  const Source::Level& at = source.levels[level];
  if (!at.lost) return true;
  const Cell first = at.oldest != kNone ? at.oldest : at.open;
  return first != kNone && arena_.at<std::array<Nanos, 8>>(arena_.at<Block>(first).times[0])[0] <= from;
}

// Adds the column's points of one level; false: there are more than `most`.
bool History::collect(const Source& source, Cell column_cell, size_t level, Nanos from, Nanos to, size_t most,
                      Answer& answer) const {
  const Column& column = arena_.at<Column>(column_cell);
  const bool is_double = level == 0 ? column.form() != Form::narrow : column.form() == Form::total;
  std::vector<StorePoint>& points = answer.range.points;

  const auto add_block = [&](const Block& block, const uint32_t* words, uint32_t count, bool constant) {
    for (uint64_t row = 0; row < block.rows; ++row) {
      const Nanos wall = arena_.at<std::array<Nanos, 8>>(block.times[row / 8])[row % 8];
      if (wall < from || wall > to) continue;
      StorePoint point{.wall = wall};
      if (is_double) {
        point.mean = constant ? std::bit_cast<double>(words[0] | static_cast<uint64_t>(words[1]) << 32)
                              : arena_.at<std::array<double, 8>>(words[row / 8])[row % 8];
        point.minimum = point.maximum = point.mean;
      } else {
        const auto lane = [&](uint32_t i) {
          const uint32_t word = words[count == 1 ? 0 : i];
          return static_cast<double>(constant ? std::bit_cast<float>(word)
                                              : arena_.at<std::array<float, kRows>>(word)[row]);
        };
        point.minimum = lane(0);
        point.mean = lane(1);
        point.maximum = lane(2);
      }
      if (std::isnan(point.mean)) continue;
      if (points.size() == most) return false;
      points.push_back(point);
    }
    return true;
  };

  const Source::Level& at = source.levels[level];
  size_t rows = kRows + 1;  // of the open block, and the running bucket
  for (Cell cell = at.oldest; cell != kNone; cell = arena_.at<Block>(cell).next) {
    const Block& block = arena_.at<Block>(cell);
    if (block.latest >= from && block.earliest <= to) rows += block.rows;
  }
  points.reserve(std::min(rows, most));
  for (Cell cell = at.oldest; cell != kNone; cell = arena_.at<Block>(cell).next) {
    const Block& block = arena_.at<Block>(cell);
    if (block.latest < from || block.earliest > to) continue;
    uint32_t words[3] = {};
    uint32_t count = 0;
    bool constant = false;
    if (block.entries == kNone) continue;
    for (Cell list = arena_.at<Directory>(block.entries).lists[Directory::list_of(column_cell)];
         list != kNone && count == 0; list = arena_.at<EntryCell>(list).next) {
      const EntryCell& entries = arena_.at<EntryCell>(list);
      for (uint32_t i = 0; i < entries.count; ++i) {
        if ((entries.entries[i].column & ~kConstant) != column_cell) continue;
        constant = (entries.entries[i].column & kConstant) != 0;
        words[count++] = entries.entries[i].word;
      }
    }
    if (count > 0 && !add_block(block, words, count, constant)) return false;
  }
  if (at.open != kNone && column.mode(level) != Mode::none &&
      !add_block(arena_.at<Block>(at.open), column.open(level),
                 is_double    ? 2
                 : level == 0 ? 1
                              : 3,
                 column.mode(level) == Mode::constant))
    return false;
  if (!is_double) answer.floats = points.size();

  // What has been gathered since the last row of a coarse level.
  if (level > 0 && column.buckets != kNone && source.last_wall >= from && source.last_wall <= to) {
    const Buckets& buckets = arena_.at<Buckets>(column.buckets);
    Bucket bucket = buckets.of[level - 1];
    if (level == 2) merge(bucket, buckets.of[0], column.form());
    if (bucket.count > 0) {
      if (points.size() == most) return false;
      const bool total = column.form() == Form::total;
      points.push_back({.wall = source.last_wall,
                        .minimum = total ? bucket.value : bucket.minimum,
                        .mean = total ? bucket.value : bucket.value / static_cast<double>(bucket.count),
                        .maximum = total ? bucket.value : bucket.maximum});
    }
  }
  return true;
}

History::Answer History::query(std::string_view name, std::string_view key, Nanos from, Nanos to,
                               size_t max_points) const {
  Answer answer;
  const auto source =
      std::find_if(sources_.begin(), sources_.end(), [&](const Source& one) { return one.name == name; });
  if (source == sources_.end()) return answer;
  const Fingerprint print = fingerprint(key);
  Cell column = source->columns;
  while (column != kNone && !(arena_.at<Column>(column).key == print)) column = arena_.at<Column>(column).next;
  if (column == kNone) return answer;
  for (size_t level = 0; level < kLevels; ++level) {
    const bool last = level + 1 == kLevels;
    if (!last && !reaches(*source, level, from)) continue;
    answer = Answer{};
    answer.range.step = kSteps[level];
    if (collect(*source, column, level, from, to, last ? SIZE_MAX : max_points, answer)) return answer;
  }
  return answer;
}

}  // namespace accelmon::store
