#include "store/disk_core.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>

namespace accelmon::store {
namespace {

constexpr size_t kMaxCursors = 64;
constexpr uint64_t kSmallestLimit = 1u << 20;

DiskOptions sane(DiskOptions options) {
  options.limit_bytes = std::max(options.limit_bytes, kSmallestLimit);
  options.commit = std::max<Nanos>(options.commit, 10 * kMillisecond);
  options.chunk = std::clamp<Nanos>(options.chunk / (60 * kSecond), 1, 60) * 60 * kSecond;
  options.queue_bytes = std::max<uint64_t>(options.queue_bytes, 64u << 10);
  if (options.clock == nullptr) options.clock = &real_clock();
  return options;
}

DiskHealth health_of(const Status& status) {
  switch (status.code()) {
    case Code::ok:
      return DiskHealth::ok;
    case Code::exhausted:
      return DiskHealth::disk_full;
    case Code::timeout:
      return DiskHealth::behind;
    default:
      return DiskHealth::error;
  }
}

}  // namespace

DiskCore::DiskCore(DiskOptions given) : options(sane(std::move(given))), tail(options.queue_bytes), writer_(options) {}

DiskCore::~DiskCore() {
  stop();
}

void DiskCore::start() {
  report(ensure_open());
  if (options.own_thread) thread_ = std::thread([this] { run(); });
}

void DiskCore::stop() {
  {
    const std::lock_guard lock(worker_mutex_);
    if (stop_.exchange(true)) return;
  }
  worker_wakes_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (!options.own_thread) report(cycle());
  const std::lock_guard lock(file_mutex_);
  if (database_ != nullptr) (void)database_->checkpoint(true);
  database_.reset();
}

void DiskCore::wake() {
  {
    const std::lock_guard lock(worker_mutex_);
    early_ = true;
  }
  worker_wakes_.notify_one();
}

void DiskCore::run() {
  std::unique_lock lock(worker_mutex_);
  for (bool last = false; !last;) {
    worker_wakes_.wait_for(lock, std::chrono::nanoseconds(options.commit),
                           [&] { return stop_.load() || early_ || asked_ != done_; });
    last = stop_.load();
    early_ = false;
    const uint64_t asked = asked_;
    lock.unlock();
    const Status status = cycle();
    report(status);
    lock.lock();
    done_ = asked;
    done_status_ = status;
    worker_done_.notify_all();
  }
}

Status DiskCore::flush() {
  if (!options.own_thread) {
    const Status status = cycle();
    report(status);
    return status;
  }
  std::unique_lock lock(worker_mutex_);
  if (stop_.load()) return {Code::internal, "the history on disk is closed"};
  const uint64_t mine = ++asked_;
  worker_wakes_.notify_one();
  worker_done_.wait(lock, [&] { return done_ >= mine; });
  return done_status_;
}

// ---- the file ----

Status DiskCore::ensure_open() {
  Status status = try_open();
  if (status.code() != Code::lost) return status;
  set_aside(status);
  return try_open();
}

Status DiskCore::try_open() {
  const std::lock_guard cursors(cursor_mutex_);
  const std::lock_guard lock(file_mutex_);
  if (database_ != nullptr) return {};
  Result<std::unique_ptr<Database>> opened =
      Database::open_to_write(options.path, DiskWriter::file_limit(options.limit_bytes));
  if (!opened) return opened.error();
  database_ = std::move(*opened);
  if (numbered_) return {};
  const Result<uint64_t> highest = database_->highest_seq();
  if (!highest) {
    database_.reset();
    return highest.error();
  }
  if (const Result<TierUse> use = database_->use(0); use) newest_at_start_ = use->newest;
  // Rows that came before the file could be opened get their places after all that it has; so do cursors.
  tail.renumber(*highest);
  for (auto& [name, cursor] : cursors_) {
    cursor->position += *highest;
    cursor->committed += *highest;
    cursor->dirty = true;
    const Result<std::optional<uint64_t>> before = database_->cursor(name);
    if (before && *before) cursor->jumped += *highest - std::min(*highest, **before);
  }
  numbered_ = true;
  return {};
}

// The file is damaged: it is kept for people, and a new one begun. Rows and cursors keep their numbers.
void DiskCore::set_aside(const Status& why) {
  {
    const std::lock_guard lock(file_mutex_);
    database_.reset();
    writer_.forget();
  }
  {
    const std::lock_guard lock(reader_mutex_);
    for (auto& reader : readers_) reader.reset();
  }
  // Two are kept: a disk that keeps failing must not be filled with them.
  const std::filesystem::path path(options.path);
  const std::string prefix = path.filename().string() + ".damaged-";
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code error;
  std::vector<std::string> before;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.compare(0, prefix.size(), prefix) == 0 && name.find("-wal") == std::string::npos)
      before.push_back(entry.path().string());
  }
  std::sort(before.begin(), before.end());
  for (size_t i = 0; before.size() - i >= 2; ++i) {
    std::filesystem::remove(before[i], error);
    std::filesystem::remove(before[i] + "-wal", error);
  }
  std::string aside = (folder / (prefix + std::to_string(wall() / kSecond))).string();
  while (std::filesystem::exists(aside, error)) aside += "x";
  std::filesystem::rename(options.path + "-wal", aside + "-wal", error);
  std::filesystem::remove(options.path + "-shm", error);
  std::filesystem::rename(options.path, aside, error);
  log(LogLevel::error, "store",
      "the history on disk is damaged (" + why.message() + "); it was moved to " + aside + " and a new one is begun");
  {
    const std::lock_guard lock(cursor_mutex_);
    for (auto& [name, cursor] : cursors_) cursor->dirty = true;
  }
  const std::lock_guard lock(state_mutex_);
  ++state_.files_damaged;
}

