// A chunk: the polls of one source over one catalog in one span of time, by columns.
//
// A chunk is a head (whose it is, and the times of its rows) and sheets, each of which has the bytes of some columns
// that follow one another, so that reading one series does not read them all. Both carry checksums; a sheet's goes on
// from its head's, so that no sheet passes as another chunk's. A chunk of tier 0 has a row for each poll and a column
// for each series; of tiers 1 and 2 a row for each span of 10 s or 1 min and three columns a series: minimum, mean,
// maximum. A column that is the same as the one before it costs one byte.
//
// Everything read is suspected: what does not fit is an error, and bounded by kMaxChunkRows and kMaxColumns.
// Threads: values.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "model/frame.h"
#include "store/column.h"

namespace accelmon::store {

inline constexpr uint32_t kMaxColumns = 3 * 100'000;
inline constexpr size_t kSheetBytes = 64 << 10;  // a sheet is closed once it has so many

// A row's place in the whole history, and what a frame says about its time.
struct RowTimes {
  uint64_t seq = 0;
  Nanos wall = 0;
  Nanos monotonic = 0;
  Nanos duration = 0;
  uint64_t sequence = 0;
  uint8_t fresh = 0;
  std::array<Nanos, 3> read_at{};

  bool operator==(const RowTimes&) const = default;
};

RowTimes times_of(const Frame& frame, uint64_t seq);
void apply(const RowTimes& times, Frame& frame);

struct ChunkHead {
  uint8_t tier = 0;
  std::string source;
  uint64_t catalog = 0;  // content hash of its bytes on disk
  uint32_t columns = 0;
  std::vector<RowTimes> rows;
};

// The bytes of a head; the checksum that its sheets go on from is in `checksum`.
std::string encode_head(const ChunkHead& head, uint32_t& checksum);
Result<ChunkHead> decode_head(std::string_view bytes, uint32_t& checksum);

struct Sheet {
  uint32_t first_column = 0;
  std::string bytes;
};

// Gathers encoded columns, in order, into sheets.
class SheetWriter {
 public:
  explicit SheetWriter(uint32_t checksum) : checksum_(checksum) {}
  void add(std::string_view column);
  std::vector<Sheet> finish();

 private:
  void close();
  uint32_t checksum_;
  uint32_t next_column_ = 0;
  uint32_t first_column_ = 0;
  std::vector<uint64_t> lengths_;
  std::string data_;
  size_t previous_ = 0;  // length of the last column that has bytes, which are the last in data_
  std::vector<Sheet> sheets_;
};

// The columns of a sheet, in order; views into `bytes`.
Result<std::vector<std::string_view>> read_sheet(std::string_view bytes, uint32_t checksum, uint32_t first_column);

}  // namespace accelmon::store
