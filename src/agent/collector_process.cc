// `accelmon collect NAME`: one collector in a process of its own.
//
// It reads its configuration from the agent, then discovers and polls until the agent closes the socket. It never waits
// for anything but its own source and the agent; what hangs here hangs alone.
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <utility>

#include "agent/child_fds.h"
#include "agent/protocol.h"
#include "agent/registry.h"
#include "base/fd.h"
#include "base/instrumented.h"
#include "base/log.h"
#include "base/memory.h"
#include "model/fingerprint.h"

namespace accelmon {
namespace {

constexpr Nanos kWakeGap = 200 * kMillisecond;  // between polls that the source asks for
[[maybe_unused]] constexpr rlim_t kMemoryLimit = rlim_t{1} << 30;

// Sends all of `bytes` and empties it. False when the agent is gone.
bool send_all(int fd, std::string& bytes) {
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const ssize_t n = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    rest.remove_prefix(static_cast<size_t>(n));
  }
  bytes.clear();
  return true;
}

// Waits for the agent's configuration.
bool receive_configure(int fd, Configure& configure) {
  MessageReader reader;
  for (;;) {
    MessageType type{};
    std::string_view body;
    switch (reader.next(type, body)) {
      case MessageReader::Next::message:
        return type == MessageType::configure && read_configure(body, configure);
      case MessageReader::Next::broken:
        return false;
      case MessageReader::Next::incomplete:
        break;
    }
    const auto [out, room] = reader.space();
    const ssize_t n = ::recv(fd, out, room, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    reader.received(static_cast<size_t>(n));
  }
}

enum class Woken : uint8_t { deadline, by_source, closed };

// Sleeps until `deadline`, until `source` can be read (-1: nothing is watched), or until the agent has closed the
// socket.
Woken sleep_until(Nanos deadline, int source, int fd) {
  for (;;) {
    const Nanos left = deadline - real_clock().monotonic();
    if (left <= 0) return Woken::deadline;
    const timespec wait{left / kSecond, left % kSecond};
    pollfd watched[2] = {{fd, POLLIN, 0}, {source, POLLIN, 0}};
    const int n = ::ppoll(watched, source >= 0 ? 2 : 1, &wait, nullptr);
    if (n <= 0) continue;
    if (watched[0].revents == 0) return Woken::by_source;
    char byte;
    const ssize_t got = ::recv(fd, &byte, 1, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return Woken::closed;
  }
}

// Beside its own settings a collector may know how often it is asked: "interval_ns".
auto options_of(const Configure& configure) {
  auto options = configure.options;
  options.insert_or_assign("interval_ns", std::to_string(configure.interval));
  return options;
}

class Runner {
 public:
  Runner(const CollectorEntry& entry, const Configure& configure, CallMeter& meter, Heartbeat& heartbeat, int fd)
      : configure_(configure),
        meter_(meter),
        heartbeat_(heartbeat),
        fd_(fd),
        collector_(entry.make(CollectorContext{meter, real_clock(), options_of(configure)})) {}

  int run() {
    if (!discover()) return 0;
    Ticker ticker(configure_.interval, real_clock().monotonic(), real_clock().wall());
    for (Woken woken = Woken::by_source;;) {
      if (!poll()) return 0;
      const Nanos now = real_clock().monotonic();
      // The first poll came at once; from here on the polls keep to the grid. One that the source asked for is none of
      // its turns.
      if (woken == Woken::deadline) missed_ += ticker.advance(std::max(now, ticker.deadline()));
      heartbeat_.alive.store(now, std::memory_order_relaxed);
      woken = rest(now, ticker.deadline());
      if (woken == Woken::closed) return 0;
    }
  }

 private:
  // Sleeps from `now` until the next poll is due.
  Woken rest(Nanos now, Nanos deadline) {
    const int source = collector_->wake_descriptor();
    // A new catalog's first frame does not wait for a turn that is far away.
    const bool first_frame = std::exchange(rediscovered_, false) && configure_.interval > kSecond;
    if (!first_frame && source < 0) return sleep_until(deadline, -1, fd_);
    // A source that always has something to tell is asked five times a second.
    const Woken woken = sleep_until(std::min(now + kWakeGap, deadline), -1, fd_);
    if (woken == Woken::closed) return woken;
    return first_frame ? Woken::by_source : sleep_until(deadline, source, fd_);
  }

  bool discover() {
    Result<Catalog> catalog = collector_->discover();
    meter_.skip_poll();
    if (catalog) {
      catalog->generation = ++generation_;
      // What is read less often than it should be is told: accelmon doctor shows facts.
      for (auto& [call, why] : meter_.moved(intervals())) catalog->facts.emplace_back("slow: " + call, why);
      if (Status status = validate(*catalog); !status.ok()) catalog = fail(std::move(status));
    }
    if (!catalog) {
      write_notice(out_, catalog.error());
      write_stats(out_, missed_, meter_);
      send_all(fd_, out_);
      return false;
    }
    // A series that stays keeps its reading over the change, so that a slow tier does not go dark until its next turn.
    Frame fresh;
    fresh.resize(catalog->series.size());
    bool all_there = true;
    FingerprintIndex series(catalog->series.size());
    for (size_t i = 0; i < catalog->series.size(); ++i) {
      const Fingerprint print = fingerprint(*catalog, catalog->series[i]);
      series.add(print, static_cast<uint32_t>(i));
      const uint32_t found = series_.find(print);
      if (found == FingerprintIndex::kNone) {
        all_there = false;
        continue;
      }
      fresh.values[i] = frame_.values[found];
      fresh.states[i] = frame_.states[found];
      // A device that has come back is asked all that it can tell, whatever tier is due.
      if (fresh.states[i] == State::error) all_there = false;
    }
    fresh.read_at = frame_.read_at;
    fresh.sequence = frame_.sequence;
    fresh.generation = generation_;
    frame_ = std::move(fresh);
    series_ = std::move(series);
    if (!all_there) next_slow_ = next_rare_ = 0;  // what is new is read now
    write_catalog(out_, *catalog);
    trim_ = true;
    return true;
  }

  bool poll() {
    const Nanos began = real_clock().monotonic();
    PollRequest request;
    request.due = 1u << static_cast<unsigned>(Tier::fast);
    // Half an interval of slack, so that a tier of N intervals is read at every Nth tick in spite of jitter.
    const Nanos slack = configure_.interval / 2;
    if (began + slack >= next_slow_) {
      request.due |= 1u << static_cast<unsigned>(Tier::slow);
      next_slow_ = began + configure_.slow;
    }
    if (began + slack >= next_rare_) {
      request.due |= 1u << static_cast<unsigned>(Tier::rare);
      next_rare_ = began + configure_.rare;
    }
    frame_.wall = real_clock().wall();
    frame_.monotonic = began;
    frame_.fresh = request.due;
    for (size_t tier = 0; tier < kTiers; ++tier)
      if ((request.due >> tier) & 1u) frame_.read_at[tier] = began;
    events_.clear();
    PollResult result = collector_->poll(request, frame_, events_);
    if (meter_.close_poll(intervals()) && result == PollResult::ok) result = PollResult::rediscover;
    frame_.duration = real_clock().monotonic() - began;
    ++frame_.sequence;
    ++polls_;

    for (const Event& event : events_) write_event(out_, event);
    if (result == PollResult::lost) {
      write_notice(out_, Status(Code::lost, "the driver went away or was loaded again; looking for it anew"));
      write_stats(out_, missed_, meter_);
      send_all(fd_, out_);
      return false;
    }
    write_frame(out_, frame_);
    write_stats(out_, missed_, meter_);
    const bool first_of_catalog = std::exchange(trim_, false);
    if (result == PollResult::rediscover) {
      if (!discover()) return false;
      rediscovered_ = true;
    }
    if (!send_all(fd_, out_)) return false;
    if (first_of_catalog) out_.shrink_to_fit();  // discovery's message is many times as long as a frame
    if (first_of_catalog || began >= release_at_) {
      release_unused_memory();
      release_at_ = began + kReleaseMemoryEvery;
    }
    return true;
  }

  std::array<Nanos, kTiers> intervals() const { return {configure_.interval, configure_.slow, configure_.rare}; }

  const Configure& configure_;
  CallMeter& meter_;
  Heartbeat& heartbeat_;
  int fd_;
  std::unique_ptr<Collector> collector_;
  FingerprintIndex series_;  // where each stands in frame_; the catalog itself is the agent's
  Frame frame_;
  std::vector<Event> events_;
  std::string out_;
  uint64_t generation_ = 0;
  uint64_t polls_ = 0;
  uint64_t missed_ = 0;
  bool trim_ = false;  // a catalog is new
  Nanos release_at_ = 0;
  bool rediscovered_ = false;  // in the last poll
  Nanos next_slow_ = 0;
  Nanos next_rare_ = 0;
};

}  // namespace

int run_collector_process(const std::string& name) {
  const CollectorEntry* entry = find_collector(name);
  if (entry == nullptr || ::fcntl(kCollectorSocketFd, F_GETFD) < 0 || ::fcntl(kCollectorHeartbeatFd, F_GETFD) < 0) {
    log(LogLevel::error, "collect", "this verb is started by the agent itself; use 'accelmon serve'");
    return 2;
  }
  // The agent's end must not leak into whatever a vendor library may start.
  ::fcntl(kCollectorSocketFd, F_SETFD, FD_CLOEXEC);
  ::fcntl(kCollectorHeartbeatFd, F_SETFD, FD_CLOEXEC);

  // Should the agent be killed, this process goes too; the socket's end of file covers the orderly way.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, ("accelmon-" + name).substr(0, 15).c_str());
  ::prctl(PR_SET_TIMERSLACK, kMillisecond);
  ::mallopt(M_ARENA_MAX, 1);
  // A library that leaks ends this process, not the host: its memory is bounded, and should the host run out of it all
  // the same, this goes before a model server does.
#ifndef ACCELMON_INSTRUMENTED
  const rlimit memory{kMemoryLimit, kMemoryLimit};
  ::setrlimit(RLIMIT_DATA, &memory);
#endif
  if (UniqueFd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)); score.valid()) [[maybe_unused]]
    const ssize_t n = ::write(score.get(), "500", 3);
  ::signal(SIGPIPE, SIG_IGN);
  // Ctrl-C and a service manager's stop reach the whole group. The agent decides: it closes the socket.
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGTERM, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);

  void* page = ::mmap(nullptr, kHeartbeatBytes, PROT_READ | PROT_WRITE, MAP_SHARED, kCollectorHeartbeatFd, 0);
  if (page == MAP_FAILED) {
    log(LogLevel::error, "collect", Status::from_errno(errno, "cannot map the heartbeat page").message());
    return 1;
  }
  // The page is zeroed shared memory, which is a valid Heartbeat: lock-free atomics of integers.
  auto* heartbeat = static_cast<Heartbeat*>(page);
  heartbeat->alive.store(real_clock().monotonic(), std::memory_order_relaxed);

  std::string hello;
  write_hello(hello, name);
  if (!send_all(kCollectorSocketFd, hello)) return 0;
  Configure configure;
  if (!receive_configure(kCollectorSocketFd, configure)) return 0;

  CallMeter meter(real_clock(), heartbeat);
  Runner runner(*entry, configure, meter, *heartbeat, kCollectorSocketFd);
  const int code = runner.run();
  // The kernel takes back all that a driver handed out. To let it go call by call would wait for threads inside vendor
  // libraries (a second for NVML's events), and so would whoever waits for this process.
  ::_exit(code);
}

}  // namespace accelmon
