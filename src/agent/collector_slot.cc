#include "agent/collector_slot.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <new>

#include "agent/child_fds.h"
#include "base/text.h"
#include "model/catalog_wire.h"

namespace accelmon {
namespace {

constexpr Nanos kFirstBackOff = kSecond;
constexpr Nanos kAbsentBackOff = 10 * kSecond;
constexpr Nanos kLongestBackOff = 60 * kSecond;
constexpr Nanos kLongestAbsence =
    300 * kSecond;  // a look costs milliseconds; what comes up meanwhile is told of, see look_again()
constexpr Nanos kStopGrace = 2 * kSecond;   // between asking a process to end and killing it
constexpr Nanos kDeathGrace = 5 * kSecond;  // between killing it and calling it stuck
constexpr size_t kBytesPerService = 2u << 20;
constexpr uint32_t kMessagesPerSecond = 2000;

// Generations are unique in the agent, though every collector process counts from one.
uint64_t next_generation() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

std::string seconds_text(Nanos span) {
  char text[32];
  const int n = std::snprintf(text, sizeof text, span < 10 * kSecond ? "%.1f s" : "%.0f s", to_seconds(span));
  return std::string(text, static_cast<size_t>(n));
}

std::string death_text(int status) {
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    const char* name = sigabbrev_np(signal);
    return "was ended by signal " + std::to_string(signal) + (name != nullptr ? std::string(" (SIG") + name + ")" : "");
  }
  return "ended with exit code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

std::string_view to_string(SlotState state) {
  switch (state) {
    case SlotState::disabled:
      return "disabled";
    case SlotState::starting:
      return "starting";
    case SlotState::running:
      return "running";
    case SlotState::silent:
      return "silent";
    case SlotState::absent:
      return "absent";
    case SlotState::backing_off:
      return "backing_off";
    case SlotState::released:
      return "released";
    case SlotState::stuck:
      return "stuck";
  }
  return "unknown";
}

CollectorSlot::CollectorSlot(const CollectorEntry& entry, const Clock& clock)
    : entry_(entry), clock_(clock), pipeline_(PipelineOptions{}), log_(300 * kSecond) {
  void* page = ::mmap(nullptr, kHeartbeatBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page != MAP_FAILED) heartbeat_ = new (page) Heartbeat;
}

CollectorSlot::~CollectorSlot() {
  socket_.reset();
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, WNOHANG);
  }
  if (heartbeat_ != nullptr) ::munmap(heartbeat_, kHeartbeatBytes);
}

void CollectorSlot::configure(const Config& config, const SlotSettings& settings) {
  const auto found = config.collectors.find(entry_.name);
  const Nanos interval =
      entry_.pace == Tier::fast ? config.poll.interval : std::max(config.poll.interval, config.poll.slow);
  CollectorConfig own = found != config.collectors.end() ? found->second : CollectorConfig{};
  const bool same = own.enabled == own_.enabled && own.options == own_.options && interval_ == interval &&
                    slow_ == config.poll.slow && rare_ == config.poll.rare && state_ != SlotState::disabled;
  const bool same_pipeline = pipeline_options_.ema == config.smoothing.ema &&
                             pipeline_options_.window == config.smoothing.window &&
                             pipeline_options_.interval == interval && pipeline_options_.slow == config.poll.slow &&
                             pipeline_options_.rare == config.poll.rare;
  own_ = std::move(own);
  settings_ = settings;
  interval_ = interval;
  slow_ = config.poll.slow;
  rare_ = config.poll.rare;
  hang_ = config.poll.hang;
  if (!same_pipeline) {
    pipeline_options_ = {interval, config.poll.slow, config.poll.rare, config.smoothing.ema, config.smoothing.window};
    // Laid out anew by the catalog of the process that is started below.
    pipeline_ = Pipeline(pipeline_options_);
    catalog_ = nullptr;
  }
  if (!own_.enabled) {
    state_ = SlotState::disabled;
    message_ = "switched off by the configuration";
    mark_stale();
    begin_stop();
    return;
  }
  if ((same && same_pipeline) || state_ == SlotState::released) return;
  back_off_ = 0;
  if (pid_ > 0) {
    restart_at_once_ = true;
    begin_stop();
  } else {
    state_ = SlotState::backing_off;
    restart_at_ = clock_.monotonic();
  }
}

