// The history on disk: what the ring in memory holds and more, over restarts; and the queue of every push exporter.
//
// Rows (one poll of one source) come from the agent's main thread into a bounded queue. A thread of the store's own
// writes them every few seconds as small chunks and later makes large ones of them, with coarser tiers beside: every
// poll for a day, 10 s for a week, 1 min for three months, each with minimum, mean and maximum. What leaves: the
// oldest, by age and by a bound in bytes that the file and its log stay below; when it is reached, every poll has half,
// 10 s and 1 min a quarter each, and the finest tier that has more than its share gives first.
//
// Lossless: at full rate a value that is read back is the double that was appended, bit for bit, and an absent one the
// state that it was. Infos are kept as series (they cost nothing), smoothed values and windows are not. In coarse tiers
// minimum, maximum and last value are exact; a mean is rounded to a tenth of the driver's resolution.
//
// A crash takes what was not written yet (`commit`), a power cut at most some seconds more, and neither the rest. When
// the disk is full or fails the queue fills, the oldest rows in it are dropped and counted, and writing goes on by
// itself once it can. A file that turns out damaged is moved aside (PATH.damaged-TIME, two of them at most) and a new
// one begun.
//
// Threads: append() by one thread; everything else from any. Cost: append() copies a row under a short lock, about a
// microsecond for 1,000 series, and between changes of catalogs calls neither the kernel nor the allocator.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "model/catalog.h"
#include "model/frame.h"
#include "store/frame_batch.h"
#include "store/store.h"

namespace accelmon {

struct DiskOptions {
  std::string path;                   // of the file; its folder is made when it is not there
  uint64_t limit_bytes = 512u << 20;  // of the file and its log together; at least 1 MiB
  Nanos commit = 10 * kSecond;        // how often what is queued is written: what a crash takes
  Nanos chunk = 900 * kSecond;        // time in a large chunk; a whole number of minutes, 1 to 60
  std::array<Nanos, 3> keep{24 * 3600 * kSecond, 7 * 86400 * kSecond, 90 * 86400 * kSecond};  // every poll, 10 s, 1 min
  uint64_t queue_bytes = 16u << 20;  // rows that wait to be written; more are dropped, the oldest first
  const Clock* clock = nullptr;      // wall time decides what is too old; nullptr: the system's
  bool own_thread = true;            // false: nothing happens but in flush() (tests)
};

enum class DiskHealth : uint8_t {
  ok,
  behind,     // the disk is slower than the rows come
  disk_full,  // no space: rows wait, and the oldest are dropped
  error,      // the file cannot be used
};
inline constexpr size_t kDiskHealths = 4;
std::string_view to_string(DiskHealth health);

struct DiskState {
  DiskHealth health = DiskHealth::ok;
  std::string text;           // for people: what is wrong; empty while it is ok
  uint64_t rows_written = 0;  // since the start
  uint64_t rows_dropped = 0;  // that were never written
  uint64_t rows_waiting = 0;
  uint64_t chunks_damaged = 0;  // whose checksums were wrong
  uint64_t files_damaged = 0;   // moved aside
  uint64_t bytes = 0;           // of the file and its log
  std::array<uint64_t, 3> tier_bytes{};
  std::array<Nanos, 3> tier_oldest{};  // wall time; 0: nothing there
};

// A series that the history has rows of.
struct HistorySeries {
  std::string source;
  std::string key;      // series_key
  CatalogPtr catalog;   // the newest that has it: device and attributes
  uint32_t series = 0;  // index into it
};

namespace store {
class DiskCore;
class FileReader;
struct CursorState;
struct ScanState;
}  // namespace store

// Reads a span of time from its beginning to its end, every poll of it. What comes later is not waited for.
class HistoryScan {
 public:
  HistoryScan(HistoryScan&&) noexcept;
  HistoryScan& operator=(HistoryScan&&) noexcept;
  ~HistoryScan();
  // At most `max_frames` polls; an empty batch is the end.
  Result<FrameBatch> next(size_t max_frames);

 private:
  friend class DiskStore;
  friend class HistoryFile;
  explicit HistoryScan(std::unique_ptr<store::ScanState> state);
  std::unique_ptr<store::ScanState> state_;
};

// A durable position of a reader that takes every poll once, over restarts and outages. Closed when it goes; the
// position stays. Threads: one at a time.
class HistoryCursor {
 public:
  HistoryCursor(HistoryCursor&&) noexcept;
  HistoryCursor& operator=(HistoryCursor&&) noexcept;
  ~HistoryCursor();

  // The next rows, at most `max_frames` of them, whether they are on the disk yet or not; empty when there are none.
  // Rows that are no longer there are jumped over and counted in the batch.
  Result<FrameBatch> read(size_t max_frames);
  // What has been read is done with, and never read again, after a crash neither. On an error it is done with in this
  // process, and written as soon as that is possible.
  Status commit();
  // What was read since the last commit is read again.
  void rewind();
  // Rows that came after what has been read.
  uint64_t behind() const;

 private:
  friend class DiskStore;
  HistoryCursor(std::shared_ptr<store::DiskCore> core, std::shared_ptr<store::CursorState> state);
  std::shared_ptr<store::DiskCore> core_;
  std::shared_ptr<store::CursorState> state_;
};

enum class CursorStart : uint8_t { now, oldest };

class DiskStore {
 public:
  // Always gives a store: one whose file cannot be used says so in state(), and tries again.
  static std::unique_ptr<DiskStore> open(DiskOptions options);
  ~DiskStore();  // writes what is queued
  DiskStore(const DiskStore&) = delete;
  DiskStore& operator=(const DiskStore&) = delete;

  void append(std::string_view source, const CatalogPtr& catalog, const Frame& frame);
  // Writes what is queued now, and does what is due of merging and retention; waits for it. For tests and for the end.
  Status flush();
  DiskState state() const;
  const std::string& path() const;  // of its file

  // As Store::query. The samples of one series in [from, to], from the finest tier that reaches back to `from` and
  // gives at most `max_points`, else from the coarsest.
  Result<StoreRange> query(std::string_view source, std::string_view key, Nanos from, Nanos to,
                           size_t max_points) const;
  // Every series with rows in [from, to] of any tier, by source and key.
  Result<std::vector<HistorySeries>> list(Nanos from, Nanos to) const;
  Result<HistoryScan> scan(Nanos from, Nanos to) const;

  // The position of this name: as it was committed, or where `start` says when it is new. `invalid`: it is open
  // already, or its name is not 1 to 64 printable characters; exhausted: there are 64 already.
  Result<HistoryCursor> open_cursor(std::string_view name, CursorStart start = CursorStart::now);
  Status remove_cursor(std::string_view name);

 private:
  explicit DiskStore(std::shared_ptr<store::DiskCore> core);
  std::shared_ptr<store::DiskCore> core_;
};

// A file of history that no agent need be running for, or that one is writing to: accelmon export, replay.
class HistoryFile {
 public:
  static Result<HistoryFile> open(const std::string& path);
  HistoryFile(HistoryFile&&) noexcept;
  HistoryFile& operator=(HistoryFile&&) noexcept;
  ~HistoryFile();

  Result<StoreRange> query(std::string_view source, std::string_view key, Nanos from, Nanos to,
                           size_t max_points) const;
  Result<std::vector<HistorySeries>> list(Nanos from, Nanos to) const;
  Result<HistoryScan> scan(Nanos from, Nanos to) const;

 private:
  explicit HistoryFile(std::shared_ptr<store::FileReader> reader);
  std::shared_ptr<store::FileReader> reader_;
};

}  // namespace accelmon
