#include "exporters/runner.h"

#include <pthread.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <csignal>

#include "base/log.h"
#include "base/text.h"

namespace accelmon {
namespace {

constexpr unsigned kMostRestarts = 16;  // of a batch
// After so many tries, and whenever they have doubled, it is asked what the far end fails at.
constexpr unsigned kTriesBeforeSearch = 4;
constexpr size_t kMostPolls = 4096;
constexpr Nanos kStopGrace = 2 * kSecond;
constexpr size_t kMostMessage = 300;

size_t series_of(std::span<const FrameRun> runs) {
  size_t samples = 0;
  for (const FrameRun& run : runs) samples += run.catalog->series.size() * run.frames.size();
  return samples;
}

}  // namespace

std::string_view to_string(ExporterHealth health) {
  constexpr std::string_view kNames[kExporterHealths] = {"starting", "ok", "waiting", "refused", "failed"};
  return kNames[static_cast<size_t>(health)];
}

std::unique_ptr<Runner> Runner::failed(RunnerOptions options, std::string why) {
  std::unique_ptr<Runner> runner(new Runner(std::move(options)));
  runner->state_.health = ExporterHealth::failed;
  runner->state_.message = std::move(why);
  return runner;
}

Runner::Runner(RunnerOptions options, std::unique_ptr<Destination> destination, std::unique_ptr<FeedCursor> cursor,
               Selection selection)
    : Runner(std::move(options)) {
  destination_ = std::move(destination);
  cursor_ = std::move(cursor);
  selection_ = std::move(selection);
  if (selection_.every_poll()) most_polls_ = 1;
}

Runner::Runner(RunnerOptions options)
    : options_(std::move(options)), chance_(static_cast<uint64_t>(real_clock().monotonic()) | 1) {
  state_.name = options_.name;
  state_.type = options_.type;
  state_.where = options_.where;
}

Runner::~Runner() {
  stop();
}

void Runner::start() {
  if (!destination_ || thread_.joinable()) return;
  started_ = real_clock().wall();
  // Signals are the main thread's.
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_setname_np(thread_.native_handle(), ("push " + options_.name).substr(0, 15).c_str());
}

void Runner::begin_stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
}

void Runner::stop() {
  begin_stop();
  if (!thread_.joinable()) return;
  {
    std::unique_lock lock(mutex_);
    if (!wake_.wait_for(lock, std::chrono::nanoseconds(kStopGrace), [&] { return ended_; })) destination_->interrupt();
  }
  thread_.join();
}

void Runner::interrupt() {
  if (destination_) destination_->interrupt();
}

bool Runner::ended_by(Nanos monotonic) {
  if (!thread_.joinable()) return true;
  std::unique_lock lock(mutex_);
  const Nanos left = std::max<Nanos>(monotonic - real_clock().monotonic(), 0);
  return wake_.wait_for(lock, std::chrono::nanoseconds(left), [&] { return ended_; });
}

ExporterState Runner::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

bool Runner::pause(Nanos span) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, std::chrono::nanoseconds(span), [&] { return stopping_; });
}

