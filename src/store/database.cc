#include "store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <unordered_map>

#include "base/fd.h"
#include "store/checksum.h"

namespace accelmon::store {
namespace {

constexpr int kApplication = 0x61636d68;  // "acmh"
constexpr int kVersion = 1;
constexpr int kBusyMs = 5000;
constexpr unsigned kColumnBits = 20;
static_assert(kMaxColumns < (1u << kColumnBits));
constexpr size_t kLongestBlob = 256u << 20;

constexpr const char* kSchema = R"(
CREATE TABLE source(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE catalog(id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE INDEX catalog_hash ON catalog(hash);
CREATE TABLE chunk(id INTEGER PRIMARY KEY AUTOINCREMENT, tier INTEGER NOT NULL, merged INTEGER NOT NULL,
  source INTEGER NOT NULL, catalog INTEGER NOT NULL, rows INTEGER NOT NULL, first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, first_wall INTEGER NOT NULL, last_wall INTEGER NOT NULL, span INTEGER NOT NULL,
  bytes INTEGER NOT NULL, head BLOB NOT NULL);
CREATE INDEX chunk_seq ON chunk(last_seq) WHERE tier = 0;
CREATE INDEX chunk_time ON chunk(tier, last_wall, first_wall, bytes);
CREATE INDEX chunk_small ON chunk(tier, span) WHERE merged = 0;
CREATE INDEX chunk_catalog ON chunk(catalog);
CREATE TABLE sheet(id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE cursor(name TEXT PRIMARY KEY, position INTEGER NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;
)";

int64_t cursor_sum(std::string_view name, uint64_t position) {
  std::string text(name);
  text.append(reinterpret_cast<const char*>(&position), sizeof position);
  return static_cast<int64_t>(content_hash(text));
}

}  // namespace

struct Database::Impl {
  std::string path;
  UniqueFd lock;
  sqlite3* db = nullptr;
  std::unordered_map<const char*, sqlite3_stmt*> statements;

  ~Impl() {
    for (const auto& [sql, statement] : statements) sqlite3_finalize(statement);
    sqlite3_close_v2(db);
  }

  Status error(int code) const {
    const int last = errno;
    const int base = code & 0xff;
    // SQLite forgets why a commit could not be written; what it did since has succeeded and left errno alone.
    const int system = sqlite3_system_errno(db) != 0 ? sqlite3_system_errno(db) : code == SQLITE_IOERR_WRITE ? last : 0;
    std::string text = path + ": " + (db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code));
    if (base == SQLITE_IOERR && system != 0) text += std::string(" (") + std::strerror(system) + ")";
    if (base == SQLITE_FULL || (base == SQLITE_IOERR && (system == ENOSPC || system == EDQUOT || system == EFBIG)))
      return {Code::exhausted, std::move(text)};
    switch (base) {
      case SQLITE_CORRUPT:
      case SQLITE_NOTADB:
      case SQLITE_FORMAT:
        return {Code::lost, std::move(text)};
      case SQLITE_BUSY:
      case SQLITE_LOCKED:
        return {Code::timeout, std::move(text)};
      case SQLITE_PERM:
      case SQLITE_READONLY:
      case SQLITE_AUTH:
        return {Code::no_permission, std::move(text)};
      case SQLITE_CANTOPEN:
        return {system == EACCES || system == EROFS ? Code::no_permission : Code::io, std::move(text)};
      default:
        return {Code::io, std::move(text)};
    }
  }

  Status run(const char* sql) {
    const int code = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
    return code == SQLITE_OK ? Status() : error(code);
  }

  Result<int64_t> number(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    int code = sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr);
    int64_t value = 0;
    if (code == SQLITE_OK) {
      code = sqlite3_step(statement);
      if (code == SQLITE_ROW) value = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE) return fail(error(code));
    return value;
  }

  Status open(int flags, const std::string& name) {
    int code = sqlite3_open_v2(name.c_str(), &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
    if (code != SQLITE_OK) {
      Status status = error(code);
      sqlite3_close_v2(db);
      db = nullptr;
      return status;
    }
    sqlite3_db_config(db, SQLITE_DBCONFIG_LOOKASIDE, nullptr, 512, 32);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_busy_timeout(db, kBusyMs);
    // What a damaged file says of its own lengths is not believed.
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, static_cast<int>(kLongestBlob));
    // A mapped file that cannot be read would be a SIGBUS, so nothing is mapped; cells are checked as they are read.
    return run("PRAGMA mmap_size=0; PRAGMA cell_size_check=ON; PRAGMA cache_size=-512; PRAGMA temp_store=MEMORY");
  }

  // Ours, and of a version that we know; `fresh`: there is nothing in it.
  Status identify(bool& fresh) {
    const Result<int64_t> tables = number("SELECT count(*) FROM sqlite_master");
    if (!tables) return tables.error();
    const Result<int64_t> application = number("PRAGMA application_id");
    if (!application) return application.error();
    const Result<int64_t> version = number("PRAGMA user_version");
    if (!version) return version.error();
    fresh = *tables == 0 && *application == 0;
    if (fresh) return {};
    if (*application != kApplication) return {Code::unsupported, path + " is a database of something else"};
    if (*version != kVersion)
      return {Code::unsupported, path + " was written by another version of accelmon (format " +
                                     std::to_string(*version) + ", this one reads " + std::to_string(kVersion) + ")"};
    return {};
  }
};

namespace {

// A prepared statement in use; ready for the next one when it goes.
class Query {
 public:
  template <class Impl>
  Query(Impl& impl, const char* sql) {
    sqlite3_stmt*& kept = impl.statements[sql];
    if (kept == nullptr) code_ = sqlite3_prepare_v3(impl.db, sql, -1, SQLITE_PREPARE_PERSISTENT, &kept, nullptr);
    statement_ = kept;
  }
  ~Query() {
    if (statement_ == nullptr) return;
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& bind(int64_t value) {
    if (statement_ != nullptr) note(sqlite3_bind_int64(statement_, ++bound_, value));
    return *this;
  }
  Query& bind(uint64_t value) { return bind(static_cast<int64_t>(value)); }
  Query& text(std::string_view value) {
    if (statement_ != nullptr)
      note(sqlite3_bind_text(statement_, ++bound_, value.data(), static_cast<int>(value.size()), SQLITE_STATIC));
    return *this;
  }
  Query& blob(std::string_view value) {
    if (statement_ != nullptr)
      note(sqlite3_bind_blob(statement_, ++bound_, value.data(), static_cast<int>(value.size()), SQLITE_STATIC));
    return *this;
  }
  bool row() {
    if (code_ != SQLITE_OK || statement_ == nullptr) return false;
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) code_ = code;
    return false;
  }
  int64_t integer(int column) { return sqlite3_column_int64(statement_, column); }
  std::string_view bytes(int column) {
    const void* data = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    return data == nullptr ? std::string_view()
                           : std::string_view(static_cast<const char*>(data), static_cast<size_t>(size));
  }
  int code() const { return code_; }
  bool ok() const { return code_ == SQLITE_OK; }