Status DiskCore::seal() {
  std::vector<TailRow> rows;
  tail.copy(rows);
  std::vector<std::pair<std::string, uint64_t>> positions;
  {
    const std::lock_guard lock(cursor_mutex_);
    for (auto& [name, cursor] : cursors_)
      if (cursor->dirty.exchange(false)) positions.emplace_back(name, cursor->committed.load());
  }
  if (rows.empty() && positions.empty()) return {};
  Status status = writer_.seal(*database_, file_mutex_, rows, positions);
  if (!status.ok()) {
    const std::lock_guard lock(cursor_mutex_);
    for (const auto& [name, position] : positions)
      if (const auto cursor = cursors_.find(name); cursor != cursors_.end()) cursor->second->dirty = true;
    return status;
  }
  if (rows.empty()) return {};
  tail.written(rows.back().seq, rows.size());
  const std::lock_guard lock(state_mutex_);
  state_.rows_written += rows.size();
  return {};
}

Status DiskCore::cycle() {
  if (Status status = ensure_open(); !status.ok()) return status;
  const Nanos now = wall();
  const auto work = [&]() -> Status {
    if (suspicious_.exchange(false)) {
      const std::lock_guard lock(file_mutex_);
      if (Status status = database_->check(); status.code() == Code::lost) return status;
    }
    // An eighth of what waits is more than it will take.
    const std::optional<Nanos> settled = settled_time_.look(now, options.clock->monotonic(), newest_at_start_);
    if (Status status = writer_.retain(*database_, file_mutex_, settled, tail.counts().waiting_bytes / 8); !status.ok())
      return status;
    if (Status status = seal(); !status.ok()) return status;
    if (Status status = writer_.tidy(*database_, file_mutex_); !status.ok()) return status;
    // What is left for a merge at the end can be made at the next start.
    return writer_.merge(*database_, file_mutex_, now, [&] {
      (void)writer_.tidy(*database_, file_mutex_);
      return stop_.load();
    });
  };
  Status status = work();
  if (status.code() == Code::lost) {
    set_aside(status);
    status = ensure_open();
    if (status.ok()) status = work();
  }
  return status;
}

