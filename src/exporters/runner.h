// One exporter at work: takes polls from its cursor, sends them, and tries again until the far end has them.
//
// A thread of its own, so that a far end that is slow, refuses or lies holds up nothing else. What could not be sent
// stays where it is (the history on disk, or the feed in memory), so an outage costs memory nothing, and afterwards
// everything arrives in order. Pauses double from one second to a minute, with up to a quarter of chance on top, and
// are as long as the far end asks for. A request at which the far end itself fails (500) is searched for what it
// fails at after some tries (Destination::search) and left out after an hour of them, one that is refused at once, so
// that no sample blocks those behind it for ever.
//
// Threads: start() and stop() by the agent's thread; state() from any. Cost: nothing between the intervals.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "exporters/destination.h"
#include "exporters/feed.h"
#include "exporters/selection.h"

namespace accelmon {

enum class ExporterHealth : uint8_t {
  starting,  // nothing was sent yet
  ok,
  waiting,  // the far end could not take it; it is tried again
  refused,  // it refused the last request for good: those samples are lost
  failed,   // it cannot work: settings, or a library that is missing
};
inline constexpr size_t kExporterHealths = 5;
std::string_view to_string(ExporterHealth health);

struct ExporterState {
  std::string name, type, where;
  ExporterHealth health = ExporterHealth::starting;
  std::string message;      // for people: why it is not ok
  std::string note;         // for people: how it works other than it was told, since the far end cannot do that
  uint64_t samples = 0;     // delivered
  uint64_t rejected = 0;    // samples that the far end did not want, or requests that it refused
  uint64_t repeated = 0;    // that the far end had already, from before a stop that broke off their batch
  uint64_t lost_polls = 0;  // that fell out of the history before they could be sent
  uint64_t late = 0;        // samples left out since the clock was set back a little
  uint64_t requests_ok = 0, requests_failed = 0;
  uint64_t bytes = 0;      // sent with success
  uint64_t behind = 0;     // polls that wait
  Nanos last_success = 0;  // wall time; 0: never
  Nanos next_try = 0;      // wall time; 0: it is not waiting
};

// How long after each point of the grid of wall time an exporter takes what is there: the polls of that point have
// come.
constexpr Nanos behind_the_grid(Nanos interval) {
  return interval / 4 < 250 * kMillisecond ? interval / 4 : 250 * kMillisecond;
}

struct RunnerOptions {
  std::string name, type, where;
  Nanos interval = 15 * kSecond;
  // That are encoded at once: as OTLP some 2 MiB, where receivers of gRPC take 4.
  size_t most_samples = 10'000;
  Nanos first_pause = kSecond;
  Nanos longest_pause = 60 * kSecond;
  unsigned most_tries = 64;  // of a request at which the far end itself fails: about an hour
};

class Runner {
 public:
  // An exporter that cannot work says so for ever (and of its health nothing else is asked).
  static std::unique_ptr<Runner> failed(RunnerOptions options, std::string why);
  Runner(RunnerOptions options, std::unique_ptr<Destination> destination, std::unique_ptr<FeedCursor> cursor,
         Selection selection);
  ~Runner();  // stop()
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  void start();
  // One more turn, without waiting for what does not work, and the end.
  void begin_stop();
  void stop();  // and waits for it: some seconds at most, then what it waits for is interrupted
  // For who stops many, and waits for all of them together.
  void interrupt();                // what it waits for comes back soon
  bool ended_by(Nanos monotonic);  // waits until then; true: stop() and the destructor return at once
  ExporterState state() const;

 private:
  explicit Runner(RunnerOptions options);
  void run();
  // Sends what waits. False: stopped meanwhile.
  bool turn();
  bool send(const FrameBatch& batch);
  // Whether the far end may have some of the batch from before the start, and can be asked which.
  bool may_have(std::span<const FrameRun> runs);
  // Waits; false: to be stopped.
  bool pause(Nanos span);
  void note(const Sent& sent);
  Nanos pause_after(unsigned tries, Nanos asked);

  RunnerOptions options_;
  std::unique_ptr<Destination> destination_;
  std::unique_ptr<FeedCursor> cursor_;
  Selection selection_{{}, {}, 0};
  size_t most_polls_ = 16;
  // A stop may have broken off the sending of a batch, whose beginning is then sent again, and a receiver that wants
  // samples in order refuses what it has. For the length of a batch polls go one by one (where each is sent): what it
  // has of one stands in front.
  bool catching_up_ = true;
  size_t read_ = 0;    // samples since the start; not counted further once it has caught up
  Nanos started_ = 0;  // wall time
  uint64_t chance_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  bool ended_ = false;
  ExporterState state_;
  std::thread thread_;
};

}  // namespace accelmon