Nanos CollectorSlot::hang_after() const {
  return std::max(hang_, 10 * interval_);
}

bool CollectorSlot::reported() const {
  return frames_ > 0 || (state_ != SlotState::starting && !(state_ == SlotState::backing_off && message_.empty()));
}

bool CollectorSlot::service() {
  const Nanos now = clock_.monotonic();
  if (pid_ > 0) {
    if (socket_.valid()) receive();
    if (!socket_.valid() || stopping_ || killed_at_ != 0) reap();
    if (pid_ > 0) check_silence(now);
  }
  // With or without a process: a reading that is too old is none.
  if (frames_ > 0 && !stale_ && now - last_frame_at_ > stale_after()) mark_stale();
  if (pid_ <= 0 && (state_ == SlotState::backing_off || state_ == SlotState::absent) && now >= restart_at_) spawn();
  return std::exchange(changed_, false);
}

Nanos CollectorSlot::next_deadline() const {
  const Nanos now = clock_.monotonic();
  const Nanos stale_at = frames_ > 0 && !stale_ ? last_frame_at_ + stale_after() + kMillisecond : now + kLongestBackOff;
  if (pid_ <= 0) {
    const bool waits = state_ == SlotState::backing_off || state_ == SlotState::absent;
    return std::min(stale_at, waits ? restart_at_ : now + kLongestBackOff);
  }
  if (stopping_ || killed_at_ != 0 || !socket_.valid())
    return now + (state_ == SlotState::stuck ? kSecond : 20 * kMillisecond);
  if (state_ == SlotState::running) return last_frame_at_ + stale_after() + kMillisecond;
  return now + std::min<Nanos>(interval_, kSecond);
}

void CollectorSlot::receive() {
  size_t budget = kBytesPerService;
  while (budget > 0 && socket_.valid()) {
    const auto [out, room] = reader_.space();
    const ssize_t n = ::recv(socket_.get(), out, std::min(room, budget), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n <= 0) {
      socket_.reset();  // it has ended, or ends now
      stopping_ = true;
      stop_asked_at_ = clock_.monotonic();
      return;
    }
    budget -= static_cast<size_t>(n);
    reader_.received(static_cast<size_t>(n));
    for (;;) {
      MessageType type{};
      std::string_view body;
      const auto next = reader_.next(type, body);
      if (next == MessageReader::Next::incomplete) break;
      if (next == MessageReader::Next::broken) return reject("it sent bytes that are no message");
      if (!accept(type, body)) return;
    }
  }
}

bool CollectorSlot::accept(MessageType type, std::string_view body) {
  const Nanos now = clock_.monotonic();
  if (now - budget_window_ >= kSecond) {
    budget_window_ = now;
    budget_used_ = 0;
  }
  if (++budget_used_ > kMessagesPerSecond) {
    reject("it sends more than " + std::to_string(kMessagesPerSecond) + " messages a second");
    return false;
  }
  if (!greeted_) {
    std::string name;
    if (type != MessageType::hello || !read_hello(body, name) || name != entry_.name) {
      reject("it speaks another protocol version; is the program being replaced?");
      return false;
    }
    greeted_ = true;
    return true;
  }
  switch (type) {
    case MessageType::catalog:
      return accept_catalog(body);
    case MessageType::frame:
      return accept_frame(body);
    case MessageType::stats: {
      if (!read_stats(body, stats_)) {
        reject("it sent malformed statistics");
        return false;
      }
      fold_stats();
      return true;
    }
    case MessageType::event: {
      Event event;
      if (!read_event(body, event)) {
        reject("it sent a malformed event");
        return false;
      }
      if (events_.size() < 1024) events_.push_back(std::move(event));
      return true;
    }
    case MessageType::notice: {
      if (!read_notice(body, notice_)) {
        reject("it sent a malformed notice");
        return false;
      }
      return true;
    }
    case MessageType::hello:
    case MessageType::configure:
      break;
  }
  reject("it sent a message out of place");
  return false;
}