// ---- state ----

void DiskCore::report(const Status& status) {
  const Tail::Counts counts = tail.counts();
  DiskState now;
  {
    const std::lock_guard lock(file_mutex_);
    if (database_ != nullptr) {
      if (const auto size = database_->size()) now.bytes = size->bytes + size->log;
      for (uint8_t tier = 0; tier < 3; ++tier)
        if (const auto use = database_->use(tier)) {
          now.tier_bytes[tier] = use->bytes;
          now.tier_oldest[tier] = use->oldest;
        }
    }
  }
  const std::lock_guard lock(state_mutex_);
  state_.bytes = now.bytes;
  state_.tier_bytes = now.tier_bytes;
  state_.tier_oldest = now.tier_oldest;
  const DiskHealth before = state_.health;
  state_.health = health_of(status);
  state_.text = status.message();
  if (status.ok() && counts.waiting_bytes > options.queue_bytes / 2) {
    state_.health = DiskHealth::behind;
    state_.text = "the disk is slower than rows come: " + std::to_string(counts.waiting) + " wait to be written";
  }
  if (state_.health != DiskHealth::ok)
    complaint_.log(LogLevel::warn, "store",
                   "history on disk: " + std::string(to_string(state_.health)) + ": " + state_.text,
                   options.clock->monotonic());
  else if (before != DiskHealth::ok)
    log(LogLevel::info, "store",
        "the history on disk is written again; " + std::to_string(counts.dropped) +
            " rows were dropped since the start");
}

DiskState DiskCore::state() const {
  const Tail::Counts counts = tail.counts();
  const std::lock_guard lock(state_mutex_);
  DiskState state = state_;
  state.rows_dropped = counts.dropped;
  state.rows_waiting = counts.waiting;
  state.chunks_damaged += writer_.damaged();
  return state;
}

void DiskCore::suspect(const Status& status) {
  if (status.code() != Code::lost) return;
  suspicious_ = true;
  const std::lock_guard lock(reader_mutex_);
  for (auto& reader : readers_) reader.reset();
}

Result<std::shared_ptr<FileReader>> DiskCore::reader(bool of_cursors) {
  const std::lock_guard lock(reader_mutex_);
  std::shared_ptr<FileReader>& kept = readers_[of_cursors ? 1 : 0];
  if (kept == nullptr) {
    Result<std::shared_ptr<FileReader>> opened = FileReader::open(options.path);
    if (!opened) return opened;
    kept = *opened;
  }
  return kept;
}

// ---- cursors ----

