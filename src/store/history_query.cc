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

// The values of one block: of floats by one word, of doubles by two, where they are not packed.
void History::read_lane(const uint32_t* words, uint32_t flags, bool is_double, std::span<double, kRows> out) const {
  if ((flags & kConstant) != 0) {
    std::fill(out.begin(), out.end(),
              is_double ? std::bit_cast<double>(words[0] | static_cast<uint64_t>(words[1]) << 32)
                        : static_cast<double>(std::bit_cast<float>(words[0])));
    return;
  }
  std::span<const std::byte> packed;
  if ((flags & kPacked) != 0) packed = std::span(arena_.at<PackedCell>(words[0] >> 6).bytes).subspan(words[0] & 63u);
  if (is_double) {
    if (!packed.empty()) return unpack(packed, out);
    for (size_t i = 0; i < 2; ++i)
      std::copy_n(arena_.at<std::array<double, 8>>(words[i]).data(), 8, out.data() + 8 * i);
    return;
  }
  std::array<float, kRows> floats;
  if (!packed.empty())
    unpack(packed, std::span<float, kRows>(floats));
  else
    floats = arena_.at<std::array<float, kRows>>(words[0]);
  std::copy(floats.begin(), floats.end(), out.begin());
}

// Adds the column's points of one level; false: there are more than `most`.
bool History::collect(const Source& source, Cell column_cell, size_t level, Nanos from, Nanos to, size_t most,
                      Answer& answer) const {
  const Column& column = arena_.at<Column>(column_cell);
  const bool is_double = column.is_double(level);
  std::vector<StorePoint>& points = answer.range.points;

  const auto add_block = [&](const Block& block, const uint32_t* words, const uint32_t* flags, uint32_t count) {
    std::array<std::array<double, kRows>, 3> lanes;
    const size_t last = is_double || count == 1 ? 0 : 2;
    for (size_t i = 0; i <= last; ++i) read_lane(words + i, flags[i], is_double, lanes[i]);
    for (size_t row = 0; row < block.rows; ++row) {
      const Nanos wall = arena_.at<std::array<Nanos, 8>>(block.times[row / 8])[row % 8];
      if (wall < from || wall > to) continue;
      const StorePoint point{
          .wall = wall, .minimum = lanes[0][row], .mean = lanes[last / 2][row], .maximum = lanes[last][row]};
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
    uint32_t flags[3] = {};
    uint32_t count = 0;
    if (block.entries == kNone) continue;
    for (Cell list = arena_.at<Directory>(block.entries).lists[Directory::list_of(column_cell)];
         list != kNone && count == 0; list = arena_.at<EntryCell>(list).next) {
      const EntryCell& entries = arena_.at<EntryCell>(list);
      for (uint32_t i = 0; i < entries.count; ++i) {
        if ((entries.entries[i].column & ~kEntryFlags) != column_cell) continue;
        flags[count] = entries.entries[i].column & kEntryFlags;
        words[count++] = entries.entries[i].word;
      }
    }
    if (count > 0 && !add_block(block, words, flags, count)) return false;
  }
  if (at.open != kNone && column.mode(level) != Mode::none) {
    const uint32_t flag = column.mode(level) == Mode::constant ? kConstant : 0;
    const uint32_t flags[3] = {flag, flag, flag};
    if (!add_block(arena_.at<Block>(at.open), column.open(level), flags, column.width(level))) return false;
  }
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