bool CollectorSlot::accept_catalog(std::string_view body) {
  Result<Catalog> catalog = decode_catalog(body);
  if (!catalog) {
    reject(catalog.error().message());
    return false;
  }
  raw_generation_ = catalog->generation;  // what its frames will call it
  raw_series_ = catalog->series.size();
  catalog->generation = next_generation();
  catalog_ = pipeline_.set_catalog(std::make_shared<const Catalog>(std::move(*catalog)));
  catalog_changed_ = true;
  return true;
}

bool CollectorSlot::accept_frame(std::string_view body) {
  const Nanos now = clock_.monotonic();
  // After a change of the configuration the old process may still send: there is nothing to lay that out by.
  if (catalog_ == nullptr && restart_at_once_) return true;
  // One that was let go may have had a frame under way; it must not bring its series back.
  if (state_ == SlotState::released || state_ == SlotState::disabled) return true;
  if (catalog_ == nullptr || !read_frame(body, incoming_) || incoming_.generation != raw_generation_ ||
      incoming_.values.size() != raw_series_) {
    reject("it sent a frame that does not fit its catalog");
    return false;
  }
  bool times_sound = incoming_.sequence > last_sequence_ && incoming_.duration >= 0 && incoming_.wall > 0 &&
                     incoming_.monotonic > 0 && incoming_.monotonic <= now + kMillisecond;
  for (Nanos at : incoming_.read_at) times_sound = times_sound && at >= 0 && at <= incoming_.monotonic;
  if (!times_sound) {
    reject("it sent a frame whose times cannot be true");
    return false;
  }
  last_sequence_ = incoming_.sequence;

  incoming_.generation = catalog_->generation;
  Recycled<Frame> out = frames_pool_.take();
  pipeline_.process(incoming_, *out);
  latest_ = std::move(out);
  shown_catalog_ = catalog_;

  stale_ = false;
  changed_ = true;
  ++frames_;
  ++frames_of_process_;
  last_frame_at_ = incoming_.monotonic;
  last_frame_wall_ = incoming_.wall;
  last_duration_ = incoming_.duration;
  poll_time_ += incoming_.duration;
  if (state_ != SlotState::running) {
    if (state_ == SlotState::silent) log_.log(LogLevel::info, entry_.name, "answers again", now);
    state_ = SlotState::running;
    message_.clear();
  }
  if (frames_of_process_ == 60) back_off_ = 0;  // it has proved itself
  return true;
}

void CollectorSlot::reject(const std::string& why) {
  ++rejected_;
  message_ = "was stopped: " + why;
  log_.log(LogLevel::error, entry_.name, message_, clock_.monotonic());
  socket_.reset();
  kill_now();
}

void CollectorSlot::fold_stats() {
  // The totals are what ended processes left plus what this one says now. Names keep their places, so that in the
  // steady state each look-up hits at once and nothing is allocated.
  for (size_t i = 0; i < stats_.calls.size(); ++i) {
    const CallStats& now = stats_.calls[i];
    auto& all = totals_.calls;
    size_t at = i < all.size() && all[i].name == now.name ? i : 0;
    if (at == 0 && (all.empty() || all[0].name != now.name))
      at = static_cast<size_t>(
          std::find_if(all.begin(), all.end(), [&](const CallStats& c) { return c.name == now.name; }) - all.begin());
    if (at == all.size()) {
      if (all.size() >= kMaxCalls) continue;
      all.push_back(CallStats{now.name, 0, 0, 0});
      ended_totals_.calls.push_back(CallStats{now.name, 0, 0, 0});
    }
    all[at].calls = ended_totals_.calls[at].calls + now.calls;
    all[at].time = ended_totals_.calls[at].time + now.time;
    all[at].longest = std::max(ended_totals_.calls[at].longest, now.longest);
  }
  for (const auto& error : stats_.errors) {
    const auto& [code, count] = error;
    auto& all = totals_.errors;
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& e) { return e.first == error.first; });
    const auto at = static_cast<size_t>(found - all.begin());
    if (found == all.end()) {
      if (all.size() >= kMaxErrorCodes) continue;
      all.emplace_back(code, 0);
      ended_totals_.errors.emplace_back(code, 0);
    }
    all[at].second = ended_totals_.errors[at].second + count;
  }
}

