// What the agent knows, as the plain facts that the questions of analysis/ are asked about.
//
// Threads: called under the agent's lock.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "agent/collector_slot.h"
#include "agent/event_log.h"
#include "agent/finding_book.h"
#include "exporters/runner.h"

namespace accelmon {

struct FindingInputs {
  const Clock& clock;
  const Snapshot& snapshot;
  const std::vector<std::unique_ptr<CollectorSlot>>& slots;
  const EventLog& events;
  std::vector<ExporterState> exporters;
  std::optional<DiskState> history;    // none: it is not kept on disk
  int64_t certificate_expires_at = 0;  // Unix time; 0: the listener has none
  Nanos watched = 0;                   // since the agent started
  Nanos window = 60 * kSecond;
};

// Evaluates the book.
void look(FindingBook& book, const FindingInputs& inputs);

}  // namespace accelmon
