// What the store's thread does to the file: writes rows as small chunks, makes large ones and coarser tiers of them,
// and lets the oldest go.
//
// Each step is a transaction: a crash undoes one and tears none. A large chunk comes with its rows in the next tiers,
// so that these are there exactly when it is. Threads: one at a time, under the file's lock for each call that says so.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "store/catalog_blob.h"
#include "store/database.h"
#include "store/disk_store.h"
#include "store/disk_tail.h"

namespace accelmon::store {

class DiskWriter {
 public:
  explicit DiskWriter(const DiskOptions& options) : options_(options) {}

  // The bound of the file alone: the log has its own.
  static uint64_t file_limit(uint64_t limit_bytes);
  static uint64_t log_limit(uint64_t limit_bytes) { return limit_bytes - file_limit(limit_bytes); }

  // Rows as small chunks, and cursors' positions with them, in one transaction. `file_lock` is taken for it.
  Status seal(Database& database, std::mutex& file_lock, std::span<const TailRow> rows,
              std::span<const std::pair<std::string, uint64_t>> cursors);
  // Makes large chunks of all that is due; `stop` is asked between two of them.
  Status merge(Database& database, std::mutex& file_lock, Nanos now, const std::function<bool()>& stop);
  // Drops what is too old, and the oldest while there is too much; `now`: nothing where no clock can say what is too
  // old; `room`: bytes that are about to be written.
  Status retain(Database& database, std::mutex& file_lock, std::optional<Nanos> now, uint64_t room);
  // Keeps the log short.
  Status tidy(Database& database, std::mutex& file_lock);
  // Another file: what was known of the old one's numbers is forgotten.
  void forget() { catalogs_.clear(); }

  uint64_t damaged() const { return damaged_; }
  Nanos span_of(uint8_t tier) const {
    return tier == 0 ? options_.chunk : tier == 1 ? 14'400 * kSecond : 86'400 * kSecond;
  }

 private:
  struct Encoded {
    ChunkRow row;
    std::string source;
    const std::string* catalog = nullptr;  // packed; nullptr: row.catalog says which
    std::string head;
    std::vector<Sheet> sheets;
  };
  struct Piece;  // a chunk that is being merged
  Encoded encode(const std::vector<const TailRow*>& rows, Nanos span);
  Status merge_group(Database& database, std::mutex& file_lock, std::span<const ChunkRow> rows);
  Status remove(Database& database, std::mutex& file_lock, std::span<const ChunkRow> rows);

  DiskOptions options_;
  ColumnEncoder encoder_;
  std::unordered_map<int64_t, std::pair<StoredCatalogPtr, uint64_t>> catalogs_;  // with their hashes
  std::atomic<uint64_t> damaged_{0};
};

}  // namespace accelmon::store