void CollectorSlot::reap() {
  int status = 0;
  const pid_t got = ::waitpid(pid_, &status, WNOHANG);
  if (got == pid_ || (got < 0 && errno == ECHILD)) {
    Nanos since = 0;
    const std::string call = current_call(since);
    drop_process();
    const Nanos now = clock_.monotonic();
    if (state_ == SlotState::disabled || state_ == SlotState::released) {
      if (state_ == SlotState::released) message_ = "stopped on request; the driver can be unloaded";
      return;
    }
    if (restart_at_once_) {
      state_ = SlotState::backing_off;
      restart_at_ = now;
      return;
    }
    if (asked_to_stop_) {  // the agent ends
      message_ = "stopped with the agent";
      state_ = SlotState::backing_off;
      restart_at_ = now + kLongestBackOff;
      return;
    }
    if (!notice_.ok()) {
      const bool nothing_there = notice_.code() == Code::absent || notice_.code() == Code::no_permission ||
                                 notice_.code() == Code::invalid || notice_.code() == Code::unsupported;
      message_ = notice_.message();
      if (nothing_there) {
        // Most hosts have one maker's devices: what is not there is told by the banner, status and doctor.
        if (state_ != SlotState::absent) log(LogLevel::debug, entry_.name, message_);
        state_ = SlotState::absent;
        schedule_restart(kAbsentBackOff);
      } else {
        log_.log(LogLevel::warn, entry_.name, message_, now);
        schedule_restart(kFirstBackOff);
      }
      return;
    }
    const std::string reason =
        killed_at_ != 0 && !message_.empty() ? message_ : death_text(status) + (call.empty() ? "" : " in " + call);
    schedule_restart(kFirstBackOff);
    message_ = reason + "; started again in " + seconds_text(restart_at_ - now);
    log_.log(LogLevel::warn, entry_.name, reason, now);
    events_.push_back(
        Event{clock_.wall(), Severity::warning, "", "collector_ended", std::string(entry_.name) + " " + reason});
    return;
  }
  const Nanos now = clock_.monotonic();
  if (killed_at_ == 0 && stopping_ && now - stop_asked_at_ > kStopGrace) kill_now();
  if (killed_at_ != 0 && now - killed_at_ > kDeathGrace && state_ != SlotState::stuck) {
    Nanos since = 0;
    const std::string call = current_call(since);
    message_ = "pid " + std::to_string(pid_) + " does not die: it sits in the kernel" +
               (call.empty() ? std::string() : " in " + call) +
               "; it is left behind, and a new one starts when it is gone";
    if (state_ != SlotState::disabled && state_ != SlotState::released) state_ = SlotState::stuck;
    log(LogLevel::error, entry_.name, message_);
    events_.push_back(
        Event{clock_.wall(), Severity::critical, "", "collector_stuck", std::string(entry_.name) + ": " + message_});
  }
}

void CollectorSlot::drop_process() {
  missed_before_ += stats_.missed_ticks;
  ended_totals_ = totals_;
  stats_ = CollectorStats();
  pid_ = -1;
  socket_.reset();
  stopping_ = false;
  changed_ = true;
}

void CollectorSlot::schedule_restart(Nanos first) {
  if (state_ != SlotState::absent) state_ = SlotState::backing_off;
  back_off_ =
      back_off_ == 0 ? first : std::min(back_off_ * 2, state_ == SlotState::absent ? kLongestAbsence : kLongestBackOff);
  restart_at_ = clock_.monotonic() + back_off_;
}

