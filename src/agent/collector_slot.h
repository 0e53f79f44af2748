// One collector as the agent sees it: its process, its socket, what it last said, and its pipeline.
//
// The slot starts the process, reads what it sends (every byte is hostile), notices silence, kills and restarts with
// back-off, and never waits: everything is driven by service(), which returns at once. Frames that passed the pipeline
// are handed out by view().
// Threads: used by the agent's thread; `report()` data is read by others under the agent's lock.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/config.h"
#include "agent/protocol.h"
#include "agent/registry.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/recycler.h"
#include "model/snapshot.h"
#include "pipeline/pipeline.h"

namespace accelmon {

enum class SlotState : uint8_t {
  disabled,  // the configuration says so
  starting,  // the process runs and has shown no frame yet
  running,
  silent,       // no frame for three intervals; its series are gone
  absent,       // it said that there is nothing to read; it is asked again now and then
  backing_off,  // it ended or was ended; a new one is started soon
  released,     // stopped on request
  stuck,        // killed, and did not die: it sits in the kernel
};
inline constexpr size_t kSlotStates = 8;
std::string_view to_string(SlotState state);

struct SlotSettings {
  std::string executable;
  std::vector<CollectorVariable> environment;
  int (*kill)(pid_t, int) = ::kill;  // tests put one here that a process survives, as it survives in the kernel
};

class CollectorSlot {
 public:
  CollectorSlot(const CollectorEntry& entry, const Clock& clock);
  ~CollectorSlot();  // kills the process
  CollectorSlot(const CollectorSlot&) = delete;
  CollectorSlot& operator=(const CollectorSlot&) = delete;

  // Applies a configuration. A running process whose own settings changed is stopped and started again.
  void configure(const Config& config, const SlotSettings& settings);

  // Does what is due: starts, reads, kills. Returns whether what view() shows has changed.
  bool service();
  // When service() wants to be called again at the latest (monotonic), and the descriptor that calls earlier (-1:
  // none).
  Nanos next_deadline() const;
  int fd() const { return socket_.get(); }

  void release();  // stops the collector until resume()
  void resume();
  void look_again();  // hardware came or went: an absent source is asked now, not when its back-off ends
  void begin_stop();  // asks the process to end: for shutdown
  bool stopped();     // whether it has
  void kill_now();

  // The latest frame that passed the pipeline; all states `stale` once it is older than three intervals.
  SourceView view() const;
  void view_into(SourceView& view) const;  // the same without allocating
  bool take_catalog_changed();             // whether a catalog came since the last call
  // Events since the last call.
  std::vector<Event> take_events();

  // ---- for reports ----
  std::string_view name() const { return entry_.name; }
  const CollectorEntry& entry() const { return entry_; }
  SlotState state() const { return state_; }
  const std::string& message() const { return message_; }
  pid_t pid() const { return pid_; }
  uint64_t frames() const { return frames_; }  // since the agent started
  Tier pace() const { return entry_.pace; }
  Nanos last_frame_at() const { return last_frame_at_; }  // monotonic; 0: never
  Nanos last_frame_wall() const { return last_frame_wall_; }
  Nanos last_duration() const { return last_duration_; }
  Nanos poll_time() const { return poll_time_; }
  uint64_t restarts() const { return restarts_; }
  uint64_t rejected() const { return rejected_; }
  uint64_t missed_ticks() const { return missed_before_ + stats_.missed_ticks; }
  const CollectorStats& stats() const { return stats_; }   // of the running process; see totals()
  const CatalogPtr& catalog() const { return catalog_; }   // the newest; nullptr: none yet
  size_t collected_series() const { return raw_series_; }  // without those that the pipeline derives
  const Pipeline& pipeline() const { return pipeline_; }
  // The call in which the process is now, and for how long; empty when in none.
  std::string current_call(Nanos& since) const;
  // Calls and errors over all processes of this collector since the agent started.
  const CollectorStats& totals() const { return totals_; }
  bool reported() const;  // has shown a frame or said why not

 private:
  void spawn();
  void receive();
  bool accept(MessageType type, std::string_view body);
  bool accept_catalog(std::string_view body);
  bool accept_frame(std::string_view body);
  void reject(const std::string& why);
  void reap();
  void ended(bool by_us);
  void check_silence(Nanos now);
  void schedule_restart(Nanos delay);
  void drop_process();
  void mark_stale();
  void fold_stats();
  Nanos stale_after() const { return 3 * interval_; }
  Nanos hang_after() const;

  const CollectorEntry& entry_;
  const Clock& clock_;
  SlotSettings settings_;
  CollectorConfig own_;
  Nanos interval_ = kSecond;
  Nanos slow_ = 10 * kSecond;
  Nanos rare_ = 60 * kSecond;
  Nanos hang_ = 30 * kSecond;
  PipelineOptions pipeline_options_;

  SlotState state_ = SlotState::disabled;
  std::string message_;
  pid_t pid_ = -1;
  UniqueFd socket_;
  Heartbeat* heartbeat_ = nullptr;
  MessageReader reader_;
  bool greeted_ = false;
  bool stopping_ = false;       // it ends, or is asked to
  bool asked_to_stop_ = false;  // by us
  bool restart_at_once_ = false;
  Nanos spawned_at_ = 0;
  Nanos killed_at_ = 0;  // 0: not killed
  Nanos stop_asked_at_ = 0;
  Nanos restart_at_ = 0;
  Nanos back_off_ = 0;
  Nanos budget_window_ = 0;  // start of the second in which messages are counted
  uint32_t budget_used_ = 0;

  Status notice_;
  CollectorStats stats_;
  CollectorStats totals_;
  CollectorStats ended_totals_;  // of processes that are gone
  uint64_t missed_before_ = 0;
  uint64_t raw_generation_ = 0;  // as the process counts; 0: it has sent no catalog
  size_t raw_series_ = 0;
  bool catalog_changed_ = false;
  CatalogPtr catalog_;        // of the frames to come
  CatalogPtr shown_catalog_;  // of the latest frame
  Pipeline pipeline_;
  Frame incoming_;
  Recycler<Frame> frames_pool_;
  Recycled<Frame> latest_;
  bool stale_ = false;
  bool changed_ = false;
  std::vector<Event> events_;
  uint64_t frames_ = 0;
  uint64_t frames_of_process_ = 0;
  uint64_t last_sequence_ = 0;
  Nanos last_frame_at_ = 0;
  Nanos last_frame_wall_ = 0;
  Nanos last_duration_ = 0;
  Nanos poll_time_ = 0;
  uint64_t restarts_ = 0;
  uint64_t rejected_ = 0;
  Repeated log_;
};

}  // namespace accelmon
