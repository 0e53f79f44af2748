#include "store/chunk.h"

#include <algorithm>
#include <cstring>

#include "base/wire.h"
#include "store/checksum.h"
#include "store/varint.h"

namespace accelmon::store {
namespace {

constexpr uint8_t kFormat = 1;
constexpr size_t kLongestSource = 64;
constexpr size_t kTimeColumns = 9;

// When a tier was read, as its age plus one, and 0 where it is as in the row before: between two readings of a slow
// tier nothing is new. An age of -1 has no number then; the head says whether it is written so.
constexpr size_t kReadAt = 6;
int64_t age_of(const RowTimes& row, size_t tier) {
  return static_cast<int64_t>(static_cast<uint64_t>(row.monotonic) - static_cast<uint64_t>(row.read_at[tier]));
}
bool ages_fit(const std::vector<RowTimes>& rows) {
  return std::none_of(rows.begin(), rows.end(), [](const RowTimes& row) {
    return age_of(row, 0) == -1 || age_of(row, 1) == -1 || age_of(row, 2) == -1;
  });
}

// Row times as integers that move little.
int64_t time_column(const std::vector<RowTimes>& rows, size_t at, size_t column, bool repeats) {
  const RowTimes& row = rows[at];
  switch (column) {
    case 0:
      return static_cast<int64_t>(row.seq);
    case 1:
      return row.wall;
    case 2:
      return static_cast<int64_t>(static_cast<uint64_t>(row.wall) - static_cast<uint64_t>(row.monotonic));
    case 3:
      return row.duration;
    case 4:
      return static_cast<int64_t>(row.sequence);
    case 5:
      return row.fresh;
    default:
      if (!repeats) return age_of(row, column - kReadAt);
      if (at > 0 && rows[at - 1].read_at[column - kReadAt] == row.read_at[column - kReadAt]) return 0;
      return static_cast<int64_t>(static_cast<uint64_t>(age_of(row, column - kReadAt)) + 1);
  }
}

void set_time_column(std::vector<RowTimes>& rows, size_t at, size_t column, bool repeats, int64_t value) {
  RowTimes& row = rows[at];
  switch (column) {
    case 0:
      row.seq = static_cast<uint64_t>(value);
      break;
    case 1:
      row.wall = value;
      break;
    case 2:
      row.monotonic = static_cast<Nanos>(static_cast<uint64_t>(row.wall) - static_cast<uint64_t>(value));
      break;
    case 3:
      row.duration = value;
      break;
    case 4:
      row.sequence = static_cast<uint64_t>(value);
      break;
    case 5:
      row.fresh = static_cast<uint8_t>(value);
      break;
    default:
      if (repeats && value == 0 && at > 0)
        row.read_at[column - kReadAt] = rows[at - 1].read_at[column - kReadAt];
      else
        row.read_at[column - kReadAt] =
            static_cast<Nanos>(static_cast<uint64_t>(row.monotonic) - static_cast<uint64_t>(value) + (repeats ? 1 : 0));
  }
}

tl::unexpected<Status> broken(const char* what) {
  return fail(Code::invalid, std::string("a chunk of the history is damaged: ") + what);
}

// Takes the checksum off the end; false: it is not that of the bytes before it.
bool strip_checksum(std::string_view& bytes, uint32_t seed, uint32_t& checksum) {
  if (bytes.size() < sizeof checksum) return false;
  std::memcpy(&checksum, bytes.data() + bytes.size() - sizeof checksum, sizeof checksum);
  bytes.remove_suffix(sizeof checksum);
  return crc32c(bytes, seed) == checksum;
}

void put_checksum(std::string& out, uint32_t checksum) {
  WireWriter(out).put(checksum);
}

uint32_t sheet_seed(uint32_t checksum, uint32_t first_column) {
  return checksum ^ first_column * 0x9e3779b1u;
}

}  // namespace

RowTimes times_of(const Frame& frame, uint64_t seq) {
  return {seq, frame.wall, frame.monotonic, frame.duration, frame.sequence, frame.fresh, frame.read_at};
}

void apply(const RowTimes& times, Frame& frame) {
  frame.wall = times.wall;
  frame.monotonic = times.monotonic;
  frame.duration = times.duration;
  frame.sequence = times.sequence;
  frame.fresh = times.fresh;
  frame.read_at = times.read_at;
}

std::string encode_head(const ChunkHead& head, uint32_t& checksum) {
  std::string out;
  WireWriter w(out);
  w.put(kFormat);
  w.put(head.tier);
  w.text(head.source);
  w.put(head.catalog);
  w.put(head.columns);
  w.put(static_cast<uint32_t>(head.rows.size()));
  const bool repeats = ages_fit(head.rows);
  w.put(static_cast<uint8_t>(repeats));
  ColumnEncoder encoder;
  std::vector<int64_t> values(head.rows.size());
  std::string column;
  for (size_t c = 0; c < kTimeColumns; ++c) {
    for (size_t row = 0; row < values.size(); ++row) values[row] = time_column(head.rows, row, c, repeats);
    column.clear();
    encoder.encode(column, values);
    put_varint(out, column.size());
    out += column;
  }
  checksum = crc32c(out);
  put_checksum(out, checksum);
  return out;
}

Result<ChunkHead> decode_head(std::string_view bytes, uint32_t& checksum) {
  if (!strip_checksum(bytes, 0, checksum)) return broken("the checksum of its head");
  WireReader r(bytes);
  ChunkHead head;
  const auto format = r.get<uint8_t>();
  head.tier = r.get<uint8_t>();
  head.source = r.text(kLongestSource);
  head.catalog = r.get<uint64_t>();
  head.columns = r.get<uint32_t>();
  const auto rows = r.get<uint32_t>();
  const auto repeats = r.get<uint8_t>();
  if (!r.ok() || format != kFormat || head.tier > 2 || rows == 0 || rows > kMaxChunkRows ||
      head.columns > kMaxColumns || repeats > 1)
    return broken("its head");
  head.rows.resize(rows);
  std::string_view rest = r.rest();
  std::vector<int64_t> values(rows);
  ColumnDecoder decoder;
  for (size_t c = 0; c < kTimeColumns; ++c) {
    uint64_t length = 0;
    if (!get_varint(rest, length) || length > rest.size()) return broken("its times");
    if (!decoder.start(rest.substr(0, length), rows) || !decoder.next(std::span<int64_t>(values)))
      return broken("its times");
    rest.remove_prefix(length);
    for (size_t row = 0; row < rows; ++row) set_time_column(head.rows, row, c, repeats != 0, values[row]);
  }
  if (!rest.empty()) return broken("its head is too long");
  return head;
}

void SheetWriter::add(std::string_view column) {
  if (lengths_.empty()) first_column_ = next_column_;
  ++next_column_;
  if (!lengths_.empty() && previous_ == column.size() &&
      std::string_view(data_).substr(data_.size() - previous_) == column) {
    lengths_.push_back(0);
  } else {
    lengths_.push_back(column.size());
    data_ += column;
    previous_ = column.size();
  }
  if (data_.size() >= kSheetBytes) close();
}

void SheetWriter::close() {
  if (lengths_.empty()) return;
  Sheet sheet{first_column_, {}};
  put_varint(sheet.bytes, lengths_.size());
  for (const uint64_t length : lengths_) put_varint(sheet.bytes, length);
  sheet.bytes += data_;
  put_checksum(sheet.bytes, crc32c(sheet.bytes, sheet_seed(checksum_, first_column_)));
  sheets_.push_back(std::move(sheet));
  lengths_.clear();
  data_.clear();
  previous_ = 0;
}

std::vector<Sheet> SheetWriter::finish() {
  close();
  next_column_ = 0;
  return std::move(sheets_);
}

Result<std::vector<std::string_view>> read_sheet(std::string_view bytes, uint32_t checksum, uint32_t first_column) {
  uint32_t own = 0;
  if (!strip_checksum(bytes, sheet_seed(checksum, first_column), own)) return broken("the checksum of a sheet");
  uint64_t count = 0;
  if (!get_varint(bytes, count) || count == 0 || count > kMaxColumns || count > bytes.size())
    return broken("the columns of a sheet");
  std::vector<uint64_t> lengths(count);
  for (uint64_t& length : lengths)
    if (!get_varint(bytes, length)) return broken("the columns of a sheet");
  std::vector<std::string_view> columns;
  columns.reserve(count);
  for (const uint64_t length : lengths) {
    if (length > bytes.size() || (length == 0 && columns.empty())) return broken("the columns of a sheet");
    columns.push_back(length == 0 ? columns.back() : bytes.substr(0, length));
    bytes.remove_prefix(length);
  }
  if (!bytes.empty()) return broken("a sheet is too long");
  return columns;
}

}  // namespace accelmon::store
