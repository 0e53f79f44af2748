// Reads the history's file: rows in their order, one series over time, what series there are.
//
// A damaged chunk is passed over and counted; an error is returned only when the file as a whole cannot be read.
// Threads: any; one connection behind one lock. Rows are decoded outside of it, series within.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "store/catalog_blob.h"
#include "store/database.h"
#include "store/disk_store.h"
#include "store/frame_batch.h"

namespace accelmon::store {

inline constexpr std::array<Nanos, 3> kTierSteps{0, 10 * kSecond, 60 * kSecond};

// A chunk of tier 0 that is being read row by row.
struct OpenChunk {
  int64_t id = 0;
  ChunkHead head;
  StoredCatalogPtr catalog;
  std::vector<Sheet> sheets;
  std::vector<ColumnDecoder> columns;  // of each series of the catalog
  size_t next_row = 0;
};
using OpenChunks = std::vector<std::unique_ptr<OpenChunk>>;

// Samples of one series, for tiers: absent ones are left out.
struct SamplePoint {
  uint64_t seq = 0;
  Nanos wall = 0;
  double minimum = 0;
  double mean = 0;
  double maximum = 0;
};

// What the tail adds to a question about one series.
using TailSamples = std::function<void(uint64_t after_seq, std::vector<SamplePoint>& out)>;

class FileReader {
 public:
  static Result<std::shared_ptr<FileReader>> open(const std::string& path);

  // Adds the rows of (after, through] that lie in [from, to] of wall time. When not a single chunk has any of them,
  // `skip_to` is the number of the next row on the disk after them, or 0; else it is untouched.
  Status rows(uint64_t after, uint64_t through, Nanos from, Nanos to, OpenChunks& open, BatchBuilder& out,
              uint64_t& found, uint64_t& skip_to);
  // The numbers of the first and last row that may lie in the span; 0, 0: none.
  Result<std::pair<uint64_t, uint64_t>> span_of_rows(Nanos from, Nanos to);

  Result<StoreRange> query(std::string_view source, std::string_view key, Nanos from, Nanos to, size_t max_points,
                           const TailSamples& tail);
  Result<std::vector<HistorySeries>> list(Nanos from, Nanos to);

  uint64_t damaged() const;

 private:
  explicit FileReader(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  Result<StoredCatalogPtr> catalog_of(int64_t id);
  Result<std::unique_ptr<OpenChunk>> open_chunk(const ChunkRow& row);
  Result<ChunkHead> head_of(const ChunkRow& row, uint32_t& checksum);
  Status series_points(const ChunkRow& row, std::string_view key, Nanos from, Nanos to, std::vector<SamplePoint>& out);
  bool damage(int64_t chunk, const Status& status);  // false: no damage of a chunk but of more

  mutable std::mutex mutex_;
  std::unique_ptr<Database> database_;
  std::unordered_map<int64_t, StoredCatalogPtr> catalogs_;
  std::unordered_map<int64_t, uint64_t> hashes_;
  std::set<int64_t> damaged_;
};

}  // namespace accelmon::store
