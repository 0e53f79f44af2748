// Whatever the history's file may hold: heads, sheets, columns and catalogs, each read as what it says it is. The first
// byte says as which; checksums are mended first, so that what lies behind them is reached.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "store/catalog_blob.h"
#include "store/checksum.h"
#include "store/chunk.h"
#include "store/column.h"

using namespace accelmon;
using namespace accelmon::store;

namespace {

void mend(std::string& bytes, uint32_t seed) {
  if (bytes.size() < 4) return;
  const uint32_t sum = crc32c(std::string_view(bytes).substr(0, bytes.size() - 4), seed);
  std::memcpy(bytes.data() + bytes.size() - 4, &sum, 4);
}

void read_column(std::string_view bytes, size_t rows) {
  ColumnDecoder decoder;
  std::vector<double> values(rows);
  std::vector<State> states(rows);
  if (decoder.start(bytes, rows) && decoder.next(values, states)) {
    for (const State state : states)
      if (static_cast<size_t>(state) >= kStates) std::abort();
    // What was read must survive being written and read again.
    std::string again;
    ColumnEncoder().encode(again, values, states, 0.001);
    ColumnDecoder second;
    std::vector<double> values_again(rows);
    std::vector<State> states_again(rows);
    if (!second.start(again, rows) || !second.next(values_again, states_again)) std::abort();
    if (states != states_again || std::memcmp(values.data(), values_again.data(), rows * sizeof(double)) != 0)
      std::abort();
  }
  std::vector<int64_t> numbers(rows);
  if (decoder.start(bytes, rows)) (void)decoder.next(std::span<int64_t>(numbers));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 3, size - 3);
  const size_t rows = 1 + (data[1] | static_cast<size_t>(data[2]) << 8) % 2000;
  switch (data[0] % 4) {
    case 0: {
      mend(bytes, 0);
      uint32_t checksum = 0;
      const Result<ChunkHead> head = decode_head(bytes, checksum);
      if (!head) break;
      if (head->rows.empty() || head->rows.size() > kMaxChunkRows) std::abort();
      uint32_t again = 0;
      const Result<ChunkHead> second = decode_head(encode_head(*head, again), checksum);
      if (!second || second->rows != head->rows) std::abort();
      break;
    }
    case 1: {
      mend(bytes, 0);
      const auto columns = read_sheet(bytes, 0, 0);
      if (!columns) break;
      for (size_t i = 0; i < columns->size() && i < 8; ++i) read_column((*columns)[i], rows);
      break;
    }
    case 2:
      read_column(bytes, rows);
      break;
    default: {
      const Result<StoredCatalogPtr> stored = unpack_catalog(bytes, 1);
      if (!stored) break;
      if (!validate(*(*stored)->catalog).ok() || (*stored)->columns.size() != (*stored)->catalog->series.size())
        std::abort();
      for (const uint32_t column : (*stored)->columns)
        if (column >= (*stored)->column_count) std::abort();
    }
  }
  return 0;
}
