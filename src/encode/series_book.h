// What an encoder of pushes knows of each series: bytes made ready, and what it said of the series last.
//
// A push tells a story over time: which counter began when, which series ended. The book keeps that per series, over
// batches and changes of catalogs, by metric and labels (so a series that moves to another source is the same). It is
// transactional: begin() starts from what the last commit() kept, so a batch that was not delivered can be encoded
// again, with the same result, or together with what came since.
//
// A series ends when a catalog of its source no longer has it; a source that is gone for good is told by a run over an
// empty catalog. Not exported are series that are LOCAL, broken, or have the labels of another one in the same batch
// (the first stands). Frames that do not fit their catalog are left out.
//
// Threads: one at a time. Cost: about 2 ns a series and frame; allocates only when a catalog is new or a batch is
// larger than all before. Memory: some 200 bytes a series of the present catalogs; what is gone is forgotten at the
// commit.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "encode/labels.h"
#include "model/frame_run.h"

namespace accelmon {

class SeriesBook {
 public:
  struct Memory {
    Nanos time = 0;          // of the last sample or marker; 0: none yet
    Nanos reading_time = 0;  // of the last reading that was true
    Nanos start = 0;         // since when a sum counts
    double reading = 0;      // for counters
    bool counted = false;    // `reading` and `start` say something
    bool fell = false;       // the counter was seen to fall: `start` is more than its first sight
    bool shown = false;      // the receiver believes that the series is there
    uint32_t source = 0;     // of the last sample
  };
  struct Entry {
    MetricId metric;
    uint32_t series = 0;  // in the frames
    uint32_t id = 0;      // of its memory
    uint32_t at = 0;      // its bytes in the plan
    uint32_t size = 0;
  };
  // The series of one catalog, in the order of metrics.def.
  struct Plan {
    CatalogPtr catalog;  // held, so that its address is not used again by another
    uint64_t generation = 0;
    std::vector<Entry> entries;
    std::string bytes;                 // for the encoder
    std::vector<uint32_t> words;       // likewise
    std::vector<std::string> symbols;  // likewise
    mutable std::vector<uint32_t> refs;
    mutable uint64_t refs_of = 0;
    std::string_view text(const Entry& entry) const { return std::string_view(bytes).substr(entry.at, entry.size); }
  };
  // Entries of one metric in one run.
  struct Group {
    const Plan* plan;
    std::span<const Entry> entries;
    std::span<const Frame* const> frames;
    uint32_t source;
  };
  struct Ended {
    const Plan* plan;
    const Entry* entry;
    Nanos time;  // of the first frame without it
  };
  static constexpr Nanos kMostLate = 10 * kSecond;
  enum class Seen : uint8_t { nothing, sample, gap };

  // `prepare` appends what the encoder wants ready of a series to the plan; `entry.at` and `size` are its own to set.
  using Prepare = std::function<void(Plan& plan, Entry& entry, const LabelSet& labels)>;
  // `resolution`: samples of a series are at least that far apart; later ones that are not are dropped.
  SeriesBook(Prepare prepare, Nanos resolution) : prepare_(std::move(prepare)), resolution_(resolution) {}

  void begin(std::span<const FrameRun> batch);
  // The far end has what begin() and its reading gave.
  void commit();

  // Groups of `metric`, in the batch's order. Metrics are to be asked for in ascending order, each at most once.
  std::span<const Group> groups(MetricId metric);
  // Series of the metric that ended and were shown; valid after its groups were read.
  std::span<const Ended> ended(MetricId metric);

  // What `frame` says of the series, in ascending order of frames. Updates the memory's time and `shown`.
  Seen look(const Group& group, const Entry& entry, const Frame& frame, Memory& memory) {
    if (claims_[entry.id] != claim_of(group.source)) return Seen::nothing;
    const double value = frame.values[entry.series];
    const bool counter = info(entry.metric).kind == Kind::counter;
    // Not a number, or a counter below zero: no collector may say so.
    const bool good = frame.states[entry.series] == State::ok && value == value && !(counter && value < 0);
    if (!good && !memory.shown) return Seen::nothing;
    if (memory.time != 0 && frame.wall / resolution_ <= memory.time / resolution_) {
      if (memory.time - frame.wall <= kMostLate) {
        late_ += good && memory.shown && memory.source == group.source;
        return Seen::nothing;
      }
      memory.counted = memory.fell = false;
      memory.start = frame.wall;
    }
    memory.time = frame.wall;
    memory.shown = good;
    memory.source = group.source;
    return good ? Seen::sample : Seen::gap;
  }
  Memory& memory(const Entry& entry) { return now_[entry.id]; }

  // How a counter moved to a reading that look() let pass; the memory then holds that reading and its start.
  struct Growth {
    bool first, fell;  // no reading before; this one is lower than the one before
    double by;         // else: what was counted since
    Nanos since;       // the time of the reading before
  };
  static Growth count(Memory& memory, double reading, Nanos time) {
    const Growth growth{!memory.counted, memory.counted && reading < memory.reading, reading - memory.reading,
                        memory.reading_time};
    if (growth.first) memory.start = time;
    if (growth.fell) memory.start = memory.reading_time;
    memory.fell |= growth.fell;
    memory.counted = true;
    memory.reading = reading;
    memory.reading_time = time;
    return growth;
  }

  // Samples left out since the last begin() because their time does not follow that of the last one (a clock that was
  // set back a little): a receiver would refuse all that came with them. Not those of a series that two sources have
  // at the same time, or that came from one to the other: their clock is right. Behind a step back of more than
  // kMostLate a series begins anew, and the receiver judges: nothing would be sent before the clock has passed where it
  // was.
  uint64_t late() const { return late_; }
  size_t series() const { return ids_.size(); }  // remembered

 private:
  struct Source {
    std::string name;
    std::shared_ptr<Plan> kept;    // as of the last commit
    std::shared_ptr<Plan> newest;  // in this batch
  };
  struct Run {
    std::shared_ptr<Plan> plan;
    uint32_t source = 0;
    size_t first = 0, count = 0;  // in frames_
    size_t next = 0;              // entry of the plan
  };
  uint64_t claim_of(uint32_t source) const { return batch_ << 16 | source; }
  uint32_t source_of(std::string_view name);
  std::shared_ptr<Plan> plan_of(uint32_t source, const CatalogPtr& catalog);
  void find_ended();
  void forget_gone();

  Prepare prepare_;
  Nanos resolution_;
  std::vector<Source> sources_;
  std::vector<Run> runs_;
  size_t run_count_ = 0;
  std::vector<const Frame*> frames_;
  std::vector<Group> groups_;
  std::unordered_map<std::string, uint32_t> ids_;  // metric and labels -> id
  std::vector<uint32_t> free_ids_;
  std::vector<Memory> kept_, now_;
  std::vector<uint64_t> claims_;  // by id: batch and source
  std::vector<Ended> ended_, ended_now_;
  std::vector<std::shared_ptr<Plan>> built_;  // of this batch, not yet kept: a second try finds them
  uint64_t batch_ = 0, late_ = 0;
  bool changed_ = false;  // some source has another plan than at the last commit
};

}  // namespace accelmon
