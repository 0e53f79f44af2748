// What an encoder of pushes prepares for each catalog, kept from one encoding to the next; and which samples count.
//
// An encoder makes a plan (prefixes, escaped once) when it first meets a catalog and finds it again by the catalog's
// address, which the book holds on to so that no other catalog can get it. A plan that no encoding used for a while is
// dropped, so that a host whose catalogs change does not grow. Threads: one at a time. Cost of finding: a walk over as
// many entries as there are sources; no allocation.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "model/frame_run.h"
#include "model/metric.h"

namespace accelmon {

template <class Plan>
class CatalogBook {
 public:
  // The plan of this run's catalog; `build` makes one of a catalog that is new. The reference holds until the next
  // call. The catalog must not be null.
  template <class Build>
  Plan& of(const FrameRun& run, Build build) {
    for (Entry& entry : entries_)
      if (entry.catalog == run.catalog && entry.generation == run.catalog->generation) {
        entry.idle = 0;
        return entry.plan;
      }
    entries_.push_back({run.catalog, run.catalog->generation, 0, build(run)});
    return entries_.back().plan;
  }

  // At the end of each encoding.
  void tidy() {
    for (size_t i = 0; i < entries_.size();) {
      if (++entries_[i].idle <= kIdleEncodings) {
        ++i;
        continue;
      }
      if (i + 1 != entries_.size()) entries_[i] = std::move(entries_.back());
      entries_.pop_back();
    }
  }

  size_t size() const { return entries_.size(); }

 private:
  static constexpr uint32_t kIdleEncodings = 8;
  struct Entry {
    CatalogPtr catalog;
    uint64_t generation = 0;
    uint32_t idle = 0;
    Plan plan;
  };
  std::vector<Entry> entries_;
};

// A frame of another generation than its catalog's, or of another length, is not encoded at all.
inline bool fits(const FrameRun& run, const Frame* frame) {
  return frame != nullptr && run.catalog != nullptr && frame->generation == run.catalog->generation &&
         frame->values.size() == run.catalog->series.size() && frame->states.size() == run.catalog->series.size();
}

// Whether series `i` has a sample in this frame, and which. Absent, not a number, infinite, or a counter below zero:
// no.
inline bool sample(const Frame& frame, size_t i, Kind kind, double& value) {
  if (frame.states[i] != State::ok) return false;
  value = kind == Kind::info ? 1.0 : frame.values[i];
  return std::isfinite(value) && (kind != Kind::counter || value >= 0);
}

}  // namespace accelmon