Result<std::shared_ptr<CursorState>> DiskCore::open_cursor(std::string_view name, CursorStart start) {
  const bool printable = std::all_of(name.begin(), name.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (name.empty() || name.size() > 64 || !printable)
    return fail(Code::invalid, "the name of a cursor is 1 to 64 printable characters");
  const std::lock_guard lock(cursor_mutex_);
  if (cursors_.find(name) != cursors_.end())
    return fail(Code::invalid, "the cursor " + std::string(name) + " is open already");
  auto cursor = std::make_shared<CursorState>();
  cursor->name = name;
  cursor->start = start;
  const std::lock_guard file(file_mutex_);
  std::optional<uint64_t> position;
  if (database_ != nullptr) {
    const Result<std::optional<uint64_t>> known = database_->cursor(name);
    if (!known) return fail(known.error());
    position = *known;
    if (!position) {
      const Result<std::vector<std::pair<std::string, uint64_t>>> all = database_->cursors();
      if (!all) return fail(all.error());
      if (all->size() >= kMaxCursors || cursors_.size() >= kMaxCursors)
        return fail(Code::exhausted, "the history has " + std::to_string(kMaxCursors) + " cursors already");
    }
  }
  if (!position) {
    position = start == CursorStart::now ? tail.next_seq() - 1 : tail.first_seq() - 1;
    if (start == CursorStart::oldest && database_ != nullptr) {
      const Result<uint64_t> first = database_->chunk_begins_after(0);
      if (!first) return fail(first.error());
      if (*first != 0) position = std::min(*position, *first - 1);
    }
    cursor->dirty = true;
    if (database_ != nullptr && database_->set_cursor(name, *position, true).ok()) cursor->dirty = false;
  }
  cursor->position = cursor->committed = *position;
  cursors_.emplace(cursor->name, cursor);
  return cursor;
}

void DiskCore::close_cursor(CursorState& cursor) {
  const std::lock_guard lock(cursor_mutex_);
  const std::lock_guard file(file_mutex_);
  if (cursor.dirty && database_ != nullptr) (void)database_->set_cursor(cursor.name, cursor.committed);
  cursors_.erase(cursor.name);
}

Status DiskCore::remove_cursor(std::string_view name) {
  const std::lock_guard lock(cursor_mutex_);
  if (cursors_.find(name) != cursors_.end()) return {Code::invalid, "the cursor " + std::string(name) + " is open"};
  const std::lock_guard file(file_mutex_);
  if (database_ == nullptr) return {Code::not_ready, "the history's file is not open"};
  return database_->remove_cursor(name);
}

Status DiskCore::commit(CursorState& cursor) {
  const std::lock_guard lock(cursor_mutex_);
  if (cursor.committed == cursor.position) return {};
  cursor.committed = cursor.position.load();
  cursor.dirty = true;
  const std::lock_guard file(file_mutex_);
  if (database_ == nullptr) return {Code::not_ready, "the history's file is not open"};
  Status status = database_->set_cursor(cursor.name, cursor.committed);
  if (status.ok()) cursor.dirty = false;
  return status;
}

Result<FrameBatch> DiskCore::read(CursorState& cursor, size_t max_frames) {
  // Until rows have their final numbers, these must not change while they are read.
  std::unique_lock<std::mutex> numbers;
  if (!numbered_) numbers = std::unique_lock(cursor_mutex_);
  BatchBuilder batch;
  batch.lose(cursor.jumped.exchange(0));
  std::vector<TailRow> rows;
  while (max_frames > 0) {
    const uint64_t position = cursor.position;
    if (tail.copy(position, max_frames - batch.frames(), rows)) {
      for (TailRow& row : rows) {
        cursor.position = row.seq;
        batch.add(row.layout->source, row.layout->catalog, row.seq, std::move(row.frame));
      }
      // Nothing of the file is needed any more.
      cursor.chunks.clear();
      cursor.reader.reset();
      break;
    }
    const uint64_t first_waiting = tail.first_seq();
    const uint64_t through = std::min(position + max_frames - batch.frames(), first_waiting - 1);
    Result<std::shared_ptr<FileReader>> reader = this->reader(true);
    if (!reader) {
      if (batch.frames() > 0) break;
      return fail(reader.error());
    }
    if (cursor.reader != *reader) {
      cursor.chunks.clear();
      cursor.reader = *reader;
    }
    uint64_t found = 0;
    uint64_t skip_to = UINT64_MAX;
    const Status status =
        (*reader)->rows(position, through, INT64_MIN, INT64_MAX, cursor.chunks, batch, found, skip_to);
    if (!status.ok()) {
      cursor.chunks.clear();
      suspect(status);
      if (batch.frames() > 0) break;
      cursor.jumped += batch.lost();
      return fail(status);
    }
    uint64_t end = through;
    if (skip_to != UINT64_MAX)
      end = std::max(through, (skip_to == 0 ? first_waiting : std::min(skip_to, first_waiting)) - 1);
    batch.lose(end - position - std::min(found, end - position));
    cursor.position = end;
    if (batch.frames() >= max_frames) break;
  }
  return batch.finish();
}

}  // namespace accelmon::store