 private:
  void note(int code) {
    if (code != SQLITE_OK && code_ == SQLITE_OK) code_ = code;
  }
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
  int code_ = SQLITE_OK;
};

constexpr const char* kDamagedRow = ": a row of the history is damaged";

#define CHUNK_COLUMNS "id, tier, merged, source, catalog, rows, first_seq, last_seq, first_wall, last_wall, span, bytes"

ChunkRow chunk_row(Query& query) {
  ChunkRow row;
  row.id = query.integer(0);
  row.tier = static_cast<uint8_t>(query.integer(1));
  row.merged = query.integer(2) != 0;
  row.source = query.integer(3);
  row.catalog = query.integer(4);
  row.rows = static_cast<uint32_t>(query.integer(5));
  row.first_seq = static_cast<uint64_t>(query.integer(6));
  row.last_seq = static_cast<uint64_t>(query.integer(7));
  row.first_wall = query.integer(8);
  row.last_wall = query.integer(9);
  row.span = query.integer(10);
  row.bytes = static_cast<uint64_t>(query.integer(11));
  return row;
}

template <class Impl>
Result<std::vector<ChunkRow>> chunk_rows(Impl& impl, Query& query) {
  std::vector<ChunkRow> rows;
  while (query.row()) rows.push_back(chunk_row(query));
  if (!query.ok()) return fail(impl.error(query.code()));
  return rows;
}

template <class Impl>
Status finish(Impl& impl, Query& query) {
  while (query.row()) {
  }
  return query.ok() ? Status() : impl.error(query.code());
}

}  // namespace

Database::Database(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Database::~Database() = default;

Result<std::unique_ptr<Database>> Database::open_to_write(const std::string& path, uint64_t max_bytes) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) return fail(Status::from_errno(error.value(), "make the folder " + folder.string()));
  const std::string lock = path + ".lock";
  impl->lock = UniqueFd(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (!impl->lock.valid()) return fail(Status::from_errno(errno, "open " + lock));
  if (::flock(impl->lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail(Status::from_errno(errno, "lock " + lock));
    return fail(Code::timeout, path + " is in use by another accelmon");
  }
  if (Status status = impl->open(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, path); !status.ok())
    return fail(std::move(status));
  bool fresh = false;
  if (Status status = impl->identify(fresh); !status.ok()) return fail(std::move(status));
  if (fresh) {
    // The kind of vacuum must stand before the first table; the tables come in one transaction.
    if (Status status = impl->run("PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL"); !status.ok())
      return fail(std::move(status));
  }
  // Without a sync at each commit a power cut takes the last seconds, but never the file's soundness.
  if (Status status = impl->run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0; "
                                "PRAGMA journal_size_limit=1048576");
      !status.ok())
    return fail(std::move(status));
  if (max_bytes != 0) {
    const Status status = impl->run(("PRAGMA max_page_count=" + std::to_string(max_bytes / kPageBytes)).c_str());
    if (!status.ok()) return fail(status);
  }
  if (fresh) {
    const std::string schema = std::string("BEGIN IMMEDIATE;") + kSchema +
                               "PRAGMA application_id=" + std::to_string(kApplication) +
                               "; PRAGMA user_version=" + std::to_string(kVersion) + "; COMMIT";
    if (Status status = impl->run(schema.c_str()); !status.ok()) {
      (void)impl->run("ROLLBACK");
      return fail(std::move(status));
    }
  }
  return std::unique_ptr<Database>(new Database(std::move(impl)));
}

Result<std::unique_ptr<Database>> Database::open_to_read(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  bool fresh = false;
  Status status = impl->open(SQLITE_OPEN_READONLY, path);
  if (status.ok()) status = impl->identify(fresh);
  if (status.code() == Code::no_permission || status.code() == Code::io) {
    // Without the right to write beside it, it is read as a file that nobody changes; one that is in use says so.
    struct stat log {};
    if (::stat(path.c_str(), &log) != 0) return fail(Status::from_errno(errno, "open " + path));
    if (::stat((path + "-wal").c_str(), &log) == 0 && log.st_size > 0) return fail(std::move(status));
    if (path.find_first_of("?#%") != std::string::npos) return fail(std::move(status));
    impl = std::make_unique<Impl>();
    impl->path = path;
    status = impl->open(SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, "file:" + path + "?immutable=1");
    if (status.ok()) status = impl->identify(fresh);
  }
  if (!status.ok()) return fail(std::move(status));
  if (fresh) return fail(Code::not_ready, path + " holds no history yet");
  return std::unique_ptr<Database>(new Database(std::move(impl)));
}

// ---- transactions ----

Database::Transaction::Transaction(Database& database) : database_(database) {
  Impl& impl = *database_.impl_;
  begun_ = impl.run(impl.lock.valid() ? "BEGIN IMMEDIATE" : "BEGIN");
  open_ = begun_.ok();
}

Database::Transaction::~Transaction() {
  // After some errors SQLite has rolled back itself.
  if (open_ && sqlite3_get_autocommit(database_.impl_->db) == 0) (void)database_.impl_->run("ROLLBACK");
}

Status Database::Transaction::commit() {
  Status status = database_.impl_->run("COMMIT");
  if (status.ok()) open_ = false;
  return status;
}

// ---- writing ----

Result<int64_t> Database::source_id(std::string_view name) {
  {
    Query find(*impl_, "SELECT id FROM source WHERE name = ?");
    if (find.text(name).row()) return find.integer(0);
    if (!find.ok()) return fail(impl_->error(find.code()));
  }
  Query add(*impl_, "INSERT INTO source(name) VALUES(?)");
  if (Status status = finish(*impl_, add.text(name)); !status.ok()) return fail(std::move(status));
  return sqlite3_last_insert_rowid(impl_->db);
}

Result<int64_t> Database::catalog_id(std::string_view bytes) {
  const auto hash = static_cast<int64_t>(content_hash(bytes));
  {
    Query find(*impl_, "SELECT id, bytes FROM catalog WHERE hash = ?");
    find.bind(hash);
    while (find.row())
      if (find.bytes(1) == bytes) return find.integer(0);
    if (!find.ok()) return fail(impl_->error(find.code()));
  }
  Query add(*impl_, "INSERT INTO catalog(hash, bytes) VALUES(?, ?)");
  if (Status status = finish(*impl_, add.bind(hash).blob(bytes)); !status.ok()) return fail(std::move(status));
  return sqlite3_last_insert_rowid(impl_->db);
}

Status Database::add_chunk(ChunkRow& row, std::string_view head, std::span<const Sheet> sheets) {
  row.bytes = head.size();
  for (const Sheet& sheet : sheets) row.bytes += sheet.bytes.size();
  {
    Query add(
        *impl_,
        "INSERT INTO chunk(tier, merged, source, catalog, rows, first_seq, last_seq, first_wall, last_wall, span, "
        "bytes, head) VALUES(?,?,?,?,?,?,?,?,?,?,?,?)");
    add.bind(int64_t{row.tier}).bind(int64_t{row.merged ? 1 : 0}).bind(row.source).bind(row.catalog);
    add.bind(int64_t{row.rows}).bind(row.first_seq).bind(row.last_seq).bind(row.first_wall).bind(row.last_wall);
    if (Status status = finish(*impl_, add.bind(row.span).bind(row.bytes).blob(head)); !status.ok()) return status;
  }
  row.id = sqlite3_last_insert_rowid(impl_->db);
  for (const Sheet& sheet : sheets) {
    Query add(*impl_, "INSERT INTO sheet(id, bytes) VALUES(?, ?)");
    add.bind(row.id << kColumnBits | int64_t{sheet.first_column}).blob(sheet.bytes);
    if (Status status = finish(*impl_, add); !status.ok()) return status;
  }
  return {};
}

Status Database::remove_chunk(int64_t id) {
  {
    Query sheets(*impl_, "DELETE FROM sheet WHERE id >= ? AND id < ?");
    sheets.bind(id << kColumnBits).bind((id + 1) << kColumnBits);
    if (Status status = finish(*impl_, sheets); !status.ok()) return status;
  }
  Query chunk(*impl_, "DELETE FROM chunk WHERE id = ?");
  return finish(*impl_, chunk.bind(id));
}

Status Database::remove_unused_catalogs() {
  Query query(*impl_, "DELETE FROM catalog WHERE NOT EXISTS (SELECT 1 FROM chunk WHERE chunk.catalog = catalog.id)");
  return finish(*impl_, query);
}

Status Database::set_cursor(std::string_view name, uint64_t position, bool anew) {
  // Positions only grow: of two that are written at once the later one stands.
  Query query(*impl_, anew ? "INSERT OR REPLACE INTO cursor(name, position, sum) VALUES(?, ?, ?)"
                           : "INSERT INTO cursor(name, position, sum) VALUES(?, ?, ?) ON CONFLICT(name) DO UPDATE SET "
                             "position = excluded.position, sum = excluded.sum WHERE excluded.position > position");
  return finish(*impl_, query.text(name).bind(position).bind(cursor_sum(name, position)));
}

Status Database::remove_cursor(std::string_view name) {
  Query query(*impl_, "DELETE FROM cursor WHERE name = ?");
  return finish(*impl_, query.text(name));
}

// ---- reading ----

Result<std::vector<std::pair<int64_t, std::string>>> Database::sources() {
  Query query(*impl_, "SELECT id, name FROM source ORDER BY id");
  std::vector<std::pair<int64_t, std::string>> found;
  while (query.row()) found.emplace_back(query.integer(0), query.bytes(1));
  if (!query.ok()) return fail(impl_->error(query.code()));
  return found;
}

Result<std::string> Database::catalog(int64_t id) {
  Query query(*impl_, "SELECT hash, bytes FROM catalog WHERE id = ?");
  if (!query.bind(id).row()) {
    if (!query.ok()) return fail(impl_->error(query.code()));
    return fail(Code::invalid, impl_->path + kDamagedRow);
  }
  std::string bytes(query.bytes(1));
  if (static_cast<int64_t>(content_hash(bytes)) != query.integer(0))
    return fail(Code::invalid, impl_->path + ": a catalog of the history is damaged");
  return bytes;
}

Result<std::vector<ChunkRow>> Database::chunks_between(uint64_t first, uint64_t last) {
  Query query(*impl_, "SELECT " CHUNK_COLUMNS
                      " FROM chunk WHERE tier = 0 AND last_seq >= ? AND first_seq <= ? ORDER BY first_seq, id");
  return chunk_rows(*impl_, query.bind(first).bind(last));
}

Result<uint64_t> Database::chunk_begins_after(uint64_t seq) {
  Query query(*impl_, "SELECT min(first_seq) FROM chunk WHERE tier = 0 AND last_seq > ?1 AND first_seq > ?1");
  uint64_t first = 0;
  if (query.bind(seq).row()) first = static_cast<uint64_t>(query.integer(0));
  if (!query.ok()) return fail(impl_->error(query.code()));
  return first;
}

Result<std::vector<ChunkRow>> Database::chunks_within(uint8_t tier, int64_t source, Nanos from, Nanos to) {
  Query query(*impl_,
              "SELECT " CHUNK_COLUMNS
              " FROM chunk WHERE tier = ?1 AND last_wall >= ?3 AND first_wall <= ?4 AND (?2 = 0 OR source = ?2) "
              "ORDER BY first_wall, id");
  return chunk_rows(*impl_, query.bind(int64_t{tier}).bind(source).bind(from).bind(to));
}

Result<std::vector<ChunkRow>> Database::unmerged_before(uint8_t tier, int64_t span, size_t limit) {
  Query query(*impl_,
              "SELECT " CHUNK_COLUMNS
              " FROM chunk WHERE tier = ? AND merged = 0 AND span < ? ORDER BY span, source, catalog, first_seq, "
              "id LIMIT ?");
  return chunk_rows(*impl_, query.bind(int64_t{tier}).bind(span).bind(uint64_t{limit}));
}

Result<std::vector<ChunkRow>> Database::oldest(uint8_t tier, Nanos last_wall_before, size_t limit) {
  Query query(*impl_,
              "SELECT " CHUNK_COLUMNS " FROM chunk WHERE tier = ? AND last_wall < ? ORDER BY last_wall LIMIT ?");
  return chunk_rows(*impl_, query.bind(int64_t{tier}).bind(last_wall_before).bind(uint64_t{limit}));
}

Result<std::string> Database::head(int64_t chunk) {
  Query query(*impl_, "SELECT head FROM chunk WHERE id = ?");
  if (query.bind(chunk).row()) return std::string(query.bytes(0));
  if (!query.ok()) return fail(impl_->error(query.code()));
  return fail(Code::absent, "the chunk is gone");
}

Result<std::vector<Sheet>> Database::sheets(int64_t chunk) {
  Query query(*impl_, "SELECT id, bytes FROM sheet WHERE id >= ? AND id < ? ORDER BY id");
  query.bind(chunk << kColumnBits).bind((chunk + 1) << kColumnBits);
  std::vector<Sheet> found;
  while (query.row())
    found.push_back({static_cast<uint32_t>(query.integer(0) & ((1 << kColumnBits) - 1)), std::string(query.bytes(1))});
  if (!query.ok()) return fail(impl_->error(query.code()));
  return found;
}

Result<Sheet> Database::sheet_with(int64_t chunk, uint32_t column) {
  Query query(*impl_, "SELECT id, bytes FROM sheet WHERE id >= ? AND id <= ? ORDER BY id DESC LIMIT 1");
  query.bind(chunk << kColumnBits).bind(chunk << kColumnBits | int64_t{column});
  if (query.row())
    return Sheet{static_cast<uint32_t>(query.integer(0) & ((1 << kColumnBits) - 1)), std::string(query.bytes(1))};
  if (!query.ok()) return fail(impl_->error(query.code()));
  return fail(Code::invalid, impl_->path + kDamagedRow);
}

Result<std::optional<uint64_t>> Database::cursor(std::string_view name) {
  Query query(*impl_, "SELECT position, sum FROM cursor WHERE name = ?");
  if (!query.text(name).row()) {
    if (!query.ok()) return fail(impl_->error(query.code()));
    return std::nullopt;
  }
  const auto position = static_cast<uint64_t>(query.integer(0));
  // A position that is not what was written is no position.
  if (query.integer(1) != cursor_sum(name, position)) return std::nullopt;
  return position;
}

Result<std::vector<std::pair<std::string, uint64_t>>> Database::cursors() {
  Query query(*impl_, "SELECT name, position, sum FROM cursor WHERE name <> ''");
  std::vector<std::pair<std::string, uint64_t>> found;
  while (query.row()) {
    const auto position = static_cast<uint64_t>(query.integer(1));
    std::string name(query.bytes(0));
    if (query.integer(2) == cursor_sum(name, position)) found.emplace_back(std::move(name), position);
  }
  if (!query.ok()) return fail(impl_->error(query.code()));
  return found;
}

Result<uint64_t> Database::highest_seq() {
  int64_t highest = 0;
  {
    Query query(*impl_, "SELECT max(last_seq) FROM chunk WHERE tier = 0");
    if (query.row()) highest = query.integer(0);
    if (!query.ok()) return fail(impl_->error(query.code()));
  }
  Query query(*impl_, "SELECT name, position, sum FROM cursor");
  while (query.row()) {
    const int64_t position = query.integer(1);
    if (query.integer(2) == cursor_sum(query.bytes(0), static_cast<uint64_t>(position)))
      highest = std::max(highest, position);
  }
  if (!query.ok()) return fail(impl_->error(query.code()));
  // At a million rows a second this takes a hundred thousand years.
  if (highest >= int64_t{1} << 62) return fail(Code::lost, impl_->path + ": the number of a row is damaged");
  return static_cast<uint64_t>(highest);
}

Result<TierUse> Database::use(uint8_t tier) {
  TierUse use;
  {
    Query query(*impl_, "SELECT count(*), sum(bytes) FROM chunk WHERE tier = ?");
    if (query.bind(int64_t{tier}).row()) {
      use.chunks = static_cast<uint64_t>(query.integer(0));
      use.bytes = static_cast<uint64_t>(query.integer(1));
    }
    if (!query.ok()) return fail(impl_->error(query.code()));
  }
  Query query(*impl_, "SELECT min(first_wall), max(last_wall) FROM chunk WHERE tier = ?");
  if (query.bind(int64_t{tier}).row()) {
    use.oldest = query.integer(0);
    use.newest = query.integer(1);
  }
  if (!query.ok()) return fail(impl_->error(query.code()));
  return use;
}

// ---- the file ----

Result<Database::Size> Database::size() {
  const Result<int64_t> pages = impl_->number("PRAGMA page_count");
  if (!pages) return fail(pages.error());
  const Result<int64_t> free = impl_->number("PRAGMA freelist_count");
  if (!free) return fail(free.error());
  Size size;
  size.bytes = static_cast<uint64_t>(*pages) * kPageBytes;
  size.free = static_cast<uint64_t>(*free) * kPageBytes;
  struct stat log {};
  if (::stat((impl_->path + "-wal").c_str(), &log) == 0) size.log = static_cast<uint64_t>(log.st_size);
  return size;
}

Status Database::checkpoint(bool shorten) {
  const int code = sqlite3_wal_checkpoint_v2(
      impl_->db, nullptr, shorten ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  return code == SQLITE_OK ? Status() : impl_->error(code);
}

Status Database::shrink(uint64_t bytes) {
  return impl_->run(("PRAGMA incremental_vacuum(" + std::to_string(bytes / kPageBytes) + ")").c_str());
}

Status Database::check() {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v2(impl_->db, "PRAGMA quick_check(1)", -1, &statement, nullptr);
  std::string answer;
  if (code == SQLITE_OK) {
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW) answer = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
  }
  sqlite3_finalize(statement);
  if (code != SQLITE_ROW && code != SQLITE_DONE) return impl_->error(code);
  if (answer != "ok") return {Code::lost, impl_->path + ": " + answer};
  return {};
}

}  // namespace accelmon::store