void Runner::run() {
  bool going = true;
  while (going) {
    const Nanos now = real_clock().wall() - behind_the_grid(options_.interval);
    going = pause(options_.interval - now % options_.interval);
    // The last turn takes what is there; what does not get through waits for the next start, if there is a history.
    if (!turn()) going = false;
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  wake_.notify_all();
}

bool Runner::turn() {
  for (;;) {
    Result<FrameBatch> batch = cursor_->read(most_polls_);
    const uint64_t behind = batch ? cursor_->behind() : 0;
    {
      const std::lock_guard lock(mutex_);
      if (!batch) {
        state_.health = ExporterHealth::waiting;
        state_.message = "the history cannot be read: " + batch.error().message();
        return !stopping_;
      }
      state_.lost_polls += batch->lost();
      state_.behind = behind + batch->frames();
    }
    if (batch->empty()) return true;
    // As many polls the next time as make a request or some of them, whatever a poll holds.
    const size_t samples = series_of(batch->runs());
    const size_t each = std::max<size_t>(1, samples / batch->frames());
    if (!send(*batch)) return false;
    const Status committed = cursor_->commit();
    const std::lock_guard lock(mutex_);
    state_.behind = behind;
    if (!committed.ok()) state_.message = committed.message();
    if (!catching_up_ || !selection_.every_poll())
      most_polls_ = std::clamp<size_t>(options_.most_samples / each, 1, kMostPolls);
    if (behind == 0) return true;
  }
}

bool Runner::may_have(std::span<const FrameRun> runs) {
  // At most one batch was half sent; and what was polled since the start was not sent before it. A poll that goes
  // through says nothing: the far end may have nothing of that source.
  if (read_ >= 2 * options_.most_samples) catching_up_ = false;
  read_ += series_of(runs);
  bool single = true;
  for (size_t r = 0; r < runs.size(); ++r) {
    single = single && runs[r].frames.size() == 1;
    for (size_t other = 0; other < r; ++other) single = single && runs[other].source != runs[r].source;
    for (const Frame* frame : runs[r].frames)
      if (frame->wall > started_) catching_up_ = false;
  }
  return catching_up_ && single;
}

bool Runner::send(const FrameBatch& batch) {
  const std::span<const FrameRun> runs = selection_.of(batch.runs());
  if (catching_up_) destination_->may_have(may_have(runs));
  for (unsigned restarts = 0;; ++restarts) {
    destination_->begin(runs);
    bool again = false;
    unsigned tries = 0;  // since something was taken or given up
    while (!again && destination_->next()) {
      for (;;) {
        Sent sent = destination_->send();
        using Verdict = Sent::Verdict;
        if (sent.verdict == Verdict::again && restarts >= kMostRestarts) sent.verdict = Verdict::refused;
        if (sent.verdict == Verdict::failed) {
          const unsigned failed = tries + 1;
          if (failed >= options_.most_tries) {
            sent.verdict = Verdict::refused;
          } else if (failed >= kTriesBeforeSearch && std::has_single_bit(failed) && destination_->search()) {
            sent.verdict = Verdict::pieces;
            ++tries;
          }
        }
        note(sent);
        if (sent.verdict == Verdict::again) again = true;
        if (sent.verdict == Verdict::pieces) break;
        if (sent.verdict != Verdict::later && sent.verdict != Verdict::failed) {
          tries = 0;
          break;
        }
        const Nanos wait = pause_after(tries++, sent.retry_after);
        {
          const std::lock_guard lock(mutex_);
          state_.next_try = real_clock().wall() + wait;
        }
        if (!pause(wait)) return false;
      }
    }
    if (!again) break;
  }
  if (const uint64_t late = destination_->late(); late != 0) {
    const std::string message = std::to_string(late) + " samples were left out: the clock was set back";
    const std::lock_guard lock(mutex_);
    if (state_.late == 0) log(LogLevel::warn, "exporter " + options_.name, message);
    state_.late += late;
    state_.message = message;
  }
  destination_->commit();
  return true;
}

Nanos Runner::pause_after(unsigned tries, Nanos asked) {
  const Nanos doubled = options_.first_pause << std::min(tries, 20u);
  const Nanos pause = std::max(std::min(doubled, options_.longest_pause), std::min(asked, 3600 * kSecond));
  // So that the hosts of a fleet do not all come back in the same moment (xorshift).
  chance_ ^= chance_ << 13;
  chance_ ^= chance_ >> 7;
  chance_ ^= chance_ << 17;
  return pause + static_cast<Nanos>(chance_ % static_cast<uint64_t>(pause / 4 + 1));
}

void Runner::note(const Sent& sent) {
  const std::lock_guard lock(mutex_);
  const ExporterHealth before = state_.health;
  const std::string message = printable(sent.message, kMostMessage);
  if (!sent.note.empty() && sent.note != state_.note) {
    state_.note = sent.note;
    log(LogLevel::info, "exporter " + options_.name, sent.note);
  }
  switch (sent.verdict) {
    case Sent::Verdict::delivered:
      state_.health = ExporterHealth::ok;
      state_.message = sent.rejected > 0 ? message : std::string();
      state_.samples += sent.samples - std::min(sent.rejected, sent.samples);
      state_.rejected += sent.rejected + sent.left_out;
      state_.bytes += sent.bytes;
      ++state_.requests_ok;
      state_.last_success = real_clock().wall();
      state_.next_try = 0;
      break;
    case Sent::Verdict::later:
    case Sent::Verdict::failed:
      state_.health = ExporterHealth::waiting;
      state_.message = message;
      ++state_.requests_failed;
      break;
    case Sent::Verdict::refused:
      state_.health = ExporterHealth::refused;
      state_.message = message;
      state_.rejected += sent.samples;
      ++state_.requests_failed;
      break;
    case Sent::Verdict::again:
    case Sent::Verdict::pieces:
      ++state_.requests_failed;
      state_.message = message;
      if (sent.repeated == 0) break;
      if (state_.repeated == 0)
        log(LogLevel::info, "exporter " + options_.name, "it has what was sent before the last stop: " + message);
      state_.repeated += sent.repeated;
      break;
  }
  if (before == state_.health) return;
  const std::string who = "exporter " + options_.name;
  if (state_.health == ExporterHealth::ok)
    log(LogLevel::info, who, before == ExporterHealth::starting ? "sends to " + options_.where : "sends again");
  else if (state_.health == ExporterHealth::waiting || state_.health == ExporterHealth::refused)
    log(LogLevel::warn, who, std::string(to_string(state_.health)) + ": " + message);
}

}  // namespace accelmon