void CollectorSlot::check_silence(Nanos now) {
  if (state_ == SlotState::stuck) return;
  if (stopping_ || killed_at_ != 0) return;
  const bool first_frame = frames_of_process_ == 0;
  const Nanos quiet_since = first_frame ? spawned_at_ : last_frame_at_;
  const Nanos quiet = now - quiet_since;
  if (quiet <= stale_after()) return;
  Nanos since = 0;
  const std::string call = current_call(since);
  const std::string where = call.empty() ? "" : "; in " + call + " for " + seconds_text(since);
  if (state_ == SlotState::running) {
    state_ = SlotState::silent;
    changed_ = true;
    log_.log(LogLevel::warn, entry_.name, "no answer for " + seconds_text(quiet) + where, now);
    events_.push_back(Event{clock_.wall(), Severity::warning, "", "collector_silent",
                            std::string(entry_.name) + ": no answer for " + seconds_text(quiet) + where});
  }
  if (state_ != SlotState::absent)
    message_ = (first_frame ? "no frame yet for " : "no answer for ") + seconds_text(quiet) + where;
  // A first start may take long: eight boards without persistence mode need many seconds each.
  const Nanos limit = first_frame ? std::max<Nanos>(hang_after(), 60 * kSecond) : hang_after();
  if (quiet > limit) {
    message_ = "was killed after " + seconds_text(quiet) + " without an answer" + (call.empty() ? "" : " in " + call);
    log_.log(LogLevel::error, entry_.name, message_, now);
    kill_now();
  }
}

void CollectorSlot::kill_now() {
  if (pid_ <= 0) return;
  settings_.kill(pid_, SIGKILL);
  killed_at_ = clock_.monotonic();
}

void CollectorSlot::mark_stale() {
  if (stale_ || !latest_) return;
  Recycled<Frame> gone = frames_pool_.take();
  *gone = *latest_;
  std::fill(gone->states.begin(), gone->states.end(), State::stale);
  // It ends now: whoever was told of the last reading is told of the end as something that came after it. The readings'
  // own times stay.
  gone->wall = clock_.wall();
  gone->monotonic = clock_.monotonic();
  latest_ = std::move(gone);
  stale_ = true;
  changed_ = true;
}

void CollectorSlot::release() {
  mark_stale();
  state_ = SlotState::released;
  message_ = pid_ > 0 ? "stopping on request" : "stopped on request; the driver can be unloaded";
  begin_stop();
  changed_ = true;
}

void CollectorSlot::resume() {
  if (state_ != SlotState::released) return;
  back_off_ = 0;
  state_ = SlotState::backing_off;
  message_ = "starting";
  restart_at_ = clock_.monotonic();
  restart_at_once_ = true;  // should the old process still be ending
}

void CollectorSlot::look_again() {
  if (state_ != SlotState::absent || pid_ > 0) return;
  back_off_ = 0;
  restart_at_ = clock_.monotonic();
}

void CollectorSlot::begin_stop() {
  if (pid_ <= 0 || asked_to_stop_) return;
  asked_to_stop_ = true;
  if (socket_.valid()) ::shutdown(socket_.get(), SHUT_WR);  // it sees the end of file and releases its library
  stopping_ = true;
  stop_asked_at_ = clock_.monotonic();
}

bool CollectorSlot::stopped() {
  if (pid_ > 0) {
    if (socket_.valid()) receive();
    if (pid_ > 0) reap();
  }
  return pid_ <= 0;
}

SourceView CollectorSlot::view() const {
  SourceView view;
  view_into(view);
  return view;
}

void CollectorSlot::view_into(SourceView& view) const {
  if (view.name != entry_.name) view.name = entry_.name;
  if (latest_) {
    view.catalog = shown_catalog_;
    view.frame = latest_;
  } else {
    view.catalog = nullptr;
    view.frame = {};
  }
}

bool CollectorSlot::take_catalog_changed() {
  return std::exchange(catalog_changed_, false);
}

std::vector<Event> CollectorSlot::take_events() {
  return std::exchange(events_, {});
}

std::string CollectorSlot::current_call(Nanos& since) const {
  since = 0;
  if (heartbeat_ == nullptr) return {};
  const Nanos began = heartbeat_->call_began.load(std::memory_order_acquire);
  if (began <= 0) return {};
  since = std::max<Nanos>(0, clock_.monotonic() - began);
  return heartbeat_->current_call();
}

}  // namespace accelmon
