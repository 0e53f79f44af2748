// What a DiskStore, its thread and its cursors share.
//
// Locks, in the order in which they may be taken: worker (asking the thread for something), cursors, file (the writing
// connection), reader (which connection readers use), state, and the tail's own. The thread holds the file's lock for
// one transaction at a time, so that a cursor's commit waits for one at most.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/log.h"
#include "store/disk_store.h"
#include "store/disk_tail.h"
#include "store/disk_writer.h"
#include "store/file_reader.h"
#include "store/settled_time.h"

namespace accelmon::store {

struct CursorState {
  std::string name;
  CursorStart start = CursorStart::now;
  std::atomic<uint64_t> committed{0};
  std::atomic<uint64_t> position{0};   // of what has been read
  std::atomic<uint64_t> jumped{0};     // lost rows to tell with the next batch
  std::atomic<bool> dirty{false};      // committed here and not on the disk
  OpenChunks chunks;                   // the reader's alone
  std::shared_ptr<FileReader> reader;  // that they were opened with
};

struct ScanState {
  std::shared_ptr<FileReader> reader;
  std::vector<TailRow> tail;  // rows that were not on the disk when the scan began
  size_t tail_at = 0;
  uint64_t position = 0;
  uint64_t last = 0;
  Nanos from = 0;
  Nanos to = 0;
  OpenChunks chunks;
};

class DiskCore {
 public:
  explicit DiskCore(DiskOptions options);
  ~DiskCore();

  void start();
  void stop();

  const DiskOptions options;
  Tail tail;

  void wake();
  Status flush();
  DiskState state() const;

  Result<std::shared_ptr<FileReader>> reader(bool of_cursors);
  // A reader met damage of the file as a whole: the thread looks at all of it.
  void suspect(const Status& status);

  Result<std::shared_ptr<CursorState>> open_cursor(std::string_view name, CursorStart start);
  void close_cursor(CursorState& cursor);
  Status remove_cursor(std::string_view name);
  Status commit(CursorState& cursor);
  Result<FrameBatch> read(CursorState& cursor, size_t max_frames);

 private:
  void run();
  Status cycle();
  Status ensure_open();
  Status try_open();
  Status seal();
  void set_aside(const Status& why);
  void report(const Status& status);
  Nanos wall() const { return options.clock->wall(); }

  std::thread thread_;
  mutable std::mutex worker_mutex_;
  std::condition_variable worker_wakes_;
  std::condition_variable worker_done_;
  uint64_t asked_ = 0;
  uint64_t done_ = 0;
  bool early_ = false;
  std::atomic<bool> stop_{false};
  Status done_status_;

  std::mutex cursor_mutex_;
  std::map<std::string, std::shared_ptr<CursorState>, std::less<>> cursors_;

  std::mutex file_mutex_;
  std::unique_ptr<Database> database_;
  DiskWriter writer_;
  SettledTime settled_time_;
  Nanos newest_at_start_ = 0;          // wall, of the file as it was found
  std::atomic<bool> numbered_{false};  // rows have their numbers after those of a file

  std::mutex reader_mutex_;
  std::shared_ptr<FileReader> readers_[2];

  mutable std::mutex state_mutex_;
  DiskState state_;
  Repeated complaint_;
  std::atomic<bool> suspicious_{false};
};

}  // namespace accelmon::store
