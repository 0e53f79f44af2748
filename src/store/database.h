// The history's file: one SQLite database in WAL mode. The only place that knows SQLite.
//
//   source   names of sources
//   catalog  packed catalogs, each content once
//   chunk    one row a chunk: where it lies in time and in the order of rows, and its head
//   sheet    its columns; id = chunk << 20 | first column
//   cursor   durable positions by name; "" is the highest row number ever given
//
// Writing connections: one, held by a lock on PATH.lock. Reading ones: any number, in any process. An error's code says
// what to do: exhausted (no space), lost (the file is damaged), timeout (somebody else holds it), unsupported (it is
// not ours, or of a newer accelmon), no_permission, io. A transaction that failed is rolled back. Threads: a connection
// is used by one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "store/chunk.h"

namespace accelmon::store {

inline constexpr uint32_t kPageBytes = 4096;

struct ChunkRow {
  int64_t id = 0;
  uint8_t tier = 0;
  bool merged = false;  // large: all that its span had when it was made
  int64_t source = 0;
  int64_t catalog = 0;
  uint32_t rows = 0;
  uint64_t first_seq = 0;  // least and greatest
  uint64_t last_seq = 0;
  Nanos first_wall = 0;
  Nanos last_wall = 0;
  int64_t span = 0;    // number of its span of time since the epoch; the length is the tier's
  uint64_t bytes = 0;  // head and sheets
};

struct TierUse {
  uint64_t bytes = 0;
  uint64_t chunks = 0;
  Nanos oldest = 0;  // wall; 0: none
  Nanos newest = 0;
};

class Database {
 public:
  // Writes, and makes the file where there is none; no more than `max_bytes` of it (0: no bound).
  static Result<std::unique_ptr<Database>> open_to_write(const std::string& path, uint64_t max_bytes);
  static Result<std::unique_ptr<Database>> open_to_read(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // A transaction: of a reader one unchanging view. Ends by itself (undone) when it goes without commit().
  class Transaction {
   public:
    explicit Transaction(Database& database);
    ~Transaction();
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    const Status& begun() const { return begun_; }
    Status commit();

   private:
    Database& database_;
    Status begun_;
    bool open_ = false;
  };

  // ---- writing ----
  Result<int64_t> source_id(std::string_view name);
  // The id of this content, added when it is new.
  Result<int64_t> catalog_id(std::string_view bytes);
  Status add_chunk(ChunkRow& row, std::string_view head, std::span<const Sheet> sheets);  // sets id and bytes
  Status remove_chunk(int64_t id);
  Status remove_unused_catalogs();
  // A position that is less than the one that stands changes nothing, unless it is the first of a cursor `anew`.
  Status set_cursor(std::string_view name, uint64_t position, bool anew = false);
  Status remove_cursor(std::string_view name);

  // ---- reading ----
  Result<std::vector<std::pair<int64_t, std::string>>> sources();
  Result<std::string> catalog(int64_t id);  // checked against its hash
  // Chunks of tier 0 that may have rows in [first, last], by their first row.
  Result<std::vector<ChunkRow>> chunks_between(uint64_t first, uint64_t last);
  // The first row of the next chunk of tier 0 that begins after `seq`; 0: there is none.
  Result<uint64_t> chunk_begins_after(uint64_t seq);
  // Chunks with rows in [from, to] of a source (0: all), by time.
  Result<std::vector<ChunkRow>> chunks_within(uint8_t tier, int64_t source, Nanos from, Nanos to);
  // Small chunks of spans before `span`, by source, catalog, span and first row.
  Result<std::vector<ChunkRow>> unmerged_before(uint8_t tier, int64_t span, size_t limit);
  Result<std::vector<ChunkRow>> oldest(uint8_t tier, Nanos last_wall_before, size_t limit);
  Result<std::string> head(int64_t chunk);
  Result<std::vector<Sheet>> sheets(int64_t chunk);
  Result<Sheet> sheet_with(int64_t chunk, uint32_t column);
  Result<std::optional<uint64_t>> cursor(std::string_view name);
  Result<std::vector<std::pair<std::string, uint64_t>>> cursors();
  Result<uint64_t> highest_seq();  // of rows, cursors and the mark
  Result<TierUse> use(uint8_t tier);

  // ---- the file ----
  struct Size {
    uint64_t bytes = 0;  // of the file
    uint64_t free = 0;   // of them unused
    uint64_t log = 0;    // of the write-ahead log
  };
  Result<Size> size();
  // Moves the log into the file; `shorten` waits for readers a while and cuts the log.
  Status checkpoint(bool shorten);
  // Gives up to so many unused bytes back to the file system.
  Status shrink(uint64_t bytes);
  // Walks the whole structure (seconds for a large file); lost: it is damaged.
  Status check();

 private:
  struct Impl;
  explicit Database(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace accelmon::store
